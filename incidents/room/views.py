"""The room of an incident: one page that shows whoever looks what is due, who does it, and what was done.

It collects what the subjects know; nothing is decided here.
"""

from collections import defaultdict
from datetime import datetime
from typing import Any

from django.contrib.auth.decorators import permission_required
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
from incidents.comms.models import CommsDuty, Message
from incidents.evidence import queries as evidence
from incidents.lifecycle import queries as lifecycle
from incidents.lifecycle.forms import NoteForm
from incidents.lifecycle.models import Incident, IncidentComponent, Role, RoleAssignment, TimelineEntry
from incidents.lifecycle.queries import WITH_HANDOVER
from incidents.policy import matrix
from incidents.room import asked, checkpoints
from incidents.runbooks import queries as runbooks
from irportal import prose
from irportal.accounts.models import User
from irportal.outbox.audiences import reach
from irportal.parts import StaffRequest, carried_out, render_part
from statuspage.models import Notice

PAGE = "incidents/room/room.html"
LINES, ENDED, LEFT = 40, 12, 12  # rows of the record, shown in the room; the rest is on pages of its own
DUTIES, MESSAGES = 120, 60  # newest rows read for that, among them all that is open or waits
PAGE_ROWS = 100
see = permission_required("incidents.view_incident", raise_exception=True)


def get_incident(ref: str) -> Incident:
    newest = TimelineEntry.objects.filter(incident=OuterRef("pk")).order_by("-pk").values("pk")[:1]
    told = Message.objects.filter(incident=OuterRef("pk"), audience=Message.Audience.INTERNAL, sent_at__isnull=False)
    rows = Incident.objects.select_related("type", "policy_version__profile", "declared_by", "acknowledged_by")
    rows = rows.prefetch_related(
        "policy_version__severities", Prefetch("components", IncidentComponent.objects.select_related("component"))
    )
    return get_object_or_404(
        rows.annotate(seen=Subquery(newest), told_inside_at=Subquery(told.order_by("sent_at").values("sent_at")[:1])),
        ref=ref,
    )


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
    if what == "messages":
        _count_deliveries(found, list(page.object_list))
    context = {"incident": found, "page": page, "what": what, "now": timezone.now()}
    return render(request, "incidents/room/record.html", context)


def _lines(incident: Incident) -> QuerySet[TimelineEntry]:
    return incident.timeline.select_related("author", "corrected_by").order_by("-occurred_at", "-pk")


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
    newest = incident.duties.order_by(F("ended_at").desc(nulls_first=True), "-pk")  # first what is open
    duties = list(newest.select_related("message", "by", "law")[:DUTIES])
    _explain(incident, duties, held, me)
    waiting = sorted((d for d in duties if d.outcome == CommsDuty.Outcome.OPEN), key=lambda d: d.due_at)
    ended = sorted((d for d in duties if d.outcome != CommsDuty.Outcome.OPEN), key=_end, reverse=True)
    texts = incident.messages.filter(status__in=[Message.Status.DRAFT, Message.Status.SENT])
    texts = texts.order_by(F("sent_at").desc(nulls_first=True), "-pk")  # first what waits
    messages = list(texts.select_related("author", "approved_by", "review__by")[:MESSAGES])
    left = [message for message in messages if message.status == Message.Status.SENT]
    _count_deliveries(incident, messages)
    drafts = panels(incident, [message for message in messages if message.status == Message.Status.DRAFT], me)
    points = checkpoints.judge(
        incident.severity, incident.detected_at, _met(incident), now, over_at=incident.resolved_at
    )
    team = _team(incident, roles, me, now)
    may_withdraw = me.has_perm("incidents.waive_duty")
    answers = not may_withdraw and me in laws.answering(incident).values()
    return {
        "incident": incident,
        "now": now,
        "clock": checkpoints.clock((incident.resolved_at or now) - incident.detected_at),
        "phase": checkpoints.phase(incident.detected_at, incident.resolved_at, now),
        "points": points,
        "my_roles": asked.roles_of(me, held),
        "asked": asked.of(me, incident, held=held, waiting=waiting, drafts=drafts, points=points, now=now),
        "slab": queries.lanes(incident, duties, now),
        "waiting": waiting,
        "ended": ended[:ENDED],
        "ended_more": len(ended) > ENDED,
        "drafts": drafts,
        "sent": left[:LEFT],
        "sent_more": len(left) > LEFT,
        "roles": roles,
        "laws": incident.laws.select_related("entered_by", "withdrawn_by"),
        "may_enter_law": answers or me.has_perm("incidents.update_incident"),
        "may_withdraw_law": answers or may_withdraw,
        "answers": answers,
        "may_state": outside_rule(incident) != "no",
        "entries": list(_lines(incident)[: LINES + 1]),
        "lines": LINES,
        "notice": _notice(incident),
        "fields": initial_fields(incident, held),
        "targets": targets(incident, team["response"]),
        "note_form": NoteForm(initial={"at": now}),
        **team,
        "gate": lifecycle.gate_state(incident, now),
        "runs": lifecycle.control_runs(incident, now),
        "panel": runbooks.panel(incident),
        "evidence": evidence.panel(incident),
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


def _end(duty: CommsDuty) -> datetime:
    return duty.ended_at or duty.due_at


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


def _met(incident: Incident) -> dict[str, datetime | None]:
    """When each checkpoint was reached."""
    told: datetime | None = incident.told_inside_at  # type: ignore[attr-defined]
    stable = min(filter(None, (incident.recovered_at, incident.contained_at)), default=None)
    return {
        "classified": incident.declared_at,
        "first_containment": incident.contained_at,
        "stabilised": max(stable, told) if stable and told else None,
        "contained": incident.contained_at,
        "resolved": incident.resolved_at,
    }


def panels(incident: Incident, drafts: list[Message], me: User) -> list[Message]:
    """The drafts with their approvals: who gave, who is missing, whether `me` can, how many readers it reaches."""
    if not drafts:
        return drafts
    seats, readers = approvals.seats_of(drafts), readers_of(incident)
    audiences = {draft.pk: "contracts" if draft.is_notice else "customers" for draft in drafts}
    counts = {audience: reach(audience, readers) for audience in set(audiences.values())}
    for draft in drafts:
        waiting = [seat for seat in seats[draft.pk] if not seat.given]
        mine = [seat for seat in waiting if seat.may_be_taken_by(me)] if draft.author_id != me.pk else []
        draft.seats, draft.mine = seats[draft.pk], mine  # type: ignore[attr-defined]
        draft.is_last = len(mine) == len(waiting)  # type: ignore[attr-defined]
        draft.html = prose.render(draft.text)  # type: ignore[attr-defined]
        draft.reach = counts[audiences[draft.pk]]  # type: ignore[attr-defined]
    return drafts


def targets(incident: Incident, response: Any) -> list[dict[str, Any]]:
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
