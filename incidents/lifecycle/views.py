"""The list, the declaration, the incident page and the small forms beside it."""

from typing import Any

from django.contrib.auth.decorators import permission_required
from django.db.models import Max, Min, Q
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from incidents import workflow
from incidents.comms import approvals, laws, queries
from incidents.comms.actions import outside_rule
from incidents.comms.audiences import readers_of
from incidents.comms.letters import initial_fields
from incidents.comms.models import Message
from incidents.lifecycle import actions
from incidents.lifecycle.forms import (
    CorrectionForm,
    DeclareForm,
    ImpactForm,
    NoteForm,
    RoleForm,
    SeverityForm,
)
from incidents.lifecycle.models import Incident, TimelineEntry
from incidents.policy import matrix
from incidents.policy.models import IncidentType, PolicyVersion
from irportal import prose
from irportal.accounts.models import User
from irportal.outbox.audiences import reach
from irportal.parts import StaffRequest, carried_out, render_part
from irportal.refused import Refused
from statuspage.models import Notice

LIST, PAGE, DECLARE = (f"incidents/lifecycle/{name}.html" for name in ("list", "incident", "declare"))
ONE_FIELD = "incidents/lifecycle/change.html"
see = permission_required("incidents.view_incident", raise_exception=True)
command = permission_required("incidents.command_incident", raise_exception=True)
record = permission_required("incidents.update_incident", raise_exception=True)


@require_GET
@see
def home(request: StaffRequest) -> HttpResponse:
    rows = (
        Incident.objects.select_related("type", "policy_version__profile")
        .prefetch_related("policy_version__severities", "components__component")
        .annotate(next_due=Min("duties__due_at", filter=Q(duties__outcome="open")))
    )
    context = {"open": rows.open(), "closed": rows.filter(status=Incident.Status.RESOLVED)[:30]}
    return render(request, LIST, context)


# Declaring


@require_http_methods(["GET", "POST"])
@permission_required("incidents.declare_incident", raise_exception=True)
def declare(request: StaffRequest) -> HttpResponse:
    policy = PolicyVersion.objects.in_force(timezone.now())
    now = timezone.now()
    initial = {"started_at": now, "detected_at": now, "commander": request.user.pk}
    form = DeclareForm(request.POST or None, policy=policy, initial=initial)
    if form.is_valid():
        try:
            incident = workflow.declare(declaration(form), by=request.user)
        except Refused as refusal:
            form.add_error(None, str(refusal))
        else:
            return redirect("portal:declared", incident.ref)
    rank = int(form["severity"].value() or 1) if str(form["severity"].value() or "1") in "1234" else 1
    context = {
        "form": form,
        **outlook(policy, rank),
        "suggestion": suggestion(str(form["type"].value() or "")),
    }
    context["already_open"] = Incident.objects.open().prefetch_related("policy_version__severities")
    return render(request, DECLARE, context, status=400 if form.errors else 200)


def declaration(form: DeclareForm) -> actions.Declaration:
    data = form.cleaned_data
    return actions.Declaration(
        title=data["title"],
        type=data["type"],
        rank=data["severity"],
        components=form.components(),
        started_at=data["started_at"],
        detected_at=data["detected_at"],
        source=data["source"],
        impact=data["impact"],
        commander=data["commander"],
        personal_data=data["personal_data"],
        ai_involved=data["ai_involved"],
    )


@require_GET
@permission_required("incidents.declare_incident", raise_exception=True)
def advice(request: StaffRequest, part: str) -> HttpResponse:
    """For the declare form while it is filled: `suggestion` for a type, `outlook` for a severity."""
    policy = PolicyVersion.objects.in_force(timezone.now())
    rank = request.GET.get("severity", "1")
    context = {
        "suggestion": suggestion(request.GET.get("type", "")),
        **outlook(policy, int(rank) if rank in ("1", "2", "3", "4") else 1),
    }
    return render(request, f"{DECLARE}#{part}", context)


def suggestion(code: str) -> IncidentType | None:
    return IncidentType.objects.filter(code=code).first() if code.isalnum() else None


def outlook(policy: PolicyVersion | None, rank: int) -> dict[str, Any]:
    """What would be owed, by when, if an incident of this rank were declared now and touched customers."""
    if policy is None:
        return {"policy": None, "levels": [], "promised": []}
    now, rules = timezone.now(), policy.rules()
    facts = matrix.Facts(affected=True, down=True)
    levels = list(policy.severities.filter(enabled=True))
    promised = [
        (matrix.due(duty.first, now), duty.message_class, matrix.words(duty.every) if duty.every else "")
        for audience in matrix.AUDIENCES
        for duty in matrix.duties_for(rules, rank, audience, facts)
        if duty.first
    ]
    answer = next((level for level in levels if level.rank == rank), None)
    for level in levels:
        level.terms = level.definitions.replace("\n", " ")  # type: ignore[attr-defined]
        level.starts = starts(rules, level.rank)  # type: ignore[attr-defined]
    return {"policy": policy, "levels": levels, "level": answer, "promised": sorted(promised)}


