"""What the incident page shows of promises: lanes as percentages, who hears of it, what left and what became of it."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Q
from prometheus_client.core import GaugeMetricFamily, Metric

from incidents.comms.models import CommsDuty, Message
from incidents.lifecycle.models import Incident
from irportal.outbox.models import Delivery
from irportal.outbox.queries import gauge

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


def owner(duty: CommsDuty, roles: dict[str, str]) -> str:
    """Who has to act on a duty, by name and role."""
    role = {"regulators": "legal_lead", "internal": "incident_commander"}.get(duty.audience, "comms_lead")
    names = {"legal_lead": "legal lead", "incident_commander": "commander", "comms_lead": "comms lead"}
    person = roles.get(role) or roles.get("incident_commander")
    return f"{person}, {names[role]}" if roles.get(role) else f"{person or 'nobody yet'}, for the {names[role]}"


def otherwise(duty: CommsDuty, limit_reached: bool) -> str:
    """What happens at the due time if nobody acts."""
    if duty.holding and not limit_reached:
        return f"At {duty.due_at:%H:%M} the holding message leaves by itself."
    return f"From {duty.due_at:%H:%M} it counts as late; comms lead and commander get mail."


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
