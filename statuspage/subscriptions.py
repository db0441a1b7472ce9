"""What a reader can do: leave with one click."""

from django.core import signing
from django.db import transaction
from django.utils import timezone

from irportal.ledger import actions as ledger
from irportal.outbox import actions as outbox
from irportal.outbox.models import Suppression
from statuspage.models import Subscriber

SALT = "statuspage.subscriber"


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
    key = name if ":" in name else _end_subscription(name)
    if not key or Suppression.objects.filter(target=key).exists():
        return False
    outbox.suppress(key, reason="unsubscribed")
    ledger.append(f"{key.partition(':')[0]}.left", subject=key, by=None)
    return True


def _end_subscription(code: str) -> str:
    """The reader key of the subscription that ends here; empty when none of this code is living."""
    subscriber = Subscriber.objects.select_for_update().filter(code=code, left_at=None).first()
    if subscriber is None:
        return ""
    subscriber.left_at = timezone.now()
    subscriber.save(update_fields=["left_at"])
    return f"subscriber:{subscriber.pk}"
