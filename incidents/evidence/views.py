"""The pages of an incident's evidence and of what its AI was.

Reading, taking out and checking are written down, so they are sent as forms: following a link changes nothing.
"""

from collections.abc import Iterable
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Q
from django.http import Http404, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from incidents.evidence import actions, queries, store
from incidents.evidence.forms import (
    FORMS,
    AiContextForm,
    Decisions,
    FileForm,
    ItemForm,
    PurposeForm,
    ReasonForm,
    rows,
)
from incidents.evidence.minimum import Topic
from incidents.evidence.models import EvidenceItem, Hold
from incidents.evidence.queries import FIELDS
from incidents.lifecycle.models import Incident
from irportal.parts import StaffRequest, carried_out
from irportal.refused import Refused

LIST, ITEM, ADD, DEED, AI = (f"incidents/evidence/{name}.html" for name in ("list", "item", "add", "deed", "ai"))
A_PAGE = 50
TITLES = {"file": "Upload a file", "text": "Keep a text", "link": "Keep a link"}
see = permission_required("incidents.view_incident", raise_exception=True)
record = permission_required("incidents.update_incident", raise_exception=True)
may_hold = permission_required("incidents.hold_evidence", raise_exception=True)
may_export = permission_required("incidents.export_evidence", raise_exception=True)
read_or_send = require_http_methods(["GET", "HEAD", "POST"])


def _incident(ref: str) -> Incident:
    rows = Incident.objects.select_related("type", "policy_version__profile")
    return get_object_or_404(rows.prefetch_related("policy_version__severities"), ref=ref)


def _item(incident: Incident, number: int) -> EvidenceItem:
    if number >= 2**31:
        raise Http404
    return get_object_or_404(queries.items(incident), number=number)


def may_read(request: StaffRequest, item: EvidenceItem) -> bool:
    """What may hold personal data, or was put right since, is not for everybody who may see the incident."""
    is_plain = not item.personal and not hasattr(item, "superseded_by")
    return is_plain or request.user.has_perm("incidents.read_evidence")


@require_GET
@see
def everything(request: StaffRequest, ref: str) -> HttpResponse:
    found = _incident(ref)
    page = Paginator(queries.listed(found), A_PAGE).get_page(request.GET.get("page"))
    context = {
        "incident": found,
        "page": page,
        "minimum": queries.minimum_of(found),
        "holds": found.holds.filter(lifted_at=None).select_related("item", "placed_by"),
        "purpose_form": PurposeForm(),
        "is_about_ai": queries.is_about_ai(found),
    }
    return render(request, LIST, context)


@read_or_send
@record
def add(request: StaffRequest, ref: str, kind: str) -> HttpResponse:
    if kind not in FORMS:
        raise Http404
    return _receive(request, _incident(ref), kind, None)


@read_or_send
@record
def correct(request: StaffRequest, ref: str, number: int) -> HttpResponse:
    """Another item in the place of this one; its content may stay the same."""
    found = _incident(ref)
    item = _item(found, number)
    if not may_read(request, item):
        raise PermissionDenied
    return _receive(request, found, item.kind, item)


def _receive(request: StaffRequest, incident: Incident, kind: str, before: EvidenceItem | None) -> HttpResponse:
    form = _form(request, kind, before)

    def keep(data: dict[str, Any]) -> None:
        given = {"by": request.user, "instead_of": before, "reason": data.get("reason", "")}
        if before and not data[form.content]:
            actions.receive(incident, store.of_item(before), form.said(), **given)
        elif kind == "file":
            with store.received(data["file"]) as content:
                actions.receive(incident, content, form.said(), **given)
        else:
            content = store.of_text(data["text"]) if kind == "text" else store.of_link(data["url"])
            actions.receive(incident, content, form.said(), **given)

    if carried_out(form, keep):
        messages.success(request, f"Kept. {form.cleaned_data['title']} is in the record now.")
        return redirect("portal:evidence", incident.ref)
    title = f"Put {before.ref} right" if before else TITLES[kind]
    context = {"incident": incident, "form": form, "kind": kind, "title": title, "before": before}
    status = 413 if getattr(form, "is_too_large", False) else 400 if form.errors else 200
    return render(request, ADD, context, status=status)


