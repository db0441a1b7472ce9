"""The roles merged from all seeds (requirements 1.11): each can be given, with who gave it, from when and why."""

import pytest
from django.utils import timezone

from incidents.lifecycle import actions
from incidents.lifecycle.models import Role, RoleContact

pytestmark = pytest.mark.django_db
ROLES = [
    ("incident_commander", "Incident commander"),  # covers incident_commander
    ("technical_lead", "Technical lead"),  # covers technical_lead
    ("ai_lead", "AI lead"),  # covers ai_lead
    ("security_lead", "Security lead"),  # covers security_lead
    ("comms_lead", "Comms lead"),  # covers comms_lead
    ("legal_lead", "Legal lead"),  # covers legal_lead
    ("customer_trust", "Customer trust"),  # covers customer_trust
    ("executive_sponsor", "Executive sponsor"),  # covers executive_sponsor
    ("management", "Management"),  # covers management
    ("scribe", "Scribe"),  # covers scribe
    ("privacy_lead", "Privacy lead"),  # covers privacy_lead
    ("compliance_lead", "Compliance lead"),  # covers compliance_lead
]


def test_each_role_can_be_held_and_the_record_says_by_whom_since_when_and_why(declare, lee, grace, freezer):
    incident = declare()
    for role, label in ROLES:
        actions.assign(incident, role=role, person=lee, by=grace, reason="Woken at three")
        term = incident.roles.get(role=role, ended_at=None)
        found = (term.get_role_display(), term.person, term.assigned_by, term.started_at, term.reason)
        assert found == (label, lee, grace, timezone.now(), "Woken at three")


def test_a_role_nobody_fills_is_shown_as_a_gap():
    assert {str(RoleContact(role=role)) for role, _ in ROLES} == {f"{label}: TBD" for _, label in ROLES}


def test_beside_them_there_are_the_owning_team_and_the_backup_on_call():
    assert set(Role.values) - {role for role, _ in ROLES} == {"owning_team", "backup_on_call"}
