"""R-T4: the broker refuses, swallows what is sent to it, stands still or forgets; declarations and mail go on."""

import signal
import socket
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from tests.chaos.portal import HANDS
from tests.chaos.servers import Redis, until
from tests.chaos.sink import Sink
from tests.chaos.stage import Stage, stage
from tests.promises.figures import Figure, percentile


@contextmanager
def black_hole(listener: socket.socket) -> Iterator[None]:
    """Nothing answers at this bound socket: its queue is full, so that the kernel drops every further SYN, as a
    firewall that DROPs does. It needs no rights. Raises AssertionError where a kernel answers all the same."""
    listener.listen(0)
    with ExitStack() as stack:
        for _ in range(8):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        time.sleep(0.1)
        with suppress(TimeoutError):
            socket.create_connection(listener.getsockname(), 0.3).close()
            raise AssertionError("this kernel answers where it should drop")
        yield


@contextmanager
def well(redis: Redis) -> Iterator[None]:
    """To compare with: what the same machine does at the same hour with nothing broken."""
    yield


@contextmanager
def refused(redis: Redis) -> Iterator[None]:
    redis.stop()
    yield
    redis.start()


@contextmanager
def dropped(redis: Redis) -> Iterator[None]:
    redis.stop()
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", redis.port))
        with black_hole(listener):
            yield
    redis.start()


@contextmanager
def frozen(redis: Redis) -> Iterator[None]:
    redis.process.send_signal(signal.SIGSTOP)
    yield
    redis.process.send_signal(signal.SIGCONT)


@contextmanager
def flushed(redis: Redis) -> Iterator[None]:
    redis.flush()
    yield
    redis.flush()


FAULTS: list[Callable] = [well, refused, dropped, frozen, flushed]


def prove(database: str, *, declarations: int = 200) -> list[Figure]:
    """So many declarations one after another under each fault, on the deployed processes."""
    sink = Sink(0, temporary=0, slow=0)
    figures = []
    with stage(database, sink, readers=1, hands=tuple(n for n in HANDS if n != "second engine")) as here:
        until(lambda: sink.taken, seconds=60, what="the mail of the first declaration")
        for fault in FAULTS:
            with fault(here.redis):
                took, mails = declare_many(here, declarations, fault.__name__)
            name = f"broker {fault.__name__}"
            figures += [
                Figure(f"{name}, declarations refused", declarations - len(took), 0, "errors"),
                Figure(f"{name}, declarations without mail", len(took) - len(mails), 0, "incidents"),
                Figure(f"{name}, declaring, 99 of 100", 1000 * percentile(took, 0.99), 300, "ms"),
                Figure(f"{name}, mail, 99 of 100", percentile(mails, 0.99), 10, "s"),
            ]
    return figures


def declare_many(here: Stage, count: int, word: str) -> tuple[list[float], list[float]]:
    """How long each declaration took, and how long after it began its last mail was accepted."""
    send = here.portal.declaring()
    send(f"{word}: the first, which warms the web process")
    began, took = {}, []
    for number in range(count):
        start = time.monotonic()
        ref = send(f"{word}: outage {number}")
        if ref:
            took.append(time.monotonic() - start)
            began[ref] = start
        if word == "flushed":
            here.redis.flush()
    with suppress(TimeoutError):
        until(lambda: not here.portal.shell_json(WAITING), seconds=60, what="the mail of every declaration")
    incident = here.portal.shell_json(INCIDENTS)
    last: dict[str, float] = defaultdict(float)
    for mail in here.sink.taken:
        ref = incident.get(mail.key, "")
        last[ref] = max(last[ref], mail.at)
    return took, [last[ref] - start for ref, start in began.items() if last[ref]]


WAITING = """
from irportal.outbox.models import Announcement, Delivery
print(Delivery.objects.waiting().count() + Announcement.objects.filter(fanned_out_at=None).count())
"""
INCIDENTS = """
import json
from irportal.outbox.models import Delivery
print(json.dumps({key[:16]: thread for key, thread in Delivery.objects.values_list("key", "announcement__thread")}))
"""
