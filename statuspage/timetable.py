"""What the clock does with planned maintenance: remind, begin, finish. Safe to run at any time, by many."""

import logging
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from irportal.ledger import actions as ledger
from statuspage import maintenance, rhythm
from statuspage.models import Maintenance, MaintenanceReminder

log = logging.getLogger(__name__)

ON_TIME = timedelta(minutes=2)  # the engine turns every 2 s; later than this, the text says that it is late
REMINDED = "reminded"  # the same readers; programs are not reminded, so this word reaches fewer than the one before
LATE = _("This notice is late, because our system was not running at that time.")


def run_due(now: datetime) -> None:
    """The engine's turn: each maintenance with something due, in a transaction of its own."""
    reminders = MaintenanceReminder.objects.filter(maintenance=OuterRef("pk"), settled_at=None, due_at__lte=now)
    begins = Q(started_at=None, starts_itself=True, starts_at__lte=now)
    ends = Q(started_at__isnull=False, ends_itself=True, ends_at__lte=now)
    due = Maintenance.objects.open().filter(begins | ends | Q(Exists(reminders))).order_by("starts_at", "pk")
    for pk in list(due.values_list("pk", flat=True)):
        try:
            _carry_out(pk, now)
        except Exception:
            log.exception("maintenance %s could not be carried on", pk)


@transaction.atomic
def _carry_out(pk: int, now: datetime) -> None:
    found = Maintenance.objects.select_for_update().get(pk=pk)
    ledger.turn()
    if found.status == Maintenance.Status.SCHEDULED:
        if found.starts_itself and found.starts_at <= now:
            _begin(found, now)
        else:
            _remind(found, now)
    if found.is_active and found.ends_itself and found.ends_at <= now:
        _finish(found, now)


def _begin(found: Maintenance, now: datetime) -> None:
    """It began when it was planned, whenever we notice. One whose end has passed too is told of once, by its end."""
    was = maintenance.Standing.of(found)

    def by_itself() -> str:
        if now - found.starts_at <= ON_TIME:
            return str(maintenance.BEGUN)
        return gettext("It began at %(at)s, as planned.") % {"at": rhythm.moment(found.starts_at)} + f" {LATE}"

    missed = found.ends_itself and found.ends_at <= now
    maintenance.begin(found, at=found.starts_at)
    maintenance.say(found, was, "started", "", by=None, by_itself=by_itself, is_told=not missed)


def _finish(found: Maintenance, now: datetime) -> None:
    was = maintenance.Standing.of(found)

    def by_itself() -> str:
        if now - found.ends_at <= ON_TIME:
            return str(maintenance.DONE)
        known = {"at": rhythm.moment(found.ends_at)}
        return gettext("It was planned until %(at)s and counts as done since.") % known + f" {LATE}"

    maintenance.end(found, at=found.ends_at)
    maintenance.say(found, was, "finished", "", by=None, by_itself=by_itself)


def _remind(found: Maintenance, now: datetime) -> None:
    """One mail, however many reminders are due; none once it was to have begun."""
    due = found.reminders.filter(settled_at=None, due_at__lte=now)
    nearest = due.order_by("lead").first()
    if nearest is None:
        return
    if found.starts_at > now:
        lead = int(nearest.lead.total_seconds())
        maintenance.tell(
            found,
            f"reminder:{found.sequence}:{lead}",
            "reminded",
            found.updates.all()[0],
            life=found.starts_at - now,
            audience=REMINDED,
        )
        ledger.append("maintenance.reminded", subject=found.ref, by=None, lead_seconds=lead, starts_at=found.starts_at)
        found.reminders.filter(pk=nearest.pk).update(sent=True)
    due.update(settled_at=now)
