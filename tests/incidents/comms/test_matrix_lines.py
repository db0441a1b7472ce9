"""Every line of the default profile as the requirements write it (1.9): what holds it, or which part is to hold it.

A line is held by the rows of the shipped policy (ROWS), by what the portal does (DEEDS, tests named where they stand),
or not yet (LATER, with the part it belongs to). A line in none of them, or in two, fails.
"""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.utils import timezone

from incidents.comms.models import CommsDuty
from incidents.policy.models import CommObligation, PolicyVersion
from incidents.room.views import targets
from irportal.outbox import engine

TESTS = Path(__file__).resolve().parents[2]
SAID = yaml.safe_load((TESTS / "data" / "default-profile.yaml").read_text())
RANKS = (1, 2, 3, 4)
WHOLE, LAWS, OUTSIDE = "test_matrix_whole.py", "test_laws.py", "test_outside.py"


def obligation(rank: int, audience: str, message_class: str) -> CommObligation:
    return CommObligation.objects.get(cell__rank=rank, cell__audience=audience, message_class=message_class)


def part(rank: int, audience: str, message_class: str, **names: str) -> dict[str, str]:
    """Some columns of an obligation under the names the requirements give them."""
    row = obligation(rank, audience, message_class)
    return {name: getattr(row, column) for name, column in names.items()}


def cell(rank: int, audience: str, name: str = "mode") -> str:
    return getattr(PolicyVersion.objects.get().cells.get(rank=rank, audience=audience), name)


def level(rank: int) -> Any:
    return PolicyVersion.objects.get().severities.get(rank=rank)


def called(condition: str) -> dict[int, dict[str, str]]:
    rules = PolicyVersion.objects.get().escalation_rules.filter(condition=condition)
    return {rank: {rule.role: rule.after for rule in rules if rule.rank == rank} for rank in RANKS}


def roles_of(name: str) -> dict[Any, list[str]]:
    found: dict[Any, list[str]] = {}
    for rule in getattr(PolicyVersion.objects.get(), name).order_by("pk"):
        found.setdefault(getattr(rule, "rank", None) or rule.message_class, []).append(rule.role)
    return found


UPDATE = {"first": "first", "every": "every", "close": "close"}
NOTICE = {"due": "first", "or_earlier": "or_earlier"}
ROWS = {
    "profile": lambda: PolicyVersion.objects.get().profile.name,
    "version": lambda: PolicyVersion.objects.get().number,
    "labels": lambda: {rank: str(level(rank)) for rank in RANKS},
    **{f"response.{rank}.ack": lambda rank=rank: level(rank).acknowledge for rank in RANKS},
    "unacknowledged_page": lambda: {rank: rules for rank, rules in called("unacknowledged").items() if rules},
    "escalate_if_unresolved": lambda: called("unresolved"),
    "notify_on_declare": lambda: roles_of("notify_rules"),  # covers R003-14, R003-17, C-03
    "approvals": lambda: roles_of("approval_rules"),
    "checkpoints.contained": lambda: level(1).contain,
    "checkpoints.resolved_target": lambda: level(2).resolve,
    "holding_message.max_consecutive": lambda: PolicyVersion.objects.get().holding_max_consecutive,
    "resolve_gate.monitoring": lambda: f"{PolicyVersion.objects.get().gate_monitoring_minutes}m",
    **{
        f"matrix.{rank}.{audience}.mode": lambda rank=rank, audience=audience: cell(rank, audience)
        for rank, audience in [
            *[(rank, "customers") for rank in RANKS],
            *[(rank, "regulators") for rank in RANKS],
            *[(rank, "public") for rank in (3, 4)],
        ]
    },
    **{
        f"matrix.{rank}.customers.status_update.{name}": lambda rank=rank, name=name: getattr(
            obligation(rank, "customers", "status_update"), name
        )
        for rank in (1, 2)
        for name in UPDATE
    },
    **{
        f"matrix.{rank}.customers.incident_notice": lambda rank=rank: part(
            rank, "customers", "incident_notice", **NOTICE
        )
        for rank in (1, 2)
    },
    **{
        f"matrix.{rank}.customers.breach_notice": lambda rank=rank: part(
            rank, "customers", "breach_notice", **NOTICE, when="when"
        )
        for rank in (1, 2)
    },
    **{
        f"matrix.{rank}.regulators.decision_due": lambda rank=rank: (
            obligation(rank, "regulators", "regulator_decision").first
        )
        for rank in RANKS
    },
    "matrix.1.regulators.decision_due_if_clock_6h_or_less": lambda: (
        obligation(1, "regulators", "regulator_decision").first_if_short_clock
    ),
    "matrix.2.regulators.decision_due_if_data_or_ai_harm": lambda: (
        obligation(2, "regulators", "regulator_decision").first_if_data_or_ai_harm
    ),
    **{f"matrix.{rank}.public.status_page.mode": lambda rank=rank: cell(rank, "public") for rank in (1, 2)},
    **{
        f"matrix.{rank}.public.status_page.{name}": lambda rank=rank, name=name: getattr(
            obligation(rank, "public", "status_page"), name
        )
        for rank in (1, 2)
        for name in ("first", "every")
    },
    **{
        f"matrix.{rank}.public.press_or_social.mode": lambda rank=rank: (
            obligation(rank, "public", "public_statement").mode
        )
        for rank in (1, 2)
    },
    **{
        f"matrix.{rank}.public.press_or_social.approval": lambda: roles_of("approval_rules")["public_statement"]
        for rank in (1, 2)
    },
    "matrix.3.public.override": lambda: cell(3, "public", "override"),
    **{
        f"matrix.{rank}.internal.written_update.every": lambda rank=rank: (
            obligation(rank, "internal", "internal_update").every
        )
        for rank in (1, 2)
    },
    "matrix.2.internal.written_update.then": lambda: (
        f"daily {obligation(2, 'internal', 'internal_update').daily_once_contained} organisation time"
    ),
    "matrix.3.internal.end_of_incident_summary.due": lambda: obligation(3, "internal", "internal_summary").close,
    "matrix.4.internal.scope": lambda: cell(4, "internal", "scope"),
}

