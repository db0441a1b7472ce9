"""What a publication writes of the time components were down, and what the page shows of it."""

import gzip
from datetime import timedelta

import brotli
import pytest
from django.contrib.staticfiles import finders
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from statuspage import documents, editions, snapshot, spans
from statuspage.models import Component, Document, StateSpan
from tests.statuspage.factories import component, past_incident, publish
from tests.statuspage.test_pages import words

pytestmark = pytest.mark.django_db


def told(part: Component) -> list[tuple[str, int, int | None]]:
    """Its spans as (state, minutes before now it began, minutes before now it ended)."""
    now = timezone.now()

    def before(at) -> int | None:
        return at and round((now - at) / timedelta(minutes=1))

    rows = StateSpan.objects.filter(component=part)
    return [(span.state, before(span.began_at), before(span.ended_at)) for span in rows]


def old(part: Component, days: int = 400) -> Component:
    Component.objects.filter(pk=part.pk).update(created_at=timezone.now() - timedelta(days=days))
    part.refresh_from_db()
    return part


@pytest.fixture
def api(freezer) -> Component:
    return old(component("Agent API"))


def later(freezer, minutes: int) -> None:
    freezer.shift(timedelta(minutes=minutes))


def test_the_first_update_tells_of_the_time_since_the_start(api):
    publish("investigating", (api, "major_outage"))

    assert told(api) == [("major_outage", 30, None)]


def test_a_state_holds_until_another_is_said(api, freezer):
    board = component("Dashboard")
    start = publish("investigating", (api, "major_outage")).notice.started_at
    later(freezer, 10)
    publish("identified", (api, "partial_outage"), (board, "degraded_performance"), started_at=start)
    later(freezer, 10)
    publish("monitoring", (board, "degraded_performance"), started_at=start)
    later(freezer, 10)
    publish("resolved", (board, "degraded_performance"), started_at=start)

    assert told(api) == [("major_outage", 60, 20), ("partial_outage", 20, 10)]
    assert told(board) == [("degraded_performance", 20, 0)]


def test_a_holding_message_adds_nothing(api, freezer):
    start = publish("investigating", (api, "major_outage")).notice.started_at
    later(freezer, 10)
    publish("investigating", (api, "major_outage"), kind="holding", started_at=start)

    assert told(api) == [("major_outage", 40, None)]


def test_what_is_opened_again_is_down_from_then_on(api, freezer):
    start = publish("investigating", (api, "major_outage")).notice.started_at
    publish("resolved", started_at=start)
    later(freezer, 10)
    publish("investigating", (api, "partial_outage"), started_at=start)

    assert told(api) == [("major_outage", 40, 10), ("partial_outage", 0, None)]


def test_another_start_moves_what_held_since_the_start(api, freezer):
    start = publish("investigating", (api, "major_outage")).notice.started_at
    publish("identified", (api, "major_outage"), started_at=start - timedelta(minutes=15))
    assert told(api) == [("major_outage", 45, None)]

    later(freezer, 10)
    publish("identified", (api, "partial_outage"), started_at=start - timedelta(minutes=15))
    publish("identified", (api, "partial_outage"), started_at=timezone.now())
    assert told(api) == [("major_outage", 0, 0), ("partial_outage", 0, None)]


def test_the_end_cuts_what_was_said_after_it(api, freezer):
    start = publish("investigating", (api, "major_outage")).notice.started_at
    later(freezer, 20)
    publish("identified", (api, "partial_outage"), started_at=start)
    later(freezer, 20)
    publish("resolved", started_at=start, said_at=timezone.now() - timedelta(minutes=30))

    assert told(api) == [("major_outage", 70, 30), ("partial_outage", 20, 20)]


