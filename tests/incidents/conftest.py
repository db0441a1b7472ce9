"""A small organisation, an incident as it is declared, and the engine's turn."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from incidents import workflow
from incidents.lifecycle.actions import Declaration
from incidents.lifecycle.models import Incident, Role, RoleContact
from incidents.policy import actions as policy
from incidents.policy import documents
from incidents.policy.models import IncidentType, PolicyVersion
from statuspage.models import Component, ComponentGroup, Customer, Subscriber

MAJOR, PARTIAL = Component.State.MAJOR_OUTAGE, Component.State.PARTIAL_OUTAGE


@pytest.fixture(autouse=True)
def two_languages(settings) -> None:
    """Every publication writes the whole page in each language; what is told here needs one besides our own."""
    settings.PAGE_LANGUAGES = ["en", "de"]


@pytest.fixture
def organisation(grace, lin) -> dict[str, Component]:
    """Two components; three subscribers (API, Dashboard, whole page) and one customer on the API; Lin is comms lead."""
    policy.load_shipped()
    group = ComponentGroup.objects.create(name="Agent platform", position=0)
    api = Component.objects.create(name="Agent API", group=group, position=0)
    dashboard = Component.objects.create(name="Dashboard", group=group, position=1)
    now = timezone.now()
    for email, parts in {"api@r.example": [api], "dash@r.example": [dashboard], "all@r.example": []}.items():
        subscriber = Subscriber.objects.create(email=email, confirmed_at=now)
        subscriber.components.set(parts)
    bank = Customer.objects.create(name="Harbour Bank", contact_email="ops@bank.example")
    bank.components.set([api])
    RoleContact.objects.create(role=Role.COMMS_LEAD, person=lin)
    return {"api": api, "dashboard": dashboard}


@pytest.fixture
def other_policy(organisation) -> Callable[..., PolicyVersion]:
    """The default policy with some parts of its file said otherwise, in force."""

    def load(**said: Any) -> PolicyVersion:
        source = documents.read((policy.PROFILES / "default-unified.yaml").read_text())
        return policy.load_profile(source | {"version": 2, "change_note": "As the test needs it."} | said)

    return load


@pytest.fixture
def declare(organisation, grace) -> Callable[..., Incident]:
    """Declare an incident like the seeds' example; name only what the test is about."""

    def make(**given: Any) -> Incident:
        now = timezone.now()
        facts = {
            "title": "Agent API unavailable",
            "type": IncidentType.objects.get(code=given.pop("type", "T01")),
            "rank": 1,
            "components": [(organisation["api"], MAJOR)],
            "started_at": now - timedelta(minutes=2),
            "detected_at": now - timedelta(minutes=2),
            "source": Incident.Source.MONITORING,
            "impact": "Every request to the Agent API fails.",
            "commander": grace,
        }
        by = given.pop("by", grace)
        return workflow.declare(Declaration(**(facts | given)), by=by)

    return make


@pytest.fixture
def declaration(organisation, grace) -> dict[str, object]:
    """What the form to declare sends for the seeds' example."""
    return {
        "title": "Agent API unavailable",
        "type": "T01",
        "severity": "1",
        f"component_{organisation['api'].pk}": "major_outage",
        f"component_{organisation['dashboard'].pk}": "",
        "impact": "Every request fails.",
        "started_at": "2026-03-02 14:20",
        "detected_at": "2026-03-02 14:22",
        "source": "monitoring",
        "commander": grace.pk,
        "personal_data": "no",
        "ai_involved": "unknown",
    }


@pytest.fixture
def update(grace, lin) -> Callable[..., Incident]:
    """Grace writes an update and Lin approves what customers read of it; the state stays unless `status` is given."""

    def make(incident: Incident, **given: Any) -> Incident:
        incident = Incident.objects.get(pk=incident.pk)
        facts = {"status": incident.status, "at": timezone.now(), "asserts": False} | given
        send, by, seen = facts.pop("send", True), facts.pop("by", grace), facts.pop("seen", None)
        alone = send and ("unapproved" in facts or not facts.get("customer_text"))
        incident = workflow.update(incident, workflow.Update(**facts), by=by, send=alone, seen=seen)
        for draft in incident.messages.filter(status="draft", author=by) if send else []:
            workflow.send_draft(draft, by=lin, content_hash=draft.content_hash)
        return incident

    return make
