"""Components of one customer alone: who sees what, and that nothing public moves with it."""

from datetime import timedelta

import pytest
from django.utils import timezone

from irportal.refused import Refused
from statuspage import editions
from statuspage import publish as public
from statuspage.models import Component, Customer, Document, Notice
from statuspage.snapshot import Facts, summary_json
from tests.statuspage.factories import component, past_incident, publish

pytestmark = pytest.mark.django_db

DOWN, SLOW = "major_outage", "degraded_performance"


def customer(name: str, *addresses: str) -> Customer:
    made = Customer.objects.create(name=name, contact_email=f"ops@{name.lower()}.example")
    for address in addresses:
        made.addresses.create(address=address)
    return made


def own(whose: Customer, name: str = "Own cluster", group: str = "") -> Component:
    made = component(name, group=group)
    made.customer = whose
    made.save()
    return made


def documents() -> dict[str, tuple[str, int, int]]:
    while editions.refresh():
        pass
    return {row.path: (row.etag, row.version, row.modified) for row in Document.objects.all()}


@pytest.fixture
def globex():
    return customer("Globex", "globex.example")


@pytest.fixture
def api():
    return component("Agent API")


def refs(whose: Customer | None) -> list[str]:
    return [notice.ref for notice in Notice.objects.seen_by(whose)]


# Who sees which incident


def test_what_hits_only_a_private_component_is_seen_by_its_customer_alone(globex, api):
    publish("investigating", (own(globex), DOWN), ref="INC-7")

    assert refs(None) == refs(customer("Lumen")) == []
    assert refs(globex) == ["INC-7"]


def test_what_hits_public_and_private_components_names_to_each_what_they_see(globex, api):
    cluster = own(globex)
    publish("investigating", (api, SLOW), (cluster, DOWN))

    def named(whose):
        notice = Notice.objects.complete(whose).get()
        affected = Facts(whose).affected(notice.updates.all()[0])
        return [hit.component for hit in notice.hits.all()], [row["code"] for row in affected]

    assert named(None) == named(customer("Lumen")) == ([api], [api.code])
    assert named(globex) == ([api, cluster], [api.code, cluster.code])


def test_the_public_impact_is_no_worse_than_public_components_are(globex, api):
    publish("investigating", (api, SLOW), (own(globex), DOWN), impact="critical")

    assert Notice.objects.get().impact == "minor"
    assert Facts().status["indicator"] == "minor"


def test_two_customers_hit_by_one_private_incident_read_it_and_see_their_own(globex):
    lumen = customer("Lumen")
    mine, theirs = own(globex), own(lumen)
    publish("investigating", (mine, DOWN), (theirs, DOWN))

    assert refs(None) == []
    for whose, seen in ((globex, mine), (lumen, theirs)):
        [notice] = Notice.objects.complete(whose)
        assert [hit.component for hit in notice.hits.all()] == [seen]


def test_a_private_incident_never_reaches_anybody_else(globex, api):
    cluster = own(globex)
    publish("investigating", (cluster, DOWN), ref="INC-7")

    with pytest.raises(Refused, match="INC-7 was told to Globex alone"):
        publish("identified", (cluster, DOWN), (api, SLOW), ref="INC-7")
    with pytest.raises(Refused, match="told to Globex alone"):
        publish("identified", (own(customer("Lumen")), DOWN), ref="INC-7")
    publish("resolved", ref="INC-7")
    assert refs(None) == []


def test_a_public_incident_does_not_go_on_about_what_is_private(globex, api):
    publish("investigating", (api, DOWN))
    with pytest.raises(Refused, match="what it names now is private"):
        publish("identified", (own(globex), DOWN))


def test_the_state_of_a_private_component_is_no_part_of_the_public_verdict(globex, api):
    publish("investigating", (own(globex), DOWN))

    assert Facts().status["indicator"] == "none"
    assert Facts(globex).status["indicator"] == "critical"


# Nothing public moves


def test_a_private_publication_changes_no_public_document_by_a_byte(globex, api, freezer):
    past_incident("INC-1", started_at=timezone.now() - timedelta(days=3))
    before, summary = documents(), summary_json(Facts(), timezone.now())
    freezer.shift(timedelta(minutes=20))

    cluster = own(globex, group="Secret group")
    publish("investigating", (cluster, DOWN), ref="INC-7", started_at=timezone.now() - timedelta(days=300))
    public.set_next_update("INC-7", timezone.now() + timedelta(minutes=30), by=None)
    publish("resolved", ref="INC-7")
    publish("investigating", (cluster, DOWN), ref="INC-8")

    assert documents() == before
    assert summary_json(Facts(), timezone.now()) == summary


