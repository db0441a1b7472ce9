"""R-T16: memory and database connections while mail leaves in bulk."""

import os
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import psycopg

from tests.chaos.servers import until
from tests.chaos.sink import Sink
from tests.chaos.stage import Stage, stage
from tests.promises.figures import Figure

HANDS = ("web", "engine", "second engine", "worker", "beat")
READERS = 5_000  # of one update
CONNECTIONS = {"postgres": 4, "sqlite": 1}  # of a sender: as production is shipped, and all that SQLite can use
WEB_THREADS = 2
GROWTH = 30.0  # MiB


class Sample(NamedTuple):
    """At one moment: what the relay had taken, connections to the database, and resident MiB of each process, which a
    hand's name and a process id name."""

    taken: int
    connections: int
    resident: dict[str, float]


def judge(samples: list[Sample], deliveries: int, *, most: int, at_rest: tuple[int, int]) -> list[Figure]:
    """A process counts from its first sample. Senders open connections while there is much to send: `most` is what they
    may have at once, `at_rest` what is left of them before and after."""
    grown: dict[str, float] = {}
    first: dict[str, float] = {}
    for sample in samples:
        for name, size in sample.resident.items():
            first.setdefault(name, size)
            grown[name] = max(grown.get(name, 0.0), size - first[name])
    taken = max((sample.taken for sample in samples), default=0)
    return [
        Figure("samples missing of ten", 10 - min(len(samples), 10), 0, "samples"),
        Figure("deliveries not taken", max(deliveries - taken, 0), 0, "mails"),
        *(Figure(f"growth of {name}", round(size, 1), GROWTH, "MiB") for name, size in sorted(grown.items())),
        Figure("connections at once", max((sample.connections for sample in samples), default=999), most, "sessions"),
        Figure("connections at rest afterwards", at_rest[1], at_rest[0], "sessions, as before"),
    ]


def prove(
    database: str,
    *,
    deliveries: int = 100_000,
    readers: int = READERS,
    hands: tuple[str, ...] = HANDS,
    every: float = 1.0,
    patience: float = 5400,
) -> list[Figure]:
    """The first tenth lets every process load what it uses; then counting begins."""
    sink = Sink(0, temporary=0, slow=0, answer_after=0)
    each = CONNECTIONS[database]
    most = each * len({"engine", "second engine", "worker"} & set(hands)) + WEB_THREADS + 1  # the last one is our own
    with stage(database, sink, readers=readers, hands=hands, MAIL_CONNECTIONS=str(each)) as here:
        warm = deliveries // 10
        send(here, 0, warm, ahead=readers, every=every, patience=patience)
        before = rest(here)
        samples = send(here, warm, deliveries, ahead=readers, every=every, patience=patience)
        return judge(samples, deliveries, most=most, at_rest=(before, rest(here)))


def send(here: Stage, start: int, end: int, *, ahead: int, every: float, patience: float) -> list[Sample]:
    """Announce, `ahead` mails before the relay, until it took `end`; look at everything each `every` seconds."""
    samples, told, stop = [], start, time.monotonic() + patience
    while (taken := mails(here.sink)) < end and time.monotonic() < stop:
        if told < end and told - taken < ahead:  # the next update while the one before still leaves
            told += here.portal.shell_json(f"NUMBER = {told}\n{TELL}")
        samples.append(Sample(taken, connections(here), resident(here)))
        time.sleep(every)
    return [*samples, Sample(mails(here.sink), connections(here), resident(here))]


def mails(sink: Sink) -> int:
    return sum(taken.reader.endswith("@reader.example") for taken in sink.taken)


def rest(here: Stage) -> int:
    """The fewest connections of some seconds in which nothing is due: between two turns the engine holds none."""
    until(lambda: not here.portal.shell_json(WAITING), seconds=600, what="rest")
    found = []
    for _ in range(40):
        found.append(connections(here))
        time.sleep(0.1)
    return min(found)


def connections(here: Stage) -> int:
    """Sessions on the database that are not our own; on SQLite how often our processes have its file open."""
    if here.postgres:
        with psycopg.connect(here.postgres.url) as db:
            found = db.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = 'portal' AND pid <> pg_backend_pid()"
            ).fetchone()
            assert found
            return int(found[0])
    file = here.portal.folder / "portal.sqlite3"
    return sum(opened(pid, file) for pids in processes(here).values() for pid in pids)


def opened(pid: int, file: Path) -> int:
    count = 0
    try:
        for entry in os.scandir(f"/proc/{pid}/fd"):
            try:
                count += os.readlink(entry.path) == str(file)
            except OSError:  # closed meanwhile
                continue
    except OSError:  # gone meanwhile
        pass
    return count


def resident(here: Stage) -> dict[str, float]:
    page = os.sysconf("SC_PAGE_SIZE") / 2**20
    found = {}
    for name, pids in processes(here).items():
        for pid in pids:
            try:
                found[f"{name} {pid}"] = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page
            except OSError:  # gone meanwhile
                continue
    return found


def processes(here: Stage) -> dict[str, Iterable[int]]:
    """The process ids of each hand; a hand is a process group."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,pgid="], capture_output=True, text=True, check=True).stdout
    groups: dict[int, list[int]] = defaultdict(list)
    for line in listed.splitlines():
        pid, group = map(int, line.split())
        groups[group].append(pid)
    return {name: groups[hand.pid] for name, hand in here.portal.hands.items()}


TELL = """
from irportal.outbox import actions
WORDS = "We look into it. " * 40
actions.announce(f"soak:{NUMBER}", topic="update", thread=f"SOAK-{NUMBER}", audience="customers",
    facts={"components": None, "incident": f"SOAK-{NUMBER}", "impact": "critical"},
    subject="[SOAK] Investigating: Searches are slow",
    text=WORDS + "\\n\\n{why}\\n{unsubscribe_url}\\n",
    html=f"<p>{WORDS}</p>" + "<p>{why} <a href='{unsubscribe_url}'>Stop</a></p>")
from statuspage.models import Subscriber
print(Subscriber.objects.count())
"""
WAITING = """
from irportal.outbox.models import Announcement, Delivery
print(Delivery.objects.waiting().count() + Announcement.objects.filter(fanned_out_at=None).count())
"""
