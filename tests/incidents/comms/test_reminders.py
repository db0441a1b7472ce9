"""Before a promise is due its owner hears of it: once, one mail an incident, never of what was met."""

from datetime import timedelta

import pytest
from django.utils import timezone

from incidents import workflow
from incidents.comms import duties, reminders
from incidents.comms.models import CommsDuty
from irportal.ledger.models import Entry
from irportal.outbox import audiences, engine
from irportal.outbox.models import Announcement

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


def reminded() -> list[Announcement]:
    return list(Announcement.objects.filter(topic="reminder").order_by("pk"))


def turn(freezer, minutes=0.0):
    freezer.shift(timedelta(minutes=minutes))
    reminders.run_due(timezone.now())


@pytest.fixture
def customer(declare, update, freezer):
    """An incident whose one open promise is a customer update at 15:00."""
    incident = declare()
    update(incident, customer_text="We look.")
    incident.duties.open().exclude(message_class="status_update").delete()
    return incident.duties.open().get()


@pytest.mark.parametrize(("minutes", "count"), [(19.9, 0), (20, 1), (29.9, 1)])
def test_the_owner_of_a_half_hourly_update_hears_ten_minutes_before(customer, freezer, minutes, count):
    turn(freezer, minutes)
    assert len(reminded()) == count


def test_the_reminder_goes_to_the_owner_and_names_promise_time_and_owner(customer, freezer, smtp_relay):
    freezer.shift(20 * MINUTE)
    engine.run_once()
    [mail] = [taken for taken in smtp_relay.taken if "Due by" in taken.message["Subject"]]
    assert mail.recipients == ["lin@example.com"]
    assert mail.message["Subject"] == "[INC-1] Due by 15:00 UTC, customer update: Agent API unavailable"
    assert "Customer update by 15:00 UTC, 2 March 2026: Lin, comms lead" in mail.message.get_body(
        ("plain",)
    ).get_content().replace("\n", " ")


def test_nobody_is_reminded_twice_however_many_hands_there_are(customer, freezer):
    freezer.shift(20 * MINUTE)
    for _ in range(5):
        turn(freezer, 1)
    assert len(reminded()) == Entry.objects.filter(deed="duty.reminded").count() == 1


def test_what_was_met_is_not_reminded_of(customer, update, freezer):
    update(customer.incident, customer_text="Found it.")
    turn(freezer, 21)
    assert len(reminded()) == 1  # of the next one alone
    assert "15:00" in reminded()[0].subject
    assert CommsDuty.objects.get(pk=customer.pk).reminded_at is None


def test_what_is_overdue_is_escalated_and_not_reminded_of(customer, freezer):
    turn(freezer, 31)
    assert reminded() == []


def test_all_that_falls_due_together_is_one_mail(declare, freezer):
    declare()
    turn(freezer, 10)
    [mail] = reminded()
    assert "Status page update by 14:45" in mail.text
    assert "Internal update by 14:45" in mail.text
    to = {reader.address for reader in audiences.resolve(mail.audience, mail.facts)[0]}
    assert to == {"lin@example.com", "grace@example.com"}


def test_what_is_reminded_of_within_five_minutes_goes_in_the_same_mail(declare, freezer):
    incident = declare()
    incident.duties.filter(message_class="status_update").update(remind_at=timezone.now() + 14 * MINUTE)
    turn(freezer, 10)
    turn(freezer, 4)
    assert len(reminded()) == 1
    assert "Customer update" in reminded()[0].text


def test_two_incidents_are_two_mails(declare, freezer):
    declare()
    declare(title="Another")
    turn(freezer, 10)
    assert len(reminded()) == 2


def test_a_promise_that_moved_is_reminded_of_before_its_new_time(declare, grace, freezer):
    incident = declare(rank=2)
    freezer.shift(10 * MINUTE)
    workflow.change_severity(incident, rank=1, reason="All of it", by=grace)
    moved = incident.duties.open().get(message_class="status_update")
    assert moved.due_at - moved.remind_at == 10 * MINUTE


@pytest.mark.parametrize(
    ("message_class", "before"),
    [("regulator_decision", 80), ("incident_notice", 240), ("status_page", 5), ("status_update", 10)],
)
def test_a_formal_notice_is_reminded_of_hours_before(declare, message_class, before):
    duty = declare().duties.get(message_class=message_class)
    assert duty.due_at - duty.remind_at == before * MINUTE


def test_a_draft_that_waits_is_said(customer, update, lee, freezer):
    update(customer.incident, customer_text="Found it.", by=lee, send=False)
    turn(freezer, 20)
    assert "A draft waits for approval" in reminded()[0].text


def test_a_reminder_leaves_its_entry(customer, freezer):
    turn(freezer, 20)
    assert "customers status_update 2" in Entry.objects.get(deed="duty.reminded").line


def test_a_waived_promise_is_not_reminded_of(customer, lin, freezer):
    duties.waive(customer, reason="Agreed by phone", by=lin)
    turn(freezer, 20)
    assert reminded() == []
