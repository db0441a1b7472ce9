"""Clocks that jump and engines that stand still: each promise is kept or missed once, and nobody is told twice."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from incidents.comms import holding
from incidents.comms.models import CommsDuty
from irportal.ledger.models import Entry
from irportal.outbox import engine
from irportal.outbox.models import Announcement
from statuspage.models import Notice

pytestmark = pytest.mark.django_db
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
TICK = timedelta(seconds=2)
# Paris, New York, Lord Howe Island: shortly before the hour that is missing, and the one that comes twice.
NIGHTS = [
    ("Europe/Paris", "2026-03-29 00:30"),
    ("Europe/Paris", "2026-10-25 00:30"),
    ("America/New_York", "2026-03-08 06:30"),
    ("America/New_York", "2026-11-01 05:30"),
    ("Australia/Lord_Howe", "2026-04-04 14:30"),
    ("Australia/Lord_Howe", "2026-10-03 15:00"),
    ("Asia/Kolkata", "2026-03-29 00:30"),
]


def run(freezer, minutes: int, *, every: int = 1) -> None:
    """The engine takes its turns, one in so many minutes, while so much time passes."""
    for _ in range(minutes // every):
        freezer.shift(every * MINUTE)
        engine.run_once()


def told(incident) -> list[datetime]:
    return list(incident.messages.filter(kind="holding").order_by("sent_at").values_list("sent_at", flat=True))


@pytest.mark.parametrize(("zone", "night"), NIGHTS)
def test_a_cadence_runs_through_the_night_clocks_change(
    other_policy, declare, update, freezer, settings, smtp_relay, zone, night
):
    settings.ORGANISATION_TIME_ZONE = zone
    freezer.move_to(datetime.strptime(night, "%Y-%m-%d %H:%M").replace(tzinfo=UTC))
    other_policy(holding_max_consecutive=10)
    incident = declare()
    update(incident, customer_text="We look.")
    start = timezone.now()
    run(freezer, 185, every=5)
    assert [at - start for at in told(incident)] == [n * 30 * MINUTE for n in range(1, 7)]


def test_every_tick_is_kept_within_one_turn_of_the_engine(declare, update, freezer):
    incident = declare()
    update(incident, customer_text="We look.")
    freezer.shift(29 * MINUTE + timedelta(seconds=59))
    for _ in range(2):
        holding.run_due(timezone.now())
        freezer.shift(TICK)
    duty = incident.duties.get(message_class="status_update", outcome="holding")
    assert timedelta(0) <= duty.ended_at - duty.due_at <= TICK


@pytest.mark.parametrize(("jump", "count"), [(HOUR, 2), (DAY, 2), (-HOUR, 1), (-DAY, 1)])
def test_a_clock_that_jumps_makes_nothing_twice(declare, update, freezer, smtp_relay, jump, count):
    """Ahead: what fell due meanwhile leaves at once. Back: what was promised by 15:30 is due at 15:30, as promised."""
    incident = declare()
    update(incident, customer_text="We look.")
    run(freezer, 31)
    freezer.shift(jump)
    run(freezer, 62)
    keys = list(Announcement.objects.values_list("dedupe_key", flat=True))
    assert len(keys) == len(set(keys))
    owed = list(CommsDuty.objects.open().values_list("message_class", flat=True))
    assert len(owed) == len(set(owed))
    assert incident.messages.filter(kind="holding", audience="customers").count() == count


def test_a_clock_put_back_keeps_the_promise_at_the_time_it_names(declare, update, freezer):
    incident = declare()
    update(incident, customer_text="We look.")
    due_at = incident.duties.open().get(message_class="status_update").due_at
    freezer.shift(-HOUR)
    holding.run_due(timezone.now())
    assert incident.duties.open().get(message_class="status_update").due_at == due_at


# Engines that stood still (R-T12)


@pytest.fixture
def silence(declare, update, freezer, smtp_relay):
    """Three incidents with a promise to customers each; then nobody takes a turn for six hours, twelve deadlines."""
    incidents = [declare(title=f"Outage {n}") for n in range(3)]
    for incident in incidents:
        update(incident, customer_text="We look.")
    engine.run_once()
    freezer.shift(6 * HOUR)
    return incidents


def test_after_a_long_silence_each_promise_is_missed_once(silence, freezer):
    run(freezer, 3)
    for incident in silence:
        rows = incident.duties.filter(outcome="missed").values_list("message_class", flat=True)
        assert sorted(rows) == ["status_page", "status_update"]


def test_customers_hear_in_the_first_turn_after_it_and_a_new_time_is_promised(silence):
    engine.run_once()
    for incident in silence:
        assert told(incident) == [timezone.now()]
        assert Notice.objects.get(ref=incident.ref).next_update_by == timezone.now() + 30 * MINUTE


def test_the_record_says_that_the_engine_stood_still(silence):
    engine.run_once()
    reason = silence[0].duties.get(message_class="status_update", outcome="missed").reason
    assert reason == "The holding message left at 2026-03-02 20:30 UTC only; the engine had stood still"


def test_the_alarm_is_one_mail_an_incident(silence, freezer):
    run(freezer, 5)
    alarms = Announcement.objects.filter(topic="escalation").values_list("thread", flat=True)
    assert sorted(alarms) == ["INC-1", "INC-2", "INC-3"]
    letter = Announcement.objects.filter(topic="escalation").first().text
    for what in ("Customer update", "Status page update", "Internal update"):
        assert letter.count(f"* {what}, due at") == 1


def test_each_broken_promise_is_escalated_once(silence, freezer):
    run(freezer, 5)
    lines = list(Entry.objects.filter(deed="duty.escalated").values_list("subject", "line"))
    named = [(subject, line.partition('"duty":"')[2].partition('"')[0]) for subject, line in lines]
    assert len(named) == len(set(named)) == 4 * 3  # customers, page, internal, and the regulators' decision of 4 h


def test_no_reminder_is_sent_after_the_fact(silence):
    before = Announcement.objects.filter(topic="reminder").count()
    engine.run_once()
    assert Announcement.objects.filter(topic="reminder").count() == before
