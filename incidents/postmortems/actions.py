"""Deeds on a post-mortem. Each locks the post-mortem, then the ledger."""

import json
from typing import Any

from django.db import transaction
from django.utils import timezone

from incidents.lifecycle.models import Incident
from incidents.postmortems import queries, sections
from incidents.postmortems.models import ActionItem, PostMortem
from incidents.postmortems.queries import content_hash
from irportal.accounts.models import User
from irportal.ledger import actions as ledger
from irportal.refused import Refused

__all__ = ["approve", "content_hash", "exported", "open_for", "save_draft", "send_back", "submit"]
Status = PostMortem.Status


@transaction.atomic
def open_for(incident: Incident, *, by: User | None) -> PostMortem:
    """The incident's post-mortem; begun from the record when there is none yet.

    An approved one begins its next version: the incident was opened again and has more to tell. What was approved
    stays provable by its hash in the ledger and in the report made of it.
    """
    incident = Incident.objects.locked(incident.pk)
    found = PostMortem.objects.filter(incident=incident).first()
    if found:
        return _next_version(found, by=by) if found.is_approved else found
    reason = incident.gate_override_reason
    lacked = f"; missing were: {'; '.join(incident.gate_lacked)}" if incident.gate_lacked else ""
    postmortem = PostMortem.objects.create(
        incident=incident,
        summary=_first_summary(incident),
        customer_impact=incident.impact_text,
        detection=f"First noticed by: {incident.get_detection_source_display().lower()}.",
        went_wrong=f"Closed before the recovery gate was open{lacked}. The reason given: {reason}" if reason else "",
    )
    ledger.append("postmortem.opened", subject=incident.ref, by=by, version=postmortem.version)
    return postmortem


def _next_version(postmortem: PostMortem, *, by: User | None) -> PostMortem:
    postmortem = _locked(postmortem)
    before = postmortem.content_hash
    postmortem.move_to(Status.DRAFT)
    postmortem.version += 1
    postmortem.submitted_at = postmortem.approver = postmortem.approved_at = None
    postmortem.content_hash = ""
    postmortem.save(
        update_fields=["status", "version", "submitted_at", "approver", "approved_at", "content_hash", "updated_at"]
    )
    ledger.append(
        "postmortem.opened", subject=postmortem.incident.ref, by=by, version=postmortem.version, approved_before=before
    )
    return postmortem


def _first_summary(incident: Incident) -> str:
    """A draft to write over: what the record knows, and nothing else."""
    names = [row.component.name for row in queries.components_of(incident)]
    began, ended = incident.started_at, incident.resolved_at
    parts = [
        f"On {began.day} {began:%B %Y}, from {began:%H:%M} UTC, {incident.title}.",
        f"Affected: {', '.join(names)}." if names else "",
    ]
    if ended:
        took = sections.duration(ended - began)
        parts.append(f"It was resolved at {sections.clock(ended, began)} UTC, {took} after it began.")
    return " ".join(filter(None, parts))


@transaction.atomic
def save_draft(postmortem: PostMortem, data: dict[str, Any], *, by: User, seen: int) -> PostMortem:
    """Write the named fields, and the action items when `data["actions"]` lists them ({id, action, ...}).

    `seen` is the revision the person had on the screen. Refused when somebody saved since, saying who, when
    and what; and when it is no draft any more. Saving nothing new leaves no trace.
    """
    postmortem = _locked(postmortem)
    if not postmortem.is_draft:
        state = postmortem.get_status_display().lower()
        raise Refused(f"This post-mortem is {state}; send it back before changing it.")
    _refuse_stale(postmortem, seen)
    data = dict(data)
    rows = data.pop("actions", None)
    changed = [name for name, value in data.items() if getattr(postmortem, name) != value]
    for name in changed:
        setattr(postmortem, name, data[name])
    now: dict[str, Any] = {name: queries.plain(data[name]) for name in changed}
    if rows is not None and _replace_items(postmortem, rows):
        changed.append("action items")
        now["action items"] = queries.content(postmortem)["actions"]
    if not changed:
        return postmortem
    postmortem.revision += 1
    postmortem.author = postmortem.author or by
    postmortem.saved_by = by
    postmortem.save()
    ledger.append(
        "postmortem.saved",
        subject=postmortem.incident.ref,
        by=by,
        revision=postmortem.revision,
        changed=changed,
        now=now,
    )
    return postmortem


