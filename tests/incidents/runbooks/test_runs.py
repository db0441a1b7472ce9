"""A runbook as it is worked through: steps are copied, ticked, skipped with a reason, opened again; nothing is lost."""

from datetime import timedelta

import pytest
from django.db import Error, IntegrityError, connection, transaction
from django.utils import timezone

from incidents.runbooks import actions, queries
from incidents.runbooks.models import RunbookRun, RunStep, StepChange
from irportal.ledger import actions as ledger
from irportal.ledger.models import Entry
from irportal.refused import Refused
from tests.incidents.runbooks.conftest import SMALL
from tests.incidents.test_bad_input import at_once

pytestmark = pytest.mark.django_db


def lines(run: RunbookRun) -> list[str]:
    return list(run.incident.timeline.filter(kind="note").order_by("pk").values_list("text", flat=True))


# Starting


def test_a_run_copies_its_steps_and_later_versions_do_not_touch_them(run, small, grace):
    actions.rewrite(small, SMALL.replace("Tell customers.", "Tell nobody."), note="Quieter", by=grace, seen=1)
    assert [step.text for step in run.steps.all()] == [
        "Restart the service.",
        "Confirm it: {{ errors }}.",
        "Tell customers.",
    ]
    copied = run.steps.get(position=2)
    assert (copied.commands, copied.within_seconds, copied.since) == (["curl {{ health }} | jq"], 60, 1)
    assert str(run.version) == "Restart the API, version 1"


def test_starting_is_in_the_record_and_acknowledges_the_incident(declare, small, grace, lee):
    incident = declare(by=lee)
    assert incident.acknowledged_at is None
    run = actions.start(incident, small, by=grace)
    incident.refresh_from_db()
    assert incident.acknowledged_at
    assert lines(run)[-1] == "Runbook started: Restart the API, version 1."


def test_a_runbook_runs_once_at_a_time_and_who_started_it_is_named(run, small, lin, freezer):
    with pytest.raises(Refused, match=r"Grace started it at \d\d:\d\d:\d\d UTC; it is running already"):
        actions.start(run.incident, small, by=lin)
    actions.stop(run, reason="Wrong one.", by=lin)
    assert actions.start(run.incident, small, by=lin).pk != run.pk


def test_what_was_withdrawn_is_not_started(declare, small, grace):
    incident = declare()
    actions.withdraw(small, reason="Wrong", by=grace)
    with pytest.raises(Refused, match="was withdrawn meanwhile"):
        actions.start(incident, small, by=grace)


# Ticking


def test_a_tick_says_who_and_when_with_note_and_evidence(step, lee, freezer):
    freezer.shift(timedelta(minutes=3))
    actions.settle(step(1), state="done", note="Took two tries", evidence="https://log.example/1", by=lee)
    ticked, [change] = step(1), step(1).changes.all()
    assert (ticked.state, ticked.settled_by, ticked.settled_at) == ("done", lee, timezone.now())
    assert (change.was, change.now, change.by) == ("open", "done", lee)
    assert (change.note, change.evidence) == ("Took two tries", "https://log.example/1")


def test_a_tick_told_late_keeps_both_instants(step, lee, freezer):
    said = timezone.now()
    freezer.shift(timedelta(minutes=20))
    actions.settle(step(1), state="done", at=said, by=lee)
    change = step(1).changes.get()
    assert (change.occurred_at, change.recorded_at) == (said, timezone.now())
    assert change.is_late


@pytest.mark.parametrize(("shift", "sentence"), [(10, "lies ahead"), (-60, "lies before the incident started")])
def test_a_tick_lies_neither_ahead_nor_before_the_incident(step, lee, freezer, shift, sentence):
    with pytest.raises(Refused, match=sentence):
        actions.settle(step(1), state="done", at=timezone.now() + timedelta(minutes=shift), by=lee)


def test_skipping_needs_a_reason(step, lee):
    for note in ("", "  \n"):
        with pytest.raises(Refused, match="Say why this step is skipped"):
            actions.settle(step(1), state="skipped", note=note, by=lee)
    actions.settle(step(1), state="skipped", note="Nothing to restart", by=lee)
    assert step(1).state == "skipped"


