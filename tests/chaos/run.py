"""Send mail while everything breaks, then read the whole history (reliability, R-T1): `make chaos`.

    python -m tests.chaos.run --database postgres --seed 7 --readers 200 --updates 50 --faults 200

Every server is started here on a free port of 127.0.0.1 and stopped again. The seed is printed; a run that injected
fewer faults than asked fails.
"""

import argparse
import random
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from tests.chaos.checker import Verdict, check
from tests.chaos.nemesis import Nemesis
from tests.chaos.portal import Portal
from tests.chaos.servers import until
from tests.chaos.sink import Sink
from tests.chaos.stage import stage

PAUSE = 0.3  # seconds between two faults, at most
PATIENCE = 6  # seconds a fault waits for mail that moves: longer than what a dead sender held stays held
# What ten minutes of waiting do: retries fall due. Leases are left to end by themselves.
SOONER = """
from django.utils import timezone
from irportal.outbox.models import Channel, Delivery
Channel.objects.update(open_until=None)
Delivery.objects.waiting().filter(due_at__gt=timezone.now()).update(due_at=timezone.now())
print(Delivery.objects.waiting().count())
"""
VERIFY = "from django.core.management import call_command; call_command('verify_ledger')"


class Report(NamedTuple):
    verdict: Verdict
    injected: dict[str, int]
    acknowledged: int
    deliveries: int
    under_fire: int

    def lines(self) -> list[str]:
        faults = ", ".join(f"{name} {count}" for name, count in sorted(self.injected.items()))
        return [
            f"{sum(self.injected.values())} faults: {faults}",
            f"{self.acknowledged} updates acknowledged, {self.deliveries} deliveries, "
            f"{self.under_fire} taken before the last fault, {self.verdict.duplicates} repeats, "
            f"{self.verdict.dead} given up with a reason",
            *map(str, self.verdict.rules),
        ]


def run(
    database: str, *, seed: int, readers: int, updates: int, faults: int, say: Callable[[str], None] = print
) -> Report:
    """One whole run. Raises TimeoutError when it does not come to rest."""
    with stage(database, Sink(seed), readers=readers) as (portal, sink, redis, postgres):
        nemesis = Nemesis(seed, portal, sink, redis, postgres)
        acknowledged = trouble(
            portal, nemesis, random.Random(seed), updates=updates, faults=faults, moves=readers * updates // 3, say=say
        )
        under_fire = len(sink.taken)
        come_to_rest(portal)
        portal.shell(VERIFY)
        dump = portal.dump()
        verdict = check(acknowledged, updates, readers, dump, sink.taken, under_fire, nemesis.repeats_allowed)
        return Report(verdict, dict(nemesis.injected), len(acknowledged), len(dump["deliveries"]), under_fire)


def trouble(
    portal: Portal,
    nemesis: Nemesis,
    draw: random.Random,
    *,
    updates: int,
    faults: int,
    moves: int,
    say: Callable[[str], None],
) -> list[int]:
    """Write all updates and inject all faults, mixed as the seed says; the numbers the portal said yes to.

    Faults strike mail that moves: between them all, `moves` messages are taken, unless nothing moves for PATIENCE.
    """
    acknowledged, number, taken, struck = [], 0, nemesis.sink.taken, 0
    while number < updates or struck < faults:
        if number < updates and (struck >= faults or number / updates <= struck / faults):
            number += 1
            portal.wait_for_web()
            if portal.say(f"Update number {number}."):
                acknowledged.append(number)
        else:
            wait_for_mail(nemesis, len(taken) + moves // faults)
            nemesis.strike()
            struck += 1
            portal.revive()
            time.sleep(draw.random() * PAUSE)
            if struck % 20 == 0:
                say(f"{struck} faults, {len(acknowledged)} updates, {len(taken)} taken")
    return acknowledged


def wait_for_mail(nemesis: Nemesis, count: int) -> None:
    with suppress(TimeoutError):
        until(lambda: len(nemesis.sink.taken) >= count, seconds=PATIENCE, what="mail that moves")


def come_to_rest(portal: Portal, seconds: float = 600) -> None:
    end = time.monotonic() + seconds
    while int(portal.shell(SOONER).split()[-1]):
        if time.monotonic() > end:
            raise TimeoutError("deliveries are still waiting long after the trouble ended")
        portal.revive()
        time.sleep(1)


def main() -> int:
    parser = argparse.ArgumentParser(description="Send mail while everything breaks, then read the history.")
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="postgres")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--readers", type=int, default=200)
    parser.add_argument("--updates", type=int, default=50)
    parser.add_argument("--faults", type=int, default=200)
    given = parser.parse_args()
    print(f"seed {given.seed}, {given.database}, Python {sys.version.split()[0]}", flush=True)
    start = time.monotonic()
    report = run(
        given.database,
        seed=given.seed,
        readers=given.readers,
        updates=given.updates,
        faults=given.faults,
        say=lambda line: print(line, flush=True),
    )
    print("\n".join(report.lines()), f"\n{time.monotonic() - start:.0f} s")
    return bool(report.verdict.broken or sum(report.injected.values()) < given.faults)


if __name__ == "__main__":
    sys.exit(main())
