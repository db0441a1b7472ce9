"""What the incident page shows of promises: lanes as percentages, who hears of it, what left and what became of it."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, F, Prefetch, Q, Window
from django.db.models.functions import RowNumber
from prometheus_client.core import GaugeMetricFamily, Metric

from incidents.comms import approvals
from incidents.comms.models import CommsDuty, Message
from incidents.lifecycle import queries as lifecycle
from incidents.lifecycle.gate import span
from incidents.lifecycle.models import Incident, Role, RoleAssignment, TimelineEntry
from incidents.policy.queries import pinned
from irportal.accounts.models import User
from irportal.outbox.models import Delivery
from irportal.outbox.queries import gauge

SOON = timedelta(minutes=15)  # what the Due screen calls due
MOST = 100  # rows of the Due screen
AHEAD, BACK = timedelta(minutes=40), timedelta(minutes=50)
LANES = (
    ("public", "Status page"),
    ("customers", "Customers"),
    ("internal", "Internal"),
    ("regulators", "Regulators"),
)
LEFT, RIGHT = 3.0, 97.0  # percent of the drawing's width kept free at both ends


class Scale:
    """Maps instants to percent of the width: the last 50 minutes, or since declaration, and 40 minutes ahead."""

    def __init__(self, incident: Incident, now: datetime) -> None:
        self.start = max(incident.declared_at, now - BACK)
        self.end = now + AHEAD
        self.now = now

    def at(self, instant: datetime) -> float:
        share = (instant - self.start) / (self.end - self.start)
        return round(LEFT + (RIGHT - LEFT) * min(max(share, 0.0), 1.0), 2)

    def ticks(self) -> list[tuple[float, datetime]]:
        step = timedelta(minutes=15)
        first = self.start.replace(minute=self.start.minute // 15 * 15, second=0, microsecond=0) + step
        count = int((self.end - first) / step) + 1
        return [(self.at(first + n * step), first + n * step) for n in range(count)]


def lanes(incident: Incident, duties: list[CommsDuty], now: datetime) -> dict[str, Any]:
    """The slab: one lane an audience with its marks, and the next promise over all of them."""
    scale = Scale(incident, now)
    rows = [
        _lane(name, label, [duty for duty in duties if duty.audience == name], scale)
        for name, label in LANES
        if any(duty.audience == name for duty in duties)
    ]
    waiting = [duty for duty in duties if duty.outcome == CommsDuty.Outcome.OPEN]
    return {
        "rows": rows,
        "ticks": scale.ticks(),
        "now_x": scale.at(now),
        "next": min(waiting, key=lambda duty: duty.due_at, default=None),
    }


def _lane(name: str, label: str, duties: list[CommsDuty], scale: Scale) -> dict[str, Any]:
    ended = [duty for duty in duties if duty.ended_at and scale.start <= duty.ended_at]
    waiting = sorted((d for d in duties if d.outcome == CommsDuty.Outcome.OPEN), key=lambda d: d.due_at)
    upcoming = waiting[0] if waiting else None
    far = upcoming is not None and upcoming.due_at > scale.end
    return {
        "label": label,
        "marks": [(scale.at(duty.ended_at or scale.now), duty.outcome) for duty in ended],
        "due": upcoming,
        "due_x": 0 if upcoming is None else (98.0 if far else scale.at(upcoming.due_at)),
        "far": far,
        "says": _says(label, ended, upcoming),
    }


def _says(label: str, ended: list[CommsDuty], upcoming: CommsDuty | None) -> str:
    """The lane in words, for who cannot see it."""
    parts = [f"{duty.get_outcome_display().lower()} at {duty.ended_at:%H:%M}" for duty in ended]
    if upcoming:
        parts.append(f"next by {upcoming.due_at:%H:%M}")
    return f"{label}: {', '.join(parts) or 'nothing yet'}"


def role_of(duty: CommsDuty) -> str:
    """The role that has to act on a duty."""
    if duty.is_review:
        return "comms_lead"
    if duty.message_class == "board_notice":
        return "executive_sponsor"
    return {"regulators": "legal_lead", "internal": "incident_commander"}.get(duty.audience, "comms_lead")


def warned(duty: CommsDuty) -> list[str]:
    """The roles that get mail once it is overdue: who has to act, comms lead and commander."""
    return list(dict.fromkeys([role_of(duty), Role.COMMS_LEAD.value, Role.INCIDENT_COMMANDER.value]))


def owner(duty: CommsDuty, roles: dict[str, str]) -> str:
    """Who has to act on a duty, by name and role."""
    if duty.is_review:
        return "Somebody who neither wrote nor sent it"
    role = role_of(duty)
    name = "commander" if role == "incident_commander" else Role(role).label.lower()
    person = roles.get(role) or roles.get("incident_commander")
    return f"{person}, {name}" if roles.get(role) else f"{person or 'nobody yet'}, for the {name}"


def otherwise(duty: CommsDuty, limit_reached: bool) -> str:
    """What happens at the due time if nobody acts."""
    if duty.is_review:
        return "Until then nobody but who sent it has read it; from then on comms lead and commander get mail."
    if duty.holding and not limit_reached:
        return f"At {duty.due_at:%H:%M} the holding message leaves by itself."
    roles = [Role(role).label.lower() for role in warned(duty) if role != Role.INCIDENT_COMMANDER]
    return f"From {duty.due_at:%H:%M} it counts as late; {', '.join(roles)} and commander get mail."


def deliveries(messages: list[Message]) -> dict[str, dict[str, Any]]:
    """Per announcement key: how many deliveries there are, were accepted, wait, or ended without being sent."""
    keys = [message.announcement_key for message in messages if message.announcement_key]
    rows = (
        Delivery.objects.filter(announcement__dedupe_key__in=keys)
        .values("announcement__dedupe_key")
        .annotate(
            total=Count("pk"),
            accepted=Count("pk", filter=Q(state="sent")),
            waiting=Count("pk", filter=Q(state="pending")),
            refused=Count("pk", filter=Q(state__in=["dead", "suppressed"])),
        )
    )
    return {row["announcement__dedupe_key"]: dict(row) for row in rows}


def promises(now: datetime) -> Iterator[Metric]:
    """For monitors: duties by outcome, and how long the oldest open one is overdue, in seconds."""
    counts = dict.fromkeys(CommsDuty.Outcome.values, 0) | dict(
        CommsDuty.objects.order_by().values_list("outcome").annotate(Count("pk"))
    )
    yield gauge("portal_duties", "Promises by what became of them", "outcome", counts)
    oldest = (
        CommsDuty.objects.open().filter(due_at__lte=now).order_by("due_at").values_list("due_at", flat=True).first()
    )
    overdue = (now - oldest).total_seconds() if oldest else 0.0
    yield GaugeMetricFamily("portal_duty_overdue_seconds", "How long the oldest promise is overdue", overdue)


# The Due screen


def due_soon(now: datetime, me: User) -> list[CommsDuty]:
    """What is overdue or due within SOON over all incidents, in the order it falls due; MOST at most.

    Each knows in words its `owner`, what happens `otherwise`, how far `away` it is and its `blocker` (empty: nothing),
    the `draft` that waits for approval, and whether it is `mine`. Six queries at most, however many there are.
    """
    rows = CommsDuty.objects.open().filter(due_at__lte=now + SOON).select_related("incident__policy_version", "law")
    rows = rows.defer("incident__policy_version__document")
    rows = rows.prefetch_related(
        Prefetch("incident__roles", RoleAssignment.objects.filter(ended_at=None).select_related("person"), "held"),
        Prefetch(
            "incident__messages", Message.objects.filter(status=Message.Status.DRAFT).select_related("author"), "drafts"
        ),
        Prefetch("incident__duties", CommsDuty.objects.exclude(outcome="open").order_by("seq"), "past"),
    )
    duties: list[Any] = list(rows.order_by("due_at", "pk")[:MOST])
    drafts: dict[int, Message] = {}
    held: dict[int, RoleAssignment] = {}
    for duty in duties:
        duty.incident.policy_version = pinned(duty.incident.policy_version)
        held |= {term.pk: term for term in duty.incident.held}
        for draft in duty.incident.drafts:
            draft.incident, drafts[draft.pk] = duty.incident, draft
    seats = approvals.seats_of(list(drafts.values()), held.values())
    for duty in duties:
        _explain(duty, seats, me, now)
    return duties


def _explain(duty: Any, seats: dict[int, list[approvals.Seat]], me: User, now: datetime) -> None:
    incident = duty.incident
    held = {row.role: row.person for row in incident.held}
    limit = incident.policy_version.holding_max_consecutive
    before = [past.outcome for past in incident.past if past.message_class == duty.message_class]
    duty.owner = owner(duty, {role: str(person) for role, person in held.items()})
    duty.mine = (held.get(role_of(duty)) or held.get("incident_commander")) == me
    duty.otherwise = otherwise(duty, before[-limit:] == ["holding"] * limit)
    duty.draft = next((draft for draft in incident.drafts if would_meet(draft, duty)), None)
    waiting = [seat for seat in seats[duty.draft.pk] if not seat.given] if duty.draft else []
    duty.blocker = _blocker(duty, waiting, held)
    minutes = int(abs(duty.due_at - now) / timedelta(minutes=1))
    duty.away = f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"


def would_meet(draft: Message, duty: CommsDuty) -> bool:
    """Whether this draft keeps this promise; what customers get by mail keeps the page's, too."""
    if draft.is_formal:
        return draft.kind == duty.message_class
    return duty.is_written and (
        draft.audience == duty.audience or (draft.audience, duty.audience) == ("customers", "public")
    )


