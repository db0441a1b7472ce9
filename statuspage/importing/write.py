"""Writes what `plan` decided, backdated as it was said. It tells nobody: it makes no announcement."""

import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from irportal.accounts.models import User
from irportal.ledger import actions as ledger
from statuspage import editions
from statuspage.importing.plan import Fate, Plan, Step, WorkStep
from statuspage.importing.shape import Work, worst
from statuspage.models import (
    Component,
    ComponentGroup,
    Maintenance,
    MaintenanceComponent,
    MaintenanceUpdate,
    Notice,
    NoticeComponent,
    NoticeUpdate,
    StateSpan,
)

BATCH = 100  # incidents in one transaction: nobody else waits long for a turn


def write(plan: Plan, *, source: str, sha256: str, by: User) -> None:
    """Write everything, components first, then BATCH incidents at a time; each incident whole or not at all.

    When it is stopped in between, the same import again does the rest. `source` and `sha256` name for the record what
    was read.
    """
    facts = {"source": source, "sha256": sha256}
    _write_components(plan, facts, by)
    steps = plan.to_write
    for start in range(0, len(steps), BATCH):
        _write_incidents(plan, steps[start : start + BATCH], facts, by)
    works = plan.works_to_write
    for start in range(0, len(works), BATCH):
        _write_works(plan, works[start : start + BATCH], facts, by)


@transaction.atomic
def _write_components(plan: Plan, facts: dict[str, str], by: User) -> None:
    ledger.turn()
    now = timezone.now()
    begins = min((step.incident.started_at for step in plan.steps), default=now)
    for code, group in plan.groups:
        made = ComponentGroup(code=code, name=group.name, position=group.position)
        made.created_at = group.created_at or begins
        made.save(force_insert=True)
        ledger.append(
            "component.changed", subject=f"componentgroup:{code}", by=by, what="added", called=str(made), **facts
        )
    groups = dict(ComponentGroup.objects.values_list("code", "pk"))
    for code, part in plan.parts:
        component = Component(code=code, name=part.name, description=part.description, position=part.position)
        component.group_id = groups.get(plan.group_codes.get(part.group, ""))
        component.created_at = component.state_changed_at = part.created_at or begins
        component.save(force_insert=True)
        ledger.append(
            "component.changed", subject=f"component:{code}", by=by, what="added", called=str(component), **facts
        )
    if plan.groups or plan.parts:
        editions.touch_past([])


@transaction.atomic
def _write_incidents(plan: Plan, steps: list[Step], facts: dict[str, str], by: User) -> None:
    ledger.turn()
    now = timezone.now()
    known = {
        notice.code: notice for notice in Notice.objects.select_for_update().filter(code__in=[s.code for s in steps])
    }
    components = dict(Component.objects.values_list("code", "pk"))
    written = []
    for step in steps:
        notice = known.get(step.code) or Notice(code=step.code, ref=step.code)
        _write_head(notice, step)
        updates = _write_updates(plan, step, notice, now)
        _write_hits(plan, step, notice, components)
        ledger.append("notice.imported", subject=notice.ref, by=by, **_facts(step, updates), **facts)
        written.append(notice)
    open_hits = NoticeComponent.objects.filter(notice__in=[notice.pk for notice in written], notice__resolved_at=None)
    Component.objects.filter(hits__in=open_hits).update(state_changed_at=now)
    editions.touch_past(written)


def _write_head(notice: Notice, step: Step) -> None:
    incident = step.incident
    for name in ("title", "status", "impact", "started_at", "created_at", "monitoring_at", "resolved_at"):
        setattr(notice, name, getattr(incident, name))
    notice.save()


def _write_updates(plan: Plan, step: Step, notice: Notice, now: datetime) -> list[NoticeUpdate]:
    return NoticeUpdate.objects.bulk_create(
        NoticeUpdate(
            notice=notice,
            code=plan.update_code(step.incident, said),
            status=said.status,
            body=said.body,
            affected=plan.affected(said.changes),
            display_at=said.said_at,
            created_at=said.recorded_at,
            imported_at=now,
        )
        for said in step.incident.updates[step.known :]
    )