def test_a_correction_after_the_end_changes_what_had_been_told(api, freezer):
    board, mail = component("Dashboard"), component("E-mail")
    start = publish("investigating", (api, "major_outage"), (board, "major_outage")).notice.started_at
    publish("resolved", started_at=start)
    later(freezer, 60)
    said = [(api, "partial_outage"), (mail, "degraded_performance")]
    publish("resolved", *said, kind="correction", started_at=start, said_at=timezone.now())

    assert told(api) == [("partial_outage", 90, 60)]
    assert told(board) == [("major_outage", 90, 90)]
    assert told(mail) == [("degraded_performance", 90, 60)]


@pytest.fixture
def yesterdays(api, freezer):
    """An incident of yesterday, told and ended yesterday."""
    notice = publish("investigating", (api, "major_outage")).notice
    publish("resolved", started_at=notice.started_at)
    later(freezer, 1440)
    return notice


def start_earlier(api, notice):
    earlier = notice.started_at - timedelta(hours=1)
    publish("resolved", kind="correction", started_at=earlier)


def say_less(api, notice):
    publish("resolved", (api, "partial_outage"), kind="correction", started_at=notice.started_at)


def say_more(api, notice):
    past_incident("INC-7", started_at=timezone.now() - timedelta(days=3), affected=[(api, "partial_outage")])


@pytest.mark.parametrize("deed", [start_earlier, say_less, say_more])
def test_a_past_day_that_is_changed_is_called_adjusted(api, yesterdays, deed, client):
    assert "uptime, adjusted" not in words(client.get("/"))
    deed(api, yesterdays)

    assert "uptime, adjusted" in words(client.get("/"))


def test_an_end_before_what_was_told_on_a_day_that_is_over_is_an_adjustment(api, freezer, client):
    start = publish("investigating", (api, "major_outage")).notice.started_at
    later(freezer, 600)
    publish("identified", (api, "major_outage"), started_at=start)
    later(freezer, 6)
    publish("resolved", started_at=start, said_at=start + timedelta(minutes=5))

    assert "uptime, adjusted" in words(client.get("/"))


def test_reporting_on_the_day_itself_adjusts_nothing(api, freezer, client):
    start = publish("investigating", (api, "major_outage")).notice.started_at
    later(freezer, 30)
    publish("resolved", started_at=start - timedelta(minutes=5), said_at=timezone.now() - timedelta(minutes=10))

    assert "adjusted" not in words(client.get("/")).replace("“adjusted”", "")


def test_the_page_shows_ninety_days_their_worst_and_the_share_that_was_up(api, freezer, client):
    past_incident("INC-7", started_at=timezone.now() - timedelta(days=3), affected=[(api, "partial_outage")])
    publish("investigating", (api, "major_outage"))
    page = client.get("/").content.decode()

    assert 'aria-label="Agent API, last 90 days: major outage today, partial outage on 27 February, otherwise' in page
    assert '<path class="d-major" d="M445 16H448.4"/>' in page
    assert "90 days ago 99.96 % uptime, adjusted today" in words(client.get("/")).replace("\xa0", " ").replace(
        "&nbsp;", " "
    )


def test_a_young_component_says_since_when_and_has_no_bars_before(freezer, client):
    old(component("Agent API"), days=10)
    page = client.get("/").content.decode()

    assert "since 20 February" in page
    assert "no data before 20 February, otherwise operational" in page
    assert '<path class="d-none" d="M0 30.5H393.4"/>' in page


def test_an_incident_before_a_component_was_made_here_begins_its_record(freezer, client):
    api = component("Agent API")
    past_incident("INC-7", started_at=timezone.now() - timedelta(days=5), affected=[(api, "major_outage")])

    assert "major outage on 25 February, no data before 25 February" in client.get("/").content.decode()


def test_a_group_says_the_mean_of_its_members(freezer, client):
    api = old(component("Agent API", "Platform"))
    old(component("Dashboard", "Platform"))
    past_incident(
        "INC-7", started_at=timezone.now() - timedelta(days=5), minutes=1440, affected=[(api, "major_outage")]
    )

    assert "uptime 99.44&nbsp;% on average" in client.get("/").content.decode()