DEEDS = {
    "response.clock_from": ("test_matrix_lines.py", "test_the_time_to_acknowledge_counts_from_detection"),
    "response.1.page_within": ("test_matrix_lines.py", "test_the_page_leaves_in_the_turn_after_the_declaration"),
    "response.2.page_within": ("test_matrix_lines.py", "test_the_page_leaves_in_the_turn_after_the_declaration"),
    "board_if_material": (OUTSIDE, "test_a_critical_one_that_is_material_owes_the_board_the_same_day"),
    "matrix.1.customers.scope": ("../policy/test_matrix.py", "test_only_a_critical_outage_reaches_everybody"),
    "matrix.2.customers.scope": ("../policy/test_matrix.py", "test_only_a_critical_outage_reaches_everybody"),
    **{
        f"matrix.{rank}.{lane}.until": (WHOLE, "test_resolving_owes_the_closing_message")
        for rank in (1, 2)
        for lane in ("customers.status_update", "public.status_page")
    },
    "matrix.1.internal.written_update.until": (WHOLE, "test_a_critical_one_stays_at_every_quarter_of_an_hour"),
    "matrix.2.internal.written_update.until": (WHOLE, "test_once_contained_internal_updates_are_due_at_five"),
    "matrix.1.internal.channel": ("../lifecycle/test_record.py", "test_incidents_declared_in_one_minute_get_channels"),
    "matrix.1.regulators.then": (LAWS, "test_each_law_for_a_regulator_is_a_filing_of_its_own"),
    "matrix.2.regulators.then": (LAWS, "test_each_law_for_a_regulator_is_a_filing_of_its_own"),
    "matrix.3.customers.status_update.at": (WHOLE, "test_medium_customers_who_were_told_at_the_start_are_told_the_end"),
    "matrix.3.internal.end_of_incident_summary.anchor": (WHOLE, "test_resolving_owes_the_closing_message"),
    "holding_message.send_automatically": ("test_promises.py", "test_the_holding_message_leaves_when_nobody_wrote"),
    "holding_message.then_page": (
        "test_promises.py",
        "test_at_most_two_holding_messages_in_a_row_then_comms_lead_and_commander",
    ),
    "holding_message.mark_tick": ("test_clocks.py", "test_every_tick_is_kept_within_one_turn_of_the_engine"),
    "resolve_gate.override": (
        "../lifecycle/test_states.py",
        "test_resolved_waits_thirty_minutes_in_monitoring_or_says_why_not",
    ),
}

