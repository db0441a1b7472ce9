"""Write, approve and send messages; tell the people who hold a role.

Lock order: the incident's row, then the ledger, then the rest. Time that counts is the server's own.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from incidents.comms import approvals, calls, duties, letters, wording
from incidents.comms.audiences import PUBLIC_IMPACT, customers_of, inside, readers_of
from incidents.comms.models import Call, Message
from incidents.lifecycle import actions as lifecycle
from incidents.lifecycle import queries as lifecycle_queries
from incidents.lifecycle.models import Handover, Incident, Role, RoleAssignment, ShiftSheet, TimelineEntry
from incidents.policy import matrix
from irportal.accounts.models import User
from irportal.ledger import actions as ledger
from irportal.outbox import actions as outbox
from irportal.outbox import alarms
from irportal.outbox.audiences import reach
from irportal.outbox.models import Words
from irportal.refused import Refused
from statuspage import languages, snapshot
from statuspage import publish as page
from statuspage.models import Notice, Vendor

URGENT, NORMAL = 1, 5
REWRITTEN = [
    "text",
    "titles",
    "bodies",
    "public_status",
    "written_at",
    "next_update_by",
    "asserts",
    "content_hash",
]
NOTICE_LIFE = timedelta(days=5)
OUTSIDE = (Message.Audience.CUSTOMERS, Message.Audience.PAGE, Message.Audience.PRESS)


def tell_roles(incident: Incident) -> None:
    """Call everybody who holds a role with the six fields: at declaration, and when it turns out to be worse."""
    words = calls.Page(
        calls.declared_key(incident, incident.severity_changes.count()),
        "declared",
        letters.declared_letter(incident),
        letters.declared_chat(incident),
    )
    held = set(incident.roles.filter(ended_at=None, person__is_active=True).values_list("role", flat=True))
    gaps = sorted(lifecycle_queries.wanted_roles(incident) - held)
    calls.page(incident, words, cause=Call.Cause.DECLARED, roles=[], gaps=gaps)


def tell_taker(handovers: list[Handover]) -> None:
    """Call who takes roles over, with what is open: one mail and one message to the chat rooms for all of them."""
    first = handovers[0]
    words = calls.Page(
        f"{first.incident.ref}:handover:{first.pk}",
        "handover",
        letters.handover_letter(handovers),
        letters.handover_chat(handovers),
    )
    calls.page_people(first.incident, words, people=[(row.role, row.taker) for row in handovers])


def tell_given(term: RoleAssignment) -> None:
    """Call somebody who was given a role."""
    key = f"{term.incident.ref}:given:{term.pk}"
    words = calls.Page(key, "handover", letters.given_letter(term), letters.given_chat(term))
    calls.page_people(term.incident, words, people=[(term.role, term.person)])


def tell_relief(sheet: ShiftSheet) -> None:
    """Tell who takes over a shift that the sheet waits to be signed; chat rooms hear who is in charge from now."""
    outbox.announce(
        f"shift:{sheet.pk}",
        topic="shift",
        thread=f"shift-{sheet.pk}",
        audience="people",
        facts={"ids": [sheet.taker_id], "why": "You take over the shift."},
        priority=URGENT,
        chat=letters.shift_chat(sheet),
        **letters.shift_letter(sheet)._asdict(),
    )


def tell_of_alarm(key: str, thread: str, sentence: str) -> None:
    """Tell chat rooms, and everybody who may command or publish by mail, that mail itself is in trouble."""
    outbox.announce(
        key,
        topic=alarms.TOPIC,
        thread=thread,
        audience="in-charge",
        facts={},
        priority=URGENT,
        chat=letters.alarm_chat(thread, sentence),
        **letters.alarm_letter(thread, sentence)._asdict(),
    )


def content_hash(
    text: str, *, audience: str, public_status: str, next_update_by: datetime | None, asserts: bool | None = False
) -> str:
    """SHA-256 over everything an approver sees; changing a letter changes it."""
    promised = next_update_by.isoformat() if next_update_by else "-"
    parts = [audience, public_status, promised, str(asserts), text]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@transaction.atomic
def write(
    incident: Incident,
    *,
    audience: str,
    text: str,
    by: User,
    next_update_by: datetime | None = None,
    kind: str = Message.Kind.UPDATE,
    asserts: bool | None = None,
    override_reason: str = "",
    corrects: str = "",
    titles: Mapping[str, str] | None = None,
    bodies: Mapping[str, str] | None = None,
) -> Message:
    """Draft a message to one audience under the incident's status now. Nothing leaves yet.

    An update to customers says whether it `asserts` a cause, exposed data, liability or compensation; None is refused
    where its words may. `override_reason` is why the outside is told at a severity that tells it nothing.
    `titles` and `bodies` are the incident's title and the text in other languages, by language.
    """
    incident = Incident.objects.locked(incident.pk)
    if not text.strip():
        raise Refused("Write what they need to know; the text is empty.")
    now = timezone.now()
    if audience == Message.Audience.CUSTOMERS and kind in Message.WRITTEN:
        next_update_by = _promise(incident, next_update_by, now)
        asserts = _answer(text, asserts)
    override_reason = _check_outside(incident, audience, kind, override_reason)
    message = Message(
        incident=incident,
        audience=audience,
        kind=kind,
        public_status=incident.status,
        text=text,
        titles=dict(titles or {}),
        bodies=dict(bodies or {}),
        next_update_by=next_update_by,
        asserts=bool(asserts),
        override_reason=override_reason,
        corrects=corrects,
        author=by,
        written_at=now,
    )
    message.content_hash = hash_of(message)
    message.save()
    lifecycle.taken_on(incident, by=by)
    _record_draft(message, "message.drafted", by=by)
    return message


def _answer(text: str, asserts: bool | None) -> bool:
    """What the author says of it; refused when they say nothing and the words may assert something."""
    found = wording.assertions(text)
    if asserts is None and found:
        raise Refused(ask_of(found))
    return bool(asserts)


def ask_of(found: list[str]) -> str:
    """The question these words raise."""
    named = ", ".join(f"“{word}”" for word in found[:5])
    return f"{named} may name a cause, exposed data, liability or compensation. Say whether it does."


def _check_outside(incident: Incident, audience: str, kind: str, reason: str) -> str:
    """Refuse to tell the outside what this severity keeps inside. Returns the reason where one overrides that."""
    if audience not in OUTSIDE or kind in Message.NOTICES:
        return ""
    why = why_inside(incident, statement=kind == Message.Kind.STATEMENT)
    if why and not (reason.strip() and outside_rule(incident) == "reason"):
        raise Refused(why)
    return reason.strip() if why else ""


def outside_rule(incident: Incident) -> str:
    """Whether the page may show this incident: `yes`, `reason` where somebody has to say why, or `no`."""
    return matrix.may_tell(incident.policy_version.rules(), incident.severity, "public")


def why_inside(incident: Incident, *, statement: bool = False) -> str:
    """Why the outside is not told just so at this severity, as a sentence; what the page shows may always go on."""
    rule = outside_rule(incident)
    if rule == "yes" or (not statement and Notice.objects.filter(ref=incident.ref).exists()):
        return ""
    label = incident.severity_label
    if rule == "reason":
        return f"{label} stays off the status page; say why it is told all the same."
    return f"{label} is told to nobody outside. If they have to know, raise the severity first."


def _promise(incident: Incident, next_update_by: datetime | None, now: datetime) -> datetime | None:
    """The next update as the author promises it, refused when later than the policy allows or past already."""
    latest = duties.latest_promise(incident, now)
    if next_update_by and latest and next_update_by > latest:
        raise Refused(f"The policy asks for the next update by {latest:%H:%M} UTC; promise that or sooner.")
    if next_update_by and next_update_by <= now:
        raise Refused(f"{next_update_by:%Y-%m-%d %H:%M} UTC has passed; promise a time ahead.")
    return next_update_by if incident.is_open else None


def hash_of(message: Message) -> str:
    """The content hash of a message as it stands."""
    others = {"titles": message.titles, "bodies": message.bodies} if message.in_other_languages else None
    said = [message.text, message.corrects, json.dumps(others, sort_keys=True) if others else ""]
    return content_hash(
        "\0".join(filter(None, said)),
        audience=message.goes_as,
        public_status=message.public_status,
        next_update_by=message.next_update_by,
        asserts=message.asserts,
    )


def _record_draft(message: Message, deed: str, *, by: User) -> None:
    ledger.append(
        deed,
        subject=message.incident.ref,
        by=by,
        audience=message.goes_as,
        status=message.public_status,
        next_update_by=message.next_update_by,
        asserts=message.asserts,
        words=message.found_words,
        sha256=message.content_hash,
    )


def _waiting(message: Message) -> Message:
    """The draft again, its incident locked before it; refused when it has left or was returned."""
    incident = Incident.objects.locked(message.incident_id)
    message = Message.objects.select_for_update(of=("self",)).get(pk=message.pk)
    message.incident = incident
    if message.status != Message.Status.DRAFT:
        raise Refused("This message was sent or returned already; nothing was sent twice.")
    return message


@transaction.atomic
def rewrite(
    message: Message,
    *,
    text: str,
    by: User,
    asserts: bool | None = None,
    titles: Mapping[str, str] | None = None,
    bodies: Mapping[str, str] | None = None,
) -> Message:
    """Change the text of one's own draft. Every approval given to the old text is void: it was for that text.

    What it asserts stays as it was said unless it is said anew. Other languages are those given now: what was
    translated was the old text.
    """
    message = _waiting(message)
    if message.author_id != by.pk:
        raise Refused(f"{message.author} wrote this; send it back and say what should change.")
    if not text.strip():
        raise Refused("Write what they need to know; the text is empty.")
    now = timezone.now()
    message.text, message.public_status, message.written_at = text, message.incident.status, now
    message.titles, message.bodies = dict(titles or {}), dict(bodies or {})
    if not message.is_formal:
        message.next_update_by = duties.latest_promise(message.incident, now)
        message.asserts = _answer(text, True if asserts is None and message.asserts else asserts)
    message.content_hash = hash_of(message)
    message.save(update_fields=REWRITTEN)
    _record_draft(message, "message.rewritten", by=by)
    ask(message)
    return message


@transaction.atomic
def send(message: Message, *, by: User, content_hash: str, unapproved: str = "") -> Message:
    """Approve exactly this text and, when nothing is missing, let it leave; it stays a draft while somebody is.

    With a reason in `unapproved` it leaves all the same, and somebody else owes a review of it.
    """
    message = _waiting(message)
    incident = message.incident
    if message.content_hash != content_hash:
        raise Refused("The text changed after you read it; read it again before it leaves.")
    _check_outside(incident, message.audience, message.kind, message.override_reason)
    if message.kind in Message.WRITTEN and message.audience in OUTSIDE and message.public_status != incident.status:
        raise Refused(
            f"The incident is {incident.get_status_display()} now; this text says "
            f"{Incident.Status(message.public_status).label}. Write it again."
        )
    if unapproved.strip():
        approvals.go_without(message, reason=unapproved, by=by)
    elif waiting := approvals.approve(message, by=by):
        text = f"{message.get_kind_display()} approved; still to approve: {', '.join(seat.who for seat in waiting)}."
        lifecycle.note(incident, TimelineEntry.Kind.MESSAGE, text, by=by)
        return message
    message.status, message.approved_by, message.sent_at = Message.Status.SENT, by, timezone.now()
    message.save(update_fields=["status", "approved_by", "sent_at"])
    leave(message)
    ledger.append("message.sent", subject=incident.ref, by=by, audience=message.audience, sha256=message.content_hash)
    return message


@transaction.atomic
def write_statement(incident: Incident, *, text: str, by: User, override_reason: str = "") -> Message:
    """Draft words for press and social media, and ask whoever has to approve them. People give them out, not we."""
    audience, kind = Message.Audience.PRESS, Message.Kind.STATEMENT
    message = write(incident, audience=audience, kind=kind, text=text, by=by, override_reason=override_reason)
    ask(message)
    return message


@transaction.atomic
def write_notice(incident: Incident, *, kind: str, text: str, by: User) -> Message:
    """Draft a formal notice to the contacts of affected customers, and ask whoever has to approve it."""
    message = write(incident, audience=Message.Audience.CUSTOMERS, kind=kind, text=text, by=by)
    ask(message)
    return message


@transaction.atomic
def write_postmortem(incident: Incident, *, text: str, by: User, corrects: str = "") -> Message:
    """Draft what customers read of what was learned, and ask whoever has to approve it; it leaves to the page.

    `corrects` says what was wrong with the one they have seen.
    """
    page.check_postmortem(incident.ref, corrects)
    audience, kind = Message.Audience.PAGE, Message.Kind.POSTMORTEM
    message = write(incident, audience=audience, kind=kind, text=text, by=by, corrects=corrects)
    ask(message)
    return message


@transaction.atomic
def withdraw_postmortem(incident: Incident, *, reason: str, by: User) -> None:
    """Take the post-mortem off the page, which says so and why."""
    incident = Incident.objects.locked(incident.pk)
    page.withdraw_postmortem(incident.ref, reason=reason, by=by)
    lifecycle.note(incident, TimelineEntry.Kind.MESSAGE, f"Post-mortem withdrawn from the page: {reason}", by=by)


@transaction.atomic
def name_vendor(incident: Incident, *, vendor: Vendor | None, by: User) -> None:
    """Have the page say which vendor caused the incident, or that none did."""
    incident = Incident.objects.locked(incident.pk)
    page.set_vendor(incident.ref, vendor, by=by)
    said = f"caused by a vendor, {vendor}" if vendor else "not caused by a vendor"
    lifecycle.note(incident, TimelineEntry.Kind.MESSAGE, f"The page says it was {said}.", by=by)


def ask(message: Message) -> None:
    """Mail whoever has to approve this draft, once for each text."""
    people = [person.pk for person in approvals.approvers(message)]
    if not people:
        return
    outbox.announce(
        f"{message.incident.ref}:approve:{message.pk}:{message.content_hash[:16]}",
        topic="approval",
        thread=message.incident.ref,
        audience="people",
        facts={"ids": people, "why": "Your approval is asked for."},
        priority=URGENT,
        **letters.approval_letter(message, approvals.missing(message), _recipients(message))._asdict(),
    )


@transaction.atomic
def send_back(message: Message, *, reason: str, by: User) -> None:
    """Return a draft to its author with a reason; it never leaves."""
    message = _waiting(message)
    incident = message.incident
    message.status, message.returned_reason = Message.Status.RETURNED, reason
    message.save(update_fields=["status", "returned_reason"])
    lifecycle.note(incident, TimelineEntry.Kind.MESSAGE, f"Draft sent back: {reason}", by=by)
    ledger.append("message.returned", subject=incident.ref, by=by, sha256=message.content_hash, reason=reason)


def leave(message: Message) -> None:
    """Meet the duties this message meets, then publish and announce it, in the caller's transaction."""
    incident = message.incident
    promised = message.next_update_by
    for duty in incident.duties.open().filter(message_class__in=duties.met_by(message)):
        duties.meet(duty, message, promised=promised if duty.message_class in duties.TOLD_OUTSIDE else None)
    if message.is_notice:
        _give_notice(message)
    elif message.audience == Message.Audience.INTERNAL:
        _announce(message, letters.internal_letter(message), "staff", inside(incident))
    elif message.is_postmortem:
        page.publish_postmortem(incident.ref, message.text, by=message.approved_by, reason=message.corrects)
    elif not message.is_statement:
        message.next_update_by = duties.next_promise(incident)
        message.save(update_fields=["next_update_by"])
        notice = _publish(message)
        if message.audience == Message.Audience.CUSTOMERS:
            _tell_customers(message, readers_of(incident, notice.impact))
    _note_sent(message)


