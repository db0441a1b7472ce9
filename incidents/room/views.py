"""The room of an incident: one page that shows whoever looks what is due, who does it, and what was done.

It collects what the subjects know; nothing is decided here.
"""

import json
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from hashlib import sha256
from typing import Any

from django.contrib.auth.decorators import permission_required
from django.core.cache import caches
from django.core.paginator import Paginator
from django.db.models import F, OuterRef, Prefetch, QuerySet, Subquery
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from incidents import workflow
from incidents.comms import approvals, calls, laws, queries
from incidents.comms.actions import outside_rule
from incidents.comms.audiences import readers_of
from incidents.comms.letters import initial_fields
from incidents.comms.models import CommsDuty, LegalDeadline, Message
from incidents.evidence import queries as evidence
from incidents.evidence.models import EvidenceItem
from incidents.lifecycle import queries as lifecycle
from incidents.lifecycle.forms import NoteForm
from incidents.lifecycle.models import ControlRun, Incident, Role, RoleAssignment, TimelineEntry
from incidents.lifecycle.queries import WITH_HANDOVER
from incidents.policy import matrix
from incidents.policy.queries import pinned
from incidents.room import asked, checkpoints, lines
from incidents.runbooks import queries as runbooks
from incidents.runbooks.models import RunStep
from irportal import prose
from irportal.accounts.models import User
from irportal.outbox.audiences import reach
from irportal.parts import StaffRequest, carried_out, render_part
from statuspage.models import Notice

PAGE = "incidents/room/room.html"
LINES, ENDED, LEFT = 40, 12, 12  # rows of the record, shown in the room; the rest is on pages of its own
DUTIES, MESSAGES = 120, 60  # newest rows read for that, among them all that is open or waits
PAGE_ROWS = 50
COUNT_SECONDS = 10
WITH = ("components", Prefetch("laws", LegalDeadline.objects.select_related("entered_by", "withdrawn_by")))
see = permission_required("incidents.view_incident", raise_exception=True)


def get_incident(ref: str) -> Incident:
    """With its policy's rules, its parts, and the instants only other subjects know: each the first of its kind."""
    mine = {"incident": OuterRef("pk")}
    written = TimelineEntry.objects.filter(**mine).order_by("-pk")
    told = Message.objects.filter(**mine, audience=Message.Audience.INTERNAL, sent_at__isnull=False).order_by("sent_at")
    kept = EvidenceItem.objects.filter(**mine).order_by("received_at")
    steps = RunStep.objects.filter(
        run__incident=OuterRef("pk"), run__version__runbook__kind="containment", state=RunStep.State.DONE
    ).order_by("settled_at")
    controls = ControlRun.objects.filter(**mine, confirmed_at__isnull=False).order_by("confirmed_at")
    rows = Incident.objects.select_related("type", "policy_version__profile", "declared_by", "acknowledged_by")
    rows = rows.defer("policy_version__document")
    rows = rows.annotate(
        seen=Subquery(written.values("pk")[:1]),
        told_inside_at=Subquery(told.values("sent_at")[:1]),
        kept_at=Subquery(kept.values("received_at")[:1]),
        step_at=Subquery(steps.values("settled_at")[:1]),
        control_at=Subquery(controls.values("confirmed_at")[:1]),
    )
    found = get_object_or_404(rows.prefetch_related(*WITH), ref=ref)
    found.policy_version = pinned(found.policy_version)
    return found


@require_GET
@see
def incident(request: StaffRequest, ref: str) -> HttpResponse:
    return render_part(request, PAGE, "room", page_context(request, get_incident(ref)))


@require_GET
@see
def declared(request: StaffRequest, ref: str) -> HttpResponse:
    """The page that follows a declaration: the initial message first, ready to copy."""
    found = get_incident(ref)
    waiting = found.duties.open().select_related("law").order_by("due_at", "pk")
    context = {"incident": found, "now": timezone.now(), "waiting": waiting, "fields": initial_fields(found)}
    return render(request, "incidents/lifecycle/declared.html", context)


@require_POST
@permission_required("incidents.update_incident", raise_exception=True)
def add_note(request: StaffRequest, ref: str) -> HttpResponse:
    found = get_incident(ref)
    form = NoteForm(request.POST)
    if carried_out(form, lambda data: workflow.add_note(found, **data, by=request.user)):
        return redirect(f"{found.get_absolute_url()}#timeline")
    return render(request, PAGE, {**page_context(request, found), "note_form": form}, status=400)


@require_GET
@see
def record(request: StaffRequest, ref: str, what: str) -> HttpResponse:
    """All of what the room shows the newest of: `timeline`, `promises` or `messages`, a page at a time."""
    found = get_incident(ref)
    rows: dict[str, QuerySet[Any]] = {"timeline": _lines(found), "promises": _ended(found), "messages": _left(found)}
    page = Paginator(rows[what], PAGE_ROWS).get_page(request.GET.get("page"))
    now = timezone.now()
    context = {"incident": found, "page": page, "what": what, "now": now}
    if what == "messages":
        _count_deliveries(found, list(page.object_list))
    elif what == "timeline":
        context["drawn"] = _drawn(request, found, page, now)
    return render(request, "incidents/room/record.html", context)


