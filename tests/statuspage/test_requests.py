"""Asking for updates: nobody learns who is subscribed, nobody is mailed often, and only a button begins anything."""

import itertools
import re
from datetime import timedelta
from email import message_from_bytes
from email.policy import SMTP

import pytest
from django.core import signing
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from irportal.ledger.models import Entry
from irportal.outbox import actions as outbox
from irportal.outbox import alarms, bounces, engine, fan_out
from irportal.outbox.models import Announcement, Delivery, Suppression
from statuspage import requests
from statuspage.audiences import subscribers
from statuspage.models import Choice, Component, Subscriber, SubscriptionRequest
from statuspage.subscriptions import leave, manage_token, token_for
from tests.factories import mail_of
from tests.statuspage.factories import component, subscriber

pytestmark = pytest.mark.django_db
ANN = "ann@reader.example"
_visitors = itertools.count(1)


def visitor() -> str:
    """The network address of somebody who was never here."""
    number = next(_visitors)
    return f"198.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def ask(client, email: str = ANN, *, page: str = "/subscribe", ip: str = "", **fields):
    return client.post(page, {"email": email} | fields, REMOTE_ADDR=ip or visitor())


def turn() -> None:
    requests.run_due(timezone.now())
    fan_out.fan_out_pending(timezone.now())


def mailed() -> list[str]:
    """Who is written to, oldest first; suppressed addresses are not."""
    rows = Delivery.objects.filter(announcement__topic="subscription").exclude(state="suppressed")
    return list(rows.order_by("pk").values_list("address", flat=True))


def link(email: str = ANN) -> str:
    """The path of the link in the newest mail to this address."""
    text = Announcement.objects.filter(deliveries__address=email).latest("pk").text
    return re.search(r"http://[^/]+(/\S+)", text)[1]


def begin(client, email: str = ANN, **fields) -> Subscriber:
    ask(client, email, **fields)
    turn()
    client.post(link(email))
    return Subscriber.objects.get(email=email)


# From the form to the first update


def test_the_status_page_leads_to_the_form(client):
    for page in ("/", "/history"):
        assert 'href="/subscribe">Get updates' in client.get(page).content.decode()


def test_the_form_offers_components_under_their_groups(client):
    component("Agent API", group="Platform")
    component("Dashboard", group="Console")
    page = client.get("/subscribe").content.decode()
    assert page.index("Platform</legend>") < page.index("Agent API") < page.index("Console</legend>")


def test_asking_only_writes_a_row(client):
    ask(client)
    assert (SubscriptionRequest.objects.count(), Subscriber.objects.count(), Announcement.objects.count()) == (1, 0, 0)


def test_a_mail_brings_a_link_whose_button_begins_the_subscription(client, smtp_relay):
    api = component("Agent API")
    ask(client, components=[api.code])
    engine.run_once()
    engine.run_once()
    assert smtp_relay.addresses == [ANN]

    assert "You hear about <bdi>Agent API</bdi>" in client.get(link()).content.decode()
    assert not Subscriber.objects.exists()
    assert "You get updates from now on" in client.post(link()).content.decode()
    assert [row["address"] for row in subscribers([api.pk])] == [ANN]
    assert Choice.objects.get().component == api


def test_the_beginning_is_on_record_without_the_address(client):
    reader = begin(client)
    entry = Entry.objects.get(deed="subscriber.confirmed")
    assert entry.subject == f"subscriber:{reader.pk}"
    assert ANN not in entry.line


def test_a_mail_program_that_follows_links_confirms_nothing(client):
    ask(client)
    turn()
    for deed in (client.get, client.head, client.options):
        deed(link())
    assert not Subscriber.objects.exists()


def test_the_mail_holds_nothing_the_visitor_chose_but_the_address(client):
    ask(client, components=[component("Sensitive component").code], note="Buy now", next="https://mallory.example")
    turn()
    raw = mail_of(Delivery.objects.get()).decode()
    text = Announcement.objects.get().text + Announcement.objects.get().html
    for word in ("Sensitive", "Buy now", "mallory", ANN):
        assert word not in text
    assert raw.count(ANN) == 1
    assert "List-Unsubscribe" not in raw


