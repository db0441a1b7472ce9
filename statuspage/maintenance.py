"""Planned maintenance: announced, changed, begun, extended, finished, called off. The only writer of its public text.

Lock order: the maintenance's row, then the ledger, then the rest. Whoever was told of a plan is told what becomes of
it. `silent` is why nobody is told of one deed; it stands in the ledger. What the clock does is in `timetable.py`.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import Max
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from irportal.accounts.models import User
from irportal.ledger import actions as ledger
from irportal.outbox import actions as outbox
from irportal.outbox.audiences import reach
from irportal.outbox.models import Announcement
from irportal.refused import Refused
from statuspage import editions, languages, letters, publish, rhythm, snapshot
from statuspage.models import Component, Maintenance, MaintenanceComponent, MaintenanceUpdate, Notice
from statuspage.plans import JUST_NOW, Plan, check_far, check_text, checked, in_order

Status = Maintenance.Status

TOPIC, AUDIENCE = "maintenance", "customers"
ANY = Notice.Impact.CRITICAL.value  # from which impact on somebody wants to hear of incidents is no matter here
# What is said where nobody wrote anything
CHANGED = _("The plan was changed.")
BEGUN = _("The maintenance has begun.")
DONE = _("The maintenance is done.")
CALLED_OFF = _("This maintenance will not take place.")
type Sentence = Callable[[], str]  # what the portal says, in the active language
Kind = MaintenanceUpdate.Kind


class Standing(NamedTuple):
    """How it was before a deed: the state of every component by id, and what calendars know."""

    states: dict[int, str]
    times: tuple[datetime, datetime, bool] | None

    @classmethod
    def of(cls, maintenance: Maintenance, more: Iterable[int] = ()) -> "Standing":
        ids = {*maintenance.hits.values_list("component", flat=True), *more}
        return cls(publish.states(ids), _times(maintenance))


def _times(maintenance: Maintenance) -> tuple[datetime, datetime, bool]:
    return maintenance.begins_at, maintenance.over_at, maintenance.status == Status.CANCELLED


# Deeds. Each returns the update it published and raises Refused with a sentence when it cannot be done.


@transaction.atomic
def announce(plan: Plan, *, text: str, by: User | None, silent: str = "") -> MaintenanceUpdate:
    """Put a plan on the public page. `text` says what is done, why, and what readers will notice."""
    ledger.turn()
    now = timezone.now()
    plan = checked(plan, now)
    check_text(text, needed=True)
    number = (Maintenance.objects.aggregate(last=Max("number"))["last"] or 0) + 1
    maintenance = Maintenance(number=number, created_at=now)
    _set(maintenance, plan)
    was = Standing(publish.states({component.pk for component in plan.components}), None)
    _set_rows(maintenance, plan, now)
    return say(maintenance, was, "announced", text, by=by, silent=silent)


@transaction.atomic
def change(
    maintenance: Maintenance, plan: Plan, *, text: str = "", by: User, silent: str = "", seen: int | None = None
) -> MaintenanceUpdate:
    """Plan it otherwise while it has not begun. Another time is said in the text, old and new."""
    maintenance = locked(maintenance, seen, Status.SCHEDULED)
    now, old = timezone.now(), plan_of(maintenance)
    plan = checked(plan, now, was=maintenance)
    check_text(text)
    if not text.strip() and replace(plan, components=sorted(plan.components, key=lambda one: one.pk)) == old:
        raise Refused("Nothing was changed.")
    was = Standing.of(maintenance, {component.pk for component in plan.components})
    moved = (plan.starts_at, plan.ends_at) != (old.starts_at, old.ends_at)
    by_itself = (lambda: _moved_from(old, plan)) if moved else _unless(text, CHANGED)
    _set(maintenance, plan)
    _set_rows(maintenance, plan, now)
    deed, kind = ("moved", Kind.MOVED) if moved else ("changed", Kind.UPDATE)
    return say(maintenance, was, deed, text, by=by, silent=silent, kind=kind, by_itself=by_itself)


@transaction.atomic
def start(
    maintenance: Maintenance, *, text: str = "", by: User, silent: str = "", seen: int | None = None
) -> MaintenanceUpdate:
    """It begins now, earlier or later than planned."""
    maintenance = locked(maintenance, seen, Status.SCHEDULED)
    check_text(text)
    now = timezone.now()
    if now >= maintenance.ends_at:
        raise Refused(f"It was to be over by {rhythm.moment(maintenance.ends_at, now)}. Change its time first.")
    was = Standing.of(maintenance)
    early = maintenance.starts_at - now
    begun, planned_for = _unless(text, BEGUN), maintenance.starts_at

    def by_itself() -> str:
        known = {"at": rhythm.moment(planned_for)}
        return _both(begun(), gettext("It was planned for %(at)s.") % known if early > JUST_NOW else "")

    maintenance.starts_at = min(planned_for, now)
    begin(maintenance, at=now)
    return say(maintenance, was, "started", text, by=by, silent=silent, by_itself=by_itself)


@transaction.atomic
def tell_more(
    maintenance: Maintenance, *, status: str, text: str, by: User, silent: str = "", seen: int | None = None
) -> MaintenanceUpdate:
    """Say how it goes; `status` is in progress or verifying once it has begun."""
    maintenance = locked(maintenance, seen)
    check_text(text, needed=True)
    possible = [Status.IN_PROGRESS, Status.VERIFYING] if maintenance.is_active else [maintenance.status]
    if not maintenance.is_open or status not in possible:
        raise Refused(f"{maintenance.ref} is {maintenance.get_status_display().lower()}; it cannot be {status!r} now.")
    was = Standing.of(maintenance)
    maintenance.status = status
    return say(maintenance, was, "told", text, by=by, silent=silent)


@transaction.atomic
def correct(
    maintenance: Maintenance, *, text: str, by: User, silent: str = "", seen: int | None = None
) -> MaintenanceUpdate:
    """Say what was wrong in what was told before, whatever became of it since. What was told stays to be read."""
    maintenance = locked(maintenance, seen)
    check_text(text, needed=True)
    return say(maintenance, Standing.of(maintenance), "corrected", text, by=by, silent=silent, kind=Kind.CORRECTION)


@transaction.atomic
def extend(
    maintenance: Maintenance, ends_at: datetime, *, text: str = "", by: User, silent: str = "", seen: int | None = None
) -> MaintenanceUpdate:
    """Expect its end at another time than before, once it has begun."""
    maintenance = locked(maintenance, seen, Status.IN_PROGRESS, Status.VERIFYING)
    check_text(text)
    now = timezone.now()
    if ends_at <= now:
        raise Refused(f"{rhythm.moment(ends_at, now)} has passed; finish it, or name a time ahead.")
    if ends_at == maintenance.ends_at:
        raise Refused(f"Its end is {rhythm.moment(ends_at, now)} already.")
    check_far(ends_at, now)
    was = Standing.of(maintenance)
    before = maintenance.ends_at

    def by_itself() -> str:
        known = {"at": rhythm.moment(ends_at), "before": rhythm.moment(before)}
        return gettext("It is expected to end at %(at)s instead of %(before)s.") % known

    maintenance.ends_at = ends_at
    return say(maintenance, was, "extended", text, by=by, silent=silent, kind=Kind.MOVED, by_itself=by_itself)


@transaction.atomic
def finish(
    maintenance: Maintenance, *, text: str = "", by: User, silent: str = "", seen: int | None = None
) -> MaintenanceUpdate:
    """It is done now, early or late."""
    maintenance = locked(maintenance, seen, Status.IN_PROGRESS, Status.VERIFYING)
    check_text(text)
    was = Standing.of(maintenance)
    end(maintenance, at=timezone.now())
    return say(maintenance, was, "finished", text, by=by, silent=silent, by_itself=_unless(text, DONE))


@transaction.atomic
def cancel(
    maintenance: Maintenance, *, text: str = "", by: User, silent: str = "", seen: int | None = None
) -> MaintenanceUpdate:
    """Call it off before it has begun."""
    maintenance = locked(maintenance, seen, Status.SCHEDULED)
    check_text(text)
    now = timezone.now()
    was = Standing.of(maintenance)
    maintenance.status, maintenance.ended_at = Status.CANCELLED, now
    maintenance.reminders.filter(settled_at=None).update(settled_at=now)
    return say(maintenance, was, "cancelled", text, by=by, silent=silent, by_itself=lambda: str(CALLED_OFF))


class Preview(NamedTuple):
    """What a deed would publish, mail (None when silent) and to how many addresses."""

    update: MaintenanceUpdate
    mail: Announcement | None
    reach: int


def preview(deed: Callable[[], MaintenanceUpdate]) -> Preview:
    """What `deed` would do, to the letter; nothing stays behind. Raises Refused as it would."""
    with transaction.atomic():
        update = deed()
        mail = Announcement.objects.filter(dedupe_key=_key(update.maintenance, update.code)).first()
        found = Preview(update, mail, reach(mail.audience, mail.facts) if mail else 0)
        transaction.set_rollback(True)
    return found


# What deeds and the clock have in common; the caller holds the row and the ledger.


def locked(maintenance: Maintenance, seen: int | None, *possible: str) -> Maintenance:
    """The row as it is now, and the ledger's turn. Refused when its status is another, or somebody was faster.

    `seen` is the newest update the person had before them.
    """
    found = Maintenance.objects.select_for_update().get(pk=maintenance.pk)
    ledger.turn()
    newest = found.updates.all()[0]
    if seen is not None and newest.pk != seen:
        label = newest.get_status_display().lower()
        raise Refused(f"It was changed meanwhile: {label} since {rhythm.moment(newest.created_at, timezone.now())}.")
    if possible and found.status not in possible:
        raise Refused(f"{found.ref} is {found.get_status_display().lower()} already; this cannot be done any more.")
    return found


def begin(maintenance: Maintenance, *, at: datetime) -> None:
    """Change its status in memory; reminders that were not due come to nothing."""
    maintenance.started_at, maintenance.status = at, Status.IN_PROGRESS
    maintenance.reminders.filter(settled_at=None).update(settled_at=timezone.now())


def end(maintenance: Maintenance, *, at: datetime) -> None:
    """Change its status in memory."""
    started_at = maintenance.started_at or at
    maintenance.ended_at, maintenance.status = max(at, started_at), Status.COMPLETED


def say(
    maintenance: Maintenance,
    was: Standing,
    deed: str,
    text: str,
    *,
    by: User | None,
    silent: str = "",
    kind: str = Kind.UPDATE,
    by_itself: Sentence | None = None,
    is_told: bool = True,
) -> MaintenanceUpdate:
    """Save it, publish the text, write the deed down and tell those concerned, unless `silent` says why not.

    `by_itself` is what the portal says before the text, in every language of the page. `is_told` is false where a
    later message of the same turn tells the same.
    """
    now = timezone.now()
    sentences = languages.in_each(by_itself) if by_itself else {}
    if was.times and was.times != _times(maintenance):
        maintenance.sequence += 1
    maintenance.save()
    update = maintenance.updates.create(
        kind=kind,
        status=maintenance.status,
        body=_both(sentences.get(languages.own(), ""), text),
        sentences={language: said for language, said in sentences.items() if said},
        affected=publish.record_changes(set(was.states), was.states, now),
        starts_at=maintenance.starts_at,
        ends_at=maintenance.ends_at,
        notified=is_told and not silent,
        display_at=now,
        created_at=now,
    )
    _write_down(maintenance, update, deed, by=by, silent=silent)
    editions.touch_maintenance(maintenance, was.states)
    if update.notified:
        _tell(update, deed)
    return update


def _write_down(
    maintenance: Maintenance, update: MaintenanceUpdate, deed: str, *, by: User | None, silent: str
) -> None:
    ledger.append(
        f"maintenance.{deed}",
        subject=maintenance.ref,
        by=by,
        update=update.code,
        status=maintenance.status,
        title=maintenance.title,
        body_sha256=_sha256(update.body),
        sentences_sha256={language: _sha256(said) for language, said in update.sentences.items()},
        starts_at=maintenance.starts_at,
        ends_at=maintenance.ends_at,
        started_at=maintenance.started_at,
        ended_at=maintenance.ended_at,
        sequence=maintenance.sequence,
        affected=update.affected,
        notified=update.notified,
        silent=silent,
    )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _tell(update: MaintenanceUpdate, deed: str) -> None:
    maintenance = update.maintenance
    repeats = [_key(maintenance, earlier.code) for earlier in letters.told_before(maintenance, update)]
    payload = snapshot.maintenance_news(maintenance)
    tell(maintenance, update.code, deed, update, life=outbox.UPDATE_LIFE, payload=payload, retells=repeats)


def tell(
    maintenance: Maintenance,
    what: str,
    deed: str,
    update: MaintenanceUpdate,
    *,
    life: timedelta,
    audience: str = AUDIENCE,
    **more: Any,
) -> None:
    """Tell those concerned by mail and in their rooms, once for each `what`; `more` is for `outbox.announce`.

    They are subscribers of its components or of the whole page, customers attached to its components, and everybody
    who was told of it before.
    """
    outbox.announce(
        _key(maintenance, what),
        topic=TOPIC,
        thread=maintenance.ref,
        audience=audience,
        facts={
            "components": sorted(maintenance.hits.values_list("component", flat=True)),
            "incident": maintenance.ref,
            "impact": ANY,
        },
        public_chat=letters.maintenance_room(maintenance, deed, update),
        life=life,
        **letters.told(languages.in_each(lambda: letters.maintenance_letter(maintenance, deed, update))),
        **more,
    )


def _key(maintenance: Maintenance, what: str) -> str:
    return f"{maintenance.ref}:{what}"


def plan_of(maintenance: Maintenance) -> Plan:
    """What is planned now, components by id and reminders with the longest lead first."""
    return Plan(
        title=maintenance.title,
        starts_at=maintenance.starts_at,
        ends_at=maintenance.ends_at,
        components=list(Component.objects.filter(works__maintenance=maintenance).order_by("pk")),
        leads=in_order(row.lead for row in maintenance.reminders.all()),
        starts_itself=maintenance.starts_itself,
        ends_itself=maintenance.ends_itself,
    )


def _set(maintenance: Maintenance, plan: Plan) -> None:
    for name in ("title", "starts_at", "ends_at", "starts_itself", "ends_itself"):
        setattr(maintenance, name, getattr(plan, name))
    maintenance.save()


def _set_rows(maintenance: Maintenance, plan: Plan, now: datetime) -> None:
    """Components and reminders as planned. A reminder that would be due already is settled: word goes out now."""
    maintenance.hits.exclude(component__in=plan.components).delete()
    MaintenanceComponent.objects.bulk_create(
        [MaintenanceComponent(maintenance=maintenance, component=component) for component in plan.components],
        ignore_conflicts=True,
    )
    kept = maintenance.reminders.filter(due_at__in=[plan.starts_at - lead for lead in plan.leads])
    kept = kept.filter(lead__in=plan.leads)
    maintenance.reminders.exclude(pk__in=list(kept.values_list("pk", flat=True))).delete()
    known = set(kept.values_list("lead", flat=True))
    for lead in plan.leads:
        due_at = plan.starts_at - lead
        if lead not in known:
            maintenance.reminders.create(lead=lead, due_at=due_at, settled_at=now if due_at <= now else None)


def _both(first: str, second: str) -> str:
    return "\n\n".join(part.strip() for part in (first, second) if part.strip())


def _unless(text: str, sentence: Any) -> Sentence:
    """The sentence, where nobody wrote a text."""
    return lambda: "" if text.strip() else str(sentence)


def _moved_from(old: Plan, new: Plan) -> str:
    was, now = (
        rhythm.on_day(rhythm.day(plan.starts_at), rhythm.span(plan.starts_at, plan.ends_at)) for plan in (old, new)
    )
    return gettext("Moved to %(now)s. It was planned for %(was)s.") % {"now": now, "was": was}
