"""Who is to blame decides what happens next."""

from datetime import timedelta

import pytest
from django.utils import timezone

from irportal.outbox import engine, fan_out, sending
from irportal.outbox.models import LEASE, Attempt, Channel, Delivery, Progress, Suppression
from tests.factories import announcement, deliveries, mail_of

pytestmark = pytest.mark.django_db
ANN, BOB = "ann@reader.example", "bob@reader.example"
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)


def told(address: str) -> Delivery:
    return Delivery.objects.get(address=address)


def outcomes(address: str) -> list[str]:
    return list(Attempt.objects.filter(delivery__address=address).order_by("n").values_list("outcome", flat=True))


def test_a_relay_that_is_gone_blames_no_message_and_opens_the_channel(freezer, smtp_relay):
    smtp_relay.stop()
    announcement(ANN, BOB)
    engine.run_once()

    assert list(Delivery.objects.values_list("state", "failures", "lease_until")) == [("pending", 0, None)] * 2
    assert Channel.objects.get().open_until == timezone.now() + 5 * SECOND


def test_a_broken_transport_is_tried_again_after_5_10_20_then_every_30_seconds(freezer, smtp_relay):
    smtp_relay.stop()
    announcement(ANN)
    waits = []
    for _ in range(5):
        engine.run_once()
        until = Channel.objects.get().open_until
        waits.append((until - timezone.now()).total_seconds())
        freezer.move_to(until)

    assert waits == [5, 10, 20, 30, 30]


def test_nothing_is_claimed_while_the_channel_is_open(freezer, smtp_relay):
    smtp_relay.stop()
    announcement(ANN)
    engine.run_once()
    claims = told(ANN).attempts
    freezer.shift(4 * SECOND)
    engine.run_once()

    assert told(ANN).attempts == claims


def test_everything_leaves_when_the_relay_is_back_after_two_hours(freezer, smtp_relay):
    smtp_relay.stop()
    announcement(ANN, BOB)
    for _ in range(240):
        engine.run_once()
        freezer.shift(30 * SECOND)
    smtp_relay.start()
    freezer.shift(30 * SECOND)
    engine.run_once()

    assert smtp_relay.addresses == [ANN, BOB]
    assert Channel.objects.get().fail_streak == 0


@pytest.mark.parametrize("answer", ["421 4.3.2 going away", "drop"])
def test_an_answer_about_the_relay_is_not_held_against_the_message(freezer, smtp_relay, answer):
    smtp_relay.at_rcpt[ANN] = [answer]
    announcement(ANN)
    engine.run_once()
    assert (told(ANN).failures, told(ANN).due_at) == (0, timezone.now())

    freezer.shift(6 * SECOND)
    engine.run_once()
    assert smtp_relay.addresses == [ANN]


def test_a_sender_the_relay_refuses_is_the_relays_matter(freezer, smtp_relay, settings):
    settings.BOUNCE_ADDRESS = "not an address>"
    announcement(ANN)
    engine.run_once()

    assert (told(ANN).state, told(ANN).failures) == ("pending", 0)
    assert Channel.objects.get().fail_streak == 1


@pytest.mark.parametrize("stage", ["at_rcpt", "at_data"])
def test_a_4xx_is_tried_again_after_1_5_10_20_then_about_every_30_minutes(freezer, smtp_relay, stage):
    getattr(smtp_relay, stage)[ANN] = ["450 4.2.0 try later"] * 6
    announcement(ANN)
    waits = []
    for _ in range(6):
        engine.run_once()
        waits.append((told(ANN).due_at - timezone.now()) / MINUTE)
        freezer.move_to(told(ANN).due_at)
    engine.run_once()

    assert waits[:5] == [1, 5, 10, 20, 30]
    assert 24 <= waits[5] <= 36
    assert outcomes(ANN) == ["temp"] * 6 + ["ok"]


def test_a_refused_recipient_holds_up_nobody_on_the_same_connection(smtp_relay):
    smtp_relay.at_rcpt[ANN] = ["550 5.1.1 no such user"]
    smtp_relay.at_data["cid@reader.example"] = ["554 5.7.1 policy"]
    announcement(ANN, "cid@reader.example", BOB)
    engine.run_once()

    assert smtp_relay.addresses == [BOB]
    assert smtp_relay.connections == 1


@pytest.mark.parametrize("stage", ["at_rcpt", "at_data"])
def test_a_5xx_is_final_and_keeps_its_reason(smtp_relay, stage, caplog):
    getattr(smtp_relay, stage)[ANN] = ["550 5.1.1 no such user"]
    announcement(ANN)
    engine.run_once()

    assert (told(ANN).state, told(ANN).last_error) == ("dead", "5.1.1 no such user")
    assert "is dead: 550" in caplog.text


def test_when_nobody_knows_whether_it_was_taken_it_waits_ten_minutes_and_sends_the_same_bytes(freezer, smtp_relay):
    smtp_relay.at_data[ANN] = ["drop"]
    announcement(ANN)
    engine.run_once()
    assert (outcomes(ANN), told(ANN).due_at - timezone.now()) == (["uncertain"], 10 * MINUTE)

    freezer.shift(10 * MINUTE)
    engine.run_once()
    first, second = smtp_relay.taken
    assert first.data == second.data
    assert first.message["Message-ID"] == second.message["Message-ID"]


