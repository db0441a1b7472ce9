"""The four literal profiles say what one plan says and no more; the portal works under each of them."""

import pytest
from django.utils import timezone

from incidents import workflow
from incidents.comms import actions as comms
from incidents.comms import escalations, holding, reminders
from incidents.lifecycle.models import Incident, RoleContact
from incidents.policy import actions, documents
from incidents.policy.models import PolicyProfile, PolicyVersion
from tests import people

pytestmark = pytest.mark.django_db
SEEDS = [f"seed-00{n}" for n in range(4)]


def read(name):
    return documents.read((actions.PROFILES / f"{name}.yaml").read_text())


def levels(name, part):
    return {rank: row.get(part) for rank, row in read(name)["severities"].items()}


def duty(name, rank, audience, message_class):
    duties = read(name)["matrix"][rank][audience].get("duties", [])
    return next(row for row in duties if row["class"] == message_class)


def mode(name, rank, audience):
    return read(name).get("matrix", {}).get(rank, {}).get(audience, {}).get("mode")


# covers R000-05, R000-06, R000-07, R000-08, C-01
def test_the_plan_generator_answers_in_15_minutes_1_hour_4_hours_and_the_next_business_day():
    assert levels("seed-000", "acknowledge") == {1: "15m", 2: "1h", 3: "4h", 4: "1bd_end"}
    assert levels("seed-000", "label") == {1: "SEV1", 2: "SEV2", 3: "SEV3", 4: "SEV4"}


# covers R000-10, R000-11, R000-12, C-10, C-11
@pytest.mark.parametrize("name", ["seed-000", "default-unified"])
def test_error_rates_suggest_a_severity_latency_and_cost_alert(name):
    rules = [(row["signal"], row["gt"], row.get("suggests")) for row in read(name)["thresholds"]]
    assert {("error_rate_percent", 25, 1), ("error_rate_percent", 5, 2), ("error_rate_percent", 1, 3)} <= set(rules)
    judged = {"seed-000": None, "default-unified": 3}[name]
    assert ("p99_over_baseline_ratio", 2, judged) in rules
    assert ("cost_percent_of_daily_average", 150, judged) in rules


# covers R000-20
def test_the_plan_generator_tells_clients_every_30_minutes_or_every_hour():
    assert duty("seed-000", 1, "customers", "status_update")["every"] == "30m"
    assert duty("seed-000", 2, "customers", "status_update")["every"] == "1h"
    assert read("seed-000")["matrix"].keys() == {1, 2}


# covers R000-22
def test_the_plan_generator_asks_for_30_stable_minutes_and_five_ticks():
    gate = read("seed-000")["resolve_gate"]
    assert (gate["monitoring"], len(gate["ticks"])) == ("30m", 5)


# covers R001-04, R001-05, R001-06, R001-07
def test_agentguard_answers_in_15_and_30_minutes_2_and_24_hours_and_calls_management():
    assert levels("seed-001", "acknowledge") == {1: "15m", 2: "30m", 3: "2h", 4: "24h"}
    assert levels("seed-001", "label") == {1: "P0", 2: "P1", 3: "P2", 4: "P3"}
    called = {1: {"management": "0m"}, 2: {"management": "1h"}, 3: {"management": "4h"}}
    assert read("seed-001")["escalate_if_unresolved"] == called


# covers R001-08, R001-11
def test_agentguard_names_what_is_critical_and_what_is_low_and_who_hears_of_it_at_once():
    meant = levels("seed-001", "definitions")
    assert {"Complete outage.", "Data breach.", "Security compromise.", "Payments fail."} <= set(meant[1])
    assert "Database corruption or loss." in meant[1]
    assert meant[4] == ["Cosmetic.", "A feature request."]
    assert read("seed-001")["escalate_if_unresolved"][1] == {"management": "0m"}
    assert mode("seed-001", 1, "customers") == "required"


# covers C-09
def test_the_default_judges_p95_as_two_seconds_high_and_half_a_second_medium():
    rules = {(row["signal"], row["gt"], row["suggests"]) for row in read("default-unified")["thresholds"]}
    assert {("p95_ms", 2000, 2), ("p95_ms", 500, 3)} <= rules


# covers R001-09, R001-10
def test_agentguard_judges_latency_and_error_rate():
    rules = {(row["signal"], row["gt"], row["suggests"]) for row in read("seed-001")["thresholds"]}
    assert rules == {("error_rate_percent", 5, 2), ("p95_ms", 2000, 2), ("p95_ms", 500, 3)}


