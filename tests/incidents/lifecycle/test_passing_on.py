"""Passing on: a role with what is open, a shift with all that is open, and the list of who is reached how."""

import json
from datetime import timedelta

import pytest
from django.db import Error, connection, transaction
from django.utils import timezone

from incidents import workflow
from incidents.comms.models import Call
from incidents.comms.queries import open_work
from incidents.lifecycle import actions as lifecycle
from incidents.lifecycle import queries
from incidents.lifecycle.models import ContactReview, Handover, Incident, Role, RoleContact, ShiftSheet
from incidents.lifecycle.passing import actions, contacts
from irportal.ledger import actions as ledger
from irportal.ledger.models import Entry
from irportal.outbox import engine
from irportal.outbox.models import Announcement
from irportal.refused import Refused
from tests import people
from tests.incidents.test_bad_input import at_once

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


@pytest.fixture
def tomas(roles):
    return people.person("Tomas", "commander")


def term(incident, role="incident_commander") -> int:
    return incident.roles.get(role=role, ended_at=None).pk


def hand(incident, to, by, *, roles=("incident_commander",), still_open="The pool is being resized."):
    return workflow.hand_over(
        incident, terms=[term(incident, role) for role in roles], to=to, still_open=still_open, by=by
    )


# A role


# covers R001-12, C-13
def test_a_role_is_handed_over_with_what_is_open(declare, grace, tomas, freezer):
    incident = declare()
    freezer.shift(MINUTE)
    [record] = hand(incident, tomas, grace)
    said = (record.giver, record.taker, record.role, record.at, record.by, record.still_open, record.taken_at)
    assert said == (grace, tomas, "incident_commander", timezone.now(), grace, "The pool is being resized.", None)
    lines = list(incident.timeline.order_by("pk").values_list("text", flat=True))
    assert "Incident commander: Tomas, taking over from Grace." in lines
    assert "Open at the hand-over to Tomas: The pool is being resized." in lines
    entry = Entry.objects.get(deed="role.handed_over")
    assert json.loads(entry.line)["facts"]["taker"] == f"user:{tomas.pk}"


def test_who_takes_over_is_told_by_mail_and_the_rooms_by_chat(declare, grace, tomas, smtp_relay):
    incident = declare()
    engine.run_once()
    smtp_relay.taken.clear()
    hand(incident, tomas, grace)
    engine.run_once()
    [taken] = [mail for mail in smtp_relay.taken if mail.recipients == ["tomas@example.com"]]
    text = taken.message.get_body(("plain",)).get_content()
    assert "Grace handed the role of incident commander to you" in text
    assert "The pool is being resized." in text
    chat = json.loads(Announcement.objects.get(topic="handover").chat)
    assert "Tomas, from Grace" in chat["text"]


def test_who_is_given_a_role_is_told_and_who_takes_it_needs_no_mail(declare, grace, lee, smtp_relay):
    incident = declare()
    engine.run_once()
    smtp_relay.taken.clear()
    workflow.assign(incident, role="scribe", person=lee, by=grace, reason="Writes fast")
    workflow.assign(incident, role="ai_lead", person=grace, by=grace)
    engine.run_once()
    [taken] = smtp_relay.taken
    assert taken.recipients == ["lee@example.com"]
    assert "Grace gave you the role of scribe" in taken.message.get_body(("plain",)).get_content()
    assert incident.calls.filter(cause="handover", person=lee, role="scribe").exists()


def test_a_role_that_is_held_is_not_given_to_another_without_saying_what_is_open(declare, grace, lee, tomas):
    incident = declare()
    workflow.assign(incident, role="scribe", person=lee, by=grace)
    with pytest.raises(Refused, match=r"Lee is scribe\. Say what is open"):
        workflow.assign(incident, role="scribe", person=tomas, by=grace)
    assert incident.roles.get(role="scribe", ended_at=None).person == lee

    term = workflow.assign(incident, role="scribe", person=tomas, by=grace, reason="Lee sleeps", still_open="The log.")
    assert (term.person, term.reason) == (tomas, "Lee sleeps")
    record = Handover.objects.get()
    assert (record.giver, record.taker, record.by, record.still_open) == (lee, tomas, grace, "The log.")
    assert incident.timeline.filter(text="Open at the hand-over to Tomas: The log.").exists()


