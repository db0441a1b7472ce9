"""The words of the page's own mails and posts. In those to visitors nothing was chosen by whoever asked."""

import json
from typing import Any, NamedTuple

from django.conf import settings
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from irportal import prose
from irportal.outbox.audiences import LEAVE
from irportal.outbox.models import Words
from statuspage import languages, rhythm
from statuspage.models import Maintenance, MaintenanceUpdate

EARLIER = 5  # texts a mail about maintenance repeats
DEEDS = {
    "announced": _("Planned maintenance"),
    "moved": _("Maintenance moved"),
    "changed": _("Maintenance plan changed"),
    "reminded": _("Reminder of maintenance"),
    "started": _("Maintenance has begun"),
    "told": _("Maintenance update"),
    "corrected": _("Correction about maintenance"),
    "extended": _("Maintenance ends at another time"),
    "finished": _("Maintenance is done"),
    "cancelled": _("Maintenance cancelled"),
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


TITLES = {"confirm": _("Confirm your updates"), "manage": _("Your updates")}
POSTED = {
    "confirm": _(
        "Somebody asked for status updates of %(organisation)s here. If that was you, follow the link and press the "
        "button. It works once, within 48 hours. If it was not you, do nothing: no updates are sent without the button."
    ),
    "manage": _("Change or stop the status updates of %(organisation)s here. The link works for 48 hours."),
}


def maintenance_letter(maintenance: Maintenance, deed: str, update: MaintenanceUpdate) -> Letter:
    """Tells of a deed, or reminds: when it is, what it touches, the text of `update` and what was said before it.

    In the active language.
    """
    begins_at, over_at = maintenance.begins_at, maintenance.over_at
    page_url = settings.PUBLIC_BASE_URL + maintenance.get_absolute_url()
    calendar_url = settings.PUBLIC_BASE_URL + reverse("statuspage:maintenance-calendar", args=[maintenance.code])
    return _letter(
        "maintenance",
        maintenance.title,
        {
            "maintenance": maintenance,
            "deed": DEEDS[deed],
            "update": update,
            "earlier": told_before(maintenance, update),
            "components": list(maintenance.hits.filter(component__customer=None).select_related("component")),
            "day": rhythm.day(begins_at),
            "span": rhythm.span(begins_at, over_at),
            "ends": rhythm.moment(over_at, begins_at),
            "zones": rhythm.elsewhere(over_at if maintenance.is_active else begins_at),
            "page_url": page_url,
            "calendar_url": calendar_url,
            "page_words": gettext("This maintenance on the status page"),
        },
    )


def maintenance_room(maintenance: Maintenance, deed: str, update: MaintenanceUpdate) -> str:
    """The same for the chat rooms of readers, with the link to leave by."""
    names = ", ".join(
        hit.component.name for hit in maintenance.hits.filter(component__customer=None).select_related("component")
    )
    when = f"{rhythm.day(maintenance.begins_at)}, {rhythm.span(maintenance.begins_at, maintenance.over_at)}"
    said = f"{DEEDS[deed]}: {maintenance.title}\n{when}\nComponents: {names}\n\n{update.body}"
    foot = f"{settings.PUBLIC_BASE_URL}{maintenance.get_absolute_url()} · No more of this: {LEAVE}"
    return json.dumps({"text": f"{prose.harmless(said)}\n\n{foot}"}, ensure_ascii=False)


def told_before(maintenance: Maintenance, update: MaintenanceUpdate) -> list[MaintenanceUpdate]:
    """The texts before this one that its mail repeats, newest first."""
    return list(maintenance.updates.filter(pk__lt=update.pk)[:EARLIER])


def told(written: dict[str, Letter]) -> dict[str, Any]:
    """A letter in each language of the page (`languages.in_each`) as `outbox.announce` takes it."""
    others = {language: Words(*letter) for language, letter in written.items() if language != languages.own()}
    return {**written[languages.own()]._asdict(), "letters": others}


def letter(topic: str, token: str) -> Letter:
    """Asks whoever reads the mailbox whether they want updates (`confirm`), or lets them change what they get.

    In the active language, as the following.
    """
    return _letter(topic, str(TITLES[topic]), {"link": _link(topic, token)})


def post(topic: str, token: str) -> dict[str, str]:
    """The same for a webhook and for a chat room: what `outbox.announce` takes."""
    link, text = _link(topic, token), str(POSTED[topic]) % {"organisation": settings.ORGANISATION}
    payload = json.dumps({"type": f"subscription.{topic}", "text": text, "link": link}, ensure_ascii=False)
    room = json.dumps({"text": f"{text}\n{link}"}, ensure_ascii=False)
    return {"subject": str(TITLES[topic]), "text": text, "html": "", "payload": payload, "public_chat": room}


def sign_in_letter(token: str) -> Letter:
    """Brings one of a customer's people the link to the private page."""
    link = settings.PUBLIC_BASE_URL + reverse("customers:enter", args=[token])
    return _letter("sign_in", gettext("Sign in"), {"link": link})


def _link(topic: str, token: str) -> str:
    return settings.PUBLIC_BASE_URL + reverse(f"statuspage:{topic}", args=[token])
