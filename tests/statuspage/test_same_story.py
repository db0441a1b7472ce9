"""Whatever happens in whatever order: page, API, feeds and calendars tell the same story of maintenance."""

import json
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

import feedparser
import icalendar
import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from irportal.refused import Refused
from statuspage import calendar, feeds, maintenance, snapshot, timetable
from statuspage.models import Component, Maintenance
from statuspage.snapshot import Facts
from tests.statuspage.factories import announced, component

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)
Status = Maintenance.Status
HOURS = st.integers(1, 30).map(lambda hours: timedelta(hours=hours))
STEPS = st.one_of(
    st.tuples(st.just("plan"), HOURS),
    st.tuples(st.just("move"), HOURS),
    st.tuples(st.just("wait"), HOURS),
    st.tuples(st.just("tick"), HOURS),
    st.tuples(st.sampled_from(["start", "finish", "cancel", "verify"]), HOURS),
    st.tuples(st.just("extend"), HOURS),
)


def act(step: str, length: timedelta, work: Maintenance | None, board: Component, by, clock) -> None:
    now = timezone.now()
    match step, work:
        case "plan", _:
            announced(board, starts_at=now + length, title=f"Work of {length}")
        case "wait", _:
            clock.shift(length)
        case "tick", _:
            timetable.run_due(now)
        case "move", work if work:
            plan = maintenance.plan_of(work)
            maintenance.change(work, replace(plan, starts_at=now + length, ends_at=now + 2 * length), by=by)
        case "extend", work if work:
            maintenance.extend(work, now + length, by=by)
        case "verify", work if work:
            maintenance.tell_more(work, status=Status.VERIFYING, text="Nearly there.", by=by)
        case name, work if work:
            getattr(maintenance, name)(work, by=by)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, min_size=1, max_size=14), picks=st.lists(st.integers(0, 9), min_size=14, max_size=14))
def test_every_document_tells_the_same_story(freezer, lin, steps, picks):
    freezer.move_to("2026-03-02 14:30 +0000", tick=False)
    with transaction.atomic():
        board = component("Dashboard")
        sequences: dict[str, int] = {}
        for (step, length), pick in zip(steps, picks, strict=False):
            works = list(Maintenance.objects.order_by("pk"))
            with suppress(Refused):
                act(step, length, works[pick % len(works)] if works else None, board, lin, freezer)
            sequences = check_story(board, sequences)
        transaction.set_rollback(True)


def check_story(board: Component, before: dict[str, int]) -> dict[str, int]:
    """Compare every document with the rows; the sequence of each maintenance for the next look."""
    now, facts = timezone.now(), Facts()
    rows = {work.code: work for work in Maintenance.objects.complete(None)}
    check_api(rows, facts, now)
    events = check_calendar(rows, facts, now)
    check_page(rows, facts, now)
    check_feeds(rows, facts, now)
    active = any(work.is_active for work in rows.values())
    state = "under_maintenance" if active else "operational"
    assert Component.objects.with_state().get(pk=board.pk).state == facts.components[0].state == state
    for code, event in events.items():
        assert event["SEQUENCE"] >= before.get(code, 0)
    return {code: event["SEQUENCE"] for code, event in events.items()}


def check_api(rows: dict[str, Maintenance], facts: Facts, now: datetime) -> None:
    def codes(document: bytes) -> set[str]:
        return {row["id"] for row in json.loads(document)["scheduled_maintenances"]}

    everything = json.loads(snapshot.maintenances_json(facts, now))["scheduled_maintenances"]
    upcoming, active = codes(snapshot.upcoming_json(facts, now)), codes(snapshot.active_json(facts, now))
    assert {row["id"] for row in everything} == set(rows)
    assert upcoming == {code for code, work in rows.items() if work.status == Status.SCHEDULED}
    assert active == {code for code, work in rows.items() if work.is_active}
    assert codes(snapshot.summary_json(facts, now)) == upcoming | active
    for row in everything:
        work = rows[row["id"]]
        assert row["status"] == ("completed" if work.status == Status.CANCELLED else work.status)
        assert datetime.fromisoformat(row["scheduled_for"]) == work.starts_at
        assert datetime.fromisoformat(row["scheduled_until"]) == work.ends_at
        assert (row["resolved_at"] is None) == work.is_open
        assert row["incident_updates"][0]["status"] == row["status"]
    indicator = json.loads(snapshot.status_json(facts, now))["status"]["indicator"]
    assert indicator == ("maintenance" if active else "none")


def check_calendar(rows: dict[str, Maintenance], facts: Facts, now: datetime) -> dict[str, icalendar.Event]:
    found = icalendar.Calendar.from_ical(calendar.whole("-", now)).walk("VEVENT")
    events = {str(event["UID"]).removeprefix("maintenance-"): event for event in found}
    assert set(events) == set(rows)
    for code, event in events.items():
        work = rows[code]
        assert event["STATUS"] == ("CANCELLED" if work.status == Status.CANCELLED else "CONFIRMED")
        assert event["DTSTART"].dt == work.begins_at
        if "DTEND" in event:
            assert event["DTEND"].dt == work.over_at
        else:
            assert work.over_at == work.begins_at
    return events


def check_page(rows: dict[str, Maintenance], facts: Facts, now: datetime) -> None:
    page = snapshot.page(facts, now).decode()
    for code, work in rows.items():
        alone = snapshot.maintenance_page(work, now).decode()
        assert (f'id="{code}"' in page) == work.is_active  # a sheet of its own while it goes on
        assert work.get_absolute_url() in page  # else under what is planned, or in the past
        assert f'aria-current="step">{work.get_status_display()}<' in alone


def check_feeds(rows: dict[str, Maintenance], facts: Facts, now: datetime) -> None:
    read = {entry.link.rpartition("/")[2]: entry for entry in feedparser.parse(feeds.atom(facts, now)).entries}
    items = json.loads(feeds.json_feed(facts, now))["items"]
    assert set(read) == {item["url"].rpartition("/")[2] for item in items} == set(rows)
    for item in items:
        work = rows[item["url"].rpartition("/")[2]]
        assert item["tags"] == ["maintenance", work.status]
        assert ("was planned for" in item["content_html"].partition("</p>")[0]) == (work.status == Status.CANCELLED)
        assert datetime.fromisoformat(item["date_modified"]) == work.updates.all()[0].created_at
