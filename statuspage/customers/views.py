"""The private page: what the public sees and what is one customer's alone, for their people, written anew each time.

Nothing here is ever kept by a cache, nor is any of it in the snapshot.
"""

from datetime import datetime
from typing import Any

from allauth.account.adapter import get_adapter
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import get_urlconf, reverse, set_urlconf
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from statuspage import requests, snapshot
from statuspage.customers import openid, sessions
from statuspage.documents import JSON, TOPICS, Kind
from statuspage.editions import SLOT
from statuspage.forms import AddressForm
from statuspage.models import Maintenance, Notice, SubscriptionRequest

COOKIE = "__Secure-customer" if settings.PRODUCTION else "customer"
BEGUN = "__Secure-customer-begun" if settings.PRODUCTION else "customer-begun"  # while somebody is at the provider
AT = "/private/"


@login_not_required
@require_http_methods(["GET", "HEAD"])
def document(request: HttpRequest, kind: Kind, links: Any, **named: Any) -> HttpResponse:
    """A document as the customer sees it. `links` are the addresses its links lead to."""
    session = sessions.who(request.COOKIES.get(COOKIE, ""))
    if session is None:
        return _ask_to_sign_in(kind)
    before = get_urlconf()
    set_urlconf(links)
    try:
        body = _write(kind, snapshot.Facts(session.customer), timezone.now(), named)
    finally:
        set_urlconf(before)
    if body is None:
        raise Http404("There is no such document.")
    if isinstance(body, str):
        return _kept_by_nobody(redirect(body))
    strip = render_to_string("statuspage/_signed_in.html", {"session": session})
    return _kept_by_nobody(HttpResponse(body.replace(SLOT, strip.encode()), content_type=kind.media))


def _ask_to_sign_in(kind: Kind) -> HttpResponse:
    if kind.media == JSON:
        return _kept_by_nobody(JsonResponse({"error": f"Sign in at {AT}sign-in first."}, status=401))
    return _kept_by_nobody(redirect("customers:sign-in"))


def _write(kind: Kind, facts: snapshot.Facts, now: datetime, named: dict[str, Any]) -> bytes | str | None:
    """What `kind` says to this customer; None when there is no such document for them."""
    if kind.topic in ("now", "lists", "uptime"):
        return kind.write(facts, now)
    if kind.topic == "month":
        month = TOPICS["month"].load(kind.key(**named) or "")
        return snapshot.history(facts, now, month) if month else None
    if kind.topic == "maintenance":
        work = Maintenance.objects.complete(facts.customer).filter(**named).first()
        if work and kind.media == JSON:
            return snapshot.maintenance_json(work, now, facts.customer)
        return kind.write(work, now) if work else None
    notice = Notice.objects.complete(facts.customer).filter(**named).first()
    if notice and kind.media == JSON:
        return snapshot.incident_json(notice, now, facts.customer)
    return kind.write(notice, now) if notice else None


@login_not_required
@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    """Ask for a link by mail. One answer whatever the address: nothing is looked up here."""
    form = AddressForm(request.POST if request.method == "POST" else None)
    if not form.is_valid():
        return _ask_who(request, form, status=400 if form.errors else 200)
    visitor = requests.visitor_of(get_adapter(request).get_client_ip(request))
    wish = SubscriptionRequest.Wish.SIGN_IN
    requests.ask(wish, requests.Address(form.cleaned_data["email"]), visitor=visitor, at=timezone.now())
    return _show(request, "sign_in", {"sent": True})


@login_not_required
@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def enter(request: HttpRequest, token: str) -> HttpResponse:
    """A page with a button: programs that follow links in mails use nothing up."""
    if not _is_pressed(request):
        asked = sessions.asked_with(token, timezone.now())
        return _show(request, "enter", {"asked": asked}, status=200 if asked else 404)
    cookie = sessions.use(token, instead_of=request.COOKIES.get(COOKIE, ""))
    if cookie is None:
        return _show(request, "enter", {"asked": None}, status=404)
    return remember(redirect("customers:page"), cookie)


@login_not_required
@require_http_methods(["GET"])
def depart(request: HttpRequest) -> HttpResponse:
    """Send the browser to the provider. A link, since the policy lets no form of ours lead to another site."""
    if not settings.CUSTOMER_OIDC_ISSUER:
        raise Http404("There is no such way to sign in.")
    if not _is_ours(request):
        return _kept_by_nobody(redirect("customers:sign-in"))
    try:
        url, begun = openid.depart()
    except openid.Declined as declined:
        return _decline(request, declined)
    response = redirect(url)
    age, only_back = int(openid.LIFE.total_seconds()), reverse("customers:openid-back")
    response.set_cookie(BEGUN, begun, age, path=only_back, secure=settings.PRODUCTION, httponly=True, samesite="Lax")
    return _kept_by_nobody(response)


@login_not_required
@require_http_methods(["GET"])
def come_back(request: HttpRequest) -> HttpResponse:
    """Sign in whoever the provider sends back, or say why not. Leads nowhere but to the private page."""
    if not settings.CUSTOMER_OIDC_ISSUER:
        raise Http404("There is no such way to sign in.")
    try:
        email = openid.returned(request.GET, request.COOKIES.get(BEGUN, ""))
        cookie = sessions.begin(email, instead_of=request.COOKIES.get(COOKIE, ""))
        if cookie is None:
            raise openid.Declined(openid.NOBODY)
        response = remember(redirect("customers:page"), cookie)
    except openid.Declined as declined:
        response = _decline(request, declined)
    response.delete_cookie(BEGUN, path=reverse("customers:openid-back"), samesite="Lax")
    return response


@login_not_required
@csrf_exempt
@require_http_methods(["POST"])
def sign_out(request: HttpRequest) -> HttpResponse:
    if _is_pressed(request):
        sessions.end(request.COOKIES.get(COOKIE, ""))
    response = redirect("customers:sign-in")
    response.delete_cookie(COOKIE, path=AT, samesite="Lax")
    return _kept_by_nobody(response)


def remember(response: HttpResponse, cookie: str) -> HttpResponse:
    """The answer with the session's cookie, which goes to the private page alone."""
    age = int(sessions.CustomerSession.IDLE.total_seconds())
    response.set_cookie(COOKIE, cookie, age, path=AT, secure=settings.PRODUCTION, httponly=True, samesite="Lax")
    return _kept_by_nobody(response)


def _is_pressed(request: HttpRequest) -> bool:
    """Whether a button of ours was pressed, as far as the browser says: no other site signs anybody in or out."""
    return request.method == "POST" and _is_ours(request)


def _is_ours(request: HttpRequest) -> bool:
    return request.headers.get("Sec-Fetch-Site", "same-origin") in ("same-origin", "none")


def _decline(request: HttpRequest, declined: openid.Declined) -> HttpResponse:
    return _ask_who(request, AddressForm(), status=403, declined=str(declined))


def _ask_who(request: HttpRequest, form: AddressForm, *, status: int, declined: str = "") -> HttpResponse:
    context = {"form": form, "declined": declined, "provider": settings.CUSTOMER_OIDC_LABEL}
    return _show(request, "sign_in", context, status=status)


def _show(request: HttpRequest, name: str, context: dict[str, Any], *, status: int = 200) -> HttpResponse:
    return _kept_by_nobody(render(request, f"statuspage/{name}.html", context, status=status))


def _kept_by_nobody(response: HttpResponse) -> HttpResponse:
    response["Cache-Control"] = "private, no-store"
    response["Referrer-Policy"] = "no-referrer"
    return response
