"""The first hours of an incident as the seeds set them: what should have happened by which minute (R002-04 to 07).

Minutes count from detection. A checkpoint warns and never blocks anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

State = Literal["kept", "late", "overdue", "now", "ahead"]


@dataclass(frozen=True)
class Rule:
    """What should have happened between the minutes `start` and `end`."""

    name: str
    label: str
    start: int
    end: int


# Of the default profile, ranks 1 and 2 (requirements 1.9); the others have none.
RULES = (
    Rule("classified", "Classified", 0, 10),
    Rule("first_containment", "First containment", 10, 20),
    Rule("evidence", "Evidence kept", 20, 40),
    Rule("stabilised", "Stable, people inside told", 40, 60),
    Rule("contained", "Contained", 0, 60),
    Rule("resolved", "Resolved", 60, 240),
)
RANKS = (1, 2)

# The phases of the response (R001-18, 23, 26), by the minute they end.
PHASES = (
    (15, "Detection and triage"),
    (60, "Investigation and containment"),
    (240, "Resolution and recovery"),
)


@dataclass(frozen=True)
class Checkpoint:
    rule: Rule
    due_at: datetime
    met_at: datetime | None
    state: State


def judge(
    rank: int, detected_at: datetime, met: Mapping[str, datetime | None], now: datetime, *, over_at: datetime | None
) -> list[Checkpoint]:
    """The checkpoints of this severity in the order of their minutes; `met` says when each was reached.

    After `over_at`, the resolution, what was never reached is no longer waited for and is left out.
    """
    found = []
    for rule in RULES if rank in RANKS else ():
        due_at = detected_at + timedelta(minutes=rule.end)
        at = met.get(rule.name)
        if at is None and over_at is not None:
            continue
        found.append(Checkpoint(rule, due_at, at, _state(rule, detected_at, due_at, at, now)))
    return found


def _state(rule: Rule, detected_at: datetime, due_at: datetime, at: datetime | None, now: datetime) -> State:
    if at is not None:
        return "kept" if at <= due_at else "late"
    if now > due_at:
        return "overdue"
    return "now" if now >= detected_at + timedelta(minutes=rule.start) else "ahead"


def phase(detected_at: datetime, resolved_at: datetime | None, now: datetime) -> str:
    """Which phase of the response this minute belongs to."""
    if resolved_at is not None:
        return "Review"
    minute = (now - detected_at) / timedelta(minutes=1)
    return next((name for end, name in PHASES if minute < end), "Resolution and recovery, past its 4 hours")


def clock(past: timedelta) -> str:
    """A length of time as a clock that runs: 4 min, 1 h 05 min, 2 d 3 h. Never less than 0 min."""
    minutes = max(int(past / timedelta(minutes=1)), 0)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 1440:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"
