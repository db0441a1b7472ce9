"""The states of an incident, in memory: where it can go, when, and what needs a reason."""

from datetime import UTC, datetime, timedelta

import pytest

from incidents.lifecycle.models import Incident
from incidents.policy.models import PolicyVersion
from irportal.refused import Refused
from statuspage.models import Component, Notice

START = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
NOW = START + timedelta(hours=1)
STATES = ["investigating", "identified", "monitoring", "resolved"]
FORWARD = {(a, b) for a in STATES for b in STATES if STATES.index(b) > STATES.index(a)}
BACK = {("identified", "investigating"), ("monitoring", "investigating"), ("monitoring", "identified")}
AGAIN = {("resolved", "investigating")}


def incident(status: str, **given: object) -> Incident:
    made = Incident(
        number=1, status=status, started_at=START, detected_at=START, declared_at=START, policy_version=PolicyVersion()
    )
    if status in ("monitoring", "resolved"):
        made.recovered_at = NOW - timedelta(minutes=30)
    if status == "resolved":
        made.resolved_at = NOW
    for name, value in given.items():
        setattr(made, name, value)
    return made


# covers R001-42, C-16, C-26
def test_inside_and_outside_know_the_same_four_states_and_components_have_their_own():
    assert Incident.Status.values == Notice.Status.values == STATES
    assert set(Component.State.values) == {
        "operational",
        "degraded_performance",
        "partial_outage",
        "major_outage",
        "under_maintenance",
    }


@pytest.mark.parametrize("was", STATES)
@pytest.mark.parametrize("to", STATES)
def test_every_move_is_possible_or_refused_as_the_table_says(was, to):
    it = incident(was)
    if (was, to) in FORWARD | BACK | AGAIN:
        it.move_to(to, at=NOW, reason="Because")
        assert it.status == to
    else:
        with pytest.raises(Refused, match="cannot become"):
            it.move_to(to, at=NOW, reason="Because")
        assert it.status == was


@pytest.mark.parametrize(("was", "to"), sorted(BACK | AGAIN))
def test_every_way_back_needs_a_reason(was, to):
    with pytest.raises(Refused, match="Going back from"):
        incident(was).move_to(to, at=NOW)


@pytest.mark.parametrize(("was", "to"), sorted(move for move in FORWARD if move[1] != "resolved"))
def test_the_way_forward_needs_none(was, to):
    incident(was).move_to(to, at=NOW)


# covers C-17
@pytest.mark.parametrize(
    ("minutes", "opens"), [(0, False), (29, False), (29.99, False), (30, True), (31, True), (600, True)]
)
def test_resolved_waits_thirty_minutes_in_monitoring_or_says_why_not(minutes, opens):
    over = NOW - timedelta(minutes=minutes)
    it = incident("monitoring", started_at=over, detected_at=over, recovered_at=over)
    assert (it.needs_reason("resolved", at=NOW) == "") is opens
    if not opens:
        with pytest.raises(Refused, match="30 min in Monitoring"):
            it.move_to("resolved", at=NOW)
        it.move_to("resolved", at=NOW, reason="Stable")
    else:
        it.move_to("resolved", at=NOW)
    assert it.gate_override_reason == ("" if opens else "Stable")


@pytest.mark.parametrize("was", ["investigating", "identified"])
def test_resolved_without_monitoring_says_why(was):
    with pytest.raises(Refused, match="say why not to wait"):
        incident(was).move_to("resolved", at=NOW)


@pytest.mark.parametrize("to", ["identified", "monitoring", "resolved"])
def test_nothing_happens_before_the_incident_started(to):
    with pytest.raises(Refused, match="That lies before the incident started, 2026-03-02 14:30 UTC"):
        incident("investigating").move_to(to, at=START - timedelta(seconds=1), reason="x")


# covers R003-18: diagnosed is Identified, remediated is Monitoring
def test_the_instants_follow_the_states():
    it, minute = incident("investigating"), timedelta(minutes=1)
    it.move_to("identified", at=NOW)
    it.move_to("monitoring", at=NOW + minute)
    assert (it.identified_at, it.recovered_at) == (NOW, NOW + minute)
    it.move_to("identified", at=NOW + 2 * minute, reason="It is back")
    assert (it.identified_at, it.recovered_at) == (NOW, None)
    it.move_to("monitoring", at=NOW + 3 * minute)
    it.move_to("resolved", at=NOW + 40 * minute)
    assert (it.recovered_at, it.resolved_at) == (NOW + 3 * minute, NOW + 40 * minute)
    it.move_to("investigating", at=NOW + 50 * minute, reason="Again")
    assert (it.recovered_at, it.resolved_at) == (None, None)


def test_resolving_at_once_ends_the_impact_at_the_same_instant():
    it = incident("investigating")
    it.move_to("resolved", at=NOW, reason="False alarm")
    assert it.recovered_at == it.resolved_at == NOW


def test_a_refused_move_changes_nothing():
    it = incident("monitoring")
    before = dict(vars(it))
    with pytest.raises(Refused):
        it.move_to("investigating", at=NOW)
    assert dict(vars(it)) == before
