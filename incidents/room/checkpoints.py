"""The first hours of an incident as its policy sets them: what should have happened so long after detection.

A checkpoint warns and never blocks anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

State = Literal["kept", "late", "overdue", "now", "ahead"]


LABELS = {
    "classified": "Classified",
    "first_containment": "First containment",
    "evidence_snapshot": "Evidence kept",
    "stabilised": "Stable, people inside told",
    "contained": "Contained",
    "resolved": "Resolved",
}

# The phases of the response (R001-18, 23, 26), by the minute they end.
PHASES = (
    (15, "Detection and triage"),
    (60, "Investigation and containment"),
    (240, "Resolution and recovery"),
)


@dataclass(frozen=True)
class Checkpoint:
    """`starts_at` is when it is next in turn: when the one before it should have been reached."""

    label: str
    starts_at: datetime
    due_at: datetime
    met_at: datetime | None
    state: State

    def minutes_after(self, detected_at: datetime) -> int:
        return int((self.due_at - detected_at) / timedelta(minutes=1))


def judge(
    limits: Sequence[tuple[str, timedelta]],
    detected_at: datetime,
    met: Mapping[str, datetime | None],
    now: datetime,
    *,
    over_at: datetime | None,
) -> list[Checkpoint]:
    """The checkpoints by name and length, in the order they fall due; `met` says when each was reached.

    After `over_at`, the resolution, what was never reached is no longer waited for and is left out.
    """
    found = []
    for name, after in sorted(limits, key=lambda limit: limit[1]):
        before = max((other for _, other in limits if other < after), default=timedelta(0))
        starts_at, due_at, at = detected_at + before, detected_at + after, met.get(name)
        if at is not None or over_at is None:
            found.append(Checkpoint(LABELS.get(name, name), starts_at, due_at, at, _state(starts_at, due_at, at, now)))
    return found


def _state(starts_at: datetime, due_at: datetime, at: datetime | None, now: datetime) -> State:
    if at is not None:
        return "kept" if at <= due_at else "late"
    if now > due_at:
        return "overdue"
    return "now" if now >= starts_at else "ahead"


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
