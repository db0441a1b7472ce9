"""HTTP around the public documents: addresses, validators, cache times. No cookie, no session, no Vary."""

import hashlib
from datetime import datetime
from typing import Any

from allauth.account.adapter import get_adapter
from django.contrib.auth.decorators import login_not_required
from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.cache import get_conditional_response
from django.utils.http import http_date, quote_etag
from django.utils.translation import get_language
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from statuspage import languages, requests, snapshot, subscriptions
from statuspage.documents import HTML, OPEN, TOPICS, Kind, said
from statuspage.editions import SLOT
from statuspage.forms import (
    FLOORS,
    AddressForm,
    ChooseForm,
    EndpointForm,
    FollowForm,
    MailForm,
    PostForm,
    ReadingForm,
    SubscribeForm,
)
from statuspage.models import Component, ComponentGroup, Customer, Notice, SubscriptionRequest, Way
from statuspage.requests import WHOLE_PAGE, Address, Wanted


@login_not_required
@require_http_methods(["GET", "HEAD", "OPTIONS"])
def document(request: HttpRequest, kind: Kind, **named: Any) -> HttpResponse:
    """A public document written now: the answer where no snapshot stands in front, or it does not have this one yet."""
    if request.method == "OPTIONS":
        return _allowed(kind)
    key, topic, now = kind.key(**named), TOPICS[kind.topic], _minute()
    subject = topic.load(key) if key else None
    status, body = said(kind, subject, now) if subject else (404, None)
    if body is None:
        raise Http404("There is no such document.")
    if isinstance(body, str):
        return redirect(body, permanent=True)
    if status != 200:
        return HttpResponse(body, status=status, content_type=kind.media)
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
    form = SubscribeForm(_posted(request), initial={"language": get_language()})
    if not form.is_valid():
        return _form(request, "subscribe", form)
    return _asked(request, "subscribe", Address(form.cleaned_data["email"]), form.wanted())


@login_not_required
@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def subscribe_endpoint(request: HttpRequest) -> HttpResponse:
    form = PostForm(_posted(request))
    if not form.is_valid():
        return _form(request, "endpoint", form)
    address = Address(way=form.cleaned_data["way"], url=form.cleaned_data["url"])
    return _asked(request, "endpoint", address, form.wanted())


@login_not_required
@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def follow(request: HttpRequest, code: str) -> HttpResponse:
    """Ask for updates about one incident alone; about what comes next, when it is over meanwhile."""
    incident = get_object_or_404(Notice.objects.seen_by(None), code=code) if code.isalnum() else None
    if incident is None:
        raise Http404("There is no such incident.")
    posted, initial = _posted(request), {"language": get_language()}
    if not incident.is_open:
        typed = {"email": request.POST.get("email", ""), **initial}
        form: Form = SubscribeForm(initial=typed)
        return _form(request, "subscribe", form, over=incident, status=409 if posted is not None else 200)
    form = FollowForm(posted, initial=initial)
    if not form.is_valid():
        return _form(request, "follow", form, incident=incident)
    return _asked(request, "follow", Address(form.cleaned_data["email"]), form.wanted(incident))


@login_not_required
@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def ask_to_manage(request: HttpRequest) -> HttpResponse:
    form = AddressForm(_posted(request))
    if not form.is_valid():
        return _form(request, "manage", form)
    return _asked(request, "manage", Address(form.cleaned_data["email"]))


@login_not_required
@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def ask_to_manage_endpoint(request: HttpRequest) -> HttpResponse:
    form = EndpointForm(_posted(request))
    if not form.is_valid():
        return _form(request, "manage-endpoint", form)
    return _asked(request, "manage-endpoint", Address(way=Way.WEBHOOK, url=form.cleaned_data["url"]))


def _posted(request: HttpRequest) -> QueryDict | None:
    return request.POST if request.method == "POST" else None


def _form(request: HttpRequest, wish: str, form: Form, status: int = 200, **more: Any) -> HttpResponse:
    return _private(request, "ask", {"form": form, "wish": wish, **more}, status=400 if form.errors else status)


def _asked(request: HttpRequest, wish: str, address: Address, wanted: Wanted = WHOLE_PAGE) -> HttpResponse:
    """One answer whatever the address: the page says nothing it would have to look up."""
    requests.ask(
        "manage" if wish.startswith("manage") else "subscribe",
        address,
        wanted,
        visitor=requests.visitor_of(get_adapter(request).get_client_ip(request)),
        at=timezone.now(),
    )
    return _private(request, "asked", {"wish": wish})


@login_not_required
@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def confirm(request: HttpRequest, token: str) -> HttpResponse:
    """A page with a button: programs that follow links in mails confirm nothing."""
    asked = requests.to_confirm(token, at=timezone.now())
    begun = requests.confirm(token) if asked and request.method == "POST" else None
    if asked is None or (request.method == "POST" and begun is None):
        return _private(request, "expired", {}, status=404)
    incident = Notice.objects.seen_by(None).filter(code=asked.incident).first()
    context: dict[str, Any] = {"asked": asked, "incident": incident}
    if begun:
        context |= {"manage_token": subscriptions.manage_token(begun.subscriber), "secret": begun.secret}
    else:
        groups, components = (model.objects.seen_by(None).filter(code__in=codes) for model, codes in _parts_of(asked))
        context |= {"names": [*groups, *components], "floor": FLOORS[Notice.Impact(asked.floor)]}
    return _private(request, "confirm", context)


def _parts_of(asked: SubscriptionRequest) -> list[tuple[Any, list[str]]]:
    return [(ComponentGroup, asked.groups), (Component, asked.components)]


# What can be changed: by whether mail is written, and whether incidents to come are told.
MANAGED: dict[tuple[bool, bool], type[Form]] = {
    (True, True): MailForm,
    (True, False): ReadingForm,
    (False, True): ChooseForm,
    (False, False): Form,
}


@login_not_required
@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def manage(request: HttpRequest, token: str) -> HttpResponse:
    subscriber = subscriptions.managed(token)
    if subscriber is None:
        return _private(request, "expired", {}, status=404)
    draws = request.method == "POST" and "secret" in request.POST and subscriber.way == Way.WEBHOOK
    secret = subscriptions.draw_secret(subscriber) if draws else ""
    kind = MANAGED[subscriber.way == Way.MAIL, subscriber.is_standing]
    customer = Customer.objects.of(subscriber.email) if subscriber.email else None
    seen: dict[str, Any] = {"customer": customer} if issubclass(kind, ChooseForm) else {}
    form = kind(None if draws else _posted(request), initial=subscriptions.choices_of(subscriber), **seen)
    saved = form.is_valid()
    if saved:
        subscriptions.choose(subscriber, **form.cleaned_data)
    context = {
        "form": form,
        "secret": secret,
        "saved": saved,
        "subscriber": subscriber,
        "followed": Notice.objects.seen_by(customer).open().filter(followers=subscriber),
        "leave_token": subscriptions.token_for(subscriber),
    }
    return _private(request, "manage", context, status=400 if form.errors else 200)


def _private(request: HttpRequest, name: str, context: dict[str, Any], *, status: int = 200) -> HttpResponse:
    """A page that nobody keeps, and whose address no other site learns."""
    if request.resolver_match and "token" not in request.resolver_match.kwargs:  # those come in the reader's language
        context["ways"] = languages.ways(request.path)
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
