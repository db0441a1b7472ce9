"""People change their minds: severity, facts and states move, and no promise is lost, doubled or quietly broken."""

import hashlib
import json
from datetime import timedelta

import pytest
from django.utils import timezone

from incidents import workflow
from incidents.comms import duties, holding
from incidents.comms.audiences import customers_of
from incidents.lifecycle import actions as lifecycle
from incidents.lifecycle.models import Incident, Role, RoleContact
from irportal.ledger.models import Entry
from irportal.outbox import engine
from irportal.outbox.models import Announcement
from irportal.refused import Refused
from statuspage.models import Notice

pytestmark = pytest.mark.django_db
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def owed(incident) -> list[str]:
    return sorted(incident.duties.open().values_list("message_class", flat=True))


def due(incident, message_class):
    return incident.duties.open().get(message_class=message_class).due_at


@pytest.fixture
def learn(grace):
    """Say anew whether personal data is involved."""

    def make(incident, personal_data) -> None:
        workflow.change_impact(
            incident,
            components=[(row.component, row.state) for row in incident.components.all()],
            impact="As before.",
            personal_data=personal_data,
            ai_involved="no",
            estimate="",
            by=grace,
        )

    return make


@pytest.fixture
def judge(grace):
    def make(incident, rank) -> Incident:
        return workflow.change_severity(incident, rank=rank, reason="Looked again", by=grace)

    return make


def test_a_message_on_a_low_incident_goes_to_those_affected_not_to_everybody(declare, organisation):
    incident = declare(rank=4, components=[(organisation["dashboard"], "degraded_performance")])
    assert customers_of(incident)["components"] == [organisation["dashboard"].pk]


def test_learning_of_personal_data_tightens_the_decision_at_once(declare, learn, freezer):
    incident = declare(rank=2)
    assert due(incident, "regulator_decision") == timezone.now() + 24 * HOUR
    freezer.shift(HOUR)
    learn(incident, "yes")
    assert due(incident, "regulator_decision") == timezone.now() + 4 * HOUR


def test_a_breach_notice_that_was_dropped_is_owed_again_by_its_old_time(declare, learn, freezer):
    incident = declare(rank=2)
    learn(incident, "yes")
    first = due(incident, "breach_notice")
    freezer.shift(HOUR)
    learn(incident, "no")
    assert "breach_notice" not in owed(incident)
    freezer.shift(HOUR)
    learn(incident, "yes")
    assert due(incident, "breach_notice") == first


def test_a_notice_that_was_given_is_not_owed_twice(declare, judge, lin, freezer):
    incident = declare(rank=1)
    duties.settle(incident.duties.open().get(message_class="incident_notice"), text="Sent, filed.", by=lin)
    duties.waive(incident.duties.open().get(message_class="regulator_decision"), reason="Not ours", by=lin)
    for rank in (3, 1):
        judge(incident, rank)
    assert owed(incident) == ["internal_update", "status_page", "status_update"]


def test_down_and_up_again_owes_every_notice(declare, judge, freezer):
    incident = declare(rank=1)
    before = owed(incident)
    for rank in (3, 1):
        judge(incident, rank)
    assert owed(incident) == before


def test_personal_data_found_after_the_end_still_owes_the_breach_notice(declare, update, learn, freezer):
    incident = declare(rank=2)
    update(incident, status="resolved", reason="Stable", customer_text="Over.", internal_text="Over.")
    learn(incident, "yes")
    assert due(incident, "breach_notice") == timezone.now() + 72 * HOUR
    assert due(incident, "regulator_decision") == timezone.now() + 4 * HOUR
    assert owed(incident) == ["breach_notice", "incident_notice", "regulator_decision"]


def test_the_summary_written_on_resolving_counts(declare, update, freezer):
    incident = declare(rank=3)
    update(incident, status="resolved", reason="Stable", internal_text="What happened, what we did.")
    assert incident.duties.get(message_class="internal_summary").outcome == "kept"


