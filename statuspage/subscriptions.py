"""What a reader can do: choose what to hear about, leave with one click."""

from datetime import datetime, timedelta
from typing import Any

from django.core import signing
from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from irportal.ledger import actions as ledger
from irportal.outbox import actions as outbox
from irportal.outbox import endpoints
from irportal.outbox.models import Announcement, Endpoint, Suppression
from statuspage.models import Component, ComponentGroup, Notice, Subscriber, SubscriptionRequest

SALT, MANAGE_SALT = "statuspage.subscriber", "statuspage.manage"
MANAGE_LIFE = timedelta(hours=48)
AFTERWARDS = timedelta(days=1)  # that who follows one incident is kept when it is over
A_TURN = 100
PARTS = {"components", "groups"}
ENDED_BY = {"subscriber": "pk", "endpoint": "endpoint"}  # keys of readers, and what finds the subscription


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
    if ":" in name:
        return _left(name, subject=name)
    subscriber = _living(code=name)
    return _left(_end(subscriber), subject=subscriber.subject) if subscriber else False


@transaction.atomic
def complained(key: str) -> None:
    """A complaint about a mail is a way of leaving, and so is an endpoint that takes nothing any more."""
    ledger.turn()
    kind, _, number = key.partition(":")
    if kind == "asker":
        return
    if kind not in ENDED_BY:
        _left(key, subject=key)
    elif number.isdecimal() and (subscriber := _living(**{ENDED_BY[kind]: int(number)})):
        _left(_end(subscriber), subject=subscriber.subject)


def _left(key: str, *, subject: str) -> bool:
    """Tell this reader nothing more and record it; False when that was so."""
    if Suppression.objects.filter(target=key).exists():
        return False
    outbox.suppress(key, reason="unsubscribed")
    ledger.append(f"{subject.partition(':')[0]}.left", subject=subject, by=None)
    return True


def _living(**named: Any) -> Subscriber | None:
    return Subscriber.objects.select_for_update(of=("self",)).filter(left_at=None, **named).first()


def _end(subscriber: Subscriber) -> str:
    """End the subscription and forget the address of its endpoint; the key the outbox knows the reader by."""
    key, endpoint = subscriber.reader, subscriber.endpoint
    subscriber.left_at, subscriber.endpoint = timezone.now(), None
    subscriber.save(update_fields=["left_at", "endpoint"])
    if endpoint:
        endpoint.delete()
    return key


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


def choices_of(subscriber: Subscriber) -> dict[str, Any]:
    """What they have chosen so far, by the names `choose` knows."""
    return {
        "components": list(subscriber.components.all()),
        "groups": list(subscriber.groups.all()),
        "floor": subscriber.floor,
        "language": subscriber.language,
        "time_zone": subscriber.time_zone,
    }


@transaction.atomic
def choose(subscriber: Subscriber, **chosen: Any) -> None:
    """Hear about these components and groups only (`components`, `groups`), about the whole page when there is none.

    `floor`, `language` and `time_zone` are set likewise; what is not named stays.
    """
    ledger.turn()
    _set(subscriber, **chosen)
    ledger.append("subscriber.changed", subject=subscriber.subject, by=None)


def begin_standing(subscriber: Subscriber, asked: SubscriptionRequest) -> None:
    """Have the subscriber hear of incidents to come as was asked."""
    _set(
        subscriber,
        components=Component.objects.filter(code__in=asked.components),
        groups=ComponentGroup.objects.filter(code__in=asked.groups),
        is_standing=True,
        floor=asked.floor,
        language=asked.language,
        time_zone=asked.time_zone,
    )


def _set(subscriber: Subscriber, **chosen: Any) -> None:
    for name in PARTS & chosen.keys():
        getattr(subscriber, name).set(chosen.pop(name))
    for name, value in chosen.items():
        setattr(subscriber, name, value)
    subscriber.save(update_fields=list(chosen))


def end_followers(now: datetime) -> None:
    """The engine's turn: end subscriptions to single incidents a day after the last of these was over.

    Within the day somebody is told who heard of the end when the incident comes back, or a word was wrong.
    """
    going_on = Notice.objects.filter(Q(resolved_at=None) | Q(resolved_at__gt=now - AFTERWARDS))
    waiting = Announcement.objects.filter(fanned_out_at=None, thread=OuterRef("ref"))
    unheard = Notice.objects.filter(Exists(waiting))
    over = Subscriber.objects.active().filter(is_standing=False)
    over = over.exclude(followed__in=going_on).exclude(followed__in=unheard)
    for pk in list(over.values_list("pk", flat=True)[:A_TURN]):
        _end_follower(pk)


@transaction.atomic
def _end_follower(pk: int) -> None:
    ledger.turn()
    if subscriber := _living(pk=pk, is_standing=False):
        _end(subscriber)
        ledger.append("subscriber.ended", subject=subscriber.subject, by=None)


@transaction.atomic
def put_an_end(subscriber: Subscriber, *, by: ledger.Person) -> bool:
    """Have this subscriber told nothing more, as staff decided; False when that was so already."""
    ledger.turn()
    living = _living(pk=subscriber.pk)
    if living is None:
        return False
    outbox.suppress(_end(living), reason="ended by staff")
    ledger.append("subscriber.ended", subject=living.subject, by=by)
    return True


@transaction.atomic
def draw_secret(subscriber: Subscriber) -> str:
    """A new secret for the webhook of this subscriber, to be shown once; for a day the one before signs too."""
    ledger.turn()
    endpoint = Endpoint.objects.select_for_update().get(subscriber=subscriber)
    endpoints.rotate(endpoint)
    ledger.append("subscriber.changed", subject=subscriber.subject, by=None, what="drew a new secret")
    return endpoint.secret