def _give_notice(message: Message) -> None:
    if not _recipients(message):
        raise Refused("No customer is attached to what is affected, so nobody would get it; record how it was given.")
    letter = letters.notice_letter(message, signed_by=_signature(message))
    _announce(message, letter, "contracts", customers_of(message.incident), life=NOTICE_LIFE)


def _signature(message: Message) -> str:
    """The accountable executive, who approved it; whoever answers for sending it without."""
    signed = message.approvals.filter(role=Role.EXECUTIVE_SPONSOR, content_hash=message.content_hash).first()
    return f"{signed.by}, {signed.get_role_display().lower()}" if signed else str(message.approved_by)


def _recipients(message: Message) -> int:
    """How many addresses would get it now."""
    if message.is_statement or message.is_postmortem:
        return 0
    if message.is_notice:
        return reach("contracts", customers_of(message.incident))
    return reach("customers", readers_of(message.incident))


def _note_sent(message: Message) -> None:
    incident, sent = message.incident, message.sent_at or timezone.now()
    if message.is_notice:
        where = f"Mail to {_recipients(message)} customer contacts"
    elif message.audience == Message.Audience.CUSTOMERS:
        where = f"Status page and mail to {_recipients(message)} addresses"
    elif message.is_postmortem:
        where = "Page of the incident"
    elif message.audience == Message.Audience.PAGE:
        where = "Status page"
    elif message.is_statement:
        where = "Agreed for press and social media"
    else:
        where = "Internal update"
    state = Incident.Status(message.public_status).label
    what = state if message.kind == Message.Kind.UPDATE else message.get_kind_display().lower()
    against = f" Told at {incident.severity_label}: {message.override_reason}" if message.override_reason else ""
    names = [name for name, _, _ in message.in_other_languages]
    also = f" Also in {', '.join(names)}." if names and message.kind == Message.Kind.UPDATE else ""
    without = f" Left without approval: {message.unapproved_reason}" if message.unapproved_reason else ""
    lifecycle.note(
        incident,
        TimelineEntry.Kind.MESSAGE,
        f"{where}: {what}. {message.text}{also}{against}{without}",
        by=message.approved_by,
        at=sent,
    )


