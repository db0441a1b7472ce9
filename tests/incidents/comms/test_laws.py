"""The date a law demands: it makes promises earlier, never later, is shown with them and told in time."""

from datetime import timedelta

import pytest
from django.utils import timezone

from incidents import workflow
from incidents.comms import duties, holding, reminders
from incidents.comms.models import LegalDeadline
from incidents.lifecycle.models import Role, RoleContact
from irportal.ledger.models import Entry
from irportal.outbox.models import Announcement
from irportal.refused import Refused
from tests import people
from tests.pages import fields

pytestmark = pytest.mark.django_db
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
INC = "/portal/incidents/INC-1"
NOTICES = ("incident_notice", "breach_notice")


@pytest.fixture
def marek(roles):
    """Legal lead by the contact list; may only look."""
    person = people.person("Marek", "viewer")
    RoleContact.objects.create(role=Role.LEGAL_LEAD, person=person)
    return person


@pytest.fixture
def law(lee, freezer):
    """Lee enters the date of a law that runs from now."""

    def make(incident, hours, audience="customers", name="GDPR Art. 34", **given) -> LegalDeadline:
        now = timezone.now()
        said = {"runs_from": now, "due_at": now + hours * HOUR, "reason": "Personal data was shown", "by": lee}
        return workflow.enter_law(incident, audience=audience, name=name, **(said | given))

    return make


def duty(incident, message_class):
    return incident.duties.select_related("law").get(message_class=message_class, outcome="open")


def hours(incident, message_class) -> float:
    return (duty(incident, message_class).due_at - incident.declared_at) / HOUR


# or_earlier


@pytest.mark.parametrize("message_class", NOTICES)
def test_a_law_before_the_policys_limit_is_when_it_is_due(declare, law, message_class):
    incident = declare(personal_data="yes")
    law(incident, 10)
    owed = duty(incident, message_class)
    assert hours(incident, message_class) == 10
    assert (owed.law.name, owed.limit_at) == (
        "GDPR Art. 34",
        incident.declared_at + {"i": 24, "b": 72}[message_class[0]] * HOUR,
    )


def test_a_law_after_the_policys_limit_moves_nothing(declare, law):
    incident = declare()
    law(incident, 100)
    assert hours(incident, "incident_notice") == 24
    assert duty(incident, "incident_notice").law is None


def test_the_earliest_of_several_laws_counts(declare, law):
    incident = declare()
    for number in (20, 8, 12):
        law(incident, number, name=f"Law {number}")
    assert (hours(incident, "incident_notice"), duty(incident, "incident_notice").law.name) == (8, "Law 8")


def test_a_law_for_regulators_does_not_move_what_customers_are_owed(declare, law):
    incident = declare()
    law(incident, 3, audience="regulators")
    assert hours(incident, "incident_notice") == 24


def test_updates_know_no_law(declare, law):
    incident = declare()
    before = dict(incident.duties.filter(every__gt="").values_list("message_class", "due_at"))
    law(incident, 0.1)
    assert dict(incident.duties.filter(every__gt="").values_list("message_class", "due_at")) == before


def test_what_moves_is_in_the_timeline_and_in_the_ledger(declare, law):
    incident = declare()
    law(incident, 10)
    said = [entry.text for entry in incident.timeline.filter(kind="message").order_by("pk")]
    assert said[0] == "GDPR Art. 34 asks us to tell customers or the people concerned by 2026-03-03 00:30 UTC. " + (
        "Personal data was shown"
    )
    assert said[1].startswith("Incident notice to customers: due 2026-03-03 00:30 UTC, no longer 2026-03-03 14:30.")
    assert Entry.objects.filter(deed="duty.moved", line__contains="GDPR Art. 34").count() == 1


def test_personal_data_found_later_owes_the_breach_notice_by_the_law(declare, law, lee):
    incident = declare(rank=2)
    law(incident, 30)
    facts = {"components": [(row.component, row.state) for row in incident.components.all()], "impact": "Data"}
    workflow.change_impact(incident, **facts, personal_data="yes", ai_involved="no", estimate="", by=lee)
    assert hours(incident, "breach_notice") == 30


@pytest.mark.parametrize(("data", "owed"), [("no", "incident_notice"), ("yes", "breach_notice")])
@pytest.mark.parametrize("rank", [3, 4])
def test_severity_never_switches_a_law_off(declare, law, rank, data, owed):
    """Where the matrix owes customers nothing, the law still does."""
    incident = declare(rank=rank, personal_data=data)
    assert not incident.duties.filter(audience="customers").exists()
    law(incident, 10)
    assert (hours(incident, owed), duty(incident, owed).limit_at) == (10, None)


