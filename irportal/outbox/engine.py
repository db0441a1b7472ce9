"""The engine: one turn does everything that is due. Any number of hands may run it at once.

Parts above add their own duties with `on_turn`; each runs in isolation, so one that breaks stops nobody else.
"""

import hashlib
import logging
import os
import socket
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import OperationalError, connection, transaction
from django.db.models import F
from django.utils import timezone

from irportal.ledger import actions as ledger
from irportal.ledger.models import Checkpoint, Entry
from irportal.outbox import actions, audiences
from irportal.outbox.channels import smtp
from irportal.outbox.models import LEASE, Announcement, Attempt, Channel, Delivery, Pulse, Suppression

log = logging.getLogger(__name__)

MARGIN = timedelta(seconds=35)  # the longest send plus a little: no message is begun with less of the lease left
TURN_SECONDS = 40  # a turn stops claiming after this, so that Celery's limit never cuts a send
RETRY_MINUTES = (1, 5, 10, 20, 30)
PROBE_SECONDS = (5, 10, 20, 30)
UNCERTAIN_WAIT = timedelta(minutes=10)
CHECKPOINT_EVERY = timedelta(seconds=60)
POISON_STARTS = 3
MAX_CRASHES = 3
WORKER = f"{socket.gethostname()}:{os.getpid()}"[:80]

_turns: list[Callable[[datetime], None]] = []


def on_turn(function: Callable[[datetime], None]) -> Callable[[datetime], None]:
    """Have `function(now)` called once in every turn of the engine.

    It must be safe to call at any time, by many.
    """
    if function not in _turns:
        _turns.append(function)
    return function


def run_once() -> None:
    """One turn: duties, fan-out, deliveries (with a pulse before each claim), pulse, checkpoint."""
    for function in (*_turns, _fan_out_pending):
        try:
            function(timezone.now())
        except OperationalError:
            connection.close()
            log.exception("the database did not answer %s", function.__name__)
        except Exception:
            log.exception("%s failed; the turn goes on", function.__name__)
    send_due()
    _beat()
    _checkpoint()


def _beat() -> None:
    Pulse.objects.update_or_create(
        name="engine",
        defaults={"beat_at": timezone.now(), "host": socket.gethostname()[:80], "pid": os.getpid()},
    )


def _checkpoint() -> None:
    """Once a minute at most, when something was recorded since the last one."""
    newest = Checkpoint.objects.order_by("size").last()
    if newest and timezone.now() - newest.made_at < CHECKPOINT_EVERY:
        return
    if Entry.objects.count() > (newest.size if newest else 0):
        ledger.make_checkpoint()


def _fan_out_pending(now: datetime) -> None:
    """Turn new announcements into deliveries, one transaction each: a bad one holds up no other."""
    for pk in Announcement.objects.filter(fanned_out_at=None).values_list("pk", flat=True):
        try:
            fan_out(pk)
        except Exception:
            log.exception("announcement %s could not be fanned out", pk)


@transaction.atomic
def fan_out(pk: int) -> int:
    """Write the deliveries of one announcement to exactly its audience now; return how many there are.

    Who has left is written down as suppressed; what is not one e-mail address stops nobody else.
    """
    found = Announcement.objects.select_for_update().filter(pk=pk, fanned_out_at=None).first()
    if found is None:
        return 0
    readers = [reader for reader in audiences.resolve(found.audience, found.facts) if _can_be_mailed(reader)]
    names = {name for reader in readers for name in (reader.key, reader.address)}
    left = set(Suppression.objects.filter(target__in=names).values_list("target", flat=True))
    rows = [_delivery(found, reader, left) for reader in readers]
    Delivery.objects.bulk_create(rows, batch_size=500, ignore_conflicts=True)
    found.fanned_out_at = timezone.now()
    found.save(update_fields=["fanned_out_at"])
    return len(rows)


