"""Time as the public page says and draws it: instants, spans, the promise line, quiet days. Pure; UTC."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

PLACES = (
    ("San Francisco", "America/Los_Angeles"),
    ("New York", "America/New_York"),
    ("London", "Europe/London"),
    ("Berlin", "Europe/Berlin"),
    ("Bengaluru", "Asia/Kolkata"),
    ("Tokyo", "Asia/Tokyo"),
)


def day(at: date, now: datetime | None = None) -> str:
    """`24 October 2025`, without the year when it is the year of `now`."""
    year = "" if now and at.year == now.astimezone(UTC).year else f" {at.year}"
    return f"{at.day} {at:%B}{year}"


def moment(at: datetime, now: datetime | None = None) -> str:
    """`14:45 UTC` on the day of `now`, else `24 October 2025, 14:45 UTC`."""
    at = at.astimezone(UTC)
    clock = f"{at:%H:%M} UTC"
    return clock if now and at.date() == now.astimezone(UTC).date() else f"{day(at, now)}, {clock}"


def duration(length: timedelta) -> str:
    """`34 min`, `1 h 15 min`, `2 d 3 h`; the two largest units, rounded down to minutes."""
    minutes = int(length.total_seconds()) // 60
    sizes = [(minutes // 1440, "d"), (minutes // 60 % 24, "h"), (minutes % 60, "min")]
    while len(sizes) > 1 and sizes[0][0] == 0:
        sizes.pop(0)
    kept = [sizes[0], *(size for size in sizes[1:2] if size[0])]
    return " ".join(f"{number}\N{NO-BREAK SPACE}{unit}" for number, unit in kept)


def span(start: datetime, end: datetime, now: datetime | None = None) -> str:
    """`09:12 to 09:46 UTC · 34 min`, with the second day named when it is another one."""
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    until = f"{end:%H:%M} UTC" if start.date() == end.date() else moment(end, now if now else start)
    return f"{start:%H:%M} to {until} · {duration(end - start)}"


def elsewhere(at: datetime) -> list[tuple[str, str]]:
    """The instant on clocks of six cities: (`16:05`, `London`), with the weekday where it is another."""
    rows = []
    for place, zone in PLACES:
        there = at.astimezone(ZoneInfo(zone))
        other_day = there.date() != at.astimezone(UTC).date()
        rows.append((f"{there:%H:%M}", f"{place}, {there:%A}" if other_day else place))
    return rows


def join(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


@dataclass(frozen=True)
class Mark:
    """One promise on the line. `x` is a percentage as SVG wants it; `shape` a symbol's name."""

    x: str
    shape: str
    label: str
    ahead: bool = False


@dataclass(frozen=True)
class PromiseLine:
    marks: list[Mark]
    words: str

    @property
    def first(self) -> Mark:
        return self.marks[0]

    @property
    def last_sent(self) -> Mark:
        return self.marks[-2]

    @property
    def due(self) -> Mark:
        return self.marks[-1]


LEFT, WIDTH, LABEL_WIDTH = 9.0, 82.0, 17.0  # percent of the drawing


def promise_line(sent: Sequence[tuple[datetime, str]], due: datetime) -> PromiseLine | None:
    """The last three updates (instant, kind; oldest first) and the promised one; None when nothing is ahead.

    Labels that would touch a later one are left out; the words name every instant.
    """
    sent = [(at.astimezone(UTC), kind) for at, kind in sent if at < due][-3:]
    due = due.astimezone(UTC)
    if not sent:
        return None
    start, length = sent[0][0], due - sent[0][0]
    marks = [Mark("91.00%", "next", _label(due, due), ahead=True)]
    edge = LEFT + WIDTH
    for at, kind in reversed(sent):
        x = LEFT + WIDTH * ((at - start) / length)
        shown = edge - x >= LABEL_WIDTH
        edge = x if shown else edge
        marks.insert(0, Mark(f"{x:.2f}%", "hold" if kind == "holding" else "kept", _label(at, due) if shown else ""))
    times = join([_label(at, due) for at, _ in sent])
    plural = "s" if len(sent) > 1 else ""
    return PromiseLine(marks, f"Update{plural} sent at {times}, the next one by {_label(due, due)} UTC")


def _label(at: datetime, due: datetime) -> str:
    return f"{at:%H:%M}" if at.date() == due.date() else f"{at.day} {at:%b}"


@dataclass
class Row:
    """One line of the history: days without incidents, or one day and its notices."""

    label: str
    notices: list[Any] = field(default_factory=list)


@dataclass
class Month:
    name: str
    rows: list[Row] = field(default_factory=list)


def months(first: date, last: date, by_day: dict[date, list[Any]], busy: Collection[date]) -> list[Month]:
    """Every month from `last` back to `first`, newest first; quiet days in a row become one line.

    `busy` are days on which something was open: never called quiet, even when nothing began on them.
    """
    found: list[Month] = []
    run: list[date] = []
    for today in _backwards(last, first):
        name = f"{today:%B %Y}"
        if not found or found[-1].name != name:
            _end_run(found, run)
            found.append(Month(name))
        if today not in by_day and today not in busy:
            run.append(today)
            continue
        _end_run(found, run)
        if today in by_day:
            found[-1].rows.append(Row(f"{today:%a} {today.day}", by_day[today]))
    _end_run(found, run)
    return [month for month in found if month.rows]


def _end_run(found: list[Month], run: list[date]) -> None:
    if run:
        label = f"{run[-1].day} to {run[0].day}" if len(run) > 1 else f"{run[0]:%a} {run[0].day}"
        found[-1].rows.append(Row(label))
        run.clear()


def _backwards(last: date, first: date) -> Iterator[date]:
    while last >= first:
        yield last
        last -= timedelta(days=1)


def days_between(start: date, end: date) -> set[date]:
    return set(_backwards(end, start))
