"""Bad days as a whole, on a virtual clock: greylisting, an outage of hours, poison, many hands, clocks that jump."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from random import Random
from threading import Thread

import pytest
from django.db import connection, transaction
from django.utils import timezone

from irportal.outbox import actions, alarms, engine, fan_out, sending
from irportal.outbox.models import LEASE, Announcement, Attempt, Delivery
from irportal.outbox.talks import alone, side_by_side
from tests.factories import announcement

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


def readers(count: int) -> list[str]:
    return [f"reader{n}@reader.example" for n in range(count)]


def states() -> Counter[str]:
    return Counter(Delivery.objects.values_list("state", flat=True))


@pytest.mark.django_db
def test_greylisting_delays_every_mail_and_loses_none(freezer, smtp_relay):
    """R-T6: 451 to everything of the first five minutes."""
    for reader in readers(500):
        smtp_relay.at_rcpt[reader] = ["451 4.7.1 greylisted, come back in five minutes"] * 2
    announcement(*readers(500))
    for _ in range(15):
        engine.run_once()
        freezer.shift(MINUTE)

    assert states() == {"sent": 500}
    assert max(Counter(Attempt.objects.values_list("delivery", flat=True)).values()) <= 4


@pytest.mark.django_db
def test_an_outage_of_two_hours_kills_and_blames_no_mail_and_is_asked_for_twice_a_minute(freezer, smtp_relay):
    """R-T7, with two engines that turn every thirty seconds."""
    smtp_relay.stop()
    announcement(*readers(400))
    for _ in range(int(2 * HOUR / (30 * SECOND))):
        engine.run_once()
        engine.run_once()
        freezer.shift(30 * SECOND)
    probes = Attempt.objects.filter(outcome="transport").count()
    assert states() == {"pending": 400}
    assert not Delivery.objects.filter(failures__gt=0).exists()
    assert probes <= 2 * HOUR / (30 * SECOND) + 4  # the first minute asks a few times more

    smtp_relay.start()
    freezer.shift(30 * SECOND)
    engine.run_once()
    assert states() == {"sent": 400}


@pytest.mark.django_db
def test_poison_is_put_aside_after_three_starts_and_everybody_else_is_served(freezer, smtp_relay, monkeypatch):
    """R-T9: the sender of one message dies of it, with whatever it holds."""
    heard = []
    monkeypatch.setattr(alarms, "_alarms", [lambda key, thread, sentence: heard.append(sentence)])
    announcement(*readers(300))
    fan_out.fan_out_pending(timezone.now())
    poison = Delivery.objects.order_by("pk")[50]
    monkeypatch.setattr(smtp_relay, "before_answer", lambda count: None)
    died_after = []
    for _ in range(8):
        died_after.append(send_until_it_dies_of(poison))
        freezer.shift(LEASE + SECOND)
    engine.run_once()

    poison.refresh_from_db()
    assert (poison.state, poison.tries.count()) == ("dead", sending.POISON_STARTS)
    assert states() == {"sent": 299, "dead": 1}
    assert len(smtp_relay.taken) == len(set(smtp_relay.addresses)) == 299
    assert len(heard) == 1


class Dies(BaseException):
    """What a killed process does to the code that runs in it: nothing after this line happens."""


def send_until_it_dies_of(poison: Delivery) -> int:
    """What one process sends before it begins the poison and is gone; what it held stays leased."""
    from irportal.outbox.channels import smtp

    held, sent = sending.claim(), 0
    with smtp.Line() as line:
        while held.left:
            delivery = held.left.popleft()
            if not side_by_side([sending.begin(delivery, held, None)], Delivery.objects.progress)[0]:
                line.drop()
            elif delivery.pk == poison.pk:
                return sent
            else:
                answer = alone(line.send(delivery, None))
                sending._mark(delivery, answer, held)
                sent += 1
    return sent


@pytest.mark.django_db(transaction=True)
def test_many_hands_tell_everybody_once(smtp_relay):
    """R-T11: five engines at once, turn after turn."""
    for number in range(4):
        announcement(*readers(40), dedupe_key=f"INC-42:{number}")

    def hand(_: int) -> None:
        try:
            engine.run_once()
        finally:
            connection.close()

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(hand, range(20)))
    while Delivery.objects.waiting().exists():
        engine.run_once()

    assert states() == {"sent": 160}
    assert len(smtp_relay.taken) == 160


@pytest.mark.django_db
@pytest.mark.parametrize("jump", [HOUR, -HOUR, 24 * HOUR, -24 * HOUR], ids=["+1 h", "-1 h", "+1 day", "-1 day"])
def test_a_clock_that_jumps_repeats_nothing(freezer, smtp_relay, jump):
    """R-T10: half is sent, the clock jumps, the rest follows as soon as its time has come."""
    announcement(*readers(6), life=timedelta(days=3))
    engine.run_once()
    announcement(*readers(6), life=timedelta(days=3))
    freezer.shift(jump)
    engine.run_once()
    freezer.shift(max(-jump, SECOND))
    engine.run_once()

    assert len(smtp_relay.taken) == 12
    assert max(Counter(taken.data for taken in smtp_relay.taken).values()) == 1


@pytest.mark.django_db(transaction=True)
def test_what_is_rolled_back_is_told_to_nobody_among_many_that_are_not(smtp_relay):
    """R-T2, 200 transactions of which about half end in an error."""
    draw, kept = Random(7), []

    def tell(number: int, fails: bool) -> None:
        with transaction.atomic():
            announcement(f"reader{number}@reader.example", dedupe_key=f"many:{number}")
            if fails:
                raise ZeroDivisionError
        kept.append(f"reader{number}@reader.example")

    for number in range(200):
        try:
            tell(number, draw.random() < 0.5)
        except ZeroDivisionError:
            engine.fan_out.fan_out_pending(timezone.now())
    engine.run_once()

    assert sorted(smtp_relay.addresses) == sorted(kept)
    assert Announcement.objects.count() == len(kept)


@pytest.mark.django_db(transaction=True)
def test_who_leaves_at_any_moment_gets_at_most_the_message_that_was_on_its_way(smtp_relay):
    """R-T13: a reader leaves somewhere in the middle of many mails; no try begins after the leaving is committed."""
    draw = Random(7)
    for number in range(30):
        announcement(*readers(8), thread=f"INC-{number}")
    fan_out.fan_out_pending(timezone.now())
    left: dict[str, int] = {}

    def leave(count: int) -> None:
        if len(left) < 8 and draw.random() < 0.1:
            reader = readers(8)[len(left)]
            one = Thread(target=say_stop, args=[reader])
            one.start()
            one.join()
            left[reader] = count

    def say_stop(reader: str) -> None:
        actions.suppress(f"subscriber:{reader}", reason="unsubscribed")
        connection.close()

    smtp_relay.before_answer = leave
    engine.run_once()

    late = [
        number
        for number, taken in enumerate(smtp_relay.taken, 1)
        if number > left.get(taken.recipients[0], len(smtp_relay.taken)) + 1
    ]
    assert len(left) == 8
    assert late == []
