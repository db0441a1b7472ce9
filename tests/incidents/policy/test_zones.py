"""Rules of the calendar run where the organisation is, on the days clocks change too. Pure: no database."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from incidents.comms import cadence
from incidents.policy import matrix

PARIS, NEW_YORK, LORD_HOWE, KOLKATA = ("Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata")
# Clocks change in Paris on 29 March and 25 October, in New York on 8 March and 1 November, by 30 minutes on Lord Howe
# Island on 5 April and 4 October 2026, and never in Kolkata. Last: hours from one due time to the next.
DAYS = [
    (PARIS, "2026-03-28 17:00", "2026-03-29 17:00", 23),
    (PARIS, "2026-03-29 17:00", "2026-03-30 17:00", 24),
    (PARIS, "2026-10-24 17:00", "2026-10-25 17:00", 25),
    (NEW_YORK, "2026-03-07 17:00", "2026-03-08 17:00", 23),
    (NEW_YORK, "2026-10-31 17:00", "2026-11-01 17:00", 25),
    (LORD_HOWE, "2026-04-04 17:00", "2026-04-05 17:00", 24.5),
    (LORD_HOWE, "2026-10-03 17:00", "2026-10-04 17:00", 23.5),
    (KOLKATA, "2026-03-28 17:00", "2026-03-29 17:00", 24),
]


def local(clock: str, zone: str) -> datetime:
    return datetime.strptime(clock, "%Y-%m-%d %H:%M").replace(tzinfo=ZoneInfo(zone))


@pytest.mark.parametrize(("zone", "sent", "due", "hours"), DAYS)
def test_the_daily_update_is_due_at_five_on_the_wall_however_long_the_day_is(zone, sent, due, hours):
    found = cadence.next_daily(local(sent, zone).astimezone(UTC), "17:00", ZoneInfo(zone))
    assert found == local(due, zone)
    assert found - local(sent, zone).astimezone(UTC) == timedelta(hours=hours)


@pytest.mark.parametrize("zone", [PARIS, NEW_YORK, LORD_HOWE, KOLKATA])
def test_a_year_of_daily_updates_is_one_a_day_each_at_five(zone):
    at = local("2026-01-01 00:00", zone).astimezone(UTC)
    found = []
    for _ in range(365):
        at = cadence.next_daily(at, "17:00", ZoneInfo(zone))
        found.append(at.astimezone(ZoneInfo(zone)))
    assert {f"{instant:%H:%M}" for instant in found} == {"17:00"}
    assert len({instant.date() for instant in found}) == 365


@pytest.mark.parametrize(
    ("zone", "sent", "due"),
    [
        (KOLKATA, "2026-03-02 11:29", "2026-03-02 11:30"),  # 16:59 there
        (KOLKATA, "2026-03-02 11:30", "2026-03-03 11:30"),
        (KOLKATA, "2026-03-02 20:00", "2026-03-03 11:30"),  # the next day there already
        ("America/Los_Angeles", "2026-03-03 00:30", "2026-03-03 01:00"),  # still the day before there
    ],
)
def test_the_day_is_the_one_of_the_organisation_not_that_of_utc(zone, sent, due):
    found = cadence.next_daily(local(sent, "UTC"), "17:00", ZoneInfo(zone))
    assert found == local(due, "UTC")


def test_without_a_zone_the_one_of_the_settings_counts(settings):
    settings.ORGANISATION_TIME_ZONE = PARIS
    assert cadence.next_daily(local("2026-03-02 12:00", "UTC"), "17:00") == local("2026-03-02 16:00", "UTC")
    assert matrix.due("1bd_end", local("2026-03-02 12:00", "UTC")) == local("2026-03-03 17:00", "UTC")


@pytest.mark.parametrize(
    ("zone", "anchor", "due"),
    [
        (PARIS, "2026-03-27 23:30", "2026-03-30 18:00"),  # Friday evening, over the shorter night: Monday
        (PARIS, "2026-10-23 12:00", "2026-10-26 18:00"),  # over the longer one
        (NEW_YORK, "2026-10-30 20:00", "2026-11-02 18:00"),  # Saturday in UTC, Friday there
        (LORD_HOWE, "2026-04-06 01:00", "2026-04-07 18:00"),  # Sunday in UTC, Monday there
        (KOLKATA, "2026-03-02 02:00", "2026-03-03 18:00"),
    ],
)
def test_a_business_day_ends_at_six_where_the_organisation_is(zone, anchor, due):
    found = matrix.end_of_business_day(1, local(anchor, zone).astimezone(UTC), ZoneInfo(zone))
    assert found == local(due, zone)
    assert found.tzinfo is UTC


@pytest.mark.parametrize("zone", [PARIS, NEW_YORK, LORD_HOWE, KOLKATA])
@pytest.mark.parametrize("every", ["15m", "30m", "60m"])
def test_a_cadence_is_elapsed_time_through_every_night(zone, every):
    """Half an hour from 02:45 is 30 real minutes, also in the night that has the hour twice."""
    for night in ("2026-03-08", "2026-03-29", "2026-04-05", "2026-10-04", "2026-10-25", "2026-11-01"):
        midnight = local(f"{night} 00:00", zone).astimezone(UTC)
        for sent in (midnight + timedelta(minutes=minute) for minute in range(0, 240, 15)):
            assert cadence.next_due(sent, every) - sent == matrix.length(every)


@pytest.mark.parametrize(("minutes", "before"), [(15, 5), (30, 10), (60, 10), (1440, 10)])
def test_a_reminder_comes_a_third_of_the_time_before_at_most_ten_minutes(minutes, before):
    anchor = local("2026-03-02 14:30", "UTC")
    due = anchor + timedelta(minutes=minutes)
    assert due - cadence.remind_at(anchor, due, at_most=timedelta(minutes=10)) == timedelta(minutes=before)
