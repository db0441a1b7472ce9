"""What visitors ask for by address: to subscribe, or a link to change their subscription.

A request is only written down. The engine answers it by mail, or by a post to the webhook or chat room that was named,
or not at all, so that nobody who asks can tell from the answer, or from how long it took, whether an address is
subscribed, suppressed or asked for too often.
"""

import hashlib
import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from django.core import signing
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import override

from irportal.ledger import actions as ledger
from irportal.outbox import actions as outbox
from irportal.outbox import endpoints
from irportal.outbox.models import Endpoint
from statuspage import languages, letters, subscriptions
from statuspage.customers import sessions
from statuspage.models import (
    Component,
    ComponentGroup,
    Customer,
    Notice,
    Subscriber,
    SubscriberQuerySet,
    SubscriptionRequest,
    Way,
)

log = logging.getLogger(__name__)

SALT = "statuspage.request"
LINK_LIFE = timedelta(hours=48)
KEPT = timedelta(days=7)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MAIL_EVERY, MAILS_A_DAY = timedelta(minutes=15), 3  # to one mailbox, whoever asks
SIGN_IN_EVERY, SIGN_INS_A_DAY = timedelta(minutes=2), 10  # the same, of links to sign in
ASKED_AN_HOUR = 10  # by one visitor
POSTS_AN_HOUR = 20  # to one host: nobody can aim us at somebody else's server
MAILS_AN_HOUR = 200  # of the whole page; what is more waits its turn
A_TURN = 100
POST_LIFE = timedelta(hours=1)  # a server that does not want our posts is not asked for days
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


class Address(NamedTuple):
    """Where to tell somebody: a mailbox, or the `url` of an endpoint as `statuspage.forms` has checked it."""

    email: str = ""
    way: str = Way.MAIL
    url: str = ""

    @property
    def key(self) -> str:
        """What limits go by: `Ann+news@Reader.example` and `ann@reader.example` are read by the same person."""
        local, _, domain = self.email.lower().rpartition("@")
        named = self.url or f"{local.partition('+')[0]}@{domain}"
        return hashlib.sha256(named.encode()).hexdigest()


class Begun(NamedTuple):
    """What began with a confirmation; `secret` is that of a new webhook, to be shown this once."""

    subscriber: Subscriber
    secret: str = ""


WHOLE_PAGE = Wanted()


def ask(wish: str, address: Address, wanted: Wanted = WHOLE_PAGE, *, visitor: str, at: datetime) -> None:
    """Write down what was asked. A visitor who asked ten times within the hour is no longer heard."""
    if SubscriptionRequest.objects.filter(visitor=visitor, made_at__gt=at - HOUR).count() >= ASKED_AN_HOUR:
        return
    SubscriptionRequest.objects.create(
        wish=wish,
        way=address.way,
        email=address.email,
        url=address.url,
        host=urlsplit(address.url).hostname or "",
        mailbox=address.key,
        incident=wanted.incident,
        components=[component.code for component in wanted.components],
        groups=[group.code for group in wanted.groups],
        floor=wanted.floor,
        language=wanted.language,
        time_zone=wanted.time_zone,
        visitor=visitor,
        made_at=at,
    )


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
    unused = Endpoint.objects.filter(of_reader=True, verified_at=None, created_at__lte=now - KEPT)
    if unused.exists():
        unused.delete()


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
    row.save(update_fields=["answered_at", "mailed", "secret"])
    return True


def _is_within_limits(row: SubscriptionRequest, now: datetime) -> bool:
    to_mailbox = SubscriptionRequest.objects.mailed_since(now - DAY).filter(mailbox=row.mailbox)
    links = Q(wish=SubscriptionRequest.Wish.SIGN_IN)
    if row.wish == SubscriptionRequest.Wish.SIGN_IN:
        to_mailbox, every, a_day = to_mailbox.filter(links), SIGN_IN_EVERY, SIGN_INS_A_DAY
    else:
        to_mailbox, every, a_day = to_mailbox.exclude(links), MAIL_EVERY, MAILS_A_DAY
    if to_mailbox.count() >= a_day or to_mailbox.mailed_since(now - every).exists():
        return False
    if row.host and to_host(row.host, now).count() >= POSTS_AN_HOUR:
        return False
    by_visitor = SubscriptionRequest.objects.filter(mailed=True, visitor=row.visitor, made_at__gt=row.made_at - HOUR)
    return by_visitor.count() < ASKED_AN_HOUR


def to_host(host: str, now: datetime) -> QuerySet[SubscriptionRequest]:
    """The posts of the last hour to endpoints on this host."""
    return SubscriptionRequest.objects.mailed_since(now - HOUR).filter(host=host)


