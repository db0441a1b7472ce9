"""How soon the engine's turns see to things, on a virtual clock. `make promises` measures it with real processes."""

from datetime import timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from irportal.outbox.models import Delivery, Progress
from tests.factories import announcement, deliveries

pytestmark = pytest.mark.django_db(transaction=True)  # the command closes its connection between turns
SECOND = timedelta(seconds=1)
BACK_WITHIN = timedelta(seconds=95)


def test_what_is_committed_is_begun_within_a_second(run_engine, smtp_relay):
    """R-T3: the first pause begins, then somebody commits."""
    run_engine(2, {1: announcement})

    [delivery] = Delivery.objects.all()
    assert delivery.tries.get().started_at - delivery.announcement.made_at <= SECOND


def test_the_clock_of_the_workers_ticks_every_two_seconds():
    assert settings.CELERY_BEAT_SCHEDULE["tick"]["schedule"] <= 2


def test_what_a_killed_sender_had_begun_is_sent_again_within_95_seconds(run_engine, freezer, smtp_relay):
    """R-T5: it dies in the middle of a send, just after the engine that is left has looked."""
    dead = []

    def die() -> None:
        deliveries("ann@reader.example", "ben@reader.example")
        begun, _ = Delivery.objects.claim(timezone.now())
        Delivery.objects.progress([Progress(timezone.now(), "dead", begin=begun)])
        dead.append(timezone.now())

    run_engine(1, {1: die})
    freezer.shift(88 * SECOND)
    run_engine(6)

    again = [delivery.tries.order_by("n").last().started_at for delivery in Delivery.objects.all()]
    assert max(again) - dead[0] <= BACK_WITHIN
    assert sorted(smtp_relay.addresses) == ["ann@reader.example", "ben@reader.example"]