def starts(rules: matrix.Rules, rank: int) -> str:
    """One line on what a severity sets going: `Status page in 15 min, then every 30 min · customers …`."""
    words = {
        "status_page": "Status page",
        "status_update": "Customers",
        "internal_update": "Internal readers",
    }
    found = []
    for audience in matrix.AUDIENCES:
        for duty in matrix.duties_for(rules, rank, audience, matrix.Facts(affected=True, down=True)):
            if duty.message_class in words and duty.first:
                every = f", then every {matrix.words(duty.every)}" if duty.every else ""
                found.append(f"{words[duty.message_class]} in {matrix.words(duty.first)}{every}")
    optional = rules.cells.get((rank, "customers"), ("", ""))[0] == "optional_if_affected"
    nothing = "Customers may be told, at the start and at the end." if optional else "Nothing is owed to customers."
    return " · ".join(found) or nothing


# The incident page


def get_incident(ref: str) -> Incident:
    rows = Incident.objects.select_related("type", "policy_version__profile", "declared_by")
    return get_object_or_404(rows.prefetch_related("policy_version__severities"), ref=ref)


def page_context(request: StaffRequest, incident: Incident) -> dict[str, Any]:
    """Everything the incident page shows; its number of queries does not depend on how long the record is."""
    now = timezone.now()
    duties = list(incident.duties.select_related("message", "by", "law"))
    may_withdraw = request.user.has_perm("incidents.waive_duty")
    answers = not may_withdraw and request.user in laws.answering(incident).values()
    roles = list(incident.roles.filter(ended_at=None).select_related("person"))
    held = {row.role: str(row.person) for row in roles}
    messages = list(incident.messages.select_related("author", "approved_by", "review__by"))
    drafts = [message for message in messages if message.status == Message.Status.DRAFT]
    sent = queries.deliveries(messages)
    for message in messages:
        message.counts = sent.get(message.announcement_key)  # type: ignore[attr-defined]
        message.incident = incident
    for duty in duties:
        duty.incident = incident
        duty.owner = queries.owner(duty, held)  # type: ignore[attr-defined]
        before = [d.outcome for d in duties if d.message_class == duty.message_class and d.seq < duty.seq]
        limit = incident.policy_version.holding_max_consecutive
        used = before[-limit:] == ["holding"] * limit
        duty.otherwise = queries.otherwise(duty, used)  # type: ignore[attr-defined]
    entries = list(incident.timeline.select_related("author", "corrected_by").order_by("-occurred_at", "-pk"))
    readers = readers_of(incident)
    return {
        "incident": incident,
        "now": now,
        "slab": queries.lanes(incident, duties, now),
        "waiting": sorted((d for d in duties if d.outcome == "open"), key=lambda d: d.due_at),
        "ended": sorted((d for d in duties if d.outcome != "open"), key=lambda d: d.ended_at or now, reverse=True),
        "drafts": panels(drafts, readers, request.user),
        "sent": [message for message in reversed(messages) if message.status == Message.Status.SENT],
        "roles": roles,
        "laws": incident.laws.select_related("entered_by", "withdrawn_by"),
        "may_enter_law": answers or request.user.has_perm("incidents.update_incident"),
        "may_withdraw_law": answers or may_withdraw,
        "answers": answers,
        "may_state": outside_rule(incident) != "no",
        "components": incident.components.select_related("component"),
        "entries": entries,
        "seen": max((entry.pk for entry in entries), default=0),
        "reach": reach("customers", readers),
        "notice": Notice.objects.told().filter(ref=incident.ref).first(),
        "fields": initial_fields(incident),
        "targets": targets(incident),
        "note_form": NoteForm(initial={"at": now}),
    }


def panels(drafts: list[Message], readers: dict[str, Any], me: User) -> list[Message]:
    """The drafts with their approvals: who gave, who is missing, whether `me` can, how many of `readers` it reaches."""
    if not drafts:
        return drafts
    seats = approvals.seats_of(drafts)
    counts = {audience: reach(audience, readers) for audience in ("customers", "contracts")}
    for draft in drafts:
        waiting = [seat for seat in seats[draft.pk] if not seat.given]
        mine = [seat for seat in waiting if seat.may_be_taken_by(me)] if draft.author_id != me.pk else []
        draft.seats, draft.mine = seats[draft.pk], mine  # type: ignore[attr-defined]
        draft.is_last = len(mine) == len(waiting)  # type: ignore[attr-defined]
        draft.html = prose.render(draft.text)  # type: ignore[attr-defined]
        draft.reach = counts["contracts" if draft.is_notice else "customers"]  # type: ignore[attr-defined]
    return drafts


