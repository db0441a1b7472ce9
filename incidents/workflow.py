"""The story: what happens, in which order, when an incident is declared, updated, re-graded, resolved."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from incidents.comms import actions as comms
from incidents.comms import calls, duties, escalations, laws, queries
from incidents.comms.models import LegalDeadline, Message
from incidents.lifecycle import actions as lifecycle
from incidents.lifecycle import gate
from incidents.lifecycle.actions import Declaration
from incidents.lifecycle.models import ControlRun, Handover, Incident, Role, RoleAssignment, ShiftSheet, TimelineEntry
from incidents.lifecycle.passing import actions as handovers
from incidents.lifecycle.recovery import actions as recovery
from incidents.postmortems import actions as postmortems
from irportal.accounts.models import User
from irportal.outbox.audiences import reach
from irportal.outbox.models import Announcement
from irportal.refused import Refused
from statuspage.models import Component, NoticeUpdate


@dataclass(frozen=True)
class Update:
    """One update as a person writes it: the state, what customers read, what internal readers read."""

    status: str
    at: datetime
    reason: str = ""
    customer_text: str = ""
    internal_text: str = ""
    next_update_by: datetime | None = None
    unapproved: str = ""  # why the text for customers leaves without the approval it needs
    corrects: bool = False  # what customers were told before
    asserts: bool | None = None  # whether it names a cause, exposed data, liability or compensation; None: not said
    titles: Mapping[str, str] | None = None  # what customers read in other languages, by language
    bodies: Mapping[str, str] | None = None


@transaction.atomic
def declare(facts: Declaration, *, by: User) -> Incident:
    incident = lifecycle.open_incident(facts, by=by)
    duties.start_duties(incident)
    escalations.start(incident)
    comms.tell_roles(incident)
    return incident


@transaction.atomic
def update(incident: Incident, change: Update, *, by: User, send: bool, seen: int | None = None) -> Incident:
    """Move the state and write the messages. The internal one leaves at once, the one to customers with `send`.

    Else it waits for the approval of somebody who did not write it.
    """
    incident = Incident.objects.locked(incident.pk)
    lifecycle.check_seen(incident, seen)
    was, was_contained = incident.status, incident.is_contained
    if change.status != was:
        met = [gate.SENT] if change.customer_text else []  # the text that says so goes out with the move
        incident = lifecycle.change_status(
            incident, to=change.status, at=change.at, reason=change.reason, by=by, met_by_deed=met
        )
    elif not (change.customer_text or change.internal_text):
        raise Refused("Nothing changes: choose another state or write something.")
    if was == Incident.Status.RESOLVED and incident.is_open:
        duties.on_reopened(incident)
        escalations.rederive(incident, reopened=True)
    elif incident.is_open and incident.is_contained != was_contained:
        duties.rederive(incident, was_rank=incident.severity)
    told = _tell(incident, change, by=by, send=send)
    if change.status == Incident.Status.RESOLVED != was:
        duties.on_resolved(incident, told=told)
        postmortems.open_for(incident, by=by)
    return incident


def _tell(incident: Incident, change: Update, *, by: User, send: bool) -> list[Message]:
    """Write what there is to write; return what left."""
    told = []
    texts = {
        Message.Audience.CUSTOMERS: change.customer_text,
        Message.Audience.INTERNAL: change.internal_text,
    }
    for audience, text in texts.items():
        if not text:
            continue
        outside = audience == Message.Audience.CUSTOMERS
        promised = change.next_update_by if outside else None
        message = comms.write(
            incident,
            audience=audience,
            text=text,
            by=by,
            kind=Message.Kind.CORRECTION if outside and change.corrects else Message.Kind.UPDATE,
            next_update_by=promised,
            asserts=change.asserts if outside else False,
            override_reason=change.reason if outside else "",
            titles=change.titles if outside else None,
            bodies=change.bodies if outside else None,
        )
        if send or not outside:
            unapproved = change.unapproved if outside else ""
            told.append(comms.send(message, by=by, content_hash=message.content_hash, unapproved=unapproved))
        else:
            comms.ask(message)
    return told


@transaction.atomic
def send_draft(message: Message, *, by: User, content_hash: str) -> Message:
    """Approve a waiting draft; when it says Resolved it meets the closing duty that waits for it."""
    return comms.send(message, by=by, content_hash=content_hash)


@transaction.atomic
def send_unapproved(message: Message, *, by: User, content_hash: str, reason: str) -> Message:
    """Let a waiting draft leave without what is missing; somebody else owes a review of it."""
    if not reason.strip():
        raise Refused("Say why it cannot wait for approval; the review asks for it.")
    return comms.send(message, by=by, content_hash=content_hash, unapproved=reason)


@transaction.atomic
def add_note(incident: Incident, *, text: str, at: datetime, by: User, marker: str = "") -> TimelineEntry:
    """Write a line of the record; one that says it is contained quietens the internal updates."""
    entry = lifecycle.add_note(incident, text=text, at=at, by=by, marker=marker)
    if marker == TimelineEntry.Marker.CONTAINED:
        contained = Incident.objects.get(pk=incident.pk)
        duties.rederive(contained, was_rank=contained.severity)
    return entry


@transaction.atomic
def enter_law(
    incident: Incident, *, audience: str, name: str, runs_from: datetime, due_at: datetime, reason: str, by: User
) -> LegalDeadline:
    """Record the date a law demands; what it asks for falls due by it where the policy would be later."""
    said = {"audience": audience, "name": name, "reason": reason}
    law = laws.enter(incident, **said, runs_from=runs_from, due_at=due_at, by=by)
    duties.rederive(law.incident, was_rank=law.incident.severity)
    return law


@transaction.atomic
def withdraw_law(law: LegalDeadline, *, reason: str, by: User) -> LegalDeadline:
    """Take back a date that does not apply; the policy's own limits stand again."""
    law = laws.withdraw(law, reason=reason, by=by)
    duties.rederive(law.incident, was_rank=law.incident.severity)
    return law


