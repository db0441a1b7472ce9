"""The list, the declaration and the small forms beside an incident."""

from copy import copy
from datetime import datetime
from typing import Any

from django.contrib.auth.decorators import permission_required
from django.core.paginator import Paginator
from django.db.models import Max, OuterRef, Subquery
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from incidents import workflow
from incidents.comms.models import CommsDuty
from incidents.lifecycle import actions
from incidents.lifecycle.forms import (
    CorrectionForm,
    DeclareForm,
    ImpactForm,
    RoleForm,
    SeverityForm,
)
from incidents.lifecycle.models import Incident, TimelineEntry
from incidents.policy import matrix, wording
from incidents.policy import queries as policies
from incidents.policy.models import IncidentType, PolicyVersion
from irportal.outbox.actions import one_line
from irportal.parts import StaffRequest, carried_out
from irportal.refused import Refused

LIST, DECLARE = "incidents/lifecycle/list.html", "incidents/lifecycle/declare.html"
ONE_FIELD = "incidents/lifecycle/change.html"
PAGE_ROWS, MOST_OPEN = 30, 100
see = permission_required("incidents.view_incident", raise_exception=True)
command = permission_required("incidents.command_incident", raise_exception=True)
record = permission_required("incidents.update_incident", raise_exception=True)


@require_GET
@see
def home(request: StaffRequest) -> HttpResponse:
    """The open incidents, worst first, and the resolved ones a page at a time; `q` finds by number or title."""
    words = one_line(request.GET.get("q", ""))[:100]
    due = CommsDuty.objects.open().filter(incident=OuterRef("pk")).order_by("due_at").values("due_at")[:1]
    rows = (
        Incident.objects.named(words)
        .select_related("type", "policy_version__profile")
        .prefetch_related("policy_version__severities", "components__component")
        .annotate(next_due=Subquery(due))
        .order_by("-number")
    )
    resolved = Incident.objects.named(words).filter(status=Incident.Status.RESOLVED).order_by("-number")
    page = Paginator(resolved.values_list("pk", flat=True), PAGE_ROWS).get_page(request.GET.get("page"))
    context = {
        "words": words,
        "open": rows.open().order_by("severity", "-number")[:MOST_OPEN],
        "page": page,
        "resolved": rows.filter(pk__in=list(page.object_list)),
    }
    return render(request, LIST, context)


# Declaring


@require_http_methods(["GET", "POST"])
@permission_required("incidents.declare_incident", raise_exception=True)
def declare(request: StaffRequest) -> HttpResponse:
    now = timezone.now()
    policy = _in_force(now)
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
    already_open = list(Incident.objects.open().select_related("policy_version").defer("policy_version__document"))
    for incident in already_open:
        incident.policy_version = policies.pinned(incident.policy_version)
    context["already_open"] = already_open
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
    policy = _in_force(timezone.now())
    rank = request.GET.get("severity", "1")
    context = {
        "suggestion": suggestion(request.GET.get("type", "")),
        **outlook(policy, int(rank) if rank in ("1", "2", "3", "4") else 1),
    }
    return render(request, f"{DECLARE}#{part}", context)


def _in_force(now: datetime) -> PolicyVersion | None:
    policy = PolicyVersion.objects.in_force(now)
    return policies.pinned(policy) if policy else None


def suggestion(code: str) -> IncidentType | None:
    return IncidentType.objects.filter(code=code).first() if code.isalnum() else None


def outlook(policy: PolicyVersion | None, rank: int) -> dict[str, Any]:
    """What would be owed, by when, if an incident of this rank were declared now and touched customers."""
    if policy is None:
        return {"policy": None, "levels": [], "promised": [], "thresholds": []}
    now, rules = timezone.now(), policy.rules()
    facts = matrix.Facts(affected=True, down=True)
    levels = [copy(level) for level in policy.severities.all() if level.enabled]
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
    suggested = wording.thresholds(policies.document(policy))
    return {"policy": policy, "levels": levels, "level": answer, "promised": sorted(promised), "thresholds": suggested}


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


# Small forms beside the record


def get_incident(ref: str) -> Incident:
    rows = Incident.objects.select_related("type", "policy_version__profile", "declared_by", "acknowledged_by")
    return get_object_or_404(rows.prefetch_related("policy_version__severities"), ref=ref)


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
    if carried_out(form, lambda data: workflow.assign(found, **data, by=request.user)):
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
