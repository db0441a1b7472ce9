"""A mail's bytes: written once per announcement, filled in per reader, the same on every try.

The e-mail package takes a millisecond for a mail; filling takes some microseconds, and a hundred thousand readers
wait for it.
"""

import binascii
import hashlib
import html
import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import format_datetime
from functools import lru_cache, partial
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings

from irportal.outbox import audiences, bounces
from irportal.outbox.models import Announcement, Delivery, Words

MARKS = re.compile(r"\{(why|unsubscribe_url|local:\d{1,11})\}")
ADDRESS = re.compile(r"[!-~]+@[!-~]+")  # visible ASCII only: no space, no line end
LINE_END = re.compile(r"\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
NO_ZONE = {"", "UTC"}
UNFIT = re.compile(r'[<>,;:"\\]')


class Wire(EmailPolicy):
    """How our headers are written: seven bits, and addresses in angle brackets never folded.

    The library would fold a long one into encoded words, which no reader takes for an address: one-click
    unsubscribe and threading would be lost.
    """

    WHOLE = frozenset({"message-id", "in-reply-to", "references", "list-unsubscribe"})

    def fold_binary(self, name: str, value: Any) -> bytes:
        if name.lower() in self.WHOLE:
            return f"{name}: {value}\r\n".encode("ascii")
        return super().fold_binary(name, value)


WIRE = Wire(linesep="\r\n", cte_type="7bit")


def message_id(delivery: Delivery) -> str:
    """`<inc-42.subscriber-17.<key16>@domain>`: stable over every retry."""
    name = re.sub(r"[^a-z0-9-]+", ".", f"{delivery.lane}.{delivery.key[:16]}".lower())
    return f"<{name}@{settings.MAIL_DOMAIN}>"


def local(at: datetime) -> str:
    """The mark for an instant, to the minute, that stands behind its time in UTC: `14:30 UTC{local:1772461800}`."""
    return f"{{local:{int(at.timestamp()) // 60 * 60}}}"


def there(mark: str, time_zone: str) -> str:
    """What fills a `local` mark: ` (15:30 Berlin)`, with the date where it is another; nothing for readers in UTC."""
    if time_zone in NO_ZONE:
        return ""
    at = datetime.fromtimestamp(int(mark.partition(":")[2]), UTC)
    try:
        own = at.astimezone(ZoneInfo(time_zone))
    except ZoneInfoNotFoundError:  # this machine has another list of zones; UTC is said in any case
        return ""
    clock = f"{own:%H:%M}" if own.date() == at.date() else f"{own:%Y-%m-%d %H:%M}"
    return f" ({clock} {time_zone.rpartition('/')[2].replace('_', ' ')})"


def words_for(delivery: Delivery, url: str) -> Callable[[re.Match[str]], str]:
    """What replaces each mark in a text of the delivery's announcement."""
    own = {"why": delivery.why, "unsubscribe_url": url}
    return lambda mark: own[mark[1]] if mark[1] in own else there(mark[1], delivery.time_zone)


class Form:
    """One announcement's mail in one language, with gaps for what is a reader's own."""

    def __init__(self, announcement: Announcement, language: str) -> None:
        words = announcement.words(language)
        self.leave_url = audiences.leave_url(announcement.audience)
        self.language = language
        self.head = _head(announcement, words.subject)
        self.parts = _merged(_body(announcement, words))
        gaps = {part.removesuffix(".html") for part in self.parts if isinstance(part, str)}
        self.marks = {gap for gap in gaps if gap.startswith("local:")}
        self.reasons = lru_cache(64)(partial(_both, "why"))  # many readers share one
        self.times = lru_cache(1024)(self._times)  # and a time zone

    def fill(self, delivery: Delivery) -> bytes:
        """The whole message as it goes over the wire, lines ended by CRLF, dots not yet doubled.

        A pure function of stored rows and of the key that signs links: a retry sends the same bytes. Raises
        ValueError for an address that no mail can be sent to.
        """
        url = self.leave_url(delivery.leave, self.language) if delivery.leave else ""
        own = {**self.reasons(delivery.why), **self.times(delivery.time_zone), **_both("unsubscribe_url", url)}
        head = f"To: {wire_address(delivery.address)}\r\nMessage-ID: {message_id(delivery)}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in leave_headers(url, delivery.key).items())
        body = [part if isinstance(part, bytes) else own[part] for part in self.parts]
        return b"".join((self.head, head.encode("ascii"), *body))

    def _times(self, time_zone: str) -> dict[str, bytes]:
        return {name: said for mark in self.marks for name, said in _both(mark, there(mark, time_zone)).items()}


def wire_address(address: str) -> str:
    """The address as the wire takes it. Raises ValueError for what is not exactly one."""
    found = address if address.isascii() else audiences.in_ascii(address)
    if not ADDRESS.fullmatch(found) or UNFIT.search(found) or found.count("@") != 1:
        raise ValueError("no mail can be sent to this address")
    return found


def headers(announcement: Announcement) -> dict[str, str]:
    """What every mail of this announcement carries besides sender and subject, whatever channel it leaves by."""
    thread = f"<{announcement.thread.lower()}.thread@{settings.MAIL_DOMAIN}>"
    return {
        "Date": format_datetime(announcement.made_at.astimezone(UTC)),
        "In-Reply-To": thread,
        "References": thread,
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "All",
    }


def leave_headers(url: str, key: str) -> dict[str, str]:
    """How the reader's mail program stops this (RFC 2369, RFC 8058); nothing for staff, who have no `url`.

    By the page, or where a program posts nothing by a mail that names the delivery with this key.
    """
    if not url:
        return {}
    return {
        "List-Id": f"status updates <status.{settings.MAIL_DOMAIN}>",
        "List-Unsubscribe": f"<{url}>, <mailto:{bounces.leave_address(key)}?subject=unsubscribe>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }


def _head(announcement: Announcement, subject: str) -> bytes:
    message = EmailMessage(policy=WIRE)
    message["From"] = settings.MAIL_FROM
    message["Subject"] = subject
    for name, value in headers(announcement).items():
        message[name] = value
    message["MIME-Version"] = "1.0"
    return message.as_bytes().removesuffix(b"\r\n")


def _body(announcement: Announcement, words: Words) -> list[bytes | str]:
    """Bytes and, where something of the reader's own belongs, its name."""
    text = [_part_head("plain"), *_gapped(words.text, "")]
    if not words.html:
        return text
    mark = f"=_{hashlib.sha256(announcement.dedupe_key.encode()).hexdigest()[:32]}"
    start = f'Content-Type: multipart/alternative; boundary="{mark}"\r\n\r\n--{mark}\r\n'
    between, end = f"\r\n--{mark}\r\n", f"\r\n--{mark}--\r\n"
    page = [_part_head("html"), *_gapped(words.html, ".html")]
    return [start.encode(), *text, between.encode(), *page, end.encode()]


def _merged(parts: list[bytes | str]) -> list[bytes | str]:
    """The same with what lies between two gaps in one piece."""
    merged: list[bytes | str] = []
    for part in parts:
        if merged and isinstance(part, bytes) and isinstance(merged[-1], bytes):
            merged[-1] += part
        else:
            merged.append(part)
    return merged


def _both(name: str, own: str) -> dict[str, bytes]:
    """What fills a gap in the text and in the page."""
    return {name: _encoded(own, more=True), f"{name}.html": _encoded(html.escape(own), more=True)}


def _part_head(kind: str) -> bytes:
    return f'Content-Type: text/{kind}; charset="utf-8"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n'.encode()


def _gapped(text: str, suffix: str) -> list[bytes | str]:
    """The text in quoted-printable with its gaps, each on lines of its own: the breaks around it are soft."""
    pieces = MARKS.split(text)
    found: list[bytes | str] = []
    for number, piece in enumerate(pieces):
        if number % 2:
            found.append(piece + suffix)
        else:
            before, after = b"=\r\n" * (number > 0), b"=\r\n" * (number < len(pieces) - 1)
            found.append(before + _encoded(piece, more=bool(after)) + after)
    if not bytes(found[-1]).endswith(b"\n"):  # type: ignore[arg-type]  # the last one is never a gap
        found.append(b"\r\n")
    return found


def _encoded(text: str, *, more: bool = False) -> bytes:
    """Quoted-printable (RFC 2045, 6.7), lines of at most 76 ended by CRLF; with `more` the last one has room for =."""
    plain = LINE_END.sub("\n", text).encode("utf-8", "replace")
    data = binascii.b2a_qp(plain, istext=True).replace(b"\n", b"\r\n")
    if more and len(data) - data.rfind(b"\n") - 1 > 75:
        cut = -3 if data[-3:-2] == b"=" else -1
        data = data[:cut] + b"=\r\n" + data[cut:]
    return data