def test_resolving_in_silence_keeps_the_time_the_page_promises(declare, update, freezer):
    incident = declare(rank=2)
    update(incident, customer_text="We are looking.", next_update_by=timezone.now() + 10 * MINUTE)
    promised = Notice.objects.get().next_update_by
    freezer.shift(5 * MINUTE)
    update(incident, status="resolved", reason="Stable")
    assert due(incident, "status_update") == promised == Notice.objects.get().next_update_by


def test_an_update_customers_were_promised_is_owed_even_when_the_severity_asks_for_none(
    declare, update, judge, freezer
):
    incident = declare(rank=1)
    update(incident, customer_text="We are looking.")
    told = due(incident, "status_update")
    freezer.shift(5 * MINUTE)
    judge(incident, 3)
    assert due(incident, "status_update") == told == Notice.objects.get().next_update_by
    freezer.shift(5 * MINUTE)
    update(incident, customer_text="Only one route was hit.")
    assert "status_update" not in owed(incident)
    assert Notice.objects.get().next_update_by is None


def test_the_last_promised_update_is_held_when_nobody_writes(declare, update, judge, freezer):
    incident = declare(rank=1)
    update(incident, customer_text="We are looking.")
    judge(incident, 4)
    freezer.shift(31 * MINUTE)
    holding.run_due(timezone.now())
    assert incident.messages.order_by("pk").last().kind == "holding"
    assert owed(incident) == []


def test_a_promise_left_over_from_a_worse_severity_does_not_stand_in_the_way_of_resolving(
    declare, update, judge, freezer
):
    incident = declare(rank=1)
    update(incident, customer_text="We are looking.")
    judge(incident, 3)
    update(incident, status="resolved", reason="Stable")
    assert owed(incident) == ["internal_summary", "status_page"]


def test_after_opening_again_the_holding_message_does_not_repeat_that_it_was_over(declare, update, freezer):
    incident = declare()
    update(incident, status="resolved", reason="Stable", customer_text="All is well.")
    freezer.shift(HOUR)
    update(incident, status="investigating", reason="It is back")
    for minutes in (16, 15):
        freezer.shift(minutes * MINUTE)
        holding.run_due(timezone.now())
    mail = Announcement.objects.filter(topic="holding").order_by("pk").last()
    assert "We are investigating a problem with Agent API." in mail.text
    assert "All is well" not in mail.text


def test_a_word_after_the_end_is_shown_at_its_own_time(declare, update, freezer):
    incident = declare()
    update(incident, status="resolved", reason="Stable", customer_text="Over.")
    ended = timezone.now()
    freezer.shift(2 * HOUR)
    update(incident, customer_text="The cause was a full pool.")
    notice = Notice.objects.get()
    assert [row.display_at for row in notice.updates.all()] == [timezone.now(), ended]
    assert notice.resolved_at == ended


def test_an_upgrade_calls_who_the_policy_names_and_tells_them(declare, judge, lin, freezer, smtp_relay):
    incident = declare(rank=3)
    assert not incident.roles.filter(role=Role.COMMS_LEAD).exists()
    engine.run_once()
    assert "lin@example.com" not in smtp_relay.addresses
    judge(incident, 1)
    engine.run_once()
    assert incident.roles.get(role=Role.COMMS_LEAD, ended_at=None).person == lin
    assert "lin@example.com" in smtp_relay.addresses


def test_an_upgrade_takes_no_role_away(declare, judge, grace, freezer):
    incident = declare(rank=3)
    RoleContact.objects.create(role=Role.INCIDENT_COMMANDER, person=RoleContact.objects.get().person)
    judge(incident, 1)
    assert incident.roles.get(role=Role.INCIDENT_COMMANDER, ended_at=None).person == grace


def test_a_broken_promise_never_reaches_nobody(declare, grace, lin, root, freezer, smtp_relay):
    incident = declare(rank=1)
    incident.duties.update(holding=False)
    for person in (grace, lin):
        person.is_active = False
        person.save()
    freezer.shift(16 * MINUTE)
    engine.run_once()
    assert set(smtp_relay.addresses) == {"root@example.com"}


