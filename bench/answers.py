"""Whether a stopwatch tells a subscribed address from another on the public page (reliability, E-T3).

`make equal-answers`: a thousand posts each to /subscribe and /manage, half of them for subscribers, in random order, by
Django's test client: what a network adds would only hide a difference. Ends with 1 when the medians differ by more
than 2 ms, or when guessing by time does better than 0.55 (area under the ROC curve; 0.5 is a coin).
"""

import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EACH = 500
MOST_SECONDS, MOST_AUC = 0.002, 0.55


def auc(known: list[float], other: list[float]) -> float:
    """How often a known address takes longer than another, or shorter, whichever is more often."""
    ranked = sorted([(took, 1) for took in known] + [(took, 0) for took in other])
    ranks = sum(rank for rank, (_, is_known) in enumerate(ranked, 1) if is_known)
    share = (ranks - len(known) * (len(known) + 1) / 2) / (len(known) * len(other))
    return max(share, 1 - share)


def measured(page: str, start: int) -> tuple[list[float], list[float]]:
    """Seconds of each answer: for subscribers, and for addresses nobody has heard of."""
    from django.test import Client

    client = Client()
    wishes = [(n, n % 2 == 0) for n in range(2 * EACH)]
    random.shuffle(wishes)
    took: dict[bool, list[float]] = {True: [], False: []}
    for n, is_known in wishes:
        visitor = f"10.{start}.{n // 250}.{n % 250}"  # a visitor of its own: none is over the limit
        began = time.perf_counter()
        answer = client.post(page, {"email": f"reader{n}@reader.example"}, REMOTE_ADDR=visitor)
        took[is_known].append(time.perf_counter() - began)
        if answer.status_code != 200:
            sys.exit(f"{page} answered {answer.status_code}")
    return took[True], took[False]


def main() -> int:
    folder = tempfile.mkdtemp(prefix="bench-")
    os.environ |= {
        "DATABASE_URL": f"sqlite:///{folder}/db",
        "VAR_DIR": folder,
        "LOG_LEVEL": "CRITICAL",
        "DJANGO_SETTINGS_MODULE": "irportal.settings",
    }
    for command in ("migrate", "createcachetable"):
        subprocess.run([sys.executable, "manage.py", command, "-v0"], cwd=ROOT, check=True)
    sys.path.insert(0, str(ROOT))
    import django

    import irportal  # noqa: F401  (swaps SQLite before Django imports it)

    django.setup()
    from django.utils import timezone

    from statuspage.models import Subscriber

    for n in range(0, 2 * EACH, 2):
        Subscriber.objects.create(email=f"reader{n}@reader.example", confirmed_at=timezone.now())
    good = True
    for start, page in enumerate(("/subscribe", "/manage"), 1):
        known, other = measured(page, start)
        apart = abs(statistics.median(known) - statistics.median(other))
        guessed = auc(known, other)
        good &= apart <= MOST_SECONDS and guessed <= MOST_AUC
        print(
            f"{page:11} n {EACH}+{EACH}  medians apart {apart * 1000:.3f} ms (<= 2)  AUC {guessed:.3f} (<= {MOST_AUC})"
        )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
