"""The dates laws demand on an incident: entered and withdrawn by people, with a reason each, until the clocks do it.

Which laws apply is not decided here. A date may only make a promise earlier; only its withdrawal gives time back.
"""

from datetime import datetime

from django.db import transaction
from django.utils import timezone

from incidents.comms.models import LegalDeadline
from incidents.lifecycle import actions as lifecycle
from incidents.lifecycle.models import Incident, Role, RoleContact, TimelineEntry
from incidents.policy import matrix
from irportal.accounts.models import User
from irportal.ledger import actions as ledger
from irportal.refused import Refused

WHOM = {"customers": "customers or the people concerned", "regulators": "a regulator"}


def earliest(incident: Incident, audience: str) -> LegalDeadline | None:
    """Of the laws that run for this audience, the one that asks first."""
    return incident.laws.running().filter(audience=audience).order_by("due_at", "pk").first()


def owed_beyond(asked: list[matrix.Duty], incident: Incident) -> list[matrix.Duty]:
    """The notice to customers a law asks for where the matrix asks for none: severity never switches a law off."""
    if any(duty.audience == "customers" and duty.or_earlier for duty in asked) or not earliest(incident, "customers"):
        return []
    data = incident.personal_data == Incident.Known.YES
    return [matrix.Duty("customers", "breach_notice" if data else "incident_notice", or_earlier=True)]


def answering(incident: Incident) -> dict[str, User | None]:
    """Who fills each role that answers for a filing: on the incident, else by the contact list; None for nobody."""
    roles = incident.policy_version.approval_rules.filter(message_class="regulator_filing")
    wanted = list(roles.values_list("role", flat=True))
    found: dict[str, User | None] = dict.fromkeys(wanted)
    for row in RoleContact.objects.filter(role__in=wanted, person__is_active=True).select_related("person"):
        found[row.role] = row.person
    held = incident.roles.filter(role__in=wanted, ended_at=None, person__is_active=True)
    return found | {row.role: row.person for row in held.select_related("person")}


def check_answers(incident: Incident, by: User) -> None:
    """Refuse whoever may not say that a regulator was told; who may is named."""
    people = answering(incident)
    if not people or by in people.values():
        return
    named = [f"{person}, {Role(role).label.lower()}" for role, person in people.items() if person]
    roles = " or ".join(Role(role).label.lower() for role in people)
    if named:
        raise Refused(f"What a regulator was told is recorded by {' or '.join(named)}.")
    raise Refused(f"What a regulator was told is recorded by the {roles}, and nobody fills that role; assign it first.")


@transaction.atomic
def enter(
    incident: Incident, *, audience: str, name: str, runs_from: datetime, due_at: datetime, reason: str, by: User
) -> LegalDeadline:
    """Record the date a law demands; the caller re-derives the duties in the same transaction."""
    incident = Incident.objects.locked(incident.pk)
    if due_at <= runs_from:
        raise Refused("It cannot be due before it runs; correct one of the two times.")
    lifecycle.not_ahead(runs_from)
    if incident.laws.running().filter(audience=audience, name=name, due_at=due_at).exists():
        raise Refused(f"{name} with this date is entered already.")
    law = incident.laws.create(
        audience=audience,
        name=name,
        runs_from=runs_from,
        due_at=due_at,
        reason=reason,
        entered_by=by,
        entered_at=timezone.now(),
    )
    text = f"{name} asks us to tell {WHOM[audience]} by {due_at:%Y-%m-%d %H:%M} UTC. {reason}"
    lifecycle.note(incident, TimelineEntry.Kind.MESSAGE, text, by=by)
    ledger.append(
        "law.entered",
        subject=incident.ref,
        by=by,
        law=name,
        audience=audience,
        runs_from=runs_from,
        due_at=due_at,
        reason=reason,
    )
    return law


@transaction.atomic
def withdraw(law: LegalDeadline, *, reason: str, by: User) -> LegalDeadline:
    """Say that it does not apply after all; it stays on record. The caller re-derives the duties."""
    incident = Incident.objects.locked(law.incident_id)
    law = LegalDeadline.objects.select_for_update().get(pk=law.pk)
    if law.withdrawn_at:
        raise Refused(f"This was withdrawn at {law.withdrawn_at:%Y-%m-%d %H:%M} UTC already.")
    law.withdrawn_by, law.withdrawn_at, law.withdrawn_reason = by, timezone.now(), reason
    law.save(update_fields=["withdrawn_by", "withdrawn_at", "withdrawn_reason"])
    lifecycle.note(incident, TimelineEntry.Kind.MESSAGE, f"{law} withdrawn: {reason}", by=by)
    ledger.append("law.withdrawn", subject=incident.ref, by=by, law=law.name, due_at=law.due_at, reason=reason)
    return law
