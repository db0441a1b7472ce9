"""One template for the page and for its moving part."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def render_part(
    request: HttpRequest, template: str, part: str, context: dict[str, Any], *, status: int = 200
) -> HttpResponse:
    """The partial `part` for htmx, the whole page for everybody else (and when htmx restores its history)."""
    htmx = getattr(request, "htmx", None)
    partial = bool(htmx) and not htmx.history_restore_request
    return render(request, f"{template}#{part}" if partial else template, context, status=status)
