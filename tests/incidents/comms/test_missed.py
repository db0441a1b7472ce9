"""Deadlines that pass while nobody works: each is missed once, and staff hear of it within a minute of the first hand
that is back (reliability, R-T12). `make promises` kills real processes."""

from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from incidents.comms.models import CommsDuty
from irportal.ledger.models import Entry
from irportal.outbox import tasks
from irportal.outbox.models import Delivery

pytestmark = pytest.mark.django_db(transaction=True)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
CLASSES = ["status_update", "status_page", "internal_update", "regulator_decision"]


@pytest.fixture
def deadlines(declare, freezer) -> list[CommsDuty]:
    """Twelve promises of three incidents, the first due in a minute, then one a minute; nothing else is owed."""
    incidents = [declare(title=f"Outage {n}") for n in range(3)]
    CommsDuty.objects.exclude(message_class__in=CLASSES).delete()
    found = [duty for incident in incidents for duty in incident.duties.open().order_by("pk")]
    for n, duty in enumerate(found, 1):
        duty.due_at = duty.remind_at = timezone.now() + n * MINUTE
        duty.save(update_fields=["due_at", "remind_at"])
    assert len(found) == 12
    return found


def missed(deadlines) -> list[str]:
    """What the record says of these twelve: each time that staff were told of one of them."""
    lines = [entry.line for entry in Entry.objects.filter(deed="duty.escalated")]
    named = {(d.incident.ref, f'"{d.audience} {d.message_class} {d.seq}"'): d.pk for d in deadlines}
    return [pk for (ref, name), pk in named.items() for line in lines if name in line and f'"{ref}"' in line]


def alarmed(since) -> timedelta:
    """How long after `since` the last mail about a broken promise was accepted by the relay."""
    mails = Delivery.objects.filter(announcement__topic="escalation", announcement__made_at__gte=since)
    assert set(mails.values_list("state", flat=True)) == {"sent"}
    return max(mails.values_list("accepted_at", flat=True)) - since


def healthz(client) -> tuple[int, list[str]]:
    answer = client.get("/healthz")
    return answer.status_code, answer.json()["reasons"]


def let_all_pass(freezer, client, reason: str) -> None:
    """Fifteen minutes in which nobody works; after thirty seconds the monitor is told."""
    freezer.shift(31 * SECOND)
    status, reasons = healthz(client)
    assert status == 503
    assert reason in reasons
    freezer.shift(15 * MINUTE)


def worker(ticks: int, freezer) -> None:
    for _ in range(ticks):
        tasks.tick()
        freezer.shift(2 * SECOND)


@pytest.mark.parametrize("hand", ["engine", "worker"])
def test_deadlines_that_pass_while_all_hands_are_dead_are_missed_once_and_told_of_within_a_minute(
    hand, deadlines, run_engine, freezer, client, smtp_relay
):
    """Engines dead; and beat or Redis dead without an engine beside them, which leaves the workers idle."""
    run_engine(2)
    let_all_pass(freezer, client, "the engine is silent")
    back = timezone.now()
    run_engine(2) if hand == "engine" else worker(2, freezer)

    assert sorted(missed(deadlines)) == [duty.pk for duty in deadlines]
    assert alarmed(back) <= MINUTE
    assert healthz(client) == (200, [])

    for _ in range(5):
        freezer.shift(MINUTE)
        run_engine(1)
        worker(1, freezer)
    assert len(missed(deadlines)) == 12


def test_with_an_engine_beside_a_dead_broker_no_deadline_waits_for_it(deadlines, run_engine, freezer, smtp_relay):
    """Redis or beat dead: `manage.py engine` needs neither. Where the policy has words ready they leave in time."""
    CommsDuty.objects.update(holding=False)
    for _ in range(26):
        run_engine(1)
        freezer.shift(29 * SECOND)

    assert sorted(missed(deadlines)) == [duty.pk for duty in deadlines]
    for duty in CommsDuty.objects.filter(pk__in=[duty.pk for duty in deadlines]):
        assert duty.escalated_at - duty.due_at <= MINUTE


def test_deadlines_that_pass_while_the_database_is_gone_are_missed_once_and_told_of_within_a_minute(
    deadlines, run_engine, freezer, client, smtp_relay
):
    def gone(execute, sql, params, many, context):
        raise OperationalError("connection refused")

    run_engine(2)
    with connection.execute_wrapper(gone):
        run_engine(2)
        let_all_pass(freezer, client, "the database does not answer")
        run_engine(2)
    back = timezone.now()
    run_engine(2)

    assert sorted(missed(deadlines)) == [duty.pk for duty in deadlines]
    assert alarmed(back) <= MINUTE
    assert healthz(client) == (200, [])
