"""What goes wrong, one function a fault. Each breaks something of ours and heals it; a sender that stands still does so
while the next faults strike."""

import random
import time
from collections import Counter
from collections.abc import Callable

from tests.chaos.portal import LEASE, Portal
from tests.chaos.servers import Postgres, Redis
from tests.chaos.sink import Sink

# A sender cut off between the relay's yes and our commit repeats that one message; nothing else ever may.
MAY_REPEAT = {"kill sender", "freeze sender", "restart PostgreSQL", "end PostgreSQL sessions", "cut after acceptance"}


class Nemesis:
    """`injected` counts what was done, by name."""

    def __init__(self, seed: int, portal: Portal, sink: Sink, redis: Redis, postgres: Postgres | None) -> None:
        self.portal, self.sink, self.redis, self.postgres = portal, sink, redis, postgres
        self.draw = random.Random(seed)
        self.injected: Counter[str] = Counter()
        faults: dict[str, tuple[int, Callable[[], None]]] = {
            "kill sender": (12, self.kill_sender),
            "kill web": (2, lambda: self.portal.kill("web")),
            "kill beat": (2, lambda: self.portal.kill("beat")),
            "freeze sender": (2, self.freeze_sender),
            "restart Redis empty": (2, self.redis.kill_and_restart),
            "flush Redis": (2, self.redis.flush),
            "freeze Redis": (1, lambda: self.redis.freeze(3)),
            "cut after acceptance": (3, self.cut),
            "relay says 421": (1, self.go_away),
            "relay refuses": (1, self.refuse),
        }
        if postgres:
            faults |= {
                "restart PostgreSQL": (2, postgres.crash_and_restart),
                "end PostgreSQL sessions": (2, postgres.end_all_sessions),
            }
        self.faults = faults

    def strike(self) -> None:
        """One fault, drawn by weight; counted when it is over."""
        names = list(self.faults)
        name = self.draw.choices(names, [self.faults[one][0] for one in names])[0]
        self.faults[name][1]()
        self.injected[name] += 1

    @property
    def repeats_allowed(self) -> int:
        return sum(count for name, count in self.injected.items() if name in MAY_REPEAT)

    def kill_sender(self) -> None:
        self.portal.kill(self.draw.choice(["engine", "second engine", "worker"]))

    def freeze_sender(self) -> None:
        """Longer than its lease: it wakes in the belief that its messages are still its own."""
        self.portal.freeze(self.draw.choice(["engine", "second engine", "worker"]), LEASE + 1)

    def cut(self) -> None:
        self.sink.cut_next += 1

    def go_away(self) -> None:
        self.sink.go_away_next += 1

    def refuse(self) -> None:
        self.sink.close()
        time.sleep(1)
        self.sink.open()
