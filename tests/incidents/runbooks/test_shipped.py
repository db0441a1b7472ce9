"""The runbooks that come with the portal hold what the requirements ask for, and are offered for their types."""

import pytest

from incidents.policy.models import IncidentType
from incidents.runbooks import actions, placeholders, queries
from incidents.runbooks.models import Runbook, RunbookStep, RunbookVersion
from irportal.ledger.models import Entry

FOUND = {code: found for code, (_, found) in actions.shipped().items()}
TEXTS = {code: text for code, (text, _) in actions.shipped().items()}

# covers R000-15, R000-16, R000-17, R000-18, R000-19, R000-22, R001-19, R001-20, R001-23, R001-24, R001-26, R001-27
# covers R001-30, R001-31, R001-32, R001-33, R001-34, R001-35, R002-04, R002-05, R002-06, R002-07, R002-08
# covers R004-03, R004-04, R004-05, R004-06, R004-07, R004-08, R004-09, R004-10, R004-11, R004-12, R004-13, R004-14
# covers R004-18
# row: the runbook that holds it, how many steps it has at least, and what it must speak of.
ROWS = {
    "R000-15": ("triage", 7, "alert is real|severity|affected|changed lately|commander|channel|stakeholders"),
    "R000-16": ("contain-agent", 4, "kill switch|known to be good|human-in-the-loop|review by people"),
    "R000-17": ("contain-infrastructure", 4, "Fail over|Scale out|API providers and databases|circuit breakers"),
    "R000-18": ("contain-security", 4, "Rotate all credentials|Isolate|Preserve logs|security team|legal"),
    "R000-19": ("contain-data-quality", 4, "Halt automated|contamination window|affected customers|correction batch"),
    "R000-22": ("recovery", 13, "root cause|fix is deployed|reconciled|left to customers|30 minutes|timeline"),
    "R001-19": ("response-phases", 14, "Acknowledge|Sign in|declare it|0 to 15"),
    "R001-20": ("response-phases", 14, "how many users|severity|affected systems"),
    "R001-23": (
        "response-phases",
        14,
        "15 to 60|health|logs|errors|metrics|recent deployments|pattern|each with its time",
    ),
    "R001-24": (
        "response-phases",
        14,
        "roll back|feature off|scale|malicious traffic|isolate|credentials|maintenance mode",
    ),
    "R001-26": ("response-phases", 14, "1 to 4 hours|Develop|staging|Deploy|Verify"),
    "R001-27": (
        "recovery",
        13,
        "health check|critical endpoint|below 1 %|Response times|new alert|customer uses it|is gone",
    ),
    "R001-30": (
        "complete-outage",
        12,
        "5xx|host|deployments|database|Restart|Roll back|Scale up|at once|all customers|social",
    ),
    "R001-31": (
        "data-breach",
        15,
        "Isolate|Revoke|management at once|legal at once|72 hours|regulators|back doors|repeated",
    ),
    "R001-32": (
        "ddos",
        11,
        "Traffic jumps|analytics|under-attack|rate limiting|capacity|Relax the protections gradually",
    ),
    "R001-33": (
        "database-failure",
        10,
        "corrupt|disk is full|version|backup_YYYYMMDD_HHMMSS|replica|count rows|Resume",
    ),
    "R001-34": (
        "external-api-failure",
        10,
        "language model|payment|status pages|rate limit|backup provider|queue|estimate",
    ),
    "R001-35": ("performance-degradation", 9, "500 ms|CPU|bottleneck|clear the cache|ten slowest|load test"),
    "R002-04": ("first-hour", 13, "0 to 10|alert, a customer's report or an analyst|provisional|channel|commander"),
    "R002-05": ("first-hour", 13, "10 to 20|emergency mode|block|route, the model, the tenant|fallback"),
    "R002-06": ("first-hour", 13, "20 to 40|metadata|decision logs|rule versions|provider and route|who changed what"),
    "R002-07": ("first-hour", 13, "40 to 60|live metrics|engineering, product and support|legal|threshold"),
    "R002-08": ("minimum-evidence", 6, "severity, owner|tenants|rulepack|rationale|success rate|contain it"),
    "R004-03": ("card-01-kill-switch", 3, "503|drain|Within: 60 s"),
    "R004-04": ("card-02-tool-boundary", 4, "{{ tool_boundary }}|excluded|out of scope|escalate"),
    "R004-05": ("card-03-audit-trail", 4, "hash of input, hash of output, model version, tool and caller|complete"),
    "R004-06": ("card-04-sandbox", 6, "Stop the job|Revoke the credential|side effects|T18|customers were reached"),
    "R004-07": ("card-05-secret-scope", 5, "Revoke|Rotate|audit trail|every agent that shared|T06"),
    "R004-08": ("card-06-injection", 6, "to block|Quarantine|boundary|user, a document, a tool"),
    "R004-09": ("card-07-pre-tool-gate", 6, "outside the boundary, input out of range, or irreversible|owner"),
    "R004-10": ("card-08-eval-coverage", 4, "Freeze model updates|full evaluation|rollback|T15"),
    "R004-11": ("card-09-model-rollback", 4, "authorised|hash of the version before|15 min of step 1"),
    "R004-12": ("card-10-data-isolation", 5, "Stop the job|Freeze|whose data|places|privacy lead|T19"),
    "R004-13": ("card-11-vendor-exposure", 5, "arrived|assessment|controller|report|T08"),
    "R004-14": ("card-12-visibility", 4, "dashboard|sample of outputs|T15|T09"),
}