def test_the_second_is_told_who_was_first_and_what_they_wrote(step, lee, lin):
    actions.settle(step(1), state="done", note="Restarted", by=lee)
    with pytest.raises(Refused, match=r"Lee ticked this step at .* UTC and wrote: Restarted\."):
        actions.settle(step(1), state="done", by=lin)


def test_somebody_who_missed_a_tick_and_its_undoing_is_told_of_both(step, lee, lin):
    actions.settle(step(1), state="done", by=lee)
    actions.undo(step(1), note="It came back", by=lee)
    with pytest.raises(Refused, match=r"ticked this step .* opened this step again .*It came back"):
        actions.settle(step(1), state="done", by=lin, seen=0)


def test_a_note_by_somebody_else_stops_nobody(step, lee, lin):
    actions.remark(step(1), note="Looks fine", by=lee)
    actions.settle(step(1), state="done", by=lin, seen=0)
    assert step(1).settled_by == lin


def test_undoing_is_recorded_and_takes_nothing_out_of_the_history(step, lee, grace):
    actions.settle(step(1), state="done", note="Restarted", by=lee)
    actions.undo(step(1), note="Hangs again", by=grace)
    assert [(change.was, change.now, change.note) for change in step(1).changes.all()] == [
        ("open", "done", "Restarted"),
        ("done", "open", "Hangs again"),
    ]
    assert (step(1).state, step(1).settled_by, step(1).settled_at) == ("open", None, None)
    with pytest.raises(Refused, match="open already"):
        actions.undo(step(1), by=grace)


def test_something_is_added_to_a_settled_step_without_settling_it_again(step, lee, lin):
    actions.settle(step(1), state="done", by=lee)
    actions.remark(step(1), evidence="Screenshot 4", by=lin)
    assert step(1).settled_by == lee
    assert step(1).changes.last().evidence == "Screenshot 4"
    with pytest.raises(Refused, match="Write a note, or give the evidence"):
        actions.remark(step(1), note=" ", by=lin)


# Time limits: covers R004-03, R004-11


@pytest.mark.parametrize(("seconds", "words"), [(45, "45 s, within"), (60, "60 s, within"), (61, "61 s, over")])
def test_a_limited_step_is_measured_from_the_step_it_counts_from(run, step, lee, freezer, seconds, words):
    actions.settle(step(1), state="done", by=lee)
    freezer.shift(timedelta(seconds=seconds))
    actions.settle(step(2), state="done", by=lee)
    assert f"Done after {words} the limit of 60 s" in lines(run)[-1]
    row = queries.rows(run, queries.fillings(run.incident))[1]
    assert row.kept == (seconds <= 60)
    assert f'"took_seconds":{seconds}' in Entry.objects.filter(deed="runbook.step_done").last().line


def test_a_limit_shows_its_instant_once_the_step_before_is_done(run, step, lee, freezer):
    def due():
        return queries.rows(run, queries.fillings(run.incident))[1].due_at

    assert due() is None
    actions.settle(step(1), state="done", by=lee)
    assert due() == timezone.now() + timedelta(seconds=60)
    actions.undo(step(1), by=lee)
    assert due() is None


def test_a_limit_that_counts_from_a_skipped_step_is_not_measured(run, step, lee):
    actions.settle(step(1), state="skipped", note="Hung too badly", by=lee)
    actions.settle(step(2), state="done", by=lee)
    row = queries.rows(run, queries.fillings(run.incident))[1]
    assert (row.took, row.due_at) == ("", None)


# The end


def test_a_run_ends_with_its_last_step_and_goes_on_when_one_is_opened_again(run, step, lee):
    for position in (1, 2, 3):
        actions.settle(step(position), state="done", by=lee)
    run.refresh_from_db()
    assert run.ended_at
    assert lines(run)[-1] == "Runbook worked through: Restart the API, version 1."
    actions.undo(step(2), by=lee)
    run.refresh_from_db()
    assert run.ended_at is None


def test_a_stopped_run_keeps_its_ticks_and_takes_no_more(run, step, lee, grace):
    actions.settle(step(1), state="done", by=lee)
    actions.stop(run, reason="It is the database.", by=grace)
    for deed in (
        lambda: actions.settle(step(2), state="done", by=lee),
        lambda: actions.undo(step(1), by=lee),
    ):
        with pytest.raises(Refused, match=r"Grace stopped this run: It is the database\."):
            deed()
    with pytest.raises(Refused, match="Grace stopped it already"):
        actions.stop(run, reason="Again", by=lee)
    assert step(1).state == "done"