def _blocker(duty: Any, waiting: list[approvals.Seat], held: dict[str, User]) -> str:
    """The one thing that must happen first; empty when somebody only has to act."""
    if waiting:
        asked = " and ".join(seat.who for seat in waiting)
        return f"The draft of {duty.draft.written_at:%H:%M} by {duty.draft.author} waits for approval by {asked}."
    if duty.draft:
        return f"The draft of {duty.draft.written_at:%H:%M} by {duty.draft.author} waits to be sent."
    if duty.message_class == "regulator_decision" and duty.incident.personal_data == Incident.Known.UNKNOWN:
        return "One fact is missing: was personal data shown?"
    if role_of(duty) not in held:
        return f"Nobody holds the role of {role_of(duty).replace('_', ' ')}."
    return ""


def ruler(duties: list[CommsDuty], now: datetime) -> dict[str, Any]:
    """The next 15 minutes as a line: marks in percent of its width, one a minute, what is overdue at its start."""
    start, width = now - timedelta(minutes=3), SOON + timedelta(minutes=4)
    by_minute = {duty.due_at.replace(second=0, microsecond=0): duty for duty in reversed(duties)}
    marks: list[dict[str, Any]] = []
    labelled = -10.0
    for at, duty in sorted(by_minute.items()):
        x = max(2.0, (duty.due_at - start) / width * 100)
        marks.append({"x": x, "at": at, "late": duty.due_at <= now, "label": x - labelled >= 8})
        labelled = x if marks[-1]["label"] else labelled
    return {"marks": marks, "now_x": (now - start) / width * 100}