def test_an_upgrade_gives_it_the_policys_limit_beside_the_law(declare, law, grace):
    incident = declare(rank=3)
    law(incident, 30)
    workflow.change_severity(incident, rank=1, reason="Worse", by=grace)
    assert hours(incident, "incident_notice") == 24
    workflow.change_severity(incident, rank=3, reason="Better", by=grace)
    assert hours(incident, "incident_notice") == 30


@pytest.mark.parametrize("rank", [2, 3, 4])
def test_a_change_of_severity_leaves_the_laws_date(declare, law, grace, rank, freezer):
    incident = declare(rank=1)
    law(incident, 10)
    freezer.shift(HOUR)
    workflow.change_severity(incident, rank=rank, reason="Judged again", by=grace)
    assert hours(incident, "incident_notice") == 10


def test_a_notice_that_was_given_is_not_owed_again_by_a_law(declare, law, lin):
    incident = declare()
    duties.settle(duty(incident, "incident_notice"), text="By post", by=lin)
    law(incident, 10)
    assert not incident.duties.open().filter(message_class="incident_notice").exists()


def test_a_law_found_after_the_end_is_owed_all_the_same(declare, law, update):
    incident = declare(rank=3)
    update(incident, status="resolved", reason="Stable")
    law(incident, 10, audience="regulators")
    assert hours(incident, "regulator_filing") == 10


# Withdrawn


def test_a_law_that_is_withdrawn_gives_the_policys_limit_back(declare, law, lin, freezer):
    incident = declare()
    entered = law(incident, 10)
    freezer.shift(HOUR)
    workflow.withdraw_law(entered, reason="No personal data after all", by=lin)
    owed = duty(incident, "incident_notice")
    assert (hours(incident, "incident_notice"), owed.law, owed.limit_at) == (24, None, None)
    assert "no longer 2026-03-03 00:30" in incident.timeline.order_by("pk").last().text


def test_the_next_law_takes_over(declare, law, lin):
    incident = declare()
    first = law(incident, 5, name="First")
    law(incident, 9, name="Second")
    workflow.withdraw_law(first, reason="Not ours", by=lin)
    assert (hours(incident, "incident_notice"), duty(incident, "incident_notice").law.name) == (9, "Second")


def test_what_only_a_law_asked_for_ends_with_it(declare, law, lin):
    incident = declare(rank=4)
    workflow.withdraw_law(law(incident, 5), reason="Not ours", by=lin)
    ended = incident.duties.get(message_class="incident_notice")
    assert (ended.outcome, ended.reason) == ("waived", "GDPR Art. 34 withdrawn: Not ours")


@pytest.mark.parametrize("rank", [1, 4])
def test_a_date_missed_while_it_counted_stays_missed(declare, law, lin, freezer, rank):
    incident = declare(rank=rank)
    entered = law(incident, 5)
    freezer.shift(6 * HOUR)
    workflow.withdraw_law(entered, reason="Not ours", by=lin)
    found = incident.duties.get(message_class="incident_notice")
    assert (found.due_at, found.outcome) == (entered.due_at, "open" if rank == 1 else "missed")


@pytest.mark.parametrize("rank", [1, 4])
def test_a_past_date_entered_by_mistake_is_taken_back_whole(declare, law, lin, freezer, rank):
    incident = declare(rank=rank)
    now = timezone.now()
    wrong = law(incident, 0, runs_from=now - 20 * HOUR, due_at=now - 10 * HOUR)
    assert duty(incident, "incident_notice").due_at == now - 10 * HOUR
    holding.run_due(now)
    workflow.withdraw_law(wrong, reason="A month too early", by=lin)
    found = incident.duties.get(message_class="incident_notice")
    assert (found.outcome, found.escalated_at is None) == (("open", True) if rank == 1 else ("waived", False))


def test_what_is_withdrawn_is_not_withdrawn_twice(declare, law, lin):
    entered = law(declare(), 10)
    workflow.withdraw_law(entered, reason="Not ours", by=lin)
    with pytest.raises(Refused, match="withdrawn at 2026-03-02 14:30 UTC already"):
        workflow.withdraw_law(entered, reason="Again", by=lin)


def test_the_same_date_is_not_entered_twice(declare, law):
    incident = declare()
    law(incident, 10)
    with pytest.raises(Refused, match="entered already"):
        law(incident, 10)


def test_a_law_runs_before_it_is_due(declare, law):
    with pytest.raises(Refused, match="cannot be due before it runs"):
        law(declare(), -1)


# Regulators


