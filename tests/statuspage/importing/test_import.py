"""Another page is taken over as it was: first in words only, then whole, once, and without telling anybody."""

import itertools
import json
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from irportal.ledger import actions as ledger
from irportal.ledger.models import Entry
from irportal.outbox import engine
from irportal.outbox.models import Announcement, Attempt, Delivery
from statuspage import editions
from statuspage.importing import write
from statuspage.models import Change, Component, ComponentGroup, Document, Maintenance, Notice, NoticeUpdate, StateSpan
from tests.factories import endpoint
from tests.statuspage.factories import component, publish, subscriber
from tests.statuspage.importing import pages

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("freezer")]
ENDED = ("investigating", "identified", "monitoring", "resolved")


def public() -> tuple[int, ...]:
    """How many rows there are of whatever an import may write."""
    return tuple(model.objects.count() for model in (ComponentGroup, Component, Notice, NoticeUpdate, Entry, Change))


def test_without_write_it_says_what_it_would_do_and_does_nothing(take_over):
    before = public()
    said = take_over(pages.document(pages.one(*ENDED), pages.one("investigating"), components=3))

    assert public() == before
    assert "components         3         -         0         -" in said
    assert "incidents          1         0         0         1" in said
    assert "Nothing was written." in said


def test_every_incident_is_named_when_asked_for(take_over):
    row = pages.one(*ENDED, name="Mail is slow")

    assert f"created: /incidents/{row['id']} Mail is slow" in take_over(pages.document(row), "--verbosity=2")


def test_an_incident_keeps_its_address_its_words_and_its_instants(take_over):
    row = pages.one(*ENDED)
    take_over(pages.document(row), "--write")

    notice = Notice.objects.get()
    assert notice.code == row["id"]
    assert notice.started_at == datetime(2026, 3, 1, 8, tzinfo=UTC)
    assert notice.monitoring_at == datetime(2026, 3, 1, 8, 20, tzinfo=UTC)
    assert notice.resolved_at == datetime(2026, 3, 1, 8, 30, tzinfo=UTC)
    assert [(u.code, u.status, u.body, u.display_at) for u in notice.updates.all()] == [
        (u["id"], u["status"], u["body"], datetime.fromisoformat(u["display_at"])) for u in row["incident_updates"]
    ]


def test_nobody_is_told(take_over, receiver, smtp_relay):
    subscriber("ann@reader.example")
    endpoint(receiver.url())
    take_over(pages.document(pages.one(*ENDED), pages.one("investigating")), "--write", "--open")
    for _ in range(3):
        engine.run_once()

    assert Notice.objects.count() == 2
    assert [model.objects.count() for model in (Announcement, Delivery, Attempt)] == [0, 0, 0]
    assert receiver.posted == []
    assert smtp_relay.taken == []


def test_the_interface_says_that_nobody_was_told(take_over, client):
    row = pages.one(*ENDED)
    take_over(pages.document(row), "--write")
    told = client.get(f"/incidents/{row['id']}.json").json()["incident"]["incident_updates"]

    assert {update["deliver_notifications"] for update in told} == {False}


def test_the_record_says_who_took_over_what_from_where(take_over, grace):
    row = pages.one(*ENDED)
    take_over(pages.document(row, components=1), "--write")
    entry = json.loads(Entry.objects.get(deed="notice.imported").line)

    assert entry["by"] == grace.email
    assert entry["facts"]["source"].endswith("page.json")
    assert len(entry["facts"]["sha256"]) == 64
    assert entry["facts"]["source_id"] == row["id"]
    assert [update["update"] for update in entry["facts"]["updates"]] == [
        u["id"] for u in row["incident_updates"][::-1]
    ]
    assert "reason" not in json.dumps(entry)  # the texts themselves are not in it
    assert Entry.objects.filter(deed="component.changed").count() == 1
    assert ledger.verify() == []


def test_the_same_again_changes_nothing_and_says_so(take_over):
    given = pages.document(pages.one(*ENDED), pages.one(*ENDED), components=3)
    take_over(given, "--write")
    before = public()
    said = take_over(given, "--write")

    assert public() == before
    assert "incidents          0         0         2         0" in said
    assert "stands here already" in said


