"""Write an update or a notice, look at exactly what would leave; approve drafts; waive and settle duties."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.core.exceptions import PermissionDenied
from django.db.models import Max
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from incidents import workflow
from incidents.comms import actions, approvals, calls, duties, laws, queries
from incidents.comms.audiences import customers_of
from incidents.comms.forms import (
    LawForm,
    NoticeForm,
    PublicPostmortemForm,
    ReviewForm,
    RewriteForm,
    SendBackForm,
    SettleForm,
    StatementForm,
    UnapprovedForm,
    UpdateForm,
    VendorForm,
    WaiveForm,
    WithdrawForm,
    WithdrawPostmortemForm,
    asserted,
)
from incidents.comms.models import Call, CommsDuty, LegalDeadline, Message
from incidents.lifecycle.actions import check_seen
from incidents.lifecycle.models import Incident
from incidents.workflow import Update
from irportal import prose
from irportal.outbox.audiences import reach
from irportal.outbox.models import Announcement
from irportal.outbox.wire import MARKS
from irportal.parts import StaffRequest, carried_out, render_part
from irportal.refused import Refused
from statuspage.models import Notice

UPDATE = "incidents/comms/update.html"
CHANGE = "incidents/lifecycle/change.html"
see = permission_required("incidents.view_incident", raise_exception=True)
draft = permission_required("incidents.draft_message", raise_exception=True)
publish = permission_required("incidents.publish_message", raise_exception=True)


@require_GET
@see
def due(request: StaffRequest) -> HttpResponse:
    """What is overdue or due in the next 15 minutes, over all incidents; `?mine=1` leaves only one's own."""
    now = timezone.now()
    everybodys = queries.due_soon(now, request.user)
    mine = [duty for duty in everybodys if duty.mine]  # type: ignore[attr-defined]
    only_mine = request.GET.get("mine") == "1"
    shown = mine if only_mine else everybodys
    context = {
        "now": now,
        "until": now + queries.SOON,
        "duties": shown,
        "mine": len(mine),
        "only_mine": only_mine,
        "late": sum(duty.due_at <= now for duty in shown),
        "ruler": queries.ruler(shown, now),
        "later": queries.after(now),
        "became": queries.became(now),
    }
    return render_part(request, "incidents/comms/due.html", "live", context)


def _incident(ref: str) -> Incident:
    rows = Incident.objects.select_related("type", "policy_version__profile")
    return get_object_or_404(rows.prefetch_related("policy_version__severities"), ref=ref)


def _newest(incident: Incident) -> int:
    return incident.timeline.aggregate(newest=Max("pk"))["newest"] or 0


def _form(request: StaffRequest, incident: Incident) -> UpdateForm:
    now = timezone.now()
    latest = duties.latest_promise(incident, now)
    initial = {
        "status": request.GET.get("status", incident.status),
        "at": now,
        "next_update_by": latest,
        "seen": _newest(incident),
    }
    return UpdateForm(
        request.POST if request.method == "POST" else None, incident=incident, latest=latest, initial=initial
    )


def _change(form: UpdateForm) -> Update:
    names = ("status", "at", "reason", "customer_text", "internal_text")
    said: dict[str, Any] = {name: form.cleaned_data[name] for name in names}
    said |= {name: form.cleaned_data.get(name) for name in ("next_update_by", "corrects") if name in form.fields}
    said |= form.told()
    return Update(**said, unapproved=form.why_unapproved(), asserts=asserted(form))


def _asked(request: StaffRequest, incident: Incident, change: Update) -> str:
    """Who would have to approve an update this person writes, in words; empty when nobody has to."""
    mine = Message(
        incident=incident,
        audience=Message.Audience.CUSTOMERS,
        author=request.user,
        asserts=bool(change.asserts),
    )
    return " and ".join(seat.who for seat in approvals.seats(mine))