@pytest.mark.parametrize("is_known", [False, True])
def test_both_parts_of_the_mail_lead_only_to_our_own_pages(client, settings, is_known):
    settings.PUBLIC_BASE_URL = "https://status.example"
    if is_known:
        subscriber(ANN)
    ask(client)
    turn()
    mail = message_from_bytes(mail_of(Delivery.objects.get()), policy=SMTP)
    page = mail.get_body(("html",)).get_content()
    links = re.findall(r'href="([^"]+)"', page)

    assert links[0] in mail.get_body(("plain",)).get_content()
    assert all(link.startswith(("https://status.example/", "mailto:")) for link in links)
    assert not re.search("<img|<script|{", re.sub("<style>.*?</style>", "", page, flags=re.DOTALL))


def test_a_link_works_once(client):
    begin(client)
    assert (client.get(link()).status_code, client.post(link()).status_code) == (404, 404)
    assert Entry.objects.filter(deed="subscriber.confirmed").count() == 1


def test_a_link_works_for_48_hours(client, freezer):
    ask(client)
    turn()
    freezer.shift(timedelta(hours=48) - timedelta(seconds=1))
    assert client.get(link()).status_code == 200
    freezer.shift(timedelta(seconds=1))
    assert (client.get(link()).status_code, client.post(link()).status_code) == (404, 404)
    assert not Subscriber.objects.exists()


@pytest.mark.parametrize("token", ["x", "abc:def", "a" * 3000])
def test_an_invented_link_is_one_that_no_longer_works(client, token):
    for page in ("confirm", "manage"):
        for deed in (client.get, client.post):
            answer = deed(f"/{page}/{token}")
            assert (answer.status_code, b"no longer works" in answer.content) == (404, True)


def test_the_links_of_different_pages_do_not_open_each_other(client):
    reader = subscriber(ANN)
    assert client.get(f"/manage/{token_for(reader)}").status_code == 404
    assert client.get(f"/confirm/{manage_token(reader)}").status_code == 404
    assert not leave(manage_token(reader))


def test_who_left_can_ask_again(client):
    leave(token_for(begin(client)))
    ask(client, "Ann@reader.example")
    requests.SubscriptionRequest.objects.update(mailed=False)
    turn()
    client.post(link("Ann@reader.example"))
    assert [row["address"] for row in subscribers(None)] == ["Ann@reader.example"]


def test_nobody_is_written_to_without_the_button_but_those_who_pressed_it(client):
    ask(client)
    turn()
    assert list(subscribers(None)) == []


# One answer for everybody (E-T3)


@pytest.mark.parametrize("page", ["/subscribe", "/manage"])
def test_the_answer_is_the_same_bytes_for_every_address(client, page):
    subscriber(ANN)
    outbox.suppress("gone@reader.example", reason="bounced: 5.1.1", bounced=True)
    outbox.suppress("off@reader.example", reason="unsubscribed")
    known = [ANN, "new@reader.example", "gone@reader.example", "off@reader.example", "ANN@reader.example"]
    answers = [ask(client, email, page=page) for email in known]
    for _ in range(5):
        turn()
        answers.append(ask(client, ANN, page=page))  # the mailbox is over its limit
    answers += [ask(client, f"n{number}@reader.example", page=page, ip="203.0.113.9") for number in range(12)]

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert len({str(sorted(answer.headers.items())) for answer in answers}) == 1
    assert not any(answer.cookies for answer in answers)


@pytest.mark.parametrize("page", ["/subscribe", "/manage"])
def test_asking_puts_the_same_questions_to_the_database_for_every_address(client, page):
    subscriber(ANN)
    component()
    outbox.suppress("gone@reader.example", reason="bounced: 5.1.1", bounced=True)
    ask(client, "often@reader.example", page=page)
    turn()
    found = []
    for email in (ANN, "new@reader.example", "gone@reader.example", "often@reader.example"):
        with CaptureQueriesContext(connection) as asked:
            ask(client, email, page=page)
        found.append([re.sub(r"'[^']*'|\b[0-9a-f.:]+\b", "?", query["sql"]) for query in asked.captured_queries])
    assert len(found[0]) == 3  # the third asks how the page is to look
    assert found == [found[0]] * 4


def test_who_is_subscribed_gets_the_link_to_change_and_no_second_subscription(client):
    subscriber("Ann@reader.example")
    ask(client)
    turn()
    assert link("Ann@reader.example").startswith("/manage/")
    assert mailed() == ["Ann@reader.example"]


def test_a_suppressed_address_is_not_written_to(client):
    outbox.suppress(ANN, reason="unsubscribed")
    ask(client)
    turn()
    assert mailed() == []


