"""Text people type, shown as HTML: Markdown without HTML, then cleaned with our own list."""

import html as entities
from functools import lru_cache

import nh3
from django.utils.html import strip_tags
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt

_markdown = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable("table").disable("image")
TAGS = frozenset("p br strong em del code pre ul ol li blockquote h3 h4 a hr table thead tbody tr th td".split())  # noqa: SIM905


@lru_cache(256)
def render(source: str) -> SafeString:
    """Markdown to clean HTML. Links keep http, https and mailto only; images, ids, classes and scripts never pass."""
    html = nh3.clean(
        _markdown.render(source),
        tags=set(TAGS),
        attributes={"a": {"href"}},
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )
    return mark_safe(html)  # noqa: S308  (cleaned one line above)


def plain(source: str) -> str:
    """Markdown as bare words, for places where only a line of it is shown."""
    return entities.unescape(strip_tags(render(source))).strip()


def harmless(text: str) -> str:
    """Without what a room would take for a mention or a link: <!channel>, @here."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return escaped.replace("@", "@\u200b")
