"""What a mail provider's webhook says of our mails, by django-anymail's views: bounces that come by HTTP, not by mail.

An event is believed for two things: the provider's secret, and the mark of one message that only this portal can make.
The mark travels with the message as metadata, or as its envelope sender, and the event repeats it. Whom the event names
is never read. See docs/decisions/0007.
"""

import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from django.conf import settings
from django.http import HttpRequest
from django.utils.module_loading import import_string

from irportal.outbox import bounces

PROVIDERS = {
    "amazon_ses": "AmazonSES",
    "brevo": "Brevo",
    "mailgun": "Mailgun",
    "mailjet": "Mailjet",
    "postmark": "Postmark",
    "sparkpost": "SparkPost",
}
MARK = "delivery"  # the metadata's name of a message's mark
LONGEST = 1024 * 1024  # bytes of a post; providers send events by the hundred
COMPLAINTS = {"complained", "unsubscribed"}
FAILURES = {"bounced", "rejected", "failed"}
# Where the provider says "nobody is there" without an enhanced status code: what its event is called.
NOBODY = {("Postmark", "HardBounce"), ("Amazon SES", "Permanent: NoEmail")}
# Where the provider repeats the envelope sender, which is a mark too, for mail that went to its SMTP relay.
ENVELOPES = (("mail", "source"), ("event-data", "envelope", "sender"))


class Told(NamedTuple):
    """What one event says. `report` is None when it bears no mark of ours."""

    kind: str
    report: bounces.Report | None


def read(request: HttpRequest) -> Iterator[Told]:
    """The events of a post that are about failure or complaint.

    Raises SuspiciousOperation when the provider's secret is wrong, and whatever the provider's form ends in when the
    body has another.
    """
    view = _view()
    view.run_validators(request)
    for event in view.parse_events(request):
        code = _code(event)
        kind = _kind(event, code, view.esp_name)
        if kind:
            yield Told(kind, _report(event, kind, code, view.esp_name))


def _view() -> Any:
    name = settings.MAIL_EVENTS
    made = import_string(f"anymail.webhooks.{name}.{PROVIDERS[name]}TrackingWebhookView")
    return made(webhook_secret=[settings.MAIL_EVENTS_SECRET], **settings.MAIL_EVENTS_OPTIONS)


def _kind(event: Any, code: str, provider: str) -> str:
    """One of the kinds of a Bounce; empty for what says nothing against an address."""
    if event.event_type in COMPLAINTS:
        return bounces.COMPLAINT
    if event.event_type not in FAILURES:
        return ""
    if event.event_type != "bounced":
        return bounces.SOFT
    named = {(provider, event.description), (provider, _within(event.esp_event, "Type"))}
    nobody = bounces.is_nobody(code) if code else not named.isdisjoint(NOBODY)
    return bounces.HARD if nobody else bounces.SOFT


def _code(event: Any) -> str:
    """The enhanced status code the far end gave (RFC 3463), empty when it gave none."""
    found = bounces.CODE.search(str(event.mta_response or ""))
    return found[0] if found else ""


def _report(event: Any, kind: str, code: str, provider: str) -> bounces.Report | None:
    marked = bounces.marked(str((event.metadata or {}).get(MARK, "")))
    key = marked or next(filter(None, (bounces.key_in(_within(event.esp_event, *path)) for path in ENVELOPES)), "")
    if not key:
        return None
    name = "|".join((key, provider, _name(event)))
    said = code or str(event.reject_reason or event.event_type)
    return bounces.Report(key, kind, said, hashlib.sha256(name.encode()).hexdigest())


def _name(event: Any) -> str:
    """What names the event itself, the same when it is sent again.

    Mailgun's is inside its data, for what anymail calls the event's id is drawn anew for each post.
    """
    own = _within(event.esp_event, "event-data", "id") or event.event_id
    return str(own or f"{event.message_id} {event.event_type} {event.timestamp}")


def _within(found: Any, *path: str) -> str:
    """The text at the end of the path through nested objects; empty when it is not there."""
    for step in path:
        found = found.get(step) if isinstance(found, dict) else None
    return found if isinstance(found, str) else ""