def _mail(row: SubscriptionRequest) -> bool:
    """Promise the mail or post that answers; False when there is nothing to say."""
    if row.wish == SubscriptionRequest.Wish.SIGN_IN:
        if Customer.objects.of(row.email) is None:
            return False
        said = letters.sign_in_letter(sessions.new_token(row))._asdict()
        return _promise(row, {"email": row.email}, languages.known(row.language), said)
    subscriber = _at(row, Subscriber.objects.active()).first()
    if subscriber and not _is_more(row, subscriber):
        topic, token = "manage", subscriptions.manage_token(subscriber)
    elif row.wish == SubscriptionRequest.Wish.SUBSCRIBE:
        topic, token = "confirm", token_for(row)
    else:
        return False
    language = languages.known(subscriber.language if subscriber else row.language)
    with override(language):
        if row.way == Way.MAIL:
            to: dict[str, Any] = {"email": subscriber.email if subscriber else row.email}
            said = letters.letter(topic, token)._asdict()
        elif endpoint := _endpoint_for(row):
            to, said = {"endpoint": endpoint.pk}, letters.post(topic, token)
        else:
            return False
    return _promise(row, to, language, said)


def _promise(row: SubscriptionRequest, to: dict[str, Any], language: str, said: dict[str, Any]) -> bool:
    outbox.announce(
        f"{TOPIC}:{row.code}",
        topic=TOPIC,
        thread=f"{TOPIC}-{row.code}",
        audience="asker",
        facts={"code": row.code, "language": language, **to},
        priority=PRIORITY,
        life=outbox.UPDATE_LIFE if row.way == Way.MAIL else POST_LIFE,
        **said,
    )
    return True


def _at(row: SubscriptionRequest, subscribers: SubscriberQuerySet) -> SubscriberQuerySet:
    """Whoever has the address of this request."""
    return subscribers.at(row.email) if row.way == Way.MAIL else subscribers.at_endpoint(row.url)


def _endpoint_for(row: SubscriptionRequest) -> Endpoint | None:
    """Where to post the answer; nowhere when it is an endpoint of our own.

    What nobody has confirmed is of the kind asked for last.
    """
    facts = {"kind": row.way, "of_reader": True}
    endpoint, _ = Endpoint.objects.get_or_create(url=row.url, defaults=facts)
    if endpoint.of_reader and endpoint.verified_at is None:
        endpoint.kind, endpoint.is_active, endpoint.disabled_reason = row.way, True, ""
        endpoint.save(update_fields=["kind", "is_active", "disabled_reason"])
    return endpoint if endpoint.of_reader else None


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
    if row and row.incident and not Notice.objects.seen_by(None).open().filter(code=row.incident).exists():
        return None
    return row


@transaction.atomic
def confirm(token: str) -> Begun | None:
    """Begin the subscription this token names, once; None when it may no longer. The record names it by key."""
    ledger.turn()
    now = timezone.now()
    row = to_confirm(token, at=now)
    if row is None:
        return None
    row.used_at = now
    row.save(update_fields=["used_at"])
    begun = _subscriber_of(row, now)
    if begun is None:
        return None
    subscriber = begun.subscriber
    if row.incident:
        subscriber.followed.add(Notice.objects.get(code=row.incident))
    else:
        subscriptions.begin_standing(subscriber, row)
    ledger.append("subscriber.confirmed", subject=subscriber.subject, by=None)
    return begun


def _subscriber_of(row: SubscriptionRequest, now: datetime) -> Begun | None:
    """Who has this address, as they are; else a new one. None when its endpoint is gone."""
    found = _at(row, Subscriber.objects.filter(left_at=None)).select_for_update(of=("self",)).first()
    if found is None:
        return _new_subscriber(row, now)
    if found.confirmed_at is None:
        found.confirmed_at = now
        found.save(update_fields=["confirmed_at"])
    return Begun(found)


def _new_subscriber(row: SubscriptionRequest, now: datetime) -> Begun | None:
    made = {"is_standing": not row.incident, "language": row.language, "time_zone": row.time_zone, "confirmed_at": now}
    if row.way == Way.MAIL:
        return Begun(Subscriber.objects.create(email=row.email, **made))
    endpoint = Endpoint.objects.filter(url=row.url, of_reader=True, is_active=True).first()
    if endpoint is None:
        return None
    endpoints.answered(endpoint)
    subscriber = Subscriber.objects.create(way=endpoint.kind, host=row.host, endpoint=endpoint, **made)
    return Begun(subscriber, endpoint.secret if endpoint.kind == Way.WEBHOOK else "")
