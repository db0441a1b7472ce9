"""Claim, begin one, send it, mark it: how mail leaves, and what becomes of deliveries that do not get through.

Any number of senders work at once, on any number of machines; the claim alone shares the work between them. What goes
to the programs and chat rooms of others leaves by `posting`.
"""

import gc
import hashlib
import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Count, F
from django.db.models.functions import Coalesce
from django.utils import timezone

from irportal.outbox import actions
from irportal.outbox.channels import Answer, Line, Outcome, Way, chat, smtp, webhook
from irportal.outbox.channels import django as any_mailer
from irportal.outbox.models import LEASE, Attempt, Channel, Delivery, Progress, Pulse, Suppression, database_now
from irportal.outbox.talks import Elsewhere, Step, Talk, side_by_side, through

log = logging.getLogger(__name__)

POSTS: dict[str, type[webhook.Post]] = {"chat": chat.Post, "webhook": webhook.Post}
MAIL: dict[str, type[Line]] = {"smtp": smtp.Line, "django": any_mailer.Line}
MARGIN = min(timedelta(seconds=35), LEASE * 0.4)  # the longest send and a little: the least of a lease to begin with
TURN_SECONDS = 40  # a turn stops claiming after this, so that Celery's limit never cuts a send
BEAT_SECONDS = 10  # what a slow relay leaves of a claim takes longer than a pulse may be old
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
    streak: int = 0  # how often the transport had failed by then
    beaten: float = field(default_factory=time.monotonic)

    def now(self) -> datetime:
        return timezone.now() + self.ahead


def mail_line() -> type[Line]:
    """How mail leaves (`smtp` in its rows, whatever MAIL_CHANNEL names today)."""
    return MAIL[settings.MAIL_CHANNEL]


def way_of(channel: str) -> type[Way]:
    return POSTS.get(channel) or mail_line()


def nothing() -> None:
    """What most senders have to look after besides mail."""


def beat() -> None:
    """Show that somebody works."""
    Pulse.objects.update_or_create(
        name="engine",
        defaults={"beat_at": timezone.now(), "host": socket.gethostname()[:80], "pid": os.getpid()},
    )


def send_due(seconds: float = TURN_SECONDS, meanwhile: Callable[[], None] = nothing) -> int:
    """Claim and send mail until none is due, the relay breaks or time is up; return how many were accepted.

    When one claim does not take everything, MAIL_CONNECTIONS senders work side by side. `meanwhile` is called before
    each message: it must be quick and raise nothing.
    """
    stop = time.monotonic() + seconds
    first = claim()
    others = settings.MAIL_CONNECTIONS - 1 if len(first.left) == mail_line().at_once else 0
    senders = [_sender(first, stop, meanwhile), *(_sender(claim(), stop, meanwhile) for _ in range(others))]
    gc.freeze()  # what is loaded by now is not searched for garbage again and again: a tenth of the work
    try:
        return sum(side_by_side(senders, take_steps))
    finally:
        gc.unfreeze()


def claim() -> Claim:
    """As much due mail as this sender may take at once.

    None while a broken transport is left alone, one to see whether it is back.
    """
    beat()
    began, now = time.monotonic(), database_now()
    channel = Channel.objects.get_or_create(name="smtp")[0]
    lasts = (LEASE - MARGIN).total_seconds()
    held = Claim(deque(), began + lasts, now - timezone.now(), channel.fail_streak)
    if channel.fail_streak and not _may_probe(channel, now):
        return held
    with transaction.atomic():
        rows = Delivery.objects.claim(now, limit=1 if channel.fail_streak else mail_line().at_once)
    begun = begun_in_vain(rows)
    held.left.extend(sorted(rows, key=lambda row: begun.get(row.pk, 0)))
    crash_point("after_claim")
    return held


def _may_probe(channel: Channel, now: datetime) -> bool:
    """Whether it is time to try a broken transport, and this sender is the one who does."""
    if channel.open_until and channel.open_until > now:
        return False
    until = now + timedelta(seconds=PROBE_SECONDS[-1])
    mine = Channel.objects.filter(pk=channel.pk, fail_streak=channel.fail_streak, open_until=channel.open_until)
    return mine.update(open_until=until) == 1


