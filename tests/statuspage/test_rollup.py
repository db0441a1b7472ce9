import pytest

from statuspage.rollup import indicator, sentence

OK, SLOW, PART, DOWN, WORK = (
    "operational",
    "degraded_performance",
    "partial_outage",
    "major_outage",
    "under_maintenance",
)


@pytest.mark.parametrize(
    ("states", "impacts", "expected"),
    [
        ([], [], "none"),
        ([], ["critical"], "critical"),
        ([], ["none"], "none"),
        ([OK], [], "none"),
        ([SLOW], [], "minor"),
        ([PART], [], "major"),
        ([DOWN], [], "critical"),
        ([WORK], [], "maintenance"),
        ([DOWN, DOWN], [], "critical"),
        ([DOWN, OK, OK], [], "major"),
        ([DOWN, DOWN, WORK], [], "major"),
        ([PART, OK], [], "major"),
        ([PART, OK, OK], [], "minor"),
        ([PART, PART, OK, OK], [], "major"),
        ([SLOW, SLOW], [], "minor"),
        ([WORK, SLOW], [], "minor"),
        ([WORK, OK], [], "maintenance"),
        ([OK, OK], ["minor"], "minor"),
        ([OK, OK], ["major", "minor"], "major"),
        ([SLOW, OK], ["critical"], "critical"),
        ([WORK, OK], ["none"], "maintenance"),
    ],
)
def test_the_verdict_is_never_rosier_than_the_facts(states, impacts, expected):
    assert indicator(states, impacts) == expected


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([], ""),
        ([OK, OK], ""),
        ([DOWN], "The only component is down."),
        ([DOWN, DOWN], "All two components are down."),
        ([DOWN, PART, SLOW, OK, OK, OK], "One of six components is down, two are affected."),
        ([SLOW, OK, OK], "One of three components is affected."),
        ([WORK] + [OK] * 12, "One of 13 components is under maintenance."),
        ([PART, WORK, OK], "One of three components is affected, one is under maintenance."),
    ],
)
def test_one_sentence_counts_what_is_broken(states, expected):
    assert sentence(states) == expected