def _delivery(announcement: Announcement, reader: audiences.Reader, left: set[str]) -> Delivery:
    gone = reader.key in left or reader.address in left
    return Delivery(
        announcement=announcement,
        key=actions.delivery_key(announcement, "smtp", reader.address),
        lane=f"{announcement.thread}:{reader.key}",
        reader=reader.key,
        address=reader.address,
        unsubscribe_url=reader.unsubscribe_url,
        why=reader.why,
        priority=announcement.priority,
        state=Delivery.State.SUPPRESSED if gone else Delivery.State.PENDING,
        due_at=announcement.made_at,
        expires_at=announcement.expires_at,
    )


def _can_be_mailed(reader: audiences.Reader) -> bool:
    try:
        validate_email(reader.address)
    except ValidationError:
        log.error("%s has an address no mail can be sent to", reader.key)
        return False
    return True


def send_due(seconds: float = TURN_SECONDS) -> int:
    """Claim and send until nothing is due, the transport breaks or time is up; return how many were accepted."""
    stop, sent = time.monotonic() + seconds, 0
    while time.monotonic() < stop:
        _beat()
        channel, _ = Channel.objects.get_or_create(name="smtp")
        now = timezone.now()
        if channel.open_until and channel.open_until > now:
            break
        with transaction.atomic():
            claimed = Delivery.objects.claim(now)
        if not claimed:
            break
        try:
            sent += _send_claimed(claimed, now + LEASE)
        except smtp.Outcome as outcome:
            _open(channel, outcome)
            break
        if channel.fail_streak:
            Channel.objects.filter(name="smtp").update(open_until=None, fail_streak=0, last_error="")
    return sent


def _send_claimed(claimed: list[Delivery], lease_until: datetime) -> int:
    """Send a claim over one connection, committing each by itself.

    Raises Outcome when the transport breaks.
    """
    sent, left = 0, list(claimed)
    try:
        with smtp.Connection() as relay:
            while left and timezone.now() < lease_until - MARGIN:
                sent += _send_one(relay, left.pop(0))
    finally:
        _hand_back(left)
    return sent


def _hand_back(left: list[Delivery]) -> None:
    """Give up leases on what was not begun, so that the next turn need not wait for them to end."""
    for delivery in left:
        Delivery.objects.waiting().filter(pk=delivery.pk, attempts=delivery.attempts).update(lease_until=None)


def _send_one(relay: smtp.Connection, delivery: Delivery) -> int:
    """Try one delivery and commit what came of it.

    Returns 1 if the relay took it. Raises Outcome for the transport.
    """
    attempt = _start(delivery)
    if attempt is None:
        return 0
    try:
        answer = relay.send(delivery, smtp.build(delivery))
    except smtp.Outcome as outcome:
        _failed(delivery, attempt, outcome)
        if outcome.blame in (Attempt.Outcome.TRANSPORT, Attempt.Outcome.UNCERTAIN):
            raise smtp.Outcome(Attempt.Outcome.TRANSPORT, outcome.code, outcome.answer) from outcome
        return 0
    except Exception as error:
        log.exception("delivery %s broke our own code", delivery.pk)
        _failed(delivery, attempt, smtp.Outcome(Attempt.Outcome.CRASHED, None, f"{type(error).__name__}: {error}"))
        return 0
    crash_point("after_send_before_commit")
    now = timezone.now()
    with transaction.atomic():
        _finish(attempt, Attempt.Outcome.OK, 250, answer)
        Delivery.objects.filter(pk=delivery.pk, attempts=delivery.attempts).update(
            state=Delivery.State.SENT, accepted_at=now, last_error=""
        )
    return 1


@transaction.atomic
def _start(delivery: Delivery) -> Attempt | None:
    """Write the attempt before the network is touched, or settle the delivery without trying.

    None: do not send.
    """
    now = timezone.now()
    row = Delivery.objects.waiting().select_for_update().filter(pk=delivery.pk, attempts=delivery.attempts).first()
    if row is None:
        return None
    if Suppression.objects.filter(target__in=[row.reader, row.address]).exists():
        _settle(row, Delivery.State.SUPPRESSED, "left before it was sent")
        return None
    if row.expires_at <= now:
        _settle(row, Delivery.State.DEAD, "expired before it could be sent")
        return None
    if row.tries.filter(finished_at=None, n__gt=row.forgiven).count() >= POISON_STARTS:
        _settle(row, Delivery.State.DEAD, "quarantined: its sending ended the worker three times")
        return None
    return Attempt.objects.create(delivery=row, n=row.attempts, started_at=now, worker=WORKER)


