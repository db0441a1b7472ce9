"""Claim, send one, commit one: the order readers get mail in, and who may touch a delivery."""

import time
from collections import deque
from datetime import timedelta

import pytest
from django.db import DatabaseError, transaction
from django.utils import timezone

from irportal.outbox import actions, engine, fan_out, sending
from irportal.outbox.channels import Outcome, smtp
from irportal.outbox.models import LEASE, Attempt, Delivery, Progress
from irportal.outbox.talks import alone
from tests.factories import announcement, deliveries, mail_of

pytestmark = pytest.mark.django_db
SECOND = timedelta(seconds=1)


def claim(**given) -> list[Delivery]:
    return Delivery.objects.claim(timezone.now(), **given)


def send(claimed: list[Delivery], until: float = float("inf")) -> int:
    with smtp.Line() as line:
        return sending.send_claimed(sending.Claim(deque(claimed), until), line)


def state(delivery: Delivery) -> str:
    return Delivery.objects.get(pk=delivery.pk).state


def test_one_turn_takes_an_announcement_to_the_reader_with_proof(smtp_relay):
    announcement("ann@reader.example")
    engine.run_once()

    attempt = Attempt.objects.get()
    assert smtp_relay.addresses == ["ann@reader.example"]
    assert (attempt.outcome, attempt.code, attempt.answer) == ("ok", 250, "2.0.0 queued as 1")


def test_a_delivery_is_sent_once_however_many_turns_follow(smtp_relay):
    announcement("ann@reader.example")
    for _ in range(3):
        engine.run_once()

    assert len(smtp_relay.taken) == 1


def test_a_turn_sends_everything_that_is_due_over_few_connections(smtp_relay):
    announcement(*[f"reader{n}@reader.example" for n in range(145)])
    engine.run_once()

    assert len(set(smtp_relay.addresses)) == 145
    assert smtp_relay.connections == 2


def test_earlier_word_to_the_same_reader_goes_first(freezer):
    first, second = deliveries()[0], deliveries(priority=1)[0]

    assert claim() == [first]
    assert claim() == []
    Delivery.objects.filter(pk=first.pk).update(state="sent", accepted_at=timezone.now())
    assert claim() == [second]


def test_an_earlier_word_that_must_wait_holds_up_only_its_own_reader(freezer):
    ann, bob = deliveries("ann@reader.example", "bob@reader.example")
    Delivery.objects.filter(pk=ann.pk).update(due_at=timezone.now() + timedelta(minutes=5))
    deliveries("ann@reader.example")

    assert claim() == [bob]


def test_incidents_do_not_hold_up_each_other(freezer):
    first, other = deliveries()[0], deliveries(thread="INC-43")[0]

    assert claim() == [first, other]


def test_urgent_mail_is_claimed_first(freezer):
    usual, urgent = deliveries(thread="INC-1")[0], deliveries(thread="INC-2", priority=1)[0]

    assert claim(limit=1) == [urgent]
    assert claim(limit=1) == [usual]


def test_a_claim_takes_no_more_than_its_limit(freezer):
    deliveries(*[f"reader{n}@reader.example" for n in range(5)])

    assert [len(claim(limit=3)), len(claim(limit=3)), len(claim(limit=3))] == [3, 2, 0]


def test_a_delivery_lost_by_a_dead_worker_falls_due_again(freezer):
    deliveries("ann@reader.example", "bob@reader.example")

    assert len(claim()) == 2
    assert claim() == []
    freezer.shift(LEASE + SECOND)
    assert [one.attempts for one in claim()] == [2, 2]


def test_a_lease_from_a_clock_that_jumped_back_counts_as_ended(freezer):
    deliveries()
    claim()
    freezer.shift(-timedelta(hours=1))
    Delivery.objects.update(due_at=timezone.now())

    assert len(claim()) == 1


def test_a_worker_that_wakes_after_its_lease_does_not_send(freezer, smtp_relay):
    deliveries()
    late = claim()
    freezer.shift(LEASE + SECOND)
    claim()

    assert send(late) == 0
    assert smtp_relay.taken == []


