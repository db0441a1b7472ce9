"""Claim, begin one, send it, mark it: how deliveries leave, and what becomes of those that do not.

Any number of senders work at once, on any number of machines; the claim alone shares the work between them.
"""

import gc
import hashlib
import logging
import os
import socket
import time
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Count, F
from django.db.models.functions import Coalesce
from django.utils import timezone

from irportal.outbox import actions
from irportal.outbox.channels import Answer, Line, Outcome, chat, guard, smtp, webhook
from irportal.outbox.channels import django as any_mailer
from irportal.outbox.models import LEASE, Attempt, Channel, Delivery, Progress, Pulse, Suppression, database_now
from irportal.outbox.talks import Elsewhere, Step, Talk, side_by_side, through

log = logging.getLogger(__name__)

LINES: dict[str, type[Line]] = {"chat": chat.Line, "webhook": webhook.Line}
MAIL: dict[str, type[Line]] = {"smtp": smtp.Line, "django": any_mailer.Line}
AFTER_MAIL = ("chat", "webhook")  # far ends of other people, each of which may be slow
SLOW_SECONDS = 5  # of a claim for those, so that mail comes to its turn again
MARGIN = min(timedelta(seconds=35), LEASE * 0.4)  # the longest send and a little: the least of a lease to begin with
TURN_SECONDS = 40  # a turn stops claiming after this, so that Celery's limit never cuts a send
RETRY_MINUTES = (1, 5, 10, 20, 30)
PROBE_SECONDS = (5, 10, 20, 30)
UNCERTAIN_WAIT = timedelta(minutes=10)
POISON_STARTS = 3
MAX_CRASHES = 3
MARK_PAUSES = (0, 0.2, 0.5, 1, 2, 4)  # seconds before each try to write down that a message left
WORKER = f"{socket.gethostname()}:{os.getpid()}"[:80]


@dataclass
class Claim:
    """What one sender holds, until when it may begin the next, and how far the database's clock is ahead of ours."""

    left: deque[Delivery]
    until: float  # of time.monotonic(): no clock that jumps makes a lease longer
    ahead: timedelta = timedelta()
    channel: str = "smtp"
    streak: int = 0  # how often the transport had failed by then

    def now(self) -> datetime:
        return timezone.now() + self.ahead


def line_of(channel: str) -> type[Line]:
    """How a channel's messages leave; mail (`smtp` in its rows) by what MAIL_CHANNEL names today."""
    return LINES.get(channel) or MAIL[settings.MAIL_CHANNEL]


def beat() -> None:
    """Show that somebody works."""
    Pulse.objects.update_or_create(
        name="engine",
        defaults={"beat_at": timezone.now(), "host": socket.gethostname()[:80], "pid": os.getpid()},
    )


def send_due(seconds: float = TURN_SECONDS) -> int:
    """Claim and send until nothing is due, the transport breaks or time is up; return how many were accepted.

    Mail goes first, and again after each few of the others.
    """
    stop = time.monotonic() + seconds
    sent = _send_mail(stop)
    for channel in AFTER_MAIL:
        while time.monotonic() < stop - guard.TOTAL_SECONDS and (held := claim(channel)).left:
            sent += _work(held, stop=0) + _send_mail(stop)
    return sent


def _send_mail(stop: float) -> int:
    """When one claim does not take everything, MAIL_CONNECTIONS senders work side by side."""
    first = claim()
    others = settings.MAIL_CONNECTIONS - 1 if len(first.left) == line_of("smtp").at_once else 0
    senders = [_sender(first, stop), *(_sender(claim(), stop) for _ in range(others))]
    gc.freeze()  # what is loaded by now is not searched for garbage again and again: a tenth of the work
    try:
        return sum(side_by_side(senders, _take_steps))
    finally:
        gc.unfreeze()


def claim(name: str = "smtp") -> Claim:
    """As many due deliveries as this sender may take of a channel at once.

    None while a broken transport is left alone, one to see whether it is back.
    """
    beat()
    began, now, line = time.monotonic(), database_now(), line_of(name)
    channel = Channel.objects.get_or_create(name=name)[0] if line.breaks else Channel(name=name)
    lasts = (LEASE - MARGIN).total_seconds() if line.breaks else SLOW_SECONDS
    held = Claim(deque(), began + lasts, now - timezone.now(), name, channel.fail_streak)
    if channel.fail_streak and not _may_probe(channel, now):
        return held
    with transaction.atomic():
        rows = Delivery.objects.claim(now, limit=1 if channel.fail_streak else line.at_once, channel=name)
    held.left.extend(_suspects_last(rows if line.breaks else _one_each(rows)))
    crash_point("after_claim")
    return held


def _may_probe(channel: Channel, now: datetime) -> bool:
    """Whether it is time to try a broken transport, and this sender is the one who does."""
    if channel.open_until and channel.open_until > now:
        return False
    until = now + timedelta(seconds=PROBE_SECONDS[-1])
    mine = Channel.objects.filter(pk=channel.pk, fail_streak=channel.fail_streak, open_until=channel.open_until)
    return mine.update(open_until=until) == 1


