"""What feed readers, badges and frames show."""

import json
import re
from datetime import timedelta
from xml.etree import ElementTree

import feedparser
import pytest
from django.utils import timezone

from statuspage.models import Notice
from tests.statuspage.factories import component, past_incident, publish

pytestmark = pytest.mark.django_db
FEEDS = ["/history.atom", "/history.rss"]
ATOM = "{http://www.w3.org/2005/Atom}"


def read(client, path: str) -> feedparser.FeedParserDict:
    found = feedparser.parse(client.get(path).content)
    assert not found.bozo, found.get("bozo_exception")
    return found


def plain(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


@pytest.fixture
def outage(freezer) -> Notice:
    publish("investigating", body="Every request **fails**.")
    freezer.shift(timedelta(minutes=10))
    publish("investigating", body="Still looking.")
    freezer.shift(timedelta(minutes=10))
    return publish("identified", body="A cable was cut.").notice


@pytest.mark.parametrize("path", FEEDS)
def test_an_incident_is_one_entry_with_its_updates_newest_first(client, outage, path):
    (entry,) = read(client, path).entries
    words = entry.content[0].value if "content" in entry else entry.summary
    text = plain(words)

    assert entry.title == "Agent API unavailable"
    assert entry.link == f"http://127.0.0.1:8000/incidents/{outage.code}"
    assert text.index("A cable was cut") < text.index("Still looking") < text.index("Every request")
    assert "2 March 2026, 14:50 UTC" in text
    assert "<strong>fails</strong>" in words


def test_a_stage_that_is_told_of_again_is_called_an_update(client, outage):
    stages = re.findall(r"<strong>(\w+)</strong></p>", read(client, "/history.atom").entries[0].content[0].value)

    assert stages == ["Identified", "Update", "Investigating"]


@pytest.mark.parametrize("path", FEEDS)
def test_an_entry_keeps_its_name_when_its_title_changes(client, outage, path):
    before = read(client, path).entries[0].id
    publish("resolved", title="Agent API was unavailable")
    (entry,) = read(client, path).entries

    assert entry.title == "Agent API was unavailable"
    assert entry.id == before


def test_atom_says_when_it_began_and_when_it_was_last_told(client, outage, settings):
    settings.PUBLIC_BASE_URL = "https://status.example.com"
    feed = read(client, "/history.atom")

    assert feed.feed.id == "tag:status.example.com,2005:/history"
    assert feed.entries[0].id == f"tag:status.example.com,2005:Incident/{outage.pk}"
    assert feed.entries[0].published == "2026-03-02T14:30:00+00:00"
    assert feed.entries[0].updated == feed.feed.updated == "2026-03-02T14:50:00+00:00"
    links = {link.rel: link.href for link in feed.feed.links}
    assert links == {
        "alternate": "https://status.example.com/history",
        "self": "https://status.example.com/history.atom",
    }


def test_a_json_feed_tells_the_same(client, outage):
    feed = client.get("/feed.json").json()
    (item,) = feed["items"]

    assert feed["version"] == "https://jsonfeed.org/version/1.1"
    assert item["title"] == "Agent API unavailable"
    assert plain(item["content_html"]) == plain(read(client, "/history.atom").entries[0].content[0].value)
    assert item["date_modified"] == "2026-03-02T14:50:00+00:00"


@pytest.mark.parametrize("path", [*FEEDS, "/feed.json", "/badge.svg", "/widget"])
def test_whatever_was_typed_stays_text(client, path):
    evil = "<script>alert(1)</script> & ]]> \x0b\x1b é 漢字 🚨"
    publish(
        "investigating", (component(f"A {evil}"), "major_outage"), title=evil, body=f"{evil} [x](javascript:alert(1))"
    )
    answer = client.get(path).content.decode()
    if path == "/feed.json":  # its title is plain text
        answer = json.loads(answer)["items"][0]["content_html"]

    assert "<script" not in answer
    assert 'href="javascript' not in answer
    if path in FEEDS:
        assert "漢字 🚨" in read(client, path).entries[0].title
    if path != "/feed.json" and path != "/widget":
        ElementTree.fromstring(answer)  # well-formed


@pytest.mark.parametrize("path", [*FEEDS, "/feed.json"])
def test_a_feed_holds_the_twenty_five_newest(client, path):
    for number in range(27):
        past_incident(
            f"INC-{number}", title=f"Number {number}", started_at=timezone.now() - timedelta(days=30 - number)
        )

    titles = (
        [entry.title for entry in read(client, path).entries]
        if path in FEEDS
        else [item["title"] for item in client.get(path).json()["items"]]
    )
    assert titles == [f"Number {number}" for number in range(26, 1, -1)]


@pytest.mark.parametrize("path", FEEDS)
def test_an_empty_history_is_a_feed_too(client, path):
    assert read(client, path).entries == []


def test_the_badge_says_the_state_in_words_and_in_its_hue(client):
    calm = client.get("/badge.svg").content.decode()
    publish("investigating")
    bad = client.get("/badge.svg").content.decode()

    assert 'aria-label="AgentGuard status: All systems operational"' in calm
    assert "#1c7a50" in calm
    assert "<title>AgentGuard status: Major outage</title>" in bad
    assert "#b3182f" in bad
    assert "style=" not in bad  # a policy on the other site may forbid it


def test_the_widget_may_stand_in_a_frame_and_nothing_else_of_ours_may(client, outage):
    widget = client.get("/widget")

    assert "frame-ancestors *" in widget["Content-Security-Policy"]
    assert "X-Frame-Options" not in widget
    assert "Agent API unavailable" in widget.content.decode()
    assert "<script" not in widget.content.decode()
    assert client.get("/")["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in client.get("/")["Content-Security-Policy"]


def test_the_page_names_its_feed_to_readers(client):
    assert '<link rel="alternate" type="application/atom+xml" href="/history.atom"' in client.get("/").content.decode()
