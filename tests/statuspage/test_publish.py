from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import ProtectedError
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from irportal.ledger.models import Entry
from irportal.refused import Refused
from statuspage.models import Component, Notice
from statuspage.publish import set_next_update
from tests.statuspage.factories import component, publish

pytestmark = pytest.mark.django_db


def state_of(part: Component) -> str:
    return Component.objects.with_state().get(pk=part.pk).state


def test_the_first_update_puts_the_incident_on_the_page(lin):
    api = component()
    update = publish("investigating", (api, "major_outage"), by=lin)

    assert update.notice.ref == "INC-42"
    assert state_of(api) == "major_outage"
    assert len(update.notice.code) == len(update.code) == 12


def test_an_update_freezes_what_each_component_was_and_became():
    api, board = component("Agent API", group="Platform"), component("Dashboard")
    publish("investigating", (api, "major_outage"), (board, "degraded_performance"))
    update = publish("identified", (api, "partial_outage"))

    assert update.affected == [
        {
            "code": api.code,
            "name": "Platform - Agent API",
            "old_status": "major_outage",
            "new_status": "partial_outage",
        },
        {
            "code": board.code,
            "name": "Dashboard",
            "old_status": "degraded_performance",
            "new_status": "operational",
        },
    ]


def test_the_worst_of_two_open_incidents_decides_a_components_state():
    api = component()
    publish("investigating", (api, "degraded_performance"), ref="INC-1")
    publish("investigating", (api, "partial_outage"), ref="INC-2")
    publish("investigating", (api, "under_maintenance"), ref="INC-3")

    assert state_of(api) == "partial_outage"


def test_only_a_changed_state_moves_the_time_of_change(freezer):
    api = component()
    publish("investigating", (api, "major_outage"))
    fell_at = timezone.now()
    freezer.shift(timedelta(minutes=10))
    publish("identified", (api, "major_outage"))

    assert Component.objects.get(pk=api.pk).state_changed_at == fell_at


def test_each_state_leaves_its_instant(freezer):
    publish("investigating")
    freezer.shift(timedelta(minutes=15))
    publish("monitoring")
    monitored_at = timezone.now()
    freezer.shift(timedelta(minutes=15))
    notice = publish("resolved").notice

    assert (notice.monitoring_at, notice.resolved_at) == (monitored_at, timezone.now())


def test_resolving_frees_the_components_and_ends_the_promise():
    api, due = component(), timezone.now() + timedelta(minutes=30)
    publish("investigating", (api, "major_outage"), next_update_by=due)
    update = publish("resolved", next_update_by=due)

    assert update.affected[0]["new_status"] == state_of(api) == "operational"
    assert update.notice.next_update_by is None


def test_a_resolved_incident_remembers_what_it_hit():
    api = component()
    publish("investigating", (api, "major_outage"))
    update = publish("resolved", (api, "operational"))

    assert [hit.state for hit in update.notice.hits.all()] == ["major_outage"]


def test_re_opening_clears_the_resolution_and_keeps_every_word():
    api = component()
    publish("investigating", (api, "major_outage"))
    publish("resolved")
    update = publish("investigating", (api, "partial_outage"))

    assert update.notice.resolved_at is None
    assert state_of(api) == "partial_outage"
    assert [u.status for u in update.notice.updates.all()] == ["investigating", "resolved", "investigating"]


def test_a_correction_of_a_resolved_incident_keeps_the_time_of_resolution(freezer):
    started_at = timezone.now()
    publish("resolved", started_at=started_at)
    resolved_at = timezone.now()
    freezer.shift(timedelta(hours=2))
    update = publish("resolved", kind="correction", body="We wrote 40 requests; it was 400.", started_at=started_at)

    assert update.kind == "correction"
    assert update.notice.resolved_at == resolved_at


def test_publishing_leaves_one_ledger_entry_without_the_text(lin):
    publish("identified", body="The pool ran dry.", by=lin)

    entry = Entry.objects.get(deed="notice.published")
    assert entry.subject == "INC-42"
    assert "lin@example.com" in entry.line
    assert "pool ran dry" not in entry.line


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"title": "  "}, "The title is empty"),
        ({"title": "x" * 100_000}, "100000 characters"),
        ({"body": "\n "}, "no text"),
        ({"body": "nul \0 byte"}, "cannot be stored"),
        ({"status": "fine"}, "'fine' is not a status"),
        ({"impact": "huge"}, "'huge' is not an impact"),
        ({"kind": "rumour"}, "'rumour' is not a kind of update"),
    ],
)
def test_words_that_cannot_be_published_are_refused_with_a_reason(given, sentence):
    with pytest.raises(Refused, match=sentence):
        publish(**given)
    assert not Notice.objects.exists()


def test_resolving_before_the_start_is_refused():
    now = timezone.now()
    with pytest.raises(Refused, match="cannot be resolved before it started"):
        publish("resolved", started_at=now, said_at=now - timedelta(minutes=1))


def test_components_must_exist_once_and_have_a_known_state():
    api, gone = component(), component("Dashboard")
    Component.objects.filter(pk=gone.pk).delete()

    for affected, sentence in [
        ([(gone, "major_outage")], "Dashboard was deleted meanwhile"),
        ([(api, "major_outage"), (api, "operational")], "Agent API is named twice"),
        ([(api, "on_fire")], "'on_fire' is not a state"),
    ]:
        with pytest.raises(Refused, match=sentence):
            publish("investigating", *affected)


def test_a_line_break_in_a_title_becomes_a_space():
    assert publish(title="Agent API\r\nBcc: mallory@example.com").notice.title == "Agent API Bcc: mallory@example.com"


def test_the_promise_can_change_without_a_new_text(lin):
    publish("investigating")
    due = timezone.now() + timedelta(minutes=20)
    set_next_update("INC-42", due, lin)

    set_next_update("INC-42", due, lin)

    assert Notice.objects.get().next_update_by == due
    assert Entry.objects.filter(deed="notice.next_update_set").count() == 1


def test_a_resolved_incident_promises_nothing(lin):
    publish("resolved")
    with pytest.raises(Refused, match="INC-42 is not open"):
        set_next_update("INC-42", timezone.now(), lin)


def test_the_database_refuses_a_resolution_before_the_start():
    notice = publish("resolved").notice
    with pytest.raises(IntegrityError), transaction.atomic():
        Notice.objects.filter(pk=notice.pk).update(resolved_at=notice.started_at - timedelta(seconds=1))


def test_a_component_that_was_published_cannot_be_deleted():
    api = component()
    publish("investigating", (api, "major_outage"))
    with pytest.raises(ProtectedError):
        api.delete()


def test_publishing_asks_the_database_as_often_for_ten_components_as_for_two():
    def queries(ref: str, number: int) -> int:
        parts = [(component(f"Part {n}"), "partial_outage") for n in range(number)]
        with CaptureQueriesContext(connection) as asked:
            publish("investigating", *parts, ref=ref)
        return len(asked)

    assert queries("INC-1", 2) == queries("INC-2", 10)