def _fingerprint(change: Update) -> str:
    """Binds the button that sends to what the person previewed."""
    return actions.content_hash(
        "\0".join(
            map(str, (change.customer_text, change.internal_text, change.corrects, change.titles, change.bodies))
        ),
        audience=change.reason,
        public_status=change.status,
        next_update_by=change.next_update_by,
        asserts=change.asserts,
    )


def _page(request: StaffRequest, incident: Incident, form: UpdateForm, **more: Any) -> HttpResponse:
    context = {"incident": incident, "form": form, **more}
    status = 400 if form.errors else 409 if more.get("notice") else 200
    return render(request, UPDATE, context, status=status)


@require_GET
@draft
def write(request: StaffRequest, ref: str) -> HttpResponse:
    incident = _incident(ref)
    return _page(request, incident, _form(request, incident))


@require_POST
@draft
def preview(request: StaffRequest, ref: str) -> HttpResponse:
    """The exact mail, page and number of readers; nothing is kept."""
    incident = _incident(ref)
    return _preview(request, incident, _form(request, incident))


def _as_read(letter: Announcement | None) -> str:
    """The plain part with words where each reader's own reason and link will stand."""
    text = letter.text if letter else ""
    own = {"why": "(why this reader gets it)", "unsubscribe_url": "(this reader's own link)"}
    return MARKS.sub(lambda mark: own.get(mark[1], ""), text)


def _is_good(form: UpdateForm, incident: Incident) -> bool:
    """Whether the form can be used; when it cannot, what others changed meanwhile is said too: it may be why."""
    if form.is_valid():
        return True
    try:
        check_seen(incident, form.cleaned_data.get("seen"))
    except Refused as refusal:
        form.add_error(None, str(refusal))
        form.see(_newest(incident))
    return False


def _preview(request: StaffRequest, incident: Incident, form: UpdateForm, notice: str = "") -> HttpResponse:
    if not _is_good(form, incident):
        return _page(request, incident, form)
    change = _change(form)
    try:
        shown = workflow.preview(incident, change, by=request.user, seen=form.cleaned_data["seen"])
    except Refused as refusal:
        form.add_error(None, str(refusal))
        form.see(_newest(incident))
        return _page(request, incident, form)
    return _page(
        request,
        incident,
        form,
        preview=shown,
        previewed=_fingerprint(change),
        asked=_asked(request, incident, change) if change.customer_text else "",
        asserts=change.asserts,
        notice=notice,
        page_html=prose.render(change.customer_text),
        others=_in_other_languages(change),
        customer_mail=_as_read(shown.customer),
        internal_mail=_as_read(shown.internal),
    )


def _in_other_languages(change: Update) -> list[tuple[str, str, str]]:
    rows = Message(titles=change.titles or {}, bodies=change.bodies or {}).in_other_languages
    return [(name, title, prose.render(body)) for name, title, body in rows]


@require_POST
@publish
def send(request: StaffRequest, ref: str) -> HttpResponse:
    return _do(request, _incident(ref), send_now=True)


@require_POST
@draft
def keep_draft(request: StaffRequest, ref: str) -> HttpResponse:
    """Change the state now; the text to customers waits for somebody who may publish."""
    return _do(request, _incident(ref), send_now=False)


def _do(request: StaffRequest, incident: Incident, *, send_now: bool) -> HttpResponse:
    form = _form(request, incident)
    if not _is_good(form, incident):
        return _page(request, incident, form)
    change = _change(form)
    if send_now and request.POST.get("previewed") != _fingerprint(change):
        return _preview(
            request,
            incident,
            form,
            notice="This is not what you looked at before; here is what would leave now.",
        )
    if send_now and change.customer_text and not change.unapproved and (asked := _asked(request, incident, change)):
        sentence = f"You wrote this, so it needs the approval of {asked}. To send it without, tick the box and say why."
        return _preview(request, incident, form, notice=sentence)
    try:
        workflow.update(incident, change, by=request.user, send=send_now, seen=form.cleaned_data["seen"])
    except Refused as refusal:
        form.add_error(None, str(refusal))
        form.see(_newest(incident))
        return _page(request, incident, form)
    messages.success(request, _said(change, send_now=send_now, asked=_asked(request, incident, change)))
    return redirect(incident)


