"""What is owed: duties come into being, are met, move when the incident changes, and end. Every deed in the caller's
transaction, under the incident's row lock; time that counts is the server's own.
"""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Max, Q
from django.utils import timezone

from incidents.comms import cadence, laws
from incidents.comms.audiences import facts_of
from incidents.comms.models import CommsDuty, LegalDeadline, Message
from incidents.lifecycle import actions as lifecycle
from incidents.lifecycle.models import Incident, TimelineEntry
from incidents.policy import matrix
from irportal.accounts.models import User
from irportal.ledger import actions as ledger
from irportal.refused import Refused
from statuspage import publish as page
from statuspage.models import Notice

Outcome, Phase = CommsDuty.Outcome, CommsDuty.Phase
MEETS = {
    Message.Audience.CUSTOMERS: ["status_update", "status_page"],
    Message.Audience.PAGE: ["status_page"],
    Message.Audience.INTERNAL: ["internal_update", "internal_summary"],
    Message.Audience.PRESS: ["public_statement"],
}
TOLD_OUTSIDE = ["status_update", "status_page"]
PAGE_CLOSES = matrix.Duty("public", "status_page", close="30m")  # what the page showed, it also ends
ON_TIME = timedelta(minutes=2)  # the engine turns every 2 s; a holding message later than this did not keep the promise
REVIEW_WITHIN = "24h"
FILING = matrix.Duty("regulators", "regulator_filing", or_earlier=True)
OUTSIDE_THE_MATRIX = ["review", "regulator_filing"]


def met_by(message: Message) -> list[str]:
    """The classes of duty a message ends: a formal text its own, an update what its readers were promised."""
    return [message.kind] if message.is_formal else MEETS[Message.Audience(message.audience)]


def owed(incident: Incident) -> list[matrix.Duty]:
    """Everything the pinned matrix asks for at the incident's severity, given what is known of it now."""
    rules, facts = incident.policy_version.rules(), facts_of(incident)
    asked = [
        duty for audience in matrix.AUDIENCES for duty in matrix.duties_for(rules, incident.severity, audience, facts)
    ]
    return asked + laws.owed_beyond(asked, incident)


def start_duties(incident: Incident) -> None:
    """Create every duty of the matrix and tell the people who hold a role, in the caller's transaction."""
    now = timezone.now()
    made = [_create(incident, duty, duty.first, anchor=now) for duty in owed(incident) if duty.first]
    ledger.append(
        "duties.created",
        subject=incident.ref,
        by=None,
        duties=[f"{duty.audience} {duty.message_class} by {duty.due_at:%Y-%m-%dT%H:%MZ}" for duty in made],
    )


def latest_promise(incident: Incident, at: datetime) -> datetime | None:
    """The latest next-update time the policy allows for a message sent to the outside at `at`; None if none is owed."""
    if not incident.is_open:
        return None
    running = incident.duties.open().filter(message_class__in=TOLD_OUTSIDE).exclude(every="")
    return min((cadence.next_due(at, duty.every) for duty in running), default=None)


def next_promise(incident: Incident) -> datetime | None:
    """What the outside may be told: the earliest open due time of customers and page; None once resolved."""
    running = incident.duties.open().filter(message_class__in=TOLD_OUTSIDE).exclude(phase=Phase.CLOSING)
    return running.order_by("due_at").values_list("due_at", flat=True).first() if incident.is_open else None


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
    law: LegalDeadline | None = None,
) -> CommsDuty:
    phase = phase or (Phase.FIRST if duty.every else Phase.ONCE)
    limit = due_at or (cadence.first_due(amount, anchor) if amount else None)
    due_at, law, limit_at = _earlier(limit, law or _law(incident, duty))
    return incident.duties.create(
        audience=duty.audience,
        message_class=duty.message_class,
        seq=_next_seq(incident, duty.audience, duty.message_class),
        phase=phase,
        anchor_at=anchor,
        amount=amount,
        due_at=due_at,
        law=law,
        limit_at=limit_at,
        remind_at=_remind_at(incident, duty, anchor, due_at),
        every=duty.every,
        daily_once_contained=duty.daily_once_contained,
        holding=duty.holding and phase != Phase.CLOSING,
    )