# Requirements 1.6, the column of runbooks and containment sets; 7.4's drafts by the row of their control.
OFFERED = {
    "T01": {"R001-30", "R000-17"},
    "T02": {"R001-35", "R000-17"},
    "T03": {"R001-33"},
    "T04": {"R001-32"},
    "T05": {"R001-31", "R000-18"},
    "T06": {"R001-31", "R000-18"},
    "T07": {"R001-34", "R000-17"},
    "T08": {"R004-13"},
    "T09": {"R004-03", "R000-16"},
    "T10": {"R004-04", "R004-09"},
    "T11": {"R004-08", "R000-16", "R000-18"},
    "T12": {"R000-16"},
    "T13": {"R000-16", "R000-19"},
    "T14": {"R001-31", "R000-16", "R000-18"},
    "T15": {"R004-11"},
    "T16": {"R002-05"},
    "T17": {"R000-19"},
    "T18": {"R004-06"},
    "T19": {"R004-12"},
    "T20": {"R000-16"},
    "T21": {"R001-34"},
    "T22": {"R001-33"},
    "T23": set(),
    "T24": {"R001-34"},
    "T25": set(),
    "T99": set(),
}


@pytest.mark.parametrize("row", ROWS)
def test_a_row_of_the_requirements_is_held_by_a_shipped_runbook(row):
    code, count, words = ROWS[row]
    assert row in FOUND[code].covers
    assert len(FOUND[code].steps) >= count
    assert [word for word in words.split("|") if word.lower() not in TEXTS[code].lower()] == []


def test_no_shipped_runbook_claims_a_row_this_table_does_not_know():
    assert {row for found in FOUND.values() for row in found.covers} == {*ROWS, "R004-18"}


def test_a_runbook_of_the_plan_has_symptoms_immediate_actions_steps_and_communication():
    for code, found in FOUND.items():
        if found.kind == "runbook" and code != "data-breach":
            assert {"Symptoms", "Immediate actions", "Steps", "Communication"} == {s.title for s in found.sections}, (
                code
            )
    assert [section.title for section in FOUND["data-breach"].sections] == [
        "Symptoms",
        "Contain",
        "Notify",
        "Assess",
        "Steps",
    ]