def _form(request: StaffRequest, kind: str, before: EvidenceItem | None) -> ItemForm:
    sent = request.POST if request.method == "POST" else None
    shown = [topic for topic in request.GET.getlist("shows") if topic in Topic]
    options: dict[str, Any] = {"instead_of": before, "initial": {"topics": shown}}
    if before:
        names = ("title", "source", "captured_at", "note")
        options["initial"] = {name: getattr(before, name) for name in names}
        options["initial"] |= {"topics": before.topics.split(), "personal": "yes" if before.personal else "no"}
    if kind == "file":
        return FileForm(sent, request.FILES if sent is not None else None, request=request, **options)
    return FORMS[kind](sent, **options)


# One item


@require_GET
@see
def item(request: StaffRequest, ref: str, number: int) -> HttpResponse:
    found = _incident(ref)
    return _show(request, found, _item(found, number))


def _show(request: StaffRequest, incident: Incident, item: EvidenceItem, **more: Any) -> HttpResponse:
    context = {
        "incident": incident,
        "item": item,
        "may_read": may_read(request, item),
        "custody": Paginator(queries.custody(incident, item), A_PAGE).get_page(request.GET.get("page")),
        "holds": incident.holds.filter(Q(item=item) | Q(item=None), lifted_at=None).select_related("item", "placed_by"),
        "form": PurposeForm(),
    }
    return render(request, ITEM, context | more, status=400 if more.get("form") else 200)


@require_POST
@see
def read(request: StaffRequest, ref: str, number: int) -> HttpResponseBase:
    """A file leaves as a download; a text or an address is shown on the page. Both are written down first."""
    found = _incident(ref)
    item = _item(found, number)
    if not may_read(request, item):
        raise PermissionDenied
    form = PurposeForm(request.POST)
    if not form.is_valid():
        return _show(request, found, item, form=form)
    handle = actions.read(item, by=request.user, purpose=form.cleaned_data["purpose"])
    if item.kind == EvidenceItem.Kind.FILE:
        return _download(store.pieces(handle, item.sha256), item.name, item.size)
    with handle:
        response = _show(request, found, item, content=handle.read().decode())
    response["Cache-Control"] = "no-store"
    return response


def _download(data: Iterable[bytes], name: str, size: int | None = None) -> StreamingHttpResponse:
    """For a disk, never for a window of the browser: whatever it is, it runs nowhere on this site."""
    response = StreamingHttpResponse(data, content_type="application/octet-stream")
    response["Content-Disposition"] = content_disposition_header(True, name)
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "no-store"
    if size is not None:
        response["Content-Length"] = str(size)
    return response


# Deeds on all of it


@require_POST
@record
def verify(request: StaffRequest, ref: str) -> HttpResponse:
    found = _incident(ref)
    faulty = actions.verify(found, by=request.user)
    if faulty:
        messages.error(request, f"Damaged: {'; '.join(f'{item.ref}, {how}' for item, how in faulty)}.")
    else:
        messages.success(request, "Every item matches the hash taken when it was received.")
    return redirect("portal:evidence", found.ref)


@require_POST
@may_export
def export(request: StaffRequest, ref: str) -> HttpResponseBase:
    found = _incident(ref)
    form = PurposeForm(request.POST)
    if not form.is_valid():
        raise Refused("The purpose has at most 300 letters.")
    data = actions.export(found, by=request.user, purpose=form.cleaned_data["purpose"])
    return _download(data, f"{found.ref}-evidence.zip")


