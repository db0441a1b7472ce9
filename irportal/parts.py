"""What every staff view stands on: a signed-in person, and one template for the page and for its moving part."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django_htmx.middleware import HtmxDetails

from irportal.accounts.models import User


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
