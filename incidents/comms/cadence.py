"""When the next message is due, and how a promise ended. Pure; every instant is aware and in UTC."""

from datetime import datetime, time, timedelta

from incidents.policy.matrix import due
from irportal.refused import Refused


def whole_minute(at: datetime) -> datetime:
    """The minute as it is promised in writing: `by 15:05` means 15:05:00."""
    return at.replace(second=0, microsecond=0)


def first_due(amount: str, anchor: datetime) -> datetime:
    """The first due time of an obligation, `amount` after `anchor`."""
    return due(amount, anchor)


def next_due(
    sent_at: datetime,
    every: str,
    *,
    daily_at: str = "",
    promised: datetime | None = None,
) -> datetime:
    """When the next update is due after one sent at `sent_at`.

    The author may promise sooner than the cadence asks, never later. With `daily_at` (HH:MM, UTC) the cadence is once
    a day at that time. Raises Refused with the latest possible time.
    """
    latest = next_daily(sent_at, daily_at) if daily_at else whole_minute(due(every, sent_at))
    if promised is None:
        return latest
    if promised > latest:
        raise Refused(f"The policy asks for the next update by {latest:%H:%M} UTC; promise that or sooner.")
    if promised <= sent_at:
        raise Refused(f"{promised:%Y-%m-%d %H:%M} UTC has passed; promise a time ahead.")
    return promised


def next_daily(after: datetime, at: str) -> datetime:
    """The next time the clock shows `at` (HH:MM, UTC) after `after`."""
    hour, minute = (int(part) for part in at.split(":"))
    today = datetime.combine(after.date(), time(hour, minute), tzinfo=after.tzinfo)
    return today if today > after else today + timedelta(days=1)


def outcome(due_at: datetime, ended_at: datetime, *, grace: timedelta, repeated: bool) -> str:
    """`kept` or `late`. Grace is for repeated updates only; a one-off promise is kept by its time or not at all."""
    return "kept" if ended_at <= due_at + (grace if repeated else timedelta()) else "late"


def tightened(current_due: datetime, changed_at: datetime, amount: str) -> datetime:
    """After an upgrade: the new obligation runs from the change, and a running promise only ever gets earlier."""
    return min(current_due, due(amount, changed_at))


def relaxed(
    anchor_at: datetime, amount: str, *, current_due: datetime, promised: bool, changed_at: datetime
) -> datetime:
    """After a downgrade: what is not yet due is counted again, but a time customers were told stays as told."""
    if promised or current_due <= changed_at:
        return current_due
    return max(due(amount, anchor_at), current_due)
