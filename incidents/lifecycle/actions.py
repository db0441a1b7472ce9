"""Deeds on an incident's record. Each is lock, change, note, record, in one transaction.

`seen` is the id of the newest timeline entry the person had before them; what others changed since is shown to them
instead of being overwritten.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from incidents.lifecycle import queries
from incidents.lifecycle.models import (
    GateTick,
    Incident,
    IncidentComponent,
    Role,
    RoleAssignment,
    RoleContact,
    SeverityChange,
    TimelineEntry,
)
from incidents.policy.models import IncidentType, PolicyVersion
from irportal.accounts.models import User
from irportal.ledger import actions as ledger
from irportal.refused import Refused
from statuspage.models import Component

Kind, Marker = TimelineEntry.Kind, TimelineEntry.Marker
NO_POLICY = "No approved policy is in force; load one with `manage.py load_policy`."
AGAIN = timedelta(minutes=1)  # within it, the same words by the same person are a second click
FUTURE_SLACK = timedelta(minutes=2)  # between the clock of the person's desk and ours


@dataclass(frozen=True)
class Declaration:
    """What a person says when declaring. Instants are aware; rank is 1 worst to 4."""

    title: str
    type: IncidentType
    rank: int
    components: list[tuple[Component, str]]
    started_at: datetime
    detected_at: datetime
    source: str
    impact: str
    commander: User
    personal_data: str = "unknown"
    ai_involved: str = "unknown"
    reason: str = field(default="Judged at declaration")


def not_ahead(at: datetime) -> datetime:
    """`at`, refused when it lies ahead of now."""
    if at > timezone.now() + FUTURE_SLACK:
        raise Refused(f"{at:%Y-%m-%d %H:%M} UTC lies ahead; it is {timezone.now():%Y-%m-%d %H:%M} UTC now.")
    return at


def note(
    incident: Incident, kind: str, text: str, *, by: User | None, at: datetime | None = None, marker: str = ""
) -> TimelineEntry:
    """Add a line to the record in the caller's transaction; `at` is the said time, now when not given."""
    now = timezone.now()
    return incident.timeline.create(
        kind=kind, text=text, author=by, occurred_at=at or now, recorded_at=now, marker=marker
    )


def check_seen(incident: Incident, seen: int | None) -> None:
    """Refuse when somebody changed the incident after the person loaded the page, saying what and who."""
    if seen is None:
        return
    since = incident.timeline.filter(pk__gt=seen).exclude(kind=Kind.NOTE).select_related("author").order_by("pk")
    lines = [f"{e.recorded_at:%H:%M:%S} UTC, {e.author or 'the engine'}: {e.text}" for e in since]
    if lines:
        raise Refused("Meanwhile this changed. " + " · ".join(lines) + " · Look at it, then send again.")


def channel_name(at: datetime) -> str:
    """`#incident-YYYYMMDD-HHMM` in UTC; a second one in the same minute gets `-2`, and so on."""
    base = f"#incident-{at:%Y%m%d-%H%M}"
    taken = set(Incident.objects.filter(channel_name__startswith=base).values_list("channel_name", flat=True))
    names = (base, *(f"{base}-{n}" for n in range(2, len(taken) + 3)))
    return next(name for name in names if name not in taken)


@transaction.atomic
def open_incident(facts: Declaration, *, by: User) -> Incident:
    """Write the incident, its first lines, its severity, roles and channel; pin the policy in force."""
    ledger.turn()
    now = timezone.now()
    policy = PolicyVersion.objects.in_force(now)
    if policy is None:
        raise Refused(NO_POLICY)
    not_ahead(facts.detected_at)
    _refuse_again(facts, by=by, since=now - AGAIN)
    incident = Incident.objects.create(
        number=(Incident.objects.aggregate(last=Max("number"))["last"] or 0) + 1,
        title=facts.title,
        type=facts.type,
        severity=facts.rank,
        policy_version=policy,
        channel_name=channel_name(now),
        detection_source=facts.source,
        impact_text=facts.impact,
        personal_data=facts.personal_data,
        ai_involved=facts.ai_involved,
        declared_by=by,
        started_at=facts.started_at,
        detected_at=facts.detected_at,
        declared_at=now,
        acknowledged_at=now if by == facts.commander else None,
        acknowledged_by=by if by == facts.commander else None,
    )
    _set_components(incident, facts.components)
    SeverityChange.objects.create(incident=incident, was=None, now=facts.rank, by=by, at=now, reason=facts.reason)
    _first_lines(incident, by=by)
    _fill_roles(incident, facts.commander, by=by)
    ledger.append(
        "incident.declared",
        subject=incident.ref,
        by=by,
        title=incident.title,
        type=facts.type.code,
        severity=facts.rank,
        policy=str(policy),
        started_at=facts.started_at,
        detected_at=facts.detected_at,
        components=[f"{component.code}: {state}" for component, state in facts.components],
    )
    return incident


