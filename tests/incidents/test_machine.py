"""Whatever happens in whatever order, the promises hold (reliability, R-T17). `make machine` tries many more."""

import os
from collections import defaultdict
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from incidents import workflow
from incidents.comms.models import Message
from incidents.lifecycle.models import Incident
from irportal.ledger.models import Entry
from irportal.outbox import engine
from irportal.outbox.models import LEASE, Announcement, Delivery, Progress
from irportal.refused import Refused
from statuspage.models import NoticeUpdate, Subscriber
from statuspage.subscriptions import leave, token_for

EXAMPLES, STEPS = int(os.environ.get("EXAMPLES", 12)), int(os.environ.get("STEPS", 25))
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
READERS = [f"reader{n}@reader.example" for n in range(4)]


class Machine(RuleBasedStateMachine):
    """One incident, readers who come and go, an engine, a relay and a clock, all given by the test."""

    clock, relay, declare, by = None, None, None, None

    def __init__(self) -> None:
        super().__init__()
        self.undo = transaction.atomic()
        self.undo.__enter__()
        type(self).clock.move_to("2026-03-02 14:30 +0000", tick=False)
        self.relay.taken.clear()
        self.relay.at_rcpt.clear()
        self.relay_works(True)
        self.incident = type(self).declare()
        self.subscribe(READERS[0])
        self.sent: set[int] = set()
        self.told: set[int] = set()

    def teardown(self) -> None:
        """Everything comes to rest: what was promised has left."""
        try:
            self.relay_works(True)
            self.relay.at_rcpt.clear()
            for wait in (LEASE + SECOND, *[36 * MINUTE] * 4, SECOND, SECOND):
                self.clock.shift(wait)
                self.tick()
            assert not Delivery.objects.waiting().exists()
            assert not Announcement.objects.filter(fanned_out_at=None).exists()
        finally:
            transaction.set_rollback(True)
            self.undo.__exit__(None, None, None)

    def relay_works(self, works: bool) -> None:
        self.relay.stop()
        if works:
            self.relay.start()

    @rule()
    def tick(self) -> None:
        engine.run_once()
        active = set(Subscriber.objects.active().values_list("email", flat=True)) | {"ops@bank.example"}
        for made in Announcement.objects.filter(audience="customers", fanned_out_at__isnull=False):
            if made.pk not in self.told:
                self.told.add(made.pk)
                assert set(made.deliveries.values_list("address", flat=True)) == active

    @rule(minutes=st.sampled_from([1, 2, 7, 15, 31, 61]))
    def time_passes(self, minutes: int) -> None:
        self.clock.shift(minutes * MINUTE)

    @rule(minutes=st.sampled_from([1, 1, 2, 6, 11]))
    def time_passes_and_the_engine_turns(self, minutes: int) -> None:
        self.clock.shift(minutes * MINUTE)
        self.tick()

    @rule(works=st.booleans())
    def relay_changes(self, works: bool) -> None:
        self.relay_works(works)

    @rule(newer=st.booleans())
    def mailboxes_are_full_when_word_comes(self, newer: bool) -> None:
        """With `newer` more word comes while the first still waits for its next try."""
        self.update(Incident.Status.INVESTIGATING, True)
        for reader in (*READERS, "ops@bank.example"):
            self.relay.at_rcpt[reader] = ["452 4.2.2 mailbox full"]
        self.tick()
        self.relay.at_rcpt.clear()
        if newer:
            self.clock.shift(20 * SECOND)
            self.update(Incident.Status.INVESTIGATING, True)
            self.tick()

    @rule(reader=st.sampled_from(READERS))
    def subscribe(self, reader: str) -> None:
        if not Subscriber.objects.filter(email=reader, left_at=None).exists():
            Subscriber.objects.create(email=reader, confirmed_at=timezone.now())

    @rule(reader=st.sampled_from(READERS))
    def unsubscribe(self, reader: str) -> None:
        for subscriber in Subscriber.objects.filter(email=reader, left_at=None):
            assert leave(token_for(subscriber))
            assert not Delivery.objects.waiting().filter(reader=f"subscriber:{subscriber.pk}").exists()

    @rule(status=st.sampled_from(Incident.Status.values), words=st.booleans())
    def update(self, status: str, words: bool) -> None:
        self.deed(
            lambda incident: workflow.update(
                incident,
                workflow.Update(
                    status=status,
                    at=timezone.now(),
                    reason="It is so.",
                    customer_text=f"As of {timezone.now():%H:%M:%S}." if words else "",
                    unapproved="Nobody is awake." if words else "",
                ),
                by=self.by,
                send=True,
            )
        )

    @rule(rank=st.integers(1, 4))
    def regrade(self, rank: int) -> None:
        self.deed(lambda incident: workflow.change_severity(incident, rank=rank, reason="It is so.", by=self.by))

    def deed(self, do) -> None:
        """What people do is recorded in the same transaction, or refused and leaves nothing."""
        before = Entry.objects.count()
        try:
            with transaction.atomic():
                do(Incident.objects.get(pk=self.incident.pk))
        except Refused:
            assert Entry.objects.count() == before
        else:
            assert Entry.objects.count() > before

    @precondition(lambda self: Delivery.objects.waiting().exists())
    @rule()
    def sender_dies(self) -> None:
        """It claims, begins its first message and is gone."""
        held = Delivery.objects.claim(timezone.now(), limit=3)
        if held:
            Delivery.objects.progress([Progress(timezone.now(), "dead", begin=held[0])])

    @invariant()
    def what_was_sent_stays_sent(self) -> None:
        now = set(Delivery.objects.filter(state="sent").values_list("pk", flat=True))
        assert self.sent <= now
        self.sent = now

    @invariant()
    def nobody_gets_a_message_twice_or_out_of_order(self) -> None:
        ids = dict(Delivery.objects.values_list("key", "pk"))
        by_start = {key[:16]: pk for key, pk in ids.items()}
        newest: dict[tuple[str, str], int] = defaultdict(int)
        for taken in self.relay.taken:
            mail = taken.message
            pk = by_start[mail["Message-ID"].partition("@")[0].rpartition(".")[2]]
            lane = (taken.recipients[0], mail["References"])
            assert pk > newest[lane]
            newest[lane] = pk

    @invariant()
    def what_is_resolved_owes_no_update(self) -> None:
        incident = Incident.objects.get(pk=self.incident.pk)
        if not incident.is_open:
            assert not incident.duties.open().filter(phase__in=["first", "update"], every__gt="").exists()

    @invariant()
    def nobody_is_owed_the_same_twice(self) -> None:
        owed = list(self.incident.duties.open().values_list("audience", "message_class"))
        assert len(owed) == len(set(owed))

    @invariant()
    def the_record_has_no_gap(self) -> None:
        numbers = list(Entry.objects.order_by("n").values_list("n", flat=True))
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))

    @invariant()
    def the_page_says_only_what_was_sent(self) -> None:
        said = set(Message.objects.filter(status="sent").exclude(audience="internal").values_list("text", flat=True))
        assert set(NoticeUpdate.objects.values_list("body", flat=True)) <= said


@pytest.mark.django_db
def test_the_promises_hold_whatever_happens_in_whatever_order(freezer, smtp_relay, declare, grace):
    Subscriber.objects.all().delete()
    Machine.clock, Machine.relay, Machine.declare, Machine.by = freezer, smtp_relay, staticmethod(declare), grace
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