def _lines(incident: Incident) -> QuerySet[TimelineEntry]:
    return incident.timeline.select_related("author", "corrected_by").order_by("-occurred_at", "-pk")


def _drawn(request: StaffRequest, incident: Incident, entries: Iterable[TimelineEntry], now: datetime) -> list[str]:
    return lines.drawn(incident, entries, now, may_correct=request.user.has_perm("incidents.update_incident"))


def _ended(incident: Incident) -> QuerySet[CommsDuty]:
    rows = incident.duties.exclude(outcome=CommsDuty.Outcome.OPEN).select_related("message", "by", "law")
    return rows.order_by("-ended_at", "-pk")


def _left(incident: Incident) -> QuerySet[Message]:
    rows = incident.messages.filter(status=Message.Status.SENT)
    return rows.select_related("author", "approved_by", "review__by").order_by("-sent_at", "-pk")


def _count_deliveries(incident: Incident, messages: list[Message]) -> None:
    sent = queries.deliveries(messages)
    for message in messages:
        message.incident, message.counts = incident, sent.get(message.announcement_key)  # type: ignore[attr-defined]


def page_context(request: StaffRequest, incident: Incident) -> dict[str, Any]:
    """Everything the room shows; its number of queries does not depend on how long the record is."""
    now, me = timezone.now(), request.user
    roles = list(incident.roles.filter(ended_at=None).select_related(*WITH_HANDOVER))
    held = {row.role: row.person for row in roles}
    promises, texts = _promises(incident, held, me, now), _texts(incident, roles, me)
    team = _team(incident, roles, me, now)
    entries = list(_lines(incident)[: LINES + 1])
    gate, points = lifecycle.gate_state(incident, now), _points(incident, now)
    known = {"held": held, "waiting": promises["waiting"], "drafts": texts["drafts"], "seats": team["seats"]}
    return {
        "incident": incident,
        "now": now,
        "clock": checkpoints.clock((incident.resolved_at or now) - incident.detected_at),
        "phase": checkpoints.phase(incident.detected_at, incident.resolved_at, now),
        "points": points,
        "my_roles": asked.roles_of(me, held),
        "asked": asked.of(me, incident, **known, points=points, gate=gate, now=now),
        "roles": roles,
        "lines": _drawn(request, incident, entries[:LINES], now),
        "lines_more": len(entries) > LINES,
        "note_form": NoteForm(initial={"at": now}),
        "notice": _notice(incident),
        "fields": initial_fields(incident, held),
        "targets": targets(incident, team["response"]),
        "gate": gate,
        "runs": lifecycle.control_runs(incident, now),
        "panel": runbooks.panel(incident),
        "evidence": evidence.panel(incident),
        **promises,
        **texts,
        **team,
        **_laws(incident, me),
    }


def _promises(incident: Incident, held: dict[str, User], me: User, now: datetime) -> dict[str, Any]:
    """What is due, and the newest of what ended."""
    newest = incident.duties.order_by(F("ended_at").desc(nulls_first=True), "-pk")  # first what is open
    duties = list(newest.select_related("message", "by", "law")[:DUTIES])
    _explain(incident, duties, held, me)
    waiting = [duty for duty in duties if duty.outcome == CommsDuty.Outcome.OPEN]
    ended = [duty for duty in duties if duty.outcome != CommsDuty.Outcome.OPEN]
    return {
        "slab": queries.lanes(incident, duties, now),
        "waiting": sorted(waiting, key=lambda duty: duty.due_at),
        "ended": ended[:ENDED],
        "ended_more": len(ended) > ENDED,
    }


def _texts(incident: Incident, held: list[RoleAssignment], me: User) -> dict[str, Any]:
    """The drafts that wait, and the newest of what left."""
    rows = incident.messages.filter(status__in=[Message.Status.DRAFT, Message.Status.SENT])
    rows = rows.order_by(F("sent_at").desc(nulls_first=True), "-pk")  # first what waits
    messages = list(rows.select_related("author", "approved_by", "review__by")[:MESSAGES])
    _count_deliveries(incident, messages)
    left = [message for message in messages if message.status == Message.Status.SENT]
    drafts = [message for message in messages if message.status == Message.Status.DRAFT]
    return {
        "drafts": panels(incident, drafts[::-1], me, held),
        "sent": left[:LEFT],
        "sent_more": len(left) > LEFT,
        "may_state": outside_rule(incident) != "no",
    }


def _laws(incident: Incident, me: User) -> dict[str, Any]:
    """The dates laws demand, and who may enter or withdraw them."""
    may_withdraw = me.has_perm("incidents.waive_duty")
    answers = not may_withdraw and me in laws.answering(incident).values()
    return {
        "laws": incident.laws.all(),
        "may_enter_law": answers or me.has_perm("incidents.update_incident"),
        "may_withdraw_law": answers or may_withdraw,
        "answers": answers,
    }


