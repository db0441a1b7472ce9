"""Keep the promises of the matrix: create duties, send messages, meet, hold, escalate, waive.

Lock order: the incident's row, then the ledger, then the rest. Time that counts is the server's own.
"""

import hashlib
import logging
from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from incidents.comms import cadence, letters
from incidents.comms.audiences import customers_of, facts_of, reach
from incidents.comms.models import CommsDuty, Message
from incidents.lifecycle import actions as lifecycle
from incidents.lifecycle.models import Incident, Role, TimelineEntry
from incidents.policy import matrix
from irportal.accounts.models import User
from irportal.ledger import actions as ledger
from irportal.outbox import actions as outbox
from irportal.refused import Refused
from statuspage import publish as page
from statuspage.models import Component, Notice

log = logging.getLogger(__name__)

Outcome, Phase = CommsDuty.Outcome, CommsDuty.Phase
PUBLIC_IMPACT = {1: "critical", 2: "major", 3: "minor", 4: "none"}
MEETS = {
    Message.Audience.CUSTOMERS: ["status_update", "status_page"],
    Message.Audience.PAGE: ["status_page"],
    Message.Audience.INTERNAL: ["internal_update", "internal_summary"],
}
TOLD_OUTSIDE = ["status_update", "status_page"]
URGENT, NORMAL = 1, 5


# Duties come into being


def owed(incident: Incident) -> list[matrix.Duty]:
    """Everything the pinned matrix asks for at the incident's severity, given what is known of it now."""
    rules, facts = incident.policy_version.rules(), facts_of(incident)
    return [
        duty for audience in matrix.AUDIENCES for duty in matrix.duties_for(rules, incident.severity, audience, facts)
    ]


def start_duties(incident: Incident) -> None:
    """Create every duty of the matrix and tell the people who hold a role, in the caller's transaction."""
    now = timezone.now()
    made = [_create(incident, duty, duty.first, anchor=now) for duty in owed(incident) if duty.first]
    tell_roles(incident)
    ledger.append(
        "duties.created",
        subject=incident.ref,
        by=None,
        duties=[f"{duty.audience} {duty.message_class} by {duty.due_at:%Y-%m-%dT%H:%MZ}" for duty in made],
    )


def tell_roles(incident: Incident) -> None:
    """Mail the six fields to everybody who holds a role: at declaration, and when it turns out to be worse."""
    outbox.announce(
        f"{incident.ref}:declared:{incident.severity_changes.count()}",
        topic="declared",
        thread=incident.ref,
        audience="staff",
        facts={"incident": incident.pk, "roles": []},
        priority=URGENT,
        **letters.declared_letter(incident)._asdict(),
    )


def _next_seq(incident: Incident, audience: str, message_class: str) -> int:
    found = incident.duties.filter(audience=audience, message_class=message_class).aggregate(last=Max("seq"))
    return (found["last"] or 0) + 1


def _create(
    incident: Incident,
    duty: matrix.Duty,
    amount: str,
    *,
    anchor: datetime,
    phase: str = "",
    due_at: datetime | None = None,
) -> CommsDuty:
    phase = phase or (Phase.FIRST if duty.every else Phase.ONCE)
    return incident.duties.create(
        audience=duty.audience,
        message_class=duty.message_class,
        seq=_next_seq(incident, duty.audience, duty.message_class),
        phase=phase,
        anchor_at=anchor,
        amount=amount,
        due_at=due_at or cadence.first_due(amount, anchor),
        every=duty.every,
        daily_once_contained=duty.daily_once_contained,
        holding=duty.holding and phase != Phase.CLOSING,
    )


def _end(
    duty: CommsDuty,
    outcome: str,
    *,
    at: datetime,
    message: Message | None = None,
    by: User | None = None,
    reason: str = "",
) -> None:
    duty.outcome, duty.ended_at, duty.message, duty.by, duty.reason = outcome, at, message, by, reason
    duty.save(update_fields=["outcome", "ended_at", "message", "by", "reason"])
    ledger.append(
        f"duty.{outcome}",
        subject=duty.incident.ref,
        by=by,
        duty=f"{duty.audience} {duty.message_class} {duty.seq}",
        due_at=duty.due_at,
        message=message.pk if message else None,
        reason=reason,
    )