def _refuse_again(facts: Declaration, *, by: User, since: datetime) -> None:
    """A button pressed twice declares once; two incidents would tell customers everything twice."""
    same = {"declared_by": by, "title": facts.title, "type": facts.type, "started_at": facts.started_at}
    if known := Incident.objects.filter(declared_at__gt=since, impact_text=facts.impact, **same).first():
        raise Refused(f"You declared this a moment ago: it is {known.ref}. Nothing was declared twice.")


def taken_on(incident: Incident, *, by: User) -> None:
    """Whoever moves it on or tells others has acknowledged it, by that deed."""
    if incident.acknowledged_at is None:
        _acknowledge(incident, by=by)


def _heard_of(incident: Incident, *, by: User) -> None:
    """A further word counts as well, but not from the one who declared it for somebody else: they only report."""
    if by.pk != incident.declared_by_id:
        taken_on(incident, by=by)


def _acknowledge(incident: Incident, *, by: User) -> None:
    incident.acknowledged_at, incident.acknowledged_by = timezone.now(), by
    incident.save(update_fields=["acknowledged_at", "acknowledged_by"])
    note(incident, Kind.NOTE, f"{by} works on it.", by=by, at=incident.acknowledged_at, marker=Marker.ACKNOWLEDGED)
    ledger.append("incident.acknowledged", subject=incident.ref, by=by)


@transaction.atomic
def acknowledge(incident: Incident, *, by: User) -> None:
    """Say that one is working on it, which ends the calling of others."""
    incident = Incident.objects.locked(incident.pk)
    if incident.acknowledged_at:
        raise Refused(f"This was acknowledged at {incident.acknowledged_at:%Y-%m-%d %H:%M} UTC already.")
    _acknowledge(incident, by=by)


def _first_lines(incident: Incident, *, by: User) -> None:
    source = incident.get_detection_source_display()
    note(incident, Kind.DECLARED, "Impact began, as first said.", by=by, at=incident.started_at, marker=Marker.STARTED)
    note(
        incident,
        Kind.DECLARED,
        f"{source}.",
        by=by,
        at=incident.detected_at,
        marker=Marker.DETECTED,
    )
    text = f"{incident.severity_label}; channel {incident.channel_name} named."
    note(incident, Kind.DECLARED, text, by=by, at=incident.declared_at, marker=Marker.DECLARED)


def _fill_roles(incident: Incident, commander: User, *, by: User) -> None:
    """The commander named, and for each other role the policy tells, the person of the contact list."""
    people = {Role.INCIDENT_COMMANDER.value: commander} | {
        contact.role: contact.person for contact in _contacts(incident) if contact.role != Role.INCIDENT_COMMANDER
    }
    RoleAssignment.objects.bulk_create(
        RoleAssignment(incident=incident, role=role, person=person, started_at=incident.declared_at, assigned_by=by)
        for role, person in people.items()
    )


def fill_roles(incident: Incident, *, by: User) -> None:
    """After an upgrade: the roles the policy tells at this severity and nobody holds, to their contacts."""
    held = set(incident.roles.filter(ended_at=None).values_list("role", flat=True))
    for contact in _contacts(incident):
        if contact.person and contact.role not in held:
            reason = f"{incident.severity_label} asks for it"
            assign(incident, role=contact.role, person=contact.person, by=by, reason=reason)