# covers C-13
def test_one_person_may_hold_several_roles_and_gets_them_in_one_mail(declare, grace, tomas):
    incident = declare()
    hand(incident, tomas, grace, roles=("incident_commander", "comms_lead"))
    held = incident.roles.filter(ended_at=None, person=tomas).values_list("role", flat=True)
    assert sorted(held) == ["comms_lead", "incident_commander"]
    assert Handover.objects.count() == 2
    assert Announcement.objects.filter(topic="handover").count() == 1


def test_who_takes_over_says_so_once_and_nobody_else_can(declare, grace, tomas, freezer):
    incident = declare()
    [record] = hand(incident, tomas, grace)
    freezer.shift(MINUTE)
    with pytest.raises(Refused, match="handed to Tomas; only they"):
        workflow.take(record, by=grace)
    workflow.take(record, by=tomas)
    record.refresh_from_db()
    assert record.taken_at == timezone.now()
    assert Call.objects.get(cause="handover", person=tomas).acknowledged_at == timezone.now()
    with pytest.raises(Refused, match="You took it at 14:31 UTC already"):
        workflow.take(record, by=tomas)


@pytest.mark.parametrize("still_open", ["", "   "])
def test_what_is_open_has_to_be_said(declare, grace, tomas, still_open):
    with pytest.raises(Refused, match="Say what is open"):
        hand(declare(), tomas, grace, still_open=still_open)
    assert not Handover.objects.exists()


def test_people_pass_on_their_own_roles_and_a_commander_any(declare, grace, lin, lee, tomas):
    incident = declare()
    with pytest.raises(Refused, match="Grace is incident commander; only they or a commander"):
        hand(incident, lee, lin)
    hand(incident, lee, lin, roles=("comms_lead",))
    hand(incident, lin, tomas, roles=("comms_lead",))
    assert str(incident.roles.get(role="comms_lead", ended_at=None).person) == "Lin"


def test_who_cannot_sign_in_takes_nothing_over(declare, grace, tomas):
    tomas.is_active = False
    tomas.save(update_fields=["is_active"])
    with pytest.raises(Refused, match="Tomas cannot sign in any more"):
        hand(declare(), tomas, grace)


def test_a_role_passed_on_meanwhile_is_named_with_who_has_it_now(declare, grace, lee, tomas):
    incident = declare()
    seen = term(incident)
    hand(incident, tomas, grace)
    with pytest.raises(Refused, match=r"Meanwhile this changed\. Incident commander was passed on by Grace; Tomas has"):
        workflow.hand_over(incident, terms=[seen], to=lee, still_open="Nothing.", by=grace)


@pytest.mark.django_db(transaction=True)
def test_two_commanders_who_hand_over_at_once_hand_over_once(declare, grace, lee, tomas):
    incident = declare()
    seen = term(incident)

    def give(to, by):
        return lambda: workflow.hand_over(incident, terms=[seen], to=to, still_open="Nothing.", by=by)

    answers = at_once(give(lee, grace), give(tomas, tomas))
    assert sum(isinstance(answer, Refused) for answer in answers) == 1, answers
    assert Handover.objects.count() == 1
    assert incident.roles.filter(role="incident_commander", ended_at=None).count() == 1
    assert ledger.verify() == []


# covers R001-17, R003-02, R003-03, R003-04, R003-05, R003-06, R003-07, R001-13, R001-14, R001-15
def test_the_roles_the_policy_asks_for_and_nobody_holds_are_gaps(declare, grace):
    incident = declare(ai_involved="yes")
    held = list(incident.roles.filter(ended_at=None).select_related(*queries.WITH_HANDOVER))
    seats = {seat.role: seat for seat in queries.seats(incident, held)}
    assert [role for role, seat in seats.items() if not seat.is_gap] == ["incident_commander", "comms_lead"]
    assert [role for role, seat in seats.items() if seat.is_gap] == [
        "technical_lead",
        "ai_lead",
        "legal_lead",
        "customer_trust",
        "executive_sponsor",
        "management",
    ]


