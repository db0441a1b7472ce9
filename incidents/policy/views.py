"""Policies: read as a matrix, drafted in forms, compared in words, approved by somebody else."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.db.models import Count, Prefetch
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from incidents.lifecycle.models import Incident
from incidents.policy import actions, documents, queries, wording
from incidents.policy.forms import (
    PARTS,
    ApproveForm,
    CellForm,
    CloneForm,
    DefaultForm,
    PartForm,
    ReasonForm,
    SubmitForm,
)
from incidents.policy.models import DefaultChoice, PolicyProfile, PolicyVersion
from irportal.parts import StaffRequest, carried_out
from irportal.refused import Refused

DEED = "incidents/policy/deed.html"
SHOWN = 10  # versions of a profile in the list of all of them
MOST = 200  # versions of the one profile somebody asks for
PART_OF = {form.title: name for name, form in PARTS.items()}
see = permission_required("incidents.view_incident", raise_exception=True)
propose = permission_required("incidents.propose_policy", raise_exception=True)
decide = permission_required("incidents.approve_policy", raise_exception=True)
read_or_send = require_http_methods(["GET", "HEAD", "POST"])


@require_GET
@see
def profiles(request: StaffRequest) -> HttpResponse:
    """Every profile with its newest versions; `?profile=` shows one with all of them."""
    now, chosen = timezone.now(), request.GET.get("profile", "")
    versions = PolicyVersion.objects.order_by("-number").select_related("author", "approved_by")
    newest = Prefetch("versions", queryset=versions[: MOST if chosen else SHOWN], to_attr="newest")
    found = PolicyProfile.objects.order_by("-is_default", "read_only", "name").annotate(count=Count("versions"))
    found = found.filter(name=chosen) if chosen else found
    current: dict[int, int] = {}
    for row in PolicyVersion.objects.of_profile_in_force(now):
        current.setdefault(row.profile_id, row.pk)
    choices = DefaultChoice.objects.select_related("profile", "proposed_by", "settled_by")
    rows, used = list(found.prefetch_related(newest)[:MOST]), _used()
    for profile in rows:
        for row in profile.newest:
            row.used = used[row.pk]  # type: ignore[attr-defined]
            row.is_current = current.get(profile.pk) == row.pk  # type: ignore[attr-defined]
    context = {
        "profiles": rows,
        "choices": choices[:SHOWN],
        "chosen": chosen,
        "shown": SHOWN,
    }
    return render(request, "incidents/policy/list.html", context)


def _used() -> Counter[int]:
    """How many open incidents keep each version."""
    rows = Incident.objects.open().order_by().values_list("policy_version").annotate(n=Count("pk"))
    return Counter(dict(rows))


@require_GET
@see
def version(request: StaffRequest, name: str, number: int) -> HttpResponse:
    found, now = _version(name, number), timezone.now()
    document, base = queries.document(found), queries.base_of(found, now)
    changes = wording.differences(queries.document(base), document) if base and not found.approved_at else []
    in_force = PolicyVersion.objects.of_profile_in_force(now).filter(profile=found.profile).first()
    context = {
        "version": found,
        "rows": wording.rows(document),
        "audiences": wording.AUDIENCES,
        "parts": [(part, PART_OF[part.name]) for part in wording.parts(document)],
        "base": base,
        "changes": _by_part(changes),
        "in_force": in_force,
        "used": Incident.objects.open().filter(policy_version=found).count(),
        "writers": [row.person for row in found.writers.select_related("person")],
        "may_edit": found.is_draft and request.user.has_perm("incidents.propose_policy"),
    }
    return render(request, "incidents/policy/version.html", context)


def _by_part(changes: list[wording.Difference]) -> dict[str, list[wording.Difference]]:
    found: dict[str, list[wording.Difference]] = {}
    for change in changes:
        found.setdefault(change.part, []).append(change)
    return found


def _version(name: str, number: int) -> PolicyVersion:
    rows = PolicyVersion.objects.select_related("profile", "author", "approved_by", "cloned_from__profile")
    return get_object_or_404(rows, profile__name=name, number=number)


@require_GET
@see
def export(request: StaffRequest, name: str, number: int) -> HttpResponse:
    """The version as a profile file, which loads elsewhere to the same SHA-256."""
    found = _version(name, number)
    return HttpResponse(
        documents.written(queries.document(found)),
        content_type="application/yaml; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{found.profile.name}-{found.number}.yaml"'},
    )


# Drafts


def _sent(request: StaffRequest) -> Any:
    return request.POST if request.method == "POST" else None


@read_or_send
@propose
def clone(request: StaffRequest, name: str, number: int) -> HttpResponse:
    found = _version(name, number)
    own = "" if found.profile.read_only else found.profile.name
    form = CloneForm(_sent(request), initial={"into": own})
    made: list[PolicyVersion] = []
    if carried_out(form, lambda data: made.append(actions.clone(found, into=data["into"], by=request.user))):
        messages.success(request, f"{made[0]} is a draft; it says what {found} says.")
        return redirect(made[0])
    return _deed(request, form, found, f"Clone {found}", "Clone to a draft")


@read_or_send
@propose
def edit(request: StaffRequest, name: str, number: int, part: str) -> HttpResponse:
    if part not in PARTS:
        raise Http404
    found = _version(name, number)
    form = PARTS[part](_sent(request), document=queries.document(found), initial={"seen": found.revision})
    return _edit(request, found, form, form.title)


@read_or_send
@propose
def cell(request: StaffRequest, name: str, number: int, rank: int, audience: str) -> HttpResponse:
    found = _version(name, number)
    document = queries.document(found)
    if rank not in document["severities"] or audience not in wording.AUDIENCES:
        raise Http404
    form = CellForm(_sent(request), document=document, rank=rank, audience=audience, initial={"seen": found.revision})
    return _edit(request, found, form, form.name)


def _edit(request: StaffRequest, found: PolicyVersion, form: PartForm, title: str) -> HttpResponse:
    """The form of one part; a refused one says why and keeps every word."""
    if not form.is_bound:
        actions.only_a_draft(found)
    if carried_out(form, lambda data: actions.change(found, form.part(), by=request.user, seen=data["seen"])):
        messages.success(request, f"Saved in {found}.")
        return redirect(found)
    if form.was_refused:
        form.see(PolicyVersion.objects.get(pk=found.pk).revision)
    context = {"version": found, "form": form, "title": title}
    return render(request, "incidents/policy/edit.html", context, status=400 if form.errors else 200)


def _deed(
    request: StaffRequest, form: forms.Form, found: PolicyVersion | None, title: str, button: str, **more: Any
) -> HttpResponse:
    context = {"form": form, "version": found, "title": title, "button": button, **more}
    return render(request, DEED, context, status=400 if form.errors else 200)


@read_or_send
@propose
def submit(request: StaffRequest, name: str, number: int) -> HttpResponse:
    found = _version(name, number)
    form = SubmitForm(_sent(request), initial={"seen": found.revision})
    if carried_out(form, lambda data: actions.submit(found, by=request.user, **data)):
        messages.success(request, f"{found} waits for somebody else to approve it.")
        return redirect(found)
    if form.was_refused:
        form.see(PolicyVersion.objects.get(pk=found.pk).revision)
    return _deed(request, form, found, f"Ask for approval of {found}", "Ask for approval")


@read_or_send
@propose
def send_back(request: StaffRequest, name: str, number: int) -> HttpResponse:
    return _with_reason(request, _version(name, number), actions.send_back, "Send back", "is a draft again")


@read_or_send
@propose
def withdraw(request: StaffRequest, name: str, number: int) -> HttpResponse:
    return _with_reason(request, _version(name, number), actions.withdraw, "Withdraw", "is withdrawn")


def _with_reason(
    request: StaffRequest, found: PolicyVersion, deed: Callable[..., PolicyVersion], verb: str, done: str
) -> HttpResponse:
    form = ReasonForm(_sent(request))
    if carried_out(form, lambda data: deed(found, reason=data["reason"], by=request.user)):
        messages.success(request, f"{found} {done}.")
        return redirect(found)
    return _deed(request, form, found, f"{verb} {found}", verb)


@read_or_send
@decide
def approve(request: StaffRequest, name: str, number: int) -> HttpResponse:
    found = _version(name, number)
    form = ApproveForm(_sent(request), initial={"sha256": found.sha256})
    if carried_out(form, lambda data: actions.approve(found, by=request.user, **data)):
        messages.success(request, f"{found} is approved.")
        return redirect(found)
    base = queries.base_of(found, timezone.now())
    changes = wording.differences(queries.document(base), queries.document(found)) if base else []
    return _deed(request, form, found, f"Approve {found}", "Approve", base=base, changes=_by_part(changes))


# Which profile new incidents take


@read_or_send
@propose
def default(request: StaffRequest) -> HttpResponse:
    form = DefaultForm(_sent(request), now=timezone.now())
    if carried_out(form, lambda data: actions.propose_default(**data, by=request.user)):
        messages.success(request, "Proposed. Somebody else can approve it now.")
        return redirect("portal:policy-profiles")
    return _deed(request, form, None, "Choose the profile of new incidents", "Propose")


@require_POST
@decide
def settle_default(request: StaffRequest, pk: int) -> HttpResponse:
    choice = get_object_or_404(DefaultChoice, pk=pk)
    deeds = {"approve": actions.approve_default, "decline": actions.decline_default}
    deed = deeds.get(request.POST.get("deed", ""))
    if deed is None:
        raise Refused("Say whether to approve or to decline.")
    choice = deed(choice, by=request.user)
    what = "New incidents take it from now on." if choice.approved else "Declined; nothing changes."
    messages.success(request, f"{choice.profile}: {what}")
    return redirect("portal:policy-profiles")
