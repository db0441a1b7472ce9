"""Plan maintenance and carry it on; each deed shows the exact mail and the number of readers before it leaves."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from incidents.maintenance import queries
from incidents.maintenance.forms import CorrectForm, DeedForm, ExtendForm, PlanForm, TellForm
from irportal.outbox.wire import MARKS
from irportal.parts import StaffRequest
from irportal.refused import Refused
from statuspage import maintenance as deeds
from statuspage.models import Maintenance, MaintenanceUpdate

WHOLE = ("updates", "hits__component__group")
DEED = "incidents/maintenance/deed.html"
PAST = 50
see = permission_required("incidents.view_incident", raise_exception=True)
may_plan = permission_required("statuspage.plan_maintenance", raise_exception=True)
read_or_send = require_http_methods(["GET", "HEAD", "POST"])


@require_GET
@see
def everything(request: StaffRequest) -> HttpResponse:
    context = {
        "open": list(Maintenance.objects.open().order_by("starts_at", "id").prefetch_related(*WHOLE)),
        "over": list(Maintenance.objects.over().prefetch_related(*WHOLE)[:PAST]),
        "zone": settings.ORGANISATION_TIME_ZONE,
    }
    return render(request, "incidents/maintenance/list.html", context)


@require_GET
@see
def one(request: StaffRequest, number: int) -> HttpResponse:
    found = _maintenance(number)
    context = {"maintenance": found, "record": queries.record(found), "zone": settings.ORGANISATION_TIME_ZONE}
    return render(request, "incidents/maintenance/maintenance.html", context)


@read_or_send
@may_plan
def plan(request: StaffRequest) -> HttpResponse:
    form = PlanForm(_sent(request))
    return _deed(
        request,
        form,
        lambda: deeds.announce(form.plan(), by=request.user, **form.common()),
        "Plan maintenance",
        "Announce",
    )


@read_or_send
@may_plan
def change(request: StaffRequest, number: int) -> HttpResponse:
    found = _maintenance(number)
    form = PlanForm(_sent(request), plan=deeds.plan_of(found), maintenance=found)
    return _deed(
        request,
        form,
        lambda: deeds.change(found, form.plan(), **_given(request, form)),
        "Change the plan",
        "Change it",
        found,
    )


@read_or_send
@may_plan
def start(request: StaffRequest, number: int) -> HttpResponse:
    return _simple(request, number, deeds.start, "Begin now", "Begin")


@read_or_send
@may_plan
def finish(request: StaffRequest, number: int) -> HttpResponse:
    return _simple(request, number, deeds.finish, "Finish now", "Finish")


@read_or_send
@may_plan
def cancel(request: StaffRequest, number: int) -> HttpResponse:
    return _simple(request, number, deeds.cancel, "Call it off", "Call it off")


@read_or_send
@may_plan
def tell(request: StaffRequest, number: int) -> HttpResponse:
    found = _maintenance(number)
    form = TellForm(_sent(request), maintenance=found)
    return _deed(
        request,
        form,
        lambda: deeds.tell_more(found, status=form.cleaned_data["status"], **_given(request, form)),
        "Tell how it goes",
        "Publish",
        found,
    )


@read_or_send
@may_plan
def correct(request: StaffRequest, number: int) -> HttpResponse:
    return _simple(request, number, deeds.correct, "Correct what was told", "Publish the correction", CorrectForm)


@read_or_send
@may_plan
def extend(request: StaffRequest, number: int) -> HttpResponse:
    found = _maintenance(number)
    form = ExtendForm(_sent(request), maintenance=found)
    return _deed(
        request,
        form,
        lambda: deeds.extend(found, form.cleaned_data["ends_at"], **_given(request, form)),
        "Another end",
        "Change the end",
        found,
    )


def _maintenance(number: int) -> Maintenance:
    return get_object_or_404(Maintenance.objects.prefetch_related(*WHOLE), number=number)


def _sent(request: StaffRequest) -> Any:
    return request.POST if request.method == "POST" else None


def _given(request: StaffRequest, form: DeedForm) -> dict[str, Any]:
    return {**form.common(), "by": request.user, "seen": form.cleaned_data["seen"]}


def _simple(
    request: StaffRequest,
    number: int,
    deed: Callable[..., MaintenanceUpdate],
    title: str,
    button: str,
    made_of: type[DeedForm] = DeedForm,
) -> HttpResponse:
    found = _maintenance(number)
    form = made_of(_sent(request), maintenance=found)
    return _deed(request, form, lambda: deed(found, **_given(request, form)), title, button, found)


def _deed(
    request: StaffRequest,
    form: DeedForm,
    deed: Callable[[], MaintenanceUpdate],
    title: str,
    button: str,
    found: Maintenance | None = None,
) -> HttpResponse:
    """The form; what the deed would send; or the deed, once exactly that was looked at."""
    context: dict[str, Any] = {"form": form, "title": title, "button": button, "maintenance": found}
    if request.method == "POST" and form.is_valid():
        looked_at, now = request.POST.get("previewed", ""), _fingerprint(request)
        try:
            if looked_at == now:
                update = deed()
                messages.success(request, f"{update.maintenance.ref} is {update.get_status_display().lower()}.")
                return redirect("portal:maintenance", update.maintenance.number)
            context["preview"] = deeds.preview(deed)
        except Refused as refusal:
            _refuse(form, refusal, found)
        else:
            context |= {"previewed": now, "mail": _as_read(context["preview"]), "changed": bool(looked_at)}
    context["zone"] = settings.ORGANISATION_TIME_ZONE
    return render(request, DEED, context, status=400 if form.errors else 200)


def _refuse(form: DeedForm, refusal: Refused, found: Maintenance | None) -> None:
    """Show why, and that what others did meanwhile has been seen now."""
    form.add_error(None, str(refusal))
    if found:
        form.see(found.updates.order_by("-pk").values_list("pk", flat=True)[0])


def _as_read(preview: deeds.Preview) -> str:
    """The plain part with words where each reader's own reason and link will stand."""
    text = preview.mail.text if preview.mail else ""
    own = {"why": "(why this reader gets it)", "unsubscribe_url": "(this reader's own link)"}
    return MARKS.sub(lambda mark: own.get(mark[1], ""), text)


def _fingerprint(request: StaffRequest) -> str:
    """Binds the button that sends to what the person looked at."""
    said = sorted(
        (name, values) for name, values in request.POST.lists() if name not in ("csrfmiddlewaretoken", "previewed")
    )
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()