def _law(incident: Incident, asked: matrix.Duty) -> LegalDeadline | None:
    """The law that may ask for it before the policy does."""
    return laws.earliest(incident, asked.audience) if asked.or_earlier and asked != FILING else None


def _earlier(
    limit: datetime | None, law: LegalDeadline | None
) -> tuple[datetime, LegalDeadline | None, datetime | None]:
    """Due time, the law that sets it, and the policy's limit where the law comes before it."""
    if law and (limit is None or law.due_at < limit):
        return law.due_at, law, limit
    if limit is None:
        raise Refused("Neither the policy nor a law says by when.")
    return limit, None, None


def _remind_at(incident: Incident, duty: CommsDuty | matrix.Duty, anchor: datetime, due_at: datetime) -> datetime:
    repeated = bool(duty.every) or duty.message_class in TOLD_OUTSIDE
    return cadence.remind_at(anchor, due_at, at_most=incident.policy_version.reminder(repeated=repeated))


def owe_review(incident: Incident) -> CommsDuty:
    """The open duty to review what left without approval; one for all that leaves until somebody has reviewed it."""
    waiting = incident.duties.open().filter(message_class="review").first()
    if waiting:
        return waiting
    asked = matrix.Duty("internal", "review", first=REVIEW_WITHIN)
    return _create(incident, asked, REVIEW_WITHIN, anchor=timezone.now())


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


def meet(duty: CommsDuty, message: Message, *, promised: datetime | None) -> None:
    """End a duty by a message and set the next one, while the incident is open."""
    incident, at = message.incident, message.sent_at or timezone.now()
    reason = ""
    if message.kind == Message.Kind.HOLDING and at > duty.due_at + ON_TIME:
        outcome: str = Outcome.MISSED
        reason = f"The holding message left at {at:%Y-%m-%d %H:%M} UTC only; the engine had stood still"
    elif message.kind == Message.Kind.HOLDING:
        outcome = Outcome.HOLDING
    else:
        repeated = duty.phase == Phase.UPDATE
        outcome = cadence.outcome(duty.due_at, at, grace=incident.policy_version.grace, repeated=repeated)
    _end(duty, outcome, at=at, message=message, by=message.approved_by, reason=reason)
    if incident.is_open and duty.every:
        _continue(duty, at, promised=promised)


def _continue(duty: CommsDuty, at: datetime, *, promised: datetime | None = None) -> CommsDuty:
    """The next tick after one that ended at `at`."""
    incident = duty.incident
    daily = duty.daily_once_contained if incident.is_contained else ""
    latest = cadence.next_due(at, duty.every, daily_at=daily)
    due_at = cadence.next_due(at, duty.every, daily_at=daily, promised=promised)
    return incident.duties.create(
        audience=duty.audience,
        message_class=duty.message_class,
        seq=duty.seq + 1,
        phase=Phase.UPDATE,
        anchor_at=min(at, due_at),
        amount="promised by the author" if due_at < latest else f"daily {daily}" if daily else duty.every,
        due_at=due_at,
        remind_at=_remind_at(incident, duty, min(at, due_at), due_at),
        every=duty.every,
        daily_once_contained=duty.daily_once_contained,
        holding=duty.holding,
    )


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
        met = next((m for m in told if asked.message_class in met_by(m)), None)
        if met:
            _end(closing, Outcome.KEPT, at=met.sent_at or now, message=met, by=met.approved_by)
    shown = Notice.objects.filter(ref=incident.ref).exclude(status=Incident.Status.RESOLVED).exists()
    if shown and not incident.duties.open().filter(phase=Phase.CLOSING, message_class__in=TOLD_OUTSIDE).exists():
        _close(incident, PAGE_CLOSES, at=now)


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
    law = _law(incident, asked)
    if not asked.first and law is None:
        return
    due_at = cadence.first_due(asked.first, at) if asked.first else None
    if not asked.every:
        before = incident.duties.filter(audience=asked.audience, message_class=asked.message_class)
        dropped = before.filter(by=None, outcome__in=[Outcome.WAIVED, Outcome.MISSED])
        if before.exclude(pk__in=dropped.values("pk")).exists():
            return
        by_policy = dropped.filter(Q(law=None) | Q(limit_at__isnull=False))
        old = [duty.policy_due_at for duty in by_policy if duty.policy_due_at > at]
        due_at = min([due_at, *old]) if due_at else None
    _create(incident, asked, asked.first, anchor=at, due_at=due_at)


