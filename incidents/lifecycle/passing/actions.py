"""Passing on: a role of one incident, and all that is open at the end of a shift."""

import hashlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from incidents.lifecycle.actions import Kind, assign, note
from incidents.lifecycle.models import Handover, Incident, Role, RoleAssignment, ShiftSheet
from irportal.accounts.models import User
from irportal.ledger import actions as ledger
from irportal.ledger import tree
from irportal.refused import Refused

AGAIN = timedelta(minutes=1)  # within it, the same sheet to the same person is a second click


@transaction.atomic
def hand_over(
    incident: Incident, *, terms: Sequence[int], to: User, still_open: str, by: User, reason: str = ""
) -> list[Handover]:
    """Pass these terms (ids of role assignments that run) to one person, with what is open.

    Holders pass on their own roles, whoever commands passes on any. What was passed on meanwhile is named and refused.
    """
    incident = Incident.objects.locked(incident.pk)
    if not terms:
        raise Refused("Choose the role that is handed over.")
    if not still_open.strip():
        raise Refused("Say what is open, or that nothing is.")
    if not to.is_active:
        raise Refused(f"{to} cannot sign in any more; choose somebody who can.")
    rows = [_running(incident, pk, by=by) for pk in dict.fromkeys(terms)]
    made = []
    for row in rows:
        new = assign(incident, role=row.role, person=to, by=by, reason=reason or "Handed over")
        made.append(
            incident.handovers.create(
                term=new, role=row.role, giver=row.person, taker=to, at=new.started_at, by=by, still_open=still_open
            )
        )
        ledger.append(
            "role.handed_over",
            subject=incident.ref,
            by=by,
            role=row.role,
            giver=f"user:{row.person_id}",
            taker=f"user:{to.pk}",
            still_open=still_open,
        )
    note(incident, Kind.NOTE, f"Open at the hand-over to {to}: {still_open}", by=by)
    return made


def _running(incident: Incident, pk: int, *, by: User) -> RoleAssignment:
    """The term, refused when it has ended meanwhile or is nothing this person may pass on."""
    row = incident.roles.filter(pk=pk).select_related("person").first()
    if row is None:
        raise Refused("That role is not held on this incident.")
    label = Role(row.role).label
    if row.ended_at:
        now = incident.roles.filter(role=row.role, ended_at=None).select_related("person", "assigned_by").first()
        since = f"; {now.person} has it since {now.started_at:%H:%M:%S} UTC, by {now.assigned_by}" if now else ""
        raise Refused(f"Meanwhile this changed. {label} was passed on by {row.person}{since}. Look at it, send again.")
    if row.person_id != by.pk and not by.has_perm("incidents.command_incident"):
        raise Refused(f"{row.person} is {label.lower()}; only they or a commander can hand that over.")
    return row


@transaction.atomic
def take(handover: Handover, *, by: User) -> Handover:
    """Say that one has read what is open and has the role now; once, and only by who takes it."""
    incident = Incident.objects.locked(handover.incident_id)
    handover = Handover.objects.select_related("taker", "giver").get(pk=handover.pk)
    if handover.taker_id != by.pk:
        raise Refused(f"This was handed to {handover.taker}; only they can say that they have it.")
    if handover.taken_at:
        raise Refused(f"You took it at {handover.taken_at:%H:%M} UTC already.")
    handover.taken_at = timezone.now()
    handover.save(update_fields=["taken_at"])
    label = handover.get_role_display()
    note(incident, Kind.NOTE, f"{label}: {by} has read what is open and has the role.", by=by)
    ledger.append("handover.acknowledged", subject=incident.ref, by=by, role=handover.role)
    return handover


# The end of a shift


@transaction.atomic
def hand_over_shift(*, to: User, questions: str, content: list[dict[str, Any]], by: User) -> ShiftSheet:
    """Fix the sheet with all that is open (`content`) and sign it as the one who leaves."""
    ledger.turn()
    if to == by:
        raise Refused("Hand it to somebody else; you cannot relieve yourself.")
    if not to.is_active:
        raise Refused(f"{to} cannot sign in any more; choose somebody who can.")
    now = timezone.now()
    recent = ShiftSheet.objects.filter(giver=by, taker=to, questions=questions, made_at__gt=now - AGAIN)
    if recent.exists():
        raise Refused(f"You handed this to {to} a moment ago. Nothing was handed over twice.")
    said = {"giver": by.email, "taker": to.email, "questions": questions, "content": content}
    digest = hashlib.sha256(tree.canonical(said).encode()).hexdigest()
    sheet = ShiftSheet.objects.create(
        giver=by, taker=to, made_at=now, questions=questions, content=content, sha256=digest
    )
    incidents = [row["ref"] for row in content]
    facts = {"taker": f"user:{to.pk}", "incidents": incidents, "sha256": digest}
    ledger.append("shift.handed_over", subject=f"shift:{sheet.pk}", by=by, **facts)
    return sheet


@transaction.atomic
def take_shift(sheet: ShiftSheet, *, by: User) -> ShiftSheet:
    """Sign the sheet as the one who takes over; once, and only by that person."""
    ledger.turn()
    sheet = ShiftSheet.objects.select_for_update(of=("self",)).select_related("taker").get(pk=sheet.pk)
    if sheet.taker_id != by.pk:
        raise Refused(f"This sheet is for {sheet.taker}; only they can sign it.")
    if sheet.taken_at:
        raise Refused(f"You signed it at {sheet.taken_at:%H:%M} UTC already.")
    sheet.taken_at = timezone.now()
    sheet.save(update_fields=["taken_at"])
    ledger.append("shift.taken", subject=f"shift:{sheet.pk}", by=by, sha256=sheet.sha256)
    return sheet
