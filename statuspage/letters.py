"""The words of mails to visitors: nothing in them was chosen by whoever asked."""

from typing import Any, NamedTuple

from django.conf import settings
from django.template.loader import render_to_string
from django.urls import reverse


class Letter(NamedTuple):
    subject: str
    text: str
    html: str


def _letter(topic: str, title: str, context: dict[str, Any]) -> Letter:
    frame = {
        "organisation": settings.ORGANISATION,
        "support": settings.SUPPORT_EMAIL,
        "base_url": settings.PUBLIC_BASE_URL,
        "incident": {"title": title},
        **context,
    }
    parts = (render_to_string(f"emails/{topic}/{part}", frame) for part in ("subject.txt", "body.txt", "body.html"))
    subject, text, html = parts
    return Letter(" ".join(subject.split()), text.strip() + "\n", html)


def confirm_letter(token: str) -> Letter:
    """Asks whoever reads the mailbox whether they want updates."""
    link = settings.PUBLIC_BASE_URL + reverse("statuspage:confirm", args=[token])
    return _letter("confirm", "Confirm your updates", {"link": link})


def manage_letter(token: str) -> Letter:
    """Brings a subscriber the link where they choose components or leave."""
    link = settings.PUBLIC_BASE_URL + reverse("statuspage:manage", args=[token])
    return _letter("manage", "Your updates", {"link": link})