def _write_hits(plan: Plan, step: Step, notice: Notice, components: dict[str, int]) -> None:
    if step.fate == Fate.MORE:
        notice.hits.all().delete()
        notice.spans.all().delete()
    states: dict[int, str] = {}
    for part, state in step.incident.hits.items():
        component = components[plan.codes[part]]
        states[component] = worst(state, states.get(component, state))
    NoticeComponent.objects.bulk_create(
        NoticeComponent(notice=notice, component_id=component, state=state) for component, state in states.items()
    )
    StateSpan.objects.bulk_create(
        StateSpan(notice=notice, component_id=component, state=state, began_at=began, ended_at=ended, adjusted_at=at)
        for component, state, began, ended, at in _told(plan, step, components)
    )


def _told(
    plan: Plan, step: Step, components: dict[str, int]
) -> Iterator[tuple[int, str, datetime, datetime | None, datetime | None]]:
    """The states of components over time. Days our page had told of otherwise, because it knew them, are adjusted."""
    new, open_ones, now = {code for code, _ in plan.parts}, set(), timezone.now()
    for part in step.incident.hits:
        code = plan.codes[part]
        for state, began, ended in step.incident.stretches(part):
            past = code not in new and began.date() < now.astimezone(UTC).date()
            if ended is None and code in open_ones:
                continue  # two components there are one here, and it is so already
            if ended is None:
                open_ones.add(code)
            yield components[code], state, began, ended, now if past else None


@transaction.atomic
def _write_works(plan: Plan, steps: list[WorkStep], facts: dict[str, str], by: User) -> None:
    ledger.turn()
    last = Maintenance.objects.aggregate(last=Max("number"))["last"] or 0
    components = dict(Component.objects.values_list("code", "pk"))
    written = []
    for number, step in enumerate(steps, start=last + 1):
        work = step.work
        made = Maintenance(code=step.code, number=number, status=Maintenance.Status.COMPLETED)
        made.starts_itself = made.ends_itself = False
        for name in ("title", "starts_at", "ends_at", "started_at", "ended_at", "created_at"):
            setattr(made, name, getattr(work, name))
        made.save(force_insert=True)
        updates = _write_work_updates(plan, work, made)
        MaintenanceComponent.objects.bulk_create(
            MaintenanceComponent(maintenance=made, component_id=pk)
            for pk in dict.fromkeys(components[plan.codes[part]] for part in work.parts)
        )
        told = {"source_id": work.id, "title": work.title, "started_at": work.started_at, "ended_at": work.ended_at}
        told |= {"starts_at": work.starts_at, "ends_at": work.ends_at, "updates": _said(updates)}
        ledger.append("maintenance.imported", subject=made.ref, by=by, **told, **facts)
        written.append(made)
    editions.touch_past([], written)


def _write_work_updates(plan: Plan, work: Work, made: Maintenance) -> list[MaintenanceUpdate]:
    return MaintenanceUpdate.objects.bulk_create(
        MaintenanceUpdate(
            maintenance=made,
            code=plan.update_code(work, said),
            status=said.status,
            body=said.body,
            affected=plan.affected(said.changes),
            starts_at=work.starts_at,
            ends_at=work.ends_at,
            notified=False,
            display_at=said.said_at,
            created_at=said.recorded_at,
        )
        for said in work.updates
    )


def _facts(step: Step, updates: list[NoticeUpdate]) -> dict[str, Any]:
    """What the ledger keeps: all but the texts, which it binds by their SHA-256."""
    incident = step.incident
    return {
        "source_id": incident.id,
        "title": incident.title,
        "status": incident.status,
        "impact": incident.impact,
        "started_at": incident.started_at,
        "resolved_at": incident.resolved_at,
        "updates": _said(updates),
    }


def _said(updates: Sequence[NoticeUpdate | MaintenanceUpdate]) -> list[dict[str, Any]]:
    return [
        {
            "update": update.code,
            "status": update.status,
            "said_at": update.display_at,
            "recorded_there_at": update.created_at,
            "body_sha256": hashlib.sha256(update.body.encode()).hexdigest(),
            "affected": update.affected,
        }
        for update in updates
    ]