def _said(change: Update, *, send_now: bool, asked: str) -> str:
    if change.customer_text and not send_now:
        return f"Saved. The text for customers waits for the approval of {asked or 'anybody who may publish'}."
    return "Sent. The page shows it now; the mails are leaving." if change.customer_text else "Saved."


def _draft(ref: str, pk: int) -> Message:
    rows = Message.objects.select_related("incident__policy_version", "author")
    return get_object_or_404(rows, pk=pk, incident__ref=ref)


@require_POST
@see
def approve(request: StaffRequest, ref: str, pk: int) -> HttpResponse:
    """Open to everybody who sees the incident: the policy's roles decide, and a sponsor need not be a publisher."""
    message = workflow.send_draft(
        _draft(ref, pk), by=request.user, content_hash=request.POST.get("content_hash", "")[:64]
    )
    sent = message.status == Message.Status.SENT
    said = "Sent. The mails are leaving." if sent else "Approved. It leaves once the others have approved it."
    messages.success(request, said)
    return redirect(message.incident)


@require_http_methods(["GET", "POST"])
@publish
def go_without(request: StaffRequest, ref: str, pk: int) -> HttpResponse:
    message = _draft(ref, pk)
    form = UnapprovedForm(request.POST or None, initial={"content_hash": message.content_hash})
    if carried_out(form, lambda data: workflow.send_unapproved(message, **data, by=request.user)):
        messages.success(request, "Sent without approval. Somebody else reviews it within 24 hours.")
        return redirect(message.incident)
    return _small(request, message.incident, form, "Send without approval", "Send it now", prose.render(message.text))


@require_http_methods(["GET", "POST"])
@draft
def rewrite(request: StaffRequest, ref: str, pk: int) -> HttpResponse:
    message = _draft(ref, pk)
    form = _rewrite_form(request, message)

    def rewrite_it(data: dict[str, Any]) -> None:
        others = form.told() if isinstance(form, RewriteForm) else {}
        actions.rewrite(message, text=form.text(), asserts=asserted(form), by=request.user, **others)

    if carried_out(form, rewrite_it):
        messages.success(request, "Saved. Approvals of the old text are void.")
        return redirect(message.incident)
    return _small(request, message.incident, form, "Change the text", "Save and ask for approval again")


def _rewrite_form(
    request: StaffRequest, message: Message
) -> RewriteForm | NoticeForm | StatementForm | PublicPostmortemForm:
    said = request.POST or None
    if message.is_notice:
        return NoticeForm(said, kind=message.kind, text=message.text)
    if message.is_statement:
        return StatementForm(said, text=message.text)
    if message.is_postmortem:
        return PublicPostmortemForm(said, text=message.text)
    return RewriteForm(said, text=message.text, asserts=message.asserts, titles=message.titles, bodies=message.bodies)


@require_http_methods(["GET", "POST"])
@draft
def statement(request: StaffRequest, ref: str) -> HttpResponse:
    """Write what press and social media are told; it may be given out once legal has approved it."""
    incident = _incident(ref)
    form = StatementForm(request.POST or None, why_inside=actions.why_inside(incident, statement=True))

    def write_it(data: dict[str, Any]) -> None:
        actions.write_statement(incident, text=form.text(), override_reason=data.get("why", ""), by=request.user)

    if carried_out(form, write_it):
        messages.success(request, "Saved. The public statement waits for approval.")
        return redirect(incident)
    said = "The portal sends this to nobody. Once approved it stands on the incident, to be given out word for word."
    return _small(request, incident, form, "Public statement", "Save and ask for approval", said)


