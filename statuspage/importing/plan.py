"""What would become of each record of another page: created, continued, left as it is, or refused with a reason."""

import enum
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from irportal.refused import Refused
from statuspage.importing.shape import (
    Change,
    Group,
    Impact,
    Incident,
    Page,
    Part,
    Refusal,
    Said,
    Status,
    Work,
    kept_or_made,
)
from statuspage.models import Component, ComponentGroup, Maintenance, MaintenanceUpdate, Notice, NoticeUpdate
from statuspage.publish import check_times, check_words
from statuspage.rhythm import moment

MANY = 500  # names in one question to the database
OPEN = "it is not resolved there. Resolve it first, or say --open."


class Fate(enum.Enum):
    NEW = "created"
    MORE = "continued"
    SAME = "left as it is"


class Step(NamedTuple):
    """One incident and what is to be done with it. `known` is how many of its updates stand here already."""

    fate: Fate
    code: str
    incident: Incident
    known: int = 0


class WorkStep(NamedTuple):
    """One maintenance and what is to be done with it."""

    fate: Fate
    code: str
    work: Work


@dataclass
class Plan:
    """Everything to be done. `space` tells two pages of one format apart where codes are made of ids."""

    space: str
    rules: list[str]
    refused: list[Refusal]
    groups: list[tuple[str, Group]] = field(default_factory=list)  # to be created, with their codes
    parts: list[tuple[str, Part]] = field(default_factory=list)
    group_codes: dict[str, str] = field(default_factory=dict)  # of every group, by its id there
    codes: dict[str, str] = field(default_factory=dict)  # of every component
    steps: list[Step] = field(default_factory=list)
    works: list[WorkStep] = field(default_factory=list)
    known_groups: int = 0
    known_parts: int = 0

    @property
    def to_write(self) -> list[Step]:
        """Oldest first, as if they had been published here one after the other."""
        wanted = [step for step in self.steps if step.fate != Fate.SAME]
        return sorted(wanted, key=lambda step: step.incident.started_at)

    @property
    def works_to_write(self) -> list[WorkStep]:
        """Oldest first."""
        return sorted((s for s in self.works if s.fate == Fate.NEW), key=lambda step: step.work.started_at)

    @property
    def is_empty(self) -> bool:
        return not (self.groups or self.parts or self.to_write or self.works_to_write)

    def count(self, fate: Fate) -> int:
        return sum(step.fate == fate for step in self.steps)

    def count_works(self, fate: Fate) -> int:
        return sum(step.fate == fate for step in self.works)

    def update_code(self, told: Incident | Work, update: Said) -> str:
        return kept_or_made(self.space, f"update/{told.id}", update.id)

    def affected(self, changes: Iterable[Change]) -> list[dict[str, str]]:
        """Changes as an update of ours freezes them: with our codes, and names as they were."""
        return [
            {
                "code": self.codes.get(change.part) or kept_or_made(self.space, "component", change.part),
                "name": change.name,
                "old_status": change.was,
                "new_status": change.now,
            }
            for change in changes
        ]


def plan(page: Page, *, space: str, open_too: bool, now: datetime) -> Plan:
    """Compare a page with what stands here. Reads the database, changes nothing.

    `open_too` lets incidents in that are not resolved there.
    """
    made = Plan(space, page.rules, list(page.refused))
    _plan_groups(page.groups, made)
    _plan_parts(page.parts, made)
    found = _standing([kept_or_made(space, "incident", incident.id) for incident in page.incidents])
    for incident in page.incidents:
        step = Step(Fate.NEW, kept_or_made(space, "incident", incident.id), incident)
        try:
            _check(incident, open_too=open_too, now=now)
            made.steps.append(_compared(step, found.get(step.code), made))
        except Refused as refusal:
            made.refused.append(Refusal(incident.where, f"{incident.id} {incident.title}"[:80], str(refusal)))
    _refuse_taken_codes(made)
    _plan_works(page.works, made, now)
    return made


# Components


def _plan_groups(groups: list[Group], made: Plan) -> None:
    standing = list(ComponentGroup.objects.all())
    known = {group.code for group in standing}
    by_name = {group.name.casefold(): group.code for group in reversed(standing)}
    for group in groups:
        code = kept_or_made(made.space, "group", group.id)
        if code not in known:
            if group.name.casefold() not in by_name:
                made.groups.append((code, group))
                by_name[group.name.casefold()] = code
            code = by_name[group.name.casefold()]
        made.group_codes[group.id] = code
    made.known_groups = len(groups) - len(made.groups)


def _plan_parts(parts: list[Part], made: Plan) -> None:
    """A component is the one with its code, else the one of its name in its group, else a new one.

    A name that is unique on both pages is enough: groups may have changed.
    """
    standing = list(Component.objects.select_related("group"))
    known = {part.code for part in standing}
    by_name = {(part.group.code if part.group else "", part.name.casefold()): part.code for part in standing}
    alone = _once(part.name.casefold() for part in standing) & _once(part.name.casefold() for part in parts)
    sole = {part.name.casefold(): part.code for part in standing if part.name.casefold() in alone}
    for part in parts:
        code, name = kept_or_made(made.space, "component", part.id), part.name.casefold()
        place = made.group_codes.get(part.group, ""), name
        if code not in known and (found := by_name.get(place) or sole.get(name)):
            code = found
        elif code not in known:
            made.parts.append((code, part))
            by_name[place] = code
        made.codes[part.id] = code
    made.known_parts = len(parts) - len(made.parts)


