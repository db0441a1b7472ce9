"""Announce something, stop telling somebody, and take that back. All only write rows."""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any
from unicodedata import category

from django.db import transaction
from django.db.models import Count, Exists, F, OuterRef, QuerySet
from django.db.models.functions import Greatest
from django.utils import timezone

from irportal.ledger import actions as ledger
from irportal.outbox import audiences, bounces
from irportal.outbox.models import Announcement, Bounce, Delivery, DeliveryQuerySet, Suppression, Words
from irportal.refused import Refused

UPDATE_LIFE = timedelta(hours=24)
SOFT_WITHIN, SOFT_DAYS = timedelta(days=30), 5  # an address that bounced softly on so many days is stopped
NO_SIGNS = {"Cc", "Cs", "Zl", "Zp"}  # Unicode's controls, half characters, line and paragraph separators


def announce(
    dedupe_key: str,
    *,
    topic: str,
    thread: str,
    audience: str,
    facts: dict[str, Any],
    subject: str,
    text: str,
    html: str,
    letters: Mapping[str, Words] | None = None,
    payload: str = "",
    chat: str = "",
    public_chat: str = "",
    priority: int = 5,
    life: timedelta = UPDATE_LIFE,
    retells: Iterable[str] = (),
) -> Announcement:
    """Promise, in the caller's transaction, that `audience` will be told.

    A known `dedupe_key` is not announced twice. `retells` are the keys of earlier announcements whose text this one
    repeats: a reader who still waits for such a one gets this one alone. `letters` are the same by language, for
    readers of another one than that of `subject`, `text` and `html`.

    `payload` (webhooks), `chat` (chat rooms of staff) and `public_chat` (those of readers) are JSON, the same on every
    try; where they say {unsubscribe_url} a reader's own link is filled in. Line breaks in the subject become
    spaces: nothing a person typed reaches a mail header as a second line.
    """
    announcement, new = Announcement.objects.get_or_create(
        dedupe_key=dedupe_key,
        defaults={
            "topic": topic,
            "thread": thread,
            "audience": audience,
            "facts": facts,
            "subject": _short(subject),
            "text": text,
            "html": html,
            "letters": {name: _plain(words) for name, words in (letters or {}).items()},
            "payload": payload,
            "chat": chat,
            "public_chat": public_chat,
            "priority": priority,
            "made_at": (now := timezone.now()),
            "expires_at": now + life,
        },
    )
    if new:
        announcement.retells.set(Announcement.objects.filter(dedupe_key__in=list(retells)))
    return announcement


def _plain(words: Words) -> dict[str, str]:
    return words._replace(subject=_short(words.subject))._asdict()


def _short(subject: str) -> str:
    return one_line(subject)[:300]


def one_line(typed: str) -> str:
    """Without control characters, line ends and doubled spaces."""
    return " ".join("".join(" " if category(sign) in NO_SIGNS else sign for sign in typed).split())


def delivery_key(announcement: Announcement, channel: str, address: str) -> str:
    """64 hex digits, the same for the same announcement, channel and address."""
    return hashlib.sha256(f"{announcement.dedupe_key}|{channel}|{address.lower()}".encode()).hexdigest()


@transaction.atomic
def suppress(target: str, *, reason: str, bounced: bool = False) -> None:
    """Tell this reader key or address nothing more. Idempotent; waiting deliveries end as suppressed.

    What a reader decided outweighs a bounce: it is kept, and staff cannot lift it.
    """
    stopped, new = Suppression.objects.get_or_create(
        target=target, defaults={"reason": reason[:100], "bounced": bounced, "made_at": timezone.now()}
    )
    if not new and stopped.bounced and not bounced:
        stopped.bounced, stopped.reason = False, reason[:100]
        stopped.save(update_fields=["bounced", "reason"])
    for field in ("reader", "address"):
        Delivery.objects.waiting().filter(**{field: target}).update(
            state=Delivery.State.SUPPRESSED, last_error=reason[:300]
        )


