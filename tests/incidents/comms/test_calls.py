"""Calls: a row for each person and role, what became of it, who answered, measured against the targets."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from incidents import workflow
from incidents.comms import calls, escalations, holding
from incidents.comms.models import Call
from incidents.lifecycle import actions as lifecycle
from incidents.lifecycle import queries
from incidents.lifecycle.models import Incident, Role, RoleContact
from incidents.policy import actions as policy
from incidents.policy import documents
from irportal.ledger.models import Entry
from irportal.outbox import engine
from irportal.outbox.models import Announcement, Delivery
from irportal.refused import Refused
from tests import people
from tests.incidents.postmortems import worked

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("freezer")]
MINUTE = timedelta(minutes=1)


@pytest.fixture
def backup(roles):
    bo = people.person("Bo", "viewer")
    RoleContact.objects.create(role=Role.BACKUP_ON_CALL, person=bo)
    return bo


def rows(incident, cause="declared"):
    found = incident.calls.filter(cause=cause).select_related("person").order_by("pk")
    return [(call.role, str(call.person or "nobody"), call.channel) for call in found]


def fates(incident, me) -> dict[str, str]:
    pages = calls.shown(incident, me)
    return {call.role or call.channel: call.fate for page in pages for call in page.calls}


def turn(freezer, minutes):
    freezer.shift(minutes * MINUTE)
    escalations.run_due(timezone.now())


# covers R001-21
def test_declaring_calls_each_role_by_mail_and_the_rooms_and_names_the_gaps(declare):
    found = rows(declare(rank=2))
    assert found[:2] == [("incident_commander", "Grace", "smtp"), ("comms_lead", "Lin", "smtp")]
    assert ("technical_lead", "nobody", "smtp") in found
    assert ("executive_sponsor", "nobody", "smtp") in found
    assert ("", "nobody", "chat") in found


# covers R001-12, R001-13, R001-14
@pytest.mark.parametrize(
    ("rank", "gaps"),
    [
        (1, {"technical_lead", "legal_lead", "customer_trust", "executive_sponsor", "management"}),
        (2, {"technical_lead", "customer_trust", "executive_sponsor"}),
        (3, {"technical_lead", "owning_team", "executive_sponsor"}),
        (4, {"owning_team"}),
    ],
)
def test_the_gaps_are_the_roles_the_policy_tells_at_this_severity(declare, rank, gaps):
    incident = declare(rank=rank)
    assert {call.role for call in incident.calls.all() if call.is_gap} == gaps


def test_mail_goes_to_exactly_whom_the_rows_name(declare, smtp_relay):
    incident = declare()
    engine.run_once()
    named = {call.person.email for call in incident.calls.exclude(person=None)}
    assert set(smtp_relay.addresses) == named


def test_who_is_called_was_fixed_as_the_call_was_made(declare, grace, lee, smtp_relay):
    incident = declare()
    lifecycle.assign(incident, role="incident_commander", person=lee, by=grace)
    engine.run_once()
    assert sorted(smtp_relay.addresses) == ["grace@example.com", "lin@example.com"]


def test_the_calls_are_in_the_ledger_by_id(declare, grace, lin):
    declare()
    said = json.loads(Entry.objects.get(deed="incident.called").line)["facts"]
    assert said["people"] == [f"incident_commander: user:{grace.pk}", f"comms_lead: user:{lin.pk}"]
    assert "technical_lead" in said["gaps"]


def test_what_became_of_a_call_is_what_the_outbox_knows(declare, grace, smtp_relay):
    incident = declare()
    assert fates(incident, grace)["incident_commander"] == "being addressed"
    engine.run_once()
    found = fates(incident, grace)
    assert found["incident_commander"] == "accepted 14:30:00 UTC"
    assert found["technical_lead"] == "nobody fills that role"
    Delivery.objects.filter(address="lin@example.com").update(state="dead", accepted_at=None, last_error="550 no such")
    assert fates(incident, grace)["comms_lead"] == "not delivered: 550 no such"


# covers R001-19
def test_while_nobody_acknowledges_the_backup_is_called_by_mail_and_chat(declare, backup, lee, freezer):
    incident = declare(by=lee)
    turn(freezer, 5)
    assert rows(incident, "unacknowledged") == [("backup_on_call", "Bo", "smtp"), ("", "nobody", "chat")]
    chat = json.loads(Announcement.objects.get(topic="called").chat)["text"]
    assert "NOBODY HAS ACKNOWLEDGED INC-1" in chat
    assert "Called: backup on call" in chat


def test_a_backup_nobody_fills_is_a_gap_and_everybody_is_called_instead(declare, lee, freezer):
    incident = declare(by=lee)
    turn(freezer, 5)
    assert rows(incident, "unacknowledged") == [
        ("incident_commander", "Grace", "smtp"),
        ("comms_lead", "Lin", "smtp"),
        ("backup_on_call", "nobody", "smtp"),
        ("", "nobody", "chat"),
    ]


def test_the_backup_who_has_the_call_has_acknowledged_the_incident(declare, backup, lee, freezer):
    incident = declare(by=lee)
    turn(freezer, 5)
    calls.acknowledge(incident.calls.get(person=backup), by=backup)
    incident.refresh_from_db()
    assert (incident.acknowledged_at, incident.acknowledged_by) == (timezone.now(), backup)
    turn(freezer, 60)
    assert not incident.calls.filter(cause="unacknowledged", role="executive_sponsor").exists()


def test_who_is_only_told_says_so_without_taking_the_incident_on(declare, lee, lin):
    incident = declare(by=lee)
    calls.acknowledge(incident.calls.get(person=lin), by=lin)
    incident.refresh_from_db()
    assert incident.acknowledged_at is None
    assert incident.timeline.filter(text="Lin has the call as comms lead.").exists()


def test_a_call_is_answered_once_and_only_by_who_was_called(declare, grace, lin):
    call = declare().calls.get(person=lin)
    with pytest.raises(Refused, match="This call went to Lin"):
        calls.acknowledge(call, by=grace)
    calls.acknowledge(call, by=lin)
    with pytest.raises(Refused, match="You said so at 14:30 UTC already"):
        calls.acknowledge(call, by=lin)


def test_the_page_says_who_answered_each_call(declare, grace, lee, lin, freezer):
    incident = declare(by=lee)
    freezer.shift(2 * MINUTE)
    calls.acknowledge(incident.calls.get(person=lin), by=lin)
    lifecycle.acknowledge(incident, by=grace)
    incident = Incident.objects.get()
    [page] = calls.shown(incident, grace)
    said = {call.role: call.answer for call in page.calls if call.person_id}
    assert said == {
        "incident_commander": "acknowledged by Grace, 14:32 UTC",
        "comms_lead": "Lin has it, 14:32 UTC",
    }


def test_who_declares_and_commands_has_answered_the_first_call_and_no_later_one(declare, grace, freezer):
    incident = declare(rank=2)
    freezer.shift(MINUTE)
    workflow.change_severity(incident, rank=1, reason="All of it", by=grace)
    later, first = calls.shown(Incident.objects.get(), grace)
    assert {call.answer for call in first.calls} == {"acknowledged by Grace, 14:30 UTC"}
    assert {call.answer for call in later.calls} == {""}


def test_a_broken_promise_calls_comms_lead_and_commander_in_chat_too(declare, freezer):
    incident = declare()
    freezer.shift(16 * MINUTE)
    holding.run_due(timezone.now())
    assert ("comms_lead", "Lin", "smtp") in rows(incident, "overdue")
    assert "Internal update, due by 14:45 UTC" in json.loads(Announcement.objects.get(topic="escalation").chat)["text"]


def test_many_turns_call_once(declare, backup, lee, freezer):
    incident = declare(by=lee)
    turn(freezer, 5)
    turn(freezer, 0)
    assert incident.calls.filter(person=backup).count() == 1


# Targets


def response(incident, now=None):
    incident = Incident.objects.get(pk=incident.pk)
    changes = list(incident.severity_changes.values_list("at", "now"))
    level, answer = queries.response(incident, changes, now or timezone.now())
    return level.rank, answer.took_words, answer.limit_words, answer.outcome


# covers R001-44
def test_the_worked_example_was_acknowledged_after_two_minutes(freezer, grace):
    incident = worked.declared(freezer, by=grace)
    assert response(incident) == (1, "2 min", "15 min", "met")


@pytest.mark.parametrize(
    ("rank", "minutes", "outcome"),
    [(1, 13, "met"), (1, 14, "missed"), (2, 28, "met"), (2, 29, "missed"), (3, 118, "met")],
)
def test_the_commander_answers_within_the_target_of_the_severity(declare, grace, lee, freezer, rank, minutes, outcome):
    incident = declare(rank=rank, by=lee)
    freezer.shift(minutes * MINUTE)
    lifecycle.acknowledge(incident, by=grace)
    assert response(incident)[3] == outcome


def test_an_upgrade_before_the_answer_counts_and_one_after_it_does_not(declare, grace, lee, freezer):
    incident = declare(rank=3, by=lee)
    freezer.shift(MINUTE)
    lifecycle.acknowledge(incident, by=grace)
    freezer.shift(MINUTE)
    lifecycle.change_severity(incident, rank=1, reason="All of it", by=grace)
    assert response(incident)[:3] == (3, "3 min", "2 h 00 min")


def test_nobody_answered_and_the_time_is_up_is_missed(declare, lee, freezer):
    incident = declare(by=lee)
    assert response(incident)[3] == "pending"
    freezer.shift(14 * MINUTE)
    assert response(incident)[3] == "missed"


@pytest.mark.parametrize(("seconds", "outcome"), [(3, "met"), (61, "missed")])
def test_the_first_page_leaves_within_a_minute_of_declaring(declare, grace, freezer, smtp_relay, seconds, outcome):
    incident = declare()
    freezer.shift(timedelta(seconds=seconds))
    engine.run_once()
    answer = calls.first_page(incident, calls.shown(incident, grace), 1)
    assert (answer.took_words, answer.outcome) == (f"{seconds} s" if seconds < 60 else "1 min 01 s", outcome)


def test_a_low_severity_sets_no_limit_for_the_page(declare, grace):
    incident = declare(rank=3)
    assert calls.first_page(incident, calls.shown(incident, grace), 3) is None


def test_the_policy_says_how_soon_the_page_leaves(declare, grace, other_policy, freezer, smtp_relay):
    said = documents.read((policy.PROFILES / "default-unified.yaml").read_text())["severities"]
    other_policy(severities=said | {1: said[1] | {"page_within": "5m"}, 2: said[2] | {"page_within": None}})
    incident = declare()
    freezer.shift(timedelta(seconds=61))
    engine.run_once()
    answer = calls.first_page(incident, calls.shown(incident, grace), 1)
    assert (answer.outcome, answer.limit_words) == ("met", "5 min")
    assert calls.first_page(incident, calls.shown(incident, grace), 2) is None


def test_what_the_page_shows_costs_two_questions_however_often_people_were_called(
    declare, grace, lee, freezer, django_assert_num_queries
):
    incident = declare(by=lee)
    for _ in range(4):
        turn(freezer, 6)
    with django_assert_num_queries(2):
        calls.shown(incident, grace)
    assert Call.objects.count() > 10