def test_a_worker_that_wakes_after_its_lease_cannot_overwrite_a_newer_result(freezer):
    late = deliveries()[0]
    late.attempts = 1
    Delivery.objects.filter(pk=late.pk).update(attempts=2, state="sent", accepted_at=timezone.now())
    Attempt.objects.create(delivery=late, n=1, started_at=timezone.now(), worker="late")
    sending.failed(late, Outcome(Attempt.Outcome.PERM, 550, "no such user"), timezone.now())

    assert state(late) == "sent"


def test_who_leaves_between_claim_and_send_gets_nothing(smtp_relay):
    delivery = deliveries()[0]
    claimed = claim()
    Delivery.objects.filter(pk=delivery.pk).update(state="pending")
    actions.Suppression.objects.create(target=delivery.reader, reason="unsubscribed", made_at=timezone.now())

    send(claimed)
    assert smtp_relay.taken == []
    assert state(delivery) == "suppressed"


@pytest.mark.parametrize("target", ["subscriber:ann@reader.example", "ann@reader.example"])
def test_who_leaves_gets_none_of_what_still_waits(smtp_relay, target):
    announcement("ann@reader.example", "bob@reader.example")
    fan_out.fan_out_pending(timezone.now())
    actions.suppress(target, reason="unsubscribed")
    actions.suppress(target, reason="unsubscribed")
    engine.run_once()

    assert smtp_relay.addresses == ["bob@reader.example"]


def test_leases_are_handed_back_when_the_relay_goes_away(smtp_relay):
    smtp_relay.at_rcpt["ann@reader.example"] = ["421 4.3.2 closing"]
    announcement("ann@reader.example", "bob@reader.example")
    engine.run_once()

    assert not Delivery.objects.exclude(lease_until=None).exists()


def test_no_message_is_begun_with_too_little_of_the_lease_left(freezer, smtp_relay):
    deliveries()
    claimed = claim()

    assert send(claimed, until=time.monotonic()) == 0
    assert smtp_relay.taken == []


def test_an_address_in_another_script_is_written_as_the_wire_takes_it(smtp_relay):
    announcement(audience="addresses", facts={"addresses": ["info@bücher.example"]})
    engine.run_once()
    assert smtp_relay.addresses == ["info@xn--bcher-kva.example"]


def test_what_waited_too_long_gives_way_to_newer_word_that_repeats_it(freezer, smtp_relay):
    old = announcement("ann@reader.example", dedupe_key="old")
    fan_out.fan_out_pending(timezone.now())
    old.deliveries.update(due_at=timezone.now() + timedelta(hours=1))
    freezer.shift(timedelta(minutes=16))
    new = announcement("ann@reader.example", dedupe_key="new", retells=["old"])
    engine.run_once()

    assert (old.deliveries.get().state, new.deliveries.get().state) == ("superseded", "sent")


@pytest.mark.parametrize(
    ("minutes", "facts"),
    [
        (14, {"retells": ["old"]}),
        (16, {}),
        (16, {"retells": ["old"], "thread": "INC-43"}),
    ],
    ids=["not long", "not repeated", "another incident"],
)
def test_nothing_else_gives_way(freezer, smtp_relay, minutes, facts):
    old = announcement("ann@reader.example", dedupe_key="old")
    fan_out.fan_out_pending(timezone.now())
    old.deliveries.update(due_at=timezone.now() + timedelta(hours=1))
    freezer.shift(timedelta(minutes=minutes))
    announcement("ann@reader.example", dedupe_key="new", **facts)
    engine.run_once()

    assert old.deliveries.get().state == "pending"


def test_word_whose_bytes_are_fixed_takes_nobodys_place(freezer):
    announcement("ann@reader.example", dedupe_key="old")
    announcement("ann@reader.example", dedupe_key="new", retells=["old"])
    fan_out.fan_out_pending(timezone.now())
    Delivery.objects.filter(announcement__dedupe_key="new").update(attempts=1)
    freezer.shift(timedelta(minutes=16))

    assert fan_out.supersede(timezone.now()) == 0


def test_what_is_on_its_way_at_this_moment_does_not_give_way(freezer):
    announcement("ann@reader.example", dedupe_key="old")
    announcement("ann@reader.example", dedupe_key="new", retells=["old"])
    fan_out.fan_out_pending(timezone.now())
    freezer.shift(timedelta(minutes=16))
    claim()

    assert fan_out.supersede(timezone.now()) == 0


