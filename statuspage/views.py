"""HTTP around the public documents: addresses, validators, cache times. No cookie, no session, no Vary."""

import hashlib
from datetime import datetime
from typing import Any

from allauth.account.adapter import get_adapter
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.cache import get_conditional_response
from django.utils.http import http_date, quote_etag
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from statuspage import requests, snapshot, subscriptions
from statuspage.documents import HTML, OPEN, TOPICS, Kind
from statuspage.editions import SLOT
from statuspage.forms import AddressForm, ChooseForm, SubscribeForm
from statuspage.models import Component


@login_not_required
@require_http_methods(["GET", "HEAD", "OPTIONS"])
def document(request: HttpRequest, kind: Kind, **named: Any) -> HttpResponse:
    """A public document written now: the answer where no snapshot stands in front, or it does not have this one yet."""
    if request.method == "OPTIONS":
        return _allowed(kind)
    key, topic, now = kind.key(**named), TOPICS[kind.topic], _minute()
    subject = topic.load(key) if key else None
    body = kind.write(subject, now) if subject else None
    if body is None:
        raise Http404("There is no such document.")
    if isinstance(body, str):
        return redirect(body, permanent=True)
    if kind.status != 200:
        return HttpResponse(body, status=kind.status)
    response = _public(request, body.replace(SLOT, b""), now if kind.media == HTML else None)
    for name, value in kind.head(subject).items():
        response[name] = value
    if kind.framed:
        response.xframe_options_exempt = True
    return response


def _allowed(kind: Kind) -> HttpResponse:
    """What a browser is told that asks before it reads for another site."""
    allowed = {"Allow": "GET, HEAD, OPTIONS"}
    if not kind.media.startswith("text/html"):
        allowed |= OPEN | {
            "Access-Control-Allow-Methods": "GET, HEAD",
            "Access-Control-Allow-Headers": "If-None-Match, If-Modified-Since, Cache-Control",
            "Access-Control-Max-Age": "86400",
        }
    return HttpResponse(status=204, headers=allowed)


@login_not_required
@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def leave(request: HttpRequest, token: str) -> HttpResponse:
    """One-click unsubscribe (RFC 8058). Looking changes nothing; no answer tells known tokens from others."""
    done = request.method == "POST"
    if done:
        subscriptions.leave(token)
    return _private(request, "leave", {"done": done})


@login_not_required
@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def subscribe(request: HttpRequest) -> HttpResponse:
    return _ask(request, "subscribe", SubscribeForm(request.POST if request.method == "POST" else None))


@login_not_required
@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def ask_to_manage(request: HttpRequest) -> HttpResponse:
    return _ask(request, "manage", AddressForm(request.POST if request.method == "POST" else None))


def _ask(request: HttpRequest, wish: str, form: AddressForm) -> HttpResponse:
    """The form, or one answer whatever the address: the page says nothing it would have to look up."""
    if not form.is_valid():
        return _private(request, "ask", {"form": form, "wish": wish}, status=400 if form.is_bound else 200)
    requests.ask(
        wish,
        form.cleaned_data["email"],
        components=form.cleaned_data.get("components", ()),
        visitor=requests.visitor_of(get_adapter(request).get_client_ip(request)),
        at=timezone.now(),
    )
    return _private(request, "asked", {"wish": wish})


@login_not_required
@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def confirm(request: HttpRequest, token: str) -> HttpResponse:
    """A page with a button: programs that follow links in mails confirm nothing."""
    if request.method != "POST":
        asked = requests.to_confirm(token, at=timezone.now())
        if asked is None:
            return _private(request, "expired", {}, status=404)
        return _private(request, "confirm", {"names": Component.objects.filter(code__in=asked.components)})
    subscriber = requests.confirm(token)
    if subscriber is None:
        return _private(request, "expired", {}, status=404)
    return _private(request, "confirm", {"done": True, "manage_token": subscriptions.manage_token(subscriber)})


@login_not_required
@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def manage(request: HttpRequest, token: str) -> HttpResponse:
    subscriber = subscriptions.managed(token)
    if subscriber is None:
        return _private(request, "expired", {}, status=404)
    chosen = {"components": list(subscriber.components.all())}
    form = ChooseForm(request.POST if request.method == "POST" else None, initial=chosen)
    saved = form.is_valid()
    if saved:
        subscriptions.choose(subscriber, form.cleaned_data["components"])
    context = {"form": form, "saved": saved, "leave_token": subscriptions.token_for(subscriber)}
    return _private(request, "manage", context, status=400 if form.errors else 200)


def _private(request: HttpRequest, name: str, context: dict[str, Any], *, status: int = 200) -> HttpResponse:
    """A page that nobody keeps, and whose address no other site learns."""
    response = render(request, f"statuspage/{name}.html", context, status=status)
    response["Referrer-Policy"] = "no-referrer"
    response["Cache-Control"] = "no-store"
    return response


def _minute() -> datetime:
    """The clock without seconds: pages say times in minutes, and bytes that do not change keep their ETag."""
    return timezone.now().replace(second=0, microsecond=0)


def _public(request: HttpRequest, body: bytes, written_at: datetime | None) -> HttpResponse:
    """The document with its validators, or 304. `written_at`: set where the clock enters the text."""
    etag = quote_etag(hashlib.sha256(body).hexdigest()[:32])
    changes = [at for at in (snapshot.changed_at(), written_at) if at] or [_minute()]
    modified = int(max(changes).timestamp())
    response = HttpResponse(body)
    response["ETag"] = etag
    response["Last-Modified"] = http_date(modified)
    return get_conditional_response(request, etag, modified, response) or response
