"""How a record of past incidents would have gone under a policy: each promise to the outside on a virtual clock.

Pure: no clock, no database; every instant is aware and in UTC. What is owed, when it falls due and how it ends are the
rules of `matrix` and `cadence`; the order of deeds is that of `duties` and `holding`, and a test holds both to it.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple, Self

from incidents.comms import cadence
from incidents.comms.duties import MEETS, PAGE_CLOSES, TOLD_OUTSIDE
from incidents.comms.models import CommsDuty, Message
from incidents.policy import matrix
from irportal.refused import Refused

RANKS = {"critical": 1, "major": 2, "minor": 3, "none": 4, None: 4}
MAINTENANCE = "maintenance"
ASSUMED = [
    "Impact critical is severity 1, major 2, minor 3, none or null 4, from beginning to end; maintenance is left out.",
    "It was declared when it started. Customers are affected when a component is named. No personal data, no AI harm.",
    "An update is a message to customers and so to the page: two ticks where both are owed.",
    "Only these are counted; formal notices, regulators and internal readers are not in the record.",
    "The last update at the end, or the first after it, is the closing message. Nobody promised sooner than asked.",
    "When nobody has written by the due time, the engine's holding message leaves at that very instant.",
    "What was said of an incident the policy tells nobody of counts as said, and owes nothing.",
]
Outcome, Phase = CommsDuty.Outcome, CommsDuty.Phase
TO_ALL, TO_PAGE = MEETS[Message.Audience.CUSTOMERS], MEETS[Message.Audience.PAGE]


@dataclass(frozen=True)
class Policy:
    """What counts of a policy version: the matrix, the grace of a repeated update, holding messages in a row."""

    rules: matrix.Rules
    grace: timedelta
    max_holdings: int


@dataclass(frozen=True)
class PastIncident:
    """One incident as the record tells it. `updates` are the instants something was said, in their order."""

    rank: int
    affected: bool
    started_at: datetime
    resolved_at: datetime
    updates: list[datetime]

    @property
    def closed_at(self) -> datetime | None:
        """The closing message: the last one at the end itself, else the first after it."""
        at_the_end = self.resolved_at if self.resolved_at in self.updates else None
        return at_the_end or next((at for at in self.updates if at > self.resolved_at), None)

    @property
    def updates_while_open(self) -> list[datetime]:
        said = [at for at in self.updates if at <= self.resolved_at]
        return said[:-1] if self.closed_at == self.resolved_at else said


@dataclass(eq=False)
class Tick:
    """One promise with one due time. `held` is how many holding messages in a row stand before it."""

    duty: matrix.Duty
    phase: str
    due_at: datetime
    held: int = 0
    escalated: bool = False
    outcome: str = Outcome.OPEN
    ended_at: datetime | None = None

    @property
    def late_by(self) -> timedelta | None:
        """How long after the due time a late one was made good or given up; None for the others and for never."""
        broken = self.outcome in (Outcome.LATE, Outcome.MISSED)
        return self.ended_at - self.due_at if broken and self.ended_at else None


@dataclass
class Course:
    """One incident on its way: what is owed at this moment, what has ended, when readers heard something."""

    policy: Policy
    running: list[Tick]
    heard: list[datetime]
    ended: list[Tick] = field(default_factory=list)

    def engine_until(self, end: datetime) -> None:
        """Every turn of the engine before `end`."""
        while turns := [tick.due_at for tick in self.running if not tick.escalated and tick.due_at < end]:
            self._turn(min(turns))

    def _turn(self, now: datetime) -> None:
        """Hold or escalate what is due, in the order of `holding`: mail to customers stands in for the page too."""
        due = [tick for tick in self.running if tick.due_at <= now]
        hold = [tick for tick in due if tick.duty.holding and tick.held < self.policy.max_holdings]
        for tick in due:
            tick.escalated = tick not in hold
        if hold:
            self.say(now, TO_ALL if any(tick.duty.audience == "customers" for tick in hold) else TO_PAGE, holding=True)

    def say(self, at: datetime, told: Iterable[str] = TO_ALL, *, holding: bool = False, last: bool = False) -> None:
        """A message leaves: it ends the ticks of the classes it meets and, unless it is the last, sets the next."""
        self.heard.append(at)
        for tick in [tick for tick in self.running if tick.duty.message_class in told]:
            self._end(tick, Outcome.HOLDING if holding else self._outcome(tick, at), at)
            if tick.duty.every and not last:
                due_at = cadence.next_due(at, tick.duty.every)
                self.running.append(Tick(tick.duty, Phase.UPDATE, due_at, held=tick.held + 1 if holding else 0))

    def fall_silent(self, at: datetime) -> None:
        """Resolved and nobody said so: an update that was due is missed, one not yet due is owed no more."""
        for tick in [tick for tick in self.running if tick.phase in (Phase.FIRST, Phase.UPDATE)]:
            if tick.due_at <= at:
                self._end(tick, Outcome.MISSED, at)
            else:
                self.running.remove(tick)

    def give_up(self, at: datetime) -> None:
        """The record ends at `at` without the message that is still owed."""
        self.heard.append(at)
        for tick in list(self.running):
            self._end(tick, Outcome.MISSED, None)

    def _end(self, tick: Tick, outcome: str, at: datetime | None) -> None:
        tick.outcome, tick.ended_at = outcome, at
        self.running.remove(tick)
        self.ended.append(tick)

    def _outcome(self, tick: Tick, at: datetime) -> str:
        return cadence.outcome(tick.due_at, at, grace=self.policy.grace, repeated=tick.phase == Phase.UPDATE)


class Replayed(NamedTuple):
    """How one incident went: every tick that fell due or was met, and the longest time readers heard nothing."""

    ticks: list[Tick]
    silence: timedelta


def replay(past: PastIncident, policy: Policy) -> Replayed:
    """Run one incident from its declaration to its closing message."""
    owed = owed_outside(past, policy.rules)
    course = Course(policy, [_first(duty, past.started_at) for duty in owed if duty.first], heard=[past.started_at])
    for at in past.updates_while_open:
        course.engine_until(at)
        course.say(at)
    course.running += _resolve(course, past, [duty for duty in owed if duty.close])
    if past.closed_at:
        course.say(past.closed_at, last=True)
    else:
        course.give_up(past.resolved_at)
    return Replayed(course.ended, max(after - before for before, after in pairwise(course.heard)))


def owed_outside(past: PastIncident, rules: matrix.Rules) -> list[matrix.Duty]:
    """What the matrix asks for that an update to customers or page can meet."""
    facts = matrix.Facts(affected=past.affected, down=past.affected, is_outage=True)
    owed = [duty for audience in matrix.AUDIENCES for duty in matrix.duties_for(rules, past.rank, audience, facts)]
    return [duty for duty in owed if duty.message_class in TOLD_OUTSIDE]


def _first(duty: matrix.Duty, declared_at: datetime) -> Tick:
    return Tick(duty, Phase.FIRST if duty.every else Phase.ONCE, cadence.first_due(duty.first, declared_at))


def _resolve(course: Course, past: PastIncident, closings: list[matrix.Duty]) -> list[Tick]:
    """End the running updates as `duties.on_resolved` does, and return the closing ticks."""
    now, promised = past.resolved_at, None
    if past.closed_at == now:
        course.engine_until(now)
        course.say(now, last=True)
    else:
        course.engine_until(now + timedelta.resolution)  # nobody wrote at that instant, so the engine still acts
        shown = len(course.heard) > 1
        promised = min((tick.due_at for tick in course.running), default=None) if shown else None
        told = matrix.may_tell(course.policy.rules, past.rank, "public") != "no"
        closings = closings or ([PAGE_CLOSES] if shown and told else [])
        course.fall_silent(now)
    by_the_page = [promised] if promised and promised > now else []  # what the page promised stays promised
    return [Tick(duty, Phase.CLOSING, min([cadence.first_due(duty.close, now), *by_the_page])) for duty in closings]


@dataclass(frozen=True)
class Row:
    """One line of the report: counts of incidents, of those that owed something, and of ticks; the longest lengths.

    `late` counts what came late and what never came; `late_by` knows the former only.
    """

    label: str
    incidents: int
    owing: int
    due: int
    kept: int
    holding: int
    late: int
    late_by: timedelta
    silence: timedelta

    @classmethod
    def of(cls, label: str, went: list[Replayed]) -> Self:
        ticks = [tick for one in went for tick in one.ticks]
        outcomes = [tick.outcome for tick in ticks]
        return cls(
            label=label,
            incidents=len(went),
            owing=sum(1 for one in went if one.ticks),
            due=len(ticks),
            kept=outcomes.count(Outcome.KEPT),
            holding=outcomes.count(Outcome.HOLDING),
            late=outcomes.count(Outcome.LATE) + outcomes.count(Outcome.MISSED),
            late_by=max((tick.late_by for tick in ticks if tick.late_by is not None), default=timedelta()),
            silence=max((one.silence for one in went), default=timedelta()),
        )


def report(incidents: list[PastIncident], policy: Policy, names: dict[int, str]) -> list[Row]:
    """A row for each severity, worst first, and one for all of them. `names` are the policy's words for the ranks."""
    went = [(past.rank, replay(past, policy)) for past in incidents]
    rows = [
        Row.of(names.get(rank, f"Severity {rank}"), [one for of, one in went if of == rank])
        for rank in sorted({*RANKS.values()})
    ]
    return [*rows, Row.of("Total", [one for _, one in went])]


