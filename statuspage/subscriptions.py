"""What a reader can do: choose components, leave with one click."""

from collections.abc import Iterable
from datetime import timedelta

from django.core import signing
from django.db import transaction
from django.utils import timezone

from irportal.ledger import actions as ledger
from irportal.outbox import actions as outbox
from irportal.outbox.models import Suppression
from statuspage.models import Component, Subscriber

SALT, MANAGE_SALT = "statuspage.subscriber", "statuspage.manage"
MANAGE_LIFE = timedelta(hours=48)


def token_for(subscriber: Subscriber) -> str:
    """What names this subscriber to the page where they leave."""
    return token(subscriber.code)


def token(name: str) -> str:
    """The token of a subscriber's code, or of another part's reader key (`customer:17`).

    Signed and stateless: a link in an old mail works until its key leaves SECRET_KEY_FALLBACKS.
    """
    return signing.Signer(salt=SALT).sign(name)


@transaction.atomic
def leave(token: str) -> bool:
    """Tell the reader whom the token names nothing more. True when this call ended it.

    A token names a subscriber by code, or a reader of another part by its outbox key (`customer:17`).
    Idempotent; an unknown token changes nothing. The record names readers by key, never by address.
    """
    try:
        name = signing.Signer(salt=SALT).unsign(token)
    except signing.BadSignature:
        return False
    ledger.turn()
    return _left(name if ":" in name else _end_subscription(name))


@transaction.atomic
def complained(key: str) -> None:
    """A complaint about a mail is a way of leaving, for whoever has something to leave."""
    ledger.turn()
    kind, _, number = key.partition(":")
    if kind == "subscriber" and number.isdecimal():
        code = Subscriber.objects.filter(pk=int(number)).values_list("code", flat=True).first()
        key = _end_subscription(code or "")
    if kind != "asker":
        _left(key)


def _left(key: str) -> bool:
    """Tell this reader nothing more and record it; False when that was so, or there is nobody."""
    if not key or Suppression.objects.filter(target=key).exists():
        return False
    outbox.suppress(key, reason="unsubscribed")
    ledger.append(f"{key.partition(':')[0]}.left", subject=key, by=None)
    return True


def manage_token(subscriber: Subscriber) -> str:
    """What names this subscriber, for 48 hours, to the page where they choose components."""
    return signing.TimestampSigner(salt=MANAGE_SALT).sign(subscriber.code)


def managed(token: str) -> Subscriber | None:
    """The subscriber this token names; None when it is unknown or too old, or the subscription has ended."""
    try:
        code = signing.TimestampSigner(salt=MANAGE_SALT).unsign(token, max_age=MANAGE_LIFE)
    except signing.BadSignature:
        return None
    return Subscriber.objects.active().filter(code=code).first()


@transaction.atomic
def choose(subscriber: Subscriber, components: Iterable[Component]) -> None:
    """Hear about these components only; about the whole page when there is none."""
    ledger.turn()
    subscriber.components.set(components)
    ledger.append("subscriber.changed", subject=f"subscriber:{subscriber.pk}", by=None)


def _end_subscription(code: str) -> str:
    """The reader key of the subscription that ends here; empty when none of this code is living."""
    subscriber = Subscriber.objects.select_for_update().filter(code=code, left_at=None).first()
    if subscriber is None:
        return ""
    subscriber.left_at = timezone.now()
    subscriber.save(update_fields=["left_at"])
    return f"subscriber:{subscriber.pk}"