@read_or_send
@may_hold
def hold(request: StaffRequest, ref: str, number: int | None = None) -> HttpResponse:
    """On one item, or on everything there is and will be."""
    found = _incident(ref)
    item = _item(found, number) if number is not None else None
    form = ReasonForm(request.POST if request.method == "POST" else None)
    if carried_out(form, lambda data: actions.hold(found, reason=data["reason"], by=request.user, item=item)):
        return redirect(item or "portal:evidence", *(() if item else (found.ref,)))
    title = f"Place a hold on {item.ref if item else 'all evidence'}"
    return _deed(request, found, form, title, "Place the hold", item)


@read_or_send
@may_hold
def lift(request: StaffRequest, ref: str, pk: int) -> HttpResponse:
    found = _incident(ref)
    if pk >= 2**63:
        raise Http404
    placed = get_object_or_404(Hold.objects.select_related("item", "placed_by"), pk=pk, incident=found)
    form = ReasonForm(request.POST if request.method == "POST" else None)
    if carried_out(form, lambda data: actions.lift(placed, reason=data["reason"], by=request.user)):
        return redirect("portal:evidence", found.ref)
    said = f"{placed.placed_by}, {placed.placed_at:%Y-%m-%d %H:%M} UTC: {placed.reason}"
    return _deed(request, found, form, f"Lift the hold on {placed.what}", "Lift the hold", placed.item, said=said)


def _deed(
    request: StaffRequest,
    incident: Incident,
    form: ReasonForm,
    title: str,
    button: str,
    item: EvidenceItem | None,
    said: str = "",
) -> HttpResponse:
    context = {"incident": incident, "form": form, "title": title, "button": button, "item": item, "said": said}
    return render(request, DEED, context, status=400 if form.errors else 200)


# What the AI was


@read_or_send
@see
def ai(request: StaffRequest, ref: str) -> HttpResponse:
    """Read it, or keep what was typed as the next revision."""
    found = _incident(ref)
    newest = queries.context(found)
    if request.method == "POST":
        return _save(request, found)
    decisions = queries.rows_of(newest) if newest else []
    form = AiContextForm(instance=newest, initial={"seen": newest.revision if newest else 0})
    return _ai_page(request, found, form, Decisions(initial=decisions, prefix="decision"))


def _save(request: StaffRequest, incident: Incident) -> HttpResponse:
    if not request.user.has_perm("incidents.update_incident"):
        raise PermissionDenied
    form = AiContextForm(request.POST)
    decisions = Decisions(request.POST, prefix="decision")
    if not all([form.is_valid(), decisions.is_valid()]):
        return _ai_page(request, incident, form, decisions, status=400)
    seen = form.cleaned_data["seen"]
    try:
        saved = actions.save_context(incident, form.facts(), rows(decisions), by=request.user, seen=seen)
    except Refused as refusal:
        newest = queries.context(incident)
        theirs = _theirs(newest, form) if newest else []
        form.see(newest.revision if newest else 0)
        return _ai_page(request, incident, form, decisions, status=409, reasons=[str(refusal)], theirs=theirs)
    messages.success(request, f"Kept as revision {saved.revision}." if saved else "Nothing differs from what is kept.")
    return redirect("portal:ai-context", incident.ref)


def _theirs(newest: Any, form: AiContextForm) -> list[tuple[str, Any]]:
    """What is kept now where it differs from what was typed."""
    rows: list[tuple[str, Any]] = [
        (str(form[name].label), getattr(newest, name))
        for name in FIELDS
        if getattr(newest, name) != form.cleaned_data[name]
    ]
    return [*rows, ("Decisions", "\n".join(f"{row}: {row.rationale}" for row in newest.decisions.all()))]


def _ai_page(
    request: StaffRequest, incident: Incident, form: AiContextForm, decisions: Any, status: int = 200, **more: Any
) -> HttpResponse:
    about_ai = queries.is_about_ai(incident)
    context = {
        "incident": incident,
        "form": form,
        "decisions": decisions,
        "history": queries.history(incident),
        "is_about_ai": about_ai,
        "can_edit": about_ai and request.user.has_perm("incidents.update_incident"),
    }
    return render(request, AI, context | more, status=status)
