"""A version as a document, and what it is compared with."""

from collections import defaultdict
from datetime import datetime
from typing import Any

from django.db.models import prefetch_related_objects

from incidents.policy import documents
from incidents.policy.documents import Document
from incidents.policy.models import EscalationRule, GateItem, PolicyVersion

MOST = 50  # versions kept
_pinned: dict[tuple[Any, ...], PolicyVersion] = {}
ROWS = ("severities", "checkpoints", "gate_items", "notify_rules", "cells", "obligations", "approval_rules")


def pinned(version: PolicyVersion) -> PolicyVersion:
    """The version with its rows. An approved one never changes, so each process reads it once; nobody writes to it."""
    plain = (field.attname for field in PolicyVersion._meta.concrete_fields if field.name != "document")
    key = tuple(getattr(version, name) for name in plain)
    if key not in _pinned:
        prefetch_related_objects([version], *ROWS)
        if version.approved_at is None:
            return version
        if len(_pinned) > MOST:
            _pinned.clear()
        _pinned[key] = version
    return _pinned[key]


def document(version: PolicyVersion) -> Document:
    """All a version says. One loaded before documents were kept is read from its rows."""
    return documents.from_json(version.document) if version.document else from_rows(version)


def from_rows(version: PolicyVersion) -> Document:
    """The same, read from the rows; a dozen queries."""
    gate = [(item.kind, item.text) for item in version.gate_items.all()]
    said: dict[str, Any] = {
        "profile": version.profile.name,
        "version": version.number,
        "change_note": version.change_note,
        "effective_from": documents.stamp(version.effective_from) if version.effective_from else "",
        "grace": documents.in_minutes(version.grace_seconds // 60),
        "holding_max_consecutive": version.holding_max_consecutive,
        "customer_threshold": version.customer_threshold,
        "reminder": {
            "update": documents.in_minutes(version.remind_update_minutes),
            "once": documents.in_minutes(version.remind_once_minutes),
        },
        "resolve_gate": {
            "monitoring": documents.in_minutes(version.gate_monitoring_minutes),
            "conditions": [text for kind, text in gate if kind == GateItem.Kind.CONDITION],
            "ticks": [text for kind, text in gate if kind == GateItem.Kind.TICK],
        },
        "severities": _severities(version),
        "matrix": _matrix(version),
        "thresholds": [
            {"signal": row.signal, "gt": documents.number(row.above), "suggests": row.suggests}
            for row in version.thresholds.all()
        ],
        **_people(version),
    }
    return documents.checked(said)


def _severities(version: PolicyVersion) -> dict[int, Any]:
    names = ("label", "name", "acknowledge", "page_within", "contain", "resolve", "enabled")
    return {
        row.rank: {name: getattr(row, name) for name in names}
        | {"definitions": [line for line in row.definitions.split("\n") if line]}
        for row in version.severities.all()
    }


def _people(version: PolicyVersion) -> dict[str, Any]:
    told, approve = defaultdict(list), defaultdict(list)
    called: dict[str, dict[int, dict[str, str]]] = {"unacknowledged": {}, "unresolved": {}}
    reached: dict[int, dict[str, str]] = {}
    for notify in version.notify_rules.all():
        told[notify.rank].append(notify.role)
    for approval in version.approval_rules.all():
        approve[approval.message_class].append(approval.role)
    for rule in version.escalation_rules.all():
        called[rule.condition].setdefault(rule.rank, {})[rule.role] = rule.after
    for point in version.checkpoints.all():
        reached.setdefault(point.rank, {})[point.name] = point.after
    return {
        "notify_on_declare": dict(told),
        "unacknowledged_page": called[EscalationRule.While.UNACKNOWLEDGED],
        "escalate_if_unresolved": called[EscalationRule.While.UNRESOLVED],
        "approvals": dict(approve),
        "checkpoints": reached,
    }


def _matrix(version: PolicyVersion) -> dict[int, Any]:
    duties = defaultdict(list)
    for row in version.obligations.all():
        names = [name for name in documents.DUTY_PARTS if name != "class"]
        said = {name: getattr(row, name) for name in names if getattr(row, name)}
        duties[row.cell_id].append({"class": row.message_class, **said})
    found: dict[int, Any] = {}
    for cell in version.cells.all():
        said = {name: getattr(cell, name) for name in ("mode", "scope", "override", "note")}
        found.setdefault(cell.rank, {})[cell.audience] = said | {"duties": duties[cell.pk]}
    return found


def base_of(version: PolicyVersion, now: datetime) -> PolicyVersion | None:
    """What a version is compared with: its profile's one in force, else what it was cloned from, else the default's."""
    others = PolicyVersion.objects.exclude(pk=version.pk)
    own = others.of_profile_in_force(now).filter(profile=version.profile).first()
    return own or version.cloned_from or others.in_force(now)
