"""Every deed leaves a ledger entry in its own transaction; the record itself refuses to be changed."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import Error, connection, transaction
from django.utils import timezone

from incidents import workflow
from incidents.comms import actions as comms
from incidents.comms import calls, duties, escalations, holding, reminders
from incidents.lifecycle import actions as lifecycle
from incidents.lifecycle.models import Role
from incidents.lifecycle.passing import actions as passing
from incidents.lifecycle.passing import contacts
from incidents.lifecycle.recovery import actions as recovery
from incidents.policy import actions as policy
from incidents.policy.models import PolicyProfile
from incidents.runbooks import actions as runbooks
from irportal.ledger.models import Entry
from tests.incidents.runbooks.conftest import SMALL

pytestmark = pytest.mark.django_db


def duty(incident, message_class):
    return incident.duties.open().get(message_class=message_class)


def draft(incident, writer):
    return comms.write(incident, audience="customers", text="We are looking.", by=writer)


def law(incident, by):
    now = timezone.now()
    said = {"audience": "customers", "name": "GDPR Art. 34", "reason": "Personal data"}
    return workflow.enter_law(incident, **said, runs_from=now, due_at=now + timedelta(hours=1), by=by)


def unseen(incident):
    """As if declared by somebody who does not work on it."""
    type(incident).objects.filter(pk=incident.pk).update(acknowledged_at=None)


def runbook(by):
    return runbooks.write(SMALL, note="First", by=by).runbook


def ticked(incident, by, **said):
    step = runbooks.start(incident, runbook(by), by=by).steps.first()
    return runbooks.settle(step, by=by, **{"state": "done", **said})


def policy_draft(incident, by):
    """A draft of the next version of the policy."""
    return policy.clone(incident.policy_version, into="default-unified", by=by)


def submitted(incident, by):
    return policy.submit(policy_draft(incident, by), change_note="Sooner", by=by, seen=1)


def proposed(by):
    policy.load_literal()
    return policy.propose_default(PolicyProfile.objects.get(name="seed-001"), reason="As agreed", by=by)


LOW, BAD = {"rank": 3, "reason": "Small"}, {"rank": 1, "reason": "All of it"}


def handed(incident, to, by):
    term = incident.roles.get(role=Role.INCIDENT_COMMANDER, ended_at=None)
    [record] = workflow.hand_over(incident, terms=[term.pk], to=to, still_open="Nothing", by=by)
    return record


def gate_ticked(incident, by):
    return recovery.tick(incident, key="fix_verified", given=True, by=by)


def pressed(incident, by):
    said = {"kind": "kill_switch", "target": "Agent", "at": timezone.now(), "started_by": by}
    return recovery.start_control(incident, **said, by=by)


DEEDS = {
    "policy.version_loaded": lambda i, o, g, n: policy.load_literal(),
    "policy.drafted": lambda i, o, g, n: policy_draft(i, g),
    "policy.draft_changed": lambda i, o, g, n: policy.change(policy_draft(i, g), {"grace": "5m"}, by=g, seen=1),
    "policy.submitted": lambda i, o, g, n: submitted(i, g),
    "policy.sent_back": lambda i, o, g, n: policy.send_back(submitted(i, g), reason="Later", by=n),
    "policy.approved": lambda i, o, g, n: policy.approve(v := submitted(i, g), by=n, sha256=v.sha256),
    "policy.withdrawn": lambda i, o, g, n: policy.withdraw(policy_draft(i, g), reason="Not now", by=g),
    "policy.default_proposed": lambda i, o, g, n: proposed(g),
    "policy.default_chosen": lambda i, o, g, n: policy.approve_default(proposed(g), by=n),
    "policy.default_declined": lambda i, o, g, n: policy.decline_default(proposed(g), by=n),
    "incident.status_changed": lambda i, o, g, n: lifecycle.change_status(i, to="identified", at=timezone.now(), by=g),
    "incident.severity_changed": lambda i, o, g, n: workflow.change_severity(i, rank=2, reason="Partial", by=g),
    "incident.role_assigned": lambda i, o, g, n: lifecycle.assign(i, role=Role.SCRIBE, person=n, by=g),
    "incident.impact_changed": lambda i, o, g, n: workflow.change_impact(
        i,
        components=[(o["dashboard"], "partial_outage")],
        impact="Dashboards are slow.",
        personal_data="no",
        ai_involved="no",
        estimate="",
        by=g,
    ),
    "timeline.noted": lambda i, o, g, n: lifecycle.add_note(i, text="Restarted.", at=timezone.now(), by=g),
    "timeline.corrected": lambda i, o, g, n: lifecycle.correct(
        i.timeline.get(marker="detected"), text="The pager rang.", at=timezone.now(), by=g
    ),
    "message.drafted": lambda i, o, g, n: draft(i, n),
    "message.sent": lambda i, o, g, n: comms.send(m := draft(i, g), by=n, content_hash=m.content_hash),
    "message.approved": lambda i, o, g, n: comms.send(m := draft(i, g), by=n, content_hash=m.content_hash),
    "message.left_unapproved": lambda i, o, g, n: workflow.send_unapproved(
        m := draft(i, n), by=n, content_hash=m.content_hash, reason="Nobody else is awake"
    ),
    "message.rewritten": lambda i, o, g, n: comms.rewrite(draft(i, n), text="We are looking hard.", by=n),
    "message.returned": lambda i, o, g, n: comms.send_back(draft(i, n), reason="Shorter", by=n),
    "notice.published": lambda i, o, g, n: comms.send(m := draft(i, g), by=n, content_hash=m.content_hash),
    "incident.acknowledged": lambda i, o, g, n: (unseen(i), lifecycle.acknowledge(i, by=n)),
    "incident.escalated": lambda i, o, g, n: (unseen(i), escalations.run_due(timezone.now() + timedelta(minutes=6))),
    "incident.called": lambda i, o, g, n: workflow.change_severity(
        workflow.change_severity(i, **LOW, by=g), **BAD, by=g
    ),
    "call.acknowledged": lambda i, o, g, n: calls.acknowledge(i.calls.get(person=n), by=n),
    "role.handed_over": lambda i, o, g, n: handed(i, n, g),
    "handover.acknowledged": lambda i, o, g, n: workflow.take(handed(i, n, g), by=n),
    "shift.handed_over": lambda i, o, g, n: workflow.hand_over_shift(to=n, questions="None", by=g),
    "shift.taken": lambda i, o, g, n: passing.take_shift(workflow.hand_over_shift(to=n, questions="None", by=g), by=n),
    "role_contact.changed": lambda i, o, g, n: contacts.change("legal_lead", person=n, phone="", pager="", by=g),
    "contacts.reviewed": lambda i, o, g, n: contacts.review(by=g),
    "gate.read": lambda i, o, g, n: recovery.read(
        i, numbers={"error_rate": Decimal(0)}, source="Dashboard", at=timezone.now(), by=g
    ),
    "gate.ticked": lambda i, o, g, n: gate_ticked(i, g),
    "gate.unticked": lambda i, o, g, n: (
        gate_ticked(i, g),
        recovery.tick(i, key="fix_verified", given=False, note_text="No", by=g),
    ),
    "control.started": lambda i, o, g, n: pressed(i, g),
    "control.confirmed": lambda i, o, g, n: workflow.confirm_control(
        pressed(i, g), at=timezone.now(), proof="503", by=g
    ),
    "duty.reminded": lambda i, o, g, n: reminders.run_due(timezone.now() + timedelta(minutes=11)),
    "duty.escalated": lambda i, o, g, n: holding.run_due(timezone.now() + timedelta(hours=5)),
    "duty.kept": lambda i, o, g, n: duties.settle(duty(i, "regulator_decision"), text="No clock applies.", by=n),
    "duty.waived": lambda i, o, g, n: duties.waive(duty(i, "status_update"), reason="Told by phone", by=n),
    "law.entered": lambda i, o, g, n: law(i, g),
    "law.withdrawn": lambda i, o, g, n: workflow.withdraw_law(law(i, g), reason="Not ours", by=n),
    "duty.moved": lambda i, o, g, n: law(i, g),
    "runbook.version_written": lambda i, o, g, n: runbook(g),
    "runbook.withdrawn": lambda i, o, g, n: runbooks.withdraw(runbook(g), reason="Wrong", by=g),
    "runbook.started": lambda i, o, g, n: runbooks.start(i, runbook(g), by=n),
    "runbook.step_done": lambda i, o, g, n: ticked(i, g),
    "runbook.step_skipped": lambda i, o, g, n: ticked(i, g, state="skipped", note="Not needed"),
    "runbook.step_reopened": lambda i, o, g, n: runbooks.undo(ticked(i, g), by=n),
    "runbook.step_noted": lambda i, o, g, n: runbooks.remark(ticked(i, g), note="Took two tries", by=n),
    "runbook.stopped": lambda i, o, g, n: runbooks.stop(ticked(i, g).run, reason="Wrong one", by=n),
    "postmortem.opened": lambda i, o, g, n: workflow.update(
        i, workflow.Update(status="resolved", at=timezone.now(), reason="Stable"), by=g, send=True
    ),
}


@pytest.mark.parametrize("deed", DEEDS)
def test_a_deed_leaves_its_entry(deed, declare, organisation, grace, lin):
    incident = declare()
    newest = Entry.objects.count()
    DEEDS[deed](incident, organisation, grace, lin)
    assert deed in Entry.objects.filter(n__gte=newest).values_list("deed", flat=True)


@pytest.mark.parametrize("deed", DEEDS)
def test_a_deed_taken_back_leaves_none(deed, declare, organisation, grace, lin):
    incident = declare()
    newest = Entry.objects.count()
    with transaction.atomic():
        DEEDS[deed](incident, organisation, grace, lin)
        transaction.set_rollback(True)
    assert Entry.objects.count() == newest


@pytest.mark.parametrize("table", ["incidents_timelineentry", "incidents_severitychange", "incidents_approval"])
@pytest.mark.parametrize("attack", ["UPDATE {table} SET by_id = by_id", "DELETE FROM {table}"])
def test_the_record_refuses_to_be_changed(attack, table, declare, grace, lin):
    given = draft(declare(), grace)
    comms.send(given, by=lin, content_hash=given.content_hash)
    statement = attack.format(table=table).replace("by_id", "author_id" if "timeline" in table else "by_id")
    with pytest.raises(Error, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
