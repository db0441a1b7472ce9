"""What the pages of runbooks show: what is offered and running, commands filled for a service, versions compared."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache

from django.db.models import Exists, OuterRef, Prefetch, Q
from django.utils.safestring import SafeString

from incidents.lifecycle.models import Incident
from incidents.runbooks import manuscript, placeholders
from incidents.runbooks.manuscript import Manuscript, length
from incidents.runbooks.models import (
    Runbook,
    RunbookRun,
    RunbookVersion,
    RunStep,
    ServiceCommand,
    ServiceLink,
    StepChange,
    StepText,
)
from irportal.prose import render
from statuspage.models import Component

NEXT_STEPS = 2  # of each run the panel shows
Values = Mapping[str, placeholders.Value]


# What is offered and what runs


def offered(incident: Incident) -> list[Runbook]:
    """Those for the incident's type, then those for every incident; one query."""
    through = Runbook.types.through.objects.filter(runbook=OuterRef("pk"), incidenttype=incident.type_id)
    rows = Runbook.objects.in_use().filter(Q(for_all=True) | Exists(through)).in_order()
    return sorted(rows, key=lambda runbook: runbook.for_all)


def runs_of(incident: Incident) -> list[RunbookRun]:
    """With their steps, oldest first; two queries."""
    runs = incident.runs.select_related("version__runbook", "started_by", "stopped_by").prefetch_related("steps")
    for run in runs:
        run.incident = incident
    return list(runs)


@dataclass(frozen=True)
class Panel:
    """For the incident's page."""

    running: list[RunbookRun]
    ended: list[RunbookRun]
    offered: list[Runbook]  # for its type, not begun yet
    general: list[Runbook]  # for every incident, not begun yet


def panel(incident: Incident) -> Panel:
    """What runs, what its next open steps are, and what is offered by type; at most three queries."""
    runs = runs_of(incident)
    begun = {run.version.runbook_id for run in runs}
    for run in runs:
        still_open = [step for step in run.steps.all() if step.is_open]
        run.next_steps = still_open[:NEXT_STEPS]  # type: ignore[attr-defined]
    rest = [runbook for runbook in offered(incident) if runbook.pk not in begun]
    return Panel(
        running=[run for run in runs if not run.ended_at],
        ended=[run for run in runs if run.ended_at],
        offered=[runbook for runbook in rest if not runbook.for_all],
        general=[runbook for runbook in rest if runbook.for_all],
    )


# What fills the placeholders


@dataclass(frozen=True)
class Fillings:
    """Values of the organisation, and of each affected service its own."""

    shared: Values
    services: list[tuple[str, Values]] = field(default_factory=list)

    @property
    def merged(self) -> Values:
        """For running text, which names each thing once: the first affected service that has it."""
        found = dict(self.shared)
        for _, values in reversed(self.services):
            found |= values
        return found

    def commands(self, step: "StepText | manuscript.Step") -> list[placeholders.Filled]:
        filled = (placeholders.for_services(command, self.services, self.shared) for command in step.commands)
        return [one for several in filled for one in several]

    def text(self, source: str) -> SafeString:
        return render(placeholders.filled_prose(source, self.merged))


def fillings(incident: Incident | None = None) -> Fillings:
    """For the services an incident affects; without one, for every service that has values. At most three queries."""
    affected = Component.objects.filter(pk__in=incident.components.values("component")) if incident else None
    mine = Q() if affected is None else Q(component=None) | Q(component__in=affected)
    found: dict[int | None, dict[str, placeholders.Value]] = {}
    names: dict[int, str] = {}
    for link in ServiceLink.objects.filter(mine).select_related("component"):
        found.setdefault(link.component_id, {})[link.name] = placeholders.Value(link.url, is_link=True)
        if link.component:
            names[link.component.pk] = link.component.name
    for command in ServiceCommand.objects.filter(mine).select_related("component"):
        found.setdefault(command.component_id, {})[command.name] = placeholders.Value(command.text)
        if command.component:
            names[command.component.pk] = command.component.name
    services = sorted((name, pk) for pk, name in names.items())
    return Fillings(
        shared={**found.get(None, {}), **(_facts(incident) if incident else {})},
        services=[(name, found[pk]) for name, pk in services],
    )


def _facts(incident: Incident) -> dict[str, placeholders.Value]:
    return {
        "incident": placeholders.Value(incident.ref),
        "channel": placeholders.Value(incident.channel_name),
        "started": placeholders.Value(f"{incident.started_at:%Y-%m-%dT%H:%M:%SZ}"),
    }


@dataclass(frozen=True)
class Asked:
    """A command or link runbooks ask for, and for whom it is set."""

    name: str
    label: str
    runbooks: list[Runbook]
    services: list[str]
    is_link: bool | None  # None: a name of their own


