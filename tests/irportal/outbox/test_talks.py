"""Many conversations in one thread: who waits holds up nobody, and every error reaches its own talk."""

import os
import socket
import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from irportal.outbox import engine, models, sending
from irportal.outbox.models import LEASE, Attempt, Delivery, Progress
from irportal.outbox.talks import Elsewhere, Step, Talk, Wait, _Table, alone, side_by_side, through
from tests.factories import announcement, deliveries


@pytest.fixture
def pair():
    ends = socket.socketpair()
    yield ends
    for end in ends:
        end.close()


def reads(end: socket.socket, seconds: float = 5) -> Talk:
    yield Wait(end.fileno(), seconds)
    return end.recv(10)


def says(end: socket.socket, word: bytes) -> Talk:
    yield Step("before")
    end.send(word)
    return "said"


def test_who_waits_for_an_answer_holds_up_nobody(pair):
    assert side_by_side([reads(pair[0]), says(pair[1], b"hello")]) == [b"hello", "said"]


def test_who_waits_too_long_is_told_so_while_others_go_on(pair):
    def chats() -> Talk:
        for _ in range(3):
            pair[1].send(b"more")
            yield Wait(pair[0].fileno(), 5)
            pair[0].recv(10)
        return "chatted"

    silent, far = socket.socketpair()
    with silent, far, pytest.raises(TimeoutError, match="no answer within 0 s"):
        side_by_side([reads(silent, seconds=0), chats()])


def test_what_holds_its_thread_holds_up_nobody_else(pair):
    called = threading.Event()

    def elsewhere() -> Talk:
        return (yield Elsewhere(lambda: called.wait(5)))

    def calls() -> Talk:
        yield Step("one round later")
        called.set()

    assert side_by_side([elsewhere(), calls()]) == [True, None]


def test_waking_for_nothing_ends_nobody(pair, monkeypatch):
    """As when the bell rings for somebody who has come back already."""
    listen, woken = _Table._listen, []

    def starts_up(table: _Table) -> None:
        if not woken:
            woken.append(True)
            pair[1].send(b"hello")
            return
        listen(table)

    monkeypatch.setattr(_Table, "_listen", starts_up)

    assert side_by_side([reads(pair[0])]) == [b"hello"]


def test_steps_wanted_at_the_same_moment_are_taken_together():
    seen = []

    def takes(number: int) -> Talk:
        first = yield Step(number)
        second = yield Step(number + 10)
        return first + second

    def steps(wanted: list[int]) -> list[int]:
        seen.append(list(wanted))
        return [one * 2 for one in wanted]

    assert side_by_side([takes(1), takes(2)], steps) == [24, 28]
    assert seen == [[1, 2], [11, 12]]


def test_an_error_of_one_step_reaches_its_own_talk_and_the_others_end_well():
    ended = []

    def takes(number: int) -> Talk:
        try:
            yield Step(number)
        finally:
            ended.append(number)

    with pytest.raises(ValueError, match="the second"):
        side_by_side([takes(1), takes(2), takes(3)], lambda _: [1, ValueError("the second"), 3])
    assert ended == [1, 2, 3]


def test_when_the_database_is_away_every_talk_hears_of_it():
    def takes() -> Talk:
        try:
            yield Step(1)
        except OSError as error:
            return str(error)

    def away(_: list[int]) -> list[int]:
        raise OSError("away")

    assert side_by_side([takes(), takes()], away) == ["away", "away"]


def test_an_error_elsewhere_reaches_its_talk():
    def fails() -> Talk:
        yield Elsewhere(lambda: os.stat("/no/such/file"))

    with pytest.raises(FileNotFoundError):
        alone(fails())
    with pytest.raises(FileNotFoundError):
        side_by_side([fails(), through("nothing to do")])


class Stopped(BaseException):
    """A signal that ends the process in good order."""


def test_who_is_stopped_cleans_up(pair):
    cleaned = []

    def waits() -> Talk:
        try:
            yield from reads(pair[0])
        finally:
            cleaned.append("waits")

    def stops() -> Talk:
        yield Step(1)
        raise Stopped

    with pytest.raises(Stopped):
        side_by_side([waits(), stops()])
    assert cleaned == ["waits"]


