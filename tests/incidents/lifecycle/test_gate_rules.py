"""What the gate before Resolved asks for, how limits are judged, which target counts: pure rules, in tables."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace

import pytest

from incidents.lifecycle import gate
from incidents.policy import actions as policy
from incidents.policy import documents

BEGAN = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ASKED = documents.read((policy.PROFILES / "default-unified.yaml").read_text())["resolve_gate"]
RULES = gate.rules_of(30, ASKED["conditions"] + ASKED["ticks"])


def read(signal, number, baseline=None, minute=5):
    base = None if baseline is None else Decimal(baseline)
    return SimpleNamespace(signal=signal, number=Decimal(number), baseline=base, at=BEGAN + minute * MINUTE)


def said(key, given=True):
    return SimpleNamespace(key=key, given=given)


WELL = [read("error_rate", "0.4"), read("latency", "184", "190"), read("new_alerts", "0")]


# covers R000-22, R001-27, C-17
def test_the_gate_asks_for_the_time_three_numbers_and_six_ticks():
    assert RULES.monitoring == timedelta(minutes=30)
    assert [row.label for row in RULES.conditions] == [
        "Error rate below 1 percent",
        "Latency back to baseline",
        "No new alerts",
    ]
    assert list(RULES.ticks) == [
        "root_cause",
        "fix_verified",
        "data_reconciled",
        "resolution_sent",
        "timeline_complete",
        "customer_test",
    ]


# covers R001-27
@pytest.mark.parametrize(
    ("readings", "lacks"),
    [
        (WELL, ["", "", ""]),
        ([], ["nobody entered it"] * 3),
        ([read("error_rate", "1"), *WELL[1:]], ["1 percent at 15:05", "", ""]),
        ([read("error_rate", "0.999"), *WELL[1:]], ["", "", ""]),
        ([WELL[0], read("latency", "190", "190"), WELL[2]], ["", "", ""]),
        ([WELL[0], read("latency", "190.5", "190"), WELL[2]], ["", "190.5 ms at 15:05", ""]),
        ([*WELL[:2], read("new_alerts", "1")], ["", "", "1 alerts at 15:05"]),
        ([*WELL, read("error_rate", "7", minute=9)], ["7 percent at 15:09", "", ""]),
        ([read("error_rate", "7", minute=9), *WELL], ["7 percent at 15:09", "", ""]),
        ([read("error_rate", "7"), *WELL[1:], read("error_rate", "0", minute=9)], ["", "", ""]),
        ([read("error_rate", "0", minute=-1), *WELL[1:]], ["read at 14:59, not in Monitoring", "", ""]),
        ([read("error_rate", "0", minute=0), *WELL[1:]], ["", "", ""]),
    ],
)
def test_the_newest_number_read_in_monitoring_decides(readings, lacks):
    assert [point.lacks for point in gate.conditions(RULES, readings, since=BEGAN)] == lacks


def test_what_was_read_before_there_was_any_monitoring_proves_nothing():
    assert not any(point.met for point in gate.conditions(RULES, WELL, since=None))


# covers R000-22
@pytest.mark.parametrize(
    ("given", "met"),
    [
        ([], set()),
        ([said("fix_verified")], {"fix_verified"}),
        ([said("fix_verified"), said("fix_verified", False)], set()),
        ([said("fix_verified"), said("fix_verified", False), said("fix_verified")], {"fix_verified"}),
        ([said("somebody's own")], set()),
    ],
)
def test_the_last_word_on_a_tick_counts(given, met):
    assert {point.key for point in gate.ticks(RULES, given) if point.met} == met


def test_an_update_to_customers_that_resolves_it_is_the_resolution_sent():
    points = gate.ticks(RULES, [], met_by_deed=[gate.SENT])
    assert [point.key for point in points if point.met] == ["resolution_sent"]


@pytest.mark.parametrize(
    ("since", "at", "met", "lacks"),
    [
        (BEGAN, 30, True, ""),
        (BEGAN, 29.99, False, "29 min so far"),
        (BEGAN, 0, False, "0 min so far"),
        (None, 90, False, "not begun"),
    ],
)
def test_thirty_minutes_in_monitoring(since, at, met, lacks):
    point = gate.waited(RULES, since, BEGAN + at * MINUTE)
    assert (point.label, point.met, point.lacks) == ("30 min in Monitoring", met, lacks)


def test_what_is_missing_is_said_with_why():
    points = gate.conditions(RULES, [read("error_rate", "2.500")], since=BEGAN) + gate.ticks(RULES, [])
    assert gate.missing(points)[:2] == [
        "Error rate below 1 percent (2.5 percent at 15:05)",
        "Latency back to baseline (nobody entered it)",
    ]
    assert "Fix verified" in gate.missing(points)


# Limits


# covers R004-03, R004-11, C-25
@pytest.mark.parametrize(
    ("kind", "seconds", "outcome"),
    [
        ("kill_switch", 0, "met"),
        ("kill_switch", 60, "met"),
        ("kill_switch", 61, "missed"),
        ("rollback", 61, "met"),
        ("rollback", 900, "met"),
        ("rollback", 901, "missed"),
    ],
)
def test_a_halt_has_sixty_seconds_and_a_rollback_fifteen_minutes_from_authorisation(kind, seconds, outcome):
    ended = BEGAN + timedelta(seconds=seconds)
    due_at = BEGAN + getattr(RULES.limits, kind)
    assert gate.answer(BEGAN, ended, due_at, ended).outcome == outcome


@pytest.mark.parametrize(("seconds", "outcome"), [(0, "pending"), (60, "pending"), (61, "missed"), (9000, "missed")])
def test_what_is_open_and_past_its_limit_counts_as_missed(seconds, outcome):
    due_at = BEGAN + timedelta(seconds=60)
    assert gate.answer(BEGAN, None, due_at, BEGAN + timedelta(seconds=seconds)).outcome == outcome


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (48, "48 s"), (60, "1 min"), (125, "2 min 05 s"), (900, "15 min"), (7500, "2 h 05 min")],
)
def test_a_length_is_said_to_the_second_below_an_hour(seconds, words):
    assert gate.span(timedelta(seconds=seconds)) == words


# Requirements 5.3: the most severe rank held before it was acknowledged
@pytest.mark.parametrize(
    ("changes", "acknowledged", "rank"),
    [
        ([(0, 1)], 5, 1),
        ([(0, 3), (2, 1)], 5, 1),
        ([(0, 1), (2, 3)], 5, 1),
        ([(0, 3), (7, 1)], 5, 3),
        ([(0, 3), (7, 1)], None, 1),
        ([(0, 2)], 0, 2),
        ([], 5, None),
    ],
)
def test_the_target_is_that_of_the_worst_severity_before_somebody_acknowledged(changes, acknowledged, rank):
    ranks = [(BEGAN + minute * MINUTE, held) for minute, held in changes]
    at = None if acknowledged is None else BEGAN + acknowledged * MINUTE
    assert gate.response_rank(ranks, at) == rank
