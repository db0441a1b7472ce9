"""Rules of the report: what must be in it, how long things took, where a mark stands in a drawing. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from incidents.postmortems.models import PostMortem

MIN_TIMELINE_ROWS = 5
IMPACT_FIELDS = (
    "users_affected",
    "users_percent",
    "failed_requests",
    "data_impact",
    "financial_impact",
    "revenue_impact",
    "customer_impact",
    "regulatory_impact",
    "brand_impact",
)


def missing(postmortem: PostMortem, *, rows: int, markers: set[str], actions: int) -> list[str]:
    """What the publication gate still asks for (requirements 6.2), one sentence each; empty when it opens.

    `rows` and `markers` are those of the timeline lines in force, `actions` the number of action items.
    """
    unfilled = [name for name in ("went_well", "went_wrong") if not getattr(postmortem, name).strip()]
    cause = postmortem.root_cause.strip()
    asks = [
        (postmortem.summary.strip(), "Write the summary."),
        (
            rows >= MIN_TIMELINE_ROWS,
            f"The timeline has {rows} of at least {MIN_TIMELINE_ROWS} lines; add to the incident's record.",
        ),
        ("detected" in markers, "Mark in the timeline when it was detected."),
        (markers & {"contained", "identified"}, "Mark in the timeline when it was contained or identified."),
        ("resolved" in markers, "Mark in the timeline when it was resolved."),
        (cause, "Write the root cause, or “unknown, because …”."),
        (
            not cause.lower().startswith("unknown") or "because" in cause.lower(),
            "Say why the root cause is unknown: “unknown, because …”.",
        ),
        (
            cause.lower() != "human error",
            "“Human error” is not a root cause; say what made the error possible.",
        ),
        (
            any(getattr(postmortem, name) not in (None, "") for name in IMPACT_FIELDS),
            "Fill in at least one line of the impact.",
        ),
        (actions or postmortem.no_actions_reason.strip(), "Add an action item, or say why there is none."),
        (
            not unfilled or postmortem.no_lists_reason.strip(),
            "Fill in what went well and what went wrong, or say why a list is empty.",
        ),
    ]
    return [sentence for met, sentence in asks if not met]


def lines(text: str) -> list[str]:
    """The entries of a field that holds one a line; bullets people type are taken off."""
    return [line for raw in text.splitlines() if (line := raw.strip().lstrip("-*•").strip())]


def duration(span: timedelta) -> str:
    """`45 min`, `2 h 05 min`, `3 d 4 h`; below a minute `20 s`. A span is cut, never rounded up."""
    seconds = int(span.total_seconds())
    if seconds < 0:
        return f"−{duration(-span)}"
    if 0 < seconds < 60:
        return f"{seconds} s"
    days, minutes = divmod(seconds // 60, 24 * 60)
    hours, minutes = divmod(minutes, 60)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min"


def clock(at: datetime, day: datetime | None = None) -> str:
    """A UTC time, with its seconds when there are some and its date when it is not the day of `day`."""
    at = at.astimezone(UTC)
    time = at.strftime("%H:%M:%S" if at.second else "%H:%M")
    if day and at.date() == day.astimezone(UTC).date():
        return time
    return f"{at.day} {at:%b}{'' if day and at.year == day.year else f' {at:%Y}'}, {time}"


def octets(digest: str) -> list[str]:
    """A hash in groups of eight, the way people compare them."""
    return [digest[i : i + 8] for i in range(0, len(digest), 8)]


@dataclass(frozen=True)
class Interval:
    """One measured span against its target. `result` is met, missed or none (no target, or not measured)."""

    name: str
    measured: timedelta | None
    target: timedelta | None = None
    at_least: bool = False

    @property
    def result(self) -> str:
        if self.measured is None or self.target is None:
            return "none"
        met = self.measured >= self.target if self.at_least else self.measured <= self.target
        return "met" if met else "missed"

    @property
    def measured_text(self) -> str:
        return duration(self.measured) if self.measured is not None else "not measured"

    @property
    def target_text(self) -> str:
        return ("at least " if self.at_least else "") + duration(self.target) if self.target else "none"


def intervals(
    at: dict[str, datetime | None], *, targets: dict[str, timedelta | None], stable: timedelta
) -> list[Interval]:
    """The spans of requirements 5.2 for one incident. `at` holds instants by name: started, detected, ...

    `targets` are the policy's times to acknowledge, contain and resolve, counted from detection.
    """

    def between(first: str, last: str) -> timedelta | None:
        begin, end = at.get(first), at.get(last)
        return end - begin if begin and end else None

    return [
        Interval("Time to detect", between("started", "detected")),
        Interval("Time to acknowledge", between("detected", "acknowledged"), targets.get("acknowledge")),
        Interval("Time to identify", between("detected", "identified")),
        Interval("Time to contain", between("detected", "contained"), targets.get("contain")),
        Interval("MTTR (recover), this incident", between("started", "recovered")),
        Interval("Stable before resolved", between("recovered", "resolved"), stable, at_least=True),
        Interval("Time to resolve", between("detected", "resolved"), targets.get("resolve")),
        Interval("Impact began to resolved", between("started", "resolved")),
    ]


@dataclass
class Moment:
    """A dot on the cover's line. `x` in units of 480; `row` is below, above or none (no room for a label)."""

    label: str
    at: datetime
    x: float
    row: str = "none"
    anchor: str = "middle"

    @property
    def label_x(self) -> float:
        """Where its label is anchored: a little outside the dot at both ends of the line."""
        if self.row == "above":
            return self.x - 4
        return self.x + {"start": -4, "middle": 0, "end": 4}[self.anchor]

    @property
    def word_x(self) -> float:
        """Where the word stands when it follows its time on one line above the dot."""
        return round(self.x + 31, 1)

    def reach(self, row: str) -> tuple[float, float]:
        """What the label would cover, left and right, in drawing units."""
        width = max(34.0, len(self.label) * 5.3) + 6
        if row == "above":
            return self.x - 4, self.x + 32 + len(self.label) * 5.3
        if self.anchor == "middle":
            return self.x - width / 2, self.x + width / 2
        return (self.x - 4, self.x + width) if self.anchor == "start" else (self.x - width, self.x + 4)