def rederive(incident: Incident, *, was_rank: int) -> None:
    """After a change of severity or facts: tighten at once, relax what is not yet due, keep every miss a miss.

    Once resolved, no more updates are owed; notices and decisions are, whenever it becomes known that they must be.
    """
    now = timezone.now()
    asked_now = [duty for duty in owed(incident) if incident.is_open or not duty.every]
    wanted = {(duty.audience, duty.message_class): duty for duty in asked_now}
    running = incident.duties.open().exclude(phase=Phase.CLOSING).exclude(message_class__in=OUTSIDE_THE_MATRIX)
    for duty in running.select_related("law"):
        asked = wanted.pop((duty.audience, duty.message_class), None)
        if asked is None:
            _drop(duty, at=now)
        else:
            _adjust(duty, asked, at=now, upgraded=incident.severity < was_rank)
    for asked in wanted.values():
        _owe(incident, asked, at=now)
    _follow_filings(incident, at=now)
    if incident.is_open:
        _refresh_page(incident)


def _follow_filings(incident: Incident, *, at: datetime) -> None:
    """Each law for a regulator is told of by its own date, whatever the severity, until it is withdrawn."""
    for law in incident.laws.running().filter(audience="regulators", duties=None):
        _create(incident, FILING, "", anchor=at, law=law)
    filings = incident.duties.open().filter(message_class=FILING.message_class, law__withdrawn_at__isnull=False)
    for duty in filings.select_related("law"):
        _drop(duty, at=at)


def _is_broken(duty: CommsDuty, at: datetime) -> bool:
    """Its time passed while it counted. A law that is withdrawn, and was entered after its time, never counted."""
    law = duty.law
    return duty.due_at <= at and (law is None or law.withdrawn_at is None or law.entered_at < duty.due_at)


def _drop(duty: CommsDuty, *, at: datetime) -> None:
    label = duty.incident.severity_label
    told = duty.message_class in TOLD_OUTSIDE and duty.phase == Phase.UPDATE
    if told and duty.due_at > at:  # customers have it in writing: it stands, and nothing follows it
        duty.every = ""
        duty.save(update_fields=["every"])
    elif duty.law and duty.law.withdrawn_at:
        outcome = Outcome.MISSED if _is_broken(duty, at) else Outcome.WAIVED
        _end(duty, outcome, at=at, reason=f"{duty.law.name} withdrawn: {duty.law.withdrawn_reason}"[:300])
    elif duty.due_at <= at:
        _end(duty, Outcome.MISSED, at=at, reason=f"Overdue when {label} stopped asking for it")
    else:
        _end(duty, Outcome.WAIVED, at=at, reason=f"{label} does not ask for it")


ADJUSTED = [
    *("anchor_at", "amount", "due_at", "law", "limit_at", "every", "daily_once_contained"),
    *("remind_at", "reminded_at", "escalated_at"),
]


def _adjust(duty: CommsDuty, asked: matrix.Duty, *, at: datetime, upgraded: bool) -> None:
    if duty.law and _is_broken(duty, at):
        return
    was = duty.due_at
    limit = _policy_limit(duty, asked, at=at, upgraded=upgraded)
    before = duty.law
    duty.due_at, duty.law, duty.limit_at = _earlier(limit, _law(duty.incident, asked))
    duty.every, duty.daily_once_contained = asked.every, asked.daily_once_contained
    if duty.due_at != was:
        counted_from = duty.anchor_at if before == duty.law else min(at, duty.due_at)
        duty.remind_at = _remind_at(duty.incident, asked, counted_from, duty.due_at)
        ledger.append(
            "duty.moved",
            subject=duty.incident.ref,
            by=None,
            duty=f"{duty.audience} {duty.message_class} {duty.seq}",
            was=was,
            now=duty.due_at,
            law=duty.law.name if duty.law else "",
        )
        if before != duty.law:
            _tell_of_move(duty, was)
    duty.save(update_fields=ADJUSTED)


