"""Before a promise is due its owner hears of it: once, all of one incident in one mail, and never after the fact."""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F

from incidents.comms import letters, queries
from incidents.comms.models import CommsDuty, DutyQuerySet, Message
from incidents.comms.turns import each_incident
from incidents.lifecycle.models import Incident
from irportal.ledger import actions as ledger
from irportal.outbox import actions as outbox

TOGETHER = timedelta(minutes=5)  # reminders so close to each other go in one mail


def run_due(now: datetime) -> None:
    """Remind of whatever falls due soon and nobody has been reminded of. Safe to run anywhere, any time."""
    waiting = _coming(CommsDuty.objects.open(), now).filter(remind_at__lte=now)
    each_incident(waiting, _remind, now)


def _coming(rows: DutyQuerySet, now: datetime) -> DutyQuerySet:
    """Not yet due, not yet reminded; what is overdue is escalated instead. No promise is reminded of as it is made."""
    return rows.filter(reminded_at=None, due_at__gt=now, remind_at__gt=F("anchor_at"))


@transaction.atomic
def _remind(incident_id: int, now: datetime) -> None:
    incident = Incident.objects.locked(incident_id)
    coming = _coming(incident.duties.open(), now)
    if not coming.filter(remind_at__lte=now).exists():
        return
    due = list(coming.filter(remind_at__lte=now + TOGETHER).select_related("law").order_by("due_at", "pk"))
    coming.filter(pk__in=[duty.pk for duty in due]).update(reminded_at=now)
    held = {row.role: str(row.person) for row in incident.roles.filter(ended_at=None).select_related("person")}
    drafts = list(incident.messages.filter(status=Message.Status.DRAFT))
    for duty in due:
        duty.incident = incident
        duty.owner = queries.owner(duty, held)  # type: ignore[attr-defined]
        duty.has_draft = any(queries.would_meet(draft, duty) for draft in drafts)  # type: ignore[attr-defined]
    outbox.announce(
        f"{incident.ref}:reminder:{due[0].pk}:{due[0].due_at:%Y%m%dT%H%M}",
        topic="reminder",
        thread=incident.ref,
        audience="staff",
        facts={"incident": incident.pk, "roles": sorted({queries.role_of(duty) for duty in due})},
        priority=1,
        **letters.reminder_letter(incident, due)._asdict(),
    )
    ledger.append(
        "duty.reminded",
        subject=incident.ref,
        by=None,
        duties=[f"{duty.audience} {duty.message_class} {duty.seq}" for duty in due],
    )
