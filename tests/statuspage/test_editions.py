"""What is written anew, when, and that nothing else is."""

from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest
from django.conf import settings
from django.contrib.admin.sites import site as admin_site
from django.db import OperationalError, connection, transaction
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from statuspage import documents, editions, languages, snapshot
from statuspage.admin import ComponentAdmin
from statuspage.models import Change, Component, Document, Edition, Maintenance, Notice
from tests import database
from tests.statuspage.factories import announced, component, past_incident, publish

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("new_process")]


def settle() -> None:
    """Write everything that waits."""
    while editions.refresh():
        pass


def written() -> dict[str, int]:
    return dict(Document.objects.values_list("path", "version"))


def what_a_deed_writes(deed) -> set[str]:
    """The paths whose documents are others after this deed."""
    before = written()
    deed()
    settle()
    return {path for path, version in written().items() if before.get(path) != version}


@pytest.fixture
def built(freezer):
    """A page with a component, two past incidents and one open, all written."""
    api = component("Agent API")
    past_incident("INC-40", title="Slow answers", started_at=timezone.now() - timedelta(days=40))
    past_incident("INC-41", title="Slower answers", started_at=timezone.now() - timedelta(days=3))
    publish("investigating", (api, "major_outage"))
    editions.rebuild()
    settle()
    freezer.shift(timedelta(minutes=1))
    return api


def test_a_publish_writes_the_documents_about_it_and_no_others(built):
    changed = what_a_deed_writes(lambda: publish("identified", (built, "major_outage")))
    notice = Notice.objects.get(ref="INC-42")

    worded = {
        "/",
        "/history",
        "/history/2026-03",
        "/history.atom",
        "/history.rss",
        "/feed.json",
        "/widget",
        f"/incidents/{notice.code}",
    }
    assert changed == {languages.at(path, language) for path in worded for language in settings.PAGE_LANGUAGES} | {
        f"/incidents/{notice.code}.json",
        "/calendar.ics",
        f"/components/{built.code}.ics",
        "/api/v2/status.json",
        "/api/v2/summary.json",
        "/api/v2/components.json",
        "/api/v2/incidents.json",
        "/api/v2/incidents/unresolved.json",
        "/api/v2/scheduled-maintenances.json",
        "/api/v2/scheduled-maintenances/upcoming.json",
        "/api/v2/scheduled-maintenances/active.json",
    }


def test_a_plan_is_written_for_people_programs_and_calendars(built):
    written = what_a_deed_writes(lambda: announced(built, silent="A test"))
    code = Maintenance.objects.get().code

    assert {f"/maintenance/{code}", f"/maintenance/{code}.json", f"/maintenance/{code}.ics"} <= written
    assert not {path for path in written if "/incidents/" in path and "unresolved" not in path}