# Messages


def content_hash(text: str, *, audience: str, public_status: str, next_update_by: datetime | None) -> str:
    """SHA-256 over everything an approver sees; changing a letter changes it."""
    promised = next_update_by.isoformat() if next_update_by else "-"
    return hashlib.sha256("\0".join([audience, public_status, promised, text]).encode()).hexdigest()


def latest_promise(incident: Incident, at: datetime) -> datetime | None:
    """The latest next-update time the policy allows for a message sent to the outside at `at`; None if none is owed."""
    if not incident.is_open:
        return None
    running = incident.duties.open().filter(message_class__in=TOLD_OUTSIDE).exclude(every="")
    return min((cadence.next_due(at, duty.every) for duty in running), default=None)


@transaction.atomic
def write(incident: Incident, *, audience: str, text: str, by: User, next_update_by: datetime | None = None) -> Message:
    """Draft a message to one audience under the incident's status now. Nothing leaves yet."""
    incident = Incident.objects.locked(incident.pk)
    if not text.strip():
        raise Refused("Write what they need to know; the text is empty.")
    now = timezone.now()
    if audience == Message.Audience.CUSTOMERS:
        latest = latest_promise(incident, now)
        if next_update_by and latest and next_update_by > latest:
            raise Refused(f"The policy asks for the next update by {latest:%H:%M} UTC; promise that or sooner.")
        if next_update_by and next_update_by <= now:
            raise Refused(f"{next_update_by:%Y-%m-%d %H:%M} UTC has passed; promise a time ahead.")
        if next_update_by and not incident.is_open:
            next_update_by = None
    message = incident.messages.create(
        audience=audience,
        public_status=incident.status,
        text=text,
        next_update_by=next_update_by,
        content_hash=content_hash(
            text, audience=audience, public_status=incident.status, next_update_by=next_update_by
        ),
        author=by,
        written_at=now,
    )
    ledger.append(
        "message.drafted",
        subject=incident.ref,
        by=by,
        audience=audience,
        status=message.public_status,
        next_update_by=next_update_by,
        sha256=message.content_hash,
    )
    return message


@transaction.atomic
def send(message: Message, *, by: User, content_hash: str) -> Message:
    """Approve exactly this text and let it leave: page and mails to customers, or mail to internal readers."""
    incident = Incident.objects.locked(message.incident_id)
    message = Message.objects.select_for_update(of=("self",)).select_related("incident").get(pk=message.pk)
    message.incident = incident
    if message.status != Message.Status.DRAFT:
        raise Refused("This message was sent or returned already; nothing was sent twice.")
    if message.content_hash != content_hash:
        raise Refused("The text changed after you read it; read it again before it leaves.")
    if message.audience != Message.Audience.INTERNAL and message.public_status != incident.status:
        raise Refused(
            f"The incident is {incident.get_status_display()} now; this text says "
            f"{Incident.Status(message.public_status).label}. Write it again."
        )
    now = timezone.now()
    message.status, message.approved_by, message.sent_at = Message.Status.SENT, by, now
    message.save(update_fields=["status", "approved_by", "sent_at"])
    _leave(message)
    ledger.append("message.sent", subject=incident.ref, by=by, audience=message.audience, sha256=message.content_hash)
    return message


@transaction.atomic
def send_back(message: Message, *, reason: str, by: User) -> None:
    """Return a draft to its author with a reason; it never leaves."""
    incident = Incident.objects.locked(message.incident_id)
    message = Message.objects.select_for_update().get(pk=message.pk)
    if message.status != Message.Status.DRAFT:
        raise Refused("This message was sent or returned already.")
    message.status, message.returned_reason = Message.Status.RETURNED, reason
    message.save(update_fields=["status", "returned_reason"])
    lifecycle.note(incident, TimelineEntry.Kind.MESSAGE, f"Draft sent back: {reason}", by=by)
    ledger.append("message.returned", subject=incident.ref, by=by, sha256=message.content_hash, reason=reason)


