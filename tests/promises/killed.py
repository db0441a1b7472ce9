"""R-T5: a sender killed with -9 in mid-send; another sends the message again, alike, under the lease as shipped."""

import os
import time

from tests.chaos.servers import until
from tests.chaos.sink import Sink
from tests.chaos.stage import Stage, stage
from tests.promises.figures import Figure

HANDS = ("engine", "second engine", "worker", "beat")
SENDERS = HANDS[:3]


def prove(database: str, *, runs: int = 20, lease: int = 90, bound: float = 95) -> list[Figure]:
    """Every kill finds whoever holds the message by its attempt, ends that process group and starts it again; leases
    run side by side."""
    sink = Sink(0, temporary=0, slow=0)
    killed: dict[str, float] = {}
    with stage(database, sink, readers=0, hands=HANDS, MAIL_LEASE_SECONDS=str(lease)) as here:
        for number in range(runs):
            address = f"reader{number}@reader.example"
            killed[address] = kill_whoever_sends(here, address)
        until(lambda: not missing(sink, killed), seconds=bound + 60, what="a second copy for every reader")
    copies = {address: [taken for taken in sink.taken if taken.reader == address] for address in killed}
    waits = [taken[-1].at - killed[address] for address, taken in copies.items()]
    return [
        Figure("kills without a second copy", len(missing(sink, killed)), 0, f"of {runs}"),
        Figure("kill -9 in mid-send to the second copy, longest", max(waits), bound, "s"),
        Figure("copies beyond two", sum(len(taken) > 2 for taken in copies.values()), 0, "readers"),
        Figure("copies with other bytes", sum(len({t.digest for t in c}) > 1 for c in copies.values()), 0, "readers"),
    ]


def missing(sink: Sink, killed: dict[str, float]) -> set[str]:
    return {address for address in killed if sum(taken.reader == address for taken in sink.taken) < 2}


def kill_whoever_sends(here: Stage, address: str) -> float:
    """Tell one reader, wait until the message is in and not answered, kill; when that was."""
    here.sink.silent_to.add(address)
    here.portal.shell(f"ADDRESS = {address!r}\n{TELL}")
    until(lambda: any(t.reader == address for t in here.sink.taken), seconds=60, what="the message in mid-send")
    group = os.getpgid(int(here.portal.shell(f"ADDRESS = {address!r}\n{WHO}")))
    [name] = [name for name in SENDERS if here.portal.hands[name].pid == group]
    at = time.monotonic()
    here.portal.kill(name)
    return at


TELL = """
from irportal.outbox import actions
actions.announce(f"told:{ADDRESS}", topic="update", thread=f"T-{ADDRESS}", audience="addresses",
    facts={"addresses": [ADDRESS]}, subject="Searches are slow", text="We look into it.", html="")
"""
WHO = """
from irportal.outbox.models import Attempt
print(Attempt.objects.get(delivery__address=ADDRESS).worker.rpartition(":")[2])
"""
