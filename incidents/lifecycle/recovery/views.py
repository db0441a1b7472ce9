"""Small forms about a recovery: numbers, ticks, kill switches and rollbacks."""

from typing import Any

from django.contrib.auth.decorators import permission_required
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from incidents import workflow
from incidents.lifecycle import gate
from incidents.lifecycle.models import ControlRun, Incident
from incidents.lifecycle.recovery import actions
from incidents.lifecycle.recovery.forms import ConfirmForm, ControlForm, ReadingForm, TickForm
from irportal.parts import StaffRequest, carried_out

record = permission_required("incidents.update_incident", raise_exception=True)
read_or_send = require_http_methods(["GET", "POST"])


def _incident(ref: str) -> Incident:
    return get_object_or_404(Incident.objects.select_related("policy_version"), ref=ref)


def _show(request: StaffRequest, incident: Incident, form: Any, title: str, button: str, before: str) -> HttpResponse:
    context = {"incident": incident, "form": form, "title": title, "button": button, "before": before}
    return render(request, "incidents/lifecycle/change.html", context, status=400 if form.errors else 200)


def _back(incident: Incident, place: str) -> HttpResponse:
    return redirect(f"{incident.get_absolute_url()}#{place}")


@read_or_send
@record
def reading(request: StaffRequest, ref: str) -> HttpResponse:
    incident = _incident(ref)
    last = incident.readings.filter(signal="latency").order_by("-at", "-pk").first()
    initial: dict[str, Any] = {"at": timezone.now(), "source": last.source if last else ""}
    initial |= {"baseline": gate.shown(last.baseline)} if last and last.baseline is not None else {}
    form = ReadingForm(request.POST or None, initial=initial)

    def read(data: dict[str, Any]) -> None:
        named = {name: data[name] for name in ("baseline", "source", "at")}
        actions.read(incident, numbers=form.numbers(), **named, by=request.user)

    if carried_out(form, read):
        return _back(incident, "gate")
    said = "Enter what you read; leave out what you cannot see. Only numbers read in Monitoring open the gate."
    return _show(request, incident, form, "Enter numbers", "Save the numbers", said)


@read_or_send
@record
def tick(request: StaffRequest, ref: str, key: str) -> HttpResponse:
    """Give a tick, or take back the one that is given: whichever is possible as the page is asked for."""
    incident = _incident(ref)
    label = gate.gate_rules(incident.policy_version).ticks.get(key)
    if label is None:
        raise Http404
    last = incident.gate_ticks.filter(key=key).select_related("by").last()
    given = not (last and last.given) if request.method == "GET" else request.POST.get("given") != "no"
    form = TickForm(request.POST or None, given=given)
    if carried_out(
        form, lambda data: actions.tick(incident, key=key, given=given, note_text=data["note"], by=request.user)
    ):
        return _back(incident, "gate")
    said = f"{label}. Ticked by {last.by}, {last.at:%d %b, %H:%M} UTC. {last.note}" if last and last.given else label
    title, button = ("Tick", "Tick it") if given else ("Take a tick back", "Take it back")
    return _show(request, incident, form, title, button, said)


@read_or_send
@record
def control(request: StaffRequest, ref: str, kind: str) -> HttpResponse:
    if kind not in ControlRun.Kind.values:
        raise Http404
    incident = _incident(ref)
    form = ControlForm(request.POST or None, initial={"at": timezone.now(), "who": request.user.pk})

    def start(data: dict[str, Any]) -> None:
        said = {"target": data["target"], "at": data["at"], "started_by": data["who"]}
        actions.start_control(incident, kind=kind, **said, by=request.user)

    if carried_out(form, start):
        return _back(incident, "controls")
    if kind == ControlRun.Kind.KILL_SWITCH:
        said = "The halt has to be confirmed within 60 seconds of pressing."
        return _show(request, incident, form, "Kill switch pressed", "Record it", said)
    said = "The rollback has to be confirmed within 15 minutes of being authorised."
    return _show(request, incident, form, "Rollback authorised", "Record it", said)


@read_or_send
@record
def confirm(request: StaffRequest, ref: str, pk: int) -> HttpResponse:
    run = get_object_or_404(ControlRun.objects.select_related("incident", "started_by"), pk=pk, incident__ref=ref)
    form = ConfirmForm(request.POST or None, initial={"at": timezone.now()})
    if carried_out(form, lambda data: workflow.confirm_control(run, **data, by=request.user)):
        return _back(run.incident, "controls")
    title = "Halt confirmed" if run.is_kill_switch else "Rollback confirmed"
    said = f"{run}, {run.word} by {run.started_by} at {run.started_at:%Y-%m-%d %H:%M:%S} UTC."
    return _show(request, run.incident, form, title, "Record it", said)
