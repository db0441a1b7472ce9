"""Times as people type them on the organisation's clock. A time that comes twice or never is asked about. Pure."""

import re
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from irportal.refused import Refused

WRITTEN = re.compile(r"(\d{4}-\d\d-\d\d)[T ]+(\d\d:\d\d)(?: *(UTC|Z|[+-]\d\d:\d\d))?", re.IGNORECASE | re.ASCII)
NOT_A_TIME = (
    "That is not a time. Write 2026-03-05 22:00, on the clock named beside; add UTC or +02:00 for another clock."
)


def instant(typed: str, zone: ZoneInfo) -> datetime:
    """The instant that `2026-03-05 22:00` means in `zone`, or with `UTC` or an offset behind it on that clock.

    Raises Refused with a question where clocks are put back (it comes twice) or forward (it never comes).
    """
    found = WRITTEN.fullmatch(typed.strip())
    try:
        if found is None:
            raise ValueError
        there = datetime.strptime(f"{found[1]} {found[2]}", "%Y-%m-%d %H:%M")
        return _on(there, found[3]) if found[3] else _in(there, zone)
    except (ValueError, OverflowError):
        raise Refused(NOT_A_TIME) from None


def _on(there: datetime, offset: str) -> datetime:
    if offset.upper() in ("UTC", "Z"):
        return there.replace(tzinfo=UTC)
    hours, minutes = int(offset[1:3]), int(offset[4:])
    ahead = timedelta(hours=hours, minutes=minutes) * (-1 if offset[0] == "-" else 1)
    return there.replace(tzinfo=timezone(ahead)).astimezone(UTC)


def _in(there: datetime, zone: ZoneInfo) -> datetime:
    first, second = (there.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first == second:
        return first
    clock, day = f"{there:%H:%M}", f"{there.day} {there:%B %Y}"
    one, two = (f"{_written(at, zone)} ({at:%H:%M} UTC)" for at in sorted((first, second)))
    if first < second:
        raise Refused(f"On {day} {clock} comes twice in {zone.key}. Which one do you mean: {one} or {two}?")
    raise Refused(f"On {day} {clock} never comes in {zone.key}. Do you mean {one} or {two}?")


def _written(at: datetime, zone: ZoneInfo) -> str:
    """With the offset, so that it can be typed as it stands."""
    there = at.astimezone(zone)
    offset = f"{there:%z}"
    return f"{there:%Y-%m-%d %H:%M} {offset[:3]}:{offset[3:5]}"


def typed(at: datetime, zone: ZoneInfo) -> str:
    """What to type for an instant: with the offset only where it is needed."""
    there = at.astimezone(zone)
    plain = f"{there:%Y-%m-%d %H:%M}"
    twice = there.replace(fold=0).utcoffset() != there.replace(fold=1).utcoffset()
    return _written(at, zone) if twice else plain