# covers R001-21
def test_agentguard_pages_the_comms_lead_for_p0_only_and_the_technical_lead_always():
    told = read("seed-001")["notify_on_declare"]
    assert [rank for rank, roles in told.items() if "comms_lead" in roles] == [1]
    assert [rank for rank, roles in told.items() if "incident_commander" in roles] == [1, 2]
    assert all("technical_lead" in roles for roles in told.values())


# covers R001-18, R001-23, R001-26
def test_agentguards_phases_end_after_15_and_60_minutes_and_4_hours():
    assert read("seed-001")["checkpoints"][1] == {"classified": "15m", "contained": "60m", "resolved": "4h"}


# covers R001-27
def test_agentguard_closes_below_one_percent_of_errors():
    assert "Error rate below 1 %" in read("seed-001")["resolve_gate"]["conditions"]
    assert "monitoring" not in read("seed-001")["resolve_gate"]


# covers R001-30, R001-31, R001-37, R001-39
def test_agentguard_tells_customers_every_30_minutes_colleagues_every_15_and_of_a_breach_in_72_hours():
    assert duty("seed-001", 1, "customers", "status_update")["every"] == "30m"
    assert duty("seed-001", 1, "internal", "internal_update")["every"] == "15m"
    assert duty("seed-001", 1, "customers", "breach_notice") == {
        "class": "breach_notice",
        "first": "72h",
        "when": "personal_data",
    }
    assert mode("seed-001", 1, "public") == "required"


# covers R002-03, R002-04, R002-05, R002-06, R002-07
def test_the_playbook_knows_three_severities_and_four_windows_of_an_hour():
    assert levels("seed-002", "label") == {1: "SEV-1", 2: "SEV-2", 3: "SEV-3"}
    windows = {"classified": "10m", "first_containment": "20m", "evidence_snapshot": "40m", "stabilised": "60m"}
    assert read("seed-002")["checkpoints"] == dict.fromkeys((1, 2, 3), windows)


# covers R002-07
def test_the_playbook_tells_customers_over_an_agreed_threshold_only():
    assert {mode("seed-002", rank, "customers") for rank in (1, 2, 3)} == {"if_over_threshold"}
    assert duty("seed-002", 1, "internal", "internal_update") == {"class": "internal_update", "first": "60m"}
    assert "customer_threshold" not in read("seed-002")  # the organisation agrees on its own


# covers R003-14, R003-15, R003-16, R003-17
def test_the_ai_plan_answers_at_once_then_in_1_and_4_hours_and_the_next_business_day():
    assert levels("seed-003", "acknowledge") == {1: None, 2: "1h", 3: "4h", 4: "1bd_end"}
    assert levels("seed-003", "page_within") == {1: "1m", 2: None, 3: None, 4: None}
    told = read("seed-003")["notify_on_declare"]
    assert {"executive_sponsor", "legal_lead"} <= set(told[1])
    assert (told[3], told[4]) == (["owning_team", "executive_sponsor"], ["owning_team"])


# covers R003-05, R003-07
def test_the_ai_plan_has_the_executive_sponsor_approve_what_customers_read():
    approvals = read("seed-003")["approvals"]
    assert approvals["status_update"] == approvals["incident_notice"] == ["executive_sponsor"]
    assert approvals["regulator_filing"] == ["legal_lead"]


# covers R003-21, R003-22, R003-23, R003-24
@pytest.mark.parametrize(
    ("rank", "modes"),
    [
        (1, ["required", "decide", "if_material", "required"]),
        (2, ["if_affected", "decide", "optional", "required"]),
        (3, ["optional_if_affected", "none", "none", "required"]),
        (4, ["none", "none", "none", "optional"]),
    ],
)
def test_the_matrix_of_the_ai_plan_line_by_line(rank, modes):
    audiences = ("customers", "regulators", "public", "internal")
    assert [mode("seed-003", rank, audience) for audience in audiences] == modes


# covers R003-21, R003-22
def test_the_ai_plan_sends_notices_in_24_and_72_hours_and_updates_colleagues_daily():
    assert duty("seed-003", 1, "customers", "incident_notice")["first"] == "24h"
    assert duty("seed-003", 1, "customers", "incident_notice")["or_earlier"] == "earliest_enabled_law"
    assert duty("seed-003", 2, "customers", "incident_notice")["first"] == "72h"
    assert duty("seed-003", 2, "internal", "internal_update")["every"] == "1d"