def test_the_ai_lead_is_a_gap_only_where_ai_plays_a_part(declare):
    incident = declare(ai_involved="no")
    assert "ai_lead" not in queries.gaps(incident, set())
    assert "security_lead" not in queries.gaps(incident, set())


# A shift


def sheet(to, by, questions="Is the vendor awake?"):
    return workflow.hand_over_shift(to=to, questions=questions, by=by)


def test_a_sheet_tells_all_that_is_open_and_stays_as_it_was(declare, update, grace, lee, freezer):
    incident = declare()
    declare(rank=3, title="Dashboard slow")
    update(declare(title="Over"), status="resolved", reason="False alarm")
    freezer.shift(20 * MINUTE)
    made = sheet(lee, grace)
    update(incident, status="resolved", reason="Stable")
    made.refresh_from_db()
    first, second = made.content
    assert (first["ref"], first["severity"], first["state"], first["age"]) == (
        "INC-1",
        "SEV1 Critical",
        "Investigating",
        "22 min",
    )
    assert second["ref"] == "INC-2"
    assert ["Incident commander", "Grace"] in first["roles"]
    assert "Technical lead" in first["gaps"]
    assert ["2026-03-02 14:45", "Internal update", "Grace, commander", True] in first["due"]
    assert first["lines"][-1][1] == "SEV1 Critical; channel #incident-20260302-1430 named."


def test_both_sign_the_same_text_and_each_only_their_own_part(declare, grace, lee, freezer):
    declare()
    made = sheet(lee, grace)
    with pytest.raises(Refused, match="This sheet is for Lee"):
        actions.take_shift(made, by=grace)
    freezer.shift(MINUTE)
    actions.take_shift(made, by=lee)
    made.refresh_from_db()
    assert made.taken_at == timezone.now()
    signed = Entry.objects.filter(subject=f"shift:{made.pk}").order_by("n")
    assert [entry.deed for entry in signed] == ["shift.handed_over", "shift.taken"]
    assert all(f'"sha256":"{made.sha256}"' in entry.line for entry in signed)
    with pytest.raises(Refused, match="You signed it at 14:31 UTC already"):
        actions.take_shift(made, by=lee)


def test_who_takes_the_shift_over_gets_the_sheet_by_mail(declare, grace, lee, smtp_relay):
    declare()
    sheet(lee, grace)
    engine.run_once()
    [taken] = [mail for mail in smtp_relay.taken if "Shift handed over" in str(mail.message["Subject"])]
    assert taken.recipients == ["lee@example.com"]
    assert "Is the vendor awake?" in taken.message.get_body(("plain",)).get_content()


def test_a_shift_is_handed_to_somebody_else_and_once(declare, grace, lee):
    with pytest.raises(Refused, match="you cannot relieve yourself"):
        sheet(grace, grace)
    sheet(lee, grace)
    with pytest.raises(Refused, match="You handed this to Lee a moment ago"):
        sheet(lee, grace)
    assert ShiftSheet.objects.count() == 1


def test_a_quiet_shift_has_a_sheet_too(organisation, grace, lee):
    assert sheet(lee, grace).content == []


def test_the_sheet_asks_as_many_questions_for_ten_incidents_as_for_one(declare, grace, django_assert_num_queries):
    def ask() -> int:
        with django_assert_num_queries(6):
            return len(open_work(timezone.now()))

    incident = declare()
    for n in range(9):
        lifecycle.add_note(incident, text=f"Line {n}", at=timezone.now(), by=grace)
    assert ask() == 1
    for n in range(9):
        declare(title=f"Trouble {n}")
    assert ask() == 10


def test_a_sheet_shows_the_last_five_lines_oldest_first(declare, grace, freezer):
    incident = declare()
    for n in range(9):
        freezer.shift(MINUTE)
        lifecycle.add_note(incident, text=f"Line {n}", at=timezone.now(), by=grace)
    [row] = open_work(timezone.now())
    assert [text for _, text, _ in row["lines"]] == [f"Line {n}" for n in range(4, 9)]


# The contact list


