"""More people are called while an incident stays unacknowledged or unresolved: each role once, and on the record."""

from datetime import timedelta

import pytest
from django.utils import timezone

from incidents import workflow
from incidents.comms import escalations
from incidents.lifecycle import actions as lifecycle
from incidents.lifecycle.models import Role, RoleContact
from irportal.ledger.models import Entry
from irportal.outbox import engine, fan_out
from irportal.outbox.models import Announcement
from irportal.refused import Refused
from tests import people

pytestmark = pytest.mark.django_db
INC = "/portal/incidents/INC-1"


@pytest.fixture
def contacts(roles):
    """Bo is backup on call, Edith executive sponsor, Max management."""
    named = {"Bo": Role.BACKUP_ON_CALL, "Edith": Role.EXECUTIVE_SPONSOR, "Max": Role.MANAGEMENT}
    for name, role in named.items():
        RoleContact.objects.create(role=role, person=people.person(name, "viewer"))


@pytest.fixture
def unseen(declare, contacts, lee, freezer):
    """Declared by Lee for Grace, who has not said that she works on it."""
    return lambda **given: declare(by=lee, **given)


def turn(freezer, minutes=0.0):
    freezer.shift(timedelta(minutes=minutes))
    escalations.run_due(timezone.now())


def called() -> list[str]:
    """Who got a mail that calls them, in order."""
    fan_out.fan_out_pending(timezone.now())
    rows = Announcement.objects.filter(topic="called").order_by("pk")
    return [row.address for letter in rows for row in letter.deliveries.order_by("address")]


# covers R001-16, R001-19
@pytest.mark.parametrize(
    ("rank", "minutes", "who"),
    [
        (1, 4.9, []),
        (1, 5, ["bo@example.com"]),
        (1, 9.9, ["bo@example.com"]),
        (1, 10, ["bo@example.com", "edith@example.com"]),
        (2, 14.9, []),
        (2, 15, ["bo@example.com"]),
        (2, 59, ["bo@example.com"]),
        (3, 59, []),
        (4, 600, []),
    ],
)
def test_who_is_called_while_nobody_acknowledges(unseen, freezer, rank, minutes, who):
    unseen(rank=rank)
    for step in (minutes / 2, minutes / 2):
        turn(freezer, step)
    assert sorted(called()) == who


# covers R001-05..06, C-03
@pytest.mark.parametrize(("rank", "minutes"), [(2, 60), (3, 240)])
def test_management_is_called_while_it_stays_unresolved(declare, contacts, freezer, rank, minutes):
    declare(rank=rank)
    turn(freezer, minutes - 0.1)
    assert called() == []
    turn(freezer, 0.1)
    assert called() == ["max@example.com"]


# covers R001-04
def test_management_hears_of_a_critical_one_by_the_declaration_and_not_twice(declare, contacts, freezer, smtp_relay):
    declare()
    engine.run_once()
    assert smtp_relay.addresses.count("max@example.com") == 1
    turn(freezer, 300)
    assert called() == []


def test_who_declares_and_commands_has_acknowledged(declare, freezer):
    assert declare().acknowledged_at == timezone.now()


def test_who_declares_for_somebody_else_has_not(unseen):
    assert unseen().acknowledged_at is None


def test_acknowledging_ends_the_calling(unseen, freezer, grace):
    lifecycle.acknowledge(unseen(), by=grace)
    turn(freezer, 60)
    assert called() == []


def test_acknowledging_is_on_the_record_with_its_time(unseen, freezer, grace):
    incident = unseen()
    freezer.shift(timedelta(minutes=3))
    lifecycle.acknowledge(incident, by=grace)
    incident.refresh_from_db()
    line = incident.timeline.get(marker="acknowledged")
    assert (incident.acknowledged_at, line.author) == (timezone.now(), grace)
    assert Entry.objects.filter(deed="incident.acknowledged").count() == 1


def test_it_is_acknowledged_once(unseen, grace, lin):
    incident = unseen()
    lifecycle.acknowledge(incident, by=grace)
    with pytest.raises(Refused, match=r"acknowledged at .* already"):
        lifecycle.acknowledge(incident, by=lin)


