"""Calling more people while an incident stays unacknowledged or unresolved. Each role is called once.

What was called stays called: a lower severity takes nothing back, a higher one only calls sooner.
"""

from datetime import datetime

from django.db import transaction
from django.utils import timezone

from incidents.comms import calls, letters
from incidents.comms.models import Escalation
from incidents.comms.turns import each_incident
from incidents.lifecycle import actions as lifecycle
from incidents.lifecycle.models import Incident, Role, RoleContact, TimelineEntry
from incidents.policy import matrix
from incidents.policy.models import EscalationRule
from irportal.ledger import actions as ledger


def start(incident: Incident) -> None:
    """A row for each role the policy calls later at this severity, in the caller's transaction."""
    for rule in _rules(incident):
        incident.escalations.create(
            condition=rule.condition,
            role=rule.role,
            anchor_at=incident.declared_at,
            after=rule.after,
            due_at=matrix.due(rule.after, incident.declared_at),
        )


def _rules(incident: Incident) -> list[EscalationRule]:
    """What the policy asks for beyond the declaration's mail, which has called these roles at minute 0 already."""
    told = set(incident.policy_version.notify_rules.filter(rank=incident.severity).values_list("role", flat=True))
    rules = incident.policy_version.escalation_rules.filter(rank=incident.severity)
    return [rule for rule in rules if matrix.length(rule.after) or rule.role not in told]


def rederive(incident: Incident, *, reopened: bool = False) -> None:
    """After a change of severity, or on opening again (then from now): what is not called yet is counted anew."""
    now, waiting = timezone.now(), incident.escalations.filter(called_at=None)
    before = {} if reopened else {(row.condition, row.role): row for row in waiting}
    waiting.delete()
    called = set(incident.escalations.values_list("condition", "role"))
    for rule in _rules(incident):
        if (rule.condition, rule.role) not in called:
            anchor, due_at = _counted(rule, before.get((rule.condition, rule.role)), now)
            incident.escalations.create(
                condition=rule.condition, role=rule.role, anchor_at=anchor, after=rule.after, due_at=due_at
            )


def _counted(rule: EscalationRule, was: Escalation | None, now: datetime) -> tuple[datetime, datetime]:
    """Anchor and due time: sooner from the change, later from the old anchor, and what is overdue stays so."""
    if was is None:
        return now, matrix.due(rule.after, now)
    if was.due_at <= now:
        return was.anchor_at, was.due_at
    if matrix.length(rule.after) < matrix.length(was.after):
        return now, min(was.due_at, matrix.due(rule.after, now))
    return was.anchor_at, matrix.due(rule.after, was.anchor_at)


def run_due(now: datetime) -> None:
    """Call whoever is due, one transaction per incident. Safe to run anywhere, any time."""
    each_incident(Escalation.objects.due(now), _call, now)


@transaction.atomic
def _call(incident_id: int, now: datetime) -> None:
    """One mail for all that is due on this incident, whoever stood still how long."""
    incident = Incident.objects.locked(incident_id)
    due = list(Escalation.objects.due(now).filter(incident=incident))
    found = [row for row in due if _is_filled(incident, row)]
    roles = list(dict.fromkeys(Role(row.role).label.lower() for row in due))
    if found:
        _mail(incident, found)
    for row in due:
        row.called_at = now
        row.save(update_fields=["called_at"])
        ledger.append(
            "incident.escalated",
            subject=incident.ref,
            by=None,
            role=row.role,
            condition=row.condition,
            due_at=row.due_at,
            mailed=row in found,
        )
    missing = "" if found else " Nobody fills that role, so nobody was mailed."
    why = " and ".join(dict.fromkeys(f"still {row.condition}" for row in due))
    if due:
        text = f"Called {' and '.join(roles)}: {why}.{missing}"
        lifecycle.note(incident, TimelineEntry.Kind.NOTE, text, by=None)


def _is_filled(incident: Incident, row: Escalation) -> bool:
    """Whether a mail reaches somebody. What is unacknowledged always does: it goes to all roles when it must."""
    if row.condition == EscalationRule.While.UNACKNOWLEDGED:
        return True
    held = incident.roles.filter(role=row.role, ended_at=None, person__is_active=True)
    return held.exists() or RoleContact.objects.filter(role=row.role, person__is_active=True).exists()


def _mail(incident: Incident, due: list[Escalation]) -> None:
    words = calls.Page(
        f"{incident.ref}:called:{due[0].pk}",
        "called",
        letters.called_letter(incident, due),
        letters.called_chat(incident, due),
    )
    calls.page(incident, words, cause=due[0].condition, roles=[row.role for row in due])
