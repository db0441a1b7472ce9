"""When the next message is due, and how a promise ended. Pure; every instant is aware and in UTC."""

from datetime import UTC, datetime, time, timedelta, tzinfo

from incidents.policy.matrix import due, organisation_zone
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

    The author may promise sooner than the cadence asks, never later. With `daily_at` (HH:MM where the organisation is)
    the cadence is once a day at that time. Raises Refused with the latest possible time.
    """
    latest = next_daily(sent_at, daily_at) if daily_at else whole_minute(due(every, sent_at))
    if promised is None:
        return latest
    if promised > latest:
        raise Refused(f"The policy asks for the next update by {latest:%H:%M} UTC; promise that or sooner.")
    if promised <= sent_at:
        raise Refused(f"{promised:%Y-%m-%d %H:%M} UTC has passed; promise a time ahead.")
    return promised


def next_daily(after: datetime, at: str, zone: tzinfo | None = None) -> datetime:
    """The next time clocks in `zone` show `at` (HH:MM) after `after`; by default where the organisation is. In UTC.

    A day may have 23, 24 or 25 hours: the date is counted on, never the hours.
    """
    zone = zone or organisation_zone()
    clock, today = time.fromisoformat(at), after.astimezone(zone).date()
    days = (datetime.combine(today + timedelta(days=n), clock, tzinfo=zone).astimezone(UTC) for n in (0, 1))
    return next(found for found in days if found > after)


def remind_at(anchor: datetime, due_at: datetime, *, at_most: timedelta) -> datetime:
    """When the owner is reminded: a third of the time before it is due, `at_most` so long before."""
    return due_at - min((due_at - anchor) / 3, at_most)


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