def test_they_are_loaded_read_only_and_are_no_default():
    actions.load_shipped()
    actions.load_literal()
    rows = PolicyProfile.objects.filter(name__in=SEEDS)
    assert set(rows.values_list("read_only", "is_default")) == {(True, False)}
    assert PolicyVersion.objects.in_force(timezone.now()).profile.name == "default-unified"


# Incidents under them


@pytest.fixture(params=SEEDS)
def under(request, organisation, grace, lin) -> str:
    """New incidents take this profile; the executive sponsor is Edith."""
    actions.load_literal()
    choice = actions.propose_default(PolicyProfile.objects.get(name=request.param), reason="Try", by=grace)
    actions.approve_default(choice, by=lin)
    RoleContact.objects.create(role="executive_sponsor", person=people.person("Edith", "publisher"))
    return request.param


def test_an_incident_runs_from_declaration_to_its_end_whatever_the_profile_leaves_open(under, declare, update, grace):
    incident = declare()
    assert str(incident.policy_version) == f"{under}, version 1"
    now = timezone.now()
    for turn in (reminders.run_due, escalations.run_due, holding.run_due):
        turn(now)
    incident = workflow.update(
        incident,
        workflow.Update(
            status="identified", at=now, customer_text="We found it.", internal_text="A pool", asserts=False
        ),
        by=grace,
        send=False,
    )
    draft = incident.messages.get(status="draft")
    approver = people.User.objects.get(name="Edith" if under == "seed-003" else "Lin")
    comms.send(draft, by=approver, content_hash=draft.content_hash)
    incident = workflow.change_severity(Incident.objects.get(pk=incident.pk), rank=3, reason="Contained", by=grace)
    incident = workflow.change_severity(incident, rank=1, reason="Not so", by=grace)
    incident = workflow.update(
        incident, workflow.Update(status="resolved", at=timezone.now(), reason="Stable"), by=grace, send=True
    )
    assert incident.status == "resolved"


def test_every_page_of_an_incident_opens_whatever_the_profile_leaves_open(under, client, declare, grace):
    incident = declare()
    client.force_login(people.person("Root", "admin"))
    pages = ("", "/declared", "/severity", "/roles", "/impact", "/update", "/notices/incident_notice")
    for page in [
        "/portal/",
        "/portal/due",
        "/portal/incidents/declare",
        *(f"/portal/incidents/INC-1{p}" for p in pages),
    ]:
        assert client.get(page, follow=True).status_code in (200, 404), page
    assert client.get(f"/portal/incidents/{incident.ref}").status_code == 200


def test_a_severity_the_playbook_does_not_have_is_not_offered(organisation, client, declaration, grace, lin):
    actions.load_literal()
    choice = actions.propose_default(PolicyProfile.objects.get(name="seed-002"), reason="Try", by=grace)
    actions.approve_default(choice, by=lin)
    client.force_login(grace)
    page = client.get("/portal/incidents/declare").content.decode()
    assert 'value="3"' in page
    assert "SEV-1" in page
    refused = client.post("/portal/incidents/declare", declaration | {"severity": "4"})
    assert "That is not a severity of the policy in force." in refused.content.decode()
    assert client.get("/portal/incidents/declare/outlook?severity=4").status_code == 200


def test_a_kind_suggests_a_severity_by_the_name_the_policy_has_for_it(organisation, client, declaration, grace, lin):
    actions.load_literal()
    choice = actions.propose_default(PolicyProfile.objects.get(name="seed-001"), reason="Try", by=grace)
    actions.approve_default(choice, by=lin)
    client.force_login(grace)
    assert "(suggests P0)" in client.get("/portal/incidents/declare").content.decode()
    assert "Suggests P0:" in client.get("/portal/incidents/declare/suggestion?type=T01").content.decode()
    refused = client.post("/portal/incidents/declare", declaration | {"severity": ""}).content.decode()
    assert "suggests P0: " in refused
    assert "holding message leaves" not in refused  # this policy knows none


# covers R002-07
def test_crossing_the_agreed_threshold_owes_customers_a_message(organisation, declare, grace, lin):
    actions.load_literal()
    choice = actions.propose_default(PolicyProfile.objects.get(name="seed-002"), reason="Try", by=grace)
    actions.approve_default(choice, by=lin)
    incident = declare()
    assert not incident.duties.filter(audience="customers").exists()
    workflow.change_impact(
        incident,
        components=[(organisation["api"], "major_outage")],
        impact="All fail.",
        personal_data="no",
        ai_involved="no",
        estimate="",
        material=True,
        by=grace,
    )
    assert incident.duties.open().get(audience="customers").message_class == "status_update"
