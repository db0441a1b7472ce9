"""Posts to the programs and chat rooms of others: many at once, so that one that says nothing keeps nobody waiting.

Whoever runs the engine does all that concerns the database and hands out posts; threads speak to the far ends and to
nothing else. So a post that hangs holds one place for as long as a post may take, and the turn goes on meanwhile.
How many are out to one endpoint and one host is counted in the claim, over all engines and workers.
"""

import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor
from concurrent.futures import wait as any_of
from datetime import timedelta
from typing import NamedTuple, Self

from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone

from irportal.outbox import endpoints, sending
from irportal.outbox.channels import Answer, Outcome, guard
from irportal.outbox.models import LAST, Attempt, Delivery, Endpoint, Progress
from irportal.outbox.talks import side_by_side

log = logging.getLogger(__name__)

PLACES = 32  # posts of one engine that are out at the same time
FAILING_PLACES = 8  # of those, for endpoints that took nothing the last time
CLAIM_SECONDS = 0.5  # between two looks for what is due, when no post has ended meanwhile
PAUSE_SECONDS = 0.2  # before the database is asked again that did not answer


class Out(NamedTuple):
    """A post that was begun. `suspect`: a worker that is gone had begun it before."""

    delivery: Delivery
    endpoint: Endpoint
    suspect: bool


def always() -> bool:
    return True


class Posts:
    """The posts of one hand of the engine. None begins that could outlast `seconds`, nor once `going()` is false."""

    def __init__(self, seconds: float = sending.TURN_SECONDS, going: Callable[[], bool] = always) -> None:
        self.going = going
        self.over = time.monotonic() + seconds
        self.out: dict[Future[Answer], Out] = {}
        self.threads = ThreadPoolExecutor(PLACES, thread_name_prefix="post")
        self.ahead = timedelta()
        self.ended: deque[Future[Answer]] = deque()
        self.look_at = self.look_at_failing = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.threads.shutdown(wait=False, cancel_futures=True)
        for out in self.out.values():
            log.error("delivery %s was posted, and the database could not be told", out.delivery.pk)

    @property
    def seconds_left(self) -> float:
        return self.over - time.monotonic()

    @property
    def busy(self) -> bool:
        return bool(self.out) and self.seconds_left > 0

    def wait(self, seconds: float) -> None:
        """Begin what is due and write down what ends, until nothing is out or for so long."""
        until = time.monotonic() + seconds
        self.look_at = self.look_at_failing = 0.0
        self.pump()
        while self.out and (left := until - time.monotonic()) > 0:
            on_their_way = [future for future in self.out if not future.done()]
            if on_their_way:
                any_of(on_their_way, min(left, CLAIM_SECONDS), FIRST_COMPLETED)
            else:
                time.sleep(PAUSE_SECONDS)
            self.pump()

    def pump(self) -> None:
        """Write down what has ended and begin what is due and has a place.

        Quick, for mail waits meanwhile: all that ended shares a wait for the disk, all that begins another. Raises
        nothing.
        """
        try:
            if self.ended:
                self._settle()
            if time.monotonic() >= self.look_at and self.seconds_left >= guard.TOTAL_SECONDS and self.going():
                self._claim()
        except (OperationalError, InterfaceError):
            connection.close()
            log.exception("the database did not answer a sender of posts")
        except Exception:
            log.exception("posts could not be looked after; they are again in a moment")

    def _claim(self) -> None:
        self.look_at = time.monotonic() + CLAIM_SECONDS
        places = PLACES - len(self.out)
        if not places:
            return
        now = sending.database_now()
        rows = Delivery.objects.claim_posts(now, limit=places)
        if not (rows or self.out) or time.monotonic() >= self.look_at_failing:
            self.look_at_failing = self.look_at
            failing = sum(out.delivery.priority == LAST for out in self.out.values())
            few = min(places - len(rows), FAILING_PLACES - failing)
            rows += Delivery.objects.claim_posts(now, limit=few, failing=True)
        if rows:
            self.ahead = now - timezone.now()
            sending.crash_point("after_claim")
            self._begin(rows)

    def _begin(self, rows: list[Delivery]) -> None:
        """Begin each, but of those a worker may have died of only one at a time: the others are not to blame."""
        in_vain = sending.begun_in_vain(rows)
        free = not any(out.suspect for out in self.out.values())
        first = next((row.pk for row in rows if row.pk in in_vain), None) if free else None
        chosen = [row for row in rows if row.pk not in in_vain or row.pk == first]
        held = sending.Claim(deque(rows), 0.0, self.ahead)
        try:
            there = Endpoint.objects.filter(is_active=True).in_bulk([number_of(row) for row in chosen])
            begun = side_by_side([sending.begin(row, held, None) for row in chosen], sending.take_steps)
            held.left = deque(row for row in rows if row not in chosen)
            sending.crash_point("after_begin")
            for row in (row for row, may in zip(chosen, begun, strict=True) if may):
                self._post(row, there.get(number_of(row)), suspect=row.pk in in_vain)
        finally:
            sending.hand_back(held)

    def _post(self, row: Delivery, endpoint: Endpoint | None, *, suspect: bool) -> None:
        if endpoint is None:
            gone = Outcome(Attempt.Outcome.PERM, None, "the endpoint is not in use any more")
            return sending.failed(row, gone, timezone.now() + self.ahead)
        future = self.threads.submit(_send, endpoint, row)
        self.out[future] = Out(row, endpoint, suspect)
        future.add_done_callback(self.ended.append)

    def _settle(self) -> None:
        """Write down what ended. What the database does not take stays, for the next time."""
        ended = [self.ended.popleft() for _ in range(len(self.ended))]
        try:
            self._accepted([future for future in ended if future.exception() is None])
            for future in [future for future in ended if future in self.out and future.exception()]:
                self._refused(future.exception(), self.out[future])
                del self.out[future]
        finally:
            self.ended.extend(future for future in ended if future in self.out)
            self.look_at = 0.0

    def _accepted(self, ended: list[Future[Answer]]) -> None:
        if not ended:
            return
        sending.crash_point("after_send_before_commit")
        now, taken, refusal = timezone.now() + self.ahead, [], None
        steps = [Progress(now, sending.WORKER, self.out[future].delivery, future.result()) for future in ended]
        for future, answer in zip(ended, sending.take_steps(steps), strict=True):
            if isinstance(answer, Exception):
                refusal = answer
            else:
                taken.append(self.out.pop(future).endpoint)
        endpoints.succeeded(taken)
        if refusal:
            raise refusal

    def _refused(self, error: BaseException | None, out: Out) -> None:
        now = timezone.now() + self.ahead
        if isinstance(error, Outcome):
            endpoints.failed(out.endpoint, out.delivery, wait=error.wait)
            if error.code == 410:
                endpoints.switch_off(out.endpoint, reason="it answered 410, gone")
            return sending.failed(out.delivery, error, now)
        log.error("delivery %s broke our own code", out.delivery.pk, exc_info=error)
        broken = Outcome(Attempt.Outcome.CRASHED, None, f"{type(error).__name__}: {error}")
        sending.failed(out.delivery, broken, now)


def number_of(row: Delivery) -> int:
    """The key of the endpoint a delivery goes to, `endpoint:17`."""
    return int(row.reader.rpartition(":")[2])


def _send(endpoint: Endpoint, row: Delivery) -> Answer:
    return sending.POSTS[row.channel](endpoint, row).send()