def asked_for() -> list[Asked]:
    """What the runbooks in use ask for, with what nobody has set first; three queries."""
    wanted: dict[str, list[Runbook]] = {}
    for runbook in Runbook.objects.in_use().select_related("version_in_force").in_order():
        for name in runbook.version_in_force.asks.split() if runbook.version_in_force else ():
            wanted.setdefault(name, []).append(runbook)
    there: dict[str, list[str]] = {}
    for model in (ServiceCommand, ServiceLink):
        for row in model.objects.select_related("component"):
            there.setdefault(row.name, []).append(str(row.component or "everything"))
    known = {**dict.fromkeys(placeholders.COMMANDS, False), **dict.fromkeys(placeholders.LINKS, True)}
    rows = [
        Asked(name, placeholders.words(name), runbooks, there.get(name, []), known.get(name))
        for name, runbooks in wanted.items()
        if name not in placeholders.FACTS
    ]
    return sorted(rows, key=lambda row: (bool(row.services), row.label))


# A runbook as it is read


@lru_cache(256)
def read(source: str) -> Manuscript:
    """A text that is kept, and so was readable when it was written."""
    return manuscript.read(source)


@dataclass(frozen=True)
class ReadStep:
    number: int
    text: SafeString
    expect: SafeString | str
    commands: list[placeholders.Filled]
    limit: str


def as_read(found: Manuscript, filled: Fillings) -> list[tuple[str, SafeString, list[ReadStep]]]:
    """Section by section: name, prose, steps."""
    return [
        (
            section.title,
            filled.text(section.prose),
            [
                ReadStep(
                    number=step.number,
                    text=filled.text(step.text),
                    expect=filled.text(step.expect) if step.expect else "",
                    commands=filled.commands(step),
                    limit=_limit_words(timedelta(seconds=step.within), step.since, found) if step.within else "",
                )
                for step in section.steps
            ],
        )
        for section in found.sections
    ]


def _limit_words(within: timedelta, since: int, found: Manuscript) -> str:
    if since == manuscript.START:
        return f"within {length(within)} of the start"
    before = found.steps[since - 1]
    return f"within {length(within)} of step {before.number}"


def gaps(found: Manuscript, filled: Fillings) -> list[str]:
    """The placeholders of a text nothing fills, in words."""
    texts = [text for step in found.steps for text in (step.text, step.expect, *step.commands)]
    there = filled.merged.keys() | placeholders.FACTS.keys()
    return [placeholders.words(name) for name in placeholders.names(*texts) if name not in there]


# A run as it is worked through


@dataclass(frozen=True)
class Row:
    """One step of a run on its page."""

    step: RunStep
    text: SafeString
    expect: SafeString | str
    commands: list[placeholders.Filled]
    changes: list[StepChange]
    begins_section: bool
    prose: SafeString | str  # of the section that begins here
    is_next: bool
    due_at: datetime | None
    limit: str
    took: str
    kept: bool

    @property
    def seen(self) -> int:
        return max((change.pk for change in self.changes), default=0)


def rows(run: RunbookRun, filled: Fillings) -> list[Row]:
    """The steps with their history; two queries."""
    history = Prefetch("changes", StepChange.objects.select_related("by"))
    steps = list(run.steps.select_related("settled_by").prefetch_related(history))
    by_position = {step.position: step for step in steps}
    prose = {
        section.title: filled.text(section.prose) for section in read(run.version.source).sections if section.prose
    }
    return [_row(run, step, by_position, filled, prose) for step in steps]


def _row(
    run: RunbookRun,
    step: RunStep,
    by_position: dict[int, RunStep],
    filled: Fillings,
    prose: dict[str, SafeString],
) -> Row:
    begin, within = step.limit_from(run, by_position.get(step.since)), step.within
    took = step.took(begin)
    before, counted = by_position.get(step.position - 1), by_position.get(step.since)
    counts_from = f"step {counted.number}" if counted else "the start"
    begins = before is None or before.section != step.section
    return Row(
        step=step,
        text=filled.text(step.text),
        expect=filled.text(step.expect) if step.expect else "",
        commands=filled.commands(step),
        changes=list(step.changes.all()),
        is_next=step.position == min((p for p, other in by_position.items() if other.is_open), default=0),
        begins_section=begins,
        prose=prose.get(step.section, "") if begins else "",
        due_at=begin + within if begin and within and step.is_open else None,
        limit=f"within {length(within)} of {counts_from}" if within else "",
        took=length(took) if took is not None else "",
        kept=took is not None and within is not None and took <= within,
    )


def since(run: RunbookRun, seen: int) -> list[StepChange]:
    """What was said of the run's steps after the change `seen`; one query."""
    return list(StepChange.objects.filter(step__run=run, pk__gt=seen).select_related("step", "by")[:20])


# Versions compared


@dataclass(frozen=True)
class Line:
    sort: str  # "same", "added", "removed" or "gap"
    text: str


def difference(was: str, now: str) -> list[Line]:
    """What changed from one text to another, line by line with three lines around."""
    sorts = {" ": "same", "+": "added", "-": "removed", "@": "gap"}
    diff: Iterable[str] = difflib.unified_diff(was.split("\n"), now.split("\n"), n=3, lineterm="")
    return [Line(sorts[line[0]], "" if line[0] == "@" else line[1:]) for line in list(diff)[2:]]


def version_of(runbook: Runbook, number: int) -> RunbookVersion | None:
    return runbook.versions.filter(number=number).select_related("author").first()
