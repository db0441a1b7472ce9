"""Whatever is published, corrected, retracted, reordered or taken over in whatever order, documents tell one story.

What was told is kept beside the portal, in plain lists; after each deed what is served is read as its readers do.
"""

import json
import os
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import feedparser
import icalendar
import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck
from hypothesis import settings as effort
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from irportal.refused import Refused
from statuspage import editions, publish
from statuspage.importing import plan as planning
from statuspage.importing import statuspage_v2, write
from statuspage.importing.shape import File
from statuspage.models import Component, Document, Notice
from tests.statuspage.importing import pages

EXAMPLES, STEPS = int(os.environ.get("EXAMPLES", 8)), int(os.environ.get("STEPS", 14))
REFS = ("INC-1", "INC-2", "INC-3")
MINUTE = timedelta(minutes=1)
STAGE = {
    "resolved": "Resolved",
    "investigating": "Investigating",
    "identified": "Identified",
    "monitoring": "Monitoring",
}
UPDATE = re.compile(
    r'<li>\s*<time datetime="([^"]+)">.*?<h3>(\w+)(?: <span class="kind">([^<]+)</span>)?</h3>'
    r'\s*<div class="said"[^>]*><p>(.*?)</p>',
    re.DOTALL,
)
STEP = re.compile(r"<p><small>([^<]+)</small><br ?/?><strong>([^<]+)</strong></p>\s*<p>(.*?)</p>", re.DOTALL)


@dataclass
class Told:
    """One incident as readers have been told of it; `said` are (stage, instant, words, kind), oldest first."""

    code: str
    title: str
    impact: str
    recorded_at: datetime
    said: list[tuple[str, datetime, str, str]] = field(default_factory=list)
    postmortem: str = ""

    @property
    def stage(self) -> str:
        return self.said[-1][0]


