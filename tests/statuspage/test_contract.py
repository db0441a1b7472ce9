"""Every document is as the OpenAPI description says, and the description is right."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from statuspage import contract, documents, maintenance
from statuspage.models import Component, Maintenance, Notice
from statuspage.snapshot import Facts
from tests.statuspage.factories import announced, component, past_incident, publish

pytestmark = pytest.mark.django_db
CODES = {"/incidents/{": Notice, "/maintenance/{": Maintenance, "/components/{": Component}


@pytest.fixture
def described(db) -> dict:
    return json.loads(contract.openapi(Facts(), timezone.now()))


@pytest.fixture
def busy(lin) -> None:
    """Components in a group and without one, an incident in every stage, one that is over; maintenance as well."""
    api, board = component("Agent API", group="Platform"), component("Dashboard")
    Component.objects.filter(pk=api.pk).update(description="Answers agents")
    past_incident("INC-1", started_at=timezone.now() - timedelta(days=4))
    for number, status in enumerate(("investigating", "identified", "monitoring", "resolved")):
        ref = f"INC-{number + 2}"
        publish("investigating", (api, "major_outage"), (board, "degraded_performance"), ref=ref, impact="major")
        publish(status, (api, "partial_outage"), ref=ref, impact="minor")
    _, begun, verifying, over, off = (announced(api, board, title=f"Work {number}") for number in range(5))
    for work in (begun, verifying, over):
        maintenance.start(work, by=lin)
    maintenance.tell_more(verifying, status="verifying", text="Nearly there.", by=lin, silent="Only for the page")
    maintenance.finish(over, by=lin)
    maintenance.cancel(off, by=lin)


def test_the_description_is_valid(described):
    validate(described)


def test_every_json_document_is_described_and_nothing_else(described):
    written = {
        f"/{kind.route}"
        for kind in documents.KINDS
        if "json" in kind.media or kind.media.startswith(("image", "application/r", "application/a", "text/calendar"))
    }
    written = {path.replace("<slug:code>", "{code}") for path in written if path != "/"} - {"/openapi.json"}

    assert written == set(described["paths"])


@pytest.mark.parametrize("state", ["busy", "empty"])
def test_every_document_keeps_to_the_description(client, described, request, state):
    if state == "busy":
        request.getfixturevalue("busy")
    for path, item in described["paths"].items():
        media, content = next(iter(item["get"]["responses"]["200"]["content"].items()))
        things = next((things for start, things in CODES.items() if path.startswith(start)), None)
        for code in things.objects.values_list("code", flat=True) if things else [""]:
            answer = client.get(path.replace("{code}", code))
            assert answer.status_code == 200
            assert answer["Content-Type"].partition(";")[0] == media
            if media == "application/json":
                schema = content["schema"] | {"components": described["components"]}
                wrong = [error.message for error in Draft202012Validator(schema).iter_errors(answer.json())]
                assert wrong == [], path


def test_a_past_incident_stays_as_it_was_told_whatever_its_components_do_now(client, busy):
    code = Notice.objects.get(ref="INC-1").code
    before = client.get(f"/incidents/{code}.json").content
    publish("investigating", (Component.objects.first(), "major_outage"), ref="INC-9")

    assert client.get(f"/incidents/{code}.json").content == before


def test_one_incident_says_which_fields_of_a_review_there_will_be(client, busy):
    code = Notice.objects.get(ref="INC-5").code
    incident = client.get(f"/incidents/{code}.json").json()["incident"]

    assert incident["id"] == code
    assert incident["postmortem_body"] is None
    assert incident["status"] == "resolved"
    assert client.get("/incidents/nothing12345.json").status_code == 404


def test_one_maintenance_is_told_as_in_the_list_and_keeps_what_was_told(client, busy):
    for told in client.get("/api/v2/scheduled-maintenances.json").json()["scheduled_maintenances"]:
        alone = client.get(f"/maintenance/{told['id']}.json")
        own = alone.json()["scheduled_maintenance"]
        states = {component["status"] for component in own["components"]}
        going_on = told["status"] in ("in_progress", "verifying")
        assert own | {"components": []} == told | {"components": []}
        assert states == {"under_maintenance" if going_on else "operational"}
        publish("investigating", (Component.objects.first(), "major_outage"), ref=f"INC-9{told['id']}"[:20])
        assert client.get(f"/maintenance/{told['id']}.json").content == alone.content
    assert client.get("/maintenance/nothing12345.json").status_code == 404


@pytest.mark.parametrize("path", ["/api/v2/summary.json", "/history.atom", "/feed.json", "/badge.svg"])
def test_a_browser_on_another_site_may_ask_for_what_changed(client, path):
    told = client.options(path, headers={"Origin": "https://other.example", "Access-Control-Request-Method": "GET"})

    assert told.status_code == 204
    assert told["Access-Control-Allow-Origin"] == "*"
    assert "If-None-Match" in told["Access-Control-Allow-Headers"]
    assert client.get(path)["Access-Control-Expose-Headers"] == "ETag"


@pytest.mark.parametrize("path", ["/", "/history", "/widget"])
def test_pages_for_people_are_not_opened_to_other_sites(client, path):
    assert "Access-Control-Allow-Origin" not in client.options(path)
    assert "Access-Control-Allow-Origin" not in client.get(path)
