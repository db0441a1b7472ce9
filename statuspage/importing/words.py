"""What sources write, as we keep it: instants with their zone, one line of plain text, HTML as Markdown. Pure."""

import json
import re
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from typing import Any
from zoneinfo import ZoneInfo

from irportal.refused import Refused

FIRST_YEAR = 2000  # before it there was no status page; every month since would be a page of ours
TAG = re.compile(
    r"</?(?:a|b|blockquote|br|code|div|em|h[1-6]|hr|i|img|li|ol|p|pre|span|strong|table|td|th|tr|u|ul)\b", re.I
)
ENTITY = re.compile(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z]{2,8});", re.I)
AUTOLINK = re.compile(r"<(https?://[^\s<>]+)>")
COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
AROUND = {"b": "**", "strong": "**", "i": "*", "em": "*", "code": "`"}
APART = ("p", "div", "hr", "ul", "ol", "table", "pre", "blockquote", "h1", "h2", "h3", "h4", "h5", "h6")
BREAKS = dict.fromkeys(APART, "\n\n") | {"br": "\n", "li": "\n- ", "tr": "\n", "td": " ", "th": " "}
SILENT = ("script", "style", "template", "head")


def instant(value: Any, zone: ZoneInfo) -> datetime | None:
    """An instant in UTC; one without a zone is on the clock of `zone`. None for nothing. Raises Refused."""
    if value is None or value == "":
        return None
    try:
        if isinstance(value, bool):
            raise TypeError
        if isinstance(value, int | float):
            at = datetime.fromtimestamp(value, UTC)
        elif isinstance(value, date) and not isinstance(value, datetime):
            at = datetime(value.year, value.month, value.day)
        else:
            at = value if isinstance(value, datetime) else datetime.fromisoformat(str(value).strip())
        at = (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, TypeError, OverflowError, OSError):
        raise Refused(f"{str(value)[:60]!r} is no instant.") from None
    if not FIRST_YEAR <= at.year < 3000:
        raise Refused(f"{str(value)[:60]!r} lies before the year {FIRST_YEAR} or too far ahead.")
    return at


def needed(value: Any, zone: ZoneInfo, what: str) -> datetime:
    """As `instant`, of what has to be there."""
    at = instant(value, zone)
    if at is None:
        raise Refused(f"it does not say {what}.")
    return at


def line(value: Any, most: int | None = None) -> str:
    """Text without tags on one line; cut to `most` characters with a mark."""
    text = " ".join(prose(value).split())
    return text if most is None or len(text) <= most else text[: most - 1].rstrip() + "…"


def prose(value: Any) -> str:
    """Text as Markdown: HTML becomes what means the same, comments and scripts go, Markdown stays as it is."""
    text = "" if value is None else str(value)
    if not text.isascii() and text != text.encode(errors="ignore").decode():
        raise Refused("its text holds half a character.")
    text = COMMENT.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    if not TAG.search(text) and not ENTITY.search(text):
        return text.strip()
    reader = _Reader()
    reader.feed(AUTOLINK.sub(r"\1", text))
    reader.close()
    return reader.text()


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self.links: list[str] = []
        self.silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.silent += tag in SILENT
        if tag == "a":
            self.links.append(dict(attrs).get("href") or "")
            self.found.append("[" if _may_link(self.links[-1]) else "")
        else:
            self.found.append(AROUND.get(tag) or BREAKS.get(tag, ""))

    def handle_endtag(self, tag: str) -> None:
        self.silent = max(0, self.silent - (tag in SILENT))
        if tag == "a" and self.links:
            link = self.links.pop()
            self.found.append(f"]({link})" if _may_link(link) else "")
        elif tag in AROUND:
            self.found.append(AROUND[tag])
        elif tag not in ("br", "li", "td", "th"):
            self.found.append(BREAKS.get(tag, ""))

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.found.append(data)

    def text(self) -> str:
        lines = (row.strip() for row in "".join(self.found).split("\n"))
        return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _may_link(address: str) -> bool:
    return address.startswith(("https://", "http://", "mailto:")) and not re.search(r"[\s()<>]", address)


def as_json(data: bytes) -> Any:
    """What a file of JSON holds. Raises Refused."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise Refused("this is not JSON.") from None


def as_object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Refused("this is not a JSON object.")
    return value


def rows(value: Any, what: str) -> list[dict[str, Any]]:
    """A list of objects, or nothing. Raises Refused when it is something else."""
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise Refused(f"its {what} are not a list of objects.")
    return value


def number(value: Any, default: int = 1) -> int:
    """A position that a small integer can hold."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 32_768 else default