@pytest.mark.parametrize(("length", "due"), [(4, 2), (6, 2), (6.5, 4)])
def test_a_clock_of_six_hours_or_less_asks_for_the_decision_within_two(declare, law, length, due):
    incident = declare(rank=1)
    law(incident, length, audience="regulators")
    assert hours(incident, "regulator_decision") == due


def test_a_short_clock_entered_later_gives_two_hours_from_then_at_most(declare, law, freezer):
    incident = declare(rank=1)
    freezer.shift(HOUR)
    law(incident, 4, audience="regulators")
    assert hours(incident, "regulator_decision") == 3
    freezer.shift(HOUR)
    law(incident, 5, audience="regulators", name="Another")
    assert hours(incident, "regulator_decision") == 3


# covers R003-21, R003-22
@pytest.mark.parametrize("rank", [1, 2, 3, 4])
def test_each_law_for_a_regulator_is_a_filing_of_its_own_by_its_own_date(declare, law, rank):
    incident = declare(rank=rank)
    for number in (24, 72):
        law(incident, number, audience="regulators", name=f"Law {number}")
    filings = incident.duties.open().filter(message_class="regulator_filing")
    assert [(f.label, (f.due_at - incident.declared_at) / HOUR) for f in filings] == [
        ("Tell the regulator: Law 24", 24),
        ("Tell the regulator: Law 72", 72),
    ]


def test_a_filing_outlives_whatever_the_matrix_asks(declare, law, grace, update):
    incident = declare(rank=1)
    law(incident, 24, audience="regulators")
    workflow.change_severity(incident, rank=4, reason="Looked again", by=grace)
    update(incident, status="resolved", reason="Stable")
    update(incident, status="investigating", reason="It is back")
    assert incident.duties.get(message_class="regulator_filing").outcome == "open"


# covers R003-05, C-28
def test_a_filing_is_recorded_by_the_legal_lead_and_by_nobody_else(declare, law, lin, marek):
    incident = declare()
    law(incident, 24, audience="regulators")
    filing = duty(incident, "regulator_filing")
    with pytest.raises(Refused, match=r"recorded by Marek, legal lead\."):
        duties.settle(filing, text="Filed", by=lin)
    duties.settle(filing, text="Filed, number 4711", by=marek)
    filing.refresh_from_db()
    assert (filing.outcome, filing.by) == ("kept", marek)


def test_with_no_legal_lead_somebody_is_made_one_first(declare, law, lin):
    incident = declare()
    law(incident, 24, audience="regulators")
    with pytest.raises(Refused, match="nobody fills that role; assign it first"):
        duties.settle(duty(incident, "regulator_filing"), text="Filed", by=lin)


def test_a_filing_is_not_waived(declare, law, lin):
    incident = declare()
    law(incident, 24, audience="regulators")
    with pytest.raises(Refused, match="A law is not waived; withdraw it"):
        duties.waive(duty(incident, "regulator_filing"), reason="Too late", by=lin)


def test_a_law_that_is_withdrawn_ends_its_filing(declare, law, lin):
    incident = declare()
    workflow.withdraw_law(law(incident, 24, audience="regulators"), reason="Not in the EU", by=lin)
    ended = incident.duties.get(message_class="regulator_filing")
    assert (ended.outcome, ended.reason) == ("waived", "GDPR Art. 34 withdrawn: Not in the EU")


def test_an_overdue_filing_is_told_to_the_legal_lead_too(declare, law, freezer):
    incident = declare()
    incident.duties.all().delete()
    law(incident, 1, audience="regulators")
    incident.duties.exclude(message_class="regulator_filing").delete()
    freezer.shift(61 * MINUTE)
    holding.run_due(timezone.now())
    warned = Announcement.objects.get(topic="escalation")
    assert warned.facts["roles"] == ["comms_lead", "incident_commander", "legal_lead"]
    assert "Tell the regulator: GDPR Art. 34" in warned.text


# Told and shown


def test_the_reminder_names_the_law(declare, law, freezer):
    incident = declare()
    law(incident, 6)
    freezer.shift(4.5 * HOUR)
    reminders.run_due(timezone.now())
    said = " ".join(Announcement.objects.get(topic="reminder").text.split())
    assert "Due by GDPR Art. 34; the policy alone asks for it by 2026-03-03 14:30 UTC" in said


def test_who_was_reminded_is_reminded_again_once_a_law_makes_it_earlier(declare, law, freezer):
    incident = declare()
    incident.duties.exclude(message_class="incident_notice").delete()
    freezer.shift(20.5 * HOUR)
    reminders.run_due(timezone.now())
    law(incident, 2)
    for _ in range(3):
        freezer.shift(HOUR * 0.6)
        reminders.run_due(timezone.now())
    assert Announcement.objects.filter(topic="reminder").count() == 2


