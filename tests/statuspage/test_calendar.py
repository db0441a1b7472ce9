"""Calendars, read back by the library that programs use, and byte by byte where RFC 5545 is strict."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import icalendar
import pytest
from django.utils import timezone

from statuspage import calendar, editions, maintenance, timetable
from statuspage.models import Component, Document, Maintenance
from tests.statuspage.factories import announced, component, past_incident, publish

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("new_process")]
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
EVIL = "Über; a, b \\ c\r\nBEGIN:VALARM\r\n" + "漢字🚨 " * 40 + "\x07\x0b"


def events(client, path: str = "/calendar.ics") -> list[icalendar.Event]:
    answer = client.get(path)
    assert answer["Content-Type"] == "text/calendar; charset=utf-8"
    return icalendar.Calendar.from_ical(answer.content).walk("VEVENT")


@pytest.fixture
def board(freezer) -> Component:
    return component("Dashboard")


@pytest.fixture
def work(board) -> Maintenance:
    return announced(board)


def test_a_plan_is_an_event_that_takes_nobodys_time(client, work, settings):
    (event,) = events(client)

    assert event["UID"] == f"maintenance-{work.code}"
    assert (event.start, event.end) == (work.starts_at, work.ends_at)
    assert (event["SEQUENCE"], event["STATUS"], event["TRANSP"]) == (0, "CONFIRMED", "TRANSPARENT")
    assert event["SUMMARY"] == "Database upgrade"
    assert event["DESCRIPTION"] == "Scheduled.\n\nWe move to a larger database.\n\nDashboard"
    assert event["URL"] == f"{settings.PUBLIC_BASE_URL}/maintenance/{work.code}"
    assert event["CATEGORIES"].cats == ["MAINTENANCE"]
    assert event["DTSTAMP"].dt == event["LAST-MODIFIED"].dt == datetime(2026, 3, 2, 14, 30, tzinfo=UTC)


def test_a_move_keeps_the_uid_and_raises_the_sequence(client, work, lin):
    before = events(client)[0]
    later = work.starts_at + DAY
    maintenance.change(work, replace(maintenance.plan_of(work), starts_at=later, ends_at=later + HOUR), by=lin)
    (after,) = events(client)

    assert after["UID"] == before["UID"]
    assert after["SEQUENCE"] == before["SEQUENCE"] + 1
    assert (after.start, after.end) == (later, later + HOUR)


def test_what_was_called_off_stays_as_cancelled_where_it_was(client, work, lin):
    maintenance.cancel(work, by=lin)
    (event,) = events(client)

    assert (event["STATUS"], event["SEQUENCE"], event.start) == ("CANCELLED", 1, work.starts_at)


def test_what_ended_early_ends_early(client, work, freezer, lin):
    freezer.shift(2 * DAY)
    timetable.run_due(timezone.now())
    freezer.shift(HOUR)
    maintenance.finish(work, by=lin)
    (event,) = events(client)

    assert (event.start, event.end, event["SEQUENCE"]) == (work.starts_at, work.starts_at + HOUR, 1)


def test_an_incident_has_an_end_once_it_is_over_and_none_before(client, board, freezer):
    notice = publish("investigating", (board, "major_outage")).notice
    (open_one,) = events(client)
    freezer.shift(HOUR)
    publish("resolved", (board, "operational"))
    (over,) = events(client)

    assert "DTEND" not in open_one
    assert open_one["STATUS"] == "TENTATIVE"
    assert (over["STATUS"], over["SEQUENCE"], over.end) == ("CONFIRMED", 1, timezone.now())
    assert open_one["UID"] == over["UID"] == f"incident-{notice.code}"
    assert over["CATEGORIES"].cats == ["INCIDENT"]


def test_what_was_over_as_it_began_has_no_end_that_is_no_end(client, board, lin):
    work = announced(board)
    maintenance.start(work, by=lin)
    maintenance.finish(work, by=lin)

    assert "DTEND" not in events(client)[0]


def test_a_component_has_its_own_calendar(client, work, board):
    other = component("Payments")
    announced(other, title="Cables")
    publish("investigating", (other, "major_outage"), title="No payments")

    assert [str(event["SUMMARY"]) for event in events(client, f"/components/{board.code}.ics")] == ["Database upgrade"]
    assert [str(event["SUMMARY"]) for event in events(client, f"/components/{other.code}.ics")] == [
        "Cables",
        "No payments",
    ]
    assert client.get("/components/nothing12345.ics").status_code == 404


def test_one_maintenance_is_one_event(client, work, board):
    announced(board, title="Cables")

    assert [event["UID"] for event in events(client, f"/maintenance/{work.code}.ics")] == [f"maintenance-{work.code}"]


def test_lines_are_as_the_standard_has_them_whatever_was_typed(client, board, lin):
    work = announced(board, title=EVIL[:190])
    maintenance.tell_more(work, status="scheduled", text=EVIL, by=lin)
    body = client.get("/calendar.ics").content
    lines = body.split(b"\r\n")
    (event,) = events(client)

    assert b"\n" not in body.replace(b"\r\n", b"")
    assert b"\r" not in body.replace(b"\r\n", b"")
    assert max(len(line) for line in lines) <= 75
    assert not set(body) & (set(range(9)) | {11})
    assert lines.count(b"BEGIN:VALARM") == 0
    assert [line for line in lines if line.startswith(b"DTSTART")] == [b"DTSTART:20260304T143000Z"]
    assert str(event["SUMMARY"]).startswith("Über; a, b \\ c BEGIN:VALARM 漢字🚨")
    for line in lines:
        line.decode()  # no character is torn apart by folding


def test_nothing_changed_is_the_same_bytes_and_304(client, work, freezer):
    first = client.get("/calendar.ics")
    freezer.shift(HOUR)
    again = client.get("/calendar.ics")

    assert (again.content, again["ETag"]) == (first.content, first["ETag"])
    assert client.get("/calendar.ics", headers={"If-None-Match": first["ETag"]}).status_code == 304


def write_due() -> None:
    """The engine's turns until nothing waits, however slow the machine."""
    editions.run_due(timezone.now())
    while editions.refresh():
        pass


def test_the_past_stays_for_ninety_days_and_leaves_by_itself(client, board, freezer):
    past_incident("INC-1", started_at=timezone.now() - 80 * DAY)
    write_due()
    over = timezone.now() - 80 * DAY + timedelta(minutes=34)
    due = Document.objects.get(path="/calendar.ics").due
    kept = bytes(Document.objects.get(path="/calendar.ics").body)
    freezer.move_to(over + calendar.KEPT, tick=False)
    write_due()

    assert due == int((over + calendar.KEPT).timestamp())
    assert b"incident-" in kept
    assert b"incident-" not in bytes(Document.objects.get(path="/calendar.ics").body)


def test_a_component_that_is_deleted_takes_its_calendar_along(board):
    write_due()
    path = f"/components/{board.code}.ics"
    assert Document.objects.filter(path=path).exists()
    editions.touch_component(board)
    board.delete()
    write_due()

    assert not Document.objects.filter(path=path).exists()


def test_a_calendar_asks_the_database_no_more_for_more_events(board, client, django_assert_max_num_queries):
    for number in range(20):
        announced(board, title=f"Work {number}")
        past_incident(f"INC-{number}", started_at=timezone.now() - DAY)

    with django_assert_max_num_queries(8):
        client.get("/calendar.ics")