def _tell_customers(message: Message, facts: dict[str, object]) -> None:
    written = letters.customer_letters(message)
    _announce(message, written[languages.own()], "customers", facts, others=written)


def _announce(
    message: Message,
    letter: letters.Letter,
    audience: str,
    facts: dict[str, object],
    *,
    others: dict[str, letters.Letter] | None = None,
    life: timedelta = outbox.UPDATE_LIFE,
) -> None:
    message.announcement_key = f"{message.incident.ref}:message:{message.pk}"
    message.save(update_fields=["announcement_key"])
    public = Notice.objects.seen_by(None).filter(ref=message.incident.ref)
    notice = public.first() if audience == "customers" else None
    outbox.announce(
        message.announcement_key,
        topic=message.kind,
        thread=message.incident.ref,
        audience=audience,
        facts=facts,
        priority=NORMAL,
        retells=letters.retold(message) if audience == "customers" else (),
        life=life,
        payload=snapshot.newest_json(notice, timezone.now()) if notice else "",
        chat=letters.chat(message),
        letters={language: Words(*other) for language, other in (others or {}).items()},
        public_chat=letters.public_chat(message) if notice else "",
        **letter._asdict(),
    )


def _publish(message: Message) -> Notice:
    """The only way text of an incident reaches the public page."""
    incident = message.incident
    notice = Notice.objects.filter(ref=incident.ref).first()
    closes = message.public_status == Incident.Status.RESOLVED != (notice and notice.status)
    at = incident.resolved_at if closes else message.sent_at
    told = notice if notice and message.kind == Message.Kind.HOLDING else None
    update = page.publish(
        incident.ref,
        title=incident.title,
        status=message.public_status,
        impact=told.impact if told else PUBLIC_IMPACT[incident.severity],
        body=message.text,
        titles=message.titles,
        bodies=message.bodies,
        affected=letters.told_components(message),
        started_at=incident.started_at,
        said_at=at or timezone.now(),
        next_update_by=message.next_update_by,
        by=message.approved_by,
        kind=message.kind,
    )
    return update.notice
