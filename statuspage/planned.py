"""Planned maintenance as it is read: its sheet, its line in the history, its status for clients, its time in uptime."""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext as _

from statuspage import rhythm
from statuspage.models import Customer, Maintenance, MaintenanceComponent

Status = Maintenance.Status
GRACE = timedelta(minutes=2)  # the page does not call anything late that the engine is about to do
WAY = [Status.SCHEDULED, Status.IN_PROGRESS, Status.VERIFYING, Status.COMPLETED]
CALLED_OFF = [Status.SCHEDULED, Status.CANCELLED]


def api_status(status: str) -> str:
    """One of the four statuses that clients know."""
    return Status.COMPLETED if status == Status.CANCELLED else status


def sheet(maintenance: Maintenance, now: datetime) -> dict[str, Any]:
    """What the sheet of one maintenance shows. Best given a row of `complete()`."""
    updates = list(maintenance.updates.all())
    reached = {update.status for update in updates}
    status = Status(maintenance.status)
    way = CALLED_OFF if status == Status.CANCELLED else WAY
    next_at = _next_at(maintenance)
    return {
        "maintenance": maintenance,
        "updates": updates,
        "components": [hit.component for hit in maintenance.hits.all()],
        "stages": [(stage.label, stage in reached, stage == status) for stage in way],
        "when": when(maintenance, now),
        "announced": rhythm.day(maintenance.created_at.astimezone(UTC), now),
        "next_at": next_at,
        "next_day": rhythm.day(next_at.astimezone(UTC), now) if next_at and _day(next_at) != _day(now) else "",
        "late": late(maintenance, now),
        "elsewhere": next_at and rhythm.elsewhere(next_at),
    }


def when(maintenance: Maintenance, now: datetime) -> str:
    """`5 March, 22:00 to 23:00 UTC · 1 h`: what happened, or what is planned."""
    begins_at = maintenance.begins_at
    span = rhythm.span(begins_at, maintenance.over_at, now)
    return rhythm.on_day(rhythm.day(begins_at.astimezone(UTC), now), span)


def _next_at(maintenance: Maintenance) -> datetime | None:
    """When it is to begin, or to be done; None when it is over."""
    if not maintenance.is_open:
        return None
    return maintenance.ends_at if maintenance.is_active else maintenance.starts_at


def late(maintenance: Maintenance, now: datetime) -> bool:
    """Whether the time for the next step has passed."""
    next_at = _next_at(maintenance)
    return next_at is not None and now > next_at + GRACE


def late_at(maintenance: Maintenance, now: datetime) -> datetime | None:
    """When its sheet will call it late by time alone."""
    next_at = _next_at(maintenance)
    return None if next_at is None or late(maintenance, now) else next_at + GRACE + timedelta(seconds=1)


def past(
    begin: datetime, end: datetime, now: datetime, *, open_too: bool, customer: Customer | None = None
) -> Iterator[tuple[date, dict[str, Any]]]:
    """What began, or was called off, between two instants: the day, and its line in the history."""
    began = Q(started_at__gte=begin, started_at__lt=end)
    called_off = Q(started_at=None, ended_at__gte=begin, ended_at__lt=end)
    found = Maintenance.objects.seen_by(customer).filter(began | called_off)
    for maintenance in (found if open_too else found.over()).prefetch_related("updates"):
        day = _day(maintenance.started_at or maintenance.ended_at or now)
        span = rhythm.span(maintenance.begins_at, maintenance.over_at, now)
        if maintenance.status == Status.CANCELLED:
            span = _("planned for %(when)s") % {"when": when(maintenance, now)}
        told = {"notice": maintenance, "when": span, "last": maintenance.updates.all()[0]}
        yield day, told | {"began_at": maintenance.begins_at, "over_at": maintenance.over_at}


def _day(at: datetime) -> date:
    return at.astimezone(UTC).date()


def windows(component_ids: Iterable[int], begin: datetime, end: datetime) -> dict[int, list[tuple[datetime, datetime]]]:
    """When each of these components was under maintenance between two instants: what happened, never what is planned.

    Spans in order, clipped to `begin` and `end`, overlapping ones as one; a component without any has an empty list.
    """
    found: dict[int, list[tuple[datetime, datetime]]] = {pk: [] for pk in component_ids}
    rows = MaintenanceComponent.objects.filter(
        Q(maintenance__ended_at=None) | Q(maintenance__ended_at__gt=begin), maintenance__started_at__lt=end
    ).order_by("maintenance__started_at", "id")
    for row in rows.select_related("maintenance"):
        if row.component_id not in found:
            continue
        work = row.maintenance
        first, last = max(work.begins_at, begin), min(work.ended_at or end, end)
        spans = found[row.component_id]
        if spans and first <= spans[-1][1]:
            spans[-1] = spans[-1][0], max(last, spans[-1][1])
        else:
            spans.append((first, last))
    return found
