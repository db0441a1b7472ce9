"""The engine's turn: hold or escalate whatever is due and unwritten. Any number of hands may run it at once."""

from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from incidents.comms import actions, calls, duties, letters, queries
from incidents.comms.models import Call, CommsDuty, Message
from incidents.comms.turns import each_incident
from incidents.lifecycle.models import Incident, Role
from irportal.ledger import actions as ledger
from statuspage import languages, rhythm
from statuspage.models import Component, Notice


def run_due(now: datetime) -> None:
    """Hold or escalate whatever is due and unwritten, one transaction per incident. Safe to run anywhere, any time."""
    waiting = CommsDuty.objects.overdue(now).filter(escalated_at=None)
    each_incident(waiting, _keep, now)


@transaction.atomic
def _keep(incident_id: int, now: datetime) -> None:
    incident = Incident.objects.locked(incident_id)
    due = list(incident.duties.overdue(now).filter(escalated_at=None).select_related("law"))
    limit = incident.policy_version.holding_max_consecutive
    hold = [duty for duty in due if duty.holding and incident.is_open and _holdings_before(duty) < limit]
    mails = any(duty.audience == "customers" for duty in hold)
    broken = []
    for duty in due:
        duty.incident = incident
        shown = mails and duty.message_class == "status_page"  # what customers get by mail keeps the page's promise too
        late = now > duty.due_at + duties.ON_TIME
        if late or (duty not in hold and not shown):
            broken.append(duty)
    used = _send_holding(incident, hold, now) if hold else None
    if broken or used:
        _warn(incident, broken, used, now)


def _holdings_before(duty: CommsDuty) -> int:
    """How many holding messages in a row stood in for this duty's predecessors."""
    before = duty.incident.duties.filter(
        audience=duty.audience, message_class=duty.message_class, seq__lt=duty.seq
    ).order_by("-seq")
    count = 0
    for outcome, kind in before.values_list("outcome", "message__kind")[:20]:
        if outcome != CommsDuty.Outcome.HOLDING and kind != Message.Kind.HOLDING:
            break
        count += 1
    return count


def _send_holding(incident: Incident, hold: list[CommsDuty], now: datetime) -> letters.Used | None:
    """The pre-approved text leaves by itself: to customers when their promise is due, else to the page alone.

    Returns the last one's facts when the policy allows no more of them.
    """
    mails = any(duty.audience == "customers" for duty in hold)
    used = max(_holdings_before(duty) for duty in hold) + 1
    texts = languages.in_each(lambda: holding_text(incident))
    own = texts.pop(languages.own())
    message = incident.messages.create(
        audience=Message.Audience.CUSTOMERS if mails else Message.Audience.PAGE,
        kind=Message.Kind.HOLDING,
        status=Message.Status.SENT,
        public_status=_shown_status(incident),
        text=own,
        bodies=texts,
        written_at=now,
        sent_at=now,
        content_hash="",
    )
    message.incident = incident
    message.content_hash = actions.hash_of(message)
    message.save(update_fields=["content_hash"])
    actions.leave(message)
    ledger.append("message.held", subject=incident.ref, by=None, audience=message.audience, sha256=message.content_hash)
    allowed = incident.policy_version.holding_max_consecutive
    return letters.Used(hold[0], used, message.next_update_by) if used >= allowed else None


def _shown_status(incident: Incident) -> str:
    """The state customers were last told; a holding message brings no news, not even of the state."""
    shown = Notice.objects.filter(ref=incident.ref).values_list("status", flat=True).first()
    return shown if shown and shown != Incident.Status.RESOLVED else Incident.Status.INVESTIGATING


def holding_text(incident: Incident) -> str:
    """The policy's pre-approved words, in the active language.

    Before the first update they say only that we are looking at it.
    """
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
        nothing = _("We are still working on it; there is nothing new since %(clock)s UTC.")
        return nothing % {"clock": f"{last.sent_at:%H:%M}"}
    hit = (row for row in letters.nameable(incident) if row.state != Component.State.OPERATIONAL)
    names = rhythm.comma(row.component.name for row in hit)
    looking = _("We are investigating a problem with %(what)s. We will say more as soon as we know it.")
    return looking % {"what": names or settings.ORGANISATION}


def _warn(incident: Incident, broken: list[CommsDuty], used: letters.Used | None, now: datetime) -> None:
    """Mail comms lead and commander, once for each broken promise, all of one turn in one mail."""
    for duty in broken:
        CommsDuty.objects.filter(pk=duty.pk).update(escalated_at=now)
        ledger.append(
            "duty.escalated",
            subject=incident.ref,
            by=None,
            duty=f"{duty.audience} {duty.message_class} {duty.seq}",
            due_at=duty.due_at,
        )
    roles = sorted(
        {Role.COMMS_LEAD, Role.INCIDENT_COMMANDER, *(role for duty in broken for role in queries.warned(duty))}
    )
    key = (
        f"overdue:{broken[0].pk}:{broken[0].due_at:%Y%m%dT%H%M}"
        if broken
        else f"holding-used:{used.duty.pk}"
        if used
        else ""
    )
    letter = letters.escalation_letter(incident, broken, used, holdings=max(map(_holdings_before, broken), default=0))
    words = calls.Page(f"{incident.ref}:{key}", "escalation", letter, letters.escalation_chat(incident, broken, used))
    calls.page(incident, words, cause=Call.Cause.OVERDUE, roles=roles)
