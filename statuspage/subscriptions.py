"""What a subscriber can do: leave with one click."""

from django.core import signing
from django.db import transaction
from django.utils import timezone

from irportal.ledger import actions as ledger
from irportal.outbox import actions as outbox
from statuspage.models import Subscriber

SALT = "statuspage.subscriber"


def token_for(subscriber: Subscriber) -> str:
    """Signed and stateless: a link in an old mail works until its key leaves SECRET_KEY_FALLBACKS."""
    return signing.Signer(salt=SALT).sign(subscriber.code)


@transaction.atomic
def leave(token: str) -> bool:
    """End the subscription the token names and tell this reader nothing more. True when it lived until now.

    Idempotent; an unknown token changes nothing. The record names the subscriber by number, never by address.
    """
    try:
        code = signing.Signer(salt=SALT).unsign(token)
    except signing.BadSignature:
        return False
    ledger.turn()
    subscriber = Subscriber.objects.select_for_update().filter(code=code, left_at=None).first()
    if subscriber is None:
        return False
    subscriber.left_at = timezone.now()
    subscriber.save(update_fields=["left_at"])
    key = f"subscriber:{subscriber.pk}"
    outbox.suppress(key, reason="unsubscribed")
    ledger.append("subscriber.left", subject=key, by=None)
    return True