def test_more_updates_there_are_more_updates_here(take_over, freezer):
    row = pages.one(*ENDED)
    begun = row | {"incident_updates": row["incident_updates"][2:], "status": "identified", "resolved_at": None}
    take_over(pages.document(begun), "--write", "--open")
    freezer.shift(timedelta(hours=1))
    said = take_over(pages.document(row), "--write")

    assert "incidents          0         1         0         0" in said
    notice = Notice.objects.get()
    assert [update.status for update in notice.updates.all()] == list(reversed(ENDED))
    assert notice.resolved_at == datetime(2026, 3, 1, 8, 30, tzinfo=UTC)
    assert len({update.imported_at for update in notice.updates.all()}) == 2


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda row: row["incident_updates"][-1].update(body="We never said that."),
            "what was published is not changed",
        ),
        (lambda row: row["incident_updates"].pop(1), "what was published is not changed"),
        (lambda row: row["incident_updates"].pop(0), "fewer updates than stand here"),
    ],
)
def test_words_that_changed_there_do_not_change_here(take_over, change, reason):
    row = pages.one("investigating", "identified", "resolved", "resolved")
    take_over(pages.document(row), "--write")
    before = public()
    change(row)

    assert reason in take_over(pages.document(row), "--write")
    assert public() == before


def test_an_address_of_ours_is_not_taken(take_over):
    ours = publish("resolved").notice
    row = pages.one(*ENDED, id=ours.code)

    assert f"/incidents/{ours.code} is an incident of this page" in take_over(pages.document(row), "--write")
    assert Notice.objects.get().title == ours.title


def test_an_update_that_stands_in_two_incidents_is_refused_in_both(take_over):
    first, second = pages.one(*ENDED), pages.one(*ENDED)
    second["incident_updates"][0]["id"] = first["incident_updates"][0]["id"]

    assert take_over(pages.document(first, second), "--write").count("has the id of another update") == 2
    assert not Notice.objects.exists()


def test_what_is_open_there_is_open_here_only_when_asked_for(take_over):
    given = pages.document(pages.one("investigating"))

    assert "it is not resolved there" in take_over(given, "--write")
    assert not Notice.objects.exists()
    take_over(given, "--write", "--open")
    assert Notice.objects.get().is_open
    assert Component.objects.with_state().get().state == "degraded_performance"


def test_what_is_over_hits_no_component_and_remembers_what_it_hit(take_over):
    take_over(pages.document(pages.one(*ENDED, impact="major")), "--write")

    assert Component.objects.with_state().get().state == "operational"
    assert [hit.state for hit in Notice.objects.get().hits.all()] == ["degraded_performance"]


def spans() -> list[tuple[str, str, str]]:
    return [(span.state, f"{span.began_at:%H:%M}", f"{span.ended_at:%H:%M}") for span in StateSpan.objects.all()]


def test_uptime_counts_from_the_states_that_were_told_when_they_were_told(take_over):
    row = pages.one(*ENDED)
    for update, state in zip(
        reversed(row["incident_updates"]), ("major_outage", "major_outage", "operational"), strict=False
    ):
        update["affected_components"][0]["new_status"] = state
    take_over(pages.document(row), "--write")

    assert spans() == [("major_outage", "08:00", "08:20")]


def test_uptime_counts_from_the_impact_where_no_state_was_told(take_over):
    row = pages.one(*ENDED, impact="major")
    for update in row["incident_updates"]:
        update["affected_components"] = None
    take_over(pages.document(row), "--write")

    assert spans() == [("partial_outage", "08:00", "08:30")]


def test_days_our_page_told_of_otherwise_are_adjusted(take_over):
    component("Git")
    take_over(pages.document(pages.one(*ENDED), components=1), "--write")
    assert StateSpan.objects.exclude(adjusted_at=None).exists()


def test_days_our_page_never_told_of_are_not_adjusted(take_over):
    take_over(pages.document(pages.one(*ENDED), components=1), "--write")

    assert {span.adjusted_at for span in StateSpan.objects.all()} == {None}


def test_a_component_that_is_here_by_code_or_name_is_that_one(take_over):
    component("git")
    Component.objects.create(name="The Web", code=pages.component(1)["id"])
    take_over(pages.document(components=3), "--write")

    assert list(Component.objects.order_by("id").values_list("name", flat=True)) == ["git", "The Web", "API"]


def test_groups_come_with_their_components(take_over):
    group = pages.component(5) | {"group": True, "name": "Core", "components": [pages.component(0)["id"]]}
    inside = pages.component(0) | {"group_id": group["id"]}
    take_over(json.dumps({"components": [group, inside, pages.component(1)]}).encode(), "--write")

    assert list(Component.objects.order_by("name").values_list("name", "group__name")) == [
        ("Git", "Core"),
        ("Web", None),
    ]
    assert Component.objects.get(name="Git").code == inside["id"]