# covers R001-17, R001-16
def test_the_list_shows_every_role_and_calls_gaps_by_name(organisation, lin, lee):
    RoleContact.objects.create(role=Role.LEGAL_LEAD, person=lee, phone="+49 30 1", pager="P1")
    lee.is_active = False
    lee.save(update_fields=["is_active"])
    lines = {line.role: line for line in contacts.lines()}
    assert len(lines) == len(Role)
    assert (lines["comms_lead"].person, lines["comms_lead"].lacks) == (lin, "")
    assert lines["management"].lacks == "TBD: nobody is named"
    assert lines["legal_lead"].lacks == "TBD: Lee has left"


def test_a_change_is_in_the_ledger_without_the_numbers(organisation, grace, lee):
    contacts.change("legal_lead", person=lee, phone="+49 30 1234567", pager="P-77", by=grace)
    line = Entry.objects.get(deed="role_contact.changed").line
    assert f'"person":"user:{lee.pk}"' in line
    assert "1234567" not in line
    assert "P-77" not in line
    [row] = contacts.history()
    assert (row["by"], row["role"], row["what"]) == ("grace@example.com", "Legal lead", "pager, person, phone")


def test_what_somebody_else_changed_meanwhile_is_said(organisation, grace, lee, tomas, freezer):
    seen = contacts.newest_change()
    contacts.change("legal_lead", person=lee, phone="", pager="", by=tomas)
    with pytest.raises(Refused, match=r"Meanwhile this changed. 14:30:00 UTC, tomas@example.com: Legal lead, person"):
        contacts.change("legal_lead", person=grace, phone="", pager="", by=grace, seen=seen)
    contacts.change("owning_team", person=grace, phone="", pager="", by=grace, seen=seen)


def test_the_same_again_is_no_change(organisation, grace, lin):
    with pytest.raises(Refused, match="what the list says already"):
        contacts.change("comms_lead", person=lin, phone="", pager="", by=grace)


def test_a_review_counts_gaps_and_falls_due_after_three_months(organisation, grace, freezer):
    assert contacts.is_due(contacts.last_review(), timezone.now())
    made = contacts.review(by=grace)
    assert made.gaps == len(Role) - 1
    freezer.shift(timedelta(days=90))
    assert not contacts.is_due(contacts.last_review(), timezone.now())
    freezer.shift(timedelta(days=1))
    assert contacts.is_due(contacts.last_review(), timezone.now())
    assert Entry.objects.filter(deed="contacts.reviewed").exists()


def test_nobody_reviews_a_list_that_changed_under_their_eyes(organisation, grace, lee, tomas):
    seen = contacts.newest_change()
    contacts.change("legal_lead", person=lee, phone="", pager="", by=tomas)
    with pytest.raises(Refused, match="Meanwhile this changed"):
        contacts.review(by=grace, seen=seen)


# The walls


@pytest.mark.parametrize(
    "attack",
    [
        "UPDATE incidents_handover SET still_open = 'x'",
        "DELETE FROM incidents_handover",
        "UPDATE incidents_shiftsheet SET sha256 = 'x'",
        "DELETE FROM incidents_shiftsheet",
        "UPDATE incidents_contactreview SET gaps = 0",
        "DELETE FROM incidents_contactreview",
        "UPDATE incidents_call SET person_id = NULL",
        "DELETE FROM incidents_call",
    ],
)
def test_what_was_passed_on_is_never_changed(declare, grace, lee, tomas, attack):
    hand(declare(), tomas, grace)
    sheet(lee, grace)
    contacts.review(by=grace)
    with pytest.raises(Error, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(attack)


@pytest.mark.parametrize(("table", "column"), [("handover", "taken_at"), ("shiftsheet", "taken_at")])
def test_a_signature_is_given_once_in_the_database_too(declare, grace, lee, tomas, table, column):
    [record] = hand(declare(), tomas, grace)
    workflow.take(record, by=tomas)
    actions.take_shift(sheet(lee, grace), by=lee)
    statement = f"UPDATE incidents_{table} SET {column} = NULL"
    with pytest.raises(Error, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def test_reviews_are_kept_all(organisation, grace, freezer):
    contacts.review(by=grace)
    freezer.shift(MINUTE)
    contacts.review(by=grace)
    assert ContactReview.objects.count() == 2
    assert Incident.objects.count() == 0
