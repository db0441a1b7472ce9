"""Uptime: how much of a time a component was up, and the worst of each day. Pure; exact; days are UTC's.

At every instant the worst that anybody said counts, so overlapping incidents count once. Before a component was known
there is no data, and no claim.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from itertools import groupby
from typing import Any, NamedTuple

from django.utils.formats import get_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, pgettext_lazy

from statuspage import rhythm
from statuspage.models import Component
from statuspage.rollup import INSIDE, SHAPES

State = Component.State
NO_DATA = "no_data"
TICK = timedelta(microseconds=1)
NAMED = 3  # dates the words of a bar name of each state; more are counted
LEGEND = [*((label, state) for state, label in State.choices), (gettext_lazy("No data"), NO_DATA)]
WORST_FIRST = sorted(State.values, key=Component.rank, reverse=True)[:-1]


class Stretch(NamedTuple):
    """A component was in a state from one instant to another."""

    state: str
    began: datetime
    ended: datetime


@dataclass(frozen=True)
class Method:
    """What counts as down. `weights` is the share of an outage by state; what is left out counts neither way."""

    weights: Mapping[str, Fraction]
    left_out: frozenset[str] = frozenset()

    @property
    def no_data(self) -> Fraction | None:
        """The share of time without data; None leaves it out."""
        return self.weights.get(NO_DATA)


class Count(NamedTuple):
    """A window added up, in microseconds."""

    down: Fraction
    counted: int
    no_data: int

    @property
    def share(self) -> Fraction | None:
        """The share of the counted time that it was up; None when nothing could be counted."""
        return 1 - self.down / self.counted if self.counted else None


@dataclass(frozen=True)
class Record:
    """What is known of one component: since when, and when it was not operational."""

    since: datetime
    stretches: Sequence[Stretch] = ()
    adjusted_at: datetime | None = None

    def count(self, begin: datetime, end: datetime, method: Method) -> Count:
        """The time from `begin` to `end`, by this method."""
        known = min(max(self.since, begin), end)
        no_data = (known - begin) // TICK
        down, counted = Fraction(0), (end - known) // TICK
        for length, states in self._pieces(known, end):
            if method.left_out.isdisjoint(states):
                down += length * max(method.weights.get(state, Fraction(0)) for state in states)
            else:
                counted -= length
        if method.no_data is not None:
            down, counted = down + no_data * method.no_data, counted + no_data
        return Count(down, counted, no_data)

    def _pieces(self, begin: datetime, end: datetime) -> Iterator[tuple[int, set[str]]]:
        """The pieces of a time in which something was said: how long, and every state that held."""
        turns: list[tuple[datetime, int, str]] = []
        for state, began, ended in self.stretches:
            if max(began, begin) < min(ended, end):
                turns += [(max(began, begin), 1, state), (min(ended, end), -1, state)]
        holds: Counter[str] = Counter()
        before = begin
        for at, turn, state in sorted(turns):
            if at > before and (states := {name for name, number in holds.items() if number}):
                yield (at - before) // TICK, states
            holds[state] += turn
            before = at

    def days(self, first: date, last: date) -> list[str]:
        """The worst state of each day, first to last; `no_data` where none of it is known."""
        size = (last - first).days + 1
        unknown = min(max((_day(self.since) - first).days, 0), size)
        worst = [NO_DATA] * unknown + [State.OPERATIONAL.value] * (size - unknown)
        for state, began, ended in self.stretches:
            if began < ended:
                start, end = (_day(began) - first).days, (_day(ended - TICK) - first).days
                for place in range(max(start, unknown), min(end, size - 1) + 1):
                    worst[place] = max(state, worst[place], key=Component.rank)
        return worst


def together(records: Sequence[Record]) -> Record:
    """Several components as one that is as bad as the worst of them, known when all are."""
    return Record(max(record.since for record in records), [one for record in records for one in record.stretches])


def midnight(day: date) -> datetime:
    """The instant a day begins."""
    return datetime.combine(day, time(), UTC)


def _day(at: datetime) -> date:
    return at.astimezone(UTC).date()


def mean(shares: Sequence[Fraction | None]) -> Fraction | None:
    """The mean of what could be counted: a group's uptime from its members'."""
    known = [share for share in shares if share is not None]
    return sum(known, Fraction(0)) / len(known) if known else None


def percent(share: Fraction | None) -> str:
    """`99.91` rounded down, and `100` only for all of it; empty for nothing counted."""
    if share is None:
        return ""
    hundredths = share * 10_000 // 1
    point = get_format("DECIMAL_SEPARATOR")
    return "100" if share == 1 else f"{hundredths // 100}{point}{hundredths % 100:02}"


def explained(method: Method) -> str:
    """The method in words: `A major outage counts in full, a partial outage as 30 % of it, ...`."""
    shares = {state: method.weights.get(state, Fraction(0)) for state in WORST_FIRST if state not in method.left_out}
    parts = [_counts([str(NAMES[state])], share) for state, share in shares.items() if share]
    nothing = [str(NAMES[state]) for state, share in shares.items() if not share]
    if nothing:
        parts.append(_counts(nothing, Fraction(0)))
    if method.left_out:
        parts.append(_("time under maintenance is left out"))
    share = method.no_data
    parts.append(_("time without data is left out") if share is None else _counts([_("time without data")], share))
    text = rhythm.join(parts)
    how = {"method": f"{text[0].upper()}{text[1:]}"}
    return _("%(method)s. Overlapping incidents count once, by the worst of them.") % how


NAMES: dict[str, Any] = {
    State.MAJOR_OUTAGE: pgettext_lazy("what counts as downtime", "a major outage"),
    State.PARTIAL_OUTAGE: pgettext_lazy("what counts as downtime", "a partial outage"),
    State.DEGRADED_PERFORMANCE: pgettext_lazy("what counts as downtime", "degraded performance"),
    State.UNDER_MAINTENANCE: pgettext_lazy("what counts as downtime", "maintenance"),
}


def _counts(names: list[str], share: Fraction) -> str:
    what = {"what": rhythm.join(names)}
    if share == 0:
        return ngettext("%(what)s counts as up", "%(what)s count as up", len(names)) % what
    if share == 1:
        return _("%(what)s counts in full") % what
    percent = f"{float(share * 100):g}\N{NO-BREAK SPACE}%".replace(".", get_format("DECIMAL_SEPARATOR"))
    return _("%(what)s counts as %(percent)s") % (what | {"percent": percent})


# Bars


STEP, WIDE = 5, 3.4
# Where the line of each look lies; its class says how thick it is. The taller the bar, the worse the day.
LINES: dict[str, list[float]] = {
    "ok": [24.5],
    "degraded": [22],
    "partial": [19.5],
    "major": [16],
    "maint": [20, 29],
    "none": [30.5],
}


@dataclass(frozen=True)
class Bars:
    """The days of one component as a drawing: `paths` are (look, path data), one dash a day; `words` say the same."""

    paths: tuple[tuple[str, str], ...]
    words: str


def bars(days: Sequence[str], last: date) -> Bars:
    """The drawing of these days, of which `last` is the last."""
    paths: dict[str, str] = {}
    place = 0
    for state, run in groupby(days):
        length = len(list(run))
        look = SHAPES[state]
        end = f"{STEP * (place + length - 1) + WIDE:g}"
        paths[look] = paths.get(look, "") + "".join(f"M{STEP * place} {y:g}H{end}" for y in LINES[look])
        place += length
    return Bars(tuple(paths.items()), in_words(days, last))


def in_words(days: Sequence[str], last: date) -> str:
    """`major outage today, degraded performance on 2 October, otherwise operational`."""
    bad: dict[str, list[date]] = {}
    for back, state in enumerate(reversed(days)):
        if state not in (NO_DATA, State.OPERATIONAL):
            bad.setdefault(state, []).append(last - timedelta(days=back))
    parts = [
        _("%(state)s %(days)s") % {"state": INSIDE[state], "days": _on(bad[state], last)}
        for state in WORST_FIRST
        if state in bad
    ]
    if unknown := days.count(NO_DATA):
        begins = last - timedelta(days=len(days) - 1 - unknown)
        before = {"day": rhythm.day(begins, midnight(last))}
        parts.append(_("no data before %(day)s") % before if begins <= last else _("no data"))
    if State.OPERATIONAL in days:
        parts.append(_("otherwise operational") if parts else str(INSIDE[State.OPERATIONAL]))
    return rhythm.comma(parts)


def _on(days: Sequence[date], last: date) -> str:
    """`today and on 2 October`; of many days the newest and their number."""
    if len(days) > NAMED:
        facts = {"number": len(days), "day": rhythm.day(days[0], midnight(last))}
        if days[0] == last:
            return _("on %(number)s days, the newest today") % facts
        return _("on %(number)s days, the newest on %(day)s") % facts
    dates = rhythm.join([rhythm.day(day, midnight(last)) for day in days if day != last])
    on = [_("on %(days)s") % {"days": dates}] if dates else []
    return rhythm.join([*([_("today")] if days[0] == last else []), *on])