def test_the_page_prints_the_weights_in_force(api, client, settings):
    assert "a partial outage counts as 30\xa0%" in client.get("/").content.decode()
    settings.UPTIME_WEIGHTS = {"major_outage": "1", "partial_outage": "1", "degraded_performance": "0.05"}

    assert "degraded performance counts as 5\xa0%" in client.get("/").content.decode()


def test_strict_weights_change_the_percentage(api, freezer, client, settings):
    past_incident(
        "INC-7", started_at=timezone.now() - timedelta(days=5), minutes=1440, affected=[(api, "partial_outage")]
    )
    assert "<b>99.66&nbsp;%</b>" in client.get("/").content.decode()
    settings.UPTIME_WEIGHTS = {"major_outage": "1", "partial_outage": "1"}

    assert "<b>98.88&nbsp;%</b>" in client.get("/").content.decode()


def due_in(minutes: int) -> int:
    return int((timezone.now() + timedelta(minutes=minutes)).timestamp())


def test_the_bars_move_at_midnight_and_the_percentage_falls_while_something_is_down(api, freezer):
    editions.rebuild()
    while editions.refresh():
        pass
    assert Document.objects.get(path="/").due == due_in(570)

    publish("investigating", (api, "degraded_performance"))
    editions.refresh()
    assert Document.objects.get(path="/").due == due_in(570)

    publish("identified", (api, "major_outage"))
    editions.refresh()
    assert Document.objects.get(path="/").due == due_in(10)

    later(freezer, 11)
    before = bytes(Document.objects.get(path="/").body)
    editions.run_due(timezone.now())
    assert bytes(Document.objects.get(path="/").body) != before


def test_old_incidents_are_not_even_read(api):
    now = timezone.now()
    for number in range(20):
        began = now - timedelta(days=100 + number)
        past_incident(f"INC-{number}", started_at=began, affected=[(api, "major_outage")])
    record = spans.records([api], now - timedelta(days=90), now)[api.pk]

    assert not record.stretches


def test_writing_spans_asks_the_database_as_often_for_ten_components_as_for_two(freezer):
    def queries(ref: str, number: int) -> int:
        parts = [component(f"Part {n}") for n in range(number)]
        publish("investigating", *((part, "partial_outage") for part in parts), ref=ref)
        with CaptureQueriesContext(connection) as asked:
            publish("identified", *((part, "major_outage") for part in parts), ref=ref)
        return len(asked)

    assert queries("INC-1", 2) == queries("INC-2", 10)


def test_the_page_with_sixty_components_and_five_incidents_stays_under_forty_kilobytes(freezer):
    """All of it as a browser fetches it: page, stylesheet, script, icon and the font, packed."""
    parts = [old(component(f"Service number {n}", f"Region {n // 10}")) for n in range(60)]
    Component.objects.update(description="What customers of this region use every day")
    for n in range(90):
        hit = [(parts[n * 7 % 60], ["degraded_performance", "partial_outage", "major_outage"][n % 3])]
        began = timezone.now() - timedelta(days=n + 1, minutes=n * 13)
        past_incident(f"INC-{n}", title=f"Slow answers in case {n}", started_at=began, affected=hit)
    for n in range(5):
        hit = [(parts[n * 11 + 5], "major_outage"), (parts[n], "partial_outage")]
        for status in ("investigating", "identified"):
            publish(status, *hit, ref=f"INC-5{n:02}", title=f"Case {n}", body=f"We look at part {n} of it. " * 20)
    page = snapshot.page(snapshot.Facts(), timezone.now())
    assert page.count(b'class="days"') == 60
    weight = len(brotli.compress(page, quality=6))
    for name in documents.ASSETS:
        if not name.endswith("-ext.woff2"):  # fetched only where a text has such letters
            with open(finders.find(name), "rb") as file:
                content = file.read()
            weight += len(content) if name.endswith(".woff2") else len(brotli.compress(content, quality=6))

    assert len(gzip.compress(page)) < 20_000
    assert weight < 40_000