def _once(names: Iterable[str]) -> set[str]:
    return {name for name, times in Counter(names).items() if times == 1}


# Incidents


def _check(incident: Incident, *, open_too: bool, now: datetime) -> None:
    """Hold an incident to what `publish` asks of its own. Raises Refused."""
    for update in incident.updates:
        try:
            check_words(incident.title, update.status, incident.impact, update.body, NoticeUpdate.Kind.UPDATE)
        except Refused as refusal:
            raise Refused(f"update {update.id}: {refusal}") from None
        for at in (update.said_at, update.recorded_at):
            if at > now:
                raise Refused(f"update {update.id} lies in the future, {moment(at)}.")
    if incident.started_at > now:
        raise Refused(f"it starts in the future, {moment(incident.started_at)}.")
    if incident.resolved_at:
        check_times(incident.status, incident.started_at, incident.resolved_at)
    elif not open_too:
        raise Refused(OPEN)


def _standing(codes: list[str]) -> dict[str, Notice]:
    found: dict[str, Notice] = {}
    for start in range(0, len(codes), MANY):
        some = Notice.objects.filter(code__in=codes[start : start + MANY])
        found |= {notice.code: notice for notice in some.prefetch_related("updates")}
    return found


def _compared(step: Step, notice: Notice | None, made: Plan) -> Step:
    """What is to be done beside what stands here. What was published is never changed: it is refused then."""
    if notice is None:
        return step
    standing = list(reversed(notice.updates.all()))
    if any(update.imported_at is None for update in standing):
        raise Refused(f"/incidents/{notice.code} is an incident of this page, or was continued on it.")
    incident = step.incident
    for ours, theirs in zip(standing, incident.updates, strict=False):
        if _words_of(ours) != (made.update_code(step.incident, theirs), theirs.status, theirs.body, theirs.said_at):
            raise Refused(
                f"update {theirs.id} says something else than what stands here under /incidents/{notice.code}, and "
                "what was published is not changed. If this is another page, give it a --name of its own."
            )
    if len(standing) > len(incident.updates):
        raise Refused(f"it has fewer updates than stand here under /incidents/{notice.code}.")
    heads = ("title", "status", "impact", "started_at", "resolved_at", "monitoring_at", "created_at")
    same = len(standing) == len(incident.updates) and all(getattr(notice, n) == getattr(incident, n) for n in heads)
    return step._replace(fate=Fate.SAME if same else Fate.MORE, known=len(standing))


def _words_of(update: NoticeUpdate | MaintenanceUpdate) -> tuple[Any, ...]:
    return update.code, update.status, update.body, update.display_at


def _refuse_taken_codes(made: Plan) -> None:
    """An update's code stands for one update only: an incident that repeats one, or ours, is refused."""
    codes = {
        step.code: [made.update_code(step.incident, said) for said in step.incident.updates] for step in made.steps
    }
    times = Counter(code for found in codes.values() for code in found)
    wanted = [code for step in made.to_write for code in codes[step.code][step.known :]]
    taken = {code for code, number in times.items() if number > 1}
    for start in range(0, len(wanted), MANY):
        some = NoticeUpdate.objects.filter(code__in=wanted[start : start + MANY])
        taken |= set(some.values_list("code", flat=True))
    kept = []
    for step in made.steps:
        if step.fate == Fate.SAME or taken.isdisjoint(codes[step.code][step.known :]):
            kept.append(step)
        else:
            what = f"{step.incident.id} {step.incident.title}"[:80]
            made.refused.append(Refusal(step.incident.where, what, "one of its updates has the id of another update."))
    made.steps = kept


# Maintenance


def _plan_works(works: list[Work], made: Plan, now: datetime) -> None:
    codes = {kept_or_made(made.space, "incident", work.id): work for work in works}
    standing = {one.code: one for one in Maintenance.objects.filter(code__in=codes).prefetch_related("updates")}
    wanted = [made.update_code(work, update) for work in works for update in work.updates]
    taken = dict(MaintenanceUpdate.objects.filter(code__in=wanted).values_list("code", "maintenance__code"))
    for code, work in codes.items():
        try:
            _check_work(work, now)
            told = [(made.update_code(work, u), u.status, u.body, u.said_at) for u in work.updates]
            if code in standing:
                if [_words_of(update) for update in reversed(standing[code].updates.all())] != told:
                    raise Refused(f"something else stands here under /maintenance/{code}; it is not changed.")
                made.works.append(WorkStep(Fate.SAME, code, work))
            elif any(update_code in taken for update_code, *_ in told):
                raise Refused("one of its updates has the id of another update.")
            else:
                made.works.append(WorkStep(Fate.NEW, code, work))
        except Refused as refusal:
            made.refused.append(Refusal(work.where, f"{work.id} {work.title}"[:80], str(refusal)))


def _check_work(work: Work, now: datetime) -> None:
    for update in work.updates:
        try:
            check_words(work.title, Status.RESOLVED, Impact.NONE, update.body, NoticeUpdate.Kind.UPDATE)
        except Refused as refusal:
            raise Refused(f"update {update.id}: {refusal}") from None
    if max(work.ended_at, *(max(update.said_at, update.recorded_at) for update in work.updates)) > now:
        raise Refused("it ends in the future.")
    if work.ends_at <= work.starts_at or work.ended_at < work.started_at:
        raise Refused("it ends before it starts.")
