"""Deeds that show a recovery: numbers read off, ticks given, kill switches and rollbacks with their times."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.utils import timezone

from incidents.lifecycle import gate
from incidents.lifecycle.actions import Kind, Marker, not_ahead, note, taken_on
from incidents.lifecycle.models import ControlRun, GateTick, Incident, Reading
from irportal.accounts.models import User
from irportal.ledger import actions as ledger
from irportal.refused import Refused


@transaction.atomic
def read(
    incident: Incident,
    *,
    numbers: Mapping[str, Decimal],
    source: str,
    at: datetime,
    by: User,
    baseline: Decimal | None = None,
) -> list[Reading]:
    """Write down what was read at the said time `at`: numbers by signal, `baseline` for the latency."""
    incident = Incident.objects.locked(incident.pk)
    not_ahead(at)
    if at < incident.started_at.replace(second=0, microsecond=0):
        raise Refused(f"That lies before the incident started, {incident.started_at:%Y-%m-%d %H:%M} UTC.")
    units = {row.signal: row.unit for row in gate.gate_rules(incident.policy_version).conditions}
    if not numbers:
        raise Refused("Enter at least one number.")
    if "latency" in numbers and baseline is None:
        raise Refused("Say what the latency is on a quiet day, too; without it nobody can tell whether it is back.")
    rows = [
        Reading(
            incident=incident,
            signal=signal,
            number=number,
            unit=units[signal],
            baseline=baseline if signal == "latency" else None,
            source=source,
            at=at,
            recorded_at=timezone.now(),
            by=by,
        )
        for signal, number in numbers.items()
    ]
    Reading.objects.bulk_create(rows)
    taken_on(incident, by=by)
    said = ", ".join(f"{row.get_signal_display().lower()} {row.amount}" for row in rows)
    note(incident, Kind.NOTE, f"Read from {source}: {said}.", by=by, at=at)
    facts = [f"{row.signal} {row.amount}" for row in rows]
    ledger.append("gate.read", subject=incident.ref, by=by, numbers=facts, source=source, said_at=at)
    return rows


@transaction.atomic
def tick(incident: Incident, *, key: str, given: bool, by: User, note_text: str = "") -> GateTick:
    """Give a tick of the gate, or take it back with a reason."""
    incident = Incident.objects.locked(incident.pk)
    label = gate.gate_rules(incident.policy_version).ticks.get(key)
    if label is None:
        raise Refused("The policy this incident was declared under has no such tick.")
    last = incident.gate_ticks.filter(key=key).select_related("by").last()
    if bool(last and last.given) == given:
        by_whom = f"by {last.by} at {last.at:%H:%M} UTC" if last else "by nobody yet"
        raise Refused(f"“{label}” was ticked {by_whom}." if given else f"“{label}” is not ticked; last {by_whom}.")
    if not given and not note_text.strip():
        raise Refused("Say why it is taken back.")
    row = incident.gate_ticks.create(key=key, given=given, note=note_text.strip(), at=timezone.now(), by=by)
    taken_on(incident, by=by)
    words = f": {row.note}" if row.note else "."
    note(incident, Kind.NOTE, f"{label}, {'ticked' if given else 'taken back'}{words}", by=by)
    deed = "gate.ticked" if given else "gate.unticked"
    ledger.append(deed, subject=incident.ref, by=by, tick=key, note=row.note)
    return row


@transaction.atomic
def start_control(
    incident: Incident, *, kind: str, target: str, at: datetime, started_by: User, by: User
) -> ControlRun:
    """Record that a kill switch was pressed, or a rollback authorised, at the said time `at` by `started_by`."""
    incident = Incident.objects.locked(incident.pk)
    if at < incident.started_at.replace(microsecond=0):
        raise Refused(f"That lies before the incident started, {incident.started_at:%Y-%m-%d %H:%M} UTC.")
    same = incident.control_runs.filter(kind=kind, target=target, confirmed_at=None).select_related("started_by")
    if running := same.first():
        raise Refused(f"{running} runs since {running.started_at:%H:%M:%S} UTC, by {running.started_by}. Confirm it.")
    run = incident.control_runs.create(
        kind=kind,
        target=target,
        started_at=not_ahead(at),
        started_by=started_by,
        recorded_at=timezone.now(),
        recorded_by=by,
    )
    taken_on(incident, by=by)
    note(incident, Kind.NOTE, f"{run.get_kind_display()} {run.word} by {started_by}: {target}.", by=by, at=at)
    who = f"user:{started_by.pk}"
    ledger.append("control.started", subject=incident.ref, by=by, kind=kind, target=target, said_at=at, who=who)
    return run


@transaction.atomic
def confirm_control(run: ControlRun, *, at: datetime, proof: str, by: User) -> ControlRun:
    """Record when its effect was seen, once. A confirmed halt contains the incident, unless somebody said so before."""
    incident = Incident.objects.locked(run.incident_id)
    run = ControlRun.objects.select_related("confirmed_by", "started_by").get(pk=run.pk)
    run.incident = incident
    if run.confirmed_at:
        raise Refused(f"{run} was confirmed at {run.confirmed_at:%H:%M:%S} UTC by {run.confirmed_by} already.")
    if at < run.started_at:
        raise Refused(f"It cannot be confirmed before it began, {run.started_at:%Y-%m-%d %H:%M:%S} UTC.")
    run.confirmed_at, run.confirmed_by, run.proof = not_ahead(at), by, proof
    run.save(update_fields=["confirmed_at", "confirmed_by", "proof"])
    taken_on(incident, by=by)
    contains = run.is_kill_switch and incident.contained_at is None and incident.is_open
    if contains:
        incident.contained_at = at
        incident.check_order()
        incident.save(update_fields=["contained_at"])
    note(incident, Kind.NOTE, _confirmed(run), by=by, at=at, marker=Marker.CONTAINED if contains else "")
    seconds = int((at - run.started_at).total_seconds())
    said = {"kind": run.kind, "target": run.target, "said_at": at, "seconds": seconds, "proof": proof}
    ledger.append("control.confirmed", subject=incident.ref, by=by, **said)
    return run


def _confirmed(run: ControlRun) -> str:
    """What the timeline says of it: how long it took, and whether that was within the policy's limit."""
    limit = getattr(gate.gate_rules(run.incident.policy_version).limits, run.kind)
    took = (run.confirmed_at or run.started_at) - run.started_at
    what = "Halt confirmed" if run.is_kill_switch else "Rollback confirmed"
    verdict = "within" if took <= limit else "over"
    seen = f" Seen by: {run.proof}" if run.proof else ""
    allowed = gate.span(limit)
    return f"{what}: {run.target}, {gate.span(took)} after it was {run.word}, {verdict} the {allowed} allowed.{seen}"
