"""Write, approve and send messages; tell the people who hold a role.

Lock order: the incident's row, then the ledger, then the rest. Time that counts is the server's own.
"""

import hashlib
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from incidents.comms import duties, letters
from incidents.comms.audiences import customers_of
from incidents.comms.models import Message
from incidents.lifecycle import actions as lifecycle
from incidents.lifecycle.models import Incident, TimelineEntry
from irportal.accounts.models import User
from irportal.ledger import actions as ledger
from irportal.outbox import actions as outbox
from irportal.outbox import alarms
from irportal.outbox.audiences import reach
from irportal.refused import Refused
from statuspage import publish as page
from statuspage.models import Notice

PUBLIC_IMPACT = {1: "critical", 2: "major", 3: "minor", 4: "none"}
URGENT, NORMAL = 1, 5


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


def tell_of_alarm(key: str, thread: str, sentence: str) -> None:
    """Mail everybody who may command or publish that mail itself is in trouble; the relay permitting."""
    outbox.announce(
        key,
        topic=alarms.TOPIC,
        thread=thread,
        audience="in-charge",
        facts={},
        priority=URGENT,
        **letters.alarm_letter(thread, sentence)._asdict(),
    )


def content_hash(text: str, *, audience: str, public_status: str, next_update_by: datetime | None) -> str:
    """SHA-256 over everything an approver sees; changing a letter changes it."""
    promised = next_update_by.isoformat() if next_update_by else "-"
    return hashlib.sha256("\0".join([audience, public_status, promised, text]).encode()).hexdigest()


@transaction.atomic
def write(incident: Incident, *, audience: str, text: str, by: User, next_update_by: datetime | None = None) -> Message:
    """Draft a message to one audience under the incident's status now. Nothing leaves yet."""
    incident = Incident.objects.locked(incident.pk)
    if not text.strip():
        raise Refused("Write what they need to know; the text is empty.")
    now = timezone.now()
    if audience == Message.Audience.CUSTOMERS:
        latest = duties.latest_promise(incident, now)
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
    leave(message)
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


def leave(message: Message) -> None:
    """Meet the duties this message meets, then publish and announce it, in the caller's transaction."""
    incident = message.incident
    promised = message.next_update_by
    for duty in incident.duties.open().filter(message_class__in=duties.MEETS[Message.Audience(message.audience)]):
        duties.meet(duty, message, promised=promised if duty.message_class in duties.TOLD_OUTSIDE else None)
    if message.audience == Message.Audience.INTERNAL:
        _announce(message, letters.internal_letter(message), "staff", {"incident": incident.pk, "roles": []})
    else:
        message.next_update_by = duties.next_promise(incident)
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
        retells=letters.retold(message) if audience == "customers" else (),
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
