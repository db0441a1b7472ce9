"""Hand-overs of roles and shifts, and the contact list."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.core.paginator import Paginator
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from incidents import workflow
from incidents.comms.queries import open_work
from incidents.lifecycle.forms import SeenForm
from incidents.lifecycle.models import Handover, Incident, Role, RoleContact, ShiftSheet
from incidents.lifecycle.passing import actions, contacts
from incidents.lifecycle.passing.forms import ContactForm, HandoverForm, ShiftForm
from irportal import pdf
from irportal.parts import StaffRequest, carried_out
from irportal.refused import Refused

ONE_FORM = "incidents/lifecycle/change.html"
LIST, SHEET, NEW = (f"incidents/lifecycle/{name}.html" for name in ("shifts", "shift", "shift_new"))
CONTACTS, CONTACT = (f"incidents/lifecycle/{name}.html" for name in ("contacts", "contact"))
see = permission_required("incidents.view_incident", raise_exception=True)
record = permission_required("incidents.update_incident", raise_exception=True)
command = permission_required("incidents.command_incident", raise_exception=True)
PER_PAGE = 50


# A role of one incident


@require_http_methods(["GET", "POST"])
@see
def hand_over(request: StaffRequest, ref: str) -> HttpResponse:
    """Open to everybody who sees the incident: people pass on their own roles, whoever commands any."""
    incident = get_object_or_404(Incident, ref=ref)
    terms = incident.roles.filter(ended_at=None).select_related("person").order_by("started_at", "pk")
    if not request.user.has_perm("incidents.command_incident"):
        terms = terms.filter(person=request.user)
    choices = [(row.pk, f"{row.get_role_display()}, held by {row.person}") for row in terms]
    mine = [row.pk for row in terms if row.person_id == request.user.pk]
    form = HandoverForm(request.POST or None, choices=choices, initial={"terms": mine})

    def do(data: dict[str, Any]) -> None:
        workflow.hand_over(incident, **data, by=request.user)

    if carried_out(form, do):
        messages.success(request, f"Handed over. {form.cleaned_data['to']} is told by mail, the chat rooms too.")
        return redirect(incident)
    said = "" if choices else "You hold no role on this incident. A commander can hand over any role."
    context = {"incident": incident, "form": form, "title": "Hand over", "button": "Hand over", "before": said}
    return render(request, ONE_FORM, context, status=400 if form.errors else 200)


@require_POST
@see
def take(request: StaffRequest, ref: str, pk: int) -> HttpResponse:
    """Open to everybody who sees the incident; only the one who takes the role over is not refused."""
    handover = get_object_or_404(Handover.objects.select_related("incident"), pk=pk, incident__ref=ref)
    workflow.take(handover, by=request.user)
    return redirect(handover.incident)


# The end of a shift


@require_GET
@see
def shifts(request: StaffRequest) -> HttpResponse:
    rows = Paginator(ShiftSheet.objects.select_related("giver", "taker").defer("content"), PER_PAGE)
    return render(request, LIST, {"page": rows.get_page(request.GET.get("page"))})


@require_http_methods(["GET", "POST"])
@record
def hand_over_shift(request: StaffRequest) -> HttpResponse:
    """The sheet as it is now, with the two things only a person knows: to whom, and what is not in the record."""
    form = ShiftForm(request.POST or None, me=request.user)
    made: list[ShiftSheet] = []
    if carried_out(form, lambda data: made.append(workflow.hand_over_shift(**data, by=request.user))):
        messages.success(request, f"Signed. {made[0].taker} is told and signs it next.")
        return redirect(made[0])
    context = {"form": form, "rows": open_work(timezone.now()), "now": timezone.now()}
    return render(request, NEW, context, status=400 if form.errors else 200)


def _sheet(pk: int) -> ShiftSheet:
    return get_object_or_404(ShiftSheet.objects.select_related("giver", "taker"), pk=pk)


@require_GET
@see
def shift(request: StaffRequest, pk: int) -> HttpResponse:
    sheet = _sheet(pk)
    return render(request, SHEET, {"sheet": sheet, "rows": sheet.content})


@require_POST
@see
def take_shift(request: StaffRequest, pk: int) -> HttpResponse:
    """Open to everybody who sees incidents; only the one who takes over is not refused."""
    sheet = actions.take_shift(_sheet(pk), by=request.user)
    messages.success(request, "Signed. The shift is yours.")
    return redirect(sheet)


@require_GET
@see
def shift_pdf(request: StaffRequest, pk: int) -> HttpResponse:
    sheet = _sheet(pk)
    context = {"sheet": sheet, "rows": sheet.content, "organisation": settings.ORGANISATION}
    title = f"Shift hand-over of {sheet.made_at:%Y-%m-%d %H:%M} UTC"
    try:
        data = pdf.render("pdf/shift.html", context, title=title, written_at=sheet.taken_at or sheet.made_at)
    except Refused as refusal:
        messages.error(request, str(refusal))
        return redirect(sheet)
    name = f"shift-{sheet.made_at:%Y%m%d-%H%M}.pdf"
    answer = HttpResponse(data, content_type="application/pdf")
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


# The contact list


@require_GET
@see
def contact_list(request: StaffRequest) -> HttpResponse:
    return render(request, CONTACTS, _list_context())


def _list_context() -> dict[str, Any]:
    lines, review, now = contacts.lines(), contacts.last_review(), timezone.now()
    return {
        "lines": lines,
        "gaps": sum(1 for line in lines if line.lacks),
        "review": review,
        "next_review": review.at + contacts.REVIEWED_EVERY if review else None,
        "overdue": contacts.is_due(review, now),
        "history": contacts.history(),
        "seen": contacts.newest_change(),
    }


@require_POST
@command
def review(request: StaffRequest) -> HttpResponse:
    form = SeenForm(request.POST)
    try:
        if not form.is_valid() or form.cleaned_data["seen"] is None:
            raise Refused("Look through the list below first, then say that you did.")
        contacts.review(by=request.user, seen=form.cleaned_data["seen"])
    except Refused as refusal:
        return render(request, CONTACTS, _list_context() | {"reasons": [str(refusal)]}, status=409)
    messages.success(request, "Recorded: you went through the contact list today.")
    return redirect("portal:contacts")


@require_http_methods(["GET", "POST"])
@command
def contact(request: StaffRequest, role: str) -> HttpResponse:
    if role not in Role.values:
        raise Http404
    known = RoleContact.objects.filter(role=role).select_related("person").first()
    initial: dict[str, Any] = {"seen": contacts.newest_change()}
    if known:
        initial |= {"person": known.person_id, "phone": known.phone, "pager": known.pager}
    form = ContactForm(request.POST or None, initial=initial)
    if carried_out(form, lambda data: contacts.change(role, **data, by=request.user)):
        messages.success(request, f"Saved: {Role(role).label}.")
        return redirect("portal:contacts")
    if getattr(form, "was_refused", False):
        form.see(contacts.newest_change())
    context = {"form": form, "label": Role(role).label, "known": known}
    return render(request, CONTACT, context, status=400 if form.errors else 200)
