"""Posts go out many at once: a far end that says nothing keeps its own place waiting and nobody else (W-T4)."""

import itertools
import socket
import threading
import time
from collections import Counter, deque
from datetime import timedelta
from threading import Barrier, Event, Lock, Thread

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from irportal.outbox import engine, fan_out, posting, sending
from irportal.outbox.channels import guard
from irportal.outbox.models import EACH, FAILING_HOST, HOST, LAST, LEASE, Attempt, Delivery
from irportal.outbox.posting import Posts
from irportal.outbox.talks import side_by_side
from tests.factories import announcement, endpoint

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)
LONG = 10  # seconds; no test waits as long


@pytest.fixture
def names(monkeypatch):
    """Every name leads to this machine, so that endpoints can be on hosts of their own."""
    look_up = socket.getaddrinfo
    local = lambda host, *asked, **given: look_up("127.0.0.1", *asked, **given)  # noqa: E731
    monkeypatch.setattr(socket, "getaddrinfo", local)


@pytest.fixture
def in_turn(monkeypatch):
    """Has `deed(number)` called when a turn of the engine begins, the first with 1."""

    def register(deed):
        numbers = itertools.count(1)
        monkeypatch.setattr(engine, "_turns", [lambda now: deed(next(numbers))])

    return register


@pytest.fixture
def hung(receiver):
    """Lets paths say nothing until `hung.release` is set; counts how many posts are there at the same time."""

    class Hung:
        release, changed, lock = Event(), Event(), Lock()
        there: Counter = Counter()
        most: Counter = Counter()

        def on(self, *paths, times=99):
            for path in paths:
                receiver.answers[path] = [self.hang] * times

        def hang(self, handler):
            host, path = handler.headers["Host"].partition(":")[0], handler.path
            with self.lock:
                self.there.update([host, path])
                self.most |= self.there
                self.changed.set()
            self.release.wait(LONG)
            with self.lock:
                self.there.subtract([host, path])
            answered(handler)

        def arrived(self, count):
            """Whether so many posts have come."""
            until = time.monotonic() + LONG
            while sum(self.there[path] for path in self.there if path.startswith("/")) < count:
                self.changed.wait(0.05)
                self.changed.clear()
                if time.monotonic() > until:
                    return False
            return True

    Hung.there, Hung.most, Hung.release = Counter(), Counter(), Event()
    found = Hung()
    yield found
    found.release.set()