def _one_each(rows: list[Delivery]) -> list[Delivery]:
    """The first for each far end; the rest is handed back, for how the first ends decides when they are due."""
    first: dict[str, Delivery] = {}
    for row in rows:
        first.setdefault(row.reader, row)
    _hand_back(Claim(deque(row for row in rows if first[row.reader] is not row), 0.0))
    return list(first.values())


def _suspects_last(rows: list[Delivery]) -> list[Delivery]:
    """What a dead sender had begun goes behind everything else: should it kill again, nobody waits for it."""
    again = [row.pk for row in rows if row.attempts > 1]
    begun: dict[int, int] = {}
    if again:
        unfinished = Attempt.objects.filter(delivery__in=again, finished_at=None)
        begun = dict(unfinished.order_by().values_list("delivery").annotate(Count("pk")))
    return sorted(rows, key=lambda row: begun.get(row.pk, 0))


def _work(held: Claim, stop: float) -> int:
    """One sender, and what it held; return how many were accepted."""
    return int(side_by_side([_sender(held, stop)], _take_steps)[0])


def _sender(held: Claim, stop: float) -> Talk:
    """Claim after claim over one line; the talk ends with how many were accepted."""
    sent = 0
    try:
        while held.left:
            line = line_of(held.channel)()
            yield Elsewhere(line.__enter__)
            try:
                while held.left:
                    sent += yield from _send_claimed(held, line)
                    Channel.objects.filter(name=held.channel, fail_streak__gt=0).update(
                        open_until=None, fail_streak=0, failing_since=None, alarmed_at=None, last_error=""
                    )
                    held = claim(held.channel) if time.monotonic() < stop else Claim(deque(), 0.0)
            finally:
                line.__exit__()
    except Outcome as outcome:
        _open(held, outcome)
    finally:
        _hand_back(held)
    return sent


def send_claimed(held: Claim, line: Line) -> int:
    """Send a claim over one line, committing each by itself; return how many were accepted.

    Raises Outcome when the transport breaks. What was not begun is handed back.
    """
    return int(side_by_side([_send_claimed(held, line)], _take_steps)[0])


def _send_claimed(held: Claim, line: Line) -> Talk:
    sent, proof = 0, None
    try:
        while held.left and time.monotonic() < held.until:
            delivery = held.left.popleft()
            begun = yield from _begin(delivery, held, proof)
            proof = None
            if not begun:
                line.drop()
                continue
            crash_point("after_begin")
            answer = yield from _try(line, delivery, held)
            if answer is not None:
                proof, sent = (delivery, answer), sent + 1
    finally:
        if proof:
            _mark(*proof, held)
        _hand_back(held)
    return sent


def _begin(delivery: Delivery, held: Claim, proof: tuple[Delivery, Answer] | None) -> Talk:
    """Write that its try begins, and in the same commit that the one before was accepted. False: do not send it."""
    poison = delivery.attempts - delivery.forgiven > POISON_STARTS and _unfinished(delivery) >= POISON_STARTS
    if proof or not poison:
        sent, answer = proof or (None, None)
        if (yield Step(Progress(held.now(), WORKER, sent, answer, None if poison else delivery))) and not poison:
            return True
    _settle(delivery, held.now())
    return False


def _unfinished(delivery: Delivery) -> int:
    return delivery.tries.filter(finished_at=None, n__gt=delivery.forgiven).count()


def _try(line: Line, delivery: Delivery, held: Claim) -> Talk:
    """Hand it over; the talk ends with the answer, or None when it did not get through.

    Raises Outcome for the transport.
    """
    try:
        answer = yield from through(line.send(delivery, held.left[0] if held.left else None))
    except Outcome as outcome:
        _failed(delivery, outcome, held.now())
        if outcome.blame in (Attempt.Outcome.TRANSPORT, Attempt.Outcome.UNCERTAIN):
            raise Outcome(Attempt.Outcome.TRANSPORT, outcome.code, outcome.answer) from outcome
        return None
    except Exception as error:
        log.exception("delivery %s broke our own code", delivery.pk)
        line.drop()
        broken = Outcome(Attempt.Outcome.CRASHED, None, f"{type(error).__name__}: {error}")
        _failed(delivery, broken, held.now())
        return None
    crash_point("after_send_before_commit")
    return answer


def _mark(delivery: Delivery, answer: Answer, held: Claim) -> None:
    """Write down that it left; a database that restarts meanwhile is waited for, or the reader would get it twice."""
    for pause in MARK_PAUSES:
        time.sleep(pause)
        try:
            Delivery.objects.progress([Progress(held.now(), WORKER, delivery, answer)])
            return
        except (OperationalError, InterfaceError):
            connection.close()
    log.error("delivery %s left, and the database could not be told", delivery.pk)


def _hand_back(held: Claim) -> None:
    """Give up leases on what was not begun, so that the next turn need not wait for them to end."""
    while held.left:
        row = held.left.popleft()
        Delivery.objects.waiting().filter(pk=row.pk, attempts=row.attempts).update(lease_until=None)