@transaction.atomic
def assign(
    incident: Incident,
    *,
    role: str,
    person: User,
    by: User,
    reason: str = "",
    still_open: str = "",
    seen: int | None = None,
) -> RoleAssignment:
    """Give a role to a person, who is called unless they took it themselves.

    Where somebody holds it, it is handed over: with what is open, and asking whoever takes it to say that they have it.
    """
    incident = Incident.objects.locked(incident.pk)
    held = incident.roles.filter(role=role, ended_at=None).exclude(person=person).select_related("person").first()
    if held:
        lifecycle.check_seen(incident, seen)
        if not still_open.strip():
            who = f"{held.person} is {Role(role).label.lower()}"
            raise Refused(f"{who}. Say what is open, for whoever takes over, or that nothing is.")
        made = handovers.hand_over(incident, terms=[held.pk], to=person, still_open=still_open, by=by, reason=reason)
        comms.tell_taker(made)
        return made[0].term
    term = lifecycle.assign(incident, role=role, person=person, by=by, reason=reason, seen=seen)
    if person.pk != by.pk:
        comms.tell_given(term)
    return term


@transaction.atomic
def hand_over(incident: Incident, *, terms: Sequence[int], to: User, still_open: str, by: User) -> list[Handover]:
    """Pass roles to one person, who is called and asked to say that they have them."""
    made = handovers.hand_over(incident, terms=terms, to=to, still_open=still_open, by=by)
    comms.tell_taker(made)
    return made


@transaction.atomic
def take(handover: Handover, *, by: User) -> Handover:
    """Have the role and know what is open; that answers the call, too."""
    handover = handovers.take(handover, by=by)
    calls.answer_handover(handover, by=by)
    return handover


@transaction.atomic
def hand_over_shift(*, to: User, questions: str, by: User) -> ShiftSheet:
    """Sign the sheet of all that is open now, and tell who takes over."""
    sheet = handovers.hand_over_shift(to=to, questions=questions, content=queries.open_work(timezone.now()), by=by)
    comms.tell_relief(sheet)
    return sheet


@transaction.atomic
def confirm_control(run: ControlRun, *, at: datetime, proof: str, by: User) -> ControlRun:
    """Record that its effect was seen; a halt that contains the incident quietens the internal updates."""
    incident = Incident.objects.locked(run.incident_id)
    was_contained = incident.is_contained
    run = recovery.confirm_control(run, at=at, proof=proof, by=by)
    if run.incident.is_contained != was_contained:
        duties.rederive(run.incident, was_rank=run.incident.severity)
    return run


@dataclass(frozen=True)
class Preview:
    """Exactly what would leave: made by doing the deed and taking it back."""

    customer: Announcement | None
    customer_reach: int
    internal: Announcement | None
    internal_reach: int
    notice_update: NoticeUpdate | None
    next_update_by: datetime | None
    alone: list[str]  # the customers on whose private page it would stand, where it is not public


def preview(incident: Incident, change: Update, *, by: User, seen: int | None = None) -> Preview:
    """What `update` would send, to the letter, and to how many; nothing stays behind. Raises Refused as it would."""
    with transaction.atomic():
        newest = incident.messages.order_by("pk").values_list("pk", flat=True).last() or 0
        at_once = replace(change, unapproved=change.unapproved or "Preview")
        update(incident, at_once, by=by, send=True, seen=seen)
        written = {message.audience: message for message in incident.messages.filter(pk__gt=newest)}
        found = {
            audience: Announcement.objects.get(dedupe_key=message.announcement_key)
            for audience, message in written.items()
        }
        outside, inside = found.get("customers"), found.get("internal")
        shown = NoticeUpdate.objects.filter(notice__ref=incident.ref).order_by("pk").last() if outside else None
        result = Preview(
            customer=outside,
            customer_reach=reach(outside.audience, outside.facts) if outside else 0,
            internal=inside,
            internal_reach=reach(inside.audience, inside.facts) if inside else 0,
            notice_update=shown,
            next_update_by=shown.notice.next_update_by if shown else None,
            alone=[customer.name for customer in shown.notice.customers.all()] if shown else [],
        )
        transaction.set_rollback(True)
    return result


@transaction.atomic
def change_severity(incident: Incident, *, rank: int, reason: str, by: User, seen: int | None = None) -> Incident:
    was = incident.severity
    incident = lifecycle.change_severity(incident, rank=rank, reason=reason, by=by, seen=seen)
    duties.rederive(incident, was_rank=was)
    escalations.rederive(incident)
    if incident.severity < was:
        lifecycle.fill_roles(incident, by=by)
        comms.tell_roles(incident)
    return incident


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
    incident = lifecycle.change_impact(
        incident,
        components=components,
        impact=impact,
        personal_data=personal_data,
        ai_involved=ai_involved,
        estimate=estimate,
        by=by,
        ai_harm=ai_harm,
        material=material,
        seen=seen,
    )
    duties.rederive(incident, was_rank=incident.severity)
    return incident
