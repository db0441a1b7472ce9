"""What visitors ask for by address: to subscribe, or a link to change their subscription.

A request is only written down. The engine answers it by mail, or not at all, so that nobody who asks can tell from
the answer, or from how long it took, whether an address is subscribed, suppressed or asked for too often.
"""

import hashlib
import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network
from typing import NamedTuple

from django.core import signing
from django.db import transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac

from irportal.ledger import actions as ledger
from irportal.outbox import actions as outbox
from statuspage import letters, subscriptions
from statuspage.models import Component, ComponentGroup, Notice, Subscriber, SubscriptionRequest

log = logging.getLogger(__name__)

SALT = "statuspage.request"
LINK_LIFE = timedelta(hours=48)
KEPT = timedelta(days=7)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MAIL_EVERY, MAILS_A_DAY = timedelta(minutes=15), 3  # to one mailbox, whoever asks
ASKED_AN_HOUR = 10  # by one visitor
MAILS_AN_HOUR = 200  # of the whole page; what is more waits its turn
A_TURN = 100
PRIORITY = 7  # behind word about incidents
TOPIC = "subscription"


class Wanted(NamedTuple):
    """What a visitor wants to hear about, and how. `incident`: the code of the only one it is about."""

    incident: str = ""
    components: Iterable[Component] = ()
    groups: Iterable[ComponentGroup] = ()
    floor: str = Notice.Impact.NONE
    language: str = "en"
    time_zone: str = "UTC"


WHOLE_PAGE = Wanted()


def ask(wish: str, email: str, wanted: Wanted = WHOLE_PAGE, *, visitor: str, at: datetime) -> None:
    """Write down what was asked. A visitor who asked ten times within the hour is no longer heard."""
    if SubscriptionRequest.objects.filter(visitor=visitor, made_at__gt=at - HOUR).count() >= ASKED_AN_HOUR:
        return
    SubscriptionRequest.objects.create(
        wish=wish,
        email=email,
        mailbox=mailbox(email),
        incident=wanted.incident,
        components=[component.code for component in wanted.components],
        groups=[group.code for group in wanted.groups],
        floor=wanted.floor,
        language=wanted.language,
        time_zone=wanted.time_zone,
        visitor=visitor,
        made_at=at,
    )


def mailbox(email: str) -> str:
    """What limits go by: `Ann+news@Reader.example` and `ann@reader.example` are read by the same person."""
    local, _, domain = email.lower().rpartition("@")
    return hashlib.sha256(f"{local.partition('+')[0]}@{domain}".encode()).hexdigest()


def visitor_of(address: str) -> str:
    """A visitor's network address as a keyed hash; of IPv6 the /64, which is one household's."""
    try:
        found = ip_address(address)
        named = str(ip_network(f"{address}/64", strict=False)) if found.version == 6 else str(found)
    except ValueError:
        named = address
    return salted_hmac("statuspage.visitor", named, algorithm="sha256").hexdigest()


def run_due(now: datetime) -> None:
    """The engine's turn: answer what waits, oldest first, and forget what is over."""
    for pk in list(SubscriptionRequest.objects.waiting().values_list("pk", flat=True)[:A_TURN]):
        if not _answer(pk, now):
            break
    old = SubscriptionRequest.objects.filter(made_at__lte=now - KEPT)
    if old.exists():
        old.delete()


@transaction.atomic
def _answer(pk: int, now: datetime) -> bool:
    """Answer one request by mail, or by silence; False when the page has sent what it may in an hour."""
    ledger.turn()  # limits are counted by one hand at a time
    row = SubscriptionRequest.objects.waiting().filter(pk=pk).first()
    if row is None:
        return True
    may_be_mailed = _is_within_limits(row, now)
    if may_be_mailed and SubscriptionRequest.objects.mailed_since(now - HOUR).count() >= MAILS_AN_HOUR:
        return False
    row.answered_at = now
    row.mailed = may_be_mailed and _mail(row)
    row.save(update_fields=["answered_at", "mailed"])
    return True


def _is_within_limits(row: SubscriptionRequest, now: datetime) -> bool:
    to_mailbox = SubscriptionRequest.objects.mailed_since(now - DAY).filter(mailbox=row.mailbox)
    if to_mailbox.count() >= MAILS_A_DAY or to_mailbox.mailed_since(now - MAIL_EVERY).exists():
        return False
    by_visitor = SubscriptionRequest.objects.filter(mailed=True, visitor=row.visitor, made_at__gt=row.made_at - HOUR)
    return by_visitor.count() < ASKED_AN_HOUR


def _mail(row: SubscriptionRequest) -> bool:
    """Promise the mail that answers; False when there is nothing to say."""
    subscriber = Subscriber.objects.active().at(row.email).first()
    if subscriber and not _is_more(row, subscriber):
        letter = letters.manage_letter(subscriptions.manage_token(subscriber))
    elif row.wish == SubscriptionRequest.Wish.SUBSCRIBE:
        letter = letters.confirm_letter(token_for(row))
    else:
        return False
    outbox.announce(
        f"{TOPIC}:{row.code}",
        topic=TOPIC,
        thread=f"{TOPIC}-{row.code}",
        audience="asker",
        facts={"code": row.code, "email": subscriber.email if subscriber else row.email},
        subject=letter.subject,
        text=letter.text,
        html=letter.html,
        priority=PRIORITY,
    )
    return True


def _is_more(row: SubscriptionRequest, subscriber: Subscriber) -> bool:
    """Whether it asks for something that is not to be had by changing what the subscriber has."""
    if row.wish != SubscriptionRequest.Wish.SUBSCRIBE:
        return False
    return bool(row.incident) or not subscriber.is_standing


def token_for(row: SubscriptionRequest) -> str:
    """What names this request to the page where it is confirmed."""
    return signing.Signer(salt=SALT).sign(row.code)


def to_confirm(token: str, *, at: datetime) -> SubscriptionRequest | None:
    """The request this token may still confirm.

    None when it is unknown, older than 48 hours or was used, or when the incident it is about is over.
    """
    try:
        code = signing.Signer(salt=SALT).unsign(token)
    except signing.BadSignature:
        return None
    row = SubscriptionRequest.objects.filter(code=code, used_at=None, answered_at__gt=at - LINK_LIFE).first()
    if row and row.incident and not Notice.objects.open().filter(code=row.incident).exists():
        return None
    return row


@transaction.atomic
def confirm(token: str) -> Subscriber | None:
    """Begin the subscription this token names, once; None when it may no longer. The record names it by key."""
    ledger.turn()
    now = timezone.now()
    row = to_confirm(token, at=now)
    if row is None:
        return None
    row.used_at = now
    row.save(update_fields=["used_at"])
    subscriber = _subscriber_of(row, now)
    if row.incident:
        subscriber.followed.add(Notice.objects.get(code=row.incident))
    else:
        subscriptions.begin_standing(subscriber, row)
    ledger.append("subscriber.confirmed", subject=f"subscriber:{subscriber.pk}", by=None)
    return subscriber


def _subscriber_of(row: SubscriptionRequest, now: datetime) -> Subscriber:
    """Who has this address, as they are; else a new one."""
    found = Subscriber.objects.filter(left_at=None).at(row.email).select_for_update().first()
    if found is None:
        made = {"is_standing": not row.incident, "language": row.language, "time_zone": row.time_zone}
        return Subscriber.objects.create(email=row.email, confirmed_at=now, **made)
    if found.confirmed_at is None:
        found.confirmed_at = now
        found.save(update_fields=["confirmed_at"])
    return found