def answered(handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def at(receiver, host: str, path: str = "/hook", **given):
    return endpoint(f"http://{host}:{receiver.port}{path}", **given)


def tell(**given):
    """Something webhooks are told, as deliveries; nobody gets a mail of it."""
    found = announcement(audience="addresses", facts={"addresses": []}, **({"payload": "{}"} | given))
    fan_out.fan_out_pending(timezone.now())
    return found


def states() -> Counter:
    return Counter(Delivery.objects.filter(channel="webhook").values_list("state", flat=True))


def test_everybody_else_is_told_while_some_say_nothing_drip_or_never_end(receiver, hung, names, in_turn):
    def drip(handler):
        answered_slowly = b"HTTP/1.0 200 OK\r\n\r\n"
        for byte in itertools.chain(answered_slowly, itertools.repeat(ord(" "))):
            handler.wfile.write(bytes([byte]))
            if hung.release.wait(0.02):
                return

    def huge(handler):
        handler.send_response(200)
        handler.end_headers()
        while not hung.release.is_set():
            handler.wfile.write(b"x" * guard.READ_BYTES)

    hung.on("/silent")
    receiver.answers |= {"/drip": [drip], "/huge": [huge]}
    for path in ("/silent", "/drip", "/huge"):
        at(receiver, f"{path[1:]}.example", path)
    for n in range(20):
        at(receiver, f"healthy{n}.example", f"/{n}")
    tell()
    seen = []

    def look(turn):
        if turn > 1 and not hung.release.is_set():
            seen.append(states())
            if seen[-1]["sent"] == 21 or turn > LONG:
                hung.release.set()

    in_turn(look)
    engine.run_once()
    assert seen[-1] == {"sent": 21, "pending": 2}  # the huge one has said 200; what follows is not read
    assert states() == {"sent": 23}


def test_mail_and_its_fan_out_do_not_wait_for_a_post_that_hangs(receiver, hung, in_turn, smtp_relay):
    hung.on("/hook")
    at(receiver, "127.0.0.1")
    tell()
    taken = []

    def look(turn):
        if turn == 2:
            announcement("ann@reader.example", thread="INC-43")
        if turn > 2 and not hung.release.is_set():
            taken.append((len(smtp_relay.taken), states()["pending"]))
            hung.release.set()

    in_turn(look)
    engine.run_once()
    assert taken == [(1, 1)]
    assert states() == {"sent": 1}


def test_posts_do_not_wait_for_the_end_of_a_long_queue_of_mail(receiver, smtp_relay):
    at(receiver, "127.0.0.1")
    tell()
    announcement(*[f"reader{n}@reader.example" for n in range(40)], thread="INC-43")
    fan_out.fan_out_pending(timezone.now())
    posted_after = []

    def look(count):
        if receiver.posted and not posted_after:
            posted_after.append(count)

    smtp_relay.before_answer = lambda count: (time.sleep(0.01), look(count))
    engine.run_once()
    assert len(smtp_relay.taken) == 40
    assert posted_after[0] < 40


def test_who_is_slow_has_two_posts_at_a_time_and_no_more(receiver, hung):
    hung.on("/hook")
    at(receiver, "127.0.0.1")
    for n in range(6):
        tell(thread=f"INC-{n}")
    with Posts() as posts:
        posts.wait(4 * posting.CLAIM_SECONDS)
        out = len(posts.out)
        hung.release.set()
        posts.wait(LONG)

    assert (out, hung.most["/hook"]) == (EACH, EACH)
    assert states() == {"sent": 6}


def test_one_host_has_five_posts_at_a_time_however_many_endpoints_are_there(receiver, hung):
    for n in range(12):
        hung.on(f"/{n}")
        at(receiver, "127.0.0.1", f"/{n}")
    tell()
    with Posts() as posts:
        posts.wait(2 * posting.CLAIM_SECONDS)
        hung.release.set()
        posts.wait(LONG)

    assert hung.most["127.0.0.1"] == HOST
    assert states() == {"sent": 12}


@pytest.mark.django_db(transaction=True)
def test_two_engines_together_keep_to_the_same_limits(receiver, hung, names):
    """Whoever counts what is out counts what the other has."""
    for n in range(8):
        hung.on(f"/{n}")
        at(receiver, "one.example", f"/{n}")
    for path in ("/a", "/b"):
        hung.on(path)
        at(receiver, f"{path[1:]}.example", path)
    for n in range(4):
        tell(thread=f"INC-{n}")
    begin = Barrier(3)

    def hand():
        try:
            with Posts() as posts:
                begin.wait()
                posts.wait(1000)
        finally:
            connection.close()

    hands = [Thread(target=hand) for _ in range(3)]
    for one in hands:
        one.start()
    came = hung.arrived(HOST + 2 * EACH)
    leased = Delivery.objects.exclude(lease_until=None).count()
    hung.release.set()
    for one in hands:
        one.join()

    paths = [count for name, count in hung.most.items() if name.startswith("/")]
    assert came
    assert leased == HOST + 2 * EACH
    assert hung.most["one.example"] == HOST
    assert max(paths) == EACH
    assert states() == {"sent": 40}
    assert Attempt.objects.count() == 40


@pytest.mark.django_db(transaction=True)
def test_many_hands_claiming_at_the_same_moment_never_exceed_a_limit(receiver):
    for n in range(10):
        endpoint(receiver.url(f"/{n}"))
    for n in range(5):
        tell(thread=f"INC-{n}")
    begin, taken = Barrier(6), []

    def hand():
        try:
            begin.wait()
            for _ in range(4):
                taken.extend(Delivery.objects.claim_posts(timezone.now(), limit=20))
        finally:
            connection.close()

    hands = [Thread(target=hand) for _ in range(6)]
    for one in hands:
        one.start()
    for one in hands:
        one.join()
    assert len(taken) == len({row.pk for row in taken}) == HOST
    assert max(Counter(row.reader for row in taken).values()) <= EACH


@pytest.mark.django_db(transaction=True)
def test_a_claim_waits_for_the_one_before_it_or_both_would_count_the_same(receiver):
    for n in range(HOST):
        endpoint(receiver.url(f"/{n}"))
    tell()
    urgent = endpoint(receiver.url("/urgent"))
    tell(thread="INC-43", priority=1)
    now = timezone.now()
    Delivery.objects.filter(reader=urgent.reader).update(due_at=now + timedelta(seconds=5))
    Delivery.objects.filter(announcement__thread="INC-43").exclude(reader=urgent.reader).delete()
    taken = []

    def second():
        try:
            taken.extend(Delivery.objects.claim_posts(now + timedelta(seconds=10), limit=9))
        finally:
            connection.close()

    other = Thread(target=second)
    with transaction.atomic():
        assert len(Delivery.objects.claim_posts(now, limit=9)) == HOST
        other.start()
        other.join(0.5)
        assert other.is_alive()
    other.join()
    assert taken == []


def test_a_dead_worker_holds_its_places_for_a_lease_and_no_longer(freezer, receiver):
    endpoint(receiver.url())
    for n in range(4):
        tell(thread=f"INC-{n}")
    claim = lambda: Delivery.objects.claim_posts(timezone.now(), limit=9)  # noqa: E731
    assert [len(claim()) for _ in range(3)] == [1, 1, 0]

    freezer.shift(LEASE + timedelta(seconds=1))
    assert [len(claim()) for _ in range(3)] == [1, 1, 0]


def test_endpoints_that_fail_share_few_places_and_leave_the_rest_to_the_others(freezer, receiver, hung, names):
    for n in range(posting.PLACES + 4):
        path = f"/dead{n}"
        hung.on(path)
        at(receiver, f"dead{n}.example", path, failing_since=timezone.now())
    for n in range(5):
        at(receiver, f"healthy{n}.example", f"/healthy{n}")
    tell()
    with Posts() as posts:
        posts.pump()
        failing = [out for out in posts.out.values() if out.delivery.priority == LAST]
        assert len(failing) == posting.FAILING_PLACES
        assert len(posts.out) == posting.FAILING_PLACES + 5
        hung.release.set()
        posts.wait(LONG)


def test_endpoints_that_fail_leave_room_to_the_others_of_their_host(receiver, hung):
    for n in range(4):
        hung.on(f"/dead{n}")
        at(receiver, "127.0.0.1", f"/dead{n}", failing_since=timezone.now())
    tell(thread="INC-1")
    with Posts() as posts:
        posts.pump()
        assert len(posts.out) == FAILING_HOST
        for n in range(4):
            at(receiver, "127.0.0.1", f"/healthy{n}")
        tell(thread="INC-2")
        posts.wait(0.3)
        assert sum(out.delivery.priority != LAST for out in posts.out.values()) <= HOST - FAILING_HOST
        assert sum(path.startswith("/healthy") for path in receiver.paths()) == 4
        hung.release.set()
        posts.wait(LONG)


def test_word_of_one_incident_waits_for_the_word_before_it(receiver, hung):
    hung.on("/hook", times=1)
    at(receiver, "127.0.0.1")
    tell(payload='{"n": 0}')
    tell(payload='{"n": 1}')
    with Posts() as posts:
        posts.wait(2 * posting.CLAIM_SECONDS)
        assert len(receiver.posted) == 1
        hung.release.set()
        posts.wait(LONG)
    assert [posted.body for posted in receiver.posted] == [b'{"n": 0}', b'{"n": 1}']


def test_no_post_begins_when_the_turn_is_nearly_over_or_the_engine_is_to_end(receiver):
    endpoint(receiver.url())
    tell()
    for given in ({"seconds": guard.TOTAL_SECONDS - 1}, {"going": lambda: False}):
        with Posts(**given) as posts:
            posts.wait(0.1)
    assert receiver.posted == []


def test_what_dead_workers_had_begun_is_posted_one_at_a_time(freezer, receiver, hung, names):
    """So that the one they died of is alone when it kills again, and no other is taken for it."""
    for n in range(4):
        hung.on(f"/{n}")
        at(receiver, f"host{n}.example", f"/{n}")
    tell()
    for row in Delivery.objects.claim_posts(timezone.now(), limit=9):
        side_by_side([sending.begin(row, sending.Claim(deque(), 0.0), None)], sending.take_steps)
    freezer.shift(LEASE + timedelta(seconds=1))
    at(receiver, "fresh.example", "/fresh")
    tell(thread="INC-43")
    hung.on("/fresh")
    with Posts() as posts:
        posts.pump()
        assert [out.suspect for out in posts.out.values()].count(True) == 1
        assert "fresh.example" in {out.endpoint.host for out in posts.out.values()}
        hung.release.set()
        posts.wait(LONG)
    assert states()["sent"] == 9


@pytest.mark.django_db(transaction=True)
def test_a_database_that_does_not_answer_for_a_moment_is_told_later(receiver, monkeypatch):
    monkeypatch.setattr(posting, "PAUSE_SECONDS", 0.01)
    receiver.answers["/hook"] = [lambda handler: handler.send_error(500)]
    endpoint(receiver.url())
    tell()
    broken = []

    def away(execute, sql, params, many, context):
        if sql.startswith("UPDATE") and "failing_since" in sql and len(broken) < 3:
            broken.append(sql)
            raise OperationalError("the server closed the connection")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(away), Posts() as posts:
        posts.wait(LONG)
    assert len(broken) == 3
    assert [attempt.code for attempt in Attempt.objects.all()] == [500]
    assert len(receiver.posted) == 1


def test_threads_speak_to_far_ends_and_never_to_the_database(receiver, monkeypatch):
    """A connection of their own would not see what the caller has not committed, and SQLite has one writer."""
    asked = []
    post = guard.post

    def watched(*given, **named):
        asked.append(threading.current_thread().name)
        return post(*given, **named)

    monkeypatch.setattr(guard, "post", watched)
    endpoint(receiver.url())
    endpoint(receiver.url("/room"), kind="chat")
    tell(chat="{}")
    engine.run_once()

    assert len(asked) == 2
    assert all(name.startswith("post") for name in asked)
    assert set(Delivery.objects.values_list("state", flat=True)) == {"sent"}
