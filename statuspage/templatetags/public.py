"""Words and shapes of the public page. Everything is UTC, whatever time zone the request has."""

from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import Any

from django import template
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from irportal import prose as text
from irportal.outbox import wire
from statuspage import languages, looks, rhythm, rollup
from statuspage.languages import Text
from statuspage.models import Component, ComponentGroup, Maintenance, MaintenanceUpdate, Notice, NoticeUpdate

register = template.Library()


@register.simple_tag
def organisation() -> str:
    return settings.ORGANISATION


@register.simple_tag
def brand() -> dict[str, Any]:
    """As `looks.shown`. A page that tells somebody that the database does not answer has the look it comes with."""
    try:
        return looks.shown()
    except (OperationalError, InterfaceError):
        if connection.in_atomic_block:
            raise
        return {}


@register.simple_tag
def support_email() -> str:
    return settings.SUPPORT_EMAIL


@register.simple_tag
def shape(state: str, *, coloured: bool = False) -> SafeString:
    """The drawing of a component's state, an impact or an indicator; the word always stands beside it."""
    name = rollup.SHAPES[state]
    classes = f"shape {name}" if coloured else "shape"
    return format_html('<svg class="{}" aria-hidden="true"><use href="#s-{}"/></svg>', classes, name)


@register.filter
def tone(state: str) -> str:
    return rollup.SHAPES[state]


@register.filter
def state_word(state: str) -> str:
    return str(Component.State(state).label)


@register.simple_tag
def instant(at: datetime, now: datetime | None = None) -> SafeString:
    """`<time>` in UTC, with the date when it is not the day of `now` (default: the clock)."""
    words = rhythm.moment(at, now or timezone.now())
    return format_html('<time datetime="{}">{}</time>', iso(at), words)


@register.simple_tag
def lasted(words: str, began_at: datetime, over_at: datetime | None = None) -> SafeString:
    """`<time>` around the words that say from when to when it was, in UTC; `over_at` is None while it is not over."""
    until = format_html(' data-until="{}"', iso(over_at)) if over_at else ""
    return format_html('<time datetime="{}"{}>{}</time>', iso(began_at), until, words)


@register.filter
def iso(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


@register.filter
def clock(at: datetime) -> str:
    return f"{at.astimezone(UTC):%H:%M}"


@register.filter
def local(at: datetime) -> str:
    """Behind a time in UTC in a mail: where the reader's own time is filled in."""
    return wire.local(at)


@register.filter
def moment(at: datetime) -> str:
    """`24 October 2025, 14:45 UTC`."""
    return rhythm.moment(at)


@register.filter
def month(at: date) -> str:
    return rhythm.month(at)


@register.filter
def inside(word: str) -> str:
    """A state, status or impact as it is written in a sentence."""
    return str(rollup.INSIDE[word])


@register.filter
def prose(source: str) -> SafeString:
    return text.render(source)


# What people wrote: kept apart from our words in whichever direction it runs, and spoken in its own language


@register.simple_tag
def title(told: Notice | Maintenance) -> SafeString:
    return format_html("<bdi{}>{}</bdi>", lang(told.here), told.here.words)


@register.simple_tag
def names(parts: Iterable[Component | ComponentGroup]) -> SafeString:
    """The names of components and groups in one line."""
    return format_html_join(rhythm.comma(["", ""]), "<bdi>{}</bdi>", ((part.name,) for part in parts))


@register.simple_tag
def own_language() -> SafeString:
    """The attribute for what is written in one language only, on pages in another."""
    return lang(Text("", languages.own()))


@register.simple_tag
def said(update: NoticeUpdate | MaintenanceUpdate) -> SafeString:
    """Each part in its own language: what we say by ourselves, what somebody wrote."""
    parts = ((lang(part), text.render(part.words)) for part in update.parts)
    return format_html_join("", '<div class="said" dir="auto"{}>{}</div>', parts)


@register.simple_tag
def gist(update: NoticeUpdate | MaintenanceUpdate) -> SafeString:
    """The beginning of a text in bare words."""
    words = Truncator(text.plain(update.here.words)).words(30, truncate="…")
    return format_html('<p dir="auto"{}>{}</p>', lang(update.here), words)


@register.filter
def lang(here: Text) -> SafeString:
    """The attribute that names the language of a text where it is not the page's, so that it is spoken rightly."""
    return SafeString() if here.language == languages.current() else format_html(' lang="{}"', here.language)
