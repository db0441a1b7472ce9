"""The recovery gate, kill switches and rollbacks as deeds: what is recorded, refused, overridden, printed."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import Error, IntegrityError, connection, transaction
from django.utils import timezone

from incidents import workflow
from incidents.lifecycle import queries
from incidents.lifecycle.models import ControlRun, GateTick, Incident, Reading
from incidents.lifecycle.recovery import actions
from incidents.postmortems.models import PostMortem
from incidents.postmortems.queries import content_hash, facts, report_context
from irportal.ledger.models import Entry
from irportal.refused import Refused
from tests.incidents.postmortems import worked

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("freezer")]
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)
TICKS = ["root_cause", "fix_verified", "data_reconciled", "resolution_sent", "timeline_complete", "customer_test"]


@pytest.fixture
def watched(declare, update, freezer):
    """Ten minutes in, the incident goes to Monitoring."""
    incident = declare()
    freezer.shift(10 * MINUTE)
    return update(incident, status="monitoring")


def read(incident, by, **given):
    numbers = {"error_rate": Decimal("0.4"), "latency": Decimal(184), "new_alerts": Decimal(0)}
    said = {"numbers": numbers, "baseline": Decimal(190), "source": "Dashboard", "at": timezone.now()}
    return actions.read(incident, **(said | given), by=by)


def tick_all(incident, by, *, but=()):
    for key in TICKS:
        if key not in but:
            actions.tick(incident, key=key, given=True, by=by)


def resolve(incident, by, **given):
    return workflow.update(
        incident, workflow.Update(**({"status": "resolved", "at": timezone.now()} | given)), by=by, send=True
    )


# covers R000-22, R001-27
def test_with_time_numbers_and_ticks_it_is_resolved_without_a_reason(watched, freezer, grace):
    freezer.shift(30 * MINUTE)
    read(watched, grace)
    tick_all(watched, grace)
    incident = resolve(watched, grace)
    assert (incident.status, incident.gate_override_reason, incident.gate_lacked) == ("resolved", "", [])


@pytest.mark.parametrize("missing", ["numbers", *TICKS])
def test_without_any_one_of_them_it_needs_a_reason(watched, freezer, grace, missing):
    freezer.shift(30 * MINUTE)
    if missing != "numbers":
        read(watched, grace)
    tick_all(watched, grace, but=[missing])
    with pytest.raises(Refused, match="The policy asks for more before Resolved"):
        resolve(watched, grace)


# covers C-17
def test_an_override_names_what_was_missing_in_timeline_and_ledger(watched, freezer, grace):
    freezer.shift(5 * MINUTE)
    read(watched, grace)
    tick_all(watched, grace, but=["customer_test"])
    incident = resolve(watched, grace, reason="Stable since 14:40")
    assert incident.gate_lacked == ["30 min in Monitoring", "Tested as a customer sees it"]
    line = incident.timeline.get(marker="resolved").text
    assert line.endswith("Still missing then: 30 min in Monitoring; Tested as a customer sees it.")
    entry = Entry.objects.filter(deed="incident.status_changed").last()
    assert '"missing":["30 min in Monitoring","Tested as a customer sees it"]' in entry.line


def test_the_update_that_tells_customers_is_the_resolution_sent(watched, freezer, grace):
    freezer.shift(30 * MINUTE)
    read(watched, grace)
    tick_all(watched, grace, but=["resolution_sent"])
    incident = resolve(watched, grace, customer_text="All is well.", unapproved="Nobody is awake")
    assert incident.gate_lacked == []


def test_going_back_takes_the_ticks_back_and_numbers_count_from_the_next_monitoring(watched, freezer, grace, update):
    read(watched, grace)
    tick_all(watched, grace)
    freezer.shift(MINUTE)
    update(watched, status="investigating", reason="It is back")
    last = watched.gate_ticks.filter(key="fix_verified").last()
    assert (last.given, last.note) == (False, "Back from Monitoring: It is back")
    freezer.shift(MINUTE)
    update(watched, status="monitoring")
    state = queries.gate_state(Incident.objects.get(), timezone.now())
    assert not any(point.met for point in state.points)


# covers R001-44
def test_the_worked_example_is_resolved_after_five_minutes_by_override(freezer, grace):
    postmortem = worked.resolved(freezer, by=grace)
    incident = postmortem.incident
    assert (incident.resolved_at - incident.recovered_at) < 30 * MINUTE
    assert incident.gate_override_reason == "No failed request since 14:58, pool at 11 of 50."
    assert incident.gate_lacked[0] == "30 min in Monitoring"
    assert "Resolution sent" not in incident.gate_lacked


def test_the_report_prints_the_gate_and_what_was_missing(watched, freezer, grace):
    read(watched, grace)
    actions.tick(watched, key="fix_verified", given=True, by=grace, note_text="Canary")
    resolve(watched, grace, reason="Stable")
    context = report_context(PostMortem.objects.get(), made_at=timezone.now())
    assert "Tested as a customer sees it" in context["incident"].gate_lacked
    shown = {point.key: point for point in context["gate"].points}
    assert (shown["fix_verified"].proof.note, shown["error_rate"].proof.amount) == ("Canary", "0.4 percent")


def test_nothing_of_it_adds_nothing_to_what_an_approval_binds(declare, update):
    incident = update(declare(), internal_text="Looking.")
    assert not {"gate_missing", "readings", "gate_ticks", "controls", "handovers"} & set(facts(incident))


def test_a_number_entered_later_changes_what_an_approval_binds(watched, grace):
    resolve(watched, grace, reason="Stable")
    postmortem = PostMortem.objects.get()
    before = content_hash(postmortem)
    read(watched, grace)
    assert content_hash(postmortem) != before


# What is refused


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"numbers": {}}, "Enter at least one number"),
        ({"baseline": None}, "Say what the latency is on a quiet day"),
        ({"at": timedelta(hours=1)}, "lies ahead"),
        ({"at": timedelta(hours=-9)}, "before the incident started"),
    ],
)
def test_a_number_that_says_nothing_is_refused(watched, grace, given, sentence):
    if "at" in given:
        given = {"at": timezone.now() + given["at"]}
    with pytest.raises(Refused, match=sentence):
        read(watched, grace, **given)
    assert not Reading.objects.exists()


def test_a_tick_is_given_once_and_taken_back_only_with_a_reason(watched, grace, lee):
    actions.tick(watched, key="fix_verified", given=True, by=grace)
    with pytest.raises(Refused, match="“Fix verified” was ticked by Grace at 14:40 UTC"):
        actions.tick(watched, key="fix_verified", given=True, by=lee)
    with pytest.raises(Refused, match="Say why it is taken back"):
        actions.tick(watched, key="fix_verified", given=False, by=lee)
    actions.tick(watched, key="fix_verified", given=False, by=lee, note_text="It failed again")
    with pytest.raises(Refused, match="is not ticked; last by Lee"):
        actions.tick(watched, key="fix_verified", given=False, by=lee, note_text="Again")


def test_an_unknown_tick_is_refused(watched, grace):
    with pytest.raises(Refused, match="has no such tick"):
        actions.tick(watched, key="coffee", given=True, by=grace)


# Kill switch and rollback


def press(incident, by, *, kind="kill_switch", at=None):
    return actions.start_control(
        incident, kind=kind, target="Agent billing, v4", at=at or timezone.now(), started_by=by, by=by
    )


# covers R004-03
def test_a_halt_confirmed_in_time_is_on_the_timeline_and_contains_the_incident(declare, freezer, grace):
    run = press(declare(ai_involved="yes"), grace)
    freezer.shift(48 * SECOND)
    workflow.confirm_control(run, at=timezone.now(), proof="New requests get 503", by=grace)
    incident = Incident.objects.get()
    line = incident.timeline.get(marker="contained")
    assert incident.contained_at == timezone.now()
    assert line.text == (
        "Halt confirmed: Agent billing, v4, 48 s after it was pressed, within the 1 min allowed. "
        "Seen by: New requests get 503"
    )
    [(_, answer)] = queries.control_runs(incident, timezone.now())
    assert (answer.outcome, answer.took_words) == ("met", "48 s")


# covers R004-11, C-25
def test_a_rollback_is_measured_from_its_authorisation_and_contains_nothing(declare, freezer, grace, lee):
    incident = declare(ai_involved="yes")
    freezer.shift(60 * MINUTE)
    run = actions.start_control(
        incident, kind="rollback", target="Model m-7", at=timezone.now(), started_by=grace, by=lee
    )
    freezer.shift(16 * MINUTE)
    workflow.confirm_control(run, at=timezone.now(), proof="Hash of m-6 serves", by=lee)
    incident = Incident.objects.get()
    assert incident.contained_at is None
    assert incident.timeline.filter(text__contains="16 min after it was authorised, over the 15 min").exists()
    [(row, answer)] = queries.control_runs(incident, timezone.now())
    assert (row.started_by, row.recorded_by, answer.outcome) == (grace, lee, "missed")


def test_a_contained_incident_is_not_contained_anew_by_a_halt(declare, freezer, grace):
    incident = declare()
    workflow.add_note(incident, text="Isolated.", at=timezone.now(), by=grace, marker="contained")
    was = timezone.now()
    freezer.shift(MINUTE)
    workflow.confirm_control(press(incident, grace), at=timezone.now(), proof="503", by=grace)
    assert Incident.objects.get().contained_at == was


def test_what_runs_is_confirmed_before_the_same_is_started_again(declare, grace):
    incident = declare()
    press(incident, grace)
    with pytest.raises(Refused, match=r"runs since 14:30:00 UTC, by Grace\. Confirm it"):
        press(incident, grace)


@pytest.mark.parametrize(("seconds", "sentence"), [(-1, "before it began"), (900, "lies ahead")])
def test_it_is_confirmed_neither_before_it_began_nor_ahead_of_time(declare, grace, seconds, sentence):
    run = press(declare(), grace)
    with pytest.raises(Refused, match=sentence):
        actions.confirm_control(run, at=run.started_at + seconds * SECOND, proof="503", by=grace)


def test_it_is_confirmed_once(declare, grace, lee):
    run = press(declare(), grace)
    actions.confirm_control(run, at=timezone.now(), proof="503", by=grace)
    with pytest.raises(Refused, match="was confirmed at 14:30:00 UTC by Grace already"):
        actions.confirm_control(run, at=timezone.now(), proof="503", by=lee)


def test_the_report_prints_controls_with_who_and_how_long(declare, freezer, grace):
    run = press(declare(ai_involved="yes"), grace)
    freezer.shift(48 * SECOND)
    workflow.confirm_control(run, at=timezone.now(), proof="503", by=grace)
    resolve(Incident.objects.get(), grace, reason="Stable")
    [(row, answer)] = report_context(PostMortem.objects.get(), made_at=timezone.now())["runs"]
    assert (row.target, answer.took_words, answer.limit_words) == ("Agent billing, v4", "48 s", "1 min")


# The walls


def refuses(statement: str) -> None:
    with pytest.raises(Error, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.mark.parametrize("attack", ["UPDATE {} SET by_id = by_id", "DELETE FROM {}"])
@pytest.mark.parametrize("table", ["incidents_reading", "incidents_gatetick"])
def test_numbers_and_ticks_are_never_changed(watched, grace, table, attack):
    read(watched, grace)
    actions.tick(watched, key="fix_verified", given=True, by=grace)
    refuses(attack.format(table))


def test_a_control_is_confirmed_in_the_database_once_and_never_moved(declare, grace):
    run = press(declare(), grace)
    refuses("UPDATE incidents_controlrun SET started_at = started_at")
    actions.confirm_control(run, at=timezone.now(), proof="503", by=grace)
    refuses("UPDATE incidents_controlrun SET confirmed_at = confirmed_at")
    refuses("DELETE FROM incidents_controlrun")


def test_the_database_knows_that_nothing_is_confirmed_before_it_began(declare, grace):
    run = press(declare(), grace)
    with pytest.raises(IntegrityError), transaction.atomic():
        ControlRun.objects.filter(pk=run.pk).update(confirmed_at=run.started_at - SECOND, confirmed_by=grace)


def test_a_tick_taken_back_in_the_database_has_a_reason(watched, grace):
    with pytest.raises(IntegrityError), transaction.atomic():
        GateTick.objects.create(incident=watched, key="fix_verified", given=False, at=timezone.now(), by=grace)
