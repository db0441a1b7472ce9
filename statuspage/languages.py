"""The languages of the public page, and where a page in one of them lives.

The first of PAGE_LANGUAGES is the page's own, in which incidents are written: its pages live at the root, those of the
others below `/de/` or `/pt-br/`. One address is one document: nothing depends on what a browser says it prefers.
"""

import re
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, NamedTuple

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.translation import get_language, override

NAMES = {  # what we can speak, as its speakers call it
    "en": "English",
    "de": "Deutsch",
    "fr": "Français",
    "es": "Español",
    "ja": "日本語",
    "pt-br": "Português (Brasil)",
}


class Way(NamedTuple):
    """The way to the same page in a language; `name` as its speakers call it."""

    language: str
    name: str
    path: str


def own() -> str:
    """The language of the page where none is chosen, and of what is written about incidents."""
    return str(settings.PAGE_LANGUAGES[0])


def names() -> dict[str, str]:
    """What the page speaks, by its code."""
    return {code: NAMES.get(code, code) for code in settings.PAGE_LANGUAGES}


def known(language: str | None) -> str:
    """The language, where the page speaks it; else the page's own."""
    return language if language and language in settings.PAGE_LANGUAGES else own()


def current() -> str:
    """The language that is active, as far as the page speaks it."""
    return known(get_language())


def split(path: str) -> tuple[str, str]:
    """The language of an address and the rest of it: `/de/history` is (`de`, `/history`)."""
    first, slash, rest = path[1:].partition("/")
    return (first, f"/{rest}") if slash and first in settings.PAGE_LANGUAGES[1:] else (own(), path)


def at(path: str, language: str) -> str:
    """The address in that language of what lives at `path` in the page's own."""
    return path if language == own() else f"/{language}{path}"


class Text(NamedTuple):
    """What somebody wrote, and its language."""

    words: str
    language: str


def here(words: str, others: Mapping[str, str]) -> Text:
    """In the active language where `others`, by language, has it; else as it was written."""
    language = current()
    return Text(others[language], language) if others.get(language) else Text(words, own())


def ways(path: str) -> list[Way]:
    """To the page at `path`, whatever its language, in every language; empty when there is but one."""
    if len(settings.PAGE_LANGUAGES) < 2:
        return []
    _, rest = split(path)
    return [Way(code, name, at(rest, code)) for code, name in names().items()]


class Prefix:
    """The step of an address that names its language, as Django's resolver takes it.

    Django's own would find only what is in the active language, and asks the browser which that should be.
    """

    converters: dict[str, Any] = {}
    name = None

    @property
    def regex(self) -> re.Pattern[str]:
        """For the way from a name to an address, which Django keeps by active language."""
        return re.compile(re.escape(at("/", current())[1:]))

    def match(self, path: str) -> tuple[str, tuple[()], dict[str, str]]:
        language, rest = split(f"/{path}")
        return rest[1:], (), {"language": language}

    def check(self) -> list[Any]:
        return []

    def describe(self) -> str:
        return "'<language>/'"

    def __str__(self) -> str:
        return ""


def in_each[T](write: Callable[[], T]) -> dict[str, T]:
    """What `write` writes in each language of the page, the page's own first."""
    found = {}
    for language in settings.PAGE_LANGUAGES:
        with override(language):
            found[language] = write()
    return found


def spoken(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Have the view answer in the language of its address."""

    @wraps(view)
    def in_its_language(request: HttpRequest, *args: Any, language: str = "", **named: Any) -> HttpResponse:
        with override(known(language)):
            return view(request, *args, **named)

    return in_its_language
