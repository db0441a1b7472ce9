"""The record: numbers and channels, roles, corrections that add and never overwrite."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from incidents.lifecycle import actions
from incidents.lifecycle.models import Incident, Role, RoleContact, TimelineEntry
from incidents.policy.models import IncidentType
from irportal.ledger import actions as ledger
from irportal.ledger.models import Entry
from irportal.refused import Refused
from tests import people

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


# covers R001-21, C-27
def test_incidents_declared_in_one_minute_get_channels_of_their_own(declare, freezer):
    names = [declare(title=f"Trouble {n}").channel_name for n in range(3)]
    freezer.shift(MINUTE)
    names.append(declare().channel_name)
    base = "#incident-20260302-143"
    assert names == [f"{base}0", f"{base}0-2", f"{base}0-3", f"{base}1"]


def test_numbers_have_no_gap_when_a_declaration_is_rolled_back(declare):
    declare()
    with transaction.atomic():
        declare()
        transaction.set_rollback(True)
    assert declare().ref == "INC-2"


# covers R003-18
def test_a_declaration_writes_its_first_lines_at_the_times_that_were_said(declare, freezer, grace):
    incident = declare()
    rows = [(row.marker, row.occurred_at, row.author) for row in incident.timeline.all()]
    begin = timezone.now() - 2 * MINUTE
    assert rows == [("started", begin, grace), ("detected", begin, grace), ("declared", timezone.now(), grace)]
    assert {row.recorded_at for row in incident.timeline.all()} == {timezone.now()}


def test_an_incident_keeps_the_policy_it_was_declared_under(declare):
    incident = declare()
    assert str(incident.policy_version) == "default-unified, version 1"
    assert incident.severity_label == "SEV1 Critical"


def test_an_incident_declared_a_day_after_it_was_noticed_says_so(declare, freezer):
    late = timezone.now() - timedelta(hours=25)
    assert declare(started_at=late, detected_at=late).is_retrospective
    assert not declare().is_retrospective


# Roles


@pytest.fixture
def contacts(organisation, lee, vera) -> None:
    for role in (Role.TECHNICAL_LEAD, Role.AI_LEAD, Role.SECURITY_LEAD, Role.LEGAL_LEAD, Role.OWNING_TEAM):
        RoleContact.objects.create(role=role, person=lee)
    RoleContact.objects.create(role=Role.MANAGEMENT, person=None)


def held(incident) -> set[str]:
    return set(incident.roles.filter(ended_at=None).values_list("role", flat=True))


LED = {"incident_commander", "technical_lead", "comms_lead"}


# covers R001-12, R001-13, R001-14, R003-02, R003-03, R003-04, R003-05
@pytest.mark.parametrize(
    ("rank", "kind", "ai", "told"),
    [
        (1, "T01", "no", LED | {"legal_lead"}),
        (1, "T01", "yes", LED | {"legal_lead", "ai_lead"}),
        (2, "T01", "unknown", LED),  # covers C-04
        (3, "T01", "no", {"incident_commander", "technical_lead", "owning_team"}),
        (4, "T01", "no", {"incident_commander", "owning_team"}),  # covers R003-17, R003-24
    ],
)
def test_the_roles_the_policy_tells_are_filled_from_the_contact_list(declare, contacts, rank, kind, ai, told):
    assert held(declare(rank=rank, type=kind, ai_involved=ai)) == told


# covers R001-15
def test_the_security_lead_is_told_of_security_incidents_alone(declare, contacts):
    code = IncidentType.objects.filter(family="security").first().code
    assert "security_lead" in held(declare(type=code))
    assert "security_lead" not in held(declare(type="T01"))


def test_who_left_is_given_no_role(declare, contacts, lee):
    lee.is_active = False
    lee.save(update_fields=["is_active"])
    assert held(declare()) == {"incident_commander", "comms_lead"}


def test_a_role_is_handed_over_and_both_terms_stay(declare, grace, freezer):
    incident, tomas = declare(), people.person("Tomas", "commander")
    freezer.shift(10 * MINUTE)
    actions.assign(incident, role="incident_commander", person=tomas, by=grace, reason="Shift ends")
    terms = incident.roles.filter(role="incident_commander").order_by("started_at")
    assert [(str(term.person), term.ended_at) for term in terms] == [("Grace", timezone.now()), ("Tomas", None)]
    assert incident.timeline.last().text == "Incident commander: Tomas, taking over from Grace."


def test_a_role_is_held_by_one(declare, grace):
    incident = declare()
    with pytest.raises(Refused, match="Grace is incident commander already"):
        actions.assign(incident, role="incident_commander", person=grace, by=grace)
    with pytest.raises(IntegrityError), transaction.atomic():
        incident.roles.create(role="incident_commander", person=grace, started_at=timezone.now(), assigned_by=grace)


# Corrections


def line(incident, marker) -> TimelineEntry:
    return incident.timeline.filter(marker=marker).last()


def test_a_correction_adds_a_line_and_the_old_one_stays(declare, grace, freezer):
    incident = declare()
    was = line(incident, "detected")
    new = actions.correct(was, text="Alert 4711.", at=was.occurred_at, by=grace)
    was.refresh_from_db()
    assert was.text == "Monitoring alert."
    assert (new.corrects, new.kind, new.marker) == (was, "correction", "detected")
    entry = Entry.objects.get(deed="timeline.corrected")
    assert '"text":"Alert 4711."' in entry.line
    assert '"was":"Monitoring alert."' in entry.line
    assert ledger.verify() == []


def test_a_line_is_corrected_once_and_then_its_correction(declare, grace):
    incident = declare()
    was = line(incident, "detected")
    new = actions.correct(was, text="Alert 4711.", at=was.occurred_at, by=grace)
    with pytest.raises(Refused, match="correct the newer one"):
        actions.correct(was, text="Alert 4712.", at=was.occurred_at, by=grace)
    assert actions.correct(new, text="Alert 4712.", at=was.occurred_at, by=grace).corrects == new


@pytest.mark.parametrize(
    ("marker", "field", "minutes"),
    [("started", "started_at", -30), ("detected", "detected_at", 1), ("identified", "identified_at", -1)],
)
def test_a_corrected_marker_moves_the_incidents_own_instant(declare, update, grace, freezer, marker, field, minutes):
    incident = declare()
    update(incident, status="identified")
    was = line(incident, marker)
    to = was.occurred_at + minutes * MINUTE
    actions.correct(was, text="As the logs show.", at=to, by=grace)
    assert getattr(Incident.objects.get(), field) == to


def test_correcting_twice_moves_it_twice(declare, grace, freezer):
    incident = declare()
    first = actions.correct(line(incident, "started"), text="Logs.", at=timezone.now() - 10 * MINUTE, by=grace)
    actions.correct(first, text="Better logs.", at=timezone.now() - 20 * MINUTE, by=grace)
    assert Incident.objects.get().started_at == timezone.now() - 20 * MINUTE


def test_a_line_of_a_state_that_was_taken_back_moves_nothing(declare, update, grace, freezer):
    incident = declare()
    update(incident, status="resolved", reason="False alarm")
    over = line(incident, "resolved")
    freezer.shift(5 * MINUTE)
    update(incident, status="investigating", reason="It is back")
    actions.correct(over, text="It had never ended.", at=over.occurred_at, by=grace)
    assert Incident.objects.get().resolved_at is None
    freezer.shift(5 * MINUTE)
    update(incident, status="resolved", reason="Now it is")
    second = line(incident, "resolved")
    actions.correct(over.corrected_by, text="Still wrong.", at=over.occurred_at, by=grace)
    assert Incident.objects.get().resolved_at == second.occurred_at


@pytest.mark.parametrize(
    ("marker", "minutes", "sentence"),
    [
        ("started", 1, "An incident cannot be noticed before it started."),
        ("detected", -1, "An incident cannot be noticed before it started."),
        ("resolved", -60, "An incident cannot be resolved before it started."),
        ("started", 60, "lies ahead"),
    ],
)
def test_a_correction_cannot_turn_the_order_of_instants(declare, update, grace, freezer, marker, minutes, sentence):
    incident = declare()
    update(incident, status="resolved", reason="False alarm")
    was, before = line(incident, marker), incident.timeline.count()
    with pytest.raises(Refused, match=sentence):
        actions.correct(was, text="Typo.", at=was.occurred_at + minutes * MINUTE, by=grace)
    assert incident.timeline.count() == before
    assert getattr(Incident.objects.get(), f"{marker}_at") == was.occurred_at


# covers R003-18
def test_containing_is_a_note_that_sets_the_instant(declare, grace, freezer):
    incident = declare()
    freezer.shift(20 * MINUTE)
    actions.add_note(incident, text="Traffic drained.", at=timezone.now() - 5 * MINUTE, by=grace, marker="contained")
    assert Incident.objects.get().contained_at == timezone.now() - 5 * MINUTE


@pytest.mark.parametrize(("minutes", "late"), [(0, False), (15, False), (16, True)])
def test_a_line_written_down_much_later_says_so(declare, grace, freezer, minutes, late):
    incident = declare()
    freezer.shift(60 * MINUTE)
    entry = actions.add_note(incident, text="Restarted.", at=timezone.now() - minutes * MINUTE, by=grace)
    assert entry.is_late is late