@pytest.mark.parametrize(
    "change",
    [{"outcome": "perm"}, {"finished_at": None}, {"n": 9}, {"worker": "another"}, {"started_at": timezone.now()}],
)
def test_a_try_that_ended_is_never_written_again(smtp_relay, change):
    announcement("ann@reader.example")
    engine.run_once()

    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        Attempt.objects.update(**change)


def test_a_try_is_never_removed(smtp_relay):
    announcement("ann@reader.example")
    engine.run_once()

    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        Attempt.objects.all()._raw_delete("default")


def test_a_try_that_began_can_only_end(freezer):
    delivery = deliveries()[0]
    Delivery.objects.progress([Progress(timezone.now(), "one", begin=claim()[0])])

    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        Attempt.objects.filter(delivery=delivery).update(worker="another", finished_at=timezone.now())


@pytest.mark.django_db(transaction=True)
def test_several_senders_share_the_work_and_send_each_message_once(smtp_relay, settings):
    settings.MAIL_CONNECTIONS = 4
    announcement(*[f"reader{n}@reader.example" for n in range(350)])
    engine.run_once()

    assert len(smtp_relay.addresses) == len(set(smtp_relay.addresses)) == 350
    assert smtp_relay.connections > 3


def test_a_relay_that_takes_one_command_at_a_time_is_spoken_to_so(smtp_relay, monkeypatch):
    monkeypatch.setattr(smtp_relay, "extensions", [])
    announcement("ann@reader.example", "bob@reader.example")
    engine.run_once()

    assert smtp_relay.addresses == ["ann@reader.example", "bob@reader.example"]


@pytest.mark.parametrize("pipelining", [True, False])
def test_a_refusal_between_two_messages_is_blamed_on_its_own(smtp_relay, pipelining):
    smtp_relay.extensions = ["PIPELINING"] if pipelining else []
    smtp_relay.at_rcpt["bob@reader.example"] = ["550 5.1.1 no such user"]
    announcement("ann@reader.example", "bob@reader.example", "cid@reader.example")
    engine.run_once()

    assert smtp_relay.addresses == ["ann@reader.example", "cid@reader.example"]
    assert list(Delivery.objects.order_by("pk").values_list("state", flat=True)) == ["sent", "dead", "sent"]


def test_who_leaves_after_the_envelope_left_gets_nothing_all_the_same(smtp_relay):
    deliveries("ann@reader.example", "bob@reader.example", "cid@reader.example")
    claimed = claim()
    with smtp.Line() as line:
        alone(line.send(claimed[0], claimed[1]))
        actions.suppress("bob@reader.example", reason="unsubscribed")
        sending.send_claimed(sending.Claim(deque(claimed[1:]), float("inf")), line)

    assert smtp_relay.addresses == ["ann@reader.example", "cid@reader.example"]


def test_who_read_the_clock_first_and_claims_second_takes_nothing_from_the_first(freezer):
    deliveries()
    early = timezone.now()
    freezer.shift(SECOND)
    claim()

    assert Delivery.objects.claim(early) == []


def test_word_that_only_another_reader_gets_retold_does_not_give_way(freezer):
    old = announcement("ann@reader.example", dedupe_key="old")
    announcement("bob@reader.example", retells=["old"])
    announcement("ann@reader.example")
    fan_out.fan_out_pending(timezone.now())
    freezer.shift(timedelta(minutes=16))
    fan_out.supersede(timezone.now())

    assert old.deliveries.get().state == "pending"


def test_when_a_lease_runs_out_nobody_gets_what_is_for_the_next_in_line(smtp_relay):
    """The relay has the envelope of the second reader by then, and waits for a message."""
    deliveries("ann@reader.example", "ben@reader.example", "eve@reader.example")
    held = sending.claim()

    smtp_relay.before_answer = lambda count: setattr(held, "until", 0.0)
    with smtp.Line() as line:
        sending.send_claimed(held, line)
        Delivery.objects.filter(address="ben@reader.example").update(due_at=timezone.now() + timedelta(hours=1))
        sending.send_claimed(sending.claim(), line)

    mails = {delivery.address: mail_of(delivery) for delivery in Delivery.objects.all()}
    got = {taken.recipients[0]: taken.data for taken in smtp_relay.taken}
    assert got == {address: mails[address] for address in ("ann@reader.example", "eve@reader.example")}