def _tell_of_move(duty: CommsDuty, was: datetime) -> None:
    """A law moved it, there or back: said in the timeline, reminded of anew."""
    duty.reminded_at = duty.escalated_at = None
    text = f"{duty.label}: due {duty.due_at:%Y-%m-%d %H:%M} UTC, no longer {was:%Y-%m-%d %H:%M}. {duty.source}"
    lifecycle.note(duty.incident, TimelineEntry.Kind.MESSAGE, text.strip(), by=None)


def _policy_limit(duty: CommsDuty, asked: matrix.Duty, *, at: datetime, upgraded: bool) -> datetime | None:
    """When the policy alone has it due now; keeps in the duty what that was counted from. None: only a law asks."""
    amount = asked.every if duty.phase == Phase.UPDATE else asked.first
    if not amount:
        duty.amount = ""
        return None
    if duty.law and duty.limit_at is None:  # only a law asked so far
        duty.amount, duty.anchor_at = amount, at
        return cadence.first_due(amount, at)
    was = duty.policy_due_at
    sooner = duty.phase != Phase.UPDATE and cadence.first_due(amount, duty.anchor_at) < was
    if upgraded or sooner:
        limit = cadence.tightened(was, at, amount)
    else:
        told = duty.message_class in TOLD_OUTSIDE and duty.phase == Phase.UPDATE
        limit = cadence.relaxed(duty.anchor_at, amount, current_due=was, promised=told, changed_at=at)
    quietens = bool(asked.daily_once_contained) and duty.phase == Phase.UPDATE and was > at
    if quietens:
        limit, amount = _quiet(limit, asked, at, contained=duty.incident.is_contained)
    if limit != was:
        counted_anew = upgraded or sooner or quietens
        duty.amount = f"{amount} after the change" if counted_anew else amount
        duty.anchor_at = min(at, limit) if counted_anew else duty.anchor_at
    return limit


def _quiet(limit: datetime, asked: matrix.Duty, at: datetime, *, contained: bool) -> tuple[datetime, str]:
    """Once contained the next update is due at the daily hour; when it is not contained after all, soon again."""
    if contained:
        daily = asked.daily_once_contained
        return cadence.next_due(at, asked.every, daily_at=daily), f"daily {daily}"
    return min(limit, cadence.next_due(at, asked.every)), asked.every


@transaction.atomic
def waive(duty: CommsDuty, *, reason: str, by: User) -> None:
    """Let one promise go, with a reason; a repeated one continues from now."""
    incident = Incident.objects.locked(duty.incident_id)
    duty = incident.duties.select_for_update().get(pk=duty.pk)
    if duty.outcome != Outcome.OPEN:
        raise Refused(f"This ended already: {duty.get_outcome_display().lower()}.")
    if duty.is_filing:
        raise Refused("A law is not waived; withdraw it and say why it does not apply.")
    if duty.is_review:
        raise Refused("A review is not waived; somebody else reads what left and writes down what they found.")
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
    """Record that a decision was taken, a notice was given another way, or a review held; it ends kept or late."""
    incident = Incident.objects.locked(duty.incident_id)
    duty = incident.duties.select_for_update().get(pk=duty.pk)
    if duty.outcome != Outcome.OPEN:
        raise Refused(f"This ended already: {duty.get_outcome_display().lower()}.")
    if duty.is_written:
        raise Refused("This is met by writing the message, not by a note.")
    if duty.is_filing:
        laws.check_answers(incident, by)
    if duty.is_review and duty.reviewed.filter(Q(author=by) | Q(approved_by=by)).exists():
        raise Refused("You wrote or sent some of it yourself; somebody else has to review it.")
    now = timezone.now()
    outcome = cadence.outcome(duty.due_at, now, grace=incident.policy_version.grace, repeated=False)
    _end(duty, outcome, at=now, by=by, reason=text)
    lifecycle.note(incident, TimelineEntry.Kind.MESSAGE, f"{duty.label}: {text}", by=by)


def _refresh_page(incident: Incident) -> None:
    """Show the promise as it stands now, when the page knows this incident."""
    if Notice.objects.filter(ref=incident.ref).exclude(status=Incident.Status.RESOLVED).exists():
        page.set_next_update(incident.ref, next_promise(incident), by=None)