def targets(incident: Incident) -> list[dict[str, Any]]:
    """Each instant with the limit the policy sets for it, counted from detection, and whether it was met."""
    level = next((row for row in incident.policy_version.severities.all() if row.rank == incident.severity), None)
    limits = {"acknowledged": "acknowledge", "contained": "contain", "resolved": "resolve"}
    rows = []
    for name in ("started", "detected", "acknowledged", "identified", "contained", "recovered", "resolved"):
        at, amount = getattr(incident, f"{name}_at"), getattr(level, limits.get(name, ""), "")
        limit = matrix.due(amount, incident.detected_at) if amount else None
        met = bool(at and limit and at <= limit)
        rows.append({"name": name.capitalize(), "at": at, "limit": limit, "met": met})
    return rows


@require_GET
@see
def incident(request: StaffRequest, ref: str) -> HttpResponse:
    found = get_incident(ref)
    return render_part(request, PAGE, "live", page_context(request, found))


@require_GET
@see
def declared(request: StaffRequest, ref: str) -> HttpResponse:
    """The page that follows a declaration: the initial message first, ready to copy."""
    found = get_incident(ref)
    return render(request, "incidents/lifecycle/declared.html", page_context(request, found))


# Small forms beside the record


def _newest(incident: Incident) -> int:
    return incident.timeline.aggregate(newest=Max("pk"))["newest"] or 0


def _show(request: StaffRequest, incident: Incident, form: Any, title: str, button: str, **more: Any) -> HttpResponse:
    """The form again; once a refusal has said what changed meanwhile, that counts as seen."""
    if getattr(form, "was_refused", False) and hasattr(form, "see"):
        form.see(_newest(incident))
    context = {"incident": incident, "form": form, "title": title, "button": button, **more}
    return render(request, ONE_FIELD, context, status=400 if form.errors else 200)


@require_http_methods(["GET", "POST"])
@command
def severity(request: StaffRequest, ref: str) -> HttpResponse:
    found = get_incident(ref)
    initial = {"severity": found.severity, "seen": _newest(found)}
    form = SeverityForm(request.POST or None, incident=found, initial=initial)

    def change(data: dict[str, Any]) -> None:
        workflow.change_severity(
            found, rank=data["severity"], reason=data["reason"], by=request.user, seen=data["seen"]
        )

    if carried_out(form, change):
        return redirect(found)
    more = outlook(found.policy_version, found.severity)
    return _show(request, found, form, "Change severity", "Change severity", **more)


@require_http_methods(["GET", "POST"])
@command
def roles(request: StaffRequest, ref: str) -> HttpResponse:
    found = get_incident(ref)
    form = RoleForm(request.POST or None, initial={"seen": _newest(found)})
    if carried_out(form, lambda data: actions.assign(found, **data, by=request.user)):
        return redirect(found)
    return _show(request, found, form, "Assign a role", "Assign")


@require_http_methods(["GET", "POST"])
@record
def impact(request: StaffRequest, ref: str) -> HttpResponse:
    found = get_incident(ref)
    initial = {
        "impact": found.impact_text,
        "estimate": found.estimate,
        "personal_data": found.personal_data,
        "ai_involved": found.ai_involved,
        "ai_harm": found.ai_harm,
        "material": found.material,
        "seen": _newest(found),
    } | {f"component_{row.component_id}": row.state for row in found.components.all()}
    form = ImpactForm(request.POST or None, initial=initial)

    def change(data: dict[str, Any]) -> None:
        names = ("impact", "personal_data", "ai_involved", "ai_harm", "material", "estimate", "seen")
        said = {name: data[name] for name in names}
        workflow.change_impact(found, components=form.components(), by=request.user, **said)

    if carried_out(form, change):
        return redirect(found)
    return _show(request, found, form, "Change impact", "Save impact")


@require_POST
@record
def add_note(request: StaffRequest, ref: str) -> HttpResponse:
    found = get_incident(ref)
    form = NoteForm(request.POST)
    if carried_out(form, lambda data: workflow.add_note(found, **data, by=request.user)):
        return redirect(f"{found.get_absolute_url()}#timeline")
    return render(request, PAGE, {**page_context(request, found), "note_form": form}, status=400)


@require_POST
@record
def acknowledge(request: StaffRequest, ref: str) -> HttpResponse:
    found = get_incident(ref)
    actions.acknowledge(found, by=request.user)
    return redirect(found)


@require_http_methods(["GET", "POST"])
@record
def correct(request: StaffRequest, ref: str, pk: int) -> HttpResponse:
    found = get_incident(ref)
    entry = get_object_or_404(TimelineEntry, pk=pk, incident=found)
    form = CorrectionForm(request.POST or None, initial={"at": entry.occurred_at, "text": entry.text})
    if carried_out(form, lambda data: actions.correct(entry, **data, by=request.user)):
        return redirect(f"{found.get_absolute_url()}#timeline")
    said = f"{entry.occurred_at:%H:%M} UTC: {entry.text}"
    return _show(request, found, form, "Correct a line of the record", "Add the correction", before=said)
