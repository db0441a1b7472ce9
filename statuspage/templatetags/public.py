"""Words and shapes of the public page. Everything is UTC, whatever time zone the request has."""

from datetime import UTC, date, datetime

from django import template
from django.conf import settings
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from irportal import prose as text
from irportal.outbox import wire
from statuspage import rhythm, rollup
from statuspage.models import Component

register = template.Library()


@register.simple_tag
def organisation() -> str:
    return settings.ORGANISATION


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
    return Component.State(state).label


@register.simple_tag
def instant(at: datetime, now: datetime | None = None) -> SafeString:
    """`<time>` in UTC, with the date when it is not the day of `now` (default: the clock)."""
    words = rhythm.moment(at, now or timezone.now())
    return format_html('<time datetime="{}">{}</time>', iso(at), words)


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
def prose(source: str) -> SafeString:
    return text.render(source)


@register.filter
def plain(source: str) -> str:
    return text.plain(source)