def _leave(message: Message) -> None:
    """Meet the duties this message meets, then publish and announce it, in the caller's transaction."""
    incident = message.incident
    promised = message.next_update_by
    for duty in incident.duties.open().filter(message_class__in=MEETS[Message.Audience(message.audience)]):
        _meet(duty, message, promised=promised if duty.message_class in TOLD_OUTSIDE else None)
    if message.audience == Message.Audience.INTERNAL:
        _announce(message, letters.internal_letter(message), "staff", {"incident": incident.pk, "roles": []})
    else:
        message.next_update_by = next_promise(incident)
        message.save(update_fields=["next_update_by"])
        _publish(message)
        if message.audience == Message.Audience.CUSTOMERS:
            _announce(message, letters.customer_letter(message), "customers", customers_of(incident))
    _note_sent(message)


def _note_sent(message: Message) -> None:
    incident, sent = message.incident, message.sent_at or timezone.now()
    if message.audience == Message.Audience.CUSTOMERS:
        where = f"Status page and mail to {reach('customers', customers_of(incident))} addresses"
    elif message.audience == Message.Audience.PAGE:
        where = "Status page"
    else:
        where = "Internal update"
    what = "holding message" if message.kind == Message.Kind.HOLDING else Incident.Status(message.public_status).label
    lifecycle.note(
        incident,
        TimelineEntry.Kind.MESSAGE,
        f"{where}: {what}. {message.text}",
        by=message.approved_by,
        at=sent,
    )


def _announce(message: Message, letter: letters.Letter, audience: str, facts: dict[str, object]) -> None:
    message.announcement_key = f"{message.incident.ref}:message:{message.pk}"
    message.save(update_fields=["announcement_key"])
    outbox.announce(
        message.announcement_key,
        topic=message.kind,
        thread=message.incident.ref,
        audience=audience,
        facts=facts,
        priority=NORMAL,
        **letter._asdict(),
    )


def _publish(message: Message) -> None:
    """The only way text of an incident reaches the public page."""
    incident = message.incident
    notice = Notice.objects.filter(ref=incident.ref).first()
    closes = message.public_status == Incident.Status.RESOLVED != (notice and notice.status)
    at = incident.resolved_at if closes else message.sent_at
    told = notice if notice and message.kind == Message.Kind.HOLDING else None
    page.publish(
        incident.ref,
        title=incident.title,
        status=message.public_status,
        impact=told.impact if told else PUBLIC_IMPACT[incident.severity],
        body=message.text,
        affected=letters.told_components(message),
        started_at=incident.started_at,
        said_at=at or timezone.now(),
        next_update_by=message.next_update_by,
        by=message.approved_by,
        kind=message.kind,
    )


def _meet(duty: CommsDuty, message: Message, *, promised: datetime | None) -> None:
    """End a duty by a message and set the next one, while the incident is open."""
    incident, at = message.incident, message.sent_at or timezone.now()
    if message.kind == Message.Kind.HOLDING:
        outcome: str = Outcome.HOLDING
    else:
        repeated = duty.phase == Phase.UPDATE
        outcome = cadence.outcome(duty.due_at, at, grace=incident.policy_version.grace, repeated=repeated)
    _end(duty, outcome, at=at, message=message, by=message.approved_by)
    if incident.is_open and duty.every:
        _continue(duty, at, promised=promised)


def _continue(duty: CommsDuty, at: datetime, *, promised: datetime | None = None) -> CommsDuty:
    """The next tick after one that ended at `at`."""
    incident = duty.incident
    daily = duty.daily_once_contained if incident.contained_at else ""
    latest = cadence.next_due(at, duty.every, daily_at=daily)
    due_at = cadence.next_due(at, duty.every, daily_at=daily, promised=promised)
    return incident.duties.create(
        audience=duty.audience,
        message_class=duty.message_class,
        seq=duty.seq + 1,
        phase=Phase.UPDATE,
        anchor_at=min(at, due_at),
        amount="promised by the author" if due_at < latest else duty.every,
        due_at=due_at,
        every=duty.every,
        daily_once_contained=duty.daily_once_contained,
        holding=duty.holding,
    )


def next_promise(incident: Incident) -> datetime | None:
    """What the outside may be told: the earliest open due time of customers and page; None once resolved."""
    running = incident.duties.open().filter(message_class__in=TOLD_OUTSIDE).exclude(phase=Phase.CLOSING)
    return running.order_by("due_at").values_list("due_at", flat=True).first() if incident.is_open else None


