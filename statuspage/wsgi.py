"""The WSGI application in front of Django: public documents from memory, everything else from Django.

It works under any WSGI server. The server we ship answers documents earlier still; see server.py.
"""

import logging
import os
import time
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "irportal.settings")

from django.template.loader import get_template
from django.urls import get_resolver

from statuspage import site

log = logging.getLogger(__name__)

Start = Callable[..., Any]
LOOK_EVERY = 1.0  # seconds
_looked_at = 0.0


def application(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
    method = environ["REQUEST_METHOD"]
    if method in ("GET", "HEAD"):
        answer = _answer(environ)
        if answer:
            start_response(f"{answer.status} {site.REASONS[answer.status]}", list(answer.fields))
            return [answer.body] if method == "GET" else []
    return _django()(environ, start_response)


def with_django() -> Callable[[dict[str, Any], Start], Iterable[bytes]]:
    """The application with Django loaded already, views and public templates too: the first publish is as fast."""
    try:
        _django()
        get_resolver().url_patterns  # noqa: B018  (loads every view)
        for name in ("page", "incident", "history"):
            get_template(f"statuspage/{name}.html")
    except Exception:
        log.exception("Django cannot be loaded; only public documents are served")
    return application


def _answer(environ: dict[str, Any]) -> site.Answer | None:
    """The document at this path, whatever the query; None when it is not ours to answer."""
    global _looked_at
    here, now = site.here(), time.monotonic()
    if now - _looked_at > LOOK_EVERY:
        _looked_at = now
        here.look_at_clock()
    found = here.find(environ.get("PATH_INFO") or "/")
    if found is None:
        return None
    wish = site.Wish.of(
        environ.get("HTTP_ACCEPT_ENCODING", ""),
        environ.get("HTTP_IF_NONE_MATCH"),
        environ.get("HTTP_IF_MODIFIED_SINCE"),
    )
    return found.answer(wish)


@cache
def _django() -> Callable[[dict[str, Any], Start], Iterable[bytes]]:
    """Loaded when first needed, so that documents are served even when it cannot be."""
    from django.core.wsgi import get_wsgi_application

    return get_wsgi_application()
