"""Deeds on runbooks and their runs. Those of a run lock the incident first, those on a text the ledger and then it."""

import hashlib
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.models import F, Max
from django.utils import timezone

from incidents.lifecycle import actions as lifecycle
from incidents.lifecycle.models import Incident, TimelineEntry
from incidents.policy.models import IncidentType
from incidents.runbooks import manuscript, placeholders
from incidents.runbooks.manuscript import Manuscript, length
from incidents.runbooks.models import (
    Runbook,
    RunbookRun,
    RunbookStep,
    RunbookVersion,
    RunStep,
    StepChange,
    StepText,
)
from irportal.accounts.models import User
from irportal.ledger import actions as ledger
from irportal.refused import Refused

SHIPPED = Path(__file__).parent / "shipped"
State = RunStep.State
NOTE = TimelineEntry.Kind.NOTE


# Texts


@cache
def shipped() -> dict[str, tuple[str, Manuscript]]:
    """The runbooks that come with the portal, read: code to text and content."""
    texts = [manuscript.tidy(file.read_text()) for file in sorted(SHIPPED.glob("*.md"))]
    return {found.code: (text, found) for text in texts for found in [manuscript.read(text)]}


@transaction.atomic
def load_shipped() -> int:
    """Bring the shipped texts in as versions; the number of new ones. The same text again is a no-op.

    Where staff have written a newer version of their own, that one stays in force and the shipped one waits beside it.
    """
    ledger.turn()
    known = {runbook.code: runbook for runbook in Runbook.objects.select_related("version_in_force")}
    there = set(RunbookVersion.objects.filter(author=None).values_list("runbook__code", "sha256"))
    new = [(text, found) for code, (text, found) in shipped().items() if (code, _digest(text)) not in there]
    for text, found in new:
        runbook = known.get(found.code) or Runbook.objects.create(code=found.code, title=found.title, kind=found.kind)
        in_force = runbook.version_in_force
        version = _add_version(runbook, text, found, note="As shipped with the portal", by=None)
        if in_force is None or in_force.is_shipped:
            _bring_into_force(runbook, version, found)
    return len(new)


@transaction.atomic
def write(source: str, *, note: str, by: User) -> RunbookVersion:
    """A new runbook from its text. Raises Unreadable with every fault and its line, Refused when the code is taken."""
    ledger.turn()
    text, found = check(source)
    if Runbook.objects.filter(code=found.code).exists():
        raise Refused(f"There is a runbook {found.code} already; write a new version of it, or choose another code.")
    runbook = Runbook.objects.create(code=found.code, title=found.title, kind=found.kind)
    version = _add_version(runbook, text, found, note=note, by=by)
    _bring_into_force(runbook, version, found)
    return version


@transaction.atomic
def rewrite(runbook: Runbook, source: str, *, note: str, by: User, seen: int) -> RunbookVersion:
    """The next version of a runbook; runs that began before keep the text they began with.

    `seen` is the newest number the person had before them: what others wrote since is shown to them instead.
    """
    ledger.turn()
    runbook = Runbook.objects.locked(runbook.pk)
    newest = runbook.versions.select_related("author").first()
    if newest and newest.number != seen:
        who = newest.author or "The portal"
        raise Refused(
            f"{who} added version {newest.number} at {newest.made_at:%Y-%m-%d %H:%M} UTC: {newest.change_note}. "
            "Look at what it changed, then save yours again."
        )
    text, found = check(source, code=runbook.code)
    in_force = runbook.version_in_force
    if in_force and in_force.sha256 == _digest(text):
        raise Refused(f"Nothing changes: this is the text of version {in_force.number}, which is in force.")
    version = _add_version(runbook, text, found, note=note, by=by)
    _bring_into_force(runbook, version, found)
    return version


def check(source: str, *, code: str = "") -> tuple[str, Manuscript]:
    """The tidied text and what it holds, or Unreadable. With `code` it has to be that runbook's text."""
    text = manuscript.tidy(source)
    found = manuscript.read(text, types=set(IncidentType.objects.values_list("code", flat=True)))
    if code and found.code != code:
        line = next((n for n, line in enumerate(text.split("\n"), 1) if line.startswith("code")), 2)
        raise manuscript.Unreadable([f"Line {line}: “code” stays {code} over all versions; it says {found.code}."])
    return text, found


@transaction.atomic
def withdraw(runbook: Runbook, *, reason: str, by: User) -> None:
    """Offer it no more. Its versions and runs stay; a new version brings it back."""
    ledger.turn()
    runbook = Runbook.objects.locked(runbook.pk)
    if runbook.withdrawn_at:
        raise Refused("It was withdrawn already.")
    runbook.withdrawn_at = timezone.now()
    runbook.save(update_fields=["withdrawn_at"])
    ledger.append("runbook.withdrawn", subject=_subject(runbook), by=by, reason=reason)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _subject(runbook: Runbook) -> str:
    return f"runbook:{runbook.code}"[:60]


