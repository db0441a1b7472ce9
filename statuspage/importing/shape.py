"""A page as it was elsewhere, the same whatever it was read from. Pure; every instant is aware and in UTC."""

import re
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple

from irportal.refused import Refused
from statuspage.models import Component, Notice, code_of

State, Impact, Status = Component.State, Notice.Impact, Notice.Status
CODE = re.compile("[0-9a-z]{12}")
# How bad an incident is that does not say so: as bad as the worst state it names.
IMPACT_OF = {
    State.OPERATIONAL: Impact.NONE,
    State.UNDER_MAINTENANCE: Impact.NONE,
    State.DEGRADED_PERFORMANCE: Impact.MINOR,
    State.PARTIAL_OUTAGE: Impact.MAJOR,
    State.MAJOR_OUTAGE: Impact.CRITICAL,
}
STATE_OF = {
    Impact.NONE: State.OPERATIONAL,
    Impact.MINOR: State.DEGRADED_PERFORMANCE,
    Impact.MAJOR: State.PARTIAL_OUTAGE,
    Impact.CRITICAL: State.MAJOR_OUTAGE,
}
ENDED = "Resolved."  # what stands on the page when its source gives an end but no words for it


class File(NamedTuple):
    """One file of a source, or one answer of its interface."""

    name: str
    data: bytes


@dataclass(frozen=True)
class Group:
    id: str
    name: str
    position: int = 1
    created_at: datetime | None = None


@dataclass(frozen=True)
class Part:
    """A component. `group` is the id of its group, or empty."""

    id: str
    name: str
    group: str = ""
    description: str = ""
    position: int = 1
    created_at: datetime | None = None


@dataclass(frozen=True)
class Change:
    """What a component was before an update and became with it; `name` as it was called then."""

    part: str
    name: str
    was: str
    now: str


@dataclass(frozen=True)
class Said:
    """One update: when it was said, and when it was recorded there."""

    id: str
    status: str
    body: str
    said_at: datetime
    recorded_at: datetime
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True)
class Incident:
    """`where` it stands in its source, for people. `hits` are the states it gives components at its worst."""

    id: str
    where: str
    title: str
    updates: tuple[Said, ...]  # oldest first
    started_at: datetime
    created_at: datetime
    resolved_at: datetime | None
    impact: str
    hits: dict[str, str] = field(default_factory=dict)

    @property
    def status(self) -> str:
        return self.updates[-1].status

    @property
    def monitoring_at(self) -> datetime | None:
        """When monitoring last began, as `publish` would have noted it."""
        found, before = None, ""
        for update in self.updates:
            if update.status == Status.MONITORING != before:
                found = update.said_at
            before = update.status
        return found

    def stretches(self, part: str) -> list[tuple[str, datetime, datetime | None]]:
        """How long the component was in which state, operational left out; to None while it still is."""
        turns = [(update.said_at, one.now) for update in self.updates for one in update.changes if one.part == part]
        if not turns:
            turns = [(self.started_at, self.hits[part])]
        turns[0] = (self.started_at, turns[0][1])  # the first word tells of the time since the start
        turns = [turns[0], *(new for old, new in pairwise(turns) if new[1] != old[1])]
        ends = [*(at for at, _ in turns[1:]), self.resolved_at]
        found = []
        for (began, state), ended in zip(turns, ends, strict=True):
            if self.resolved_at:
                ended = min(ended or self.resolved_at, self.resolved_at)
            if state != State.OPERATIONAL and (ended is None or began < ended):
                found.append((state, began, ended))
        return found


@dataclass(frozen=True)
class Work:
    """A maintenance that is over: when it was planned for, when it took place, the components it was about."""

    id: str
    where: str
    title: str
    updates: tuple[Said, ...]  # oldest first
    starts_at: datetime
    ends_at: datetime
    started_at: datetime
    ended_at: datetime
    created_at: datetime
    parts: tuple[str, ...] = ()


class Refusal(NamedTuple):
    """A record that cannot be taken over, where it stands and why."""

    where: str
    what: str
    why: str


@dataclass
class Page:
    """Everything that was read. `rules` say how states and instants of the source were understood."""

    format: str
    groups: list[Group] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)
    works: list[Work] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    rules: list[str] = field(default_factory=list)


def kept_or_made(space: str, kind: str, id: str) -> str:
    """The code of a record: its id where that has our shape, so that its address goes on working, else one made of it.

    `space` tells two pages of the same format apart.
    """
    return id if CODE.fullmatch(id) else code_of(f"{space}/{kind}/{id}")


def incident(
    *,
    id: str,
    where: str,
    title: str,
    updates: list[Said],
    started_at: datetime | None,
    created_at: datetime | None,
    resolved_at: datetime | None,
    is_open: bool,
    impact: str | None,
    hits: dict[str, str | None],
) -> Incident:
    """The incident in one piece; what the source leaves out follows from the rest. Raises Refused for a contradiction.

    `hits` are the components with their worst states, None where the source does not say.
    """
    said = sorted(updates, key=lambda update: update.said_at)
    if not said:
        raise Refused("it has no updates.")
    if is_open:
        if said[-1].status == Status.RESOLVED:
            raise Refused("its updates say that it is resolved, and it says that it is not.")
        resolved_at = None
    else:
        said, resolved_at = _ended(said, resolved_at)
    said = [update if update.id else replace(update, id=str(n)) for n, update in enumerate(said, start=1)]
    impact = impact or derived_impact({part: state for part, state in hits.items() if state})
    return Incident(
        id=id,
        where=where,
        title=title,
        updates=tuple(said),
        started_at=started_at or said[0].said_at,
        created_at=created_at or said[0].recorded_at,
        resolved_at=resolved_at,
        impact=impact,
        hits=in_states(hits, impact),
    )


def _ended(said: list[Said], resolved_at: datetime | None) -> tuple[list[Said], datetime]:
    """The updates with an end, and when that was.

    A source may give the end as a mere instant: then the page says so in a word, and page and status tell one story.
    Or as a mere update: then the instant is that of the first of the last updates that say so.
    """
    if resolved_at is not None and said[-1].status != Status.RESOLVED:
        at = max([resolved_at, *(update.said_at for update in said)])
        said = [*said, Said("end", Status.RESOLVED, ENDED, at, at)]
    for update in reversed(said if resolved_at is None else []):
        if update.status != Status.RESOLVED:
            break
        resolved_at = update.said_at
    if resolved_at is None:
        raise Refused("it is resolved, and nothing says when.")
    return said, resolved_at


def worst(*states: str) -> str:
    return max(states, key=Component.rank, default=State.OPERATIONAL)


def derived_impact(hits: dict[str, str]) -> str:
    return IMPACT_OF[State(worst(*hits.values()))]


def in_states(hits: dict[str, str | None], impact: str) -> dict[str, str]:
    """Components with their states; one without takes the state that the incident's impact stands for."""
    return {part: state or STATE_OF[Impact(impact)] for part, state in hits.items()}