def _team(incident: Incident, held: list[RoleAssignment], me: User, now: datetime) -> dict[str, Any]:
    """Who holds which role and which are gaps, who was called, and how soon somebody worked on it."""
    changes = list(incident.severity_changes.values_list("at", "now"))
    pages = calls.shown(incident, me)
    return {
        "seats": lifecycle.seats(incident, held),
        "may_hand_over": me.has_perm("incidents.command_incident") or any(row.person_id == me.pk for row in held),
        "pages": pages,
        "response": lifecycle.response(incident, changes, now),
        "first_page": calls.first_page(incident, pages, changes[0][1] if changes else incident.severity),
    }


def _notice(incident: Incident) -> Notice | None:
    """What the page says of it, with its post-mortems once it is over."""
    rows = Notice.objects.filter(ref=incident.ref).select_related("vendor")
    return (rows if incident.is_open else rows.prefetch_related("postmortems")).first()


def _explain(incident: Incident, duties: list[CommsDuty], held: dict[str, User], me: User) -> None:
    """Who owns each duty, whether that is `me`, and what happens if nobody acts."""
    limit = incident.policy_version.holding_max_consecutive
    names = {role: str(person) for role, person in held.items()}
    before: dict[str, list[str]] = defaultdict(list)
    for duty in sorted(duties, key=lambda duty: duty.seq):
        past = before[duty.message_class]
        duty.incident = incident
        duty.owner = queries.owner(duty, names)  # type: ignore[attr-defined]
        owner = held.get(queries.role_of(duty)) or held.get(Role.INCIDENT_COMMANDER)
        duty.is_mine = owner == me and not duty.is_review  # type: ignore[attr-defined]
        duty.otherwise = queries.otherwise(duty, past[-limit:] == ["holding"] * limit)  # type: ignore[attr-defined]
        past.append(duty.outcome)


def _points(incident: Incident, now: datetime) -> list[checkpoints.Checkpoint]:
    """The checkpoints the incident's own policy sets for its severity, and when each was reached."""
    rows = incident.policy_version.checkpoints.all()
    limits = [(row.name, matrix.length(row.after)) for row in rows if row.rank == incident.severity]
    told, kept, step, control = (incident.told_inside_at, incident.kept_at, incident.step_at, incident.control_at)  # type: ignore[attr-defined]
    stable = min(filter(None, (incident.recovered_at, incident.contained_at)), default=None)
    met = {
        "classified": incident.declared_at,
        "first_containment": min(filter(None, (incident.contained_at, step, control)), default=None),
        "evidence_snapshot": kept,
        "stabilised": max(stable, told) if stable and told else None,
        "contained": incident.contained_at,
        "resolved": incident.resolved_at,
    }
    return checkpoints.judge(limits, incident.detected_at, met, now, over_at=incident.resolved_at)


def panels(incident: Incident, drafts: list[Message], me: User, held: list[RoleAssignment]) -> list[Message]:
    """The drafts with their approvals: who gave, who is missing, whether `me` can, how many readers it reaches."""
    if not drafts:
        return drafts
    seats, readers = approvals.seats_of(drafts, held), readers_of(incident)
    audiences = {draft.pk: "contracts" if draft.is_notice else "customers" for draft in drafts}
    counts = {audience: _reach(audience, readers) for audience in set(audiences.values())}
    for draft in drafts:
        waiting = [seat for seat in seats[draft.pk] if not seat.given]
        mine = [seat for seat in waiting if seat.may_be_taken_by(me)] if draft.author_id != me.pk else []
        draft.seats, draft.mine = seats[draft.pk], mine  # type: ignore[attr-defined]
        draft.is_last = len(mine) == len(waiting)  # type: ignore[attr-defined]
        draft.html = prose.render(draft.text)  # type: ignore[attr-defined]
        draft.reach = counts[audiences[draft.pk]]  # type: ignore[attr-defined]
    return drafts


def _reach(audience: str, facts: dict[str, Any]) -> int:
    """How many would hear of it, counted once in COUNT_SECONDS however often the room is looked at."""
    key = sha256(f"{audience}|{json.dumps(facts, sort_keys=True)}".encode()).hexdigest()
    return int(caches["process"].get_or_set(key, lambda: reach(audience, facts), COUNT_SECONDS) or 0)


def targets(incident: Incident, response: Any = None) -> list[dict[str, Any]]:
    """Each instant with the limit the policy sets for it, counted from detection, and whether it was met.

    `response` knows under which severity it had to be acknowledged.
    """
    level = next((row for row in incident.policy_version.severities.all() if row.rank == incident.severity), None)
    limits = {"acknowledged": "acknowledge", "contained": "contain", "resolved": "resolve"}
    rows = []
    for name in ("started", "detected", "acknowledged", "identified", "contained", "recovered", "resolved"):
        at, amount = getattr(incident, f"{name}_at"), getattr(level, limits.get(name, ""), "")
        limit = matrix.due(amount, incident.detected_at) if amount else None
        limit = response[1].due_at if response and name == "acknowledged" else limit
        met = bool(at and limit and at <= limit)
        rows.append({"name": name.capitalize(), "at": at, "limit": limit, "met": met})
    return rows
