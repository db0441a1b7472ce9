"""Several people in one room, whatever they do in whatever order (R-T17): roles, gate, runbooks, evidence, state."""

import os
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from incidents import workflow
from incidents.evidence import actions as evidence
from incidents.evidence import store
from incidents.evidence.actions import Said
from incidents.evidence.models import CustodyLine, EvidenceItem
from incidents.lifecycle import actions as lifecycle
from incidents.lifecycle.models import Handover, Incident, Role
from incidents.lifecycle.recovery import actions as recovery
from incidents.runbooks import actions as runbooks
from incidents.runbooks.models import Runbook, RunStep
from irportal.ledger.models import Entry
from irportal.refused import Refused
from tests import people
from tests.incidents.runbooks.conftest import SMALL

EXAMPLES, STEPS = int(os.environ.get("EXAMPLES", 12)), int(os.environ.get("STEPS", 25))
MINUTE = timedelta(minutes=1)
WHO = st.integers(0, 2)
ROLES = [Role.INCIDENT_COMMANDER.value, Role.COMMS_LEAD.value, Role.SCRIBE.value]
TICKS = ["root_cause", "fix_verified", "data_reconciled", "resolution_sent", "timeline_complete", "customer_test"]


class Room(RuleBasedStateMachine):
    """One incident and three people; what each does is recorded with it, or refused and leaves nothing."""

    clock, declare, team, runbook = None, None, (), None

    def __init__(self) -> None:
        super().__init__()
        self.undo = transaction.atomic()
        self.undo.__enter__()
        type(self).clock.move_to("2026-03-02 14:30 +0000", tick=False)
        self.incident = type(self).declare()
        self.lines = self.items = 0

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.undo.__exit__(None, None, None)

    def deed(self, do) -> None:
        before = Entry.objects.count()
        try:
            with transaction.atomic():
                do(Incident.objects.get(pk=self.incident.pk))
        except Refused:
            assert Entry.objects.count() == before
        else:
            assert Entry.objects.count() > before

    @rule(minutes=st.sampled_from([1, 7, 31]))
    def time_passes(self, minutes: int) -> None:
        self.clock.shift(minutes * MINUTE)

    @rule(who=WHO, whom=WHO, role=st.sampled_from(ROLES), still_open=st.sampled_from(["", "The pool."]))
    def assign(self, who: int, whom: int, role: str, still_open: str) -> None:
        said = {"role": role, "person": self.team[whom], "still_open": still_open, "by": self.team[who]}
        self.deed(lambda i: workflow.assign(i, **said))

    @rule(who=WHO, to=WHO)
    def hand_over(self, who: int, to: int) -> None:
        mine = list(self.incident.roles.filter(ended_at=None, person=self.team[who]).values_list("pk", flat=True))
        said = {"to": self.team[to], "still_open": "The pool.", "by": self.team[who]}
        self.deed(lambda i: workflow.hand_over(i, terms=mine, **said))

    @rule(who=WHO)
    def take(self, who: int) -> None:
        if handover := Handover.objects.filter(incident=self.incident).last():
            self.deed(lambda i: workflow.take(handover, by=self.team[who]))

    @rule(who=WHO, status=st.sampled_from(Incident.Status.values), reason=st.sampled_from(["", "It is so."]))
    def update(self, who: int, status: str, reason: str) -> None:
        change = workflow.Update(status=status, at=timezone.now(), reason=reason, internal_text="As it stands.")
        self.deed(lambda i: workflow.update(i, change, by=self.team[who], send=True))

    @rule(who=WHO, key=st.sampled_from(TICKS), given=st.booleans())
    def tick(self, who: int, key: str, given: bool) -> None:
        note = "" if given else "Not yet"
        self.deed(lambda i: recovery.tick(i, key=key, given=given, note_text=note, by=self.team[who]))

    @rule(who=WHO)
    def tick_everything(self, who: int) -> None:
        for key in TICKS:
            self.tick(who, key, True)

    @rule(who=WHO, rate=st.sampled_from(["0.2", "4"]))
    def read(self, who: int, rate: str) -> None:
        numbers = {"error_rate": Decimal(rate), "latency": Decimal(180), "new_alerts": Decimal(0)}
        said = {"baseline": Decimal(200), "source": "Dashboard", "at": timezone.now(), "by": self.team[who]}
        self.deed(lambda i: recovery.read(i, numbers=numbers, **said))

    @rule(who=WHO)
    def start_runbook(self, who: int) -> None:
        self.deed(lambda i: runbooks.start(i, self.runbook, by=self.team[who]))

    @rule(who=WHO, which=st.integers(0, 5), state=st.sampled_from(["done", "skipped"]), note=st.sampled_from(["", "x"]))
    def settle(self, who: int, which: int, state: str, note: str) -> None:
        if step := self.step(which):
            self.deed(lambda i: runbooks.settle(step, state=state, note=note, by=self.team[who]))

    @rule(who=WHO, which=st.integers(0, 5))
    def undo_step(self, who: int, which: int) -> None:
        if step := self.step(which):
            self.deed(lambda i: runbooks.undo(step, by=self.team[who], note="Again"))

    def step(self, which: int) -> RunStep | None:
        steps = list(RunStep.objects.filter(run__incident=self.incident).order_by("pk"))
        return steps[which % len(steps)] if steps else None

    @rule(who=WHO, text=st.sampled_from(["14:30 BLOCK", "14:31 WARN"]), again=st.booleans())
    def keep(self, who: int, text: str, again: bool) -> None:
        newest = EvidenceItem.objects.filter(incident=self.incident).last() if again else None
        said = Said(title="Guard log", source="guard-7", captured_at=timezone.now(), personal=False)
        more = {"instead_of": newest, "reason": "Cut short"} if newest else {}
        self.deed(lambda i: evidence.receive(i, store.of_text(text), said, by=self.team[who], **more))

    @rule(who=WHO, lift=st.booleans())
    def hold(self, who: int, lift: bool) -> None:
        placed = self.incident.holds.last()
        if lift and placed:
            self.deed(lambda i: evidence.lift(placed, reason="Settled", by=self.team[who]))
        else:
            self.deed(lambda i: evidence.hold(i, reason="A claim", by=self.team[who]))

    @rule(who=WHO)
    def acknowledge(self, who: int) -> None:
        self.deed(lambda i: lifecycle.acknowledge(i, by=self.team[who]))

    @invariant()
    def a_role_has_one_holder_at_a_time_and_the_commander_is_somebody(self) -> None:
        for role in ROLES:
            terms = list(self.incident.roles.filter(role=role).order_by("started_at", "pk"))
            for one, after in pairwise(terms):
                assert one.ended_at is not None
                assert one.ended_at <= after.started_at
        assert self.incident.roles.filter(role=Role.INCIDENT_COMMANDER, ended_at=None).count() == 1

    @invariant()
    def what_is_resolved_lacked_nothing_or_says_why(self) -> None:
        incident = Incident.objects.get(pk=self.incident.pk)
        if not incident.is_open:
            assert bool(incident.gate_missing) <= bool(incident.gate_override_reason)
            assert incident.resolved_at is not None

    @invariant()
    def a_step_is_as_its_last_change_says(self) -> None:
        for step in RunStep.objects.filter(run__incident=self.incident).prefetch_related("changes"):
            changes = sorted(step.changes.all(), key=lambda change: change.pk)
            assert step.state == (changes[-1].now if changes else RunStep.State.OPEN)

    @invariant()
    def nothing_of_the_record_or_the_evidence_is_lost(self) -> None:
        lines, items = self.incident.timeline.count(), EvidenceItem.objects.filter(incident=self.incident).count()
        assert lines >= self.lines
        assert items >= self.items
        self.lines, self.items = lines, items
        received = CustodyLine.objects.filter(incident=self.incident, deed="received").count()
        assert received == items

    @invariant()
    def the_ledger_has_no_gap(self) -> None:
        numbers = list(Entry.objects.order_by("n").values_list("n", flat=True))
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


@pytest.mark.django_db
def test_the_record_holds_whatever_people_do_in_whatever_order(freezer, declare, grace, lin, roles):
    Room.clock, Room.declare = freezer, staticmethod(declare)
    Room.team = (grace, lin, people.person("Tomas", "commander"))
    runbooks.write(SMALL, note="First", by=grace)
    Room.runbook = Runbook.objects.get()
    run_state_machine_as_test(
        Room,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