@require_http_methods(["GET", "POST"])
@draft
def postmortem(request: StaffRequest, ref: str) -> HttpResponse:
    """Write what customers read of what was learned; the page shows it once everybody asked has approved it."""
    incident = _incident(ref)
    shown = Notice.objects.filter(ref=ref).first()
    stands = shown and shown.postmortem
    form = PublicPostmortemForm(
        request.POST or None, text=stands.body if stands else "", seen=bool(shown and shown.postmortems.exists())
    )

    def write_it(data: dict[str, Any]) -> None:
        actions.write_postmortem(incident, text=form.text(), corrects=data.get("corrects", ""), by=request.user)

    if carried_out(form, write_it):
        messages.success(request, "Saved. The public post-mortem waits for approval.")
        return redirect(incident)
    return _small(request, incident, form, "Public post-mortem", "Save and ask for approval")


@require_http_methods(["GET", "POST"])
@publish
def withdraw_postmortem(request: StaffRequest, ref: str) -> HttpResponse:
    incident, form = _incident(ref), WithdrawPostmortemForm(request.POST or None)
    if carried_out(form, lambda data: actions.withdraw_postmortem(incident, **data, by=request.user)):
        messages.success(request, "Withdrawn. The page says so and why.")
        return redirect(incident)
    return _small(request, incident, form, "Withdraw the public post-mortem", "Withdraw it")


@require_http_methods(["GET", "POST"])
@publish
def vendor(request: StaffRequest, ref: str) -> HttpResponse:
    incident, shown = _incident(ref), Notice.objects.filter(ref=ref).first()
    form = VendorForm(request.POST or None, initial={"vendor": shown and shown.vendor})
    if carried_out(form, lambda data: actions.name_vendor(incident, **data, by=request.user)):
        messages.success(request, "Saved. The page shows it now.")
        return redirect(incident)
    return _small(request, incident, form, "Caused by a vendor", "Save")


@require_http_methods(["GET", "POST"])
@draft
def notice(request: StaffRequest, ref: str, kind: str) -> HttpResponse:
    """Write a formal notice to the contacts of affected customers; it leaves once everybody asked has approved it."""
    if kind not in Message.NOTICES:
        raise Http404
    incident, label = _incident(ref), Message.Kind(kind).label
    form = NoticeForm(request.POST or None, kind=kind, initial={"happened": incident.impact_text})

    def write_it(data: dict[str, Any]) -> None:
        actions.write_notice(incident, kind=kind, text=form.text(), by=request.user)

    if carried_out(form, write_it):
        messages.success(request, f"Saved. The {label.lower()} waits for approval.")
        return redirect(incident)
    count = reach("contracts", customers_of(incident))
    whom = f"{count} contact{'' if count == 1 else 's'} of affected customers"
    said = f"Goes by mail to {whom}, not to the status page."
    return _small(request, incident, form, f"{label} to customers", "Save and ask for approval", said)


@require_http_methods(["GET", "POST"])
@publish
def send_back(request: StaffRequest, ref: str, pk: int) -> HttpResponse:
    message = _draft(ref, pk)
    form = SendBackForm(request.POST or None)
    if carried_out(form, lambda data: actions.send_back(message, **data, by=request.user)):
        return redirect(message.incident)
    return _small(
        request, message.incident, form, f"Send back to {message.author}", "Send back", prose.render(message.text)
    )


def _small(
    request: StaffRequest, incident: Incident, form: Any, title: str, button: str, before: str = ""
) -> HttpResponse:
    context = {"incident": incident, "form": form, "title": title, "button": button, "before": before}
    return render(request, CHANGE, context, status=400 if form.errors else 200)


def _duty(ref: str, pk: int) -> CommsDuty:
    return get_object_or_404(CommsDuty.objects.select_related("incident", "law"), pk=pk, incident__ref=ref)


