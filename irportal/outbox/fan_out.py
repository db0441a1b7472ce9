"""From an announcement to its deliveries, and what happens to word that newer word has overtaken."""

import logging
from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import Exists, Max, OuterRef, Q
from django.utils import timezone

from irportal.outbox import actions, audiences
from irportal.outbox.models import LAST, Announcement, Delivery, Endpoint, Suppression

log = logging.getLogger(__name__)

STALE = timedelta(minutes=15)


def fan_out_pending(now: datetime) -> None:
    """Turn new announcements into deliveries, one transaction each: a bad one holds up no other."""
    for pk in Announcement.objects.filter(fanned_out_at=None).values_list("pk", flat=True):
        try:
            fan_out(pk)
        except Exception:
            log.exception("announcement %s could not be fanned out", pk)


@transaction.atomic
def fan_out(pk: int) -> int:
    """Write the deliveries of one announcement to exactly its audience now; return how many there are.

    Who has left is written down as suppressed; what is not one e-mail address stops nobody else.
    """
    found = Announcement.objects.select_for_update().filter(pk=pk, fanned_out_at=None).first()
    if found is None:
        return 0
    before = _last_of_thread(found)
    single, many = audiences.resolve(found.audience, found.facts)
    for rows in many:
        Delivery.objects.fan_out(found, rows)
    readers = [reader for reader in single if _can_be_told(reader)]
    names = {name for reader in readers for name in (reader.key, reader.address)}
    left = set(Suppression.objects.filter(target__in=names).values_list("target", flat=True))
    Delivery.objects.bulk_create(
        [*(_delivery(found, reader, left) for reader in readers), *_to_endpoints(found)],
        batch_size=500,
        ignore_conflicts=True,
    )
    now = timezone.now()
    found.fanned_out_at = max(now, before + timedelta(microseconds=1)) if before else now
    found.save(update_fields=["fanned_out_at"])
    return found.deliveries.count()


def _last_of_thread(announcement: Announcement) -> datetime | None:
    """When the thread's readers were last told; no other hand tells them until this transaction has ended.

    Who was told before is known by that instant (`audiences.told`), so it grows from one to the next, whatever the
    clocks of two machines say.
    """
    thread = Announcement.objects.filter(thread=announcement.thread, audience=announcement.audience)
    list(thread.select_for_update().order_by("pk").values_list("pk")[:1])
    return thread.aggregate(last=Max("fanned_out_at"))["last"]


def _delivery(announcement: Announcement, reader: audiences.Reader, left: set[str]) -> Delivery:
    gone = reader.key in left or reader.address in left
    name = reader.address if reader.channel == "smtp" else reader.key
    return Delivery(
        announcement=announcement,
        key=actions.delivery_key(announcement, reader.channel, name),
        lane=f"{announcement.thread}:{reader.key}",
        reader=reader.key,
        channel=reader.channel,
        address=reader.address,
        leave=reader.leave,
        why=reader.why,
        language=reader.language,
        time_zone=reader.time_zone,
        priority=announcement.priority,
        state=Delivery.State.SUPPRESSED if gone else Delivery.State.PENDING,
        due_at=announcement.made_at,
        expires_at=announcement.expires_at,
    )


def _to_endpoints(announcement: Announcement) -> list[Delivery]:
    """One for each webhook or chat room of our own in use that this announcement has something for."""
    said = {Endpoint.Kind.WEBHOOK: announcement.payload, Endpoint.Kind.CHAT: announcement.chat}
    wanted = [kind for kind, text in said.items() if text and audiences.is_overheard(announcement.audience)]
    return [
        Delivery(
            announcement=announcement,
            key=actions.delivery_key(announcement, endpoint.kind, endpoint.reader),
            lane=f"{announcement.thread}:{endpoint.reader}",
            reader=endpoint.reader,
            channel=endpoint.kind,
            address=endpoint.host,
            priority=LAST if endpoint.failing_since else announcement.priority,
            due_at=announcement.made_at,
            expires_at=announcement.lasts(endpoint.kind),
        )
        for endpoint in (Endpoint.objects.in_use().filter(kind__in=wanted, of_reader=False) if wanted else ())
    ]


def _can_be_told(reader: audiences.Reader) -> bool:
    if reader.channel != "smtp":
        return True
    try:
        validate_email(reader.address)
    except ValidationError:
        log.error("%s has an address no mail can be sent to", reader.key)
        return False
    return True


def supersede(now: datetime) -> int:
    """Let go what has waited over STALE when newer word to the same reader repeats its text; return how many.

    Order is kept and staleness bounded. What is on its way at this moment is left alone, and the newer word must not
    have been tried yet: its bytes are fixed from then on.
    """
    overtaken = Announcement.objects.filter(made_at__lt=now - STALE, expires_at__gt=now, retold_by__isnull=False)
    newer = Delivery.objects.waiting().filter(
        lane=OuterRef("lane"), pk__gt=OuterRef("pk"), attempts=0, announcement__retells=OuterRef("announcement")
    )
    free = Q(lease_until=None) | Q(lease_until__lt=now)
    old = Delivery.objects.waiting().filter(free, Exists(newer), announcement__in=list(overtaken.distinct()))
    old = old.exclude(channel=Endpoint.Kind.WEBHOOK)  # programs keep count: each update is told by itself
    return old.update(state=Delivery.State.SUPERSEDED, last_error="its text is in the newer update")
