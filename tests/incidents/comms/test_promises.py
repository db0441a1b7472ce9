"""The promises of design.md section 3 and 5: what is owed, when it falls due, how each promise ends."""

import re
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from incidents import workflow
from incidents.comms import duties, holding
from incidents.comms.models import CommsDuty, Message
from incidents.lifecycle.models import Incident
from irportal.ledger.models import Entry
from irportal.outbox import engine, fan_out
from irportal.outbox.models import Announcement
from irportal.refused import Refused
from statuspage.models import Component, Notice
from statuspage.subscriptions import leave
from tests.factories import link_of

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


def outcomes(incident, message_class="status_update"):
    rows = incident.duties.filter(message_class=message_class).order_by("seq")
    return list(rows.values_list("outcome", flat=True))


def due(incident, message_class="status_update"):
    return incident.duties.open().get(message_class=message_class).due_at


def turn(freezer, minutes=0.0):
    """The clock moves, then the engine takes a turn."""
    freezer.shift(timedelta(minutes=minutes))
    holding.run_due(timezone.now())


def test_declaring_a_critical_outage_owes_every_audience_of_the_matrix(declare, freezer):
    incident = declare()
    start = incident.declared_at
    owed = {duty.message_class: (duty.due_at - start) for duty in incident.duties.open()}
    assert owed == {
        "status_update": 30 * MINUTE,
        "status_page": 15 * MINUTE,
        "internal_update": 15 * MINUTE,
        "incident_notice": timedelta(hours=24),
        "regulator_decision": timedelta(hours=4),
    }


def test_personal_data_adds_the_breach_notice(declare, freezer):
    incident = declare(personal_data="yes", type="T05")
    assert incident.duties.open().filter(message_class="breach_notice").exists()


def test_declaring_that_is_rolled_back_tells_nobody(declare):
    with transaction.atomic():
        declare()
        transaction.set_rollback(True)
    assert (Announcement.objects.count(), CommsDuty.objects.count()) == (0, 0)
    assert not Entry.objects.filter(deed="incident.declared").exists()


def test_an_update_reaches_everybody_concerned_and_sets_the_next_due_time(declare, update, freezer, smtp_relay):
    incident = declare()
    freezer.shift(5 * MINUTE)
    update(incident, status="identified", customer_text="The pool is exhausted.")
    engine.run_once()
    customers = [a for a in smtp_relay.addresses if not a.endswith("example.com")]
    assert sorted(customers) == ["all@r.example", "api@r.example", "dash@r.example", "ops@bank.example"]
    assert due(incident) == timezone.now() + 30 * MINUTE
    assert Notice.objects.get().next_update_by == due(incident)


def test_below_critical_only_those_affected_are_told(declare, update, freezer, smtp_relay):
    incident = declare(rank=2)
    update(incident, customer_text="Some requests fail.")
    engine.run_once()
    customers = {a for a in smtp_relay.addresses if not a.endswith("example.com")}
    assert customers == {"all@r.example", "api@r.example", "ops@bank.example"}


def test_a_message_in_time_keeps_the_promise(declare, update, freezer):
    incident = declare()
    freezer.shift(29 * MINUTE)
    update(incident, customer_text="We are looking.")
    assert outcomes(incident)[0] == "kept"


def test_the_first_message_has_no_grace(declare, update, freezer):
    incident = declare()
    incident.duties.update(holding=False)
    freezer.shift(31 * MINUTE)
    update(incident, customer_text="We are looking.")
    assert outcomes(incident)[0] == "late"


def test_a_repeated_update_has_two_minutes_of_grace(declare, update, freezer):
    incident = declare()
    update(incident, customer_text="We are looking.")
    incident.duties.update(holding=False)
    freezer.shift(31 * MINUTE)
    update(incident, customer_text="Still looking.")
    assert outcomes(incident)[:2] == ["kept", "kept"]


