"""A page of 536 real incidents, taken over: every document that is served tells what the source told, word for word."""

import json
import re
from datetime import datetime, timedelta

import feedparser
import icalendar
import pytest
from jsonschema import Draft202012Validator

from irportal.outbox.models import Announcement
from statuspage import calendar, snapshot
from statuspage.models import Document
from tests.statuspage.importing import pages

pytestmark = pytest.mark.django_db
NOT_THERE = {"page_id", "shortlink", "updated_at", "components", "incident_updates"}  # ours by right, or compared apart
FEEDS = {"/history.atom": "content", "/history.rss": "summary"}


@pytest.fixture
def given(take_over, monkeypatch, settings) -> list[dict]:
    """The incidents of the record, newest first, after they and its maintenance were taken over.

    Feeds and calendars are made to hold all of them, and the page speaks one language, for time's sake.
    """
    settings.PAGE_LANGUAGES = ["en"]
    monkeypatch.setattr(snapshot, "NEWEST", 1_000)
    monkeypatch.setattr(calendar, "KEPT", timedelta(days=3_650))
    incidents = pages.incidents()
    said = take_over(pages.document(*incidents, *pages.maintenances(), components=10), "--write")
    assert "incidents        518         0         0         0" in said
    assert "works             18         -         0         -" in said
    return incidents


def body(path: str) -> bytes:
    """What is served at a path, as it was written when the import ended."""
    return bytes(Document.objects.get(path=path).body)


def test_every_incident_of_a_real_page_reads_back_as_it_was(given):
    assert len(given) == 518
    for check in (
        json_is_equal,
        feeds_are_equal,
        json_feed_is_equal,
        pages_are_equal,
        history_has_all_of_them,
        calendar_is_equal,
        maintenance_is_equal,
    ):
        check(given)
    assert not Announcement.objects.exists()


def json_is_equal(given: list[dict]) -> None:
    described = json.loads(body("/openapi.json"))
    content = described["paths"]["/incidents/{code}.json"]["get"]["responses"]["200"]["content"]
    validator = Draft202012Validator(content["application/json"]["schema"] | {"components": described["components"]})
    for row in given:
        document = json.loads(body(f"/incidents/{row['id']}.json"))
        assert list(validator.iter_errors(document)) == []
        same_incident(document["incident"], row)
    recent = json.loads(body("/api/v2/incidents.json"))["incidents"]
    for ours, row in zip(recent, given[:50], strict=True):
        same_incident(ours, row)


def same_incident(ours: dict, row: dict) -> None:
    for key in row.keys() - NOT_THERE:
        assert ours[key] == row[key], (row["id"], key)
    assert [part["id"] for part in ours["components"]] == [part["id"] for part in row["components"]]
    told = [update | {"deliver_notifications": True} for update in ours["incident_updates"]]
    assert told == row["incident_updates"]


def feeds_are_equal(given: list[dict]) -> None:
    for path, key in FEEDS.items():
        found = feedparser.parse(body(path))
        assert not found.bozo
        entries = {entry.link.rpartition("/")[2]: entry for entry in found.entries if "/incidents/" in entry.link}
        assert entries.keys() == {row["id"] for row in given}
        for row in given:
            entry = entries[row["id"]]
            assert entry.title == row["name"]
            assert datetime(*entry.published_parsed[:6]) == instant(row["created_at"]).replace(tzinfo=None)
            words = entry.content[0].value if key == "content" else entry.summary
            assert steps_in(words) == steps_of(row)


def json_feed_is_equal(given: list[dict]) -> None:
    items = json.loads(body("/feed.json"))["items"]
    found = {item["url"].rpartition("/")[2]: item for item in items if "/incidents/" in item["url"]}
    assert found.keys() == {row["id"] for row in given}
    for row in given:
        item = found[row["id"]]
        assert item["title"] == row["name"]
        assert instant(item["date_published"]) == instant(row["created_at"])
        assert steps_in(item["content_html"]) == steps_of(row)


def pages_are_equal(given: list[dict]) -> None:
    for row in given:
        html = body(f"/incidents/{row['id']}").decode()
        said = [instant(at) for at in re.findall(r'<li>\s*<time datetime="([^"]+)"', html)]
        assert said == [instant(update["display_at"]) for update in row["incident_updates"]], row["id"]


def history_has_all_of_them(given: list[dict]) -> None:
    for row in given:
        month = instant(row["started_at"])
        assert f'href="/incidents/{row["id"]}"'.encode() in body(f"/history/{month:%Y-%m}")


def calendar_is_equal(given: list[dict]) -> None:
    found = {str(event["UID"]): event for event in icalendar.Calendar.from_ical(body("/calendar.ics")).walk("VEVENT")}
    works = pages.maintenances()
    assert found.keys() == {*(f"incident-{r['id']}" for r in given), *(f"maintenance-{r['id']}" for r in works)}
    for kind, rows in (("incident", given), ("maintenance", works)):
        for row in rows:
            event, newest = found[f"{kind}-{row['id']}"], row["incident_updates"][0]
            assert event["SUMMARY"] == row["name"]
            assert event.start == instant(row["started_at"])
            assert event.end == instant(row["resolved_at"])
            assert event["CREATED"].dt == instant(row["created_at"])
            assert event["DTSTAMP"].dt == instant(newest["created_at"])
            assert plain(newest["body"]) in event["DESCRIPTION"]


def plain(markdown: str) -> str:
    return markdown.partition("*")[0]


def maintenance_is_equal(given: list[dict]) -> None:
    ours = json.loads(body("/api/v2/scheduled-maintenances.json"))["scheduled_maintenances"]
    rows = {row["id"]: row for row in pages.maintenances()}
    assert {row["id"] for row in ours} == rows.keys()
    for row in ours:
        same_incident(row, rows[row["id"]])
        assert body(f"/maintenance/{row['id']}")


def steps_in(words: str) -> list[tuple[str, str]]:
    """Instant and stage of each update of an entry."""
    return re.findall(r"<p><small>([^<]+)</small><br ?/?><strong>([^<]+)</strong></p>", words)


def steps_of(row: dict) -> list[tuple[str, str]]:
    """The same, from the source: a stage that is told again is an update."""
    found, told = [], ""
    for update in reversed(row["incident_updates"]):
        at, stage = instant(update["display_at"]), update["status"]
        found.append((f"{at.day} {at:%B %Y, %H:%M} UTC", "Update" if stage == told else stage.capitalize()))
        told = stage
    return found[::-1]


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)
