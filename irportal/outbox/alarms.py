"""What staff must know of the mail itself: a relay that is gone, an endpoint switched off, messages given up.

Parts above say with `on_alarm` how people are told; the log and /metrics say it always.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from irportal.outbox import endpoints
from irportal.outbox.models import Announcement, Channel, Delivery, Endpoint

log = logging.getLogger(__name__)

TOPIC = "alarm"
SILENT = {TOPIC, "subscription"}  # never raise an alarm themselves: the second are sent to what any visitor typed
TO_TELL = Q(channel="smtp") | Q(leave="")  # what readers' own programs do not take is their own affair
OUTAGE = timedelta(minutes=2)
QUIET = timedelta(minutes=15)  # what dies within this of an alarm about the same thread waits for the next one

Alarm = Callable[[str, str, str], None]
_alarms: list[Alarm] = []


def on_alarm(function: Alarm) -> Alarm:
    """Have `function(key, thread, sentence)` tell people, in the caller's transaction. `key` is new for each alarm."""
    if function not in _alarms:
        _alarms.append(function)
    return function


def sound(now: datetime) -> None:
    """Say once what is wrong; many hands may ask at once."""
    _outages(now)
    endpoints.give_up(now)
    _switched_off(now)
    _dead(now)


@transaction.atomic
def _outages(now: datetime) -> None:
    broken = Channel.objects.select_for_update().filter(failing_since__lte=now - OUTAGE, alarmed_at=None)
    for channel in broken:
        channel.alarmed_at = now
        channel.save(update_fields=["alarmed_at"])
        since = channel.failing_since or now
        _raise(
            f"outage:{channel.name}:{since.isoformat()}",
            f"outage-{since:%Y%m%d-%H%M}",
            f"The mail relay has not worked since {since:%H:%M} UTC ({channel.last_error}). Every message is kept and "
            "leaves when it is back. Customers see the status page meanwhile.",
        )


@transaction.atomic
def _switched_off(now: datetime) -> None:
    for endpoint in Endpoint.objects.select_for_update().exclude(disabled_reason="").filter(alarmed_at=None):
        endpoint.alarmed_at = now
        endpoint.save(update_fields=["alarmed_at"])
        _raise(
            f"endpoint:{endpoint.pk}:{now.isoformat()}",
            f"endpoint-{endpoint.pk}",
            f"The {endpoint.kind} at {endpoint.host} is switched off: {endpoint.disabled_reason}. It is told nothing "
            "until it is mended and answers a challenge again, under Settings, Endpoints.",
        )


def _dead(now: datetime) -> None:
    given_up = Delivery.objects.filter(TO_TELL, state=Delivery.State.DEAD, alarmed_at=None).exclude(
        announcement__topic__in=SILENT
    )
    for thread in given_up.order_by().values_list("announcement__thread", flat=True).distinct():
        _dead_in(thread, now)


@transaction.atomic
def _dead_in(thread: str, now: datetime) -> None:
    """One alarm for everything of a thread that was given up since the last."""
    last = Announcement.objects.filter(thread=thread).select_for_update().order_by("pk").first()
    recent = Announcement.objects.filter(topic=TOPIC, thread=thread, made_at__gt=now - QUIET)
    rows = Delivery.objects.filter(TO_TELL, state=Delivery.State.DEAD, alarmed_at=None, announcement__thread=thread)
    example = rows.exclude(announcement__topic__in=SILENT).order_by("pk").first()
    if last is None or example is None or recent.exists():
        return
    count = rows.update(alarmed_at=now)
    many = f"{count} messages were" if count > 1 else "One message was"
    _raise(f"dead:{thread}:{example.pk}", thread, f"{many} given up, the first because: {example.last_error}")


def _raise(key: str, thread: str, sentence: str) -> None:
    log.critical("%s: %s", thread, sentence)
    for function in _alarms:
        function(key, thread, sentence)
