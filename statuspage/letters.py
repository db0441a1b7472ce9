"""The words of the page's own mails. In those to visitors nothing was chosen by whoever asked."""

from typing import Any, NamedTuple

from django.conf import settings
from django.template.loader import render_to_string
from django.urls import reverse

from statuspage import rhythm
from statuspage.models import Maintenance, MaintenanceUpdate

EARLIER = 5  # texts a mail about maintenance repeats
DEEDS = {
    "announced": "Planned maintenance",
    "moved": "Maintenance moved",
    "changed": "Maintenance plan changed",
    "reminded": "Reminder of maintenance",
    "started": "Maintenance has begun",
    "told": "Maintenance update",
    "extended": "Maintenance ends at another time",
    "finished": "Maintenance is done",
    "cancelled": "Maintenance cancelled",
}


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


def maintenance_letter(maintenance: Maintenance, deed: str, update: MaintenanceUpdate) -> Letter:
    """Tells of a deed, or reminds: when it is, what it touches, the text of `update` and what was said before it."""
    begins_at, over_at = maintenance.begins_at, maintenance.over_at
    page_url = settings.PUBLIC_BASE_URL + maintenance.get_absolute_url()
    return _letter(
        "maintenance",
        maintenance.title,
        {
            "maintenance": maintenance,
            "deed": DEEDS[deed],
            "update": update,
            "earlier": told_before(maintenance, update),
            "components": list(maintenance.hits.select_related("component")),
            "day": rhythm.day(begins_at),
            "span": rhythm.span(begins_at, over_at),
            "ends": rhythm.moment(over_at, begins_at),
            "zones": rhythm.elsewhere(over_at if maintenance.is_active else begins_at),
            "page_url": page_url,
            "calendar_url": f"{page_url}.ics",
            "page_words": "This maintenance on the status page",
        },
    )


def told_before(maintenance: Maintenance, update: MaintenanceUpdate) -> list[MaintenanceUpdate]:
    """The texts before this one that its mail repeats, newest first."""
    return list(maintenance.updates.filter(pk__lt=update.pk)[:EARLIER])
