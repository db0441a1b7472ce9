"""What fills the commands of a runbook, and what is said where nothing does."""

import pytest
from django.core.exceptions import ValidationError

from incidents.runbooks import placeholders, queries
from incidents.runbooks.models import ServiceCommand, ServiceLink
from incidents.runbooks.placeholders import Value

HEALTH = {"health": Value("curl https://api.example/health | jq")}


# covers R001-45, R001-46
def test_a_command_of_the_service_is_put_in_as_it_is_typed():
    [filled] = placeholders.for_services("{{ health }}", [("Agent API", HEALTH)], {})
    assert (filled.text, filled.service, filled.gaps) == (HEALTH["health"].text, "Agent API", [])


def test_what_nothing_fills_is_a_gap_in_words_and_never_an_empty_command():
    [filled] = placeholders.for_services("{{rotate_secrets}} --now", [("Agent API", HEALTH)], {})
    assert filled.gaps == ["emergency rotation of secrets"]
    assert [part.is_gap for part in filled.parts] == [True, False]
    assert not filled.is_only_gap
    assert placeholders.fill("{{ restart }}", {}).is_only_gap


def test_an_empty_setting_is_a_gap_as_well():
    assert placeholders.fill("{{ restart }}", {"restart": Value("  ")}).gaps == ["restart"]


def test_a_name_of_ones_own_is_said_in_words_too():
    assert placeholders.fill("{{ drain_queue }}", {}).gaps == ["drain queue"]


def test_each_affected_service_that_has_its_own_command_shows_it_and_borrows_the_rest():
    shared = {"errors": Value("https://errors.example", is_link=True), "health": Value("shared")}
    services = [("API", {"health": Value("one")}), ("Dashboard", {"health": Value("two")}), ("Mail", {})]
    filled = placeholders.for_services("{{ health }} > {{ errors }}", services, shared)
    assert [(one.service, one.text) for one in filled] == [
        ("API", "one > https://errors.example"),
        ("Dashboard", "two > https://errors.example"),
    ]
    [general] = placeholders.for_services("{{ health }}", [("Mail", {})], shared)
    assert (general.service, general.text) == ("", "shared")


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("https://a.example/x", "curl https://a.example/x"),
        ("https://a.example/?a=1&b=$(rm)", "curl 'https://a.example/?a=1&b=$(rm)'"),
        ("https://a.example/';ls", "curl 'https://a.example/'\"'\"';ls'"),
    ],
)
def test_a_link_in_a_command_is_quoted_where_a_shell_would_read_more_into_it(url, text):
    assert placeholders.fill("curl {{ errors }}", {"errors": Value(url, is_link=True)}).text == text


def test_a_link_in_running_text_is_a_link_and_its_gap_is_words():
    values = {"errors": Value("https://a.example/x", is_link=True)}
    html = queries.Fillings(values).text("Look at {{ errors }} and {{ logs }}.")
    assert '<a href="https://a.example/x"' in html
    assert "error tracker</a>" in html
    assert "<strong>log viewer: not set</strong>" in html


def test_a_fact_of_an_incident_is_no_gap_where_there_is_no_incident():
    assert "<em>channel of the incident</em>" in queries.Fillings({}).text("Open {{ channel }}.")


@pytest.mark.parametrize("url", ["javascript:alert(1)", "https://a.example/><script>alert(1)</script>", "x)(y"])
def test_a_hostile_link_runs_nothing(url):
    html = queries.Fillings({"errors": Value(url, is_link=True)}).text("{{ errors }}")
    assert "<script" not in html
    assert 'href="javascript' not in html


@pytest.mark.django_db
def test_values_of_affected_services_come_before_those_of_the_organisation(declare, organisation):
    api, dashboard = organisation["api"], organisation["dashboard"]
    ServiceCommand.objects.create(name="health", text="for all")
    ServiceCommand.objects.create(name="health", text="for the API", component=api)
    ServiceCommand.objects.create(name="restart", text="not affected", component=dashboard)
    ServiceLink.objects.create(name="errors", url="https://errors.example")
    found = queries.fillings(declare())
    assert found.shared["health"].text == "for all"
    assert [(name, values["health"].text) for name, values in found.services] == [("Agent API", "for the API")]
    assert found.merged["health"].text == "for the API"
    assert "restart" not in found.merged


@pytest.mark.django_db
def test_facts_of_the_incident_are_put_in(declare, freezer):
    found = queries.fillings(declare())
    filled = placeholders.fill("{{ incident }} {{ channel }} {{ started }}", found.shared)
    assert filled.text == "INC-1 #incident-20260302-1430 2026-03-02T14:28:00Z"


@pytest.mark.django_db
def test_what_runbooks_ask_for_is_listed_with_what_is_missing_first(small):
    ServiceCommand.objects.create(name="restart", text="systemctl restart api")
    rows = queries.asked_for()
    assert [(row.name, row.services) for row in rows] == [
        ("errors", []),
        ("health", []),
        ("restart", ["everything"]),
    ]
    assert [row.is_link for row in rows] == [True, False, False]
    assert [str(runbook) for runbook in rows[0].runbooks] == ["Restart the API"]


@pytest.mark.django_db
def test_what_a_service_has_is_set_once(organisation):
    for model, facts in ((ServiceCommand, {"text": "x"}), (ServiceLink, {"url": "https://x.example"})):
        for component in (None, organisation["api"]):
            model.objects.create(name="health", component=component, **facts)
            again = model(name="health", component=component, **facts)
            with pytest.raises(ValidationError, match="already; change that one"):
                again.full_clean()
