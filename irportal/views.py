"""Health, errors, and the frame every staff page shares."""

from datetime import timedelta
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from irportal.outbox.models import Pulse


@login_not_required
@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """200 while the engine runs and nothing due waits longer than two minutes; 503 with the reason otherwise."""
    health = Pulse.objects.health(timezone.now())
    return JsonResponse(health, status=200 if health["ok"] else 503)


def frame(request: HttpRequest) -> dict[str, Any]:
    """Clock and pulse for staff pages; nothing at all for public ones, so they stay cookie-free."""
    if not request.path.startswith(("/portal/", "/accounts/")):
        return {}
    now = timezone.now()
    return {"now": now, "pulse": Pulse.objects.seen(now), "soon": now + timedelta(minutes=15)}


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    text = "Your sign-in or this form has expired. Go back, load the page again and send it once more."
    return render(request, "refused.html", {"reason": text}, status=403)


@login_not_required
def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return render(request, "404.html", status=404)


@login_not_required
def broken(request: HttpRequest) -> HttpResponse:
    return HttpResponse(
        "<!doctype html><html lang=en><title>Something broke</title><h1>Something broke on our side</h1>"
        "<p>It was written down. Go back and try again; nothing half-done was kept.",
        status=500,
    )