def test_all_documents_are_written_when_it_ends(take_over):
    row = pages.one(*ENDED, name="Mail is slow")
    take_over(pages.document(row), "--write")

    assert not Change.objects.exists()
    assert b"Mail is slow" in bytes(Document.objects.get(path=f"/incidents/{row['id']}").body)
    assert b"Mail is slow" in bytes(Document.objects.get(path="/history/2026-03").body)
    assert b"No incidents" in bytes(Document.objects.get(path="/history/2026-02").body)  # since its components began


def test_an_import_that_was_stopped_leaves_whole_incidents_and_the_same_again_does_the_rest(take_over, monkeypatch):
    given = pages.document(pages.one(*ENDED), pages.one(*ENDED), pages.one(*ENDED))

    with monkeypatch.context() as patched:
        patched.setattr(write, "BATCH", 1)
        patched.setattr(write, "_write_hits", stopped_at(2, write._write_hits))
        with pytest.raises(KeyboardInterrupt):
            take_over(given, "--write")
    assert [notice.updates.count() for notice in Notice.objects.all()] == [4]
    editions.run_due(timezone.now())
    assert Document.objects.filter(path=f"/incidents/{Notice.objects.get().code}").exists()

    assert "incidents          2         0         1         0" in take_over(given, "--write")
    assert Notice.objects.count() == 3


def stopped_at(number: int, do):
    """The same function, but the process ends when it is called for this time."""
    calls = itertools.count(1)

    def called(*given):
        if next(calls) == number:
            raise KeyboardInterrupt
        return do(*given)

    return called


def test_it_is_not_done_by_nobody(take_over, tmp_path):
    file = tmp_path / "page.json"
    file.write_bytes(pages.document())
    with pytest.raises(CommandError, match="Say who does it"):
        call_command("import_statuspage", str(file), "--write")
    with pytest.raises(CommandError, match="has no access"):
        call_command("import_statuspage", str(file), "--write", "--by", "mallory@example.com")


def said_of(take_over, row) -> str:
    said = take_over(pages.document(row), "--write")
    assert not Notice.objects.exists()
    return said


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"status": "on fire"}, "its stage 'on fire' is unknown"),
        ({"impact": "huge"}, "its impact 'huge' is unknown"),
        ({"id": None}, "it has no id"),
        ({"name": ""}, "The title is empty"),
        ({"name": "x" * 300}, "300 characters"),
        ({"incident_updates": []}, "it has no updates"),
        ({"incident_updates": "none"}, "are not a list of objects"),
        ({"incident_updates": [3]}, "are not a list of objects"),
        ({"started_at": "yesterday"}, "'yesterday' is no instant"),
        ({"started_at": "1970-01-01T00:00:00Z"}, "before the year 2000"),
        ({"started_at": "2026-03-01T09:00:00Z"}, "cannot be resolved before it started"),
        ({"resolved_at": "2026-02-01T09:00:00Z"}, "cannot be resolved before it started"),
        ({"status": "identified"}, "its updates say that it is resolved, and it says that it is not"),
        ({"status": "scheduled"}, "a maintenance that is not over"),
    ],
)
def test_a_record_that_makes_no_sense_is_refused_with_its_reason(take_over, given, reason):
    said = said_of(take_over, pages.one(*ENDED, **given))

    assert reason in said
    assert "page.json incidents 1" in said or given.get("incident_updates") in ([], "none", [3])


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"status": "scheduled"}, "its stage 'scheduled' is unknown"),
        ({"body": "  "}, "The update has no text"),
        ({"body": "x" * 30_000}, "30000 characters"),
        ({"body": "nul \0"}, "cannot be stored"),
        ({"body": "half \ud83d"}, "half a character"),
        ({"display_at": "2099-05-01T09:00:00Z"}, "in the future"),
        ({"display_at": None, "created_at": None}, "does not say when"),
        ({"affected_components": [{"code": "x", "old_status": "fine", "new_status": "operational"}]}, "no state"),
    ],
)
def test_an_update_that_makes_no_sense_refuses_its_incident(take_over, given, reason):
    row = pages.one(*ENDED)
    row["incident_updates"][1] |= given

    assert reason in said_of(take_over, row)


