"""Mails, posts and counts about what is one customer's alone."""

from datetime import timedelta

import pytest
from django.utils import timezone

from incidents import workflow
from incidents.comms import holding
from incidents.workflow import Update
from irportal.outbox import fan_out
from irportal.outbox.audiences import reach
from irportal.outbox.models import Announcement, Delivery
from irportal.refused import Refused
from statuspage.models import Component, Customer, Notice, Subscriber
from tests.factories import endpoint

pytestmark = pytest.mark.django_db

DOWN, SLOW = "major_outage", "degraded_performance"


@pytest.fixture
def cluster(organisation):
    """Globex's own cluster; Ann of Globex hears of everything, Bob of Globex of the cluster."""
    globex = Customer.objects.create(name="Globex", contact_email="ops@globex.example")
    globex.addresses.create(address="globex.example")
    made = Component.objects.create(name="Kanarie cluster", customer=globex)
    for email, parts in {"ann@globex.example": [], "bob@globex.example": [made], "eve@evil.example": [made]}.items():
        reader = Subscriber.objects.create(email=email, confirmed_at=timezone.now())
        reader.components.set(parts)
    return made


def tell(incident, by, text="We are looking into it.", status="investigating"):
    change = Update(status=status, at=timezone.now(), customer_text=text, unapproved="Nobody else is awake")
    return workflow.update(incident, change, by=by, send=True)


def told(kind: str = "customers") -> set[str]:
    for row in Announcement.objects.filter(fanned_out_at=None):
        fan_out.fan_out(row.pk)
    return set(Delivery.objects.filter(announcement__audience=kind).values_list("address", flat=True))


def words(kind: str = "customers") -> str:
    rows = Announcement.objects.filter(audience=kind)
    return "".join(row.subject + row.text + row.html + row.payload for row in rows)


INSIDE = {"ops@globex.example", "ann@globex.example", "bob@globex.example"}


def test_only_people_of_the_customer_hear_of_what_hits_nothing_else(declare, cluster, lin):
    endpoint("https://hooks.example/all")
    tell(declare(components=[(cluster, DOWN)]), lin)

    assert told() == INSIDE
    assert "Kanarie cluster" in words()
    assert "/private/i/INC-" in words()
    assert not Announcement.objects.get(audience="customers").payload
    assert not Notice.objects.seen_by(None).exists()


def test_what_hits_both_goes_to_both_and_names_the_public_part_alone(declare, cluster, organisation, lin):
    tell(declare(components=[(organisation["api"], SLOW), (cluster, DOWN)]), lin)

    assert {"ann@globex.example", "bob@globex.example", "api@r.example", "all@r.example"} <= told()
    assert "Agent API" in words()
    assert "Kanarie" not in words()


def test_a_stranger_who_chose_it_while_it_was_public_hears_nothing_of_it(declare, cluster, organisation, lin):
    tell(declare(components=[(organisation["dashboard"], SLOW), (cluster, DOWN)]), lin)

    assert {"bob@globex.example", "eve@evil.example"} <= told()  # severity 1 is told to everybody
    why = dict(Delivery.objects.values_list("address", "why"))
    assert "Kanarie cluster" in why["bob@globex.example"]
    assert "Kanarie" not in why["eve@evil.example"]


def test_two_customers_hit_alone_both_hear_and_neither_reads_of_the_other(declare, cluster, lin):
    lumen = Customer.objects.create(name="Lumen", contact_email="ops@lumen.example")
    other = Component.objects.create(name="Lumen cluster", customer=lumen)
    tell(declare(components=[(cluster, DOWN), (other, DOWN)]), lin)

    assert told() == INSIDE | {"ops@lumen.example"}
    assert "cluster" not in words()


def test_a_holding_message_names_no_private_component_to_everybody(declare, cluster, organisation):
    declare(components=[(organisation["api"], SLOW), (cluster, DOWN)])
    holding.run_due(timezone.now() + timedelta(hours=5))

    assert "We are investigating a problem with Agent API." in words()
    assert "Kanarie" not in words()


def test_a_private_incident_is_not_widened_by_an_update(declare, cluster, organisation, grace, lin):
    incident = declare(components=[(cluster, DOWN)])
    tell(incident, lin)
    incident.refresh_from_db()
    workflow.change_impact(
        incident,
        components=[(cluster, DOWN), (organisation["api"], SLOW)],
        impact="More",
        personal_data="no",
        ai_involved="no",
        estimate="",
        by=grace,
    )
    with pytest.raises(Refused, match="was told to Globex alone"):
        tell(incident, lin, status="identified")
    assert told() == INSIDE


def test_the_number_shown_before_sending_is_of_those_who_get_it(declare, cluster, lin):
    from incidents.comms.audiences import readers_of

    incident = declare(components=[(cluster, DOWN)])
    assert reach("customers", readers_of(incident)) == len(INSIDE)


def test_a_formal_notice_goes_to_the_customer_alone(declare, cluster):
    from incidents.comms.audiences import contracts, customers_of

    incident = declare(components=[(cluster, DOWN)])
    assert [reader.address for reader in contracts(customers_of(incident))] == ["ops@globex.example"]