def _contacts(incident: Incident) -> list[RoleContact]:
    """Of the contact list, those the policy tells at the incident's severity; who left is not among them."""
    wanted = queries.wanted_roles(incident)
    return list(RoleContact.objects.filter(role__in=wanted, person__is_active=True).select_related("person"))


def _set_components(incident: Incident, components: list[tuple[Component, str]]) -> None:
    incident.components.all().delete()
    IncidentComponent.objects.bulk_create(
        IncidentComponent(incident=incident, component=component, state=state) for component, state in components
    )


@transaction.atomic
def change_status(
    incident: Incident,
    *,
    to: str,
    at: datetime,
    by: User,
    reason: str = "",
    seen: int | None = None,
    met_by_deed: Collection[str] = (),
) -> Incident:
    """Move along the states as of the said time `at`; a way back, or Resolved before its gate, needs a reason.

    `met_by_deed` are ticks of the gate that the caller gives by what else it does, such as telling customers.
    """
    incident = Incident.objects.locked(incident.pk)
    check_seen(incident, seen)
    was, back = incident.get_status_display(), incident.is_backwards(to)
    missing = queries.gate_lacks(incident, to, met_by_deed=met_by_deed)
    incident.move_to(to, at=not_ahead(at), reason=reason, missing=missing)
    incident.save(update_fields=incident.MOVED)
    taken_on(incident, by=by)
    markers = {"identified": Marker.IDENTIFIED, "monitoring": Marker.RECOVERED, "resolved": Marker.RESOLVED}
    lacked = incident.gate_lacked if to == Incident.Status.RESOLVED else []
    text = f"Status changed from {was} to {incident.get_status_display()}." + (f" Reason: {reason}" if reason else "")
    text += f" Still missing then: {'; '.join(lacked)}." if lacked else ""
    note(incident, Kind.STATUS, text, by=by, at=at, marker=markers.get(to, ""))
    if back:
        _take_back_ticks(incident, f"Back from {was}: {reason}"[:300], by=by)
    said = {"was": was, "now": to, "said_at": at, "reason": reason} | ({"missing": lacked} if lacked else {})
    ledger.append("incident.status_changed", subject=incident.ref, by=by, **said)
    return incident


def _take_back_ticks(incident: Incident, why: str, *, by: User) -> None:
    """What was ticked before the incident went back says nothing about its next end."""
    last = {tick.key: tick.given for tick in incident.gate_ticks.all()}
    GateTick.objects.bulk_create(
        GateTick(incident=incident, key=key, given=False, note=why, at=timezone.now(), by=by)
        for key, given in last.items()
        if given
    )


@transaction.atomic
def change_severity(incident: Incident, *, rank: int, reason: str, by: User, seen: int | None = None) -> Incident:
    """Judge the incident anew. The caller re-derives the duties in the same transaction."""
    incident = Incident.objects.locked(incident.pk)
    check_seen(incident, seen)
    if rank == incident.severity:
        raise Refused(f"It is {incident.severity_label} already.")
    if not incident.policy_version.severities.filter(rank=rank, enabled=True).exists():
        raise Refused("The policy this incident was declared under has no such severity.")
    was, was_label, incident.severity = incident.severity, incident.severity_label, rank
    incident.save(update_fields=["severity"])
    taken_on(incident, by=by)
    SeverityChange.objects.create(incident=incident, was=was, now=rank, by=by, at=timezone.now(), reason=reason)
    note(
        incident,
        Kind.SEVERITY,
        f"Severity changed from {was_label} to {incident.severity_label}. Reason: {reason}",
        by=by,
    )
    ledger.append("incident.severity_changed", subject=incident.ref, by=by, was=was, now=rank, reason=reason)
    return incident


@transaction.atomic
def assign(
    incident: Incident, *, role: str, person: User, by: User, reason: str = "", seen: int | None = None
) -> RoleAssignment:
    """Give a role to a person; whoever held it hands over at this instant."""
    incident = Incident.objects.locked(incident.pk)
    check_seen(incident, seen)
    now, label = timezone.now(), Role(role).label
    held = incident.roles.filter(role=role, ended_at=None).select_related("person").first()
    if held and held.person == person:
        raise Refused(f"{person} is {label.lower()} already.")
    if held:
        held.ended_at = now
        held.save(update_fields=["ended_at"])
    given = incident.roles.create(role=role, person=person, started_at=now, assigned_by=by, reason=reason)
    before = f", taking over from {held.person}" if held else ""
    note(incident, Kind.ROLE, f"{label}: {person}{before}.", by=by)
    ledger.append(
        "incident.role_assigned",
        subject=incident.ref,
        by=by,
        role=role,
        person=f"user:{person.pk}",
        before=f"user:{held.person_id}" if held else None,
        reason=reason,
    )
    return given


