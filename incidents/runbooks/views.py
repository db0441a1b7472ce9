"""Runbooks: what is offered and running in an incident, one run, and the library staff read and write."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.core.paginator import Paginator
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from incidents.lifecycle.models import Incident
from incidents.runbooks import actions, queries
from incidents.runbooks.forms import EXAMPLE, ReasonForm, StepForm, WriteForm
from incidents.runbooks.models import Runbook, RunbookRun, RunbookVersion, RunStep
from irportal.parts import StaffRequest, carried_out
from irportal.refused import Refused

PAGE_ROWS = 50
ONE, WRITE = "incidents/runbooks/runbook.html", "incidents/runbooks/write.html"
see = permission_required("incidents.view_incident", raise_exception=True)
record = permission_required("incidents.update_incident", raise_exception=True)
may_write = permission_required("incidents.write_runbook", raise_exception=True)
read_or_send = require_http_methods(["GET", "HEAD", "POST"])


# In an incident


def _incident(ref: str) -> Incident:
    rows = Incident.objects.select_related("type", "policy_version__profile")
    return get_object_or_404(rows.prefetch_related("policy_version__severities"), ref=ref)


def _run(ref: str, pk: int) -> RunbookRun:
    runs = RunbookRun.objects.select_related("incident__type", "version__runbook", "started_by", "stopped_by")
    return get_object_or_404(runs, pk=pk, incident__ref=ref)


@require_GET
@see
def runs(request: StaffRequest, ref: str) -> HttpResponse:
    incident = _incident(ref)
    panel = queries.panel(incident)
    shown = [runbook.pk for runbook in (*panel.offered, *panel.general)]
    shown += [run.version.runbook_id for run in panel.running]
    others = Runbook.objects.in_use().exclude(pk__in=shown).in_order()
    page = Paginator(others, PAGE_ROWS).get_page(request.GET.get("page"))
    return render(request, "incidents/runbooks/runs.html", {"incident": incident, "panel": panel, "page": page})


@require_POST
@record
def start(request: StaffRequest, ref: str) -> HttpResponse:
    """Begin a runbook; where somebody did a moment ago, lead to theirs."""
    incident, code = _incident(ref), request.POST.get("runbook", "")
    chosen = Runbook.objects.filter(code=code).first() if "\0" not in code else None
    if chosen is None:
        raise Refused("Choose a runbook; this one is not there.")
    try:
        return redirect(actions.start(incident, chosen, by=request.user))
    except Refused as refusal:
        running = incident.runs.filter(version__runbook=chosen, ended_at=None).first()
        if running is None:
            raise
        messages.info(request, str(refusal))
        return redirect(running)


@require_GET
@see
def run(request: StaffRequest, ref: str, pk: int) -> HttpResponse:
    """The page; for its part that asks again, what others said meanwhile. What is typed stays untouched by it."""
    found = _run(ref, pk)
    if not request.htmx or request.htmx.history_restore_request:
        return _show_run(request, found)
    seen = _number(request, "seen", 0)
    context = {"run": found, "seen": seen, "meanwhile": queries.since(found, seen)}
    return render(request, "incidents/runbooks/run.html#fresh", context)


@require_POST
@record
def done(request: StaffRequest, ref: str, pk: int, position: int) -> HttpResponse:
    return _on_step(request, ref, pk, position, lambda step, said: actions.settle(step, state="done", **said))


@require_POST
@record
def skip(request: StaffRequest, ref: str, pk: int, position: int) -> HttpResponse:
    return _on_step(request, ref, pk, position, lambda step, said: actions.settle(step, state="skipped", **said))


@require_POST
@record
def undo(request: StaffRequest, ref: str, pk: int, position: int) -> HttpResponse:
    """Open it again; evidence typed beside is kept as well."""
    return _on_step(
        request, ref, pk, position, lambda step, said: actions.undo(step, **_only(said, "note", "evidence", "seen"))
    )


@require_POST
@record
def remark(request: StaffRequest, ref: str, pk: int, position: int) -> HttpResponse:
    return _on_step(
        request, ref, pk, position, lambda step, said: actions.remark(step, **_only(said, "note", "evidence"))
    )


def _only(said: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: said[name] for name in (*names, "by")}


def _on_step(
    request: StaffRequest, ref: str, pk: int, position: int, deed: Callable[[RunStep, dict[str, Any]], RunStep]
) -> HttpResponse:
    """Do it and go on at the next open step; or the page again, with what was typed and why not."""
    found = _run(ref, pk)
    step = get_object_or_404(RunStep.objects.select_related("run"), run=found, position=position)
    form = StepForm(request.POST, auto_id=f"%s-{position}")
    if carried_out(form, lambda data: deed(step, data | {"by": request.user})):
        following = found.steps.filter(state=RunStep.State.OPEN, position__gte=position).first()
        return redirect(f"{found.get_absolute_url()}#step-{following.position if following else position}")
    return _show_run(request, _run(ref, pk), form, position)


def _show_run(
    request: StaffRequest, found: RunbookRun, form: StepForm | None = None, position: int = 0
) -> HttpResponse:
    """The page of a run; `form` is what was refused at `position`."""
    filled = queries.fillings(found.incident)
    rows = queries.rows(found, filled)
    manuscript = queries.read(found.version.source)
    if form and form.was_refused:
        form.see(next((row.seen for row in rows if row.step.position == position), 0))
    context = {
        "run": found,
        "seen": max((row.seen for row in rows), default=0),
        "incident": found.incident,
        "manuscript": manuscript,
        "prose": [
            (part.title, filled.text(part.prose)) for part in manuscript.sections if part.prose and not part.steps
        ],
        "rows": rows,
        "settled": sum(not row.step.is_open for row in rows),
        "form": form,
        "refused_at": position,
        "heading": next((_not_yet(row.step) for row in rows if row.step.position == position), ""),
        "may": request.user.has_perm("incidents.update_incident") and not found.is_stopped,
    }
    status = 200 if form is None else 409 if form.was_refused else 400
    return render(request, "incidents/runbooks/run.html", context, status=status)


def _not_yet(step: RunStep) -> str:
    section = f" of “{step.section}”" if step.section else ""
    return f"Step {step.number}{section} is not written down yet"


@read_or_send
@record
def stop(request: StaffRequest, ref: str, pk: int) -> HttpResponse:
    found = _run(ref, pk)
    form = ReasonForm(request.POST if request.method == "POST" else None)
    if carried_out(form, lambda data: actions.stop(found, reason=data["reason"], by=request.user)):
        return redirect("portal:runs", ref)
    return _reason(request, form, f"Stop {found.version.title}", "Stop it", found.get_absolute_url())


def _reason(request: StaffRequest, form: ReasonForm, title: str, button: str, back: str) -> HttpResponse:
    context = {"form": form, "title": title, "button": button, "back": back}
    return render(request, "incidents/runbooks/reason.html", context, status=400 if form.errors else 200)


# The library


def _runbook(code: str) -> Runbook:
    return get_object_or_404(Runbook.objects.select_related("version_in_force__author"), code=code)


@require_GET
@see
def library(request: StaffRequest) -> HttpResponse:
    rows = Runbook.objects.select_related("version_in_force").prefetch_related("types").in_order()
    page = Paginator(rows.in_use(), PAGE_ROWS).get_page(request.GET.get("page"))
    withdrawn = rows.exclude(withdrawn_at=None)[:PAGE_ROWS]
    return render(request, "incidents/runbooks/library.html", {"page": page, "withdrawn": withdrawn})


@require_GET
@see
def commands(request: StaffRequest) -> HttpResponse:
    """What runbooks ask of a service, and what nobody has set yet."""
    return render(request, "incidents/runbooks/commands.html", {"rows": queries.asked_for()})


@require_GET
@see
def runbook(request: StaffRequest, code: str) -> HttpResponse:
    found = _runbook(code)
    if found.version_in_force is None:
        raise Http404
    return _show_version(request, found, found.version_in_force)


@require_GET
@see
def version(request: StaffRequest, code: str, number: int) -> HttpResponse:
    found = _runbook(code)
    one = queries.version_of(found, number)
    if one is None:
        raise Http404
    return _show_version(request, found, one)


def _show_version(request: StaffRequest, found: Runbook, one: RunbookVersion) -> HttpResponse:
    manuscript = queries.read(one.source)
    filled = queries.fillings()
    versions = Paginator(found.versions.select_related("author"), PAGE_ROWS).get_page(request.GET.get("page"))
    context = {
        "runbook": found,
        "version": one,
        "manuscript": manuscript,
        "sections": queries.as_read(manuscript, filled),
        "types": found.types.all(),
        "page": versions,
        "repository_is_link": manuscript.repository.startswith(("https://", "http://")),
        "is_in_force": one.pk == found.version_in_force_id,
    }
    return render(request, ONE, context)


@require_GET
@see
def difference(request: StaffRequest, code: str) -> HttpResponse:
    """Between two versions; without numbers, from the one before the one in force to that."""
    found = _runbook(code)
    newest = found.version_in_force.number if found.version_in_force else 0
    now = queries.version_of(found, _number(request, "to", newest))
    was = queries.version_of(found, _number(request, "from", now.number - 1 if now else 0))
    if was is None or now is None:
        raise Http404
    lines = queries.difference(was.source, now.source)
    context = {"runbook": found, "was": was, "became": now, "lines": lines}
    return render(request, "incidents/runbooks/difference.html", context)


def _number(request: StaffRequest, name: str, otherwise: int) -> int:
    typed = request.GET.get(name, "")
    return int(typed) if typed.isascii() and typed.isdigit() and len(typed) < 19 else otherwise


@read_or_send
@may_write
def write(request: StaffRequest) -> HttpResponse:
    form = WriteForm(request.POST if request.method == "POST" else None, initial={"source": EXAMPLE})
    said: list[RunbookVersion] = []

    def keep(data: dict[str, Any]) -> None:
        said.append(actions.write(data["source"], note=data["note"], by=request.user))

    if carried_out(form, keep):
        messages.success(request, f"{said[0]} is in force.")
        return redirect(said[0].runbook)
    return _show_form(request, form)


@read_or_send
@may_write
def rewrite(request: StaffRequest, code: str) -> HttpResponse:
    found = _runbook(code)
    newest = found.versions.first()
    base = _based_on(request, found)
    initial = {"source": base.source if base else "", "seen": newest.number if newest else 0}
    form = WriteForm(request.POST if request.method == "POST" else None, initial=initial, runbook=found)
    said: list[RunbookVersion] = []

    def keep(data: dict[str, Any]) -> None:
        seen = data["seen"] if data["seen"] is not None else -1
        said.append(actions.rewrite(found, data["source"], note=data["note"], by=request.user, seen=seen))

    if carried_out(form, keep):
        messages.success(request, f"{said[0]} is in force.")
        return redirect(found)
    if form.was_refused and newest:
        form.see(newest.number)
    return _show_form(request, form, found)


def _based_on(request: StaffRequest, found: Runbook) -> RunbookVersion | None:
    """The version a new one begins with: the one asked for, else the one in force."""
    asked = queries.version_of(found, _number(request, "from", 0))
    return asked or found.version_in_force


@require_POST
@may_write
def preview(request: StaffRequest) -> HttpResponse:
    """The text as it will be read. What was typed stays in the form beside it; nothing is kept."""
    code = request.POST.get("code", "")
    found = Runbook.objects.filter(code=code).first() if "\0" not in code else None
    form = WriteForm(request.POST, runbook=found)
    form.fields["note"].required = False
    if not form.is_valid() or form.manuscript is None:
        return _show_form(request, form, found)
    filled = queries.fillings()
    return _show_form(
        request,
        form,
        found,
        manuscript=form.manuscript,
        sections=queries.as_read(form.manuscript, filled),
        gaps=queries.gaps(form.manuscript, filled),
    )


def _show_form(request: StaffRequest, form: WriteForm, found: Runbook | None = None, **more: Any) -> HttpResponse:
    return render(request, WRITE, {"form": form, "runbook": found, **more}, status=400 if form.errors else 200)


@read_or_send
@may_write
def withdraw(request: StaffRequest, code: str) -> HttpResponse:
    found = _runbook(code)
    form = ReasonForm(request.POST if request.method == "POST" else None)
    if carried_out(form, lambda data: actions.withdraw(found, reason=data["reason"], by=request.user)):
        return redirect("portal:runbooks")
    return _reason(request, form, f"Withdraw {found}", "Withdraw it", found.get_absolute_url())
