"""What every staff view stands on: a signed-in person, and one template for the page and for its moving part."""

from collections.abc import Callable
from typing import Any

from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django_htmx.middleware import HtmxDetails

from irportal.accounts.models import User
from irportal.refused import Refused


class StaffRequest(HttpRequest):
    """A request that passed LoginRequiredMiddleware."""

    user: User
    htmx: HtmxDetails


def render_part(
    request: StaffRequest, template: str, part: str, context: dict[str, Any], *, status: int = 200
) -> HttpResponse:
    """The partial `part` for htmx, the whole page for everybody else (and when htmx restores its history)."""
    partial = bool(request.htmx) and not request.htmx.history_restore_request
    return render(request, f"{template}#{part}" if partial else template, context, status=status)


def carried_out(form: Form, deed: Callable[[dict[str, Any]], object]) -> bool:
    """Do the deed with what was typed. A refusal stands on top of the form, which keeps every word; False then."""
    if not form.is_valid():
        return False
    try:
        deed(form.cleaned_data)
    except Refused as refusal:
        form.add_error(None, str(refusal))
        form.was_refused = True  # type: ignore[attr-defined]
        return False
    return True