@pytest.fixture
def page(client, organisation):
    client.force_login(people.person("Root", "admin"))
    return lambda address: client.get(address).content.decode()


def test_the_due_screen_says_which_law(declare, law, page, freezer):
    incident = declare()
    law(incident, 10)
    freezer.move_to(duty(incident, "incident_notice").due_at - 5 * MINUTE)
    assert "Due by GDPR Art. 34; the policy alone asks for it by 2026-03-03 14:30 UTC." in page("/portal/due")


def test_the_incident_shows_its_laws_and_who_entered_them(declare, law, lin, page):
    incident = declare()
    workflow.withdraw_law(law(incident, 10), reason="Not ours", by=lin)
    html = page(INC)
    assert "<del><b>GDPR Art. 34</b>: customers or the people concerned by 3 Mar 2026, 00:30 UTC</del>" in html
    assert "entered by Lee" in html
    assert "withdrawn by Lin, 2 Mar, 14:30: Not ours" in html


LAW = {
    "audience": "customers",
    "name": "GDPR Art. 34",
    "runs_from": "2026-03-02 14:00",
    "due_at": "2026-03-03 02:00",
    "reason": "Marek decided it at 14:20",
}


def test_a_date_is_entered_in_a_form(declare, client, page, freezer):
    incident = declare()
    assert fields(page(f"{INC}/laws/enter"))["runs_from"] == "2026-03-02 14:28"
    assert client.post(f"{INC}/laws/enter", LAW)["Location"] == f"{INC}#laws"
    assert hours(incident, "incident_notice") == 11.5


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ({"audience": ""}, "Choose who has to be told."),
        ({"audience": "martians"}, "martians is not one of the available choices"),
        ({"name": " "}, "Name the law and its provision, or the contract."),
        ({"name": "x" * 121}, "at most 120 characters"),
        ({"name": "a\0b"}, "Null characters are not allowed."),
        ({"runs_from": ""}, "Say when, in UTC."),
        ({"runs_from": "2026-03-02 18:00"}, "2026-03-02 18:00 lies ahead; it is 2026-03-02 14:30 UTC now."),
        ({"due_at": "soon"}, "That is not a time."),
        ({"due_at": "2026-03-02 14:00"}, "It cannot be due before it runs; correct one of the two times."),
        ({"reason": ""}, "Say why it applies; an auditor will ask."),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_date_that_cannot_be_is_refused_beside_the_field(declare, client, page, freezer, typed, sentence):
    declare()
    answer = client.post(f"{INC}/laws/enter", LAW | typed)
    assert answer.status_code == 400
    assert sentence in answer.content.decode()
    assert not LegalDeadline.objects.exists()


def test_a_clock_time_for_a_date_ahead_means_the_next_one(declare, client, page, freezer):
    declare()
    client.post(f"{INC}/laws/enter", LAW | {"due_at": "02:00"})
    assert f"{LegalDeadline.objects.get().due_at:%Y-%m-%d %H:%M}" == "2026-03-03 02:00"


def test_a_legal_lead_who_may_only_look_enters_records_and_withdraws(declare, client, marek, freezer):
    incident = declare()
    client.force_login(marek)
    client.post(f"{INC}/laws/enter", LAW | {"audience": "regulators"})
    filing = duty(incident, "regulator_filing")
    html = client.get(INC).content.decode()
    assert f"{INC}/duties/{filing.pk}/settle" in html
    assert f"{INC}/laws/{filing.law_id}/withdraw" in html
    answer = client.post(f"{INC}/duties/{filing.pk}/settle", {"text": "Filed by mail"})
    assert answer.status_code == 302
    answer = client.post(f"{INC}/laws/{filing.law_id}/withdraw", {"reason": "Wrong authority"})
    assert answer.status_code == 302


@pytest.mark.parametrize("reason", ["", "x" * 301])
def test_a_date_is_withdrawn_only_with_words(declare, law, client, page, reason):
    entered = law(declare(), 10)
    answer = client.post(f"{INC}/laws/{entered.pk}/withdraw", {"reason": reason})
    assert answer.status_code == 400
    assert LegalDeadline.objects.running().exists()


def test_a_law_is_reached_only_through_its_own_incident(declare, law, client, page):
    entered, other = law(declare(), 10), declare(title="Another")
    assert client.get(f"/portal/incidents/{other.ref}/laws/{entered.pk}/withdraw").status_code == 404
