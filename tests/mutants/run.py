"""Proof that the tests can fail (reliability, 7.6): break one thing at a time, and a named test must turn red.

    python -m tests.mutants.run [WORDS]

Works on a copy in a temporary folder. A mutant whose text is no longer in the code ends the run: it proves nothing.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", ".tools", "var", "__pycache__", "staticfiles", ".*_cache", ".hypothesis"
)


class Mutant(NamedTuple):
    """`was` in `file` becomes `now`; `test` (what pytest takes) must fail then, on `database`, with `env` besides."""

    name: str
    file: str
    was: str
    now: str
    test: str
    database: str = "sqlite"
    env: tuple[tuple[str, str], ...] = ()


SENDING, MODELS, FAN_OUT = (f"irportal/outbox/{name}.py" for name in ("sending", "models", "fan_out"))
POSTING, BOUNCES = "irportal/outbox/posting.py", "irportal/outbox/bounces.py"
SMTP, WIRE = "irportal/outbox/channels/smtp.py", "irportal/outbox/wire.py"
HOLDING, DUTIES = "incidents/comms/holding.py", "incidents/comms/duties.py"
TESTS = "tests/irportal/outbox"
MUTANTS = [
    Mutant(
        "posts wait for each other",
        POSTING,
        "PLACES = 32",
        "PLACES = 1",
        f"{TESTS}/test_posting.py::test_everybody_else_is_told_while_some_say_nothing_drip_or_never_end",
    ),
    Mutant(
        "what is out already is not counted",
        MODELS,
        "WHERE b.state = 'pending' AND b.channel",
        "WHERE b.state = 'nowhere' AND b.channel",
        f"{TESTS}/test_posting.py::test_one_host_has_five_posts_at_a_time_however_many_endpoints_are_there",
    ),
    Mutant(
        "posts are claimed by two at the same moment",
        MODELS,
        '"SELECT pg_advisory_xact_lock(%s)", [POSTS_LOCK]',
        '"SELECT %s", [POSTS_LOCK]',
        f"{TESTS}/test_posting.py::test_a_claim_waits_for_the_one_before_it_or_both_would_count_the_same",
        "postgres",
    ),
    Mutant(
        "a provider's event counts without our mark",
        BOUNCES,
        "return hit[1] if hit and _is_ours(hit[1], hit[2]) else",
        "return hit[1] if hit else",
        f"{TESTS}/test_mail_events.py::"
        "test_an_event_without_a_valid_mark_is_taken_counts_for_nothing_and_is_logged_without_address",
    ),
    Mutant(
        "a message is marked as sent before it is sent",
        SENDING,
        '            crash_point("after_begin")\n',
        "            _mark(delivery, '', held)\n            crash_point(\"after_begin\")\n",
        f"{TESTS}/test_failing.py::test_a_4xx_is_tried_again_after_1_5_10_20_then_about_every_30_minutes",
    ),
    Mutant(
        "earlier word to the same reader does not go first",
        MODELS,
        "WHERE e.lane = q.lane AND e.state = 'pending' AND e.id < q.id",
        "WHERE e.lane = q.lane AND e.state = 'pending' AND e.id < 0",
        f"{TESTS}/test_sending.py::test_earlier_word_to_the_same_reader_goes_first",
    ),
    Mutant(
        "earlier word does not go first, and only histories in any order tell",
        MODELS,
        "WHERE e.lane = q.lane AND e.state = 'pending' AND e.id < q.id",
        "WHERE e.lane = q.lane AND e.state = 'pending' AND e.id < 0",
        "tests/incidents/test_machine.py",
        env=(("EXAMPLES", "200"), ("STEPS", "30")),
    ),
    Mutant(
        "every try has a Message-ID of its own",
        WIRE,
        "{delivery.key[:16]}",
        "{__import__('uuid').uuid4().hex[:16]}",
        f"{TESTS}/test_failing.py::test_a_retry_sends_the_same_bytes",
    ),
    Mutant(
        "SQLite begins transactions as readers",
        "irportal/settings.py",
        '"transaction_mode": "IMMEDIATE"',
        '"transaction_mode": "DEFERRED"',
        "tests/irportal/test_writers.py",
    ),
    Mutant(
        "the web process rings the broker",
        "irportal/outbox/actions.py",
        "    now = timezone.now()\n    announcement, new =",
        "    tasks.tick.delay()\n    now = timezone.now()\n    announcement, new =",
        "tests/test_architecture.py::test_every_wall_of_the_design_stands",
    ),
    Mutant(
        "the web process rings the broker, and waits for it",
        "irportal/outbox/actions.py",
        "    now = timezone.now()\n    announcement, new =",
        "    from irportal.outbox import tasks\n    tasks.tick.delay()\n    now = timezone.now()\n"
        "    announcement, new =",
        "tests/incidents/test_no_broker.py",
    ),
    Mutant(
        "the engine without a broker sleeps longer",
        "irportal/outbox/management/commands/engine.py",
        "time.sleep(1)",
        "time.sleep(3)",
        f"{TESTS}/test_turns.py::test_what_is_committed_is_begun_within_a_second",
    ),
    Mutant(
        "what a killed sender held stays held",
        MODELS,
        "LEASE = timedelta(seconds=settings.MAIL_LEASE_SECONDS)",
        "LEASE = timedelta(seconds=2 * settings.MAIL_LEASE_SECONDS)",
        f"{TESTS}/test_turns.py::test_what_a_killed_sender_had_begun_is_sent_again_within_95_seconds",
    ),
    Mutant(
        "a broken promise is told of in every turn",
        HOLDING,
        ".filter(escalated_at=None)",
        "",
        "tests/incidents/comms/test_missed.py",
    ),
    Mutant(
        "a silent engine is well for a minute",
        MODELS,
        "PULSE_LIMIT = timedelta(seconds=30)",
        "PULSE_LIMIT = timedelta(seconds=60)",
        "tests/incidents/comms/test_missed.py",
    ),
    Mutant(
        "a database that is gone ends the engine",
        "irportal/outbox/management/commands/engine.py",
        "except DatabaseError:",
        "except InterruptedError:",
        "tests/incidents/comms/test_missed.py",
    ),
    Mutant(
        "a sender keeps what it has sent",
        SENDING,
        '            crash_point("after_begin")\n',
        '            crash_point("after_begin")\n            beat.__dict__[delivery.pk] = bytearray(20_000)\n',
        "tests/promises/test_small.py::test_a_sender_keeps_its_size_and_its_connections_through_thousands_of_mails",
    ),
    Mutant(
        "when a lease runs out the next mail goes to whoever was named",
        SMTP,
        "if self.named is not delivery:  #",
        "if False:  #",
        f"{TESTS}/test_sending.py::test_when_a_lease_runs_out_nobody_gets_what_is_for_the_next_in_line",
    ),
    Mutant(
        "a sender that wakes late overwrites a newer result",
        SENDING,
        "attempts=delivery.attempts).first()\n    if row is None:\n        return\n    row.lease_until",
        "attempts__gt=0).first() or Delivery.objects.get(pk=delivery.pk)\n    row.lease_until",
        f"{TESTS}/test_sending.py::test_a_worker_that_wakes_after_its_lease_cannot_overwrite_a_newer_result",
    ),
    Mutant(
        "a sender that wakes late begins all the same",
        MODELS,
        "WHERE d.id = %(next)s AND d.attempts = %(next_n)s AND d.state = 'pending'",
        "WHERE d.id = %(next)s AND %(next_n)s = %(next_n)s AND d.state = 'pending'",
        f"{TESTS}/test_sending.py::test_a_worker_that_wakes_after_its_lease_does_not_send",
    ),
    Mutant(
        "a clock that jumped back leaves leases standing",
        MODELS,
        "OR q.lease_until < %s OR q.lease_until > %s)",
        "OR q.lease_until < %s OR q.lease_until < %s)",
        f"{TESTS}/test_sending.py::test_a_lease_from_a_clock_that_jumped_back_counts_as_ended",
    ),
    Mutant(
        "a relay that is gone counts against the message",
        SENDING,
        "if outcome.blame != Attempt.Outcome.TRANSPORT:",
        "if True:",
        f"{TESTS}/test_failing.py::test_an_answer_about_the_relay_is_not_held_against_the_message",
    ),
    Mutant(
        "poison is begun for ever",
        SENDING,
        "POISON_STARTS = 3",
        "POISON_STARTS = 3_000",
        f"{TESTS}/test_storms.py::test_poison_is_put_aside_after_three_starts_and_everybody_else_is_served",
    ),
    Mutant(
        "an uncertain message is sent again at once",
        SENDING,
        "UNCERTAIN_WAIT = timedelta(minutes=10)",
        "UNCERTAIN_WAIT = timedelta()",
        f"{TESTS}/test_failing.py::"
        "test_when_nobody_knows_whether_it_was_taken_it_waits_ten_minutes_and_sends_the_same_bytes",
    ),
    Mutant(
        "who left is claimed all the same",
        MODELS,
        "AND NOT EXISTS (SELECT 1 FROM outbox_suppression s WHERE s.target = d.reader)",
        "AND d.id > 0",
        f"{TESTS}/test_sending.py::test_who_leaves_between_claim_and_send_gets_nothing",
    ),
    Mutant(
        "old word gives way to word that does not repeat it",
        FAN_OUT,
        ', announcement__retells=OuterRef("announcement")',
        "",
        f"{TESTS}/test_sending.py::test_word_that_only_another_reader_gets_retold_does_not_give_way",
    ),
    Mutant(
        "a try can be written again",
        "irportal/outbox/migrations/0002_append_only.py",
        "OLD.finished_at IS NOT NULL OR NEW.finished_at IS NULL",
        "NEW.finished_at IS NULL",
        f"{TESTS}/test_sending.py::test_a_try_that_ended_is_never_written_again",
    ),
    Mutant(
        "the ledger takes INSERT OR REPLACE",
        "irportal/ledger/migrations/0002_append_only.py",
        "WHEN NEW.{key} <= COALESCE(",
        "WHEN NEW.{key} < -5 + 0 * COALESCE(",
        "tests/irportal/ledger/test_append_only.py",
    ),
    Mutant(
        "one holding message more than the policy allows",
        HOLDING,
        "_holdings_before(duty) < limit",
        "_holdings_before(duty) <= limit",
        "tests/incidents/comms/test_promises.py",
    ),
    Mutant(
        "a first message has grace, too",
        "incidents/comms/cadence.py",
        "grace if repeated else timedelta()",
        "grace",
        "tests/incidents/comms/test_cadence.py",
    ),
]


def red(mutant: Mutant, copy: Path) -> bool:
    """Whether the named test fails on the mutant. Raises SystemExit when there is no such text or no such test."""
    file = copy / mutant.file
    text = file.read_text()
    if mutant.was not in text:
        raise SystemExit(f"{mutant.name}: {mutant.file} no longer says {mutant.was!r}")
    file.write_text(text.replace(mutant.was, mutant.now))
    try:
        return pytest_ends(mutant, copy) == 1
    finally:
        file.write_text(text)


def pytest_ends(mutant: Mutant, copy: Path) -> int:
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", mutant.test]
    env = os.environ | {"TEST_DATABASE": mutant.database} | dict(mutant.env)
    done = subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True, timeout=600)
    if done.returncode not in (0, 1):
        raise SystemExit(f"{mutant.name}: {mutant.test} could not be run\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.returncode


def main(words: list[str]) -> int:
    chosen = [mutant for mutant in MUTANTS if all(word in mutant.name for word in words)]
    survived = 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Path(folder) / "portal"
        shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
        for mutant in chosen:
            found = red(mutant, copy)
            survived += not found
            print(
                f"{'red     ' if found else 'SURVIVED'} {mutant.name}  ({mutant.test.rpartition('::')[2]})", flush=True
            )
    print(f"{len(chosen) - survived} of {len(chosen)} turned a test red")
    return bool(survived)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