def test_a_publish_writes_right_after_its_commit(built, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        publish("identified", (built, "major_outage"), body="A cable was cut.")

    assert b"A cable was cut." in bytes(Document.objects.get(path="/").body)
    assert not Change.objects.filter(place=0, rank=Change.Rank.NEWS).exists()


def test_a_publish_that_is_rolled_back_writes_nothing(built):
    before = Edition.objects.get().version
    with transaction.atomic():
        publish("identified", (built, "major_outage"))
        transaction.set_rollback(True)
    settle()

    assert Edition.objects.get().version == before


def test_what_the_commit_could_not_write_the_engine_writes(built):
    publish("identified", (built, "major_outage"), body="A cable was cut.")
    editions.run_due(timezone.now())

    assert b"A cable was cut." in bytes(Document.objects.get(path="/").body)


def test_a_document_that_cannot_be_written_stops_no_other_and_stays_to_be_done(built, monkeypatch, caplog):
    monkeypatch.setattr(editions, "BATCH", 0)  # however slowly it fails

    def broken(subject, now):
        raise ZeroDivisionError

    monkeypatch.setattr(
        editions, "KINDS", [replace(kind, write=broken) if kind.name == "page" else kind for kind in documents.KINDS]
    )
    publish("identified", (built, "major_outage"), body="A cable was cut.")
    settle()

    assert b"A cable was cut." in bytes(Document.objects.get(path="/api/v2/summary.json").body)
    assert b"A cable was cut." not in bytes(Document.objects.get(path="/").body)
    assert {*Change.objects.values_list("topic", flat=True)} == {"now:-"}
    assert "page about now:- could not be written" in caplog.text


def test_writing_again_what_did_not_change_changes_no_byte(built):
    assert what_a_deed_writes(editions.rebuild) == set()


def test_a_renamed_component_is_renamed_in_the_incidents_that_name_it(built):
    built.name = "Agents"
    built.save()
    changed = what_a_deed_writes(lambda: editions.touch_component(built))
    old, named = Notice.objects.get(ref="INC-41"), Notice.objects.get(ref="INC-42")

    assert f"/incidents/{named.code}" in changed
    assert f"/incidents/{old.code}" not in changed
    assert b"Agents" in bytes(Document.objects.get(path="/api/v2/components.json").body)


def test_a_promise_becomes_late_by_time_alone(built, freezer):
    publish("identified", (built, "major_outage"), next_update_by=timezone.now() + timedelta(minutes=10))
    settle()
    freezer.shift(timedelta(minutes=10, seconds=1))
    editions.run_due(timezone.now())

    notice = Notice.objects.get(ref="INC-42")
    for path in ("/", f"/incidents/{notice.code}"):
        assert b"it is late" in bytes(Document.objects.get(path=path).body)


def test_at_midnight_the_page_has_another_day_and_a_new_month_a_page(built, freezer):
    publish("resolved")
    settle()
    freezer.shift(timedelta(days=30))
    editions.run_due(timezone.now())
    settle()

    assert b"April 2026" in bytes(Document.objects.get(path="/").body)
    assert b"/history/2026-03" in bytes(Document.objects.get(path="/history/2026-04").body)
    assert b"/history/2026-04" in bytes(Document.objects.get(path="/history/2026-03").body)


def test_an_incident_before_the_record_lets_every_month_since_have_a_page(built):
    past_incident("INC-1", started_at=timezone.now() - timedelta(days=150))
    settle()

    for month in ("2025-10", "2025-11", "2025-12", "2026-01"):
        assert Document.objects.filter(path=f"/history/{month}").exists()
    assert b"/history/2025-12" in bytes(Document.objects.get(path="/history/2026-01").body)


def test_other_code_writes_everything_anew_once_and_drops_what_has_no_address(built, monkeypatch):
    Document.objects.create(path="/old.json", version=1, head="", body=b"", etag="", modified=0, topic="now:-")
    editions.run_due(timezone.now())
    settle()
    assert not Document.objects.filter(path="/old.json").exists()

    monkeypatch.setattr(editions, "_built", set())
    editions.run_due(timezone.now())
    assert not Change.objects.exists()


def test_news_does_not_wait_for_a_rebuild(built, monkeypatch):
    monkeypatch.setattr(editions, "BATCH", -1)
    editions.rebuild()
    publish("identified", (built, "major_outage"), body="A cable was cut.")
    editions.refresh()

    assert b"A cable was cut." in bytes(Document.objects.get(path="/").body)
    assert Change.objects.filter(rank=Change.Rank.REBUILD).exists()


class NewsBehindTheFirstDocument:
    """As `editions._news()` when another process publishes while the second document is written, once."""

    def __init__(self) -> None:
        self.answers = iter([False, True])

    def filter(self, **newer: int) -> "NewsBehindTheFirstDocument":
        return self

    def exists(self) -> bool:
        return next(self.answers, False)


def test_what_can_wait_is_given_up_whole_for_news_that_comes_meanwhile(built, monkeypatch):
    publish("identified", (built, "major_outage"), body="A cable was cut.")
    editions.refresh()
    german = next(place for place, language in enumerate(settings.PAGE_LANGUAGES) if language == "de")
    Change.objects.exclude(place=german, topic="now:-").delete()
    news, wrote, write = NewsBehindTheFirstDocument(), [], editions._write
    monkeypatch.setattr(editions, "_news", lambda: news)
    monkeypatch.setattr(editions, "_write", lambda kind, *others: wrote.append(kind.name) or write(kind, *others))

    assert editions.refresh() == 1
    assert wrote[:2] == ["page", "page"]
    assert b"A cable was cut." in bytes(Document.objects.get(path="/de/").body)


def test_lists_follow_the_page_a_moment_later_and_news_of_many_is_written_once(built, monkeypatch):
    for number in range(3):
        publish("identified", (built, "major_outage"), body=f"Finding {number}.")
    wrote, write = [], editions._write
    monkeypatch.setattr(editions, "_write", lambda kind, *others: wrote.append(kind.name) or write(kind, *others))
    editions.refresh()

    assert wrote.count("page") == 1
    assert not {"history-atom", "history", "incidents-json"} & set(wrote)
    editions.refresh()
    assert b"Finding 2." in bytes(Document.objects.get(path="/history.atom").body)


def test_writing_after_a_publish_costs_the_same_after_two_hundred_incidents(built, monkeypatch):
    monkeypatch.setattr(editions, "BATCH", 3600)  # on a busy machine calendars would come in a batch of their own

    def cost() -> int:
        publish("identified", (built, "major_outage"))
        with CaptureQueriesContext(connection) as asked:
            settle()
        return len(asked)

    few = cost()
    for number in range(200):
        past_incident(f"INC-9{number}", started_at=timezone.now() - timedelta(days=number % 60))
    settle()
    assert cost() == few


def test_an_edited_component_is_noted(built, ada):
    request = RequestFactory().post("/")
    request.user = ada
    ComponentAdmin(Component, admin_site).record(request, built, "changed")

    assert "now:-" in Change.objects.values_list("topic", flat=True)


def test_every_document_has_the_bytes_django_would_send(built, client):
    for document in Document.objects.exclude(path__startswith="/static/").exclude(status=404):
        live = client.get(document.path)
        assert live.status_code == document.status
        if document.status == 200:
            assert live.content == bytes(document.body), document.path
        promised = dict(line.split(": ", 1) for line in document.head.splitlines())
        if document.status == 200:
            own = {
                name: value
                for name, value in live.headers.items()
                if name not in ("ETag", "Last-Modified", "Content-Length")
            }
            assert promised == own, document.path


@pytest.mark.django_db(transaction=True)
def test_nobody_waits_long_for_a_writer_that_was_stopped_half_way():
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer, whom everybody waits for")
    component("Agent API")
    editions.rebuild()
    with psycopg.connect(database.url()) as stopped:
        stopped.execute("SELECT * FROM statuspage_edition FOR UPDATE")
        publish("investigating")
        editions.run_due(timezone.now())
        with pytest.raises(OperationalError):
            editions.refresh(patience=0.1)
        assert not Document.objects.exists()
    settle()

    assert Document.objects.filter(path="/").exists()


def test_an_incident_of_another_year_waits_for_nothing(built):
    past = past_incident("INC-2", started_at=timezone.now() - timedelta(days=400)).notice
    settle()

    assert Document.objects.get(path=f"/incidents/{past.code}").due is None
    assert snapshot.since() is not None
