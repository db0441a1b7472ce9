"""Undelivered: what was given up, why, and the way to send it after all. Who is suppressed. And what monitors read."""

import logging
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required, permission_required
from django.core.exceptions import SuspiciousOperation
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST, require_safe
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from irportal.outbox import actions, events, queries
from irportal.outbox.models import Delivery, DeliveryQuerySet, Suppression
from irportal.parts import StaffRequest
from irportal.refused import Refused

log = logging.getLogger(__name__)

PAGE_ROWS = 50
may_resend = permission_required("outbox.resend_delivery", raise_exception=True)


@require_GET
@may_resend
def undelivered(request: StaffRequest) -> HttpResponse:
    words = _words(request.GET.get("q", ""))
    rows = Delivery.objects.dead(words).select_related("announcement")
    page = Paginator(rows, PAGE_ROWS).get_page(request.GET.get("page"))
    return render(request, "outbox/undelivered.html", {"page": page, "words": words})


@require_POST
@may_resend
def send_chosen(request: StaffRequest) -> HttpResponse:
    chosen = [int(pk) for pk in request.POST.getlist("delivery") if pk.isdecimal() and len(pk) < 19]
    if not chosen:
        raise Refused("Choose at least one message to send again.")
    return _sent(request, Delivery.objects.dead().filter(pk__in=chosen))


@require_POST
@may_resend
def send_all(request: StaffRequest) -> HttpResponse:
    return _sent(request, Delivery.objects.dead(_words(request.POST.get("q", ""))))


def _sent(request: StaffRequest, given_up: DeliveryQuerySet) -> HttpResponse:
    count = actions.send_again(given_up, by=request.user)
    if not count:
        raise Refused("Nothing was sent: these messages left already, or their readers asked for no more.")
    messages.success(request, f"{count} message{'s leave' if count > 1 else ' leaves'} again now.")
    return _back(request, "outbox:undelivered")


@require_GET
@may_resend
def suppressed(request: StaffRequest) -> HttpResponse:
    words = _words(request.GET.get("q", ""))
    page = Paginator(Suppression.objects.named(words), PAGE_ROWS).get_page(request.GET.get("page"))
    return render(request, "outbox/suppressed.html", {"page": page, "words": words})


@require_POST
@may_resend
def lift(request: StaffRequest, pk: int) -> HttpResponse:
    reason = actions.one_line(request.POST.get("reason", ""))[:200]
    if not reason:
        raise Refused("Say why mail to this address should arrive now.")
    row = get_object_or_404(Suppression, pk=pk)
    actions.lift(row, reason=reason, by=request.user)
    messages.success(request, f"{row.target} gets mail again.")
    return _back(request, "outbox:suppressed")


def _back(request: StaffRequest, name: str) -> HttpResponse:
    """To the list, as the person had filtered it."""
    words = _words(request.POST.get("q", ""))
    return redirect(f"{reverse(name)}{'?' + urlencode({'q': words}) if words else ''}")


@login_not_required
@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """For whoever knows METRICS_TOKEN (`Authorization: Bearer …`); for everybody else there is no such page."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    known = kind.lower() == "bearer" and constant_time_compare(token.strip(), settings.METRICS_TOKEN)
    if not (settings.METRICS_TOKEN and known):
        raise Http404
    return HttpResponse(queries.metrics(timezone.now()), content_type=CONTENT_TYPE_LATEST)


@login_not_required
@csrf_exempt
@never_cache
@require_POST
def mail_events(request: HttpRequest) -> HttpResponse:
    """For the provider that MAIL_EVENTS names; for everybody else there is no such page.

    What bears no mark of ours is taken and counts for nothing: the provider would only send it again.
    """
    if not settings.MAIL_EVENTS:
        raise Http404
    length = str(request.META.get("CONTENT_LENGTH") or "0")
    if not length.isdecimal() or int(length) > events.LONGEST:
        return HttpResponse(status=413)
    if "Authorization" not in request.headers:  # Amazon signs in only once it is asked to
        return HttpResponse(status=401, headers={"WWW-Authenticate": 'Basic realm="events"'})
    try:
        told = list(events.read(request))
    except SuspiciousOperation:
        return HttpResponse(status=403)
    except Exception as error:  # its words may hold an address
        log.warning("the provider's events could not be read: %s", type(error).__name__)
        return HttpResponse(status=400)
    for one in told:
        if one.report is None or not actions.bounced(one.report, at=timezone.now()):
            log.warning("an event of the provider (%s) names no message of ours, or was known", one.kind)
    return HttpResponse()


def _words(typed: str) -> str:
    return actions.one_line(typed)[:100]
