"""The default profile's matrix, cell by cell, as requirements 1.9 writes it. Pure: no database."""

import dataclasses
from datetime import UTC, datetime, timedelta
from itertools import product
from zoneinfo import ZoneInfo

import pytest
import yaml

from incidents.policy import matrix
from incidents.policy.actions import PROFILES
from incidents.policy.matrix import AUDIENCES, Facts
from irportal.refused import Refused

RULE = {field.name for field in dataclasses.fields(matrix.DutyRule)}


def shipped() -> matrix.Rules:
    """The shipped profile as plain rules, read from its file."""
    cells, duties, reasons = {}, {}, set()
    for rank, audiences in yaml.safe_load((PROFILES / "default-unified.yaml").read_text())["matrix"].items():
        for audience, cell in audiences.items():
            cells[rank, audience] = (cell["mode"], cell.get("scope", "all"))
            if cell.get("override") == "reason_required":
                reasons.add((rank, audience))
            duties[rank, audience] = [
                matrix.DutyRule(duty["class"], **{key: duty[key] for key in RULE & duty.keys()})
                for duty in cell.get("duties", [])
            ]
    return matrix.Rules(cells, duties, frozenset(reasons))


RULES = shipped()
UPDATE_1, UPDATE_2 = "status_update 30m/30m/30m", "status_update 60m/60m/60m"
BREACH, NOTICE_1, NOTICE_2 = "breach_notice 72h//", "incident_notice 24h//", "incident_notice 72h//"
DAY, FAST, FASTEST = (f"regulator_decision {amount}//" for amount in ("24h", "4h", "2h"))
SUMMARY = "internal_summary //1bd_end"


def owed(rank: int, audience: str, facts: Facts) -> set[str]:
    duties = matrix.duties_for(RULES, rank, audience, facts)
    return {f"{duty.message_class} {duty.first}/{duty.every}/{duty.close}" for duty in duties}


def wanted(rank: int, audience: str, facts: Facts) -> set[str]:
    """Requirements 1.9 in words of our own: what is owed under these facts."""
    touched, data, harm = facts.affected, facts.personal_data, facts.ai_harm
    breach = {BREACH} if data else set()
    return {
        (1, "customers"): {UPDATE_1, NOTICE_1} | breach,
        (1, "regulators"): {FASTEST if facts.short_clock else FAST},
        (1, "public"): {"status_page 15m/30m/"} | ({"public_statement 24h//"} if facts.material else set()),
        (1, "internal"): {"internal_update 15m/15m/"} | ({"board_notice day_end//"} if facts.material else set()),
        (2, "customers"): {UPDATE_2, NOTICE_2} | breach if touched else set(),
        (2, "regulators"): {FAST} if data or harm else {DAY},
        (2, "public"): {"status_page 30m/60m/"} if facts.down else set(),
        (2, "internal"): {"internal_update 60m/60m/"},
        (3, "regulators"): {DAY} if data or harm else set(),
        (3, "internal"): {SUMMARY},
        (4, "regulators"): {DAY} if data or harm else set(),
    }.get((rank, audience), set())


FACTS = [Facts(*flags) for flags in product((False, True), repeat=7)]


@pytest.mark.parametrize("rank", [1, 2, 3, 4])
@pytest.mark.parametrize("audience", AUDIENCES)
@pytest.mark.parametrize("facts", FACTS, ids=str)
def test_every_cell_owes_what_the_profile_says_under_every_fact(rank, audience, facts):
    assert owed(rank, audience, facts) == wanted(rank, audience, facts)


@pytest.mark.parametrize(
    ("rank", "outage", "everybody"),
    [(1, True, True), (1, False, False), (2, True, False), (2, False, False), (3, True, False), (4, True, False)],
)
def test_only_a_critical_outage_reaches_everybody(rank, outage, everybody):
    """Rank 4 owes customers nothing; a message somebody writes all the same goes to those affected."""
    assert matrix.reaches_all(RULES, rank, Facts(is_outage=outage)) is everybody


def test_holding_messages_are_for_status_updates_and_the_page_alone():
    held = {
        (rank, duty.message_class)
        for rank, audience in product((1, 2, 3, 4), AUDIENCES)
        for duty in matrix.duties_for(RULES, rank, audience, Facts(True, True, True, down=True))
        if duty.holding
    }
    assert held == {(1, "status_update"), (1, "status_page"), (2, "status_update"), (2, "status_page")}


@pytest.mark.parametrize(
    ("rank", "audience", "may"),
    [
        *[(rank, audience, "yes") for rank in (1, 2) for audience in AUDIENCES],
        # covers R003-23, R003-24
        *[(3, "customers", "yes"), (3, "regulators", "yes"), (3, "public", "reason"), (3, "internal", "yes")],
        *[(4, "customers", "no"), (4, "regulators", "yes"), (4, "public", "no"), (4, "internal", "yes")],
        (5, "public", "yes"),  # of what the policy does not speak, nothing is owed and nothing forbidden
    ],
)
def test_who_may_be_told_at_all(rank, audience, may):
    assert matrix.may_tell(RULES, rank, audience) == may


@pytest.mark.parametrize("rank", [1, 2])
def test_a_law_may_ask_for_a_formal_notice_before_the_policy_does(rank):
    owed_now = matrix.duties_for(RULES, rank, "customers", Facts(True, True))
    assert {duty.message_class for duty in owed_now if duty.or_earlier} == {"incident_notice", "breach_notice"}


