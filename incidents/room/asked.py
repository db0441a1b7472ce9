"""What an incident asks of the person who looks at it: the first thing the room shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from incidents.lifecycle.models import Incident, Role
from incidents.lifecycle.queries import GateState, Seat
from incidents.room.checkpoints import Checkpoint
from irportal.accounts.models import User

SOON = timedelta(minutes=15)


@dataclass(frozen=True)
class Ask:
    """One thing to do: what, where on the page or under which address, and whether it is late."""

    what: str
    href: str = ""
    late: bool = False


def roles_of(me: User, held: Mapping[str, User]) -> list[str]:
    """The roles this person holds, as words."""
    return [Role(role).label.lower() for role, person in held.items() if person == me]


def of(
    me: User,
    incident: Incident,
    *,
    held: Mapping[str, User],
    waiting: Sequence[Any],
    drafts: Sequence[Any],
    points: Sequence[Checkpoint],
    seats: Sequence[Seat],
    gate: GateState,
    now: datetime,
) -> list[Ask]:
    """Late things first. `waiting` and `drafts` are the duties and drafts as the room has explained them."""
    leads = held.get(Role.INCIDENT_COMMANDER) == me
    found = [
        Ask(f"Say that you have it: {seat.label.lower()}, from {seat.handover.giver}.", "#people", late=True)
        for seat in seats
        if seat.handover and seat.handover.taker_id == me.pk and not seat.handover.taken_at
    ]
    found += [
        Ask(f"Approve or send back the text of {draft.written_at:%H:%M} UTC by {draft.author}.", f"#message-{draft.pk}")
        for draft in drafts
        if draft.mine
    ]
    for duty in waiting:
        if duty.is_mine and duty.due_at <= now + SOON:
            late = duty.due_at <= now
            when = f"was due at {duty.due_at:%H:%M}" if late else f"is due by {duty.due_at:%H:%M}"
            found.append(Ask(f"{duty.label}: {when} UTC.", duty.get_write_url() or "#due", late))
    found += _of_commander(incident, points, seats, gate) if leads else []
    return sorted(found, key=lambda ask: not ask.late)


def _of_commander(
    incident: Incident, points: Sequence[Checkpoint], seats: Sequence[Seat], gate: GateState
) -> list[Ask]:
    found = []
    if incident.acknowledged_at is None:
        found.append(Ask("Say that you work on it.", "#top", late=True))
    overdue = [point for point in points if point.state == "overdue"]
    found += [Ask(f"{one.label}: expected by {one.due_at:%H:%M} UTC.", "#hour", late=True) for one in overdue]
    if gaps := [seat.label.lower() for seat in seats if seat.is_gap]:
        found.append(Ask(f"Find somebody: nobody is {', '.join(gaps)}.", "#people", late=True))
    if incident.status == Incident.Status.MONITORING and gate.missing:
        found.append(Ask(f"{len(gate.missing)} of {len(gate.points)} missing before it can be resolved.", "#gate"))
    return found