def read(lines: Iterable[bytes]) -> tuple[list[PastIncident], int]:
    """The incidents of a record, one JSON object a line, and how many lines were maintenance.

    Raises Refused with the number of the first line that cannot be read.
    """
    found, maintenance = [], 0
    for number, line in enumerate(lines, start=1):
        try:
            source = _object(line)
            if source["impact"] == MAINTENANCE:
                maintenance += 1
            else:
                found.append(_past_incident(source))
        except KeyError as missing:
            raise Refused(f"Line {number} has no {missing}.") from None
        except Refused as refusal:
            raise Refused(f"Line {number}: {refusal}") from None
    return found, maintenance


def _object(line: bytes) -> dict[str, Any]:
    try:
        source = json.loads(line)
    except (ValueError, RecursionError):
        source = None
    if not isinstance(source, dict):
        raise Refused("this is not a JSON object.")
    return source


def _past_incident(source: dict[str, Any]) -> PastIncident:
    impact, components, updates = source["impact"], source["components"], source["updates"]
    if not (impact is None or isinstance(impact, str)) or impact not in RANKS:
        raise Refused(f"{impact!r} is no impact; write critical, major, minor, none, null or maintenance.")
    if type(components) is not int or components < 0:
        raise Refused(f"components is {components!r}; write how many there were.")
    if not isinstance(updates, list) or not all(isinstance(row, list) and len(row) == 2 for row in updates):
        raise Refused('updates is a list of pairs like ["2026-03-02T14:30:00Z", "Investigating"].')
    started_at, resolved_at = _instant(source["started_at"]), _instant(source["resolved_at"])
    said = [_instant(at) for at, _ in updates]
    if resolved_at < started_at:
        raise Refused("it was resolved before it started.")
    if said != sorted(said) or (said and said[0] < started_at):
        raise Refused("its updates are not in the order of time, or begin before it started.")
    return PastIncident(RANKS[impact], components > 0, started_at, resolved_at, said)


def _instant(text: object) -> datetime:
    """An instant with its zone, in UTC; years of our era, so that something can fall due before and after."""
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError:
        at = datetime.min
    if at.tzinfo is None or not 1900 < at.year < 3000:
        raise Refused(f"{text!r} is no instant; write it like 2026-03-02T14:30:00Z.")
    return at.astimezone(UTC)
