"""Nothing private at any address, in any file or to anybody else: every address of the site is tried with everything
it might show. New addresses are tried by themselves, since they are read from the site's own table."""

import itertools
import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import transaction
from django.db.models import Q
from django.test import Client
from django.urls import URLPattern, get_resolver
from django.utils import timezone

from statuspage import editions, languages, snapshot, subscriptions, views
from statuspage import publish as public
from statuspage.customers import sessions
from statuspage.customers.views import COOKIE
from statuspage.forms import MailForm
from statuspage.models import (
    Component,
    ComponentGroup,
    Customer,
    Document,
    Maintenance,
    Notice,
    NoticeUpdate,
    Subscriber,
)
from tests.statuspage.factories import announced, component, publish, subscriber

pytestmark = pytest.mark.django_db

STAFF, A_FEW = ("portal/", "admin/", "accounts/"), 5  # a stranger is sent to sign in, whatever is asked for
CANARY = "kanarie"  # in every private text; the codes of private rows are canaries, too
OTHER = "sittich"  # the same in what is a second customer's


@pytest.fixture
def planted(freezer, monkeypatch):
    """Public life beside a customer with private components, incidents, promises and texts, all with canaries."""
    monkeypatch.setattr(editions, "_built", set())
    api = component("Agent API", group="Core")
    globex = Customer.objects.create(name=f"Globex {CANARY}", contact_email=f"ops@{CANARY}.example")
    globex.addresses.create(address=f"{CANARY}.example")
    group = ComponentGroup.objects.create(name=f"Group {CANARY}", position=3)
    cluster = Component.objects.create(
        name=f"Cluster {CANARY}", description=f"About {CANARY}", customer=globex, group=group
    )
    mixed = Component.objects.create(name=f"Queue {CANARY}", customer=globex, group=api.group)
    words = {"title": f"Title {CANARY}", "body": f"Body {CANARY}"}
    subscriber(f"ann@{CANARY}.example", cluster)
    stranger = subscriber("eve@evil.example", api)
    publish("resolved", (cluster, "major_outage"), ref="PRIV-1", **words)
    freezer.shift(timedelta(minutes=5))
    publish("investigating", (cluster, "major_outage"), ref="PRIV-2", **words)
    public.set_next_update("PRIV-2", timezone.now() + timedelta(minutes=10), by=None)
    publish("investigating", (api, "degraded_performance"), (mixed, "major_outage"), ref="INC-42")
    publish("identified", (api, "degraded_performance"), (mixed, "partial_outage"), ref="INC-42")
    publish("resolved", (api, "degraded_performance"), (mixed, "major_outage"), ref="INC-41")
    was_public = component(f"Was public {CANARY}")
    stranger.components.add(was_public)
    publish("resolved", (was_public, "major_outage"), ref="PRIV-3", **words)
    publish("resolved", (was_public, "major_outage"), (api, "degraded_performance"), ref="INC-40")
    _second(api, cluster)
    announced(was_public, title=f"Work {CANARY}", silent="A test")
    announced(was_public, api, title="Database upgrade", silent="A test")
    _write()
    Component.objects.filter(pk=was_public.pk).update(customer=globex)
    was_public.refresh_from_db()
    editions.touch_owned(was_public)
    _write()
    return globex


def _second(api: Component, cluster: Component) -> None:
    """Another customer with things of their own, some beside the public's and the first one's."""
    initech = Customer.objects.create(name=f"Initech {OTHER}", contact_email=f"ops@{OTHER}.example")
    initech.addresses.create(address=f"{OTHER}.example")
    printer = Component.objects.create(name=f"Printer {OTHER}", customer=initech, group=api.group)
    publish("investigating", (printer, "major_outage"), ref="THEIR-1", title=f"Title {OTHER}", body=f"Body {OTHER}")
    publish(
        "identified", (api, "degraded_performance"), (cluster, "major_outage"), (printer, "major_outage"), ref="INC-43"
    )
    publish(
        "investigating", (cluster, "partial_outage"), (printer, "partial_outage"), ref="BOTH-1", title="Told to both"
    )


def _write() -> None:
    while editions.refresh():
        pass


def canaries(reader: Customer | None = None) -> set[str]:
    """What the public, or a customer, may never read: words of others, and how their rows are named by machines."""
    codes = {CANARY, OTHER} if reader is None else {CANARY}
    for rows in (Component.objects, ComponentGroup.objects, Maintenance.objects, Notice.objects):
        codes |= set(rows.exclude(pk__in=rows.seen_by(reader)).values_list("code", flat=True))
    secret = Notice.objects.exclude(pk__in=Notice.objects.seen_by(reader))
    codes |= set(secret.values_list("ref", flat=True))
    return codes | set(NoticeUpdate.objects.filter(notice__in=secret).values_list("code", flat=True))


