"""Planned maintenance: what it does to components, who hears of it, what the clock does by itself."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import policy
from email.parser import BytesParser
from threading import Barrier

import pytest
from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from django.utils.translation import override

from irportal.ledger.models import Entry
from irportal.outbox import engine
from irportal.outbox.models import Announcement, Delivery
from irportal.refused import Refused
from statuspage import maintenance, spans, subscriptions, timetable, uptime
from statuspage import planned as planned_times
from statuspage.models import Choice, Component, Maintenance
from statuspage.uptime import TICK
from tests.factories import mail_of
from tests.statuspage.factories import announced, component, planned, publish, subscriber

pytestmark = pytest.mark.django_db
HOUR, DAY, MINUTE = timedelta(hours=1), timedelta(days=1), timedelta(minutes=1)
BAD = [
    ({"title": "  "}, "The title is empty."),
    ({"title": "x" * 201}, "The title has 201 characters; 200 are possible."),
    ({"title": "a\0b"}, "a character that cannot be stored"),
    ({"ends_at": datetime(2026, 3, 4, 14, 30, tzinfo=UTC)}, "It would end before it starts"),
    ({"starts_at": datetime(2026, 3, 2, 14, 20, tzinfo=UTC)}, "2 March 2026, 14:20 UTC has passed"),
    ({"ends_at": datetime(2028, 3, 2, tzinfo=UTC)}, "more than two years ahead"),
    ({"components": []}, "Choose at least one component"),
]


def state(of: Component) -> str:
    return Component.objects.with_state().get(pk=of.pk).state


def tick() -> None:
    timetable.run_due(timezone.now())


def fresh(work: Maintenance) -> Maintenance:
    return Maintenance.objects.get(pk=work.pk)


def told(subject: str = "") -> list[str]:
    """Who gets a mail whose subject has these words."""
    engine.fan_out.fan_out_pending(timezone.now())
    found = Delivery.objects.filter(announcement__topic="maintenance", announcement__subject__contains=subject)
    return sorted(found.exclude(state="suppressed").values_list("address", flat=True))


def subjects() -> list[str]:
    return list(Announcement.objects.filter(topic="maintenance").order_by("pk").values_list("subject", flat=True))


@pytest.fixture
def board(freezer) -> Component:
    return component("Dashboard")


@pytest.fixture
def work(board) -> Maintenance:
    """Two hours of work on the dashboard, announced for the day after tomorrow, 14:30 UTC."""
    return announced(board)


# Components


def test_a_component_is_under_maintenance_from_the_start_to_the_end_and_not_before(work, board, freezer):
    seen = [state(board)]
    for _ in range(3):
        freezer.shift(2 * DAY if len(seen) == 1 else HOUR)
        tick()
        seen.append(state(board))

    assert seen == ["operational", "under_maintenance", "under_maintenance", "operational"]


@pytest.mark.parametrize("real", ["degraded_performance", "partial_outage", "major_outage"])
def test_maintenance_never_hides_a_real_problem(work, board, freezer, real, lin):
    maintenance.start(work, by=lin)
    publish("investigating", (board, real))
    during = state(board)
    publish("resolved", (board, "operational"))

    assert (during, state(board)) == (real, "under_maintenance")


def test_a_component_that_an_incident_calls_operational_is_still_under_maintenance(work, board, lin):
    maintenance.start(work, by=lin)
    publish("monitoring", (board, "operational"))

    assert state(board) == "under_maintenance"


def test_of_two_that_overlap_the_last_to_end_sets_the_component_free(work, board, freezer, lin):
    other = announced(board, title="Cables")
    for one in (work, other):
        maintenance.start(one, by=lin)
    maintenance.finish(work, by=lin)
    between = state(board)
    maintenance.finish(other, by=lin)

    assert (between, state(board)) == ("under_maintenance", "operational")


def test_the_database_holds_status_and_times_together(work):
    for wrong in ({"status": "completed"}, {"started_at": timezone.now()}, {"ends_at": work.starts_at}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Maintenance.objects.filter(pk=work.pk).update(**wrong)


# Refusals


@pytest.mark.parametrize(("given", "sentence"), BAD)
def test_what_cannot_be_planned_is_refused_with_a_sentence(board, given, sentence):
    with pytest.raises(Refused, match=sentence):
        maintenance.announce(replace(planned(board), **given), text="Why.", by=None)
    assert not Maintenance.objects.exists()


def test_a_plan_needs_words(board):
    with pytest.raises(Refused, match="The text is empty"):
        maintenance.announce(planned(board), text=" ", by=None)


def test_what_is_over_cannot_be_begun_extended_or_cancelled(work, lin):
    maintenance.cancel(work, by=lin)
    for deed in (maintenance.start, maintenance.finish, maintenance.cancel):
        with pytest.raises(Refused, match="MNT-1 is cancelled already"):
            deed(work, by=lin)
    with pytest.raises(Refused, match="cancelled already"):
        maintenance.extend(work, timezone.now() + DAY, by=lin)


def test_whoever_was_slower_is_told_what_happened_meanwhile(work, lin, grace):
    seen = work.updates.get().pk
    maintenance.cancel(work, by=grace, seen=seen)
    with pytest.raises(Refused, match="It was changed meanwhile: cancelled since 14:30 UTC"):
        maintenance.start(work, by=lin, seen=seen)


def test_a_change_that_changes_nothing_is_refused(work, lin):
    with pytest.raises(Refused, match="Nothing was changed"):
        maintenance.change(work, maintenance.plan_of(work), by=lin)


# Who is told


@pytest.fixture
def readers(board):
    """Ann chose the dashboard, Bob another component, Cleo the whole page."""
    return (
        subscriber("ann@r.example", board),
        subscriber("bob@r.example", component("Payments")),
        subscriber("cleo@r.example"),
    )


def test_readers_of_its_components_and_of_the_whole_page_are_told(readers, work):
    assert told("Planned maintenance") == ["ann@r.example", "cleo@r.example"]


def test_whoever_was_told_of_the_plan_is_told_of_its_change_and_its_end(readers, work, board, lin):
    told()
    Choice.objects.filter(subscriber=readers[0]).update(component=Component.objects.get(name="Payments"))
    maintenance.change(work, replace(maintenance.plan_of(work), starts_at=timezone.now() + DAY), by=lin)
    maintenance.cancel(fresh(work), by=lin)

    assert told("Maintenance moved") == told("Maintenance cancelled") == ["ann@r.example", "cleo@r.example"]


def test_a_reminder_in_between_loses_nobody(readers, work, freezer, lin):
    told()
    Choice.objects.filter(subscriber=readers[0]).update(component=Component.objects.get(name="Payments"))
    freezer.shift(DAY)
    tick()
    reminded = told("Reminder")
    maintenance.cancel(work, by=lin)

    assert reminded == told("cancelled") == ["ann@r.example", "cleo@r.example"]


def test_programs_are_told_what_is_planned_and_rooms_read_it(work, freezer, lin):
    freezer.shift(DAY)
    tick()
    plan, reminder = Announcement.objects.order_by("pk")
    incident = json.loads(plan.payload)["incident"]
    room = json.loads(plan.public_chat)["text"]

    assert (incident["status"], incident["impact"]) == ("scheduled", "maintenance")
    assert incident["scheduled_for"] == "2026-03-04T14:30:00.000Z"
    assert room.startswith("Planned maintenance: Database upgrade\n4 March 2026, 14:30 to 16:30 UTC")
    assert room.endswith("No more of this: {unsubscribe_url}")
    assert "Reminder of maintenance" in reminder.public_chat
    assert not reminder.payload  # what programs know has not changed


def test_a_reader_who_left_is_told_nothing_more(readers, work, lin):
    told()
    subscriptions.leave(subscriptions.token_for(readers[0]))
    maintenance.cancel(work, by=lin)

    assert told("cancelled") == ["cleo@r.example"]


def test_a_component_that_is_added_brings_its_readers(readers, work, lin, board):
    told()
    both = [board, Component.objects.get(name="Payments")]
    maintenance.change(work, replace(maintenance.plan_of(work), components=both), by=lin)

    assert told("plan changed") == ["ann@r.example", "bob@r.example", "cleo@r.example"]


def test_silence_is_a_reason_in_the_ledger_and_nobody_is_told(readers, work, lin):
    maintenance.cancel(work, by=lin, silent="Announced by mistake a minute ago")
    entry = Entry.objects.get(deed="maintenance.cancelled")

    assert told("cancelled") == []
    assert "Announced by mistake a minute ago" in entry.line
    assert fresh(work).updates.all()[0].notified is False


def test_a_preview_counts_the_readers_and_leaves_nothing(readers, board, lin):
    found = maintenance.preview(lambda: maintenance.announce(planned(board), text="Why.", by=lin))

    assert found.reach == 2
    assert found.mail.subject == "[MNT-1] Planned maintenance: Database upgrade, 4 March 2026, 14:30 UTC"
    assert not Maintenance.objects.exists()
    assert not Announcement.objects.exists()


# What the clock does


def test_it_begins_and_ends_by_itself(work, freezer):
    freezer.shift(2 * DAY)
    tick()
    begun = fresh(work)
    freezer.shift(2 * HOUR)
    tick()
    over = fresh(work)

    assert (begun.status, begun.started_at) == ("in_progress", work.starts_at)
    assert (over.status, over.ended_at, over.sequence) == ("completed", work.ends_at, 0)
    assert [update.body for update in over.updates.all()[:2]] == [
        "The maintenance is done.",
        "The maintenance has begun.",
    ]


def test_ticks_may_come_as_often_as_they_like(work, freezer):
    for _ in range(40):
        freezer.shift(2 * HOUR)
        tick()
        tick()

    assert subjects() == [
        "[MNT-1] Planned maintenance: Database upgrade, 4 March 2026, 14:30 UTC",
        "[MNT-1] Reminder of maintenance: Database upgrade, 4 March 2026, 14:30 UTC",
        "[MNT-1] Maintenance has begun: Database upgrade",
        "[MNT-1] Maintenance is done: Database upgrade",
    ]


def test_reminders_leave_a_day_and_an_hour_before(work, freezer):
    when = []
    for _ in range(48 * 4):
        freezer.shift(15 * MINUTE)
        tick()
        if Announcement.objects.filter(subject__contains="Reminder").count() > len(when):
            when.append(work.starts_at - timezone.now())

    assert when == [DAY, HOUR]


def test_reminders_that_fell_due_together_are_one_mail(work, freezer):
    freezer.shift(2 * DAY - 10 * MINUTE)
    tick()

    assert [subject for subject in subjects() if "Reminder" in subject] == [
        "[MNT-1] Reminder of maintenance: Database upgrade, 4 March 2026, 14:30 UTC"
    ]
    assert list(work.reminders.order_by("lead").values_list("sent", flat=True)) == [True, False]


def test_a_reminder_expires_with_the_start(work, freezer):
    freezer.shift(DAY)
    tick()

    assert Announcement.objects.get(subject__contains="Reminder").expires_at == work.starts_at


def test_a_reminder_missed_is_not_sent_after_the_start(board, freezer):
    work = announced(board, starts_itself=False)
    freezer.shift(2 * DAY + MINUTE)
    tick()

    assert not [subject for subject in subjects() if "Reminder" in subject]
    assert not work.reminders.filter(settled_at=None).exists()


def test_word_that_goes_out_now_needs_no_reminder_of_the_past(board, freezer):
    announced(board, starts_at=timezone.now() + 2 * HOUR)
    tick()

    assert len(subjects()) == 1


def test_a_moved_plan_reminds_again(work, freezer, lin):
    freezer.shift(DAY)
    tick()
    later = work.starts_at + 3 * DAY
    maintenance.change(work, replace(maintenance.plan_of(work), starts_at=later, ends_at=later + HOUR), by=lin)
    freezer.move_to(later - HOUR, tick=False)
    tick()

    assert [subject for subject in subjects() if "Reminder" in subject] == [
        "[MNT-1] Reminder of maintenance: Database upgrade, 4 March 2026, 14:30 UTC",
        "[MNT-1] Reminder of maintenance: Database upgrade, 7 March 2026, 14:30 UTC",
    ]


def test_a_start_that_was_missed_is_told_late_and_says_so(work, freezer):
    freezer.shift(2 * DAY + 40 * MINUTE)
    tick()
    update = fresh(work).updates.all()[0]

    assert fresh(work).started_at == work.starts_at
    assert update.body.startswith("It began at 4 March 2026, 14:30 UTC, as planned. This notice is late")
    assert update.display_at == timezone.now()
    assert "[MNT-1] Maintenance has begun: Database upgrade" in subjects()


def test_a_whole_maintenance_that_was_missed_is_told_once(work, freezer):
    freezer.shift(5 * DAY)
    tick()

    assert subjects()[1:] == ["[MNT-1] Maintenance is done: Database upgrade"]
    assert (fresh(work).started_at, fresh(work).ended_at) == (work.starts_at, work.ends_at)
    assert "This notice is late" in Announcement.objects.last().text


@pytest.mark.django_db(transaction=True)
def test_many_engines_at_once_do_everything_once(work, freezer):
    """Really at once, on the real database."""
    for length, deed in ((DAY, "reminded"), (DAY, "started"), (2 * HOUR, "finished")):
        freezer.shift(length)
        start = Barrier(6)

        def turn(_, start=start) -> None:
            start.wait(10)
            tick()
            connection.close()

        with ThreadPoolExecutor(6) as engines:
            list(engines.map(turn, range(6)))
        assert Entry.objects.filter(deed=f"maintenance.{deed}").count() == 1

    assert len(subjects()) == 4
    assert fresh(work).updates.count() == 3


def test_one_that_people_begin_waits_for_them(board, freezer, lin):
    work = announced(board, starts_itself=False, ends_itself=False)
    freezer.shift(2 * DAY + HOUR)
    tick()
    waits = fresh(work).status
    maintenance.start(work, by=lin)
    freezer.shift(5 * HOUR)
    tick()

    assert (waits, fresh(work).status) == ("scheduled", "in_progress")


def test_one_that_breaks_stops_no_other(board, freezer, monkeypatch, caplog):
    announced(board, title="Broken")
    other = announced(board)
    real = timetable._begin
    monkeypatch.setattr(timetable, "_begin", lambda found, now: 1 / 0 if found.title == "Broken" else real(found, now))
    freezer.shift(2 * DAY)
    tick()

    assert fresh(other).status == "in_progress"
    assert "could not be carried on" in caplog.text


# What people do


def test_a_move_raises_the_sequence_and_tells_old_and_new_time(work, lin):
    later = work.starts_at + DAY
    plan = replace(maintenance.plan_of(work), starts_at=later, ends_at=later + HOUR)
    update = maintenance.change(work, plan, text="The disks are late.", by=lin)
    mail = Announcement.objects.get(subject__contains="moved")

    assert fresh(work).sequence == 1
    assert update.body == (
        "Moved to 5 March 2026, 14:30 to 15:30 UTC · 1\N{NO-BREAK SPACE}h. It was planned for "
        "4 March 2026, 14:30 to 16:30 UTC · 2\N{NO-BREAK SPACE}h.\n\nThe disks are late."
    )
    for part in (mail.text, mail.html):
        assert "5 March 2026, 14:30 to 15:30 UTC" in " ".join(part.split())
        assert "4 March 2026, 14:30 to 16:30 UTC" in " ".join(part.split())


def test_another_title_is_no_other_time(work, lin):
    maintenance.change(work, replace(maintenance.plan_of(work), title="Larger database"), by=lin)

    assert (fresh(work).title, fresh(work).sequence) == ("Larger database", 0)


def test_begun_early_it_is_planned_from_now_and_says_what_was_planned(work, lin):
    maintenance.start(work, by=lin)
    found = fresh(work)

    assert (found.starts_at, found.started_at, found.sequence) == (timezone.now(), timezone.now(), 1)
    assert "It was planned for 4 March 2026, 14:30 UTC." in found.updates.all()[0].body
    assert not found.reminders.filter(settled_at=None).exists()


def test_extended_it_ends_later_by_itself(work, freezer, lin):
    freezer.shift(2 * DAY)
    tick()
    maintenance.extend(work, work.ends_at + HOUR, by=lin)
    freezer.shift(2 * HOUR)
    tick()
    before = fresh(work).status
    freezer.shift(HOUR)
    tick()

    assert (before, fresh(work).status, fresh(work).sequence) == ("in_progress", "completed", 1)


def test_a_cancelled_plan_never_begins(work, freezer, lin):
    maintenance.cancel(work, by=lin)
    freezer.shift(3 * DAY)
    tick()

    assert (fresh(work).status, fresh(work).started_at) == ("cancelled", None)


def test_every_deed_is_in_the_ledger(work, freezer, lin):
    plan = maintenance.plan_of(work)
    maintenance.change(work, replace(plan, title="Larger database"), by=lin)
    maintenance.change(work, replace(plan, ends_at=plan.ends_at + HOUR), by=lin)
    maintenance.start(work, by=lin)
    maintenance.tell_more(work, status="verifying", text="Nearly there.", by=lin)
    maintenance.extend(work, plan.ends_at + 2 * HOUR, by=lin)
    maintenance.finish(work, by=lin)
    maintenance.correct(work, text="It was the other database.", by=lin)
    deeds = Entry.objects.filter(subject="MNT-1").order_by("n").values_list("deed", flat=True)

    assert [deed.removeprefix("maintenance.") for deed in deeds] == (
        ["announced", "changed", "moved", "started", "told", "extended", "finished", "corrected"]
    )


def test_a_correction_stands_beside_what_it_corrects_and_changes_nothing_else(work, lin, freezer, client):
    before = Maintenance.objects.values().get()
    freezer.shift(MINUTE)
    said = maintenance.correct(work, text="Searches are *not* affected.", by=lin)

    assert (said.kind, said.status) == ("correction", "scheduled")
    assert Maintenance.objects.values().get() == before
    assert fresh(work).updates.count() == 2
    page = client.get(work.get_absolute_url()).content.decode()
    assert 'class="kind">correction' in page
    assert "We move to a larger database." in page
    assert Announcement.objects.get(subject__contains="Correction").text.count("Searches are *not* affected.") == 1
    assert Entry.objects.latest("n").deed == "maintenance.corrected"


def test_what_is_over_can_still_be_corrected_and_not_without_words(work, lin):
    maintenance.cancel(work, by=lin)
    with pytest.raises(Refused):
        maintenance.correct(work, text=" ", by=lin)
    assert maintenance.correct(work, text="It was the other database.", by=lin).status == "cancelled"


# What the portal says by itself


def _began_late(work, freezer, lin):
    freezer.shift(2 * DAY + HOUR)
    tick()


def _ended_late(work, freezer, lin):
    freezer.shift(9 * DAY)
    tick()


BY_ITSELF = {
    "begun": (lambda work, freezer, lin: (freezer.shift(2 * DAY), tick()), "Die Wartung hat begonnen."),
    "begun late": (_began_late, "Sie hat wie geplant begonnen: 4. März 2026, 14:30 UTC. Diese Meldung kommt verspätet"),
    "done late": (_ended_late, "Sie war geplant bis 4. März 2026, 16:30 UTC und gilt seitdem als abgeschlossen."),
    "begun early": (
        lambda work, freezer, lin: maintenance.start(work, by=lin),
        "Die Wartung hat begonnen.\n\nGeplant war: 4. März 2026, 14:30 UTC.",
    ),
    "called off": (lambda work, freezer, lin: maintenance.cancel(work, by=lin), "Diese Wartung findet nicht statt."),
    "moved": (
        lambda work, freezer, lin: maintenance.change(
            work, replace(maintenance.plan_of(work), starts_at=work.starts_at - HOUR), by=lin
        ),
        "Verschoben auf: 4. März 2026, 13:30 bis 16:30 UTC",
    ),
}


@pytest.mark.parametrize("case", BY_ITSELF)
def test_what_nobody_wrote_is_said_in_the_language_of_page_and_reader(case, work, freezer, lin, client):
    deed, german = BY_ITSELF[case]
    deed(work, freezer, lin)
    [said, *_] = fresh(work).updates.all()
    with override("de"):
        assert said.here.words.startswith(german)
        assert {part.language for part in said.parts} == {"de"}
    assert set(said.sentences) == set(settings.PAGE_LANGUAGES)
    assert len(set(said.sentences.values())) == len(settings.PAGE_LANGUAGES)
    letter = Announcement.objects.filter(topic="maintenance").latest("pk").letters["de"]
    assert " ".join(german.split()) in " ".join(letter["text"].split())


def test_what_somebody_wrote_behind_it_stays_in_their_language(work, lin, client):
    maintenance.extend(_begun(work, lin), work.ends_at + HOUR, text="The disks are slow.", by=lin)
    page = client.get(f"/de{work.get_absolute_url()}").content.decode()

    assert "Das Ende wird nun erwartet: 4. März 2026, 17:30 UTC statt 4. März 2026, 16:30 UTC." in page
    assert re.search(r'<div class="said" dir="auto" lang="en"><p>The disks are slow', page)
    assert fresh(work).updates.all()[0].body.startswith("It is expected to end at 4 March 2026, 17:30 UTC instead of")


def _begun(work: Maintenance, lin) -> Maintenance:
    maintenance.start(work, by=lin)
    return fresh(work)


# What uptime asks


def test_windows_are_what_happened_clipped_and_joined(work, board, freezer, lin):
    other = announced(board, title="Cables", starts_at=work.starts_at + HOUR)
    announced(board, title="Never", starts_at=timezone.now() + 9 * DAY)
    calm = component("Payments")
    for _ in range(60):
        freezer.shift(HOUR)
        tick()
    begin = work.starts_at + 30 * MINUTE

    assert planned_times.windows([board.pk, calm.pk], begin, timezone.now()) == {
        board.pk: [(begin, other.ends_at)],
        calm.pk: [],
    }
    assert planned_times.windows([board.pk], other.ends_at, timezone.now()) == {board.pk: []}


def test_a_window_that_is_open_lasts_until_the_end_asked_for(work, board, lin):
    maintenance.start(work, by=lin)
    began, end = timezone.now(), timezone.now() + HOUR

    assert planned_times.windows([board.pk], began - DAY, end) == {board.pk: [(began, end)]}


def test_uptime_shows_maintenance_and_counts_it_as_up(work, board, freezer, lin):
    began = timezone.now()
    maintenance.start(work, by=lin)
    freezer.shift(2 * HOUR)
    maintenance.finish(work, by=lin)
    record = spans.records([board], began, timezone.now())[board.pk]
    count = record.count(began, timezone.now(), spans.method())

    assert record.days(began.date(), began.date()) == ["under_maintenance"]
    assert (count.share, count.counted) == (1, 2 * HOUR // TICK)


def test_uptime_leaves_maintenance_out_where_the_setting_says_so(work, board, freezer, lin, settings):
    settings.MAINTENANCE_EXCLUDED_FROM_DOWNTIME = True
    began = timezone.now()
    freezer.shift(HOUR)
    maintenance.start(work, by=lin)
    freezer.shift(2 * HOUR)
    maintenance.finish(work, by=lin)
    count = spans.records([board], began, timezone.now())[board.pk].count(began, timezone.now(), spans.method())

    assert count.counted == HOUR // TICK
    assert "time under maintenance is left out" in uptime.explained(spans.method())


def test_an_outage_during_maintenance_counts_and_shows(work, board, freezer, lin):
    began = timezone.now()
    maintenance.start(work, by=lin)
    publish("investigating", (board, "major_outage"), started_at=began)
    freezer.shift(HOUR)
    record = spans.records([board], began, timezone.now())[board.pk]

    assert record.days(began.date(), began.date()) == ["major_outage"]
    assert record.count(began, timezone.now(), spans.method()).share == 0


def test_from_which_impact_on_somebody_hears_of_incidents_is_no_matter(board, freezer):
    subscriber("dora@r.example", board, floor="critical")
    announced(board)

    assert told("Planned") == ["dora@r.example"]


def test_times_stand_beside_the_readers_own(board, freezer):
    subscriber("emil@r.example", board, time_zone="Europe/Berlin")
    announced(board)
    told()

    mail = BytesParser(policy=policy.default).parsebytes(mail_of(Delivery.objects.get()))
    for part in ("plain", "html"):
        assert "14:30 UTC" in (words := mail.get_body((part,)).get_content())
        assert "(15:30 Berlin)" in words
