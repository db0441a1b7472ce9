"""What becomes of the addresses of other programs: how they fail, when they are left alone, whose secret they have."""

from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from irportal.ledger import actions as ledger
from irportal.outbox import audiences
from irportal.outbox.models import LAST, Delivery, Endpoint, new_salt

ROTATION = timedelta(hours=24)
GIVE_UP = timedelta(days=5)
PAUSE = timedelta(minutes=1)  # for everything else to an endpoint that has just failed: a dead one costs little


def succeeded(taken: list[Endpoint]) -> None:
    """These have just taken something."""
    numbers = [endpoint.pk for endpoint in taken]
    Endpoint.objects.filter(pk__in=numbers, failing_since__isnull=False).update(failing_since=None)


def failed(endpoint: Endpoint, delivery: Delivery, *, wait: timedelta = timedelta()) -> None:
    """Remember since when nothing gets through, and let what waits for it wait longer and behind all others.

    `wait` is how long the endpoint asked to be left alone.
    """
    now = timezone.now()
    Endpoint.objects.filter(pk=endpoint.pk, failing_since=None).update(failing_since=now)
    later = now + max(PAUSE, wait)
    Delivery.objects.filter(pk=delivery.pk).update(priority=LAST)
    others = Delivery.objects.waiting().filter(reader=endpoint.reader, due_at__lt=later).exclude(pk=delivery.pk)
    with transaction.atomic():
        free = list(others.select_for_update(skip_locked=True).values_list("pk", flat=True))
        Delivery.objects.filter(pk__in=free).update(due_at=later, priority=LAST)


@transaction.atomic
def switch_off(endpoint: Endpoint, *, reason: str, by: ledger.Person | None = None) -> None:
    """Send nothing more there until it answers a challenge again. The alarms tell staff, unless it was one of them.

    With the endpoint of a reader their subscription ends; staff need not know.
    """
    ledger.turn()
    mine = Endpoint.objects.filter(pk=endpoint.pk, is_active=True)
    told = timezone.now() if by or endpoint.of_reader else None
    if not mine.update(is_active=False, disabled_reason=reason[:300], alarmed_at=told):
        return
    ledger.append("endpoint.switched_off", subject=endpoint.reader, by=by, reason=reason)
    drop_waiting(endpoint, f"the endpoint was switched off: {reason}")
    if endpoint.of_reader:
        audiences.left(endpoint.reader)


def drop_waiting(endpoint: Endpoint, reason: str) -> None:
    Delivery.objects.waiting().filter(reader=endpoint.reader).update(
        state=Delivery.State.SUPPRESSED, last_error=reason[:300]
    )


def give_up(now: datetime) -> None:
    """Switch off what has taken nothing for GIVE_UP."""
    for endpoint in Endpoint.objects.in_use().filter(failing_since__lte=now - GIVE_UP):
        switch_off(endpoint, reason=f"nothing got through since {endpoint.failing_since:%Y-%m-%d %H:%M} UTC")


def answered(endpoint: Endpoint) -> None:
    """It has answered its challenge: from now on it is told."""
    endpoint.verified_at, endpoint.is_active = timezone.now(), True
    endpoint.failing_since, endpoint.disabled_reason, endpoint.alarmed_at = None, "", None
    endpoint.save(update_fields=["verified_at", "is_active", "failing_since", "disabled_reason", "alarmed_at"])


def rotate(endpoint: Endpoint) -> None:
    """Draw a new secret; the one before signs too for ROTATION."""
    endpoint.previous_salt, endpoint.previous_until = endpoint.salt, timezone.now() + ROTATION
    endpoint.salt = new_salt()
    endpoint.save(update_fields=["salt", "previous_salt", "previous_until"])