def _add_version(runbook: Runbook, text: str, found: Manuscript, *, note: str, by: User | None) -> RunbookVersion:
    newest = runbook.versions.aggregate(newest=Max("number"))["newest"] or 0
    asked = (text for step in found.steps for text in (step.text, step.expect, *step.commands))
    version = RunbookVersion.objects.create(
        runbook=runbook,
        number=newest + 1,
        title=found.title,
        source=text,
        sha256=_digest(text),
        asks=" ".join(placeholders.names(*asked)),
        change_note=note,
        author=by,
        made_at=timezone.now(),
    )
    RunbookStep.objects.bulk_create(
        RunbookStep(
            version=version,
            position=step.position,
            number=step.number,
            section=step.section,
            text=step.text,
            expect=step.expect,
            commands=list(step.commands),
            within_seconds=step.within,
            since=step.since,
        )
        for step in found.steps
    )
    ledger.append(
        "runbook.version_written" if by else "runbook.version_loaded",
        subject=_subject(runbook),
        by=by,
        number=version.number,
        sha256=version.sha256,
        note=note,
    )
    return version


def _bring_into_force(runbook: Runbook, version: RunbookVersion, found: Manuscript) -> None:
    runbook.version_in_force, runbook.title, runbook.kind = version, found.title, found.kind
    runbook.management, runbook.repository, runbook.for_all = found.management, found.repository, found.for_all
    runbook.withdrawn_at = None
    runbook.save(
        update_fields=["version_in_force", "title", "kind", "management", "repository", "for_all", "withdrawn_at"]
    )
    runbook.types.set(IncidentType.objects.filter(code__in=found.types))


# Runs


@transaction.atomic
def start(incident: Incident, runbook: Runbook, *, by: User) -> RunbookRun:
    """Begin to work through it: copy the steps of the version in force. One run of a runbook at a time."""
    incident = Incident.objects.locked(incident.pk)
    version = RunbookVersion.objects.filter(in_force_of=runbook, runbook__withdrawn_at=None).first()
    if version is None:
        raise Refused(f"{runbook} was withdrawn meanwhile; choose another one.")
    running = incident.runs.filter(version__runbook=runbook, ended_at=None).select_related("started_by").first()
    if running:
        raise Refused(f"{running.started_by} started it at {running.started_at:%H:%M:%S} UTC; it is running already.")
    run = RunbookRun.objects.create(incident=incident, version=version, started_by=by, started_at=timezone.now())
    names = [field.name for field in StepText._meta.get_fields()]
    RunStep.objects.bulk_create(
        RunStep(run=run, **{name: getattr(step, name) for name in names}) for step in version.steps.all()
    )
    lifecycle.taken_on(incident, by=by)
    lifecycle.note(incident, NOTE, f"Runbook started: {version}.", by=by)
    ledger.append(
        "runbook.started", subject=incident.ref, by=by, run=run.pk, version=str(version), sha256=version.sha256
    )
    return run


@transaction.atomic
def settle(
    step: RunStep,
    *,
    state: str,
    by: User,
    note: str = "",
    evidence: str = "",
    at: datetime | None = None,
    seen: int | None = None,
) -> RunStep:
    """Tick a step, or skip it with a reason, as of the said time `at`.

    `seen` is the newest change of the step the person had before them: who was first is told to the second.
    """
    run, step = _locked(step)
    _check_seen(step, seen)
    if not step.is_open:
        raise Refused(_first(step.changes.exclude(was=F("now")).select_related("by").last()))
    if run.is_stopped:
        raise Refused(f"{run.stopped_by} stopped this run: {run.stopped_reason} Start it anew to go on.")
    if state == State.SKIPPED and not note.strip():
        raise Refused("Say why this step is skipped; an auditor will ask.")
    at = _not_before(run, lifecycle.not_ahead(at or timezone.now()))
    step.state, step.settled_by, step.settled_at = state, by, at
    step.save(update_fields=["state", "settled_by", "settled_at"])
    _change(step, State.OPEN, by=by, note=note, evidence=evidence, at=at)
    took = step.took(step.limit_from(run, run.steps.filter(position=step.since).first()))
    deed = "runbook.step_done" if state == State.DONE else "runbook.step_skipped"
    seconds = None if took is None else int(took.total_seconds())
    _record(deed, run, step, by=by, note=note, evidence=evidence, said_at=at, took_seconds=seconds)
    _tell(run, step, note, took=took, by=by, at=at)
    if not run.steps.filter(state=State.OPEN).exists():
        run.ended_at = timezone.now()
        run.save(update_fields=["ended_at"])
        lifecycle.note(run.incident, NOTE, f"Runbook worked through: {run.version}.", by=by)
    return step