def leaks(text: str, secret: set[str], *, asked: str = "") -> set[str]:
    """The canaries in a text, but those that stood in the address that was asked for."""
    text = text.lower()
    return {one for one in secret if one.lower() in text and one not in asked}


# Every address


def addresses() -> Iterator[str]:
    """Each pattern of the site, in every language there is, filled with everything that could name something."""
    for address, worded in _addresses():
        yield address
        if worded:
            yield from (languages.at(address, language) for language in settings.PAGE_LANGUAGES[1:])


def _addresses() -> Iterator[tuple[str, bool]]:
    """Filled with codes, numbers, keys, months; and whether there is one in every language."""
    values = _values()
    for prefix, pattern, worded in _patterns(get_resolver().url_patterns, ""):
        route = prefix + str(pattern.pattern)
        names = re.findall(r"<(?:(\w+):)?(\w+)>", route) or re.findall(r"\(\?P<(\w+)>", route)
        if "(?P" in route or route.startswith("^") or "$" in route:
            yield "/" + re.sub(r"[\^$]|\(\?P<\w+>|\.\*\)|\\", "", route), worded
            continue
        if not names:
            yield "/" + route, worded
            continue
        choices = [values["int" if kind in ("int", "month") else "text"] for kind, _ in names]
        longest = A_FEW if route.startswith(STAFF) else max(len(some) for some in choices)
        for chosen in itertools.islice(zip(*(itertools.cycle(some) for some in choices), strict=False), longest):
            filled = iter(chosen)
            yield "/" + re.sub(r"<[^>]+>", lambda _: next(filled), route), worded


def _patterns(found, prefix: str, worded: bool = False) -> Iterator[tuple[str, URLPattern, bool]]:
    for one in found:
        if isinstance(one, URLPattern):
            yield prefix, one, worded
        else:
            spoken = worded or isinstance(one.pattern, languages.Prefix)
            yield from _patterns(one.url_patterns, prefix + str(one.pattern), spoken)


def _values() -> dict[str, list[str]]:
    text = {f"{timezone.now():%Y-%m-%d}"}
    numbers = {f"{timezone.now():%Y}", f"{timezone.now():%m}"}
    for row in Subscriber.objects.filter(email__contains="evil"):
        text |= {subscriptions.manage_token(row), subscriptions.token_for(row)}
    for model in apps.get_models():
        if model._meta.app_label not in ("statuspage", "incidents"):
            continue
        fields = {field.name for field in model._meta.fields} & {"code", "ref"}
        for row in model.objects.all()[:30]:
            numbers.add(str(row.pk))
            text |= {str(getattr(row, name)) for name in fields}
    return {"text": sorted(text, reverse=True), "int": sorted(number for number in numbers if number.isdecimal())}


def said(client: Client, address: str) -> str:
    """All that is answered there, by whoever is signed in now; they stay so."""
    cookies = dict(client.cookies)
    answers = [client.get(address)]
    with transaction.atomic():
        answers.append(client.post(address))
        transaction.set_rollback(True)  # what it did must not hide what others would find
    client.cookies.clear()
    client.cookies.update(cookies)
    head = "".join(f"{name}: {value}\n" for answer in answers for name, value in answer.items())
    return head + "".join(b"".join(answer).decode(errors="replace") for answer in answers)


def found_by(client: Client, reader: Customer | None = None) -> Iterator[tuple[str, set[str]]]:
    """What of the private shows at which address, to the public or a customer."""
    secret = canaries(reader)
    for address in addresses():
        if found := leaks(said(client, address), secret, asked=address):
            yield address, found


def test_no_address_shows_anything_private_to_a_stranger(planted, client):
    tried = set(addresses())
    assert len(tried) > 1500
    for notice in Notice.objects.all():
        assert {f"/incidents/{notice.code}", f"/incidents/{notice.code}.json", f"/i/{notice.ref}"} <= tried
        assert {f"/{language}/incidents/{notice.code}" for language in settings.PAGE_LANGUAGES[1:]} <= tried
    assert dict(found_by(client)) == {}


@pytest.fixture
def second(planted) -> Customer:
    return Customer.objects.get(name__contains=OTHER)


@pytest.fixture
def theirs(second, client) -> Client:
    """One of the second customer's people, signed in."""
    client.cookies[COOKIE] = sessions.begin(f"bob@{OTHER}.example", instead_of="")
    return client


def test_no_address_shows_anything_of_one_customer_to_another(second, theirs):
    tried = set(addresses())
    for notice in Notice.objects.all():
        paths = {f"/incidents/{notice.code}", f"/incidents/{notice.code}.json", f"/i/{notice.ref}"}
        assert {f"/private{path}" for path in paths} <= tried
    assert dict(found_by(theirs, second)) == {}
    assert OTHER in theirs.get("/private/").content.decode()
    assert "Told to both" in theirs.get("/private/").content.decode()