# covers R000-30
def test_the_holding_message_leaves_when_nobody_wrote(declare, update, freezer, smtp_relay):
    incident = declare()
    update(incident, customer_text="We are looking.")
    engine.run_once()
    smtp_relay.taken.clear()
    freezer.shift(30 * MINUTE)
    engine.run_once()
    mail = next(taken for taken in smtp_relay.taken if taken.recipients == ["api@r.example"])
    text = mail.message.get_body(("plain",)).get_content()
    assert "nothing new since 14:30 UTC" in text
    assert "NEXT UPDATE BY 15:30 UTC" in text
    assert outcomes(incident)[:2] == ["kept", "holding"]


def test_the_holding_message_before_the_first_update_says_only_that_we_investigate(declare, freezer):
    incident = declare()
    turn(freezer, 15)
    message = incident.messages.get()
    assert (message.audience, message.kind) == (Message.Audience.PAGE, Message.Kind.HOLDING)
    assert message.text.startswith("We are investigating a problem with Agent API.")


def test_at_most_two_holding_messages_in_a_row_then_comms_lead_and_commander_get_mail(declare, update, freezer):
    incident = declare()
    update(incident, customer_text="We are looking.")
    for _ in range(4):
        turn(freezer, 30)
    assert outcomes(incident) == ["kept", "holding", "holding", "open"]
    keys = Announcement.objects.filter(topic="escalation").values_list("dedupe_key", flat=True)
    assert any("holding-used" in key for key in keys)
    assert any("overdue" in key for key in keys)


def test_a_broken_promise_is_escalated_once(declare, update, freezer):
    incident = declare()
    update(incident, customer_text="We are looking.")
    for _ in range(6):
        turn(freezer, 30)
    overdue = incident.duties.open().get(message_class="status_update")
    escalated = Entry.objects.filter(deed="duty.escalated", line__contains=f"customers status_update {overdue.seq}")
    assert escalated.count() == 1


def test_a_word_after_two_holding_messages_ends_the_third_tick_as_late(declare, update, freezer):
    incident = declare()
    update(incident, customer_text="We are looking.")
    for _ in range(3):
        turn(freezer, 30)
    freezer.shift(10 * MINUTE)
    update(incident, customer_text="Found it.")
    assert outcomes(incident) == ["kept", "holding", "holding", "late", "open"]


def test_many_hands_at_once_send_one_holding_message(declare, update, freezer):
    incident = declare()
    update(incident, customer_text="We are looking.")
    freezer.shift(30 * MINUTE)
    for _ in range(5):
        holding.run_due(timezone.now())
    assert incident.messages.filter(kind="holding").count() == 1


def test_the_resolved_message_ends_the_cadence(declare, update, freezer):
    incident = declare()
    freezer.shift(5 * MINUTE)
    update(incident, status="monitoring", customer_text="A fix is in.")
    freezer.shift(5 * MINUTE)
    over = {"customer_text": "It is over.", "unapproved": "Nobody else is awake"}
    update(incident, status="resolved", reason="Stable; pool at 11 of 50.", **over)
    assert outcomes(incident) == ["kept", "kept", "kept"]
    assert incident.duties.filter(phase="closing").get(message_class="status_update").outcome == "kept"
    assert set(incident.duties.open().values_list("message_class", flat=True)) == {
        "incident_notice",
        "regulator_decision",
        "review",
    }


def test_resolving_in_silence_leaves_the_closing_message_due(declare, update, freezer):
    incident = declare()
    update(incident, customer_text="We are looking.")
    update(incident, status="resolved", reason="False alarm.")
    closing = incident.duties.open().get(message_class="status_update")
    assert (closing.phase, closing.due_at) == ("closing", timezone.now() + 30 * MINUTE)


def test_the_author_may_promise_sooner_but_never_later(declare, update, freezer):
    incident = declare()
    update(incident, customer_text="We are looking.", next_update_by=timezone.now() + 10 * MINUTE)
    assert due(incident) == timezone.now() + 10 * MINUTE
    with pytest.raises(Refused, match="promise that or sooner"):
        update(incident, customer_text="Patience.", next_update_by=timezone.now() + 45 * MINUTE)


def test_an_upgrade_tightens_due_times_at_once(declare, freezer, grace):
    incident = declare(rank=2)
    before = due(incident)
    freezer.shift(10 * MINUTE)
    workflow.change_severity(incident, rank=1, reason="All requests fail", by=grace)
    assert before - due(incident) == 20 * MINUTE
    assert due(incident) == timezone.now() + 30 * MINUTE