def band(instants: Sequence[tuple[str, datetime]]) -> list[Moment]:
    """The cover's line: one dot per minute; labels below, above, or left out, never over each other."""
    marks: list[Moment] = []
    if not instants:
        return marks
    instants = sorted(instants, key=lambda pair: pair[1])
    first, last = instants[0][1], instants[-1][1]
    whole = max((last - first).total_seconds(), 1)
    for label, at in instants:
        if marks and marks[-1].at.replace(second=0, microsecond=0) == at.replace(second=0, microsecond=0):
            marks[-1].label += f", {label.lower()}"
            continue
        marks.append(Moment(label, at, round(8 + 464 * (at - first).total_seconds() / whole, 1)))
    marks[0].anchor, marks[-1].anchor = "start", "end" if len(marks) > 1 else "start"
    _place([marks[-1], *marks[:-1]])
    return marks


def _place(marks: list[Moment]) -> None:
    taken: dict[str, list[tuple[float, float]]] = {"below": [], "above": []}
    for mark in marks:
        for row, spans in taken.items():
            left, right = mark.reach(row)
            if right <= 484 and all(right <= other[0] or left >= other[1] for other in spans):
                mark.row = row
                spans.append((left, right))
                break


OUTCOMES = {
    "kept": ("kept", "Kept"),
    "holding": ("hold", "Holding"),
    "late": ("late", "Late"),
    "missed": ("miss", "Missed"),
    "waived": ("none", "Waived"),
    "open": ("due", "Due"),
}


