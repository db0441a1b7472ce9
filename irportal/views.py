"""Health, errors, and the frame every staff page shares."""

from datetime import timedelta
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import override
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from irportal.outbox.models import Pulse
from irportal.refused import Refused
from statuspage import languages


@login_not_required
@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """200 while the engine runs and nothing due waits longer than two minutes; else 503 with the reason."""
    try:
        health = Pulse.objects.health(timezone.now())
    except OperationalError:
        health = {"ok": False, "reasons": ["the database does not answer"]}
    return JsonResponse(health, status=200 if health["ok"] else 503)


def frame(request: HttpRequest) -> dict[str, Any]:
    """Clock and pulse for staff pages; nothing at all for public ones, so they stay cookie-free."""
    if not request.path.startswith(("/portal/", "/accounts/")):
        return {}
    now = timezone.now()
    pulse = Pulse.objects.seen(now)
    pulse["ago"] = ago(now - pulse["beat_at"]) if pulse["beat_at"] else ""
    return {"now": now, "pulse": pulse, "came_from": _came_from(request)}


def ago(past: timedelta) -> str:
    """A length of time in the largest whole unit: 2 s, 4 min, 3 h, 2 d. Never less than 0 s."""
    seconds = max(int(past.total_seconds()), 0)
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _came_from(request: HttpRequest) -> str:
    """The page of ours the person came from, or the portal's front; a refusal never links to a stranger."""
    referer = request.headers.get("Referer", "")
    return referer if url_has_allowed_host_and_scheme(referer, {request.get_host()}) else "/portal/"


@login_not_required
@never_cache
@require_safe
def pulse(request: HttpRequest) -> HttpResponse:
    """The header's clock and pulse, asked for by open pages; nothing (204) once the person has signed out.

    `was` says what the page shows now: the banner comes along only when that changed, so it is read out once.
    """
    if not request.user.is_authenticated:
        return HttpResponse(status=204)
    return render(request, "components/_vitals.html", {"was": request.GET.get("was")})


def address_stays(request: HttpRequest) -> HttpResponse:
    """In place of the library's page: the record names people by address, so nobody changes their own unseen."""
    raise Refused("An admin changes addresses in the settings, where the change is written down.")


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    text = "Your sign-in or this form has expired. Go back, load the page again and send it once more."
    return render(request, "refused.html", {"reason": text}, status=403)


@login_not_required
def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    with override(languages.split(request.path)[0]):
        return render(request, "404.html", status=404)


@login_not_required
def broken(request: HttpRequest) -> HttpResponse:
    return HttpResponse(
        "<!doctype html><html lang=en><title>Something broke</title><h1>Something broke on our side</h1>"
        "<p>It was written down. Go back and try again; nothing half-done was kept.",
        status=500,
    )
