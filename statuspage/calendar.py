"""Maintenance and incidents as iCalendar (RFC 5545): the whole page, one component, one maintenance.

Bytes depend on rows alone: DTSTAMP is when an event was last told of, not when it was written. Codes make UIDs that
outlive a change of address. Nothing here takes anybody's time, so events are transparent.
"""

import re
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

import icalendar
from django.conf import settings
from django.db.models import Min, Q

from irportal import prose
from statuspage.models import Component, Maintenance, MaintenanceQuerySet, Notice, NoticeQuerySet

KEPT = timedelta(days=90)  # how much past a calendar holds
OFTEN = timedelta(minutes=15)  # how often programs are asked to look
END = b"END:VCALENDAR\r\n"
PRODUCT = "-//incident portal//status page//EN"
NOT_TEXT = re.compile("[\x00-\x08\x0b-\x1f\x7f]")  # RFC 5545 has no place for controls


def whole(key: str, now: datetime) -> bytes:
    notices, works = _kept(now)
    return _calendar(f"{settings.ORGANISATION} status", notices, works)


def of_component(code: str, now: datetime) -> bytes | None:
    """What named one component; None when there is no such component."""
    component = Component.objects.seen_by(None).filter(code=code).first()
    if component is None:
        return None
    notices, works = _kept(now, code)
    return _calendar(f"{settings.ORGANISATION} status: {component.name}", notices, works)


def one(maintenance: Maintenance, now: datetime) -> bytes:
    return _calendar(maintenance.title, Notice.objects.none(), Maintenance.objects.filter(pk=maintenance.pk))


def until(now: datetime, code: str = "") -> datetime | None:
    """When the oldest event leaves the calendar by time alone."""
    notices, works = _kept(now, code)
    ends = notices.aggregate(at=Min("resolved_at"))["at"], works.aggregate(at=Min("ended_at"))["at"]
    return min((at + KEPT for at in ends if at), default=None)


def _kept(now: datetime, code: str = "") -> tuple[NoticeQuerySet, MaintenanceQuerySet]:
    """What is open, ahead, or not over for longer than KEPT; of one component where its code is given."""
    of = Q(hits__component__code=code) if code else Q()
    oldest = now - KEPT
    return (
        Notice.objects.seen_by(None).filter(Q(resolved_at=None) | Q(resolved_at__gt=oldest), of),
        Maintenance.objects.seen_by(None).filter(Q(ended_at=None) | Q(ended_at__gt=oldest), of),
    )


class _Event(NamedTuple):
    """All that an event says."""

    uid: str
    category: str
    status: str
    sequence: int
    title: str
    stage: str
    body: str
    components: tuple[str, ...]
    url: str
    start: datetime
    end: datetime | None
    created_at: datetime
    told_at: datetime


def _calendar(name: str, notices: NoticeQuerySet, works: MaintenanceQuerySet) -> bytes:
    calendar = icalendar.Calendar()
    calendar.add("prodid", PRODUCT)
    calendar.add("version", "2.0")
    calendar.add("name", _text(name))
    calendar.add("x-wr-calname", _text(name))
    calendar.add("refresh-interval", OFTEN, {"VALUE": "DURATION"})
    calendar.add("x-published-ttl", "PT15M")
    frame = calendar.to_ical()
    events = [*map(_maintenance, works.complete(None)), *map(_incident, notices.complete(None))]
    return frame.removesuffix(END) + b"".join(_written(event) for event in events) + END


def _maintenance(maintenance: Maintenance) -> _Event:
    is_off = maintenance.status == Maintenance.Status.CANCELLED
    return _event(
        maintenance,
        uid=f"maintenance-{maintenance.code}",
        category="MAINTENANCE",
        status="CANCELLED" if is_off else "CONFIRMED",
        sequence=maintenance.sequence,
        start=maintenance.begins_at,
        end=maintenance.over_at,
    )


def _incident(notice: Notice) -> _Event:
    """An open one has no end, for nobody knows it, and is tentative; each update is a revision."""
    return _event(
        notice,
        uid=f"incident-{notice.code}",
        category="INCIDENT",
        status="TENTATIVE" if notice.is_open else "CONFIRMED",
        sequence=len(notice.updates.all()) - 1,
        start=notice.started_at,
        end=notice.resolved_at,
    )


def _event(told: Notice | Maintenance, **facts: Any) -> _Event:
    newest: Any = told.updates.all()[0]
    return _Event(
        title=told.title,
        stage=told.get_status_display(),
        body=newest.body,
        components=tuple(hit.component.name for hit in told.hits.all()),
        url=settings.PUBLIC_BASE_URL + told.get_absolute_url(),
        created_at=told.created_at,
        told_at=newest.created_at,
        **facts,
    )


@lru_cache(5000)
def _written(facts: _Event) -> bytes:
    """Kept: most events are the same the next time, and the library takes half a millisecond for each."""
    words = [f"{facts.stage}.", prose.plain(facts.body), ", ".join(facts.components)]
    event = icalendar.Event()
    event.add("uid", facts.uid)
    event.add("sequence", facts.sequence)
    event.add("dtstamp", facts.told_at)
    event.add("created", facts.created_at)
    event.add("last-modified", facts.told_at)
    event.add("status", facts.status)
    event.add("summary", _text(facts.title))
    event.add("description", _text("\n\n".join(filter(None, words))))
    event.add("url", facts.url)
    event.add("categories", [facts.category])
    event.add("transp", "TRANSPARENT")
    event.add("dtstart", facts.start)
    if facts.end and facts.end.replace(microsecond=0) > facts.start.replace(microsecond=0):  # else it would be no end
        event.add("dtend", facts.end)
    return event.to_ical()


def _text(typed: str) -> str:
    return NOT_TEXT.sub("", typed)