def test_a_button_pressed_twice_declares_once(declare, freezer):
    declare()
    with pytest.raises(Refused, match="You declared this a moment ago: it is INC-1"):
        declare()
    assert Incident.objects.count() == 1
    freezer.shift(2 * MINUTE)
    assert declare().ref == "INC-2"


@pytest.mark.parametrize("marker", ["started", "detected", "recovered", "resolved"])
def test_no_correction_makes_times_contradict_each_other(declare, update, grace, freezer, marker):
    incident = declare()
    for minutes, status in ((10, "monitoring"), (30, "resolved")):
        freezer.shift(minutes * MINUTE)
        update(incident, status=status, reason="Stable")
    line = incident.timeline.get(marker=marker)
    wrong = timezone.now() if marker in ("started", "recovered") else incident.started_at - MINUTE
    wrong = wrong + MINUTE if marker == "recovered" else wrong
    with pytest.raises(Refused, match="An incident cannot be"):
        lifecycle.correct(line, text="Corrected", at=wrong, by=grace)
    incident.refresh_from_db()
    assert getattr(incident, f"{marker}_at") == line.occurred_at


def test_harm_cannot_be_contained_before_it_began(declare, grace):
    incident = declare()
    with pytest.raises(Refused, match="cannot be contained before it started"):
        lifecycle.add_note(incident, text="Stopped", at=incident.started_at - MINUTE, by=grace, marker="contained")


def test_an_incident_opened_again_is_not_contained(declare, update, grace, freezer):
    incident = declare()
    lifecycle.add_note(incident, text="Stopped", at=timezone.now(), by=grace, marker="contained")
    update(incident, status="resolved", reason="Stable")
    assert update(incident, status="investigating", reason="It is back").contained_at is None


def test_an_auditor_can_compute_the_hash_of_what_was_approved_from_the_record(declare, update, freezer):
    incident = declare()
    update(incident, customer_text="We are looking.")
    said = json.loads(Entry.objects.get(deed="message.drafted").line)["facts"]
    promised = said["next_update_by"] or "-"
    parts = [said["audience"], said["status"], promised, str(said["asserts"]), "We are looking."]
    assert hashlib.sha256("\0".join(parts).encode()).hexdigest() == said["sha256"]
    assert json.loads(Entry.objects.get(deed="message.sent").line)["facts"]["sha256"] == said["sha256"]


def test_a_holding_message_tells_nothing_that_was_not_published(declare, update, freezer, organisation, lin):
    incident = declare()
    update(incident, customer_text="We are looking.")
    workflow.change_impact(
        incident,
        components=[(organisation["dashboard"], "partial_outage")],
        impact="Only the dashboard.",
        personal_data="unknown",
        ai_involved="unknown",
        estimate="",
        by=lin,
    )
    freezer.shift(timedelta(minutes=30))
    holding.run_due(timezone.now())
    notice = Notice.objects.get()
    assert [hit.component.name for hit in notice.hits.all()] == ["Agent API"]
    assert "Dashboard" not in Announcement.objects.get(topic="holding").text


def test_the_page_is_not_called_overdue_by_the_turn_that_keeps_it(declare, freezer):
    incident = declare()
    for minutes in (15, 15, 30):
        freezer.shift(timedelta(minutes=minutes))
        holding.run_due(timezone.now())
    escalated = incident.duties.filter(message_class="status_page", escalated_at__isnull=False)
    assert not escalated.exists()


def test_a_second_outage_begins_the_next_version_of_an_approved_post_mortem(time_machine, grace, lin):
    from tests.incidents.postmortems import worked

    postmortem = worked.approved(time_machine, commander=grace, writer=lin)
    again = workflow.Update(status="investigating", at=timezone.now(), reason="It came back")
    workflow.update(postmortem.incident, again, by=grace, send=True)
    over = workflow.Update(status="resolved", at=timezone.now(), reason="Over again")
    workflow.update(postmortem.incident, over, by=grace, send=True)
    postmortem.refresh_from_db()
    assert (postmortem.status, postmortem.version, postmortem.approver) == ("draft", 2, None)