# Documents, files and what leaves


def test_no_public_document_or_file_holds_anything_private(planted, tmp_path):
    secret = canaries()
    call_command("publish", to=tmp_path)

    for document in Document.objects.all():
        assert leaks(document.path + document.head + bytes(document.body).decode(errors="replace"), secret) == set()
    for file in tmp_path.rglob("*"):
        assert leaks(str(file.relative_to(tmp_path)), secret) == set()
        if file.is_file() and file.suffix not in (".gz", ".br"):
            assert leaks(file.read_bytes().decode(errors="replace"), secret) == set()


def test_the_canaries_are_where_they_may_be_seen(planted):
    """Else every test here would be content with an empty site."""
    shown = snapshot.summary_json(snapshot.Facts(planted), timezone.now()).decode()
    assert {CANARY, "PRIV-2"} <= leaks(shown, canaries())
    assert Document.objects.filter(path="/i/INC-42").exists()


days = snapshot._with_days


class FormOfAnother(MailForm):
    def __init__(self, *given, customer, **more):
        super().__init__(*given, customer=Customer.objects.get(name__contains=CANARY), **more)


# Each of these is a mistake somebody might make; the crawl has to find every one.
LEAKS = {
    "components": lambda patch: patch.setattr(
        "statuspage.models.ComponentQuerySet.seen_by", lambda rows, _: rows.all()
    ),
    "incidents": lambda patch: patch.setattr("statuspage.models.NoticeQuerySet.seen_by", lambda rows, _: rows.all()),
    "affected": lambda patch: patch.setattr(snapshot.Facts, "affected", lambda facts, update: update.affected),
    "feeds": lambda patch: patch.setattr(
        snapshot.Facts, "newest", property(lambda facts: list(Notice.objects.prefetch_related("updates")))
    ),
    "a form": lambda patch: patch.setitem(views.MANAGED, (True, True), FormOfAnother),
    "the record of days": lambda patch: patch.setattr(
        "statuspage.snapshot._with_days",
        lambda facts, now: days(snapshot.Facts(Customer.objects.get(name__contains=CANARY)), now),
    ),
}


@pytest.mark.parametrize("leak", LEAKS)
def test_the_crawl_finds_a_planted_leak(leak, planted, client, monkeypatch):
    LEAKS[leak](monkeypatch)
    assert next(found_by(client))


LEAKS_AMONG_CUSTOMERS = {
    "whose a session is": lambda patch: patch.setattr(
        "statuspage.customers.views.snapshot.Facts",
        lambda reader, real=snapshot.Facts: real(Customer.objects.get(name__contains=CANARY)),
    ),
    "whatever is somebody's": lambda patch: patch.setattr(
        "statuspage.models.theirs", lambda reader, *fields: Q(pk__isnull=False)
    ),
    "who was told": lambda patch: patch.setattr("statuspage.models.NoticeQuerySet.seen_by", lambda rows, _: rows.all()),
}


@pytest.mark.parametrize("leak", LEAKS_AMONG_CUSTOMERS)
def test_the_crawl_of_a_customer_finds_a_planted_leak(leak, second, theirs, monkeypatch):
    secret = canaries(second)
    LEAKS_AMONG_CUSTOMERS[leak](monkeypatch)
    own = (address for address in addresses() if address.startswith("/private/"))
    assert any(leaks(said(theirs, address), secret, asked=address) for address in own)


# A page that is restricted as a whole


def test_a_restricted_page_says_nothing_to_strangers_but_where_to_sign_in(planted, client, settings, tmp_path):
    settings.PAGE_RESTRICTED = True
    editions.rebuild()
    public_words = {"Agent API", "Every request fails", *Notice.objects.values_list("code", flat=True)}
    secret = canaries() | public_words

    call_command("publish", to=tmp_path)
    for document in Document.objects.all():
        assert leaks(document.path + document.head + bytes(document.body).decode(errors="replace"), secret) == set()
    for file in tmp_path.rglob("*.html"):
        assert leaks(file.read_text(), secret) == set()
    shown = {address: leaks(said(client, address), secret, asked=address) for address in addresses()}
    assert {address for address, found in shown.items() if found} == set()
    assert b"for signed-in customers" in client.get("/").content
    answer = client.get("/api/v2/summary.json")
    assert answer.status_code == 404
    assert answer.json()["error"].startswith("This status page is for signed-in customers: http")
    others = Component.objects.filter(customer__name__contains=OTHER)
    assert set(Component.objects.seen_by(planted)) == set(Component.objects.all()) - set(others)
