"""Load profiles; draft, submit and approve versions; choose which profile new incidents take.

Each deed takes the ledger's turn first, then the version's row. A version that is approved never changes.
"""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from incidents.policy import documents, matrix, queries, wording
from incidents.policy.documents import Document
from incidents.policy.models import (
    ApprovalRule,
    Checkpoint,
    CommObligation,
    DefaultChoice,
    EscalationRule,
    GateItem,
    IncidentType,
    MatrixCell,
    NotifyRule,
    PolicyProfile,
    PolicyVersion,
    PolicyWriter,
    SeverityLevel,
    ThresholdRule,
)
from irportal.accounts.models import User
from irportal.ledger import actions as ledger
from irportal.ledger.models import Entry
from irportal.refused import Refused

PROFILES = Path(__file__).parent / "profiles"
DEFAULT = "default-unified"
# What was shipped under the same number before thresholds, gates and checkpoints were data. It stays as it is.
SHIPPED_BEFORE = {"default-unified": {"91b498ddf9eaded9a44de5c67887635313527031798cf4af945785d9f0f7b280"}}


# Loading


def load_shipped() -> PolicyVersion:
    """The taxonomy and the default profile, as shipped."""
    load_taxonomy(yaml.safe_load((PROFILES / "taxonomy.yaml").read_text()))
    return load_file((PROFILES / f"{DEFAULT}.yaml").read_text())


def load_literal() -> list[PolicyVersion]:
    """The profiles that say what one seed document says and no more; to be read and cloned."""
    return [load_file(file.read_text(), read_only=True) for file in sorted(PROFILES.glob("seed-*.yaml"))]


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


def load_file(text: str, *, read_only: bool = False) -> PolicyVersion:
    """Write the version a shipped file holds, approved. Raises Refused with every fault and its line."""
    return _load(documents.read(text), read_only=read_only)


def load_profile(source: dict[str, Any]) -> PolicyVersion:
    """The same from plain values."""
    return _load(documents.checked(source, file=True))


@transaction.atomic
def _load(document: Document, *, read_only: bool = False) -> PolicyVersion:
    """Write one approved version and its children. The same content again is a no-op.

    Raises Refused when the version exists with other content: a version is immutable, raise its number instead.
    """
    digest, name = documents.digest(document), document["profile"]
    ledger.turn()
    first = not PolicyProfile.objects.filter(is_default=True).exists()
    new = {"is_default": first and not read_only, "read_only": read_only}
    profile, _ = PolicyProfile.objects.get_or_create(name=name, defaults=new)
    known = profile.versions.filter(number=document["version"]).first()
    if known:
        if known.sha256 not in {digest, *SHIPPED_BEFORE.get(name, ())}:
            raise Refused(f"{known} exists with other content and cannot be changed; give the new one a new number.")
        return known
    version = PolicyVersion(profile=profile, number=document["version"])
    _write(version, document)
    version.approved_at = timezone.now()
    version.save(update_fields=["approved_at"])
    ledger.append(
        "policy.version_loaded", subject=_subject(version), by=None, number=version.number, sha256=version.sha256
    )
    return version


# A version's rows are made of its document


def _write(version: PolicyVersion, document: Document) -> None:
    """Make the version, which is not approved yet, say exactly this."""
    gate, reminder = document.get("resolve_gate", {}), document.get("reminder", {})
    version.document, version.sha256 = document, documents.digest(document)
    version.change_note = document.get("change_note", "")
    effective = document.get("effective_from")
    version.effective_from = datetime.fromisoformat(effective) if effective else None
    version.customer_threshold = document.get("customer_threshold", "")
    version.grace_seconds = _minutes(document.get("grace")) * 60
    version.holding_max_consecutive = document.get("holding_max_consecutive", 0)
    version.gate_monitoring_minutes = _minutes(gate.get("monitoring"))
    version.remind_update_minutes = _minutes(reminder.get("update"))
    version.remind_once_minutes = _minutes(reminder.get("once"))
    version.save()
    for children in (version.obligations, version.cells, version.severities, version.notify_rules):
        children.all().delete()
    for rows in (version.approval_rules, version.escalation_rules, version.thresholds, version.gate_items):
        rows.all().delete()
    version.checkpoints.all().delete()
    _write_severities(version, document)
    _write_people(version, document)
    _write_signs(version, document)
    _write_matrix(version, document)