@transaction.atomic
def change_impact(
    incident: Incident,
    *,
    components: list[tuple[Component, str]],
    impact: str,
    personal_data: str,
    ai_involved: str,
    estimate: str,
    by: User,
    ai_harm: str = "",
    material: bool | None = None,
    seen: int | None = None,
) -> Incident:
    """Say anew what is affected and how. The caller re-derives the duties in the same transaction.

    Where nothing is said of harm or of being material, both stay as they were.
    """
    incident = Incident.objects.locked(incident.pk)
    check_seen(incident, seen)
    incident.impact_text, incident.personal_data = impact, personal_data
    incident.ai_involved, incident.estimate = ai_involved, estimate
    incident.ai_harm = ai_harm or incident.ai_harm
    was_material, incident.material = incident.material, incident.material if material is None else material
    incident.save(update_fields=["impact_text", "personal_data", "ai_involved", "ai_harm", "material", "estimate"])
    _heard_of(incident, by=by)
    _set_components(incident, components)
    parts = ", ".join(f"{component.name} ({Component.State(state).label.lower()})" for component, state in components)
    note(incident, Kind.IMPACT, f"Impact: {parts or 'no component'}. {impact}", by=by)
    if incident.material != was_material:
        note(incident, Kind.IMPACT, f"Judged {'' if incident.material else 'not '}material for the business.", by=by)
    ledger.append(
        "incident.impact_changed",
        subject=incident.ref,
        by=by,
        components=[f"{component.code}: {state}" for component, state in components],
        impact=impact,
        personal_data=personal_data,
        ai_involved=ai_involved,
        ai_harm=incident.ai_harm,
        material=incident.material,
        estimate=estimate,
    )
    return incident


@transaction.atomic
def add_note(incident: Incident, *, text: str, at: datetime, by: User, marker: str = "") -> TimelineEntry:
    """Write down what happened at the said time `at`."""
    incident = Incident.objects.locked(incident.pk)
    _heard_of(incident, by=by)
    if marker == Marker.CONTAINED:
        incident.contained_at = not_ahead(at)
        incident.check_order()
        incident.save(update_fields=["contained_at"])
    entry = note(incident, Kind.NOTE, text, by=by, at=not_ahead(at), marker=marker)
    ledger.append("timeline.noted", subject=incident.ref, by=by, text=text, said_at=at, marker=marker)
    return entry


@transaction.atomic
def correct(entry: TimelineEntry, *, text: str, at: datetime, by: User) -> TimelineEntry:
    """Correct a line by a new one; the old one stays and is shown as corrected."""
    incident = Incident.objects.locked(entry.incident_id)
    if TimelineEntry.objects.filter(corrects=entry).exists():
        raise Refused("This line was corrected already; correct the newer one.")
    not_ahead(at)
    new = incident.timeline.create(
        kind=Kind.CORRECTION,
        text=text,
        author=by,
        occurred_at=at,
        recorded_at=timezone.now(),
        marker=entry.marker,
        corrects=entry,
    )
    _move_instant(incident, entry, at)
    ledger.append(
        "timeline.corrected",
        subject=incident.ref,
        by=by,
        was=entry.text,
        text=text,
        was_at=entry.occurred_at,
        said_at=at,
    )
    return new


def _move_instant(incident: Incident, entry: TimelineEntry, at: datetime) -> None:
    """A corrected marker line moves the incident's own instant, when that still is the one the line told of."""
    name = f"{entry.marker}_at"
    if entry.marker in ("", Marker.DECLARED) or getattr(incident, name) != entry.occurred_at:
        return
    setattr(incident, name, at)
    incident.check_order()
    incident.save(update_fields=[name])
