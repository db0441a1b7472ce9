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
        self.look_at = 0.0

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
        self.look_at = 0.0
        self.pump()
        while self.out and (left := until - time.monotonic()) > 0:
            on_their_way = [future for future in self.out if not future.done()]
            if on_their_way:
                any_of(on_their_way, min(left, CLAIM_SECONDS), FIRST_COMPLETED)
            else:
                time.sleep(PAUSE_SECONDS)
            self.pump()

    def pump(self) -> None:
        """Write down what has ended and begin what is due and has a place. Quick, and raises nothing."""
        try:
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
        now, places = sending.database_now(), PLACES - len(self.out)
        rows = Delivery.objects.claim_posts(now, limit=places)
        failing = sum(out.delivery.priority == LAST for out in self.out.values())
        rows += Delivery.objects.claim_posts(now, limit=min(places - len(rows), FAILING_PLACES - failing), failing=True)
        if not rows:
            return
        self.ahead = now - timezone.now()
        sending.crash_point("after_claim")
        self._begin_all(rows)

    def _begin_all(self, rows: list[Delivery]) -> None:
        """Begin each, but of those a worker may have died of only one at a time: the others are not to blame."""
        begun = sending.begun_in_vain(rows)
        there = Endpoint.objects.in_use().in_bulk([number_of(row) for row in rows])
        held = sending.Claim(deque(rows), 0.0, self.ahead)
        put_off = sending.Claim(deque(), 0.0)
        try:
            while held.left:
                row = held.left.popleft()
                suspect = row.pk in begun
                if suspect and any(out.suspect for out in self.out.values()):
                    put_off.left.append(row)
                elif side_by_side([sending.begin(row, held, None)], sending.take_steps)[0]:
                    sending.crash_point("after_begin")
                    self._post(row, there.get(number_of(row)), suspect=suspect)
        finally:
            sending.hand_back(held)
            sending.hand_back(put_off)

    def _post(self, row: Delivery, endpoint: Endpoint | None, *, suspect: bool) -> None:
        if endpoint is None:
            gone = Outcome(Attempt.Outcome.PERM, None, "the endpoint is not in use any more")
            return sending.failed(row, gone, timezone.now() + self.ahead)
        self.out[self.threads.submit(_send, endpoint, row)] = Out(row, endpoint, suspect)

    def _settle(self) -> None:
        """Write down what ended. What the database does not take stays, for the next time."""
        for future in [future for future in self.out if future.done()]:
            self._ended(future, self.out[future])
            del self.out[future]
            self.look_at = 0.0

    def _ended(self, future: Future[Answer], out: Out) -> None:
        now, error = timezone.now() + self.ahead, future.exception()
        if error is None:
            sending.crash_point("after_send_before_commit")
            sent = Progress(now, sending.WORKER, out.delivery, future.result())
            for refused in Delivery.objects.progress([sent]):
                if isinstance(refused, Exception):
                    raise refused
            return endpoints.succeeded(out.endpoint)
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
