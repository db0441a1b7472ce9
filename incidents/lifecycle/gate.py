"""What has to be true before an incident counts as over, and how fast the controls of agents must work. Pure."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple, Protocol

from django.utils.text import slugify

SENT = "resolution_sent"  # what an update to customers that resolves it does by itself
TAKEN_BACK = "taken back"


class Condition(NamedTuple):
    """A number that has to be right: below a limit, or without one no higher than its own baseline."""

    signal: str
    label: str
    unit: str
    below: Decimal | None


class Limits(NamedTuple):
    """How long a control may take, from being set going to being confirmed."""

    kill_switch: timedelta
    rollback: timedelta


@dataclass(frozen=True)
class GateRules:
    """What a policy version asks of recovery: `ticks` are keys with the words people tick."""

    monitoring: timedelta
    conditions: tuple[Condition, ...]
    ticks: dict[str, str]
    limits: Limits


# What can be judged by a number that is entered; every other condition is ticked by a person.
MEASURED = {
    "Error rate below 1 percent": Condition("error_rate", "Error rate below 1 percent", "percent", Decimal(1)),
    "Error rate below 1 %": Condition("error_rate", "Error rate below 1 %", "percent", Decimal(1)),
    "Latency back to baseline": Condition("latency", "Latency back to baseline", "ms", None),
    "No new alerts": Condition("new_alerts", "No new alerts", "alerts", Decimal(1)),
}
# The names the ticks of requirements 1.9 go by in the record; those of other policies go by their own words.
KEYS = {
    "Root cause documented, or marked as pending": "root_cause",
    "Resolution sent": SENT,
    "Tested as a customer sees it": "customer_test",
}


def gate_rules(version: Any) -> GateRules:
    """What this policy version asks for (`gate_items`, one query unless fetched with it)."""
    return rules_of(version.gate_monitoring_minutes, [item.text for item in version.gate_items.all()])


def rules_of(minutes: int, words: Sequence[str]) -> GateRules:
    """So many minutes in Monitoring, and what has to be true or ticked, in the policy's own words."""
    return GateRules(
        monitoring=timedelta(minutes=minutes),
        conditions=tuple(MEASURED[text] for text in words if text in MEASURED),
        ticks={KEYS.get(text) or slugify(text)[:30].replace("-", "_"): text for text in words if text not in MEASURED},
        limits=Limits(kill_switch=timedelta(seconds=60), rollback=timedelta(minutes=15)),
    )


class Measured(Protocol):
    """A number as somebody entered it, with the time it was read."""

    signal: str
    number: Decimal
    baseline: Decimal | None
    at: datetime


class Point(NamedTuple):
    """One thing the gate asks for. `proof` is the reading or the tick it rests on, `lacks` why it is not met."""

    key: str
    label: str
    met: bool
    proof: Any
    lacks: str

    @property
    def missing(self) -> str:
        return f"{self.label} ({self.lacks})" if self.lacks else self.label


def conditions(rules: GateRules, readings: Iterable[Measured], *, since: datetime | None) -> list[Point]:
    """Each condition by its newest reading; what was read before Monitoring began (`since`) proves nothing."""
    newest: dict[str, Measured] = {}
    for reading in sorted(readings, key=lambda reading: reading.at):
        newest[reading.signal] = reading
    return [_judged(condition, newest.get(condition.signal), since) for condition in rules.conditions]


def _judged(condition: Condition, reading: Measured | None, since: datetime | None) -> Point:
    lacks = ""
    if reading is None:
        lacks = "nobody entered it"
    elif since is None or reading.at < since.replace(second=0, microsecond=0):  # forms know whole minutes
        lacks = f"read at {reading.at:%H:%M}, not in Monitoring"
    elif not is_right(condition, reading):
        lacks = f"{shown(reading.number)} {condition.unit} at {reading.at:%H:%M}"
    return Point(condition.signal, condition.label, not lacks, reading, lacks)


def is_right(condition: Condition, reading: Measured) -> bool:
    if condition.below is not None:
        return reading.number < condition.below
    return reading.baseline is not None and reading.number <= reading.baseline


def shown(number: Decimal) -> str:
    """A number without the zeros a database adds: `0.4`, `190`."""
    return f"{Decimal(number).normalize():f}"


class Given(Protocol):
    """A tick given, or taken back."""

    key: str
    given: bool


def ticks(rules: GateRules, given: Iterable[Given], *, met_by_deed: Collection[str] = ()) -> list[Point]:
    """Each tick by the last that was said of it (`given` in the order of time), or as met by the deed itself."""
    last = {tick.key: tick for tick in given}
    return [
        Point(key, label, met, tick, TAKEN_BACK if tick and not met else "")
        for key, label in rules.ticks.items()
        for tick in [last.get(key)]
        for met in [key in met_by_deed or bool(tick and tick.given)]
    ]


def waited(rules: GateRules, since: datetime | None, at: datetime) -> Point:
    """Whether Monitoring, entered at `since`, has lasted long enough at `at`."""
    label = f"{int(rules.monitoring / timedelta(minutes=1))} min in Monitoring"
    passed = at - since if since else None
    met = passed is not None and passed >= rules.monitoring
    lacks = "" if met else "not begun" if passed is None else f"{max(0, int(passed.total_seconds() // 60))} min so far"
    return Point("monitoring", label, met, None, lacks)


def missing(points: Sequence[Point]) -> list[str]:
    """What the gate still asks for, in words."""
    return [point.missing for point in points if not point.met]


class Answer(NamedTuple):
    """What became of something with a limit: `met`, `missed`, or `pending` while both can still happen."""

    due_at: datetime
    limit: timedelta
    took: timedelta | None
    outcome: str

    @property
    def took_words(self) -> str:
        return span(self.took) if self.took is not None else ""

    @property
    def limit_words(self) -> str:
        return span(self.limit)


def answer(began_at: datetime, ended_at: datetime | None, due_at: datetime, now: datetime) -> Answer:
    """Open and past its limit counts as missed (requirements 5.3)."""
    met = ended_at is not None and ended_at <= due_at
    outcome = "met" if met else "pending" if ended_at is None and now <= due_at else "missed"
    return Answer(due_at, due_at - began_at, ended_at - began_at if ended_at else None, outcome)


def response_rank(ranks: Iterable[tuple[datetime, int]], acknowledged_at: datetime | None) -> int | None:
    """The most severe rank held before it was acknowledged: its target counts. None where nothing was judged.

    `ranks` are the severity's changes in the order of time, the declaration first.
    """
    known = list(ranks)
    held = [rank for at, rank in known if acknowledged_at is None or at < acknowledged_at] or [r for _, r in known[:1]]
    return min(held, default=None)


def span(length: timedelta) -> str:
    """A length as people say it, to the second below an hour: `48 s`, `12 min 05 s`, `15 min`, `2 h 05 min`."""
    seconds = int(length.total_seconds())
    minutes, rest = divmod(seconds, 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    if not minutes:
        return f"{seconds} s"
    return f"{minutes} min {rest:02} s" if rest else f"{minutes} min"