def after(now: datetime) -> list[CommsDuty]:
    """The next eight promises beyond what is due soon."""
    rows = CommsDuty.objects.open().filter(due_at__gt=now + SOON).select_related("incident", "law")
    return list(rows.order_by("due_at", "pk")[:8])


def became(now: datetime) -> list[tuple[str, str, int]]:
    """What became of the promises that ended today, UTC: outcome, its word, how many."""
    today = CommsDuty.objects.filter(ended_at__gte=now.replace(hour=0, minute=0, second=0, microsecond=0))
    counts = dict(today.order_by().values_list("outcome").annotate(Count("pk")))
    return [
        (outcome.value, str(outcome.label), counts.get(outcome.value, 0))
        for outcome in CommsDuty.Outcome
        if outcome != CommsDuty.Outcome.OPEN
    ]


# The sheet for the next shift

SHEET_AHEAD = timedelta(hours=12)  # what a shift has before it
SHEET_INCIDENTS, SHEET_DUE, SHEET_LINES = 50, 12, 5


def open_work(now: datetime) -> list[dict[str, Any]]:
    """Every open incident as plain values: state, clock, who holds what and what is a gap, what is due, what was said.

    Worst first; SHEET_INCIDENTS at most. A fixed number of queries, however many are open.
    """
    newest = Window(RowNumber(), partition_by=F("incident_id"), order_by=[F("occurred_at").desc(), F("pk").desc()])
    lines = TimelineEntry.objects.annotate(place=newest).filter(place__lte=SHEET_LINES)
    rows = Incident.objects.open().select_related("type", "policy_version__profile").order_by("severity", "number")
    rows = rows.prefetch_related(
        "policy_version__severities",
        "policy_version__notify_rules",
        Prefetch("roles", RoleAssignment.objects.filter(ended_at=None).select_related("person"), "held"),
        Prefetch("duties", _soon(now), "soon"),
        Prefetch("timeline", lines.select_related("author").order_by("occurred_at", "pk"), "last_lines"),
    )
    return [_work(incident, now) for incident in rows[:SHEET_INCIDENTS]]


def _soon(now: datetime) -> Any:
    return CommsDuty.objects.open().filter(due_at__lte=now + SHEET_AHEAD).select_related("law").order_by("due_at", "pk")


def _work(incident: Any, now: datetime) -> dict[str, Any]:
    held = {row.role: str(row.person) for row in incident.held}
    gaps = lifecycle.gaps(incident, set(held))
    return {
        "ref": incident.ref,
        "title": incident.title,
        "severity": incident.severity_label,
        "rank": incident.severity,
        "state": incident.get_status_display(),
        "detected_at": stamp(incident.detected_at),
        "age": span(now - incident.detected_at),
        "roles": [[role.label, held[role]] for role in Role if role in held],
        "gaps": [Role(role).label for role in gaps],
        "due": [
            [stamp(duty.due_at), duty.label, owner(duty, held), duty.due_at <= now]
            for duty in incident.soon[:SHEET_DUE]
        ],
        "more_due": max(0, len(incident.soon) - SHEET_DUE),
        "lines": [[stamp(row.occurred_at), row.text[:300], str(row.author or "Engine")] for row in incident.last_lines],
    }


def stamp(at: datetime) -> str:
    """An instant as a sheet prints it, in UTC."""
    return f"{at:%Y-%m-%d %H:%M}"
