"""The pages of one post-mortem, and its PDF."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.db.models import Count, Q
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from incidents.comms.models import CommsDuty, Message
from incidents.evidence import queries as evidence
from incidents.lifecycle.models import Incident
from incidents.policy.models import MatrixCell
from incidents.postmortems import actions, queries, sections
from incidents.postmortems.forms import ActionItems, PostMortemForm, rows
from incidents.postmortems.models import PostMortem
from irportal import pdf as documents
from irportal.outbox.models import Announcement, Delivery
from irportal.parts import StaffRequest
from irportal.refused import Refused

NOT_SENT = (CommsDuty.Outcome.OPEN, CommsDuty.Outcome.MISSED, CommsDuty.Outcome.WAIVED)
PAGE = "incidents/postmortems/edit.html"


def _of(ref: str) -> PostMortem:
    found = PostMortem.objects.select_related("incident__type", "author", "saved_by", "approver")
    return get_object_or_404(found, incident__ref=ref)


@require_http_methods(["GET", "HEAD", "POST"])
@permission_required("incidents.view_incident", raise_exception=True)
def edit(request: StaffRequest, ref: str) -> HttpResponse:
    """Read it, or save the draft."""
    postmortem = _of(ref)
    if request.method == "POST":
        refusal = _save(request, postmortem)
        if refusal:
            return refusal
        messages.success(request, "Draft saved.")
        return redirect(postmortem)
    return _page(request, postmortem, PostMortemForm(instance=postmortem), ActionItems(instance=postmortem))


@require_POST
@permission_required("incidents.update_incident", raise_exception=True)
def submit(request: StaffRequest, ref: str) -> HttpResponse:
    """Send the draft to review; what is typed on the page is saved first."""
    postmortem = _of(ref)
    if "seen" in request.POST and (refusal := _save(request, postmortem)):
        return refusal
    try:
        actions.submit(postmortem, by=request.user)
    except Refused:
        postmortem = _of(ref)
        form, items = PostMortemForm(instance=postmortem), ActionItems(instance=postmortem)
        asks = queries.missing(postmortem) or [f"It is {postmortem.get_status_display().lower()} already."]
        heading = "Saved, but not sent to review yet"
        return _page(request, postmortem, form, items, heading=heading, reasons=asks, status=409)
    messages.success(request, "Sent to review. Somebody else can approve it now.")
    return redirect(postmortem)


@require_POST
@permission_required("incidents.update_incident", raise_exception=True)
def send_back(request: StaffRequest, ref: str) -> HttpResponse:
    postmortem = actions.send_back(_of(ref), reason=request.POST.get("reason", "")[:300], by=request.user)
    messages.success(request, f"Sent back; version {postmortem.version} is a draft.")
    return redirect(postmortem)


@require_POST
@permission_required("incidents.approve_postmortem", raise_exception=True)
def approve(request: StaffRequest, ref: str) -> HttpResponse:
    seen = request.POST.get("content_hash", "")
    postmortem = actions.approve(_of(ref), by=request.user, content_hash=seen)
    messages.success(request, "Approved. The report is ready for the auditor.")
    return redirect(postmortem)


@require_GET
@permission_required("incidents.view_incident", raise_exception=True)
def pdf(request: StaffRequest, ref: str) -> HttpResponse:
    """The report as one file, with its evidence inside. Every copy is written down."""
    postmortem = _of(ref)
    actions.exported(postmortem, by=request.user)
    incident, made_at = postmortem.incident, timezone.now()
    data = documents.render(
        "pdf/postmortem.html",
        queries.report_context(
            postmortem,
            promises=_promises(incident),
            updates=_updates(incident),
            laws=list(incident.laws.select_related("entered_by", "withdrawn_by")),
            made_at=made_at,
            made_by=str(request.user),
        )
        | _kept(incident),
        title=f"Post-incident report {incident.ref}: {incident.title}",
        written_at=made_at,
        attachments=[("evidence.json", queries.evidence(postmortem), f"The ledger's lines about {incident.ref}")],
    )
    name = f"{incident.ref}-post-mortem.pdf"
    return HttpResponse(
        data,
        content_type="application/pdf",
        headers={"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"},
    )


def _save(request: StaffRequest, postmortem: PostMortem) -> HttpResponse | None:
    """Save what was typed; None when it is saved, else the page that says why not and keeps all."""
    if not request.user.has_perm("incidents.update_incident"):
        raise Refused("Your role may read post-mortems, not change them.")
    stored = PostMortem.objects.get(pk=postmortem.pk)  # the form writes what was typed into its own copy
    form = PostMortemForm(request.POST, instance=postmortem)
    items = ActionItems(request.POST, instance=stored)
    valid = [form.is_valid(), items.is_valid()]
    if not all(valid):
        return _page(request, stored, form, items, status=422)
    seen = request.POST.get("seen", "")
    try:
        data = form.cleaned_data | {"actions": rows(items)}
        actions.save_draft(stored, data, by=request.user, seen=int(seen) if seen.isdecimal() else -1)
    except Refused as refused:
        now = PostMortem.objects.get(pk=stored.pk)
        theirs = [
            (field.label, getattr(now, field.name))
            for field in form
            if getattr(now, field.name) != form.cleaned_data[field.name]
        ]
        reasons = [str(refused)]
        return _page(request, now, form, items, reasons=reasons, theirs=theirs, status=409)
    return None


def _page(
    request: StaffRequest, postmortem: PostMortem, form: Any, items: Any, status: int = 200, **more: Any
) -> HttpResponse:
    user = request.user
    wrote = queries.has_written(postmortem, user)
    context = {
        "postmortem": postmortem,
        "incident": postmortem.incident,
        "form": form,
        "items": items,
        "can_edit": postmortem.is_draft and user.has_perm("incidents.update_incident"),
        "can_approve": user.has_perm("incidents.approve_postmortem") and not wrote,
        "wrote": wrote,
        "missing": queries.missing(postmortem) if postmortem.is_draft else [],
        "content_hash": queries.content_hash(postmortem),
        "timeline": queries.in_force(postmortem.incident),
        "ai": evidence.context(postmortem.incident),
    }
    return render(request, PAGE, context | more, status=status)


def _kept(incident: Incident) -> dict[str, Any]:
    """The evidence and what the AI was, as the report prints them."""
    rows = list(evidence.listed(incident).order_by("number"))
    return {
        "kept": [{"item": item, "parts": sections.octets(item.sha256)} for item in rows],
        "ai": evidence.context(incident),
    }


def _promises(incident: Incident) -> list[dict[str, Any]]:
    """Every duty of the matrix, as the report prints it."""
    duties = list(
        incident.duties.exclude(message_class="review").select_related(
            "message__approved_by", "message__author", "by", "law"
        )
    )
    keys = [duty.message.announcement_key for duty in duties if duty.message]
    told = Announcement.objects.filter(dedupe_key__in=[key for key in keys if key]).annotate(
        recipients=Count("deliveries"),
        accepted=Count("deliveries", filter=Q(deliveries__state=Delivery.State.SENT)),
    )
    counts = {row.dedupe_key: row for row in told}
    return [_promise(duty, counts.get(duty.message.announcement_key) if duty.message else None) for duty in duties]


def _promise(duty: CommsDuty, told: Any) -> dict[str, Any]:
    message = duty.message
    ended = None if duty.outcome in NOT_SENT else duty.ended_at
    public = duty.audience == MatrixCell.Audience.PUBLIC
    return {
        "audience": duty.get_audience_display(),
        "message": f"{duty.label}, {duty.get_phase_display().lower()}",
        "due_at": duty.due_at,
        "met_at": message.sent_at if message else ended,
        "outcome": duty.outcome,
        "approved_by": _approved_by(message) if message else (duty.by or ""),
        "recipients": "public" if public and message else told.recipients if told else None,
        "accepted": told.accepted if told and not public else None,
        "reason": " ".join(filter(None, [duty.source, duty.reason])),
    }


def _approved_by(message: Message) -> str:
    holding = message.kind == Message.Kind.HOLDING
    return str(message.approved_by or ("pre-approved" if holding else "none needed"))


def _updates(incident: Incident) -> list[dict[str, Any]]:
    """What the public was told, oldest first."""
    public = incident.messages.filter(status=Message.Status.SENT).exclude(audience=Message.Audience.INTERNAL)
    public = public.exclude(kind__in=[*Message.NOTICES, Message.Kind.STATEMENT, Message.Kind.POSTMORTEM])
    return [
        {
            "at": message.sent_at,
            "status": message.get_public_status_display(),
            "holding": message.kind == Message.Kind.HOLDING,
            "text": message.text,
            "others": message.in_other_languages,
        }
        for message in public.order_by("sent_at", "id")
    ]