def test_an_upgrade_never_moves_a_promise_later(declare, freezer, grace):
    incident = declare(rank=2)
    before = due(incident)
    freezer.shift(45 * MINUTE)
    workflow.change_severity(incident, rank=1, reason="All requests fail", by=grace)
    assert due(incident) == before


def test_a_downgrade_does_not_erase_a_miss(declare, freezer, grace):
    incident = declare()
    incident.duties.update(holding=False)
    freezer.shift(40 * MINUTE)
    workflow.change_severity(incident, rank=3, reason="Only one route", by=grace)
    assert outcomes(incident) == ["missed"]


def test_a_downgrade_lets_go_of_what_was_not_yet_due(declare, freezer, grace):
    incident = declare()
    freezer.shift(5 * MINUTE)
    workflow.change_severity(incident, rank=3, reason="Only one route", by=grace)
    duty = incident.duties.get(message_class="status_update")
    assert (duty.outcome, duty.reason) == ("waived", "SEV3 Medium does not ask for it")


def test_a_downgrade_keeps_the_time_customers_were_told(declare, update, freezer, grace):
    incident = declare()
    update(incident, customer_text="We are looking.")
    told = due(incident)
    workflow.change_severity(incident, rank=2, reason="Partial", by=grace)
    assert due(incident) == told


def test_a_subscriber_who_leaves_gets_nothing_more(declare, update, freezer, smtp_relay):
    incident = declare()
    update(incident, customer_text="We are looking.")
    fan_out.fan_out_pending(timezone.now())
    link = link_of("api@r.example")
    assert leave(link.rpartition("/u/")[2])
    engine.run_once()
    update(incident, customer_text="Still looking.")
    engine.run_once()
    assert "api@r.example" not in smtp_relay.addresses


def test_the_contact_of_a_customer_can_leave_too(declare, update, freezer, smtp_relay):
    incident = declare()
    update(incident, customer_text="We are looking.")
    fan_out.fan_out_pending(timezone.now())
    link = link_of("ops@bank.example")
    leave(link.rpartition("/u/")[2])
    engine.run_once()
    assert "ops@bank.example" not in smtp_relay.addresses


def test_one_incident_is_one_thread_in_the_mailbox(declare, update, freezer, smtp_relay):
    incident = declare()
    for text in ("We are looking.", "Found it."):
        freezer.shift(MINUTE)
        update(incident, customer_text=text)
        engine.run_once()
    mails = [t.message for t in smtp_relay.taken if t.recipients == ["api@r.example"]]
    assert len({mail["References"] for mail in mails}) == 1
    assert len({mail["Message-ID"] for mail in mails}) == 2


def test_the_text_and_the_html_of_a_mail_say_the_same(declare, update, freezer, smtp_relay):
    incident = declare()
    update(incident, status="identified", customer_text="The **pool** is exhausted. Requests can be sent again.")
    engine.run_once()
    mail = next(t.message for t in smtp_relay.taken if t.recipients == ["api@r.example"])
    words = re.compile(r"\w+")
    html = mail.get_body(("html",)).get_content()
    shown = re.sub(r"<style.*?</style>|<title.*?</title>", " ", html, flags=re.S)
    link = re.findall(r'href="([^"]+)"', shown)
    spoken = set(words.findall(re.sub(r"<[^>]+>", " ", shown).lower() + " ".join(link).lower()))
    plain = set(words.findall(mail.get_body(("plain",)).get_content().lower()))
    assert plain - spoken == set()
    assert spoken - plain <= {"status", "agentguard", "mailto", "example", "com"}


def test_every_customer_mail_can_be_stopped_with_one_click(declare, update, freezer, smtp_relay):
    incident = declare()
    update(incident, customer_text="We are looking.")
    engine.run_once()
    for taken in smtp_relay.taken:
        if not taken.recipients[0].endswith("example.com"):
            assert taken.message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
            assert re.search(rb"\r?\nList-Unsubscribe: <http://\S+/u/\S+>, <mailto:\S+>\r?\n", taken.data)