class Machine(RuleBasedStateMachine):
    """Three incidents of ours, pages that are taken over, three components, a clock that the test moves."""

    clock: Any = None
    by: Any = None

    def __init__(self) -> None:
        super().__init__()
        self.undo = transaction.atomic()
        self.undo.__enter__()
        type(self).clock.move_to("2026-03-02 14:30 +0000", tick=False)
        self.told: dict[str, Told] = {}
        self.words = 0
        self.order = [Component.objects.create(name=name, position=n) for n, name in enumerate(("API", "Mail", "Web"))]
        editions.rebuild()

    def teardown(self) -> None:
        try:
            self.readers_look()
        finally:
            transaction.set_rollback(True)
            self.undo.__exit__(None, None, None)

    def new_words(self) -> str:
        self.words += 1
        return f"Word {self.words} of it"

    # Deeds

    @rule(minutes=st.sampled_from([1, 31, 700]))
    def time_passes(self, minutes: int) -> None:
        self.clock.shift(minutes * MINUTE)

    @rule(
        ref=st.sampled_from(REFS),
        status=st.sampled_from(Notice.Status.values),
        impact=st.sampled_from(Notice.Impact.values),
        kind=st.sampled_from(["update", "update", "holding", "correction"]),
        hits=st.lists(st.integers(0, 2), unique=True),
        ago=st.sampled_from([0, 0, 7]),
        renamed=st.booleans(),
    )
    def publish(self, ref: str, status: str, impact: str, kind: str, hits: list[int], ago: int, renamed: bool) -> None:
        """An update or a correction, perhaps of something that was over; perhaps of some minutes ago."""
        known, words, now = self.told.get(ref), self.new_words(), timezone.now()
        title = f"Trouble {words}" if renamed or known is None else known.title
        said_at = now - ago * MINUTE
        update = publish.publish(
            ref,
            title=title,
            status=status,
            impact=impact,
            body=words,
            affected=[(self.order[n], "partial_outage") for n in hits],
            started_at=known.said[0][1] - 60 * MINUTE if known else said_at - 60 * MINUTE,
            said_at=said_at,
            next_update_by=now + 30 * MINUTE if status != "resolved" else None,
            by=self.by,
            kind=kind,
        )
        one = self.told.setdefault(ref, Told(update.notice.code, title, impact, now))
        one.title, one.impact = title, impact
        one.said.append((status, said_at, words, kind))

    @rule(ref=st.sampled_from(REFS), retract=st.booleans())
    def postmortem(self, ref: str, retract: bool) -> None:
        """Published, corrected, or taken back; refused where there is nothing to learn from yet, or to take back."""
        words = "" if retract else self.new_words()
        try:
            if retract:
                publish.withdraw_postmortem(ref, reason="It named the wrong cable", by=self.by)
            else:
                publish.publish_postmortem(ref, words, by=self.by, reason="It was not the whole story")
        except Refused:
            return
        self.told[ref].postmortem = words

    @precondition(lambda self: self.told)
    @rule(data=st.data(), minutes=st.sampled_from([5, 45]))
    def promise(self, data: st.DataObject, minutes: int) -> None:
        ref = data.draw(st.sampled_from(sorted(ref for ref in self.told)))
        if self.told[ref].stage != "resolved" and ref in REFS:
            publish.set_next_update(ref, timezone.now() + minutes * MINUTE, self.by)

    @rule(order=st.permutations([0, 1, 2]), renamed=st.booleans())
    def reorder(self, order: list[int], renamed: bool) -> None:
        """Components change places, and perhaps one its name, as in the settings."""
        self.order = [self.order[n] for n in order]
        if renamed:
            self.order[0].name = self.new_words()
        for position, component in enumerate(self.order):
            component.position = position
            component.save(update_fields=["position", "name"])
            editions.touch_component(component)

    @rule()
    def take_over(self) -> None:
        """An incident of another page, older than all of ours."""
        row = pages.one("investigating", "monitoring", "resolved", name=f"Trouble {self.new_words()}")
        for update in row["incident_updates"]:
            update["body"] = self.new_words()
        row["components"] = []
        page = statuspage_v2.read([File("page.json", pages.document(row))], UTC)
        made = planning.plan(page, space="other", open_too=False, now=timezone.now())
        write.write(made, source="page.json", sha256="", by=self.by)
        said = [
            (update["status"], datetime.fromisoformat(update["display_at"]), update["body"], "update")
            for update in reversed(row["incident_updates"])
        ]
        self.told[row["id"]] = Told(row["id"], row["name"], row["impact"], said[0][1], said)

    # What readers see

    @rule()
    def readers_look(self) -> None:
        while editions.refresh():
            pass
        for one in self.told.values():
            self.page_of(one)
            self.json_of(one)
        self.lists()
        self.feeds()
        self.calendar()
        self.front_page()

    def page_of(self, one: Told) -> None:
        html = served(f"/incidents/{one.code}").decode()
        seen = [
            (stage.lower(), datetime.fromisoformat(at), words, (kind or "update").partition(" ")[0])
            for at, stage, kind, words in UPDATE.findall(html)
        ]
        assert seen == one.said[::-1]
        assert f"<span><bdi>{one.title}</bdi></span>" in html
        assert f"{STAGE[one.stage]}: {one.title}" in html
        assert f"Impact: {one.impact}" in html
        assert (f"<p>{one.postmortem}</p>" in html) == bool(one.postmortem)

    def json_of(self, one: Told) -> None:
        self.same(json.loads(served(f"/incidents/{one.code}.json"))["incident"], one)

    def same(self, row: dict[str, Any], one: Told) -> None:
        seen = [
            (update["status"], datetime.fromisoformat(update["display_at"]), update["body"])
            for update in row["incident_updates"]
            if update["status"] != "postmortem"
        ]
        assert seen == [(stage, at, words) for stage, at, words, _ in one.said[::-1]]
        assert (row["name"], row["impact"]) == (one.title, one.impact)
        assert row["status"] == ("postmortem" if one.postmortem and one.stage == "resolved" else one.stage)
        assert (row["resolved_at"] is None) == (one.stage != "resolved")

    def lists(self) -> None:
        """The lists of the interface: everything, what is open, and components in their order."""
        rows = {row["id"]: row for row in listed("incidents")}
        assert rows.keys() == {one.code for one in self.told.values()}
        for one in self.told.values():
            self.same(rows[one.code], one)
        is_open = {one.code for one in self.told.values() if one.stage != "resolved"}
        assert {row["id"] for row in listed("incidents/unresolved")} == is_open
        assert {row["id"] for row in listed("summary")} == is_open
        assert [row["name"] for row in listed("components", "components")] == [part.name for part in self.order]

    def feeds(self) -> None:
        for path in ("/history.atom", "/history.rss"):
            found = feedparser.parse(served(path))
            assert not found.bozo
            entries = {
                entry.link.rpartition("/")[2]: (
                    entry.title,
                    entry.content[0].value if "content" in entry else entry.summary,
                )
                for entry in found.entries
            }
            self.all_told(entries)
        items = json.loads(served("/feed.json"))["items"]
        self.all_told({item["url"].rpartition("/")[2]: (item["title"], item["content_html"]) for item in items})

    def all_told(self, entries: dict[str, tuple[str, str]]) -> None:
        assert entries.keys() == {one.code for one in self.told.values()}
        for one in self.told.values():
            title, words = entries[one.code]
            assert title == one.title
            told = [step for step in STEP.findall(words) if not step[1].startswith("Post-mortem")]
            assert told == steps(one)
            assert (one.postmortem in words) == bool(one.postmortem) or not one.postmortem

    def calendar(self) -> None:
        found = icalendar.Calendar.from_ical(served("/calendar.ics")).walk("VEVENT")
        events = {str(event["UID"]).removeprefix("incident-"): event for event in found}
        assert events.keys() == {one.code for one in self.told.values()}
        for one in self.told.values():
            event = events[one.code]
            assert event["SUMMARY"] == one.title
            assert event["DESCRIPTION"].startswith(f"{STAGE[one.stage]}.\n\n{one.said[-1][2]}")
            assert event["SEQUENCE"] == len(one.said) - 1
            assert event["STATUS"] == ("CONFIRMED" if one.stage == "resolved" else "TENTATIVE")

    def front_page(self) -> None:
        html = served("/").decode()
        months = served("/history").decode() + served("/history/2026-03").decode()
        for one in self.told.values():
            if one.stage != "resolved":
                assert one.said[-1][2] in html
            assert one.title in html
            assert one.title in months
        places = [html.index(f"<h4><bdi>{part.name}<") for part in self.order]
        assert places == sorted(places)


def served(path: str) -> bytes:
    return bytes(Document.objects.get(path=path).body)


def listed(name: str, key: str = "incidents") -> list[dict[str, Any]]:
    return json.loads(served(f"/api/v2/{name}.json"))[key]


def steps(one: Told) -> list[tuple[str, str, str]]:
    """What a feed shows of each update, newest first; a stage that is told again is an update."""
    found, before = [], ""
    for stage, at, words, _ in one.said:
        moment = f"{at.day} {at:%B %Y, %H:%M} UTC"
        found.append((moment, "Update" if stage == before else STAGE[stage], words))
        before = stage
    return found[::-1]


@pytest.mark.django_db
def test_every_document_tells_the_same_story_whatever_happens_in_whatever_order(freezer, lin, settings):
    settings.PAGE_LANGUAGES = ["en"]
    Machine.clock, Machine.by = freezer, lin
    run_state_machine_as_test(
        Machine,
        settings=effort(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
