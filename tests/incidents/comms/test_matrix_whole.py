"""The whole default matrix (requirements 1.9), row by row, as duties of a declared incident with their due times."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from incidents import workflow
from incidents.comms import duties, holding
from incidents.comms.models import CommsDuty
from incidents.lifecycle.models import Role
from incidents.policy.models import ApprovalRule, EscalationRule, NotifyRule
from statuspage.models import Component

pytestmark = pytest.mark.django_db
M = timedelta(minutes=1)
PAGE, CUSTOMERS, INSIDE = "status_page", "status_update", "internal_update"
NOTICE, BREACH, DECISION, SUMMARY = "incident_notice", "breach_notice", "regulator_decision", "internal_summary"
DAY = 24 * 60

# rank, what is known, minutes from declaration to each first due time
DECLARED = [
    # covers R003-21
    (1, {}, {PAGE: 15, CUSTOMERS: 30, INSIDE: 15, NOTICE: DAY, DECISION: 240}),
    (1, {"affected": False}, {PAGE: 15, CUSTOMERS: 30, INSIDE: 15, NOTICE: DAY, DECISION: 240}),
    # covers C-15
    (1, {"data": True}, {PAGE: 15, CUSTOMERS: 30, INSIDE: 15, NOTICE: DAY, BREACH: 3 * DAY, DECISION: 240}),
    (1, {"ai": True}, {PAGE: 15, CUSTOMERS: 30, INSIDE: 15, NOTICE: DAY, DECISION: 240}),
    # covers R003-22
    (2, {}, {PAGE: 30, CUSTOMERS: 60, INSIDE: 60, NOTICE: 3 * DAY, DECISION: DAY}),
    (2, {"degraded": True}, {CUSTOMERS: 60, INSIDE: 60, NOTICE: 3 * DAY, DECISION: DAY}),
    (2, {"affected": False}, {INSIDE: 60, DECISION: DAY}),
    (2, {"data": True}, {PAGE: 30, CUSTOMERS: 60, INSIDE: 60, NOTICE: 3 * DAY, BREACH: 3 * DAY, DECISION: 240}),
    (2, {"ai": True}, {PAGE: 30, CUSTOMERS: 60, INSIDE: 60, NOTICE: 3 * DAY, DECISION: 240}),
    (2, {"data": True, "affected": False}, {INSIDE: 60, DECISION: 240}),
    (3, {}, {}),
    (3, {"data": True}, {DECISION: DAY}),  # covers C-14
    (3, {"affected": False}, {}),
    (4, {}, {}),  # covers R003-24
    (4, {"data": True}, {DECISION: DAY}),  # covers C-14
]
# rank, message class, minutes from one message to the next
CADENCES = [
    (1, PAGE, 30),
    (1, CUSTOMERS, 30),  # covers R000-20, R001-39, C-05
    (1, INSIDE, 15),  # covers R001-37, R003-21, C-05
    (2, PAGE, 60),
    (2, CUSTOMERS, 60),  # covers R000-20, C-05
    (2, INSIDE, 60),  # covers C-05
]
# rank, what is owed on resolving in silence, minutes from then (None: end of the next business day)
CLOSINGS = [
    (1, {CUSTOMERS: 30}),
    (2, {CUSTOMERS: 60}),
    (3, {SUMMARY: None}),  # covers R003-23
    (4, {}),
]


@pytest.fixture
def declared(declare, organisation, freezer):
    """Declare at this rank with these facts."""

    def make(rank: int, *, affected=True, degraded=False, data=False, ai=False):
        state = Component.State.DEGRADED_PERFORMANCE if degraded else Component.State.MAJOR_OUTAGE
        return declare(
            rank=rank,
            components=[(organisation["api"], state)] if affected else [],
            personal_data="yes" if data else "no",
            ai_involved="yes" if ai else "no",
        )

    return make


@pytest.mark.parametrize(("rank", "known", "wanted"), DECLARED)
def test_declaring_owes_the_first_message_to_each_audience_by_its_time(declared, rank, known, wanted):
    incident = declared(rank, **known)
    owed = incident.duties.open().values_list("message_class", "due_at")
    assert {name: (due_at - incident.declared_at) / M for name, due_at in owed} == wanted


@pytest.mark.parametrize(("rank", "message_class", "minutes"), CADENCES)
def test_a_message_sets_the_next_tick(declared, update, freezer, rank, message_class, minutes):
    incident = declared(rank)
    freezer.shift(5 * M)
    update(incident, customer_text="We look.", internal_text="We look.")
    duty = incident.duties.open().get(message_class=message_class)
    assert duty.due_at == timezone.now() + minutes * M


@pytest.mark.parametrize(("rank", "wanted"), CLOSINGS)
def test_resolving_owes_the_closing_message(declared, update, freezer, rank, wanted):
    incident = declared(rank)
    update(incident, status="resolved", reason="Stable")
    closing = incident.duties.open().filter(phase="closing").values_list("message_class", "due_at")
    business_day = datetime(2026, 3, 3, 18, 0, tzinfo=UTC)
    at = {name: timezone.now() + minutes * M if minutes else business_day for name, minutes in wanted.items()}
    assert dict(closing) == at


# covers R003-23
def test_medium_customers_who_were_told_at_the_start_are_told_the_end(declared, update, freezer):
    """Optional, if affected, at the start and at the end: telling nobody is allowed, half a story is not."""
    incident = declared(3)
    update(incident, customer_text="One route is slow.", reason="Some customers ask.")
    update(incident, status="resolved", reason="Stable")
    assert incident.duties.open().filter(phase="closing", audience="public").exists()


def test_opening_again_owes_every_first_message_anew(declared, update, freezer):
    incident = declared(1)
    update(incident, status="resolved", reason="Stable")
    freezer.shift(60 * M)
    update(incident, status="investigating", reason="It is back")
    owed = incident.duties.open().filter(phase="first").values_list("message_class", "due_at")
    assert {name: (due_at - timezone.now()) / M for name, due_at in owed} == {PAGE: 15, CUSTOMERS: 30, INSIDE: 15}


UPGRADES = [(2, 1), (3, 1), (3, 2), (4, 1)]


@pytest.mark.parametrize(("was", "now"), UPGRADES)
def test_an_upgrade_owes_what_the_new_rank_asks_by_the_change_at_the_latest(declared, grace, freezer, was, now):
    incident = declared(was)
    freezer.shift(10 * M)
    workflow.change_severity(incident, rank=now, reason="Worse", by=grace)
    [(_, _, wanted)] = [row for row in DECLARED if row[:2] == (now, {})]
    owed = dict(incident.duties.open().values_list("message_class", "due_at"))
    assert set(owed) == set(wanted)
    assert all(owed[name] <= timezone.now() + minutes * M for name, minutes in wanted.items())


@pytest.mark.parametrize(("was", "now"), [(now, was) for was, now in UPGRADES])
def test_a_downgrade_owes_no_more_than_the_new_rank_asks(declared, grace, freezer, was, now):
    incident = declared(was)
    freezer.shift(10 * M)
    workflow.change_severity(incident, rank=now, reason="Less bad", by=grace)
    [(_, _, wanted)] = [row for row in DECLARED if row[:2] == (now, {})]
    assert set(incident.duties.open().values_list("message_class", flat=True)) == set(wanted)
    assert set(incident.duties.exclude(outcome="open").values_list("outcome", flat=True)) <= {"waived"}


# Quiet daily updates


@pytest.mark.parametrize(("zone", "hour"), [("UTC", 17), ("Europe/Paris", 16), ("America/New_York", 22)])
def test_once_contained_internal_updates_are_due_at_five_where_the_organisation_is(
    declared, update, grace, freezer, settings, zone, hour
):
    settings.ORGANISATION_TIME_ZONE = zone
    incident = declared(2)
    update(incident, internal_text="Pool at its limit.")
    workflow.add_note(incident, text="Stopped.", at=timezone.now(), by=grace, marker="contained")
    duty = incident.duties.open().get(message_class=INSIDE)
    assert (duty.due_at, duty.amount) == (datetime(2026, 3, 2, hour, tzinfo=UTC), "daily 17:00 after the change")


# covers R003-22, C-05
def test_a_week_of_quiet_is_one_internal_update_a_day(declared, update, grace, freezer):
    incident = declared(2)
    workflow.add_note(incident, text="Stopped.", at=timezone.now(), by=grace, marker="contained")
    update(incident, internal_text="Contained.")
    for day in range(2, 9):
        duty = incident.duties.open().get(message_class=INSIDE)
        assert duty.due_at == datetime(2026, 3, day, 17, tzinfo=UTC)
        freezer.move_to(duty.due_at)
        update(incident, internal_text="Nothing new.")


@pytest.mark.parametrize(
    ("zone", "start"),
    [
        ("Europe/Paris", "2026-03-27 12:00"),
        ("Europe/Paris", "2026-10-23 12:00"),
        ("America/New_York", "2026-03-06 12:00"),
        ("America/New_York", "2026-10-30 12:00"),
        ("Australia/Lord_Howe", "2026-04-03 02:00"),
        ("Australia/Lord_Howe", "2026-10-02 02:00"),
        ("Asia/Kolkata", "2026-03-27 06:00"),
    ],
)
def test_quiet_days_over_a_change_of_clocks_are_one_update_each_at_five(
    declared, update, grace, freezer, settings, zone, start
):
    settings.ORGANISATION_TIME_ZONE = zone
    freezer.move_to(datetime.strptime(start, "%Y-%m-%d %H:%M").replace(tzinfo=UTC))
    incident = declared(2)
    workflow.add_note(incident, text="Stopped.", at=timezone.now(), by=grace, marker="contained")
    update(incident, internal_text="Contained.")
    found = []
    for _ in range(5):
        duty = incident.duties.open().get(message_class=INSIDE)
        found.append(duty.due_at.astimezone(ZoneInfo(zone)))
        freezer.move_to(duty.due_at)
        update(incident, internal_text="Nothing new.")
    assert {f"{at:%H:%M}" for at in found} == {"17:00"}
    assert [(at.date() - found[0].date()).days for at in found] == [0, 1, 2, 3, 4]


def test_a_critical_one_stays_at_every_quarter_of_an_hour_though_contained(declared, update, grace, freezer):
    incident = declared(1)
    workflow.add_note(incident, text="Stopped.", at=timezone.now(), by=grace, marker="contained")
    update(incident, internal_text="Contained.")
    assert incident.duties.open().get(message_class=INSIDE).due_at == timezone.now() + 15 * M


def test_what_was_overdue_when_it_was_contained_stays_overdue(declared, update, grace, freezer):
    incident = declared(2)
    update(incident, internal_text="We look.")
    due_at = incident.duties.open().get(message_class=INSIDE).due_at
    freezer.shift(61 * M)
    workflow.add_note(incident, text="Stopped.", at=timezone.now(), by=grace, marker="contained")
    assert incident.duties.open().get(message_class=INSIDE).due_at == due_at


def test_going_back_from_monitoring_ends_the_quiet(declared, update, freezer):
    incident = declared(2)
    update(incident, internal_text="We look.")
    update(incident, status="monitoring")
    assert incident.duties.open().get(message_class=INSIDE).due_at.hour == 17
    update(incident, status="investigating", reason="It came back")
    assert incident.duties.open().get(message_class=INSIDE).due_at == timezone.now() + 60 * M


# Holding messages and their limit; waivers


@pytest.mark.parametrize("rank", [1, 2])
def test_two_holding_messages_in_a_row_and_no_more(declared, freezer, rank):
    incident = declared(rank)
    for _ in range(5):
        freezer.shift(60 * M)
        holding.run_due(timezone.now())
    assert (
        list(incident.duties.filter(message_class=CUSTOMERS).order_by("seq").values_list("holding", flat=True))
        == [True] * incident.duties.filter(message_class=CUSTOMERS).count()
    )
    assert incident.messages.filter(kind="holding", audience="customers").count() == 2


@pytest.mark.parametrize("message_class", [PAGE, CUSTOMERS, INSIDE, NOTICE, DECISION])
def test_every_promise_can_be_waived_with_a_reason(declared, lin, freezer, message_class):
    duty = declared(1).duties.get(message_class=message_class)
    duties.waive(duty, reason="Agreed with all of them", by=lin)
    duty.refresh_from_db()
    assert (duty.outcome, duty.reason, duty.by) == (CommsDuty.Outcome.WAIVED, "Agreed with all of them", lin)


# The people


def test_the_approvals_are_those_of_the_profile(organisation):
    found: dict[str, set[str]] = {}
    for rule in ApprovalRule.objects.all():
        found.setdefault(rule.message_class, set()).add(rule.role)
    assert found == {
        "status_update": {"comms_lead"},  # covers R003-04, C-07
        "incident_notice": {"executive_sponsor", "legal_lead"},  # covers R003-07
        "breach_notice": {"executive_sponsor", "legal_lead"},
        "regulator_filing": {"legal_lead"},  # covers R003-05
        "public_statement": {"legal_lead"},
        "postmortem_public": {"incident_commander", "legal_lead"},
    }


def test_the_escalations_are_those_of_the_profile(organisation):
    found = {(rule.rank, rule.condition, rule.role): rule.after for rule in EscalationRule.objects.all()}
    assert found == {
        (1, "unacknowledged", "backup_on_call"): "5m",
        (1, "unacknowledged", "executive_sponsor"): "10m",
        (2, "unacknowledged", "backup_on_call"): "15m",
        (1, "unresolved", "management"): "0m",  # covers R001-04
        (2, "unresolved", "management"): "60m",  # covers R001-05
        (3, "unresolved", "management"): "4h",  # covers R001-06
    }


def test_the_profile_names_no_role_nobody_can_hold(organisation):
    named = {rule.role for model in (ApprovalRule, EscalationRule, NotifyRule) for rule in model.objects.all()}
    assert named <= set(Role.values)