def _settle(row: Delivery, state: str, reason: str) -> None:
    row.state, row.last_error = state, reason[:300]
    row.save(update_fields=["state", "last_error"])
    if state == Delivery.State.DEAD:
        log.error("delivery %s is dead: %s", row.pk, reason)


def _finish(attempt: Attempt, outcome: str, code: int | None, answer: str) -> None:
    Attempt.objects.filter(pk=attempt.pk, finished_at=None).update(
        finished_at=timezone.now(), outcome=outcome, code=code, answer=answer[:300]
    )


@transaction.atomic
def _failed(delivery: Delivery, attempt: Attempt, outcome: smtp.Outcome) -> None:
    """Apply the failure policy: who is to blame decides what happens next (reliability 1.5)."""
    _finish(attempt, outcome.blame, outcome.code, outcome.answer)
    row = Delivery.objects.waiting().select_for_update().filter(pk=delivery.pk, attempts=delivery.attempts).first()
    if row is None:
        return
    now, row.lease_until, row.last_error = timezone.now(), None, outcome.answer
    if outcome.blame != Attempt.Outcome.TRANSPORT:
        row.failures += 1
    if outcome.blame == Attempt.Outcome.UNCERTAIN:
        row.due_at = now + UNCERTAIN_WAIT
    elif outcome.blame in (Attempt.Outcome.TEMP, Attempt.Outcome.CRASHED):
        row.due_at = now + retry_wait(row.failures, row.key)
    crashes = row.tries.filter(outcome=Attempt.Outcome.CRASHED, n__gt=row.forgiven).count()
    if outcome.blame == Attempt.Outcome.PERM or crashes >= MAX_CRASHES or row.due_at >= row.expires_at:
        row.state = Delivery.State.DEAD
        log.error("delivery %s is dead: %s", row.pk, outcome.code or outcome.blame)
    row.save(update_fields=["lease_until", "last_error", "failures", "due_at", "state"])
    if outcome.unknown_reader and row.unsubscribe_url:  # staff are never stopped: a broken promise must reach them
        actions.suppress(row.address, reason=f"bounced: {outcome.answer}", bounced=True)


def retry_wait(failures: int, key: str) -> timedelta:
    """How long a message waits after its `failures`-th failure (at least 1).

    1, 5, 10, 20, 30 minutes, then 30 give or take a fifth, so that what failed together does not return together.
    `key` (64 hex digits) picks the fifth: the same message waits the same.
    """
    if failures <= len(RETRY_MINUTES):
        return timedelta(minutes=RETRY_MINUTES[failures - 1])
    share = int(hashlib.sha256(f"{key}|{failures}".encode()).hexdigest()[:8], 16) / 0xFFFFFFFF
    return timedelta(minutes=RETRY_MINUTES[-1] * (0.8 + 0.4 * share))


def _open(channel: Channel, outcome: smtp.Outcome) -> None:
    """Leave the transport alone for 5, 10, 20, then 30 seconds; no message is blamed for it."""
    wait = PROBE_SECONDS[min(channel.fail_streak, len(PROBE_SECONDS) - 1)]
    Channel.objects.filter(pk=channel.pk).update(
        fail_streak=F("fail_streak") + 1,
        open_until=timezone.now() + timedelta(seconds=wait),
        last_error=outcome.answer,
    )
    log.error("the mail relay does not work (%s); next try in %s s", outcome.code or outcome.blame, wait)


def crash_point(name: str) -> None:
    """Die here, as if killed, when PORTAL_CRASH_AT names this point; tests prove what survives."""
    if os.environ.get("PORTAL_CRASH_AT") == name:
        os.kill(os.getpid(), 9)