def verdict(promise: dict[str, Any]) -> tuple[str, str]:
    """Mark and words for how a promise ended: `kept`, `12 min early`."""
    mark, word = OUTCOMES.get(promise["outcome"], ("none", str(promise["outcome"]).capitalize()))
    due, met = promise.get("due_at"), promise.get("met_at")
    if not (due and met) or mark not in ("kept", "late"):
        return mark, word
    gap = met - due
    if mark == "late":
        return mark, f"{duration(gap)} late"
    early = gap <= -timedelta(minutes=1) and -gap < timedelta(hours=24)
    return mark, f"{duration(-gap)} early" if early else word


@dataclass(frozen=True)
class Score:
    """How the promises ended. Those still due or waived do not count."""

    met: int
    with_news: int
    of: int
    silence: timedelta | None

    @staticmethod
    def percent(part: int, of: int) -> str:
        """Floored to one decimal, so that 100 % means all."""
        return f"{part * 1000 // of / 10:.1f} %" if of else "none due"

    @property
    def met_percent(self) -> str:
        return self.percent(self.met, self.of)

    @property
    def news_percent(self) -> str:
        return self.percent(self.with_news, self.of)


def score(promises: Iterable[dict[str, Any]]) -> Score:
    """Promises met, met with news, and the longest gap between two messages to customers."""
    ended = [p for p in promises if p["outcome"] in ("kept", "holding", "late", "missed")]
    told = sorted(p["met_at"] for p in ended if p.get("met_at") and p["audience"].lower() == "customers")
    kept = [p for p in ended if p["outcome"] in ("kept", "holding")]
    return Score(
        met=len(kept),
        with_news=sum(p["outcome"] == "kept" for p in kept),
        of=len(ended),
        silence=max((later - earlier for earlier, later in pairwise(told)), default=None),
    )


@dataclass
class Lane:
    """One audience's line in the drawing of all messages."""

    audience: str
    y: int
    marks: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Chart:
    """Every message on one time axis, 480 units wide."""

    height: int
    ticks: list[dict[str, Any]]
    lanes: list[Lane]
    others: int


STEPS = [timedelta(minutes=m) for m in (5, 10, 15, 30, 60, 120, 240, 480, 720, 1440, 2880, 10080)]


def chart(promises: Sequence[dict[str, Any]], start: datetime, end: datetime) -> Chart | None:
    """Where the marks stand between start and end; None when there is nothing to draw.

    What lies more than a tenth of the span after the end (a notice due the next day) is only in the table.
    """
    until = end + max((end - start) / 10, timedelta(minutes=5))
    sent = [p for p in promises if p.get("met_at")]
    inside = [p for p in sent if start <= p["met_at"] <= until]
    if not inside:
        return None

    def x(at: datetime) -> float:
        return round(80 + 390 * ((at - start) / (until - start)), 1)

    step = next((s for s in STEPS if (until - start) / s <= 6), STEPS[-1])
    offset = timedelta(seconds=-start.timestamp() % step.total_seconds())
    ticks = [start + offset + step * n for n in range(7)]
    names = list(dict.fromkeys(p["audience"] for p in inside))
    lanes = {name: Lane(name, 31 + 31 * n) for n, name in enumerate(names)}
    last_label: dict[str, float] = {}
    for promise in sorted(inside, key=lambda p: p["met_at"]):
        at, name = x(promise["met_at"]), promise["audience"]
        labelled = at - last_label.get(name, -99) >= 24
        if labelled:
            last_label[name] = at
        due = promise.get("due_at")
        late_from = x(due) if promise["outcome"] == "late" and due and due >= start else None
        mark = {"x": at, "kind": OUTCOMES.get(promise["outcome"], ("kept",))[0], "due_x": late_from}
        lanes[name].marks.append(mark | {"label": f"{promise['met_at']:%H:%M}" if labelled else ""})
    return Chart(
        height=18 + 31 * len(lanes),
        ticks=[{"x": x(t), "label": f"{t:%H:%M}"} for t in ticks if t <= until],
        lanes=list(lanes.values()),
        others=len(sent) - len(inside),
    )
