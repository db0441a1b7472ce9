import re
from datetime import timedelta

import pytest
from django.utils import timezone

from tests.statuspage.factories import component, past_incident, publish

pytestmark = pytest.mark.django_db

PAGE = {"id", "name", "url", "time_zone", "updated_at"}
COMPONENT = {"id", "name", "status", "created_at", "updated_at", "position", "description", "showcase"}
COMPONENT |= {"start_date", "group_id", "page_id", "group", "only_show_if_degraded"}
INCIDENT = {"id", "name", "status", "created_at", "updated_at", "monitoring_at", "resolved_at", "impact"}
INCIDENT |= {"shortlink", "started_at", "page_id", "incident_updates", "components"}
UPDATE = {"id", "status", "body", "incident_id", "created_at", "updated_at", "display_at"}
UPDATE |= {"affected_components", "deliver_notifications", "custom_tweet", "tweet_id"}


@pytest.fixture
def outage():
    """Two updates of an incident that took the Agent API down, and one component outside any group."""
    api = component("Agent API", group="Core")
    component("Dashboard", group="Core")
    component("Payments")
    publish("investigating", (api, "major_outage"))
    return publish("identified", (api, "partial_outage"), body="The pool ran **dry**.")


@pytest.fixture
def summary(client, outage):
    return client.get("/api/v2/summary.json").json()


def test_objects_have_exactly_the_keys_clients_were_written_for(summary):
    assert set(summary) == {"page", "status", "components", "incidents", "scheduled_maintenances"}
    assert set(summary["page"]) == PAGE
    assert set(summary["status"]) == {"indicator", "description"}
    for row in summary["components"]:
        assert set(row) == COMPONENT | ({"components"} if row["group"] else set())
    for incident in summary["incidents"]:
        assert set(incident) == INCIDENT
        assert all(set(update) == UPDATE for update in incident["incident_updates"])
        assert all(set(row) == COMPONENT for row in incident["components"])


def test_a_group_is_a_row_that_names_its_children_and_their_worst_state(summary):
    group, api, board, payments = summary["components"]

    assert group["group"]
    assert group["status"] == "partial_outage"
    assert group["components"] == [api["id"], board["id"]]
    assert api["group_id"] == group["id"]
    assert payments["group_id"] is None


def test_the_newest_update_stands_first_and_carries_the_incidents_status(summary):
    incident = summary["incidents"][0]

    assert [update["status"] for update in incident["incident_updates"]] == ["identified", "investigating"]
    assert incident["incident_updates"][0]["affected_components"] == [
        {
            "code": incident["components"][0]["id"],
            "name": "Core - Agent API",
            "old_status": "major_outage",
            "new_status": "partial_outage",
        }
    ]


def test_an_update_recorded_late_still_stands_first(client, freezer):
    publish("investigating")
    freezer.shift(timedelta(minutes=5))
    publish("identified", said_at=timezone.now() - timedelta(minutes=10))
    incident = client.get("/api/v2/incidents.json").json()["incidents"][0]

    assert incident["incident_updates"][0]["status"] == incident["status"] == "identified"
    assert incident["incident_updates"][0]["display_at"] == "2026-03-02T14:25:00.000Z"
    assert incident["incident_updates"][0]["created_at"] == "2026-03-02T14:35:00.000Z"


def test_ids_are_twelve_of_base36_and_times_have_milliseconds_and_z(summary):
    incident = summary["incidents"][0]
    ids = [
        summary["page"]["id"],
        incident["id"],
        incident["incident_updates"][0]["id"],
        summary["components"][0]["id"],
    ]

    assert all(re.fullmatch(r"[0-9a-z]{12}", found) for found in ids)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", incident["started_at"])
    assert incident["resolved_at"] is None


def test_the_page_names_an_absolute_address_and_a_time_zone(summary, settings):
    assert summary["page"]["url"] == settings.PUBLIC_BASE_URL
    assert summary["page"]["time_zone"] == "Etc/UTC"
    assert summary["incidents"][0]["shortlink"] == f"{settings.PUBLIC_BASE_URL}/i/INC-42"


@pytest.mark.parametrize(
    ("impact", "expected"),
    [
        ("none", {"indicator": "none", "description": "All Systems Operational"}),
        ("minor", {"indicator": "minor", "description": "Partially Degraded Service"}),
        ("major", {"indicator": "major", "description": "Partial System Outage"}),
        ("critical", {"indicator": "critical", "description": "Major System Outage"}),
    ],
)
def test_the_status_follows_the_open_incident(client, impact, expected):
    publish("investigating", impact=impact)

    assert client.get("/api/v2/status.json").json()["status"] == expected


def test_a_resolved_incident_leaves_the_summary_and_stays_in_the_list(client, outage):
    publish("resolved")

    assert client.get("/api/v2/summary.json").json()["incidents"] == []
    assert client.get("/api/v2/incidents/unresolved.json").json()["incidents"] == []
    assert client.get("/api/v2/incidents.json").json()["incidents"][0]["status"] == "resolved"
    assert client.get("/api/v2/status.json").json()["status"]["indicator"] == "none"


def test_the_list_holds_the_fifty_most_recent(client):
    for n in range(52):
        past_incident(f"INC-{n}", title=f"Number {n}", started_at=timezone.now() - timedelta(days=60 - n))
    incidents = client.get("/api/v2/incidents.json").json()["incidents"]

    assert len(incidents) == 50
    assert incidents[0]["name"] == "Number 51"