def _minutes(amount: str | None) -> int:
    return int(matrix.length(amount).total_seconds() // 60) if amount else 0


def _write_severities(version: PolicyVersion, document: Document) -> None:
    SeverityLevel.objects.bulk_create(
        SeverityLevel(
            version=version,
            rank=rank,
            definitions="\n".join(row.get("definitions", [])),
            enabled=row.get("enabled", True),
            **{
                name: row.get(name, "")
                for name in ("label", "name", "acknowledge", "page_within", "contain", "resolve")
            },
        )
        for rank, row in document["severities"].items()
    )


def _write_people(version: PolicyVersion, document: Document) -> None:
    """Who is told at once, who is called when it goes on, who must approve what."""
    NotifyRule.objects.bulk_create(
        NotifyRule(version=version, rank=rank, role=role)
        for rank, roles in document.get("notify_on_declare", {}).items()
        for role in roles
    )
    ApprovalRule.objects.bulk_create(
        ApprovalRule(version=version, message_class=message_class, role=role)
        for message_class, roles in document.get("approvals", {}).items()
        for role in roles
    )
    conditions = {
        EscalationRule.While.UNACKNOWLEDGED: document.get("unacknowledged_page", {}),
        EscalationRule.While.UNRESOLVED: document.get("escalate_if_unresolved", {}),
    }
    EscalationRule.objects.bulk_create(
        EscalationRule(version=version, rank=rank, condition=condition, role=role, after=after)
        for condition, ranks in conditions.items()
        for rank, called in ranks.items()
        for role, after in called.items()
    )


def _write_signs(version: PolicyVersion, document: Document) -> None:
    """What suggests a severity, how far one should be by when, what must be true at the end."""
    ThresholdRule.objects.bulk_create(
        ThresholdRule(version=version, signal=row["signal"], above=row["gt"], suggests=row.get("suggests"))
        for row in document.get("thresholds", [])
    )
    Checkpoint.objects.bulk_create(
        Checkpoint(version=version, rank=rank, name=name, after=after)
        for rank, points in document.get("checkpoints", {}).items()
        for name, after in points.items()
    )
    gate = document.get("resolve_gate", {})
    kinds = {GateItem.Kind.CONDITION: gate.get("conditions", []), GateItem.Kind.TICK: gate.get("ticks", [])}
    GateItem.objects.bulk_create(
        GateItem(version=version, kind=kind, position=position, text=text)
        for kind, texts in kinds.items()
        for position, text in enumerate(texts, 1)
    )


def _write_matrix(version: PolicyVersion, document: Document) -> None:
    said = [
        (MatrixCell(version=version, rank=rank, audience=audience, **_without(cell, "duties")), cell.get("duties", []))
        for rank, cells in document.get("matrix", {}).items()
        for audience, cell in cells.items()
    ]
    MatrixCell.objects.bulk_create(cell for cell, _ in said)
    CommObligation.objects.bulk_create(
        CommObligation(cell=cell, version=version, message_class=duty["class"], **_without(duty, "class"))
        for cell, duties in said
        for duty in duties
    )


def _without(row: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != name}


# Drafts


@transaction.atomic
def clone(version: PolicyVersion, *, into: str, by: User) -> PolicyVersion:
    """A draft that says what `version` says: the next version of profile `into`, which is begun when it is new."""
    ledger.turn()
    profile, _ = PolicyProfile.objects.get_or_create(name=into)
    _can_be_drafted(profile)
    number = (profile.versions.aggregate(last=Max("number"))["last"] or 0) + 1
    said = _without(_without(queries.document(version), "change_note"), "effective_from")
    draft = PolicyVersion(profile=profile, number=number, author=by, cloned_from=version)
    _write(draft, documents.checked(said | {"profile": into, "version": number}))
    draft.writers.create(person=by)
    ledger.append("policy.drafted", subject=_subject(draft), by=by, number=number, cloned_from=str(version))
    return draft


@transaction.atomic
def propose_file(text: str, *, by: User) -> PolicyVersion:
    """The version a profile file holds, as a draft by this person that waits for somebody else's approval.

    The same content again is a no-op, whatever became of it. Raises Refused with every fault and its line.
    """
    document = documents.read(text)
    name, number = document["profile"], document["version"]
    ledger.turn()
    profile, _ = PolicyProfile.objects.get_or_create(name=name)
    known = profile.versions.filter(number=number).first()
    if known:
        if _without(queries.document(known), "effective_from") != _without(document, "effective_from"):
            raise Refused(f"{known} exists with other content and cannot be changed; give the new one a new number.")
        return known
    _can_be_drafted(profile)
    draft = PolicyVersion(profile=profile, number=number, author=by)
    _write(draft, documents.checked(_without(document, "effective_from")))
    draft.writers.create(person=by)
    ledger.append("policy.drafted", subject=_subject(draft), by=by, number=number, cloned_from="a file")
    return submit(draft, change_note=draft.change_note, by=by, seen=draft.revision)


def _can_be_drafted(profile: PolicyProfile) -> None:
    if profile.read_only:
        raise Refused(f"{profile} is shipped to be read and never changed; clone it into a profile of your own.")
    waiting = profile.versions.filter(approved_at=None, withdrawn_at=None).select_related("author", "profile").first()
    if waiting:
        raise Refused(f"{waiting} is a draft by {waiting.author} already; go on with it, or withdraw it first.")


@transaction.atomic
def change(version: PolicyVersion, part: Document, *, by: User, seen: int) -> PolicyVersion:
    """Replace the named parts of a draft; a part that is empty falls away.

    `seen` is the revision the person had on the screen. Refused when somebody saved since, saying who and what;
    when it is no draft any more; and when the whole would be no policy. Saving nothing new leaves no trace.
    """
    version = _locked(version)
    only_a_draft(version)
    _refuse_stale(version, seen)
    before = queries.document(version)
    after = documents.checked(before | part)
    changes = wording.differences(before, after)
    if before == after:
        return version
    version.revision += 1
    _write(version, after)
    PolicyWriter.objects.get_or_create(version=version, person=by)
    ledger.append(
        "policy.draft_changed",
        subject=_subject(version),
        by=by,
        number=version.number,
        revision=version.revision,
        changes=[str(row) for row in changes],
    )
    return version


def _locked(version: PolicyVersion) -> PolicyVersion:
    ledger.turn()
    rows = PolicyVersion.objects.select_for_update(of=("self",)).select_related("profile", "approved_by")
    return rows.get(pk=version.pk)


def _subject(version: PolicyVersion) -> str:
    return f"policy:{version.profile.name}"[:60]


def only_a_draft(version: PolicyVersion) -> None:
    """Refuse what is no draft any more, saying what it is and what to do instead."""
    if version.state == "waits for approval":
        raise Refused(f"{version} waits for approval; send it back before changing it.")
    if version.state == "approved":
        by = f" by {version.approved_by}" if version.approved_by else ""
        raise Refused(f"{version} was approved{by} and never changes; clone it to a new draft.")
    if version.state == "withdrawn":
        raise Refused(f"{version} was withdrawn; clone it to a new draft.")


def _refuse_stale(version: PolicyVersion, seen: int) -> None:
    if seen == version.revision:
        return
    said = []
    for entry in Entry.objects.filter(subject=_subject(version), deed="policy.draft_changed").order_by("n"):
        line = json.loads(entry.line)
        facts = line["facts"]
        if facts["number"] == version.number and facts["revision"] > seen:
            who = User.objects.filter(email=line["by"]).first() or line["by"]
            said.append(f"{who} saved at {entry.recorded_at:%H:%M:%S} UTC: {'; '.join(facts['changes'])}")
    raise Refused(f"Meanwhile {'. '.join(said) or 'somebody else saved it'}. Look at it, then save again.")


@transaction.atomic
def submit(version: PolicyVersion, *, change_note: str, by: User, seen: int) -> PolicyVersion:
    """Ask somebody else to approve the draft, which says why it changes."""
    version = _locked(version)
    only_a_draft(version)
    _refuse_stale(version, seen)
    if not change_note.strip():
        raise Refused("Say in one sentence why it changes; an auditor will read it.")
    _write(version, documents.checked(queries.document(version) | {"change_note": change_note}))
    version.submitted_at = timezone.now()
    version.save(update_fields=["submitted_at"])
    PolicyWriter.objects.get_or_create(version=version, person=by)
    ledger.append(
        "policy.submitted",
        subject=_subject(version),
        by=by,
        number=version.number,
        change_note=version.change_note,
        sha256=version.sha256,
    )
    return version


@transaction.atomic
def send_back(version: PolicyVersion, *, reason: str, by: User) -> PolicyVersion:
    """To a draft again. Refused without a reason."""
    version = _locked(version)
    if version.state != "waits for approval":
        raise Refused(f"{version} does not wait for approval; it is {_a(version.state)}.")
    if not reason.strip():
        raise Refused("Say what should change before you send it back.")
    version.submitted_at = None
    version.save(update_fields=["submitted_at"])
    ledger.append("policy.sent_back", subject=_subject(version), by=by, number=version.number, reason=reason.strip())
    return version


def _a(state: str) -> str:
    return "a draft" if state == "draft" else state


@transaction.atomic
def approve(version: PolicyVersion, *, by: User, sha256: str, effective_from: datetime | None = None) -> PolicyVersion:
    """Put it in force from then on, now when not given. Bound to what the person saw; never by who wrote at it."""
    version = _locked(version)
    if version.state == "approved":
        raise Refused(f"{version.approved_by or 'Somebody'} approved {version} meanwhile; it is approved once.")
    if version.state != "waits for approval":
        raise Refused(f"{version} does not wait for approval; it is {_a(version.state)}.")
    if version.author_id == by.pk or version.writers.filter(person=by).exists():
        raise Refused("You wrote at this version; somebody else has to approve it.")
    if version.sha256 != sha256:
        raise Refused("It changed after you opened this page. Read it again, then approve.")
    now = timezone.now()
    if effective_from and effective_from < now:
        raise Refused(f"{effective_from:%Y-%m-%d %H:%M} UTC has passed; leave it empty for now, or name a time ahead.")
    effective = documents.stamp(effective_from or now)
    _write(version, documents.checked(queries.document(version) | {"effective_from": effective}))
    version.approved_by, version.approved_at = by, now
    version.save(update_fields=["approved_by", "approved_at"])
    ledger.append(
        "policy.approved",
        subject=_subject(version),
        by=by,
        number=version.number,
        effective_from=version.effective_from,
        seen=sha256,
        sha256=version.sha256,
    )
    return version


@transaction.atomic
def withdraw(version: PolicyVersion, *, reason: str, by: User) -> PolicyVersion:
    """Give a draft up. It stays readable; its number is not used again."""
    version = _locked(version)
    if version.state in ("approved", "withdrawn"):
        only_a_draft(version)
    if not reason.strip():
        raise Refused("Say why it is given up; an auditor will ask.")
    version.withdrawn_at, version.withdrawn_reason = timezone.now(), reason.strip()
    version.save(update_fields=["withdrawn_at", "withdrawn_reason"])
    ledger.append("policy.withdrawn", subject=_subject(version), by=by, number=version.number, reason=reason.strip())
    return version


# Which profile new incidents take


@transaction.atomic
def propose_default(profile: PolicyProfile, *, reason: str, by: User) -> DefaultChoice:
    ledger.turn()
    _can_be_default(profile)
    waiting = DefaultChoice.objects.filter(settled_at=None).select_related("profile", "proposed_by").first()
    if waiting:
        raise Refused(f"{waiting.proposed_by} proposed {waiting.profile} already; that is to be decided first.")
    if not reason.strip():
        raise Refused("Say why; an auditor will ask.")
    choice = DefaultChoice.objects.create(
        profile=profile, reason=reason.strip(), proposed_by=by, proposed_at=timezone.now()
    )
    ledger.append("policy.default_proposed", subject=f"policy:{profile.name}"[:60], by=by, reason=choice.reason)
    return choice


def _can_be_default(profile: PolicyProfile) -> None:
    if PolicyProfile.objects.get(pk=profile.pk).is_default:
        raise Refused(f"New incidents take {profile} already.")
    if not PolicyVersion.objects.of_profile_in_force(timezone.now()).filter(profile=profile).exists():
        raise Refused(f"{profile} has no approved version in force yet.")


@transaction.atomic
def approve_default(choice: DefaultChoice, *, by: User) -> DefaultChoice:
    """From now on new incidents take this profile. Refused for who proposed it."""
    choice = _waiting(choice)
    if choice.proposed_by_id == by.pk:
        raise Refused("You proposed this; somebody else has to approve it.")
    _can_be_default(choice.profile)
    before = PolicyProfile.objects.filter(is_default=True).first()
    PolicyProfile.objects.filter(is_default=True).update(is_default=False)
    PolicyProfile.objects.filter(pk=choice.profile_id).update(is_default=True)
    _settle(choice, approved=True, by=by)
    ledger.append(
        "policy.default_chosen",
        subject=f"policy:{choice.profile.name}"[:60],
        by=by,
        proposed_by=choice.proposed_by.email,
        before=before.name if before else None,
    )
    return choice


@transaction.atomic
def decline_default(choice: DefaultChoice, *, by: User) -> DefaultChoice:
    """Leave everything as it is; by the one who proposed it, or another."""
    choice = _waiting(choice)
    _settle(choice, approved=False, by=by)
    ledger.append("policy.default_declined", subject=f"policy:{choice.profile.name}"[:60], by=by)
    return choice


def _waiting(choice: DefaultChoice) -> DefaultChoice:
    ledger.turn()
    rows = DefaultChoice.objects.select_for_update(of=("self",)).select_related("profile", "proposed_by", "settled_by")
    choice = rows.get(pk=choice.pk)
    if choice.settled_at:
        what = "approved" if choice.approved else "declined"
        raise Refused(f"{choice.settled_by} {what} it at {choice.settled_at:%Y-%m-%d %H:%M} UTC already.")
    return choice


def _settle(choice: DefaultChoice, *, approved: bool, by: User) -> None:
    choice.settled_by, choice.settled_at, choice.approved = by, timezone.now(), approved
    choice.save(update_fields=["settled_by", "settled_at", "approved"])
