"""How one of a customer's people signs in: by a link mailed to an address that is the customer's, used once, or at a
provider that says the address is theirs (`openid`).

It has nothing to do with staff: no account, no rights, a cookie of its own that goes to the private page alone.
"""

import hashlib
import secrets
from datetime import datetime, timedelta

from django.core import signing
from django.db import transaction
from django.utils import timezone

from irportal.ledger import actions as ledger
from statuspage.models import Customer, CustomerSession, SubscriptionRequest

SALT = "statuspage.sign-in"
LINK_LIFE = timedelta(minutes=15)
SEEN_EVERY = timedelta(hours=1)  # a session in use is written to no more often


def new_token(row: SubscriptionRequest) -> str:
    """What the link of this request holds. Only its hash is kept, in the row; the caller saves."""
    secret = secrets.token_urlsafe(32)
    row.secret = _hash(secret)
    return signing.Signer(salt=SALT).sign(secret)


def asked_with(token: str, at: datetime) -> SubscriptionRequest | None:
    """The request whose link this is; None when it is unknown, was used or is older than 15 minutes."""
    try:
        secret = signing.Signer(salt=SALT).unsign(token)
    except signing.BadSignature:
        return None
    waiting = SubscriptionRequest.objects.filter(wish=SubscriptionRequest.Wish.SIGN_IN, used_at=None)
    return waiting.filter(secret=_hash(secret), answered_at__gt=at - LINK_LIFE).first()


@transaction.atomic
def use(token: str, *, instead_of: str) -> str | None:
    """Sign in whoever holds this link, once; what the cookie is to hold, or None when the link no longer works."""
    ledger.turn()
    now = timezone.now()
    row = asked_with(token, now)
    cookie = begin(row.email, instead_of=instead_of) if row else None
    if row is None or cookie is None:
        return None
    row.used_at = now
    row.save(update_fields=["used_at"])
    return cookie


@transaction.atomic
def begin(email: str, *, instead_of: str) -> str | None:
    """A new session, never one that was there before; what the cookie is to hold. Ends the one it replaces.

    None when the address, which is known to be theirs, is no customer's.
    """
    ledger.turn()
    customer = Customer.objects.of(email)
    if customer is None:
        return None
    now, secret = timezone.now(), secrets.token_urlsafe(32)
    CustomerSession.objects.filter(secret=_hash(instead_of)).delete()
    CustomerSession.objects.filter(seen_at__lte=now - CustomerSession.IDLE).delete()
    customer.sessions.create(secret=_hash(secret), email=email, made_at=now, seen_at=now)
    ledger.append("customer.signed_in", subject=f"customer:{customer.pk}", by=None)
    return secret


def who(secret: str) -> CustomerSession | None:
    """The session of this cookie, while its address still belongs to its customer."""
    now = timezone.now()
    found = CustomerSession.objects.alive(now).select_related("customer").filter(secret=_hash(secret)).first()
    if found is None or Customer.objects.of(found.email) != found.customer:
        return None
    if found.seen_at < now - SEEN_EVERY:
        CustomerSession.objects.filter(pk=found.pk).update(seen_at=now)
    return found


def end(secret: str) -> None:
    CustomerSession.objects.filter(secret=_hash(secret)).delete()


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