def _refresh_page(incident: Incident) -> None:
    """Show the promise as it stands now, when the page knows this incident."""
    if Notice.objects.filter(ref=incident.ref).exclude(status=Incident.Status.RESOLVED).exists():
        page.set_next_update(incident.ref, next_promise(incident), by=None)


# The incident changes


def on_resolved(incident: Incident, *, told: list[Message]) -> None:
    """End the running updates and create the closing duties; what was sent on resolving meets them."""
    now = timezone.now()
    for duty in incident.duties.open().filter(phase__in=[Phase.FIRST, Phase.UPDATE]):
        if duty.due_at <= now:
            _end(duty, Outcome.MISSED, at=now, reason="Resolved without a message")
        else:
            _end(duty, Outcome.WAIVED, at=now, reason="Resolved before it was due")
    for asked in owed(incident):
        if not asked.close:
            continue
        closing = _close(incident, asked, at=now)
        met = next((m for m in told if asked.message_class in MEETS[Message.Audience(m.audience)]), None)
        if met:
            _end(closing, Outcome.KEPT, at=met.sent_at or now, message=met, by=met.approved_by)
    shown = Notice.objects.filter(ref=incident.ref).exclude(status=Incident.Status.RESOLVED).exists()
    if shown and not incident.duties.open().filter(phase=Phase.CLOSING, message_class__in=TOLD_OUTSIDE).exists():
        last = matrix.Duty("public", "status_page", "", "", "30m", "", False)
        _close(incident, last, at=now)


def _close(incident: Incident, asked: matrix.Duty, *, at: datetime) -> CommsDuty:
    """The closing duty; while the page still promises an update, it falls due by that time at the latest."""
    due_at = cadence.first_due(asked.close, at)
    if asked.message_class in TOLD_OUTSIDE:
        notice = Notice.objects.open().filter(ref=incident.ref, next_update_by__gt=at).first()
        due_at = min(due_at, notice.next_update_by) if notice and notice.next_update_by else due_at
    return _create(incident, asked, asked.close, anchor=at, phase=Phase.CLOSING, due_at=due_at)


def on_reopened(incident: Incident) -> None:
    """Closing duties fall away and every duty of the matrix starts again from now."""
    now = timezone.now()
    for duty in incident.duties.open().filter(phase=Phase.CLOSING):
        late = duty.due_at <= now
        _end(duty, Outcome.MISSED if late else Outcome.WAIVED, at=now, reason="Opened again")
    for asked in owed(incident):
        _owe(incident, asked, at=now)


def _owe(incident: Incident, asked: matrix.Duty, *, at: datetime) -> None:
    """Owe it from now on. A one-off that somebody met or let go is not owed twice.

    One the engine dropped is owed again, by its old time where that still lies ahead.
    """
    if not asked.first:
        return
    due_at = cadence.first_due(asked.first, at)
    if not asked.every:
        before = incident.duties.filter(audience=asked.audience, message_class=asked.message_class)
        dropped = before.filter(by=None, outcome__in=[Outcome.WAIVED, Outcome.MISSED])
        if before.exclude(pk__in=dropped.values("pk")).exists():
            return
        due_at = min([due_at, *dropped.filter(due_at__gt=at).values_list("due_at", flat=True)])
    _create(incident, asked, asked.first, anchor=at, due_at=due_at)


def rederive(incident: Incident, *, was_rank: int) -> None:
    """After a change of severity or facts: tighten at once, relax what is not yet due, keep every miss a miss.

    Once resolved, no more updates are owed; notices and decisions are, whenever it becomes known that they must be.
    """
    now = timezone.now()
    asked_now = [duty for duty in owed(incident) if incident.is_open or not duty.every]
    wanted = {(duty.audience, duty.message_class): duty for duty in asked_now}
    for duty in incident.duties.open().exclude(phase=Phase.CLOSING):
        asked = wanted.pop((duty.audience, duty.message_class), None)
        if asked is None:
            _drop(duty, at=now)
        else:
            _adjust(duty, asked, at=now, upgraded=incident.severity < was_rank)
    for asked in wanted.values():
        _owe(incident, asked, at=now)
    if incident.is_open:
        _refresh_page(incident)