def test_plain_ticks_do_not_fill_the_timeline_but_what_tells_something_does(run, step, lee):
    before = len(lines(run))
    actions.settle(step(1), state="done", by=lee)
    assert len(lines(run)) == before
    actions.undo(step(1), by=lee)
    actions.settle(step(1), state="skipped", note="Not needed.", by=lee)
    assert lines(run)[before:] == [
        "Restart the API: Restart the service. Opened again, was done.",
        "Restart the API: Restart the service. Skipped. Not needed.",
    ]


# The record


def test_every_deed_of_a_run_is_in_the_ledger(run, step, lee, grace):
    actions.settle(step(1), state="done", by=lee)
    actions.undo(step(1), by=lee)
    actions.settle(step(1), state="skipped", note="Not needed", by=lee)
    actions.remark(step(2), note="Hm", by=lee)
    actions.stop(run, reason="Over", by=grace)
    deeds = Entry.objects.filter(subject="INC-1", deed__startswith="runbook.").values_list("deed", flat=True)
    assert list(deeds) == [
        "runbook.started",
        "runbook.step_done",
        "runbook.step_reopened",
        "runbook.step_skipped",
        "runbook.step_noted",
        "runbook.stopped",
    ]
    assert ledger.verify() == []


@pytest.mark.parametrize("table", ["incidents_runbookversion", "incidents_runbookstep", "incidents_stepchange"])
@pytest.mark.parametrize("attack", ["UPDATE {table} SET id = id", "DELETE FROM {table}"])
def test_texts_and_history_refuse_to_be_changed(attack, table, step, lee):
    actions.settle(step(1), state="done", by=lee)
    with pytest.raises(Error, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(attack.format(table=table))


def test_a_settled_step_without_a_name_is_refused_by_the_database(step):
    with pytest.raises(IntegrityError), transaction.atomic():
        RunStep.objects.filter(pk=step(1).pk).update(state="done")


@pytest.mark.django_db(transaction=True)
def test_two_people_ticking_at_the_same_moment_tick_once(step, lee, lin):
    answers = at_once(
        lambda: actions.settle(step(1), state="done", note="One", by=lee),
        lambda: actions.settle(step(1), state="done", note="Two", by=lin),
    )
    [loser] = [answer for answer in answers if isinstance(answer, Refused)]
    assert "ticked this step at" in str(loser)
    assert StepChange.objects.count() == 1
    assert Entry.objects.filter(deed="runbook.step_done").count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_people_starting_at_the_same_moment_start_once(declare, small, lee, lin):
    incident = declare()
    at_once(lambda: actions.start(incident, small, by=lee), lambda: actions.start(incident, small, by=lin))
    assert RunbookRun.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_ticks_of_different_steps_at_the_same_moment_are_all_kept(run, step, lee, lin, grace):
    at_once(*(lambda n=n: actions.settle(step(n), state="done", by=lee) for n in (1, 2, 3)))
    assert run.steps.filter(state="done").count() == 3
    run.refresh_from_db()
    assert run.ended_at


# The panel


def test_the_panel_tells_what_runs_what_is_next_and_what_is_offered_in_three_questions(
    run, shipped, step, lee, django_assert_num_queries
):
    actions.settle(step(1), state="done", by=lee)
    incident = run.incident
    with django_assert_num_queries(3):
        panel = queries.panel(incident)
        [running] = panel.running
        assert (running.settled, [one.position for one in running.next_steps]) == (1, [2, 3])
        assert running.next_steps[0].first_line == "Confirm it: error tracker."
        assert [runbook.code for runbook in panel.offered] == ["complete-outage", "contain-infrastructure"]
        assert panel.general[0].code == "triage"


def test_the_panel_asks_no_more_with_ten_runs(declare, shipped, grace, django_assert_num_queries):
    incident = declare()
    for runbook in actions.Runbook.objects.all()[:10]:
        actions.start(incident, runbook, by=grace)
    with django_assert_num_queries(3):
        assert len(queries.panel(incident).running) == 10