# covers R004-03, R004-11: the two limits of the cards
def test_the_kill_switch_has_sixty_seconds_and_the_rollback_fifteen_minutes():
    halted = FOUND["card-01-kill-switch"].steps[1]
    assert (halted.within, halted.since) == (60, 1)
    rolled_back = FOUND["card-09-model-rollback"].steps[2]
    assert (rolled_back.within, rolled_back.since) == (15 * 60, 1)


# covers R004-17, R000-28
def test_every_shipped_runbook_speaks_to_both_audiences_and_says_where_it_is_kept():
    for code, found in FOUND.items():
        assert found.on_call, code
        assert found.management, code
        assert "." not in found.management[:-1], f"{code}: one sentence for management"
        assert found.repository == f"incidents/runbooks/shipped/{code}.md"
        assert (actions.SHIPPED / f"{code}.md").exists()


def test_there_is_a_card_for_each_of_the_twelve_controls():
    assert sorted(found.control for found in FOUND.values() if found.control) == list(range(1, 13))


# covers R001-45, R001-46
def test_what_shipped_runbooks_ask_for_is_known_and_the_appendices_are_among_it():
    asked = {name for text in TEXTS.values() for name in placeholders.names(text)}
    assert asked <= set(placeholders.KNOWN)
    assert list(placeholders.COMMANDS)[:8] == [
        *("health", "metrics", "critical_endpoint", "database", "cache", "deploys", "rollback", "restart"),
    ]
    assert list(placeholders.LINKS)[:6] == ["hosting", "errors", "cdn", "payments", "model_status", "source"]


@pytest.mark.django_db
def test_the_table_of_types_is_the_whole_taxonomy(shipped):
    assert set(OFFERED) == set(IncidentType.objects.values_list("code", flat=True))


@pytest.mark.django_db
@pytest.mark.parametrize("code", OFFERED)
def test_each_type_of_incident_is_offered_what_the_requirements_say(shipped, declare, code):
    incident = declare(type=code)
    offered = queries.offered(incident)
    own = {row for runbook in offered if not runbook.for_all for row in FOUND[runbook.code].covers}
    assert own >= OFFERED[code]
    assert bool(own) == bool(OFFERED[code])
    general = [runbook.code for runbook in offered if runbook.for_all]
    assert general == ["triage", "response-phases", "recovery", "minimum-evidence"]


@pytest.mark.django_db
def test_loading_again_changes_nothing(shipped):
    before = [model.objects.count() for model in (Runbook, RunbookVersion, RunbookStep, Entry)]
    assert before[0] == len(FOUND)
    assert actions.load_shipped() == 0
    assert [model.objects.count() for model in (Runbook, RunbookVersion, RunbookStep, Entry)] == before


@pytest.mark.django_db
def test_a_newer_shipped_text_comes_into_force_by_itself(shipped, monkeypatch):
    ship(monkeypatch, TEXTS["triage"].replace("Triage checklist", "Triage"))
    assert actions.load_shipped() == 1
    runbook = Runbook.objects.get(code="triage")
    assert (runbook.title, runbook.version_in_force.number) == ("Triage", 2)


@pytest.mark.django_db
def test_a_newer_shipped_text_waits_beside_what_staff_have_written(shipped, monkeypatch, grace):
    runbook = Runbook.objects.get(code="triage")
    ours = TEXTS["triage"].replace("Triage checklist", "Our triage")
    actions.rewrite(runbook, ours, note="Our words", by=grace, seen=1)
    ship(monkeypatch, TEXTS["triage"].replace("Triage checklist", "Their triage"))
    actions.load_shipped()
    runbook.refresh_from_db()
    assert (runbook.title, runbook.version_in_force.number) == ("Our triage", 2)
    assert [version.is_shipped for version in runbook.versions.all()] == [True, False, True]


def ship(monkeypatch, text: str) -> None:
    """As if the next release came with this text."""
    found = actions.manuscript.read(text)
    monkeypatch.setattr(actions, "shipped", lambda: actions_shipped | {found.code: (text, found)})


actions_shipped = dict(actions.shipped())
