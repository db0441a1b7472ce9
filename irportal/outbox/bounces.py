"""Bounces: the envelope sender that names a message, and what comes back to it. Pure.

A bounce is believed only when it comes back to an address this portal wrote: the key of the delivery and a MAC that
needs SECRET_KEY. What the text of a bounce says about whom it is for is never read.
"""

import hashlib
import hmac
import re
from email import message_from_bytes
from email.message import Message
from functools import cache
from typing import NamedTuple

from django.conf import settings
from django.utils.crypto import constant_time_compare

HARD, SOFT, COMPLAINT = "hard", "soft", "complaint"
CODE = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")
LEAVE = "leave."
MARK = re.compile(r"([0-9a-f]{16})\.([0-9a-f]{8})")
GLOBAL = re.compile(rb"message/global-delivery-status", re.I)  # RFC 6533; the parser knows only the older name
OURS = {"5.1.7", "5.1.8"}  # what is wrong is the sender's address, ours: that says nothing about the reader's
CAME_TO = ("To", "Delivered-To", "X-Original-To", "Envelope-To", "Return-Path", "Original-Mail-From")
AUTO_REPLY = ("X-Autoreply", "X-Autorespond", "X-Autoresponder")


class Report(NamedTuple):
    """What a mail server or a mailbox provider says about one message of ours.

    `key` are the first 16 digits of the delivery's key; `source` names the report itself, so that it counts once.
    """

    key: str
    kind: str
    code: str
    source: str


def verp(key: str) -> str:
    """The envelope sender of the delivery with this key: `bounce+<key16>.<mac8>@domain`."""
    local, at, domain = settings.BOUNCE_ADDRESS.partition("@")
    return f"{local}+{mark(key)}{at}{domain}"


def mark(key: str) -> str:
    """What only this portal can make of the delivery with this key: `<key16>.<mac8>`."""
    return f"{key[:16]}.{_mac(settings.SECRET_KEY, key[:16])}"


def marked(text: str) -> str:
    """The 16 digits of a text that is the mark of a delivery and nothing else; empty for any other."""
    hit = MARK.fullmatch(text.lower())
    return hit[1] if hit and _is_ours(hit[1], hit[2]) else ""


def leave_address(key: str) -> str:
    """Where a mail ends the subscription of whoever got this delivery: `bounce+leave.<key16>.<mac8>@domain`.

    Its MAC is another one: what comes back by itself, to the envelope sender, ends nothing.
    """
    local, at, domain = settings.BOUNCE_ADDRESS.partition("@")
    return f"{local}+{LEAVE}{key[:16]}.{_mac(settings.SECRET_KEY, LEAVE + key[:16])}{at}{domain}"


def key_in(text: str, *, kind: str = "") -> str:
    """The 16 digits in the first address of `text` that this portal wrote; empty when there is none.

    `kind`: empty for envelope senders, LEAVE for addresses to leave by.
    """
    local, _, domain = (re.escape(part) for part in settings.BOUNCE_ADDRESS.partition("@"))
    ours = rf"(?<![^\s<,:;]){local}\+{re.escape(kind)}([0-9a-f]{{16}})\.([0-9a-f]{{8}})@{domain}(?![\w.-])"
    for hit in re.finditer(ours, text, re.I):
        if _is_ours(kind + hit[1].lower(), hit[2].lower()):
            return hit[1].lower()
    return ""


def read(message: bytes) -> Report | None:
    """What this mail reports; None when it is no report, an automatic reply, or not about a message of ours.

    Reads delivery status notifications (RFC 3464) and complaints (ARF, RFC 5965). Mail servers mark their own
    notifications as `Auto-Submitted: auto-replied` too, so the form decides: a reply of a person's mailbox has none.
    """
    mail = message_from_bytes(GLOBAL.sub(b"message/delivery-status", message))
    if mail.get_content_type() != "multipart/report" or not mail.is_multipart() or _is_auto_reply(mail):
        return None
    parts = {part.get_content_type(): part for part in mail.get_payload() if isinstance(part, Message)}
    found = _status(parts) or _complaint(parts)
    key = found and next(filter(None, map(key_in, _addresses(mail, parts))), "")
    if not found or not key:
        return None
    named = str(mail.get("Message-ID", "")).strip().encode("utf-8", "replace") or message
    return Report(key, *found, hashlib.sha256(key.encode() + b"|" + named).hexdigest())


def who_leaves(message: bytes) -> str:
    """The key's 16 digits when this mail was sent to an address to leave by, and not by a program by itself."""
    mail = message_from_bytes(message)
    by_itself = str(mail.get("Auto-Submitted", "no")).strip().lower() != "no"
    if by_itself or _is_auto_reply(mail) or mail.get_content_type() == "multipart/report":
        return ""
    came_to = (str(value) for name in CAME_TO[:4] for value in mail.get_all(name, []))
    return next(filter(None, (key_in(text, kind=LEAVE) for text in came_to)), "")


def is_nobody(said: str) -> bool:
    """Whether an answer that begins with this code says that nobody is at the reader's address."""
    return said.startswith("5.1.") and said[:5] not in OURS


def _status(parts: dict[str, Message]) -> tuple[str, str] | None:
    """Kind and code of a delivery that failed for good; None for one that is delayed, relayed or delivered."""
    for fields in _blocks(parts.get("message/delivery-status")):
        if str(fields.get("Action", "")).strip().lower() != "failed":
            continue
        status, said = (CODE.search(str(fields.get(name, ""))) for name in ("Status", "Diagnostic-Code"))
        if status is None or (status[0].endswith(".0.0") and said):  # what the far end said is better than "other"
            status = said
        code = status[0] if status else ""
        return (HARD if is_nobody(code) else SOFT), code
    return None


def _complaint(parts: dict[str, Message]) -> tuple[str, str] | None:
    part = parts.get("message/feedback-report")
    kinds = (str(fields.get("Feedback-Type", "")).strip().lower() for fields in _blocks(part))
    kind = next(filter(None, kinds), "")
    return (COMPLAINT, kind) if kind in ("abuse", "fraud", "opt-out") else None


def _addresses(mail: Message, parts: dict[str, Message]) -> list[str]:
    """Where the report came to; a complaint comes elsewhere and names the sender of what it is about."""
    places = [mail, *_blocks(parts.get("message/feedback-report")), *_blocks(parts.get("message/rfc822"))]
    return [str(value) for place in places for name in CAME_TO for value in place.get_all(name, [])]


def _blocks(part: Message | None) -> list[Message]:
    """The groups of fields in a part; the parser leaves those of a type it does not know as text."""
    if part is None:
        return []
    found = part.get_payload()
    if isinstance(found, list):
        return [block for block in found if isinstance(block, Message)]
    text = part.get_payload(decode=True)
    return [message_from_bytes(text.strip() + b"\n\n")] if isinstance(text, bytes) else []


def _is_auto_reply(mail: Message) -> bool:
    marked = any(name in mail for name in AUTO_REPLY) or str(mail.get("Precedence", "")).lower() == "auto_reply"
    return marked or "vacation" in str(mail.get("Auto-Submitted", "")).lower()


def _is_ours(key: str, mac: str) -> bool:
    secrets = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return any(constant_time_compare(mac, _mac(secret, key)) for secret in secrets)


def _mac(secret: str, key: str) -> str:
    return hmac.digest(_derived(secret), key.encode(), "sha256").hex()[:8]


@cache
def _derived(secret: str) -> bytes:
    """A key of its own for bounces, made once: every message asks for it."""
    return hmac.digest(secret.encode(), b"irportal.outbox.bounces", "sha256")