@transaction.atomic
def _settle(delivery: Delivery, now: datetime) -> None:
    """End a delivery that must not be sent; leave it alone when it is somebody else's by now."""
    row = Delivery.objects.waiting().select_for_update().filter(pk=delivery.pk, attempts=delivery.attempts).first()
    if row is None:
        return
    if Suppression.objects.filter(target__in=[row.reader, row.address]).exists():
        row.state, row.last_error = Delivery.State.SUPPRESSED, "left before it was sent"
    elif row.expires_at <= now:
        row.state, row.last_error = Delivery.State.DEAD, "expired before it could be sent"
    elif _unfinished(row) >= POISON_STARTS:
        row.state, row.last_error = Delivery.State.DEAD, "quarantined: its sending ended the worker three times"
    row.save(update_fields=["state", "last_error"])
    if row.state == Delivery.State.DEAD:
        log.error("delivery %s is dead: %s", row.pk, row.last_error)


@transaction.atomic
def _failed(delivery: Delivery, outcome: Outcome, now: datetime) -> None:
    """Apply the failure policy: who is to blame decides what happens next (reliability 1.5)."""
    Attempt.objects.filter(delivery=delivery, n=delivery.attempts, finished_at=None).update(
        finished_at=now, outcome=outcome.blame, code=outcome.code, answer=outcome.answer.replace("\0", "")
    )
    row = Delivery.objects.waiting().select_for_update().filter(pk=delivery.pk, attempts=delivery.attempts).first()
    if row is None:
        return
    row.lease_until, row.last_error = None, outcome.answer.replace("\0", "")
    if outcome.blame != Attempt.Outcome.TRANSPORT:
        row.failures += 1
    if outcome.blame == Attempt.Outcome.UNCERTAIN:
        row.due_at = now + UNCERTAIN_WAIT
    elif outcome.blame in (Attempt.Outcome.TEMP, Attempt.Outcome.CRASHED):
        row.due_at = now + max(_wait(row), outcome.wait)
    crashes = row.tries.filter(outcome=Attempt.Outcome.CRASHED, n__gt=row.forgiven).count()
    waits = line_of(row.channel).waits
    used_up = waits is not None and row.failures > len(waits)
    if outcome.blame == Attempt.Outcome.PERM or crashes >= MAX_CRASHES or used_up or row.due_at >= row.expires_at:
        row.state = Delivery.State.DEAD
        log.error("delivery %s is dead: %s", row.pk, outcome.code or outcome.blame)
    row.save(update_fields=["lease_until", "last_error", "failures", "due_at", "state"])
    if outcome.unknown_reader and row.leave:  # staff are never stopped: a broken promise must reach them
        actions.suppress(row.address, reason=f"bounced: {outcome.answer}", bounced=True)


def _wait(row: Delivery) -> timedelta:
    waits = line_of(row.channel).waits
    if waits is None:
        return retry_wait(row.failures, row.key)
    return give_or_take(waits[min(row.failures, len(waits)) - 1], row.failures, row.key)


def retry_wait(failures: int, key: str) -> timedelta:
    """How long a mail waits after its `failures`-th failure (at least 1).

    1, 5, 10, 20, 30 minutes, then 30 give or take a fifth.
    """
    if failures <= len(RETRY_MINUTES):
        return timedelta(minutes=RETRY_MINUTES[failures - 1])
    return give_or_take(timedelta(minutes=RETRY_MINUTES[-1]), failures, key)


def give_or_take(wait: timedelta, failures: int, key: str) -> timedelta:
    """Up to a fifth more or less, so that what failed together does not return together.

    `key` (64 hex digits) picks the fifth: the same message waits the same.
    """
    share = int(hashlib.sha256(f"{key}|{failures}".encode()).hexdigest()[:8], 16) / 0xFFFFFFFF
    return wait * (0.8 + 0.4 * share)


def _open(held: Claim, outcome: Outcome) -> None:
    """Leave the transport alone for 5, 10, 20, then 30 seconds; no message is blamed for it.

    Of several senders that meet the same outage, one counts.
    """
    now, wait = database_now(), PROBE_SECONDS[min(held.streak, len(PROBE_SECONDS) - 1)]
    Channel.objects.filter(pk=held.channel, fail_streak=held.streak).update(
        fail_streak=F("fail_streak") + 1,
        failing_since=Coalesce("failing_since", now),
        open_until=now + timedelta(seconds=wait),
        last_error=outcome.answer.replace("\0", ""),
    )
    log.error("the mail relay does not work (%s); next try in %s s", outcome.code or outcome.blame, wait)


def _take_steps(wanted: list[Progress]) -> list[bool | Exception]:
    return Delivery.objects.progress(wanted)


def crash_point(name: str) -> None:
    """Die here, as if killed, when PORTAL_CRASH_AT names this point; tests prove what survives."""
    if os.environ.get("PORTAL_CRASH_AT") == name:
        os.kill(os.getpid(), 9)