def test_nobody_is_mailed_who_asks_to_change_what_is_not_there(client):
    ask(client, page="/manage")
    turn()
    assert Announcement.objects.count() == 0


# Limits (E-T4)


def test_a_thousand_requests_for_one_address_in_a_day_are_three_mails(client, freezer):
    for number in range(1000):
        ask(client, f"Ann+{number}@reader.example" if number % 2 else ANN)
        if number % 10 == 9:
            turn()
        freezer.shift(timedelta(seconds=86))
    turn()
    assert len(mailed()) == 3

    freezer.shift(timedelta(days=1))
    ask(client)
    turn()
    assert len(mailed()) == 4


def test_the_same_address_is_mailed_once_in_fifteen_minutes(client, freezer):
    for _ in range(2):
        ask(client)
        turn()
        freezer.shift(timedelta(minutes=14, seconds=59))
    assert len(mailed()) == 1

    freezer.shift(timedelta(seconds=2))
    ask(client)
    turn()
    assert len(mailed()) == 2


def test_a_thousand_addresses_asked_for_by_one_visitor_are_ten_mails_an_hour(client, freezer):
    for number in range(1000):
        ask(client, f"r{number}@reader.example", ip="203.0.113.9")
    turn()
    assert (len(mailed()), SubscriptionRequest.objects.count()) == (10, 10)

    freezer.shift(timedelta(hours=1))
    ask(client, ip="203.0.113.9")
    turn()
    assert len(mailed()) == 11


def test_many_who_asked_at_the_same_moment_from_one_place_are_ten_mails(freezer):
    """Requests that overtook the count at the door are counted again."""
    for number in range(30):
        SubscriptionRequest.objects.create(
            wish="subscribe",
            email=f"r{number}@reader.example",
            mailbox=str(number),
            visitor="v",
            made_at=timezone.now(),
        )
    turn()
    assert len(mailed()) == 10


def test_the_page_sends_two_hundred_an_hour_and_the_rest_when_there_is_room(client, freezer):
    for number in range(250):
        ask(client, f"r{number}@reader.example")
    for _ in range(4):
        turn()
    assert len(mailed()) == 200

    freezer.shift(timedelta(hours=1))
    turn()
    assert mailed() == [f"r{number}@reader.example" for number in range(250)]


def test_the_visitor_is_who_the_trusted_proxies_saw(client, settings):
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1
    for claimed in range(12):
        client.post(
            "/subscribe",
            {"email": f"r{claimed}@reader.example"},
            REMOTE_ADDR="127.0.0.1",
            headers={"X-Forwarded-For": f"10.0.0.{claimed}, 203.0.113.9"},
        )
    assert SubscriptionRequest.objects.count() == 10


def test_a_visitor_is_kept_as_a_hash_and_an_ipv6_household_is_one():
    hashes = [requests.visitor_of(ip) for ip in ("2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1", "192.0.2.1", "")]
    assert (len(set(hashes)), hashes[0] == hashes[1]) == (4, True)
    assert all(re.fullmatch("[0-9a-f]{64}", one) for one in hashes)


def test_requests_are_forgotten_after_a_week(client, freezer):
    ask(client)
    turn()
    freezer.shift(timedelta(days=7))
    turn()
    assert not SubscriptionRequest.objects.exists()


def test_two_engines_answer_a_request_once(client):
    ask(client)
    pk = SubscriptionRequest.objects.get().pk
    assert [requests._answer(pk, timezone.now()) for _ in range(2)] == [True, True]
    assert Announcement.objects.count() == 1


def test_mail_to_an_address_somebody_made_up_wakes_nobody(client, monkeypatch):
    woken = []
    monkeypatch.setattr(alarms, "_alarms", [lambda *said: woken.append(said)])
    ask(client)
    turn()
    Delivery.objects.update(state="dead", last_error="550 5.1.1")
    alarms.sound(timezone.now())
    assert woken == []


def test_an_address_that_does_not_exist_is_not_written_to_again(client, smtp_relay):
    smtp_relay.at_rcpt[ANN] = ["550 5.1.1 no such user"]
    ask(client)
    engine.run_once()
    engine.run_once()
    assert Suppression.objects.get().target == ANN


# What may be typed


