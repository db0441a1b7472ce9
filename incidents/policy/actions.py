"""Load the shipped profile and taxonomy into rows. Idempotent; a version that exists is never changed."""

import hashlib
import json
from pathlib import Path
from typing import Any

import yaml
from django.db import transaction
from django.utils import timezone

from incidents.policy import matrix
from incidents.policy.models import (
    ApprovalRule,
    CommObligation,
    EscalationRule,
    IncidentType,
    MatrixCell,
    NotifyRule,
    PolicyProfile,
    PolicyVersion,
    SeverityLevel,
)
from irportal.ledger import actions as ledger
from irportal.refused import Refused

PROFILES = Path(__file__).parent / "profiles"


def load_shipped() -> PolicyVersion:
    """The taxonomy and the default profile, as shipped."""
    load_taxonomy(yaml.safe_load((PROFILES / "taxonomy.yaml").read_text()))
    return load_profile(yaml.safe_load((PROFILES / "default-unified.yaml").read_text()))


@transaction.atomic
def load_taxonomy(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        IncidentType.objects.update_or_create(
            code=row["code"],
            defaults={
                "name": row["name"],
                "family": row["family"],
                "ai": row["ai"],
                "suggested_rank": row.get("rank"),
                "why": row["why"],
                "is_outage": row.get("outage", False),
                "is_data": row.get("data", False),
            },
        )


@transaction.atomic
def load_profile(source: dict[str, Any]) -> PolicyVersion:
    """Write one version and its children. The same content again is a no-op.

    Raises Refused when the version exists with other content: a version is immutable, raise its number instead.
    """
    digest = hashlib.sha256(json.dumps(source, sort_keys=True, default=str).encode()).hexdigest()
    profile, _ = PolicyProfile.objects.get_or_create(name=source["profile"], defaults={"is_default": True})
    known = profile.versions.filter(number=source["version"]).first()
    if known:
        if known.sha256 != digest:
            raise Refused(f"{known} exists with other content and cannot be changed; give the new one a new number.")
        return known
    version = PolicyVersion.objects.create(
        profile=profile,
        number=source["version"],
        effective_from=source["effective_from"],
        approved_at=timezone.now(),
        change_note=source["change_note"],
        sha256=digest,
        grace_seconds=int(matrix.length(source["grace"]).total_seconds()),
        holding_max_consecutive=source["holding_max_consecutive"],
        gate_monitoring_minutes=_minutes(source["gate_monitoring"]),
        remind_update_minutes=_minutes(source["reminder"]["update"]),
        remind_once_minutes=_minutes(source["reminder"]["once"]),
    )
    _load_severities(version, source)
    _load_people(version, source)
    for rank, audiences in source["matrix"].items():
        for audience, cell in audiences.items():
            _load_cell(version, rank, audience, cell)
    ledger.append(
        "policy.version_loaded",
        subject=f"policy:{profile.name}",
        by=None,
        number=version.number,
        sha256=digest,
    )
    return version


def _minutes(amount: str) -> int:
    return int(matrix.length(amount).total_seconds() // 60)


def _load_severities(version: PolicyVersion, source: dict[str, Any]) -> None:
    for rank, row in source["severities"].items():
        SeverityLevel.objects.create(
            version=version,
            rank=rank,
            label=row["label"],
            name=row["name"],
            definitions="\n".join(row["definitions"]),
            acknowledge=row["acknowledge"],
            contain=row.get("contain", ""),
            resolve=row.get("resolve", ""),
        )


def _load_people(version: PolicyVersion, source: dict[str, Any]) -> None:
    """Who is told at once, who is called when it goes on, who must approve what."""
    for rank, roles in source["notify_on_declare"].items():
        NotifyRule.objects.bulk_create(NotifyRule(version=version, rank=rank, role=role) for role in roles)
    for message_class, roles in source["approvals"].items():
        ApprovalRule.objects.bulk_create(
            ApprovalRule(version=version, message_class=message_class, role=role) for role in roles
        )
    conditions = {
        EscalationRule.While.UNACKNOWLEDGED: source["unacknowledged_page"],
        EscalationRule.While.UNRESOLVED: source["escalate_if_unresolved"],
    }
    for condition, ranks in conditions.items():
        for rank, called in ranks.items():
            for role, after in called.items():
                matrix.length(after)
                EscalationRule.objects.create(version=version, rank=rank, condition=condition, role=role, after=after)


DUTY = {field.name for field in CommObligation._meta.fields} - {"id", "cell", "version", "message_class"}
AMOUNTS = ("first", "every", "close", "first_if_data_or_ai_harm", "first_if_short_clock")


def _load_cell(version: PolicyVersion, rank: int, audience: str, cell: dict[str, Any]) -> None:
    row = MatrixCell.objects.create(
        version=version,
        rank=rank,
        audience=audience,
        mode=cell["mode"],
        scope=cell.get("scope", "all"),
        override=cell.get("override", ""),
    )
    for duty in cell.get("duties", []):
        said = {name: value for name, value in duty.items() if name != "class"}
        if unknown := said.keys() - DUTY:
            raise Refused(f"{', '.join(sorted(unknown))}: no such part of {duty['class']} at severity {rank}.")
        for amount in AMOUNTS:
            if said.get(amount):
                matrix.due(said[amount], timezone.now())  # a misspelt amount stops the load, not an incident
        CommObligation.objects.create(cell=row, version=version, message_class=duty["class"], **said)