LATER = {
    "definitions": "held in our own words, line by line: see the test below",
    "checkpoints.classified": "runbooks",
    "checkpoints.first_containment": "runbooks",
    "checkpoints.evidence_snapshot": "evidence",
    "checkpoints.stabilised_and_internal_update": "runbooks",
    "ai_controls": "runbooks",
    "resolve_gate.conditions": "runbooks: metrics are not read yet",
    "resolve_gate.ticks": "runbooks",
    "post_incident": "postmortems: their due times",
    "action_items": "postmortems: defaults, reminders and escalation of actions",
    "thresholds": "intake",
    "drills": "drills",
    "reviews": "readiness",
    "calendar.business_hours": "the day ends at 18:00 where the organisation is; its beginning counts nowhere",
    "calendar.holidays": "weekends are left out, holidays are not known yet",
    "calendar.timezone": "ORGANISATION_TIME_ZONE, UTC unless set; ../policy/test_zones.py",
}


def leaves(tree: Any, path: str = "") -> Iterator[str]:
    """The path of every value; a list is one value, an empty mapping too."""
    if not isinstance(tree, dict) or not tree:
        yield path
        return
    for name, below in tree.items():
        yield from leaves(below, f"{path}.{name}".lstrip("."))


def at(path: str) -> Any:
    found = SAID
    for name in path.split("."):
        found = found[int(name) if name.isdigit() else name]
    return found


@pytest.mark.parametrize("leaf", list(leaves(SAID)))
def test_every_line_is_accounted_for_once(leaf):
    holders = [path for table in (ROWS, DEEDS, LATER) for path in table if f"{leaf}.".startswith(f"{path}.")]
    assert len(holders) == 1, holders


@pytest.mark.parametrize("path", [*ROWS, *DEEDS, *LATER])
def test_no_line_is_accounted_for_that_is_not_there(path):
    at(path)


@pytest.mark.django_db
@pytest.mark.parametrize("path", ROWS)
def test_the_shipped_policy_says_what_the_line_says(organisation, path):
    assert ROWS[path]() == at(path)


@pytest.mark.parametrize("path", DEEDS)
def test_the_test_that_holds_the_line_is_there(path):
    file, name = DEEDS[path]
    assert any(
        line.startswith("def test_") and name in line
        for line in (Path(__file__).parent / file).read_text().splitlines()
    )


@pytest.mark.django_db
@pytest.mark.parametrize("rank", RANKS[:3])
def test_each_definition_has_a_line_of_its_own(organisation, rank):
    assert len(level(rank).definitions.splitlines()) == len(SAID["definitions"][rank])


# covers R003-14, C-02
@pytest.mark.django_db
def test_the_page_leaves_in_the_turn_after_the_declaration(declare, freezer, smtp_relay):
    declare()
    engine.run_once()
    assert {"grace@example.com", "lin@example.com"} <= set(smtp_relay.addresses)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("rank", "limit"),
    [
        (1, 15),  # covers R000-05, R001-04, C-02
        (2, 30),  # covers R001-05, C-02
        (3, 120),  # covers R001-06, C-02
    ],
)
def test_the_time_to_acknowledge_counts_from_detection(declare, freezer, rank, limit):
    incident = declare(rank=rank, detected_at=timezone.now() - timedelta(minutes=1))
    [row] = [row for row in targets(incident) if row["name"] == "Acknowledged"]
    assert row["limit"] == incident.detected_at + timedelta(minutes=limit)


# covers R000-08, R003-17, C-02
@pytest.mark.django_db
def test_a_low_one_is_acknowledged_by_the_end_of_the_next_business_day(declare, freezer):
    freezer.move_to("2026-03-06 20:00 +0000")
    [row] = [row for row in targets(declare(rank=4)) if row["name"] == "Acknowledged"]
    assert f"{row['limit']:%A %H:%M}" == "Monday 18:00"


@pytest.mark.django_db
@pytest.mark.parametrize("rank", RANKS)
def test_every_promise_of_the_matrix_has_words_of_its_own(organisation, rank):
    named = CommObligation.objects.filter(cell__rank=rank).values_list("message_class", flat=True)
    assert set(named) <= set(CommsDuty.LABELS)