def test_a_retry_sends_the_same_bytes(freezer, smtp_relay):
    smtp_relay.at_data[ANN] = ["451 4.3.0 try later"]
    announcement(ANN)
    engine.run_once()
    before = mail_of(told(ANN))
    freezer.shift(MINUTE)
    engine.run_once()

    assert smtp_relay.taken[0].data == before


def test_what_is_too_old_is_not_sent_and_says_so(freezer, smtp_relay):
    announcement(ANN, life=timedelta(hours=1))
    fan_out.fan_out_pending(timezone.now())
    freezer.shift(timedelta(hours=1))
    engine.run_once()

    assert smtp_relay.taken == []
    assert (told(ANN).state, told(ANN).last_error) == ("dead", "expired before it could be sent")


def test_a_retry_beyond_its_expiry_ends_it_at_once(freezer, smtp_relay):
    smtp_relay.at_rcpt[ANN] = ["450 4.2.0 try later"]
    announcement(ANN, life=30 * SECOND)
    engine.run_once()

    assert told(ANN).state == "dead"


def test_a_message_that_kills_its_worker_three_times_is_put_aside_and_others_go_on(freezer, smtp_relay, caplog):
    poison = deliveries(ANN)[0]
    for _ in range(sending.POISON_STARTS):
        claimed = Delivery.objects.claim(timezone.now())
        assert Delivery.objects.progress([Progress(timezone.now(), "dead", begin=claimed[0])]) == [True]
        freezer.shift(LEASE + SECOND)
    announcement(BOB)
    engine.run_once()

    poison.refresh_from_db()
    assert (poison.state, "quarantined" in poison.last_error) == ("dead", True)
    assert smtp_relay.addresses == [BOB]
    assert "quarantined" in caplog.text


def test_our_own_error_is_tried_three_times_then_put_aside(freezer, smtp_relay, caplog):
    delivery = deliveries(ANN)[0]
    Delivery.objects.filter(pk=delivery.pk).update(leave="ü")
    for _ in range(sending.MAX_CRASHES):
        engine.run_once()
        freezer.move_to(told(ANN).due_at)
    engine.run_once()

    assert (outcomes(ANN), told(ANN).state) == (["crashed"] * 3, "dead")


def test_a_duty_that_breaks_stops_no_mail(smtp_relay, monkeypatch, caplog):
    def broken(now):
        raise ZeroDivisionError

    monkeypatch.setattr(engine, "_turns", [broken])
    announcement(ANN)
    engine.run_once()

    assert smtp_relay.addresses == [ANN]
    assert "broken failed; the turn goes on" in caplog.text


@pytest.mark.parametrize(
    ("stage", "answer", "stopped"),
    [
        ("at_rcpt", "550 5.1.1 no such user", True),
        ("at_rcpt", "550 5.7.1 we do not like you", False),
        ("at_rcpt", "450 4.1.1 not now", False),
        ("at_data", "554 5.7.1 policy", False),
        ("at_data", "550 5.1.1 said too late to be about the address", False),
        ("at_data", "drop", False),
    ],
)
def test_only_an_unknown_address_stops_its_subscriber(smtp_relay, stage, answer, stopped):
    getattr(smtp_relay, stage)[ANN] = [answer]
    announcement(ANN)
    engine.run_once()

    assert Suppression.objects.filter(target=ANN, bounced=True).exists() is stopped


def test_a_bounce_ends_what_else_waits_for_that_address(smtp_relay):
    smtp_relay.at_rcpt[ANN] = ["550 5.1.1 no such user"]
    announcement(ANN)
    announcement(ANN)
    engine.run_once()

    assert list(Delivery.objects.order_by("pk").values_list("state", flat=True)) == ["dead", "suppressed"]


def test_a_bounce_never_stops_staff(smtp_relay):
    smtp_relay.at_rcpt[ANN] = ["550 5.1.1 no such user"]
    staff = announcement(audience="addresses", facts={"addresses": [ANN]})
    engine.run_once()

    assert staff.deliveries.get().state == "dead"
    assert not Suppression.objects.exists()


def test_after_an_hour_of_refusals_the_waits_of_many_spread_over_a_fifth():
    waits = [sending.retry_wait(6, f"{number:064x}") / MINUTE for number in range(200)]
    assert 24 <= min(waits) < 25
    assert 35 < max(waits) <= 36


def test_nothing_leaves_in_clear_when_the_relay_does_not_encrypt(smtp_relay, settings):
    settings.SMTP_URL = smtp_relay.url.replace("smtp://", "smtp+starttls://ann:hunter2@")
    announcement(ANN)
    engine.run_once()

    assert (smtp_relay.taken, told(ANN).state, told(ANN).failures) == ([], "pending", 0)
    assert Channel.objects.get().fail_streak == 1