def test_a_private_incident_is_answered_like_one_that_does_not_exist(globex, client):
    publish("investigating", (own(globex), DOWN), ref="INC-7")
    code = Notice.objects.get().code

    for there, absent in ((f"/incidents/{code}", "/incidents/zzzzzzzzzzzz"), ("/i/INC-7", "/i/INC-999")):
        hidden, nothing = client.get(there), client.get(absent)
        assert hidden.status_code == nothing.status_code == 404
        assert hidden.content == nothing.content
        assert hidden.headers == nothing.headers


# A component changes hands


@pytest.fixture
def settings_page(client, django_user_model):
    client.force_login(django_user_model.objects.create_superuser("root@portal.example", "x" * 20))
    return client


def give(page, component: Component, to: Customer | None, **more: str):
    facts = {"name": component.name, "position": component.position, "customer": to.pk if to else ""}
    return page.post(f"/admin/statuspage/component/{component.pk}/change/", facts | more)


def test_a_public_component_that_becomes_private_leaves_the_page_with_its_past(globex, api, settings_page):
    other = component("Dashboard")
    publish("resolved", (api, DOWN), ref="INC-1")
    publish("resolved", (api, DOWN), (other, SLOW), ref="INC-2")

    assert "Tick this if they may" in give(settings_page, api, globex).content.decode()
    assert give(settings_page, api, globex, off_the_page="on").status_code == 302

    assert refs(None) == ["INC-2"]
    assert sorted(refs(globex)) == ["INC-1", "INC-2"]
    documents()
    written = b"".join(bytes(row.body) for row in Document.objects.all())
    assert b"Agent API</" not in written
    assert api.code.encode() not in written
    assert not Document.objects.filter(path__contains="INC-1").exists()


def test_what_was_private_stays_so_when_the_component_becomes_public(globex, api, settings_page):
    cluster = own(globex)
    publish("resolved", (cluster, DOWN), ref="INC-1")
    publish("resolved", (cluster, DOWN), (api, SLOW), ref="INC-2")

    assert give(settings_page, cluster, None).status_code == 302

    assert refs(None) == ["INC-2"]
    [notice] = Notice.objects.complete(None)
    assert [hit.component for hit in notice.hits.all()] == [api]
    assert [row["code"] for row in Facts().affected(notice.updates.all()[0])] == [api.code]


def test_a_component_changes_hands_only_when_no_open_incident_was_told_to_its_customer(globex, settings_page):
    cluster = own(globex)
    publish("investigating", (cluster, DOWN))

    page = give(settings_page, cluster, customer("Lumen")).content.decode()
    assert "An open incident names it" in page
    cluster.refresh_from_db()
    assert cluster.customer == globex


def test_an_incident_that_left_the_page_goes_on_for_the_customer_alone(globex, api, settings_page):
    publish("investigating", (api, DOWN), ref="INC-1")
    give(settings_page, api, globex, off_the_page="on")
    publish("identified", (Component.objects.get(pk=api.pk), DOWN), ref="INC-1")

    give(settings_page, api, None)
    assert refs(None) == []
    assert refs(globex) == ["INC-1"]


def test_a_change_to_a_private_component_is_recorded_and_moves_nothing_public(globex, api, settings_page):
    cluster = own(globex)
    publish("resolved", (api, SLOW), (cluster, SLOW))
    before = documents()
    cluster.name = "Renamed cluster"
    assert give(settings_page, cluster, globex).status_code == 302

    assert documents() == before
    assert Component.objects.get(pk=cluster.pk).name == "Renamed cluster"


# Whose an address is


@pytest.mark.parametrize(
    ("email", "name"),
    [
        ("ann@globex.example", "Globex"),
        ("ANN@Globex.Example", "Globex"),
        ("cho@globex.example", "Lumen"),  # named itself: that goes before its domain
        ("ann@sub.globex.example", None),
        ("ann@notglobex.example", None),
        ('"x@globex.example"@evil.example', None),
        ("a%@evil.example", None),
    ],
)
def test_an_address_belongs_to_the_customer_who_names_it_or_its_domain(globex, email, name):
    customer("Lumen", "cho@globex.example", "lumen.example")
    found = Customer.objects.of(email)
    assert (found and found.name) == name


def test_nobody_belongs_to_a_customer_who_has_gone(globex):
    Customer.objects.update(is_active=False)
    assert Customer.objects.of("ann@globex.example") is None