def begun_in_vain(rows: list[Delivery]) -> dict[int, int]:
    """By delivery, how often a sender that is gone had begun it.

    Such ones go behind everything else: should they kill again, nobody waits for it.
    """
    again = [row.pk for row in rows if row.attempts > 1]
    if not again:
        return {}
    unfinished = Attempt.objects.filter(delivery__in=again, finished_at=None)
    return dict(unfinished.order_by().values_list("delivery").annotate(Count("pk")))


def _sender(held: Claim, stop: float, meanwhile: Callable[[], None]) -> Talk:
    """Claim after claim over one line; the talk ends with how many were accepted."""
    sent = 0
    try:
        while held.left:
            line = mail_line()()
            yield Elsewhere(line.__enter__)
            try:
                while held.left:
                    sent += yield from _send_claimed(held, line, meanwhile)
                    Channel.objects.filter(name="smtp", fail_streak__gt=0).update(
                        open_until=None, fail_streak=0, failing_since=None, alarmed_at=None, last_error=""
                    )
                    held = claim() if time.monotonic() < stop else Claim(deque(), 0.0)
            finally:
                line.__exit__()
    except Outcome as outcome:
        _open(held, outcome)
    finally:
        hand_back(held)
    return sent


def send_claimed(held: Claim, line: Line) -> int:
    """Send a claim over one line, committing each by itself; return how many were accepted.

    Raises Outcome when the transport breaks. What was not begun is handed back.
    """
    return int(side_by_side([_send_claimed(held, line)], take_steps)[0])


def _send_claimed(held: Claim, line: Line, meanwhile: Callable[[], None] = nothing) -> Talk:
    sent, proof = 0, None
    try:
        while held.left and time.monotonic() < held.until:
            meanwhile()
            if time.monotonic() > held.beaten + BEAT_SECONDS:
                beat()
                held.beaten = time.monotonic()
            delivery = held.left.popleft()
            begun = yield from begin(delivery, held, proof)
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
        hand_back(held)
    return sent


def begin(delivery: Delivery, held: Claim, proof: tuple[Delivery, Answer] | None) -> Talk:
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
        failed(delivery, outcome, held.now())
        if outcome.blame in (Attempt.Outcome.TRANSPORT, Attempt.Outcome.UNCERTAIN):
            raise Outcome(Attempt.Outcome.TRANSPORT, outcome.code, outcome.answer) from outcome
        return None
    except Exception as error:
        log.exception("delivery %s broke our own code", delivery.pk)
        line.drop()
        broken = Outcome(Attempt.Outcome.CRASHED, None, f"{type(error).__name__}: {error}")
        failed(delivery, broken, held.now())
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


def hand_back(held: Claim) -> None:
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
def failed(delivery: Delivery, outcome: Outcome, now: datetime) -> None:
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
    waits = way_of(row.channel).waits
    used_up = waits is not None and row.failures > len(waits)
    if outcome.blame == Attempt.Outcome.PERM or crashes >= MAX_CRASHES or used_up or row.due_at >= row.expires_at:
        row.state = Delivery.State.DEAD
        log.error("delivery %s is dead: %s", row.pk, outcome.code or outcome.blame)
    row.save(update_fields=["lease_until", "last_error", "failures", "due_at", "state"])
    if outcome.unknown_reader and row.leave:  # staff are never stopped: a broken promise must reach them
        actions.suppress(row.address, reason=f"bounced: {outcome.answer}", bounced=True)


def _wait(row: Delivery) -> timedelta:
    waits = way_of(row.channel).waits
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
    Channel.objects.filter(pk="smtp", fail_streak=held.streak).update(
        fail_streak=F("fail_streak") + 1,
        failing_since=Coalesce("failing_since", now),
        open_until=now + timedelta(seconds=wait),
        last_error=outcome.answer.replace("\0", ""),
    )
    log.error("the mail relay does not work (%s); next try in %s s", outcome.code or outcome.blame, wait)


def take_steps(wanted: list[Progress]) -> list[bool | Exception]:
    return Delivery.objects.progress(wanted)


def crash_point(name: str) -> None:
    """Die here, as if killed, when PORTAL_CRASH_AT names this point; tests prove what survives."""
    if os.environ.get("PORTAL_CRASH_AT") == name:
        os.kill(os.getpid(), 9)