@transaction.atomic
def undo(step: RunStep, *, by: User, note: str = "", evidence: str = "", seen: int | None = None) -> RunStep:
    """Open a settled step again. The tick and its taking back both stay in the history."""
    run, step = _locked(step)
    _check_seen(step, seen)
    if step.is_open:
        raise Refused("This step is open already.")
    if run.is_stopped:
        raise Refused(f"{run.stopped_by} stopped this run: {run.stopped_reason} Start it anew to go on.")
    was, step.state, step.settled_by, step.settled_at = step.state, State.OPEN.value, None, None
    step.save(update_fields=["state", "settled_by", "settled_at"])
    _change(step, was, by=by, note=note, evidence=evidence)
    if run.ended_at:
        run.ended_at = None
        run.save(update_fields=["ended_at"])
    _record("runbook.step_reopened", run, step, by=by, was=was, note=note, evidence=evidence)
    why = f" {note}" if note else ""
    lifecycle.note(run.incident, NOTE, f"{_named(run, step)}. Opened again, was {was}.{why}", by=by)
    return step


@transaction.atomic
def remark(step: RunStep, *, by: User, note: str = "", evidence: str = "") -> RunStep:
    """Add a note or evidence to a step without settling it."""
    run, step = _locked(step)
    if not note.strip() and not evidence.strip():
        raise Refused("Write a note, or give the evidence.")
    _change(step, step.state, by=by, note=note, evidence=evidence)
    _record("runbook.step_noted", run, step, by=by, note=note, evidence=evidence)
    return step


@transaction.atomic
def stop(run: RunbookRun, *, reason: str, by: User) -> RunbookRun:
    """End a run that is not worked through to its end; what was ticked stays."""
    incident = Incident.objects.locked(run.incident_id)
    run = RunbookRun.objects.select_related("version", "stopped_by").get(pk=run.pk)
    if run.ended_at:
        raise Refused(f"{run.stopped_by} stopped it already." if run.is_stopped else "Every step is settled; it ended.")
    run.ended_at, run.stopped_by, run.stopped_reason = timezone.now(), by, reason
    run.save(update_fields=["ended_at", "stopped_by", "stopped_reason"])
    lifecycle.note(incident, NOTE, f"Runbook stopped: {run.version}. {reason}", by=by)
    ledger.append(
        "runbook.stopped",
        subject=incident.ref,
        by=by,
        run=run.pk,
        version=str(run.version),
        reason=reason,
        open_steps=run.steps.filter(state=State.OPEN).count(),
    )
    return run


def _locked(step: RunStep) -> tuple[RunbookRun, RunStep]:
    Incident.objects.locked(step.run.incident_id)
    run = RunbookRun.objects.select_related("incident", "version", "stopped_by").get(pk=step.run_id)
    return run, RunStep.objects.select_related("settled_by").get(pk=step.pk)


def _check_seen(step: RunStep, seen: int | None) -> None:
    if seen is not None:
        since = step.changes.filter(pk__gt=seen).exclude(was=F("now")).select_related("by")
        if told := [_first(change) for change in since]:
            raise Refused(" ".join(told))


def _first(change: StepChange | None) -> str:
    """Who was first, with what they wrote."""
    if change is None:
        return "Somebody was first."
    what = {"done": "ticked this step", "skipped": "skipped this step", "open": "opened this step again"}[change.now]
    why = f" and wrote: {change.note}" if change.note else ""
    return f"{change.by} {what} at {change.recorded_at:%H:%M:%S} UTC{why}."


def _not_before(run: RunbookRun, at: datetime) -> datetime:
    if at < run.incident.started_at:
        began = run.incident.started_at
        raise Refused(f"That lies before the incident started, {began:%Y-%m-%d %H:%M} UTC.")
    return at


def _change(
    step: RunStep, was: str, *, by: User, note: str = "", evidence: str = "", at: datetime | None = None
) -> None:
    now = timezone.now()
    StepChange.objects.create(
        step=step, was=was, now=step.state, note=note, evidence=evidence, by=by, occurred_at=at or now, recorded_at=now
    )


def _record(deed: str, run: RunbookRun, step: RunStep, *, by: User, **facts: Any) -> None:
    named = {"run": run.pk, "version": str(run.version), "step": step.position, "text": step.text}
    ledger.append(deed, subject=run.incident.ref, by=by, **named, **facts)


def _named(run: RunbookRun, step: RunStep) -> str:
    return f"{run.version.title}: {step.first_line[:160].rstrip('.')}"


def _tell(run: RunbookRun, step: RunStep, note: str, *, took: timedelta | None, by: User, at: datetime) -> None:
    """A line of the timeline for what tells something: a note, a reason to skip, a time that was limited."""
    if not note and took is None:
        return
    words = "Skipped" if step.state == State.SKIPPED else "Done"
    if took is not None and step.within:
        kept = "within" if took <= step.within else "over"
        words += f" after {length(took)}, {kept} the limit of {length(step.within)}"
    lifecycle.note(run.incident, NOTE, f"{_named(run, step)}. {words}. {note}".strip(), by=by, at=at)