@pytest.mark.django_db(transaction=True)
def test_several_lines_of_one_engine_share_rounds_and_send_each_message_once(smtp_relay, settings, monkeypatch):
    settings.MAIL_CONNECTIONS = 3
    rounds = []
    progress = Delivery.objects.progress
    monkeypatch.setattr(sending, "take_steps", lambda wanted: rounds.append(len(wanted)) or progress(wanted))
    announcement(*[f"reader{n}@reader.example" for n in range(250)])
    engine.run_once()

    assert len(smtp_relay.addresses) == len(set(smtp_relay.addresses)) == 250
    assert len(rounds) < sum(rounds)  # how many meet is a matter of time; that some do is not
    assert set(Attempt.objects.values_list("outcome", flat=True)) == {"ok"}
    assert set(Delivery.objects.values_list("state", "attempts", "lease_until")) == {("sent", 1, None)}


@pytest.mark.django_db(transaction=True)
def test_each_of_a_round_is_committed_by_itself(freezer):
    """One whose lease went to another worker is refused; its neighbours are not."""
    ann, _, cid = deliveries("ann@reader.example", "bob@reader.example", "cid@reader.example")
    held = Delivery.objects.claim(timezone.now())
    freezer.shift(LEASE + timedelta(seconds=1))
    Delivery.objects.filter(pk__in=[ann.pk, cid.pk]).update(due_at=timezone.now() + timedelta(hours=1))
    assert len(Delivery.objects.claim(timezone.now())) == 1
    begun = Delivery.objects.progress([Progress(timezone.now(), "late", begin=one) for one in held])

    assert [one.address[:3] for one in held] == ["ann", "bob", "cid"]
    assert begun == [True, False, True]
    sent = [Progress(timezone.now(), "late", one, (250, "2.0.0 ok")) for one in (ann, cid)]
    for one in (ann, cid):
        one.attempts = 1
    assert Delivery.objects.progress(sent) == [True, True]
    assert Delivery.objects.filter(state="sent").count() == 2


@pytest.mark.django_db(transaction=True)
def test_what_the_database_refuses_of_a_round_is_refused_alone():
    if connection.vendor != "postgresql":
        pytest.skip("SQLite takes one after the other")
    ann, bob = deliveries("ann@reader.example", "bob@reader.example")
    Delivery.objects.claim(timezone.now())
    ann.attempts = bob.attempts = 1
    wanted = [Progress(timezone.now(), name, begin=one) for name, one in (("w" * 81, ann), ("worker", bob))]
    refused, begun = Delivery.objects.progress(wanted)

    assert isinstance(refused, Exception)
    assert begun is True
    assert list(Attempt.objects.values_list("delivery__address", flat=True)) == ["bob@reader.example"]


@pytest.mark.django_db(transaction=True)
def test_a_round_is_on_disk_before_anybody_goes_on(monkeypatch):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite waits for the disk at every commit")
    held = deliveries("ann@reader.example", "bob@reader.example")
    Delivery.objects.claim(timezone.now())
    for one in held:
        one.attempts = 1
    answers = []
    read = models._next_answer
    monkeypatch.setattr(models, "_next_answer", lambda line: answers.append(read(line)) or answers[-1])
    Delivery.objects.progress([Progress(timezone.now(), "worker", begin=one) for one in held])
    behind_all = answers[-1].get_value(0, 0).decode()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_wal_flush_lsn() >= %s::pg_lsn", [behind_all])
        assert cursor.fetchone() == (True,)


@pytest.mark.django_db
def test_a_relay_that_breaks_for_several_senders_counts_once(smtp_relay, settings):
    settings.MAIL_CONNECTIONS = 3
    smtp_relay.stop()
    announcement(*[f"reader{n}@reader.example" for n in range(250)])
    engine.run_once()

    assert sending.Channel.objects.get().fail_streak == 1
    assert not Delivery.objects.exclude(lease_until=None).exists()
    assert not Attempt.objects.exists()