def _drop(duty: CommsDuty, *, at: datetime) -> None:
    label = duty.incident.severity_label
    told = duty.message_class in TOLD_OUTSIDE and duty.phase == Phase.UPDATE
    if told and duty.due_at > at:  # customers have it in writing: it stands, and nothing follows it
        duty.every = ""
        duty.save(update_fields=["every"])
    elif duty.due_at <= at:
        _end(duty, Outcome.MISSED, at=at, reason=f"Overdue when {label} stopped asking for it")
    else:
        _end(duty, Outcome.WAIVED, at=at, reason=f"{label} does not ask for it")


def _adjust(duty: CommsDuty, asked: matrix.Duty, *, at: datetime, upgraded: bool) -> None:
    amount = asked.every if duty.phase == Phase.UPDATE else asked.first
    was = duty.due_at
    sooner = duty.phase != Phase.UPDATE and cadence.first_due(amount, duty.anchor_at) < was
    if upgraded or sooner:
        duty.due_at = cadence.tightened(was, at, amount)
    else:
        told = duty.message_class in TOLD_OUTSIDE and duty.phase == Phase.UPDATE
        duty.due_at = cadence.relaxed(duty.anchor_at, amount, current_due=was, promised=told, changed_at=at)
    duty.every, duty.daily_once_contained = asked.every, asked.daily_once_contained
    if duty.due_at != was:
        duty.amount = f"{amount} after the change" if upgraded or sooner else amount
        duty.anchor_at = min(at, duty.due_at) if upgraded or sooner else duty.anchor_at
        ledger.append(
            "duty.moved",
            subject=duty.incident.ref,
            by=None,
            duty=f"{duty.audience} {duty.message_class} {duty.seq}",
            was=was,
            now=duty.due_at,
        )
    duty.save(update_fields=["due_at", "every", "daily_once_contained", "amount", "anchor_at"])


@transaction.atomic
def waive(duty: CommsDuty, *, reason: str, by: User) -> None:
    """Let one promise go, with a reason; a repeated one continues from now."""
    incident = Incident.objects.locked(duty.incident_id)
    duty = incident.duties.select_for_update().get(pk=duty.pk)
    if duty.outcome != Outcome.OPEN:
        raise Refused(f"This ended already: {duty.get_outcome_display().lower()}.")
    now = timezone.now()
    _end(duty, Outcome.WAIVED, at=now, by=by, reason=reason)
    lifecycle.note(
        incident,
        TimelineEntry.Kind.MESSAGE,
        f"{duty.label} of {duty.due_at:%H:%M} UTC waived: {reason}",
        by=by,
    )
    if incident.is_open and duty.every and duty.phase != Phase.CLOSING:
        _continue(duty, max(now, duty.due_at))
    _refresh_page(incident)


@transaction.atomic
def settle(duty: CommsDuty, *, text: str, by: User) -> None:
    """Record that a decision was taken or a formal notice was given, and how; it ends kept or late."""
    incident = Incident.objects.locked(duty.incident_id)
    duty = incident.duties.select_for_update().get(pk=duty.pk)
    if duty.outcome != Outcome.OPEN:
        raise Refused(f"This ended already: {duty.get_outcome_display().lower()}.")
    if duty.is_written:
        raise Refused("This is met by writing the message, not by a note.")
    now = timezone.now()
    outcome = cadence.outcome(duty.due_at, now, grace=incident.policy_version.grace, repeated=False)
    _end(duty, outcome, at=now, by=by, reason=text)
    lifecycle.note(incident, TimelineEntry.Kind.MESSAGE, f"{duty.label}: {text}", by=by)


# The engine's turn


def run_due(now: datetime) -> None:
    """Hold or escalate whatever is due and unwritten, one transaction per incident. Safe to run anywhere, any time."""
    waiting = CommsDuty.objects.overdue(now).filter(escalated_at=None)
    for pk in waiting.values_list("incident_id", flat=True).distinct().order_by("incident_id"):
        try:
            _keep(pk, now)
        except Exception:
            log.exception("the due promises of incident %s could not be kept", pk)