@transaction.atomic
def bounced(report: bounces.Report, *, at: datetime) -> bool:
    """Write down once what came back at `at`, and stop an address that is gone; False when it was known or is not ours.

    An unknown mailbox is stopped at once, any other failure on the fifth day within 30. A complaint is the reader's
    own wish: it ends the subscription and stops the address for good. Staff, who cannot leave, are never stopped.
    """
    ledger.turn()
    delivery = _by_key(report.key)
    if delivery is None:
        return False
    facts = {"delivery": delivery, "kind": report.kind, "code": report.code[:20], "day": at.date()}
    _, new = Bounce.objects.get_or_create(source=report.source, defaults=facts)
    if not new or not delivery.leave:
        return new
    if report.kind == Bounce.Kind.COMPLAINT:
        audiences.left(delivery.reader)
        for target in (delivery.reader, delivery.address):
            suppress(target, reason=f"complained: {report.code}")
    elif report.kind == Bounce.Kind.HARD:
        suppress(delivery.address, reason=f"bounced: {report.code}", bounced=True)
    elif _soft_days(delivery.address, at) >= SOFT_DAYS:
        suppress(delivery.address, reason=f"bounced on {SOFT_DAYS} days, last with {report.code}", bounced=True)
    return True


@transaction.atomic
def left_by_mail(key: str) -> bool:
    """End what the reader of the delivery whose key begins so gets; False when it is not ours, or they cannot leave."""
    ledger.turn()
    delivery = _by_key(key)
    if delivery is None or not delivery.leave:
        return False
    audiences.left(delivery.reader)
    suppress(delivery.reader, reason="unsubscribed")
    return True


def _by_key(start: str) -> Delivery | None:
    return Delivery.objects.filter(key__range=(f"{start:0<64}", f"{start:f<64}")).first()


def _soft_days(address: str, at: datetime) -> int:
    rows = Bounce.objects.filter(kind=Bounce.Kind.SOFT, forgiven=False, delivery__address=address)
    return rows.filter(day__gt=(at - SOFT_WITHIN).date()).values("day").distinct().count()


@transaction.atomic
def lift(suppression: Suppression, *, reason: str, by: ledger.Person) -> None:
    """Write to an address again that bounced; what it bounced before counts no longer. Refuses a reader's own wish.

    The record names the reader by key, never by address.
    """
    ledger.turn()
    row = Suppression.objects.select_for_update().filter(pk=suppression.pk).first()
    if row is None:
        raise Refused("Somebody else has lifted this already.")
    if not row.bounced:
        raise Refused("This reader asked for no more mail. Only the reader can take that back.")
    last = Delivery.objects.filter(address=row.target).exclude(leave="").order_by("-pk").first()
    subject = last.reader if last else f"suppression:{row.pk}"
    ledger.append("suppression.lifted", subject=subject, by=by, reason=one_line(reason))
    _forgive(Suppression.objects.filter(pk=row.pk))


def _forgive(stopped: QuerySet[Suppression]) -> None:
    """Lift these; their addresses begin anew."""
    Bounce.objects.filter(delivery__address__in=stopped.values("target")).update(forgiven=True)
    stopped.delete()


@transaction.atomic
def send_again(given_up: DeliveryQuerySet, *, by: ledger.Person) -> int:
    """Have these dead deliveries leave after all; return how many.

    Same bytes and `Message-ID`, at least UPDATE_LIFE to live, earlier failures forgiven. An address stopped by a
    bounce is tried again; whoever left is told nothing.
    """
    ledger.turn()
    now = timezone.now()
    left = Suppression.objects.filter(bounced=False, target__in=[OuterRef("reader"), OuterRef("address")])
    rows = given_up.filter(~Exists(left), state=Delivery.State.DEAD)
    for row in rows.order_by().values("announcement__thread").annotate(count=Count("pk")):
        ledger.append("delivery.sent_again", subject=row["announcement__thread"], by=by, count=row["count"])
    _forgive(Suppression.objects.filter(bounced=True, target__in=rows.order_by().values("address")))
    return rows.order_by().update(
        state=Delivery.State.PENDING,
        due_at=now,
        lease_until=None,
        failures=0,
        forgiven=F("attempts"),
        expires_at=Greatest(F("expires_at"), now + UPDATE_LIFE),
        last_error="",
    )
