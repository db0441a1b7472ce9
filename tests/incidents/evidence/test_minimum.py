"""The minimum evidence set as a rule: what is there, what is missing, where it is added."""

import dataclasses

import pytest

from incidents.evidence import minimum
from incidents.evidence.minimum import Facts, Topic

NOTHING = Facts(ref="INC-1", severity="SEV1 Critical", ai=True)
FULL = Facts(
    ref="INC-1",
    severity="SEV1 Critical",
    commander="Grace",
    ai=True,
    contained=True,
    notes=3,
    topics={Topic.CONTAINMENT: 1, Topic.REQUESTS: 2, Topic.DECISIONS: 1},
    scope=(True, True, True),
    rules=(True, True),
    decisions=True,
    deltas=(True, True, True),
    routing=(True, True, True),
)


def line(facts: Facts, code: str) -> minimum.Line:
    return next(line for line in [*minimum.set_of(facts), *minimum.captures(facts)] if line.code == code)


def with_(**given) -> Facts:
    return dataclasses.replace(FULL, **given)


def test_the_set_has_the_six_entries_and_minute_20_to_40_its_captures():
    # covers R002-08, R002-06
    assert [line.code for line in minimum.set_of(FULL)] == [
        "head",
        "scope",
        "rules",
        "decisions",
        "deltas",
        "containment",
    ]
    assert [line.code for line in minimum.captures(FULL)] == ["requests", "logs", "versions", "routing", "changes"]


def test_of_nothing_every_entry_is_missing_and_says_what():
    gaps = minimum.gaps(NOTHING)
    assert len(gaps) == 11
    assert all(line.missing.endswith(".") and not line.found for line in gaps)


def test_what_is_there_is_said_and_nothing_is_missing():
    assert minimum.gaps(FULL) == []
    assert all(line.found for line in [*minimum.set_of(FULL), *minimum.captures(FULL)])


@pytest.mark.parametrize(
    ("facts", "code", "sentence", "where"),
    [
        ({"commander": ""}, "head", "Nobody commands it.", "roles"),
        ({"contained": False, "over": True}, "head", "does not say when it was contained", "timeline"),
        ({"scope": (True, False, False)}, "scope", "Not said: use cases, endpoints.", "ai"),
        ({"rules": (True, False)}, "rules", "Not said: policy version.", "ai"),
        ({"rules": (False, False)}, "versions", "Nothing says which rules were in force.", "ai"),
        ({"decisions": False, "topics": {}}, "decisions", "nor why there is none", "ai"),
        ({"deltas": (True, False, True)}, "deltas", "Not said: latency.", "ai"),
        ({"topics": {}}, "containment", "how that was seen", "items"),
        ({"contained": False}, "containment", "does not say when it was contained", "timeline"),
        ({"topics": {}}, "requests", "what was asked and answered", "items"),
        ({"topics": {}}, "logs", "No log of decisions", "items"),
        ({"routing": (True, True, False)}, "routing", "Not said: route.", "ai"),
        ({"notes": 0}, "changes", "Nobody has written down a change.", "timeline"),
    ],
)
def test_a_gap_says_what_is_missing_and_where_it_is_added(facts, code, sentence, where):
    # covers R002-08, R002-06
    found = line(with_(**facts), code)
    assert sentence in found.missing
    assert found.where == where


@pytest.mark.parametrize(
    ("topic", "code"),
    [
        (Topic.SCOPE, "scope"),
        (Topic.RULES, "rules"),
        (Topic.RULES, "versions"),
        (Topic.DECISIONS, "decisions"),
        (Topic.DECISIONS, "logs"),
        (Topic.DELTAS, "deltas"),
        (Topic.REQUESTS, "requests"),
        (Topic.ROUTING, "routing"),
        (Topic.CHANGES, "changes"),
    ],
)
def test_an_item_fills_the_entry_it_shows(topic, code):
    assert line(NOTHING, code).missing
    assert line(dataclasses.replace(NOTHING, topics={topic: 1}), code).found == "1 item"


def test_without_an_ai_what_only_an_ai_has_is_not_asked():
    facts = dataclasses.replace(NOTHING, ai=False)
    unasked = [line.code for line in [*minimum.set_of(facts), *minimum.captures(facts)] if not line.missing]
    assert unasked == ["rules", "decisions", "requests", "logs", "versions", "routing"]
    assert not any(line(facts, code).found for code in unasked)
    assert line(facts, "deltas").where == "items"