def test_a_draft_waits_for_approval_and_then_leaves_unchanged(declare, update, freezer, lee, lin):
    incident = declare()
    update(incident, customer_text="We are looking.", by=lee, send=False)
    draft = incident.messages.get()
    assert not Notice.objects.exists()
    with pytest.raises(Refused, match="changed after you read it"):
        workflow.send_draft(draft, by=lin, content_hash="0" * 64)
    workflow.send_draft(draft, by=lin, content_hash=draft.content_hash)
    assert Notice.objects.get().updates.get().body == "We are looking."


def test_approving_twice_sends_once(declare, update, freezer, lee, lin):
    incident = declare()
    update(incident, customer_text="We are looking.", by=lee, send=False)
    draft = incident.messages.get()
    workflow.send_draft(draft, by=lin, content_hash=draft.content_hash)
    with pytest.raises(Refused, match="nothing was sent twice"):
        workflow.send_draft(draft, by=lin, content_hash=draft.content_hash)


def test_a_preview_shows_the_exact_mail_and_keeps_nothing(declare, lin, freezer):
    incident = declare()
    before = (Announcement.objects.count(), Entry.objects.count(), incident.duties.count())
    change = workflow.Update(status="identified", at=timezone.now(), customer_text="The pool is exhausted.")
    change = replace(change, unapproved="Nobody else is awake")
    shown = workflow.preview(incident, change, by=lin)
    assert (Announcement.objects.count(), Entry.objects.count(), incident.duties.count()) == before
    workflow.update(incident, change, by=lin, send=True)
    assert Announcement.objects.get(topic="update").text == shown.customer.text
    assert shown.customer_reach == 4


def test_a_promise_can_be_waived_with_a_reason_and_the_next_one_follows(declare, update, freezer, lin):
    incident = declare()
    update(incident, customer_text="We are looking.")
    duty = incident.duties.open().get(message_class="status_update")
    duties.waive(duty, reason="Agreed with all customers by phone", by=lin)
    assert outcomes(incident) == ["kept", "waived", "open"]


def test_a_decision_is_recorded_and_ends_kept(declare, freezer, lin):
    incident = declare()
    duty = incident.duties.get(message_class="regulator_decision")
    duties.settle(duty, text="No clock applies; no personal data. Filed in the record.", by=lin)
    duty.refresh_from_db()
    assert duty.outcome == "kept"


def test_reopening_starts_the_promises_again(declare, update, freezer):
    incident = declare()
    update(incident, status="resolved", customer_text="Over.", reason="Stable")
    freezer.shift(10 * MINUTE)
    update(incident, status="investigating", customer_text="It is back.", reason="It came back")
    assert due(incident) == timezone.now() + 30 * MINUTE
    assert Notice.objects.get().status == "investigating"


def test_what_customers_are_told_affects_the_public_component(declare, update, organisation):
    update(declare(), customer_text="We are looking.")
    state = Component.objects.with_state().get(pk=organisation["api"].pk).state
    assert state == "major_outage"


def test_an_internal_update_reaches_who_holds_a_role_and_nobody_else(declare, update, freezer, smtp_relay):
    incident = declare()
    engine.run_once()
    smtp_relay.taken.clear()
    update(incident, internal_text="Pool at its limit of ten.")
    engine.run_once()
    assert sorted(smtp_relay.addresses) == ["grace@example.com", "lin@example.com"]
    assert outcomes(incident, "internal_update") == ["kept", "open"]


DECLARE = """
from django.utils import timezone
from incidents import workflow
from incidents.lifecycle.actions import Declaration
from incidents.policy.models import IncidentType
from irportal.accounts.models import User
now, by = timezone.now(), User.objects.get(email="grace@example.com")
kind = IncidentType.objects.get(code="T01")
workflow.declare(Declaration("API down", kind, 1, [], now, now, "staff", "All", by), by=by)
"""


@pytest.mark.processes
@pytest.mark.django_db(transaction=True)
def test_an_incident_is_declared_while_redis_refuses_connections(process_env, organisation):
    env = process_env | {"REDIS_URL": "redis://127.0.0.1:1/0"}
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "--no-imports", "-c", DECLARE],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert Incident.objects.get().duties.count() == 5