def work(**given) -> dict:
    row = {"id": str(len(given)), "impact": "maintenance", "components": 1}
    at = ["2026-02-01T09:00:00Z", "2026-02-03T09:00:00Z", "2026-02-03T10:00:00Z"]
    updates = list(zip(at, ("Scheduled", "In progress", "Completed"), strict=True))
    return pages.maintenance(row | {"started_at": at[0], "resolved_at": at[2], "updates": updates}) | given


def test_maintenance_that_is_over_is_taken_over_once_and_nobody_is_told(take_over):
    subscriber("ann@reader.example")
    row = work()
    take_over(json.dumps({"scheduled_maintenances": [row]}).encode(), "--write")
    for _ in range(3):
        engine.run_once()

    made = Maintenance.objects.get()
    assert (made.code, made.status) == (row["id"], "completed")
    assert made.started_at == datetime(2026, 2, 3, 9, tzinfo=UTC)
    assert {update.notified for update in made.updates.all()} == {False}
    assert not Announcement.objects.exists()
    assert "works              0         -         1         -" in take_over(json.dumps([row]).encode(), "--write")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"status": "in_progress"}, "not over. Plan it here"),
        ({"scheduled_until": None}, "until when it was planned"),
        ({"scheduled_until": "2026-02-03T09:00:00Z"}, "it ends before it starts"),
        ({"resolved_at": "2099-02-03T09:00:00Z"}, "it ends in the future"),
        ({"name": ""}, "The title is empty"),
        ({"incident_updates": []}, "it has no updates"),
    ],
)
def test_maintenance_that_makes_no_sense_is_refused_with_its_reason(take_over, given, reason):
    assert reason in take_over(json.dumps({"scheduled_maintenances": [work(**given)]}).encode(), "--write")
    assert not Maintenance.objects.exists()


def test_one_bad_record_does_not_hold_up_the_good_ones(take_over):
    said = take_over(pages.document(pages.one(*ENDED), pages.one(*ENDED, impact="huge")), "--write")

    assert Notice.objects.count() == 1
    assert "page.json incidents 2" in said


def test_lines_are_named_by_their_number(take_over):
    lines = [json.dumps(pages.one(*ENDED)), "", "{broken", json.dumps(pages.one(*ENDED)), "[]"]
    said = take_over({"page.jsonl": "\n".join(lines)}, "--write")

    assert Notice.objects.count() == 2
    assert "page.jsonl line 3" in said
    assert "page.jsonl line 5" in said


def test_an_end_without_words_is_told_in_a_word(take_over):
    take_over(
        pages.document(pages.one("investigating", status="resolved", resolved_at="2026-03-01T09:00:00Z")), "--write"
    )
    last = Notice.objects.get().updates.all()[0]

    assert (last.status, last.body) == ("resolved", "Resolved.")
    assert last.display_at == datetime(2026, 3, 1, 9, tzinfo=UTC)


def test_a_post_mortem_there_is_a_last_word_here(take_over):
    take_over(pages.document(pages.one(*ENDED, "postmortem")), "--write")
    notice = Notice.objects.get()

    assert (notice.status, notice.updates.count()) == ("resolved", 5)
    assert notice.resolved_at == datetime(2026, 3, 1, 8, 30, tzinfo=UTC)


@pytest.mark.parametrize(("state", "impact"), [("major_outage", "critical"), ("under_maintenance", "none")])
def test_an_impact_nobody_gave_follows_from_the_worst_state(take_over, state, impact):
    row = pages.one(*ENDED, impact=None)
    for update in row["incident_updates"]:
        update["affected_components"][0]["new_status"] = state if update["status"] == "identified" else "operational"
    take_over(pages.document(row), "--write")

    assert Notice.objects.get().impact == impact


def test_what_is_shown_on_the_terminal_moves_no_cursor(take_over):
    said = take_over(pages.document(pages.one(*ENDED, name="\x1b[2Jgone", impact="huge")))

    assert "\x1b" not in said
    assert "?[2Jgone" in said


def test_ids_of_another_shape_get_codes_that_stay(take_over):
    row = pages.one(*ENDED, id="17")
    for number, update in enumerate(row["incident_updates"]):
        update["id"] = str(number)
    take_over(pages.document(row), "--write")
    codes = set(NoticeUpdate.objects.values_list("code", flat=True))
    take_over(pages.document(row), "--write")

    assert set(NoticeUpdate.objects.values_list("code", flat=True)) == codes
    assert all(len(code) == 12 for code in [*codes, Notice.objects.get().code])
    take_over(pages.document(row), "--write", "--name=another")
    assert Notice.objects.count() == 2
