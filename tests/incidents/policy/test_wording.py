"""A policy in words: how a cell is read, and what differs between two versions."""

import copy

import pytest

from incidents.policy import actions, documents, wording

DEFAULT = documents.read((actions.PROFILES / "default-unified.yaml").read_text())


def change(path: str, value):
    """The default profile with one thing said otherwise; None takes it out."""
    found = copy.deepcopy(DEFAULT)
    *steps, last = (int(step) if step.isdigit() else step for step in path.split("."))
    here = found
    for step in steps:
        here = here[step] if isinstance(here, list) else here.setdefault(step, {})
    if value is None:
        del here[last]
    else:
        here[last] = value
    return documents.checked(found)


@pytest.mark.parametrize(
    ("path", "value", "part", "subject", "said"),
    [
        (
            "matrix.1.customers.duties.0.first",
            "20m",
            "Matrix",
            "SEV1, customers, status update, first",
            "30 min → 20 min",
        ),
        (
            "matrix.1.customers.duties.0.every",
            "1h",
            "Matrix",
            "SEV1, customers, status update, then every",
            "30 min → 1 h",
        ),
        (
            "matrix.1.customers.duties.0.close",
            None,
            "Matrix",
            "SEV1, customers, status update, closing message",
            "no longer 30 min",
        ),
        ("matrix.2.customers.mode", "required", "Matrix", "SEV2, customers, mode", "If affected → Required"),
        ("matrix.2.customers.scope", "all", "Matrix", "SEV2, customers, who", "no longer Those affected"),
        (
            "matrix.3.public.override",
            None,
            "Matrix",
            "SEV3, status page and press, possible all the same",
            "no longer with a reason",
        ),
        ("matrix.4.internal.note", "By chat", "Matrix", "SEV4, internal, note", "By chat"),
        ("severities.1.acknowledge", "5m", "Severities", "SEV1, time to acknowledge", "15 min → 5 min"),
        ("severities.2.label", "P1", "Severities", "Severity 2", "SEV2 → P1"),
        ("severities.4.enabled", False, "Severities", "SEV4, in use", "yes → no"),
        ("approvals.status_update", ["legal_lead"], "Approvals", "Status update", "Comms lead → Legal lead"),
        ("approvals.public_statement", None, "Approvals", "Press", "no longer Legal lead"),
        (
            "notify_on_declare.4",
            ["owning_team", "ai_lead"],
            "Told at once",
            "SEV4",
            "Owning team → Owning team and AI lead",
        ),
        (
            "escalate_if_unresolved.3.management",
            "2h",
            "Called later",
            "SEV3, management while unresolved",
            "after 4 h → after 2 h",
        ),
        ("thresholds.0.suggests", 2, "Thresholds", "Error rate, %: above 25", "suggests SEV1 → suggests SEV2"),
        ("resolve_gate.monitoring", "1h", "Before Resolved", "Time in Monitoring", "30 min → 1 h"),
        ("resolve_gate.ticks", ["Fix verified"], "Before Resolved", "Data reconciled", "no longer must be ticked"),
        ("checkpoints.1.contained", "30m", "Checkpoints", "SEV1, contained", "by 60 min → by 30 min"),
        ("grace", None, "General", "Grace of a repeated update", "no longer 2 min"),
        ("holding_max_consecutive", 1, "General", "Holding messages in a row", "2 → 1"),
        ("reminder.update", "5m", "General", "Reminder before an update", "10 min → 5 min"),
        ("customer_threshold", "100 tenants", "General", "Agreed threshold for telling customers", "100 tenants"),
    ],
)
def test_what_differs_is_said_in_words_part_by_part(path, value, part, subject, said):
    found = wording.differences(DEFAULT, change(path, value))
    assert f"{subject}: {said}" in [str(row) for row in found]
    assert {row.part for row in found} == {part}


def test_what_is_the_same_differs_in_nothing():
    other = copy.deepcopy(DEFAULT) | {"version": 9, "change_note": "x", "effective_from": "2030-01-01T00:00:00Z"}
    assert wording.differences(DEFAULT, documents.checked(other)) == []


@pytest.mark.parametrize("file", sorted(actions.PROFILES.glob("*-*.yaml")), ids=lambda file: file.stem)
def test_no_two_profiles_say_the_same_and_each_difference_can_be_undone(file):
    other = documents.read(file.read_text())
    there, back = wording.differences(DEFAULT, other), wording.differences(other, DEFAULT)
    assert bool(there) == bool(back) == (other["profile"] != DEFAULT["profile"])


def cell(rank, audience):
    return wording.cell(DEFAULT, rank, audience)


def test_a_cell_says_mode_first_cadence_closing_and_who_approves():
    found = cell(1, "customers")
    assert (found.mode, found.owes) == ("Required", True)
    assert found.lines[0].said == "Status update: first in 30 min, then every 30 min"
    assert "Closing message 30 min after the end" in found.lines[0].small
    assert "Comms lead approves" in found.lines[0].small
    assert "Executive sponsor and legal lead approve" in found.lines[1].small
    assert found.note == "Everybody in an outage, else those affected"


def test_a_line_shows_the_messages_of_the_first_two_hours():
    assert len(cell(1, "customers").rhythm) == 4
    assert len(cell(1, "internal").rhythm) == 8
    assert cell(1, "regulators").rhythm == []


def test_a_cell_the_policy_does_not_have_says_so():
    document = documents.read((actions.PROFILES / "seed-002.yaml").read_text())
    found = wording.cell(document, 1, "regulators")
    assert (found.mode, found.owes, found.lines) == ("Not said", False, [])


def test_a_threshold_names_the_severity_as_the_profile_calls_it():
    seed = documents.read((actions.PROFILES / "seed-001.yaml").read_text())
    assert wording.thresholds(seed)[0] == ("Error rate, %: above 5", "P1")
    assert ("P99 latency, times its baseline: above 2", "") in wording.thresholds(
        documents.read((actions.PROFILES / "seed-000.yaml").read_text())
    )