@require_http_methods(["GET", "POST"])
@permission_required("incidents.waive_duty", raise_exception=True)
def waive(request: StaffRequest, ref: str, pk: int) -> HttpResponse:
    duty, form = _duty(ref, pk), WaiveForm(request.POST or None)
    if carried_out(form, lambda data: duties.waive(duty, **data, by=request.user)):
        return redirect(duty.incident)
    return _small(request, duty.incident, form, "Waive a promise", "Waive it", str(duty))


@require_http_methods(["GET", "POST"])
@see
def settle(request: StaffRequest, ref: str, pk: int) -> HttpResponse:
    """Open to who may waive, and for regulators to who answers for filings: the policy's role is the right."""
    duty = _duty(ref, pk)
    may = request.user.has_perm("incidents.waive_duty")
    if not may and not (duty.audience == "regulators" and _answers(request, duty)):
        raise PermissionDenied
    form = (ReviewForm if duty.is_review else SettleForm)(request.POST or None)
    if carried_out(form, lambda data: duties.settle(duty, **data, by=request.user)):
        return redirect(duty.incident)
    if duty.is_review:
        return _small(
            request, duty.incident, form, "Review what left without approval", "Record the review", _left(duty)
        )
    return _small(request, duty.incident, form, "Record what was done", "Record it", str(duty))


def _answers(request: StaffRequest, about: CommsDuty | LegalDeadline) -> bool:
    return request.user in laws.answering(about.incident).values()


@require_http_methods(["GET", "POST"])
@see
def enter_law(request: StaffRequest, ref: str) -> HttpResponse:
    """Open to who writes the record, since a date only makes things earlier, and to who answers for filings."""
    incident = _incident(ref)
    if not (request.user.has_perm("incidents.update_incident") or request.user in laws.answering(incident).values()):
        raise PermissionDenied
    form = LawForm(request.POST or None, initial={"runs_from": incident.detected_at})
    if carried_out(form, lambda data: workflow.enter_law(incident, **data, by=request.user)):
        messages.success(request, "Entered. What it asks for is due by it at the latest.")
        return redirect(f"{incident.get_absolute_url()}#laws")
    said = "A law's date only ever makes a promise earlier. Where the policy is stricter, the policy stands."
    return _small(request, incident, form, "Enter the date a law demands", "Enter it", said)


@require_http_methods(["GET", "POST"])
@see
def withdraw_law(request: StaffRequest, ref: str, pk: int) -> HttpResponse:
    rows = LegalDeadline.objects.select_related("incident__policy_version")
    law, form = get_object_or_404(rows, pk=pk, incident__ref=ref), WithdrawForm(request.POST or None)
    if not (request.user.has_perm("incidents.waive_duty") or _answers(request, law)):
        raise PermissionDenied
    if carried_out(form, lambda data: workflow.withdraw_law(law, **data, by=request.user)):
        messages.success(request, "Withdrawn. The policy's own limits stand.")
        return redirect(f"{law.incident.get_absolute_url()}#laws")
    return _small(request, law.incident, form, "Withdraw the date of a law", "Withdraw it", str(law))


def _left(review: CommsDuty) -> str:
    """What has to be reviewed: each text with its sender, its time and why it could not wait."""
    rows = review.reviewed.select_related("approved_by").order_by("sent_at")
    return prose.render(
        "\n\n".join(
            f"{row.sent_at:%Y-%m-%d %H:%M} UTC, sent by {row.approved_by}: {row.unapproved_reason}\n\n> "
            + row.text.replace("\n", "\n> ")
            for row in rows
        )
    )


@require_POST
@see
def acknowledge_call(request: StaffRequest, ref: str, pk: int) -> HttpResponse:
    """Open to everybody who sees the incident: being called is the right to say that one has it."""
    call = get_object_or_404(Call.objects.select_related("incident"), pk=pk, incident__ref=ref)
    calls.acknowledge(call, by=request.user)
    return redirect(call.incident)
