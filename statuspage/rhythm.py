"""Time as the public page says and draws it: instants, spans, the promise line, quiet days. Pure; UTC.

In the language that is active.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.utils.formats import date_format
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, pgettext

PLACES = (
    (gettext_lazy("San Francisco"), ZoneInfo("America/Los_Angeles")),
    (gettext_lazy("New York"), ZoneInfo("America/New_York")),
    (gettext_lazy("London"), ZoneInfo("Europe/London")),
    (gettext_lazy("Berlin"), ZoneInfo("Europe/Berlin")),
    (gettext_lazy("Bengaluru"), ZoneInfo("Asia/Kolkata")),
    (gettext_lazy("Tokyo"), ZoneInfo("Asia/Tokyo")),
)


def day(at: date, now: datetime | None = None) -> str:
    """`24 October 2025`, without the year when it is the year of `now`."""
    return date_format(at, "MONTH_DAY_FORMAT" if now and at.year == now.astimezone(UTC).year else "DATE_FORMAT")


def month(at: date) -> str:
    """`October 2025`"""
    return capfirst(date_format(at, "YEAR_MONTH_FORMAT"))


def moment(at: datetime, now: datetime | None = None) -> str:
    """`14:45 UTC` on the day of `now`, else `24 October 2025, 14:45 UTC`."""
    at = at.astimezone(UTC)
    clock = f"{at:%H:%M} UTC"
    if now and at.date() == now.astimezone(UTC).date():
        return clock
    return _("%(day)s, %(clock)s") % {"day": day(at, now), "clock": clock}


def duration(length: timedelta) -> str:
    """`34 min`, `1 h 15 min`, `2 d 3 h`; the two largest units, rounded down to minutes."""
    minutes = int(length.total_seconds()) // 60
    sizes = [
        (minutes // 1440, pgettext("a length of time", "%(number)s d")),
        (minutes // 60 % 24, pgettext("a length of time", "%(number)s h")),
        (minutes % 60, pgettext("a length of time", "%(number)s min")),
    ]
    while len(sizes) > 1 and sizes[0][0] == 0:
        sizes.pop(0)
    kept = [sizes[0], *(size for size in sizes[1:2] if size[0])]
    return " ".join((unit % {"number": number}).replace(" ", "\N{NO-BREAK SPACE}") for number, unit in kept)


def span(start: datetime, end: datetime, now: datetime | None = None) -> str:
    """`09:12 to 09:46 UTC · 34 min`, with the second day named when it is another one."""
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    until = f"{end:%H:%M} UTC" if start.date() == end.date() else moment(end, now if now else start)
    told = {"start": f"{start:%H:%M}", "end": until, "length": duration(end - start)}
    return pgettext("times of day", "%(start)s to %(end)s · %(length)s") % told


def on_day(day: str, span: str) -> str:
    """A day and the times on it in one."""
    return pgettext("a day and times of day", "%(day)s, %(span)s") % {"day": day, "span": span}


def elsewhere(at: datetime) -> list[tuple[str, str]]:
    """The instant on clocks of six cities: (`16:05`, `London`), with the weekday where it is another."""
    rows = []
    for place, zone in PLACES:
        there = at.astimezone(zone)
        other_day = there.date() != at.astimezone(UTC).date()
        named = _("%(place)s, %(weekday)s") % {"place": place, "weekday": date_format(there, "l")}
        rows.append((f"{there:%H:%M}", named if other_day else str(place)))
    return rows


def join(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(words) < 2:
        return "".join(words)
    return _("%(most)s and %(last)s") % {"most": comma(words[:-1]), "last": words[-1]}


def comma(words: Iterable[str]) -> str:
    """`a, b, c`."""
    return pgettext("between the members of a list", ", ").join(words)


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
    words = ngettext(
        "Update sent at %(times)s, the next one by %(next)s UTC",
        "Updates sent at %(times)s, the next one by %(next)s UTC",
        len(sent),
    )
    times = join([_label(at, due) for at, kind in sent])
    return PromiseLine(marks, words % {"times": times, "next": _label(due, due)})


def _label(at: datetime, due: datetime) -> str:
    if at.date() == due.date():
        return f"{at:%H:%M}"
    return date_format(at, pgettext("date format of Django: day and short month", "j M"))


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
        name = month(today)
        if not found or found[-1].name != name:
            _end_run(found, run)
            found.append(Month(name))
        if today not in by_day and today not in busy:
            run.append(today)
            continue
        _end_run(found, run)
        if today in by_day:
            found[-1].rows.append(Row(_weekday(today), by_day[today]))
    _end_run(found, run)
    return [month for month in found if month.rows]


def _end_run(found: list[Month], run: list[date]) -> None:
    if run:
        both = {"first": run[-1].day, "last": run[0].day}
        label = pgettext("days of a month", "%(first)s to %(last)s") % both if len(run) > 1 else _weekday(run[0])
        found[-1].rows.append(Row(label))
        run.clear()


def _weekday(at: date) -> str:
    return date_format(at, pgettext("date format of Django: short weekday and day", "D j"))


def _backwards(last: date, first: date) -> Iterator[date]:
    while last >= first:
        yield last
        last -= timedelta(days=1)


def days_between(start: date, end: date) -> set[date]:
    return set(_backwards(end, start))