def _locked(postmortem: PostMortem) -> PostMortem:
    return PostMortem.objects.select_for_update(of=("self",)).select_related("incident").get(pk=postmortem.pk)


def _refuse_stale(postmortem: PostMortem, seen: int) -> None:
    if seen == postmortem.revision:
        return
    said = []
    for entry in queries.saves_after(postmortem, seen):
        line = json.loads(entry.line)
        who = User.objects.filter(email=line["by"]).first() or line["by"]
        said.append(f"{who} saved at {entry.recorded_at:%H:%M:%S} UTC and changed {_named(line['facts']['changed'])}")
    told = "; ".join(said) or "It was saved by somebody else"
    raise Refused(f"Meanwhile {told}. Compare below, then save again to keep what you typed.")


def _named(names: list[str]) -> str:
    """Field names as the form calls them."""
    labels = {field.name: str(field.verbose_name) for field in PostMortem._meta.fields}
    return ", ".join(labels.get(name, name) for name in names)


def _replace_items(postmortem: PostMortem, rows: list[dict[str, Any]]) -> bool:
    """Make the action items exactly these, in this order; say whether anything changed."""
    before = list(postmortem.action_items.values("pk", "position", *queries.ACTION, "owner"))
    known = {item.pk: item for item in postmortem.action_items.all()}
    for position, row in enumerate(rows, 1):
        item = known.pop(row.get("id") or 0, None) or ActionItem(postmortem=postmortem)
        for name, value in (row | {"position": position}).items():
            if name != "id":
                setattr(item, name, value)
        item.save()
    postmortem.action_items.filter(pk__in=known).delete()
    return before != list(postmortem.action_items.values("pk", "position", *queries.ACTION, "owner"))


@transaction.atomic
def submit(postmortem: PostMortem, *, by: User) -> PostMortem:
    """Draft to review. Refused while the publication gate asks for something; every such thing is named."""
    postmortem = _locked(postmortem)
    postmortem.move_to(Status.REVIEW)
    if asks := queries.missing(postmortem):
        raise Refused(" ".join(asks))
    postmortem.author = postmortem.author or by
    postmortem.submitted_at = timezone.now()
    postmortem.save(update_fields=["status", "author", "submitted_at", "updated_at"])
    ledger.append(
        "postmortem.submitted",
        subject=postmortem.incident.ref,
        by=by,
        version=postmortem.version,
        content=content_hash(postmortem),
    )
    return postmortem


@transaction.atomic
def send_back(postmortem: PostMortem, *, reason: str, by: User) -> PostMortem:
    """Review to draft, as the next version. Refused without a reason."""
    if not reason.strip():
        raise Refused("Say what should change before you send it back.")
    postmortem = _locked(postmortem)
    postmortem.move_to(Status.DRAFT)
    postmortem.version += 1
    postmortem.submitted_at = None
    postmortem.save(update_fields=["status", "version", "submitted_at", "updated_at"])
    ledger.append(
        "postmortem.sent_back",
        subject=postmortem.incident.ref,
        by=by,
        reason=reason,
        version=postmortem.version,
    )
    return postmortem


@transaction.atomic
def approve(postmortem: PostMortem, *, by: User, content_hash: str) -> PostMortem:
    """Review to approved, bound to what the person saw.

    Refused for whoever wrote it, and when text, timeline or facts changed since `content_hash` was shown.
    """
    postmortem = _locked(postmortem)
    postmortem.move_to(Status.APPROVED)
    if queries.has_written(postmortem, by):
        raise Refused("You wrote this post-mortem; somebody else has to approve it.")
    if queries.content_hash(postmortem) != content_hash:
        raise Refused("The post-mortem or the incident's record changed after you opened this page. Read it again.")
    postmortem.approver, postmortem.approved_at = by, timezone.now()
    postmortem.content_hash = content_hash
    postmortem.save(update_fields=["status", "approver", "approved_at", "content_hash", "updated_at"])
    ledger.append(
        "postmortem.approved",
        subject=postmortem.incident.ref,
        by=by,
        version=postmortem.version,
        content=content_hash,
    )
    return postmortem


def exported(postmortem: PostMortem, *, by: User) -> None:
    """Record that a copy is handed out, and make the checkpoint it carries cover the whole record."""
    ledger.append(
        "postmortem.exported",
        subject=postmortem.incident.ref,
        by=by,
        status=postmortem.status,
        version=postmortem.version,
    )
    ledger.make_checkpoint()