@transaction.atomic
def _keep(incident_id: int, now: datetime) -> None:
    incident = Incident.objects.locked(incident_id)
    due = list(incident.duties.overdue(now).filter(escalated_at=None))
    limit = incident.policy_version.holding_max_consecutive
    hold = [duty for duty in due if duty.holding and incident.is_open and _holdings_before(duty) < limit]
    mails = any(duty.audience == "customers" for duty in hold)
    for duty in due:
        duty.incident = incident
        shown = mails and duty.message_class == "status_page"  # what customers get by mail keeps the page's promise too
        if duty not in hold and not shown:
            _escalate(duty, now)
    if hold:
        _send_holding(incident, hold, now)


def _holdings_before(duty: CommsDuty) -> int:
    """How many holding messages in a row stood in for this duty's predecessors."""
    before = duty.incident.duties.filter(
        audience=duty.audience, message_class=duty.message_class, seq__lt=duty.seq
    ).order_by("-seq")
    count = 0
    for outcome in before.values_list("outcome", flat=True)[:20]:
        if outcome != Outcome.HOLDING:
            break
        count += 1
    return count


def _send_holding(incident: Incident, hold: list[CommsDuty], now: datetime) -> None:
    """The pre-approved text leaves by itself: to customers when their promise is due, else to the page alone."""
    mails = any(duty.audience == "customers" for duty in hold)
    used = max(_holdings_before(duty) for duty in hold) + 1
    message = incident.messages.create(
        audience=Message.Audience.CUSTOMERS if mails else Message.Audience.PAGE,
        kind=Message.Kind.HOLDING,
        status=Message.Status.SENT,
        public_status=_shown_status(incident),
        text=holding_text(incident),
        written_at=now,
        sent_at=now,
        content_hash="",
    )
    message.incident = incident
    message.content_hash = content_hash(
        message.text, audience=message.audience, public_status=message.public_status, next_update_by=None
    )
    message.save(update_fields=["content_hash"])
    _leave(message)
    ledger.append("message.held", subject=incident.ref, by=None, audience=message.audience, sha256=message.content_hash)
    if used >= incident.policy_version.holding_max_consecutive:
        _warn(hold[0], holdings=used, next_due=message.next_update_by, key="holding-used")


def _shown_status(incident: Incident) -> str:
    """The state customers were last told; a holding message brings no news, not even of the state."""
    shown = Notice.objects.filter(ref=incident.ref).values_list("status", flat=True).first()
    return shown if shown and shown != Incident.Status.RESOLVED else Incident.Status.INVESTIGATING


def holding_text(incident: Incident) -> str:
    """The policy's pre-approved words. Before the first update they say only that we are looking at it."""
    last = (
        incident.messages.filter(
            audience__in=[Message.Audience.CUSTOMERS, Message.Audience.PAGE],
            status=Message.Status.SENT,
            kind=Message.Kind.UPDATE,
        )
        .order_by("-sent_at")
        .first()
    )
    if last and last.sent_at and last.public_status != Incident.Status.RESOLVED:
        return f"We are still working on it; there is nothing new since {last.sent_at:%H:%M} UTC."
    names = ", ".join(
        incident.components.exclude(state=Component.State.OPERATIONAL).values_list("component__name", flat=True)
    )
    return (
        f"We are investigating a problem with {names or settings.ORGANISATION}. We will say more as soon as we know it."
    )


def _escalate(duty: CommsDuty, now: datetime) -> None:
    """A promise is broken: mail comms lead and commander, once."""
    duty.escalated_at = now
    duty.save(update_fields=["escalated_at"])
    _warn(duty, holdings=_holdings_before(duty), next_due=None, key="overdue")
    ledger.append(
        "duty.escalated",
        subject=duty.incident.ref,
        by=None,
        duty=f"{duty.audience} {duty.message_class} {duty.seq}",
        due_at=duty.due_at,
    )


def _warn(duty: CommsDuty, *, holdings: int, next_due: datetime | None, key: str) -> None:
    letter = letters.escalation_letter(duty, holdings=holdings, next_due=next_due)
    outbox.announce(
        f"{duty.incident.ref}:{key}:{duty.pk}",
        topic="escalation",
        thread=duty.incident.ref,
        audience="staff",
        facts={"incident": duty.incident_id, "roles": [Role.COMMS_LEAD, Role.INCIDENT_COMMANDER]},
        priority=URGENT,
        **letter._asdict(),
    )