@pytest.mark.parametrize(
    "typed",
    [
        *("", "ann", "ann@", "a@b.example, c@d.example", "a@b.example\nBcc: c@d.example", "a@b.example\x00"),
        *("x" * 250 + "@b.example", "a@b@c.example", '"a b"@c.example', "a;b@c.example", "ann@reader.example>"),
    ],
)
def test_what_is_not_one_address_is_said_so_and_kept_nowhere(client, typed):
    answer = ask(client, typed)
    assert (answer.status_code, b'aria-invalid="true"' in answer.content) == (400, True)
    assert not SubscriptionRequest.objects.exists()


def test_an_address_is_kept_as_it_is_written_to(client):
    ask(client, " Ann.Lee@BÜCHER.Example ")
    assert SubscriptionRequest.objects.get().email == "Ann.Lee@xn--bcher-kva.example"


@pytest.mark.parametrize("typed", ["nothing", "a\x00b", "", "1" * 5000])
def test_a_component_that_is_not_there_is_said_so(client, typed):
    answer = ask(client, components=[typed])
    assert (answer.status_code, b"no longer there" in answer.content) == (400, True)


def test_asking_needs_neither_cookie_nor_csrf_token_and_is_kept_by_nobody():
    strict = Client(enforce_csrf_checks=True)
    for answer in (strict.get("/subscribe"), ask(strict), ask(strict, page="/manage")):
        assert (answer.status_code, answer["Cache-Control"], len(answer.cookies)) == (200, "no-store", 0)


# Change and leave


def test_a_subscriber_changes_components_by_the_link_from_the_mail(client):
    api, board = component("Agent API"), component("Dashboard")
    reader = subscriber(ANN, api)
    ask(client, page="/manage")
    turn()
    page = client.get(link()).content.decode()
    assert f'value="{api.code}" checked' in page
    assert f'value="{board.code}" checked' not in page

    assert "Saved" in client.post(link(), {"components": [board.code]}).content.decode()
    assert list(reader.components.all()) == [board]
    client.post(link(), {})
    assert [row["address"] for row in subscribers([])] == [ANN]
    assert Entry.objects.filter(deed="subscriber.changed", subject=f"subscriber:{reader.pk}").count() == 2


def test_the_page_to_change_ends_the_subscription_with_one_button(client):
    reader = subscriber(ANN)
    page = client.get(f"/manage/{manage_token(reader)}").content.decode()
    assert ANN not in page
    client.post(re.search(r'action="(/u/[^"]+)"', page)[1], {"List-Unsubscribe": "One-Click"})
    assert list(subscribers(None)) == []
    assert client.get(f"/manage/{manage_token(reader)}").status_code == 404


def test_a_link_to_change_works_for_48_hours(client, freezer):
    address = f"/manage/{manage_token(subscriber(ANN))}"
    freezer.shift(timedelta(hours=47))
    assert client.get(address).status_code == 200
    freezer.shift(timedelta(hours=1, seconds=1))
    assert (client.get(address).status_code, client.post(address).status_code) == (404, 404)


def test_a_link_of_a_subscriber_cannot_be_made_from_a_code(client):
    reader = subscriber(ANN)
    forged = signing.TimestampSigner(salt="statuspage.manage", key="x" * 50).sign(reader.code)
    assert client.get(f"/manage/{forged}").status_code == 404


def test_a_complaint_ends_the_subscription(client):
    reader = begin(client)
    announced = outbox.announce(
        "x", topic="update", thread="INC-1", audience="addresses", facts={}, subject="s", text="t", html=""
    )
    sent = Delivery.objects.create(
        announcement=announced,
        key="ab" * 32,
        lane=f"INC-1:subscriber:{reader.pk}",
        reader=f"subscriber:{reader.pk}",
        address=ANN,
        leave=reader.code,
        due_at=timezone.now(),
        expires_at=timezone.now(),
    )
    report = bounces.Report(sent.key[:16], "complaint", "abuse", "s1")
    assert outbox.bounced(report, at=timezone.now())

    reader.refresh_from_db()
    assert reader.left_at is not None
    assert Entry.objects.filter(deed="subscriber.left", subject=f"subscriber:{reader.pk}").count() == 1
    assert set(Suppression.objects.values_list("target", flat=True)) == {ANN, f"subscriber:{reader.pk}"}


def test_the_form_takes_as_many_questions_for_thirty_components_as_for_one(client, django_assert_num_queries):
    for number in range(30):
        Component.objects.create(name=f"Part {number}")
    with django_assert_num_queries(2):  # one of them looks how the page is to look
        client.get("/subscribe")
