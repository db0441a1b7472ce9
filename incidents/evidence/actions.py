"""Deeds on evidence. Each locks the incident, writes the row, the line of custody and the entry in the ledger.

Nothing here disposes of an item. When something does, it asks `queries.held` first, and a second person.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO

from django.conf import settings
from django.db import transaction
from django.db.models import Max, Sum
from django.utils import timezone

from incidents.evidence import pack, queries, store
from incidents.evidence.models import AiContext, AiDecision, CustodyLine, EvidenceItem, Hold
from incidents.evidence.store import Content, Damaged
from incidents.lifecycle import actions as lifecycle
from incidents.lifecycle.models import Incident, TimelineEntry
from irportal.accounts.models import User
from irportal.ledger import actions as ledger
from irportal.ledger import tree
from irportal.refused import Refused

Deed, NOTE = CustodyLine.Deed, TimelineEntry.Kind.NOTE
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Said:
    """What a person says of an item. `topics` are Topic values; `captured_at` is aware."""

    title: str
    source: str
    captured_at: datetime
    personal: bool = True
    topics: Sequence[str] = ()
    note: str = ""


@transaction.atomic
def receive(
    incident: Incident,
    content: Content,
    said: Said,
    *,
    by: User,
    instead_of: EvidenceItem | None = None,
    reason: str = "",
) -> EvidenceItem:
    """Keep it for good. With `instead_of` it stands in for an earlier item, which stays as it is; `reason` says why."""
    incident = Incident.objects.locked(incident.pk)
    lifecycle.not_ahead(said.captured_at)
    _refuse_more_than_fits(incident, content)
    if instead_of and (newer := EvidenceItem.objects.filter(supersedes=instead_of).first()):
        raise Refused(f"{newer.ref} by {newer.received_by} stands in for {instead_of.ref} already; correct that one.")
    ledger.turn()
    item = EvidenceItem.objects.create(
        incident=incident,
        number=(incident.evidence.aggregate(last=Max("number"))["last"] or 0) + 1,
        **{name: getattr(content, name) for name in ("kind", "size", "sha256", "name", "media", "text", "url")},
        **{name: getattr(said, name) for name in ("title", "source", "captured_at", "personal", "note")},
        topics=" ".join(sorted(said.topics)),
        received_at=timezone.now(),
        received_by=by,
        supersedes=instead_of,
        reason=reason,
    )
    _custody(item, Deed.RECEIVED, by=by, detail=f"From {said.source}"[:400])
    if instead_of:
        _custody(instead_of, Deed.SUPERSEDED, by=by, detail=f"By {item.ref}: {reason}")
    stands = f", in place of {instead_of.ref}: {reason}" if instead_of else ""
    lifecycle.note(incident, NOTE, f"Evidence {item.ref} added: {item.title}{stands}", by=by)
    facts = {"title": said.title, "source": said.source, "captured_at": said.captured_at, "personal": said.personal}
    before = instead_of.ref if instead_of else None
    _record("evidence.received", item, by=by, **facts, in_place_of=before, reason=reason)
    store.settle(content)
    return item


def _refuse_more_than_fits(incident: Incident, content: Content) -> None:
    """An incident has room for EVIDENCE_INCIDENT_MB. A file that is there already takes none."""
    if content.part is None:
        return
    kept = incident.evidence.filter(kind=content.kind).exclude(sha256=content.sha256)
    used = kept.values("sha256", "size").distinct().aggregate(all=Sum("size"))["all"] or 0
    room = settings.EVIDENCE_INCIDENT_MB * MEGABYTE - used
    if content.size > room:
        raise Refused(
            f"{incident.ref} has room for {max(room, 0) / MEGABYTE:.1f} MB more evidence "
            f"({settings.EVIDENCE_INCIDENT_MB} MB in all); this file has {content.size / MEGABYTE:.1f} MB."
        )


def read(item: EvidenceItem, *, by: User, purpose: str = "") -> BinaryIO:
    """The item's bytes, found to match its hash; that it is read is written down before the first of them leaves.

    What does not match is written down as damaged and refused.
    """
    try:
        handle = store.open_whole(item)
    except Damaged as damage:
        damaged(item, str(damage), by=by)
        raise Refused(f"{item.ref} cannot be shown: {damage}. That was written down.") from None
    try:
        _write_read(item, by=by, purpose=purpose)
    except BaseException:
        handle.close()
        raise
    return handle


@transaction.atomic
def _write_read(item: EvidenceItem, *, by: User, purpose: str) -> None:
    Incident.objects.locked(item.incident_id)
    _custody(item, Deed.READ, by=by, detail=purpose)
    _record("evidence.read", item, by=by, purpose=purpose)


@transaction.atomic
def damaged(item: EvidenceItem, how: str, *, by: User) -> None:
    """What is kept is not what was received. The timeline says so the first time."""
    incident = Incident.objects.locked(item.incident_id)
    if not item.custody.filter(deed=Deed.DAMAGED).exists():
        lifecycle.note(incident, NOTE, f"Evidence {item.ref} is damaged: {how}.", by=by)
    _custody(item, Deed.DAMAGED, by=by, detail=how)
    _record("evidence.damaged", item, by=by, how=how)


def verify(incident: Incident, *, by: User) -> list[tuple[EvidenceItem, str]]:
    """Hash every item anew. Who is damaged, and how; the others get a line that says they match."""
    whole, faulty = sound(queries.items(incident).order_by("number"))
    for item, how in faulty:
        damaged(item, how, by=by)
    _write_verified(incident, whole, by=by, faulty=len(faulty))
    return faulty


@transaction.atomic
def _write_verified(incident: Incident, whole: list[EvidenceItem], *, by: User, faulty: int) -> None:
    incident = Incident.objects.locked(incident.pk)
    _custody_of_all(whole, Deed.VERIFIED, by=by, detail="")
    ledger.append("evidence.verified", subject=incident.ref, by=by, whole=len(whole), damaged=faulty)


def sound(items: Iterable[EvidenceItem]) -> tuple[list[EvidenceItem], list[tuple[EvidenceItem, str]]]:
    """The items that match their hash, and the others with what is wrong."""
    whole, faulty = [], []
    for item in items:
        try:
            store.open_whole(item).close()
        except Damaged as damage:
            faulty.append((item, str(damage)))
        else:
            whole.append(item)
    return whole, faulty


@transaction.atomic
def hold(incident: Incident, *, reason: str, by: User, item: EvidenceItem | None = None) -> Hold:
    """Nothing of this may be disposed of until the hold is lifted."""
    incident = Incident.objects.locked(incident.pk)
    if known := incident.holds.filter(item=item, lifted_at=None).select_related("placed_by").first():
        raise Refused(f"{known.placed_by} placed this hold on {known.placed_at:%Y-%m-%d, %H:%M} UTC already.")
    placed = Hold.objects.create(incident=incident, item=item, reason=reason, placed_at=timezone.now(), placed_by=by)
    _about_hold(placed, Deed.HELD, "evidence.hold_placed", f"Hold on {_of(placed)} placed: {reason}", reason, by=by)
    return placed


@transaction.atomic
def lift(placed: Hold, *, reason: str, by: User) -> Hold:
    Incident.objects.locked(placed.incident_id)
    placed = Hold.objects.select_related("incident", "item", "lifted_by").get(pk=placed.pk)
    if placed.lifted_at:
        raise Refused(f"{placed.lifted_by} lifted this hold on {placed.lifted_at:%Y-%m-%d, %H:%M} UTC already.")
    placed.lifted_at, placed.lifted_by, placed.lift_reason = timezone.now(), by, reason
    placed.save(update_fields=["lifted_at", "lifted_by", "lift_reason"])
    _about_hold(placed, Deed.LIFTED, "evidence.hold_lifted", f"Hold on {_of(placed)} lifted: {reason}", reason, by=by)
    return placed


def _of(placed: Hold) -> str:
    return f"evidence {placed.item.ref}" if placed.item else "all evidence"


def _about_hold(placed: Hold, deed: str, name: str, told: str, reason: str, *, by: User) -> None:
    incident = placed.incident
    CustodyLine.objects.create(incident=incident, item=placed.item, deed=deed, at=timezone.now(), by=by, detail=reason)
    lifecycle.note(incident, NOTE, told, by=by)
    ledger.append(name, subject=incident.ref, by=by, what=placed.what, reason=reason)


def export(incident: Incident, *, by: User, purpose: str = "") -> Iterator[bytes]:
    """All evidence of an incident as a ZIP file, piece by piece.

    Damaged items are named in it and left out. That it leaves is written down before the first byte does.
    """
    whole, faulty = sound(queries.items(incident).order_by("number"))
    for item, how in faulty:
        damaged(item, how, by=by)
    manifest = _write_exported(incident, whole, faulty, by=by, purpose=purpose)
    return pack.pieces(manifest, whole)


@transaction.atomic
def _write_exported(
    incident: Incident,
    whole: list[EvidenceItem],
    faulty: list[tuple[EvidenceItem, str]],
    *,
    by: User,
    purpose: str,
) -> dict[str, Any]:
    """Write down that it leaves; what the pack says, as of this moment."""
    incident = Incident.objects.locked(incident.pk)
    at = timezone.now()
    left_out = f", {len(faulty)} damaged and left out" if faulty else ""
    CustodyLine.objects.create(
        incident=incident, deed=Deed.EXPORTED, at=at, by=by, detail=f"{len(whole)} items{left_out}. {purpose}"[:400]
    )
    _custody_of_all(whole, Deed.EXPORTED, by=by, detail=purpose)
    entry = ledger.append(
        "evidence.exported",
        subject=incident.ref,
        by=by,
        purpose=purpose,
        items=[f"{item.ref} {item.sha256}" for item in whole],
        left_out=[item.ref for item, _ in faulty],
    )
    checkpoint = ledger.make_checkpoint()
    lines = queries.custody_of(incident)
    return pack.manifest(
        incident,
        items=[*whole, *(item for item, _ in faulty)],
        faults={item.pk: how for item, how in faulty},
        custody=lines,
        holds=list(incident.holds.select_related("item", "placed_by", "lifted_by")),
        contexts=queries.contexts(incident),
        exported={"at": tree.stamp(at), "by": by.email, "purpose": purpose},
        ledger={"entry": entry.n, "leaf": entry.leaf, "checkpoint": str(checkpoint)},
    )


def _custody(item: EvidenceItem, deed: str, *, by: User, detail: str = "") -> None:
    CustodyLine.objects.create(
        incident_id=item.incident_id, item=item, deed=deed, at=timezone.now(), by=by, detail=detail[:400]
    )


def _custody_of_all(items: list[EvidenceItem], deed: str, *, by: User, detail: str) -> None:
    now = timezone.now()
    CustodyLine.objects.bulk_create(
        CustodyLine(incident_id=item.incident_id, item=item, deed=deed, at=now, by=by, detail=detail) for item in items
    )


def _record(deed: str, item: EvidenceItem, *, by: User, **facts: Any) -> None:
    said = {"item": item.ref, "sha256": item.sha256} | facts
    ledger.append(deed, subject=item.incident.ref, by=by, **said)


@transaction.atomic
def save_context(
    incident: Incident, data: dict[str, Any], decisions: list[dict[str, Any]], *, by: User, seen: int
) -> AiContext | None:
    """Keep what is said of the AI as the next revision; None when nothing differs from the newest.

    `data` are fields of AiContext, `decisions` those of AiDecision in order. `seen` is the revision the person had
    on the screen, 0 for none; refused when somebody saved since, saying who, when and what.
    """
    incident = Incident.objects.locked(incident.pk)
    if not queries.is_about_ai(incident):
        raise Refused("No AI is said to play a part in this incident. Say so under Impact first.")
    newest = queries.context(incident)
    if (newest.revision if newest else 0) != seen:
        raise Refused(f"Meanwhile {queries.saved_since(incident, seen)}. Compare below, then save again.")
    changed = queries.differing(newest, data, decisions)
    if not changed:
        return None
    saved = AiContext.objects.create(incident=incident, revision=seen + 1, saved_at=timezone.now(), saved_by=by, **data)
    AiDecision.objects.bulk_create(
        AiDecision(context=saved, position=position, **row) for position, row in enumerate(decisions, 1)
    )
    lifecycle.note(incident, NOTE, f"AI context written down: {', '.join(changed)}", by=by)
    ledger.append(
        "ai_context.saved",
        subject=incident.ref,
        by=by,
        revision=saved.revision,
        now=pack.context_facts(saved, list(saved.decisions.all())),
    )
    return saved