@pytest.mark.parametrize("deed", ["a note", "an update", "another severity"])
def test_whoever_works_on_it_has_acknowledged_it(unseen, update, grace, deed):
    incident = unseen()
    if deed == "a note":
        workflow.add_note(incident, text="Looking.", at=timezone.now(), by=grace)
    elif deed == "an update":
        update(incident, internal_text="Looking.")
    else:
        workflow.change_severity(incident, rank=2, reason="Partial", by=grace)
    incident.refresh_from_db()
    assert incident.acknowledged_at == timezone.now()


def test_a_further_word_of_who_declared_it_acknowledges_nothing(unseen, lee):
    incident = unseen()
    workflow.add_note(incident, text="More customers call.", at=timezone.now(), by=lee)
    incident.refresh_from_db()
    assert incident.acknowledged_at is None


def test_who_declared_it_and_then_tells_others_has_acknowledged_it(unseen, update, lee):
    incident = unseen()
    update(incident, internal_text="I restarted it.", by=lee)
    incident.refresh_from_db()
    assert incident.acknowledged_at == timezone.now()


def test_the_calling_leaves_ledger_and_timeline(unseen, freezer):
    incident = unseen()
    turn(freezer, 5)
    assert '"role":"backup_on_call"' in Entry.objects.get(deed="incident.escalated").line
    assert incident.timeline.filter(text="Called backup on call: still unacknowledged.").exists()


def test_many_hands_and_many_turns_call_once(unseen, freezer):
    unseen()
    for _ in range(5):
        turn(freezer, 5)
        turn(freezer)
    assert called() == ["bo@example.com", "edith@example.com"]


def test_after_a_long_silence_all_are_called_in_one_mail(unseen, freezer):
    unseen()
    turn(freezer, 300)
    assert Announcement.objects.filter(topic="called").count() == 1
    assert called() == ["bo@example.com", "edith@example.com"]


def test_with_no_backup_named_those_who_hold_a_role_are_called(declare, lee, freezer):
    declare(by=lee)
    turn(freezer, 5)
    assert sorted(called()) == ["grace@example.com", "lin@example.com"]


def test_management_nobody_fills_is_a_gap_on_the_record_and_no_mail(declare, freezer):
    incident = declare(rank=2)
    turn(freezer, 60)
    assert called() == []
    assert incident.timeline.filter(text__contains="Nobody fills that role").exists()


def test_a_resolved_incident_calls_nobody(declare, contacts, update, freezer):
    update(declare(rank=2), status="resolved", reason="Stable")
    turn(freezer, 120)
    assert called() == []


def test_opened_again_it_counts_from_then(declare, contacts, update, freezer):
    incident = declare(rank=2)
    update(incident, status="resolved", reason="Stable")
    freezer.shift(timedelta(hours=3))
    update(incident, status="investigating", reason="It is back")
    turn(freezer, 59)
    assert called() == []
    turn(freezer, 1)
    assert called() == ["max@example.com"]


@pytest.mark.parametrize(("was", "now", "minutes"), [(3, 2, 30 + 60), (2, 3, 240), (2, 4, None)])
def test_another_severity_counts_what_is_not_called_yet_anew(declare, contacts, grace, freezer, was, now, minutes):
    """Sooner: from the change. Later: from declaration. Not asked for any more: not at all."""
    incident = declare(rank=was)
    freezer.shift(timedelta(minutes=30))
    workflow.change_severity(incident, rank=now, reason="Looked again", by=grace)
    dues = list(incident.escalations.filter(role="management").values_list("due_at", flat=True))
    assert dues == ([incident.declared_at + timedelta(minutes=minutes)] if minutes else [])


def test_no_severity_takes_back_a_call_or_makes_it_twice(declare, contacts, grace, freezer):
    incident = declare(rank=2)
    turn(freezer, 60)
    for rank in (3, 2):
        workflow.change_severity(incident, rank=rank, reason="Looked again", by=grace)
        turn(freezer, 300)
    assert called() == ["max@example.com"]


def test_the_page_offers_the_button_until_somebody_works_on_it(client, unseen, grace):
    unseen()
    client.force_login(grace)
    assert "I work on it" in client.get(INC).content.decode()
    assert client.post(f"{INC}/acknowledge").status_code == 302
    assert "I work on it" not in client.get(INC).content.decode()
