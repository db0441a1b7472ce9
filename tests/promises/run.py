"""What was promised in numbers, measured with real processes on servers of our own: `make promises`, `make soak`.

    python -m tests.promises.run [latency] [broker] [killed] [missed] [soak] [--database postgres] [--count 10]

`--count` makes a proof smaller or larger: updates, declarations, kills, deliveries. Ends with 1 when a figure is beyond
its bound.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable

from tests.promises import broker, killed, latency, missed, soak
from tests.promises.figures import Figure

PROOFS: dict[str, tuple[Callable[..., list[Figure]], str]] = {
    "latency": (latency.prove, "updates"),
    "broker": (broker.prove, "declarations"),
    "killed": (killed.prove, "runs"),
    "missed": (missed.prove, ""),
    "soak": (soak.prove, "deliveries"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure what was promised.")
    parser.add_argument("proofs", nargs="+", choices=PROOFS)
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="postgres")
    parser.add_argument("--count", type=int)
    given = parser.parse_args()
    held = True
    for name in given.proofs:
        prove, counted = PROOFS[name]
        start = time.monotonic()
        figures = prove(given.database, **({counted: given.count} if given.count and counted else {}))
        load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
        print(f"{name} on {given.database}, {time.monotonic() - start:.0f} s, {load}", *figures, sep="\n", flush=True)
        held = held and bool(figures) and all(figure.holds for figure in figures)
    return not held


if __name__ == "__main__":
    sys.exit(main())