def test_the_shortest_of_several_amounts_counts():
    rule = matrix.DutyRule("x", first="24h", first_if_data_or_ai_harm="4h", first_if_short_clock="2h")
    rules = matrix.Rules({(1, "regulators"): ("decide", "all")}, {(1, "regulators"): [rule]})
    facts = [Facts(), Facts(personal_data=True), Facts(short_clock=True), Facts(personal_data=True, short_clock=True)]
    found = [matrix.duties_for(rules, 1, "regulators", known)[0].first for known in facts]
    assert found == ["24h", "4h", "2h", "2h"]


def test_a_contained_incident_of_rank_two_is_told_of_once_a_day_inside():
    [duty] = matrix.duties_for(RULES, 2, "internal", Facts())
    assert duty.daily_once_contained == "17:00"


def test_a_rank_nobody_knows_owes_nothing():
    assert owed(5, "customers", Facts(True)) == owed(1, "martians", Facts(True)) == set()


# Amounts of time

MONDAY = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("amount", "due"),
    [
        ("15m", "2026-03-02 14:45"),
        ("90m", "2026-03-02 16:00"),
        ("24h", "2026-03-03 14:30"),
        ("72h", "2026-03-05 14:30"),
        ("3d", "2026-03-05 14:30"),
        ("0m", "2026-03-02 14:30"),
        ("1bd_end", "2026-03-03 18:00"),
        ("5bd_end", "2026-03-09 18:00"),
        ("day_end", "2026-03-02 23:59"),
    ],
)
def test_an_amount_after_an_instant(amount, due):
    assert f"{matrix.due(amount, MONDAY):%Y-%m-%d %H:%M}" == due


@pytest.mark.parametrize(
    ("anchor", "due"),
    [
        ("2026-03-05 23:59", "2026-03-06 18:00"),  # Thursday: Friday
        ("2026-03-06 00:00", "2026-03-09 18:00"),  # Friday: Monday
        ("2026-03-06 23:59", "2026-03-09 18:00"),
        ("2026-03-07 12:00", "2026-03-09 18:00"),  # Saturday: Monday
        ("2026-03-08 12:00", "2026-03-09 18:00"),  # Sunday: Monday
        ("2026-03-09 00:00", "2026-03-10 18:00"),  # Monday, after the weekend
        ("2025-12-31 20:00", "2026-01-01 18:00"),  # over the year; holidays are not known yet
    ],
)
def test_the_end_of_the_next_business_day_skips_the_weekend(anchor, due):
    at = datetime.strptime(anchor, "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
    assert f"{matrix.end_of_business_day(1, at):%Y-%m-%d %H:%M}" == due


@pytest.mark.parametrize(
    ("anchor", "zone", "due"),
    [
        ("2026-03-02 23:58", "UTC", "2026-03-02 23:59:00"),
        ("2026-03-02 23:59", "UTC", "2026-03-02 23:59:00"),
        ("2026-03-03 00:00", "UTC", "2026-03-03 23:59:00"),
        ("2026-03-02 23:30", "Europe/Paris", "2026-03-03 22:59:00"),
        ("2026-03-28 23:30", "Europe/Paris", "2026-03-29 21:59:00"),  # the day of 23 hours
    ],
)
def test_the_end_of_the_day_is_that_of_the_organisations_day(anchor, zone, due):
    at = datetime.strptime(anchor, "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
    assert f"{matrix.end_of_day(at, ZoneInfo(zone)):%Y-%m-%d %H:%M:%S}" == due


def test_in_the_last_minute_of_the_day_it_is_due_at_once():
    at = datetime(2026, 3, 2, 23, 59, 30, tzinfo=UTC)
    assert matrix.end_of_day(at, ZoneInfo("UTC")) == at


def test_a_business_day_is_a_day_of_the_organisation_whatever_zone_the_instant_came_in():
    tokyo = datetime(2026, 3, 7, 8, 0, tzinfo=ZoneInfo("Asia/Tokyo"))  # Friday 23:00 UTC
    assert f"{matrix.end_of_business_day(1, tokyo):%a %H:%M}" == "Mon 18:00"


@pytest.mark.parametrize("days", range(1, 15))
def test_n_business_days_from_a_monday_are_always_on_weekdays(days):
    found = matrix.end_of_business_day(days, MONDAY)
    weekends = sum((MONDAY + timedelta(d)).weekday() > 4 for d in range((found.date() - MONDAY.date()).days + 1))
    assert found.weekday() < 5
    assert (found.date() - MONDAY.date()).days == days + weekends


@pytest.mark.parametrize("amount", ["", "m", "15", "15x", "-5m", "1.5h", "15 m", "bd_end", "xbd_end"])
def test_a_misspelt_amount_is_refused(amount):
    with pytest.raises((Refused, ValueError)):
        matrix.due(amount, MONDAY)


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        ("30m", "30 min"),
        ("24h", "24 h"),
        ("3d", "3 d"),
        ("1bd_end", "by the end of the next business day"),
        ("day_end", "by the end of the day"),
    ],
)
def test_an_amount_is_said_in_words(amount, words):
    assert matrix.words(amount) == words
