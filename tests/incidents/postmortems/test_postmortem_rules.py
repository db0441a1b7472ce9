"""The rules of the report: pure, tables of cases."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incidents.postmortems import sections
from incidents.postmortems.models import PostMortem

COMPLETE = {
    "summary": "The API failed for all users. It is over.",
    "root_cause": "A limit of ten connections.",
    "failed_requests": 0,
    "went_well": "Found at once.",
    "went_wrong": "Told late.",
}
ENOUGH = {"rows": 5, "markers": {"detected", "contained", "resolved"}, "actions": 1}


def at(hour: int, minute: int = 0, second: int = 0, day: int = 24) -> datetime:
    return datetime(2025, 10, day, hour, minute, second, tzinfo=UTC)


def asks(fields: dict | None = None, **record) -> list[str]:
    return sections.missing(PostMortem(**(COMPLETE | (fields or {}))), **(ENOUGH | record))


def test_a_complete_post_mortem_may_be_reviewed():
    assert asks() == []


@pytest.mark.parametrize(
    ("fields", "record", "sentence"),
    [
        ({"summary": "  "}, {}, "Write the summary."),
        ({}, {"rows": 4}, "The timeline has 4 of at least 5 lines"),
        ({}, {"markers": {"contained", "resolved"}}, "when it was detected"),
        ({}, {"markers": {"detected", "resolved"}}, "when it was contained or identified"),
        ({}, {"markers": {"detected", "identified"}}, "when it was resolved"),
        ({"root_cause": ""}, {}, "Write the root cause"),
        ({"root_cause": "Unknown"}, {}, "Say why the root cause is unknown"),
        ({"root_cause": "Human error"}, {}, "is not a root cause"),  # covers R000-31
        ({"failed_requests": None}, {}, "at least one line of the impact"),
        ({}, {"actions": 0}, "Add an action item, or say why there is none."),
        ({"went_well": ""}, {}, "or say why a list is empty"),
    ],
)
def test_each_thing_missing_is_named_in_a_sentence(fields, record, sentence):
    (asked,) = asks(fields, **record)
    assert sentence in asked


@pytest.mark.parametrize(
    ("fields", "record"),
    [
        ({"root_cause": "Unknown, because the logs were lost."}, {}),
        ({"no_actions_reason": "The vendor fixed it."}, {"actions": 0}),
        ({"went_wrong": "", "no_lists_reason": "Nothing did."}, {}),
        ({}, {"markers": {"detected", "identified", "resolved"}}),
    ],
)
def test_a_reason_stands_in_for_what_is_missing(fields, record):
    assert asks(fields, **record) == []


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (timedelta(), "0 min"),
        (timedelta(seconds=12), "12 s"),
        (timedelta(minutes=45, seconds=59), "45 min"),
        (timedelta(hours=25, minutes=5), "1 d 1 h"),
        (timedelta(hours=2, minutes=5), "2 h 05 min"),
        (timedelta(minutes=-3), "−3 min"),
    ],
)
def test_a_duration_in_words(span, words):
    assert sections.duration(span) == words


@pytest.mark.parametrize(
    ("when", "day", "words"),
    [
        (at(14, 30), at(9), "14:30"),
        (at(14, 30, 12), at(9), "14:30:12"),
        (at(14, 30, day=25), at(9), "25 Oct, 14:30"),
        (at(14, 30), None, "24 Oct 2025, 14:30"),
    ],
)
def test_a_time_says_its_date_when_it_is_another_day(when, day, words):
    assert sections.clock(when, day) == words


TIMES = {
    "started": at(14, 30),
    "detected": at(14, 30),
    "acknowledged": at(14, 32),
    "identified": at(14, 35),
    "contained": at(14, 50),
    "recovered": at(15),
    "resolved": at(15, 15),
}


def measured(**changed) -> dict[str, sections.Interval]:
    spans = sections.intervals(
        TIMES | changed, targets={"acknowledge": timedelta(minutes=15)}, stable=timedelta(minutes=30)
    )
    return {span.name: span for span in spans}


# covers R001-44
@pytest.mark.parametrize(
    ("name", "minutes", "result"),
    [
        ("Time to detect", 0, "none"),
        ("Time to acknowledge", 2, "met"),
        ("Time to contain", 20, "none"),
        ("MTTR (recover), this incident", 30, "none"),  # covers R000-32
        ("Stable before resolved", 15, "missed"),
        ("Impact began to resolved", 45, "none"),
    ],
)
def test_the_intervals_of_the_worked_example(name, minutes, result):
    span = measured()[name]
    assert (span.measured, span.result) == (timedelta(minutes=minutes), result)


# covers R000-32
def test_recovery_is_not_measured_to_resolved():
    assert measured(resolved=at(20))["MTTR (recover), this incident"].measured == timedelta(minutes=30)


def test_what_has_no_instant_is_not_measured():
    assert measured(contained=None)["Time to contain"].measured_text == "not measured"


def test_the_line_on_the_cover_gives_every_moment_of_the_worked_example_a_label():
    shown = [(label.capitalize(), TIMES[label]) for label in TIMES if label != "acknowledged"]
    marks = sections.band(shown)
    assert [(mark.label, mark.row) for mark in marks] == [
        ("Started, detected", "below"),
        ("Identified", "above"),
        ("Contained", "below"),
        ("Recovered", "below"),
        ("Resolved", "below"),
    ]


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=8))
def test_labels_on_the_cover_never_overlap(minutes):
    marks = sections.band([("Identified", at(0) + timedelta(minutes=m)) for m in minutes])
    for row in ("below", "above"):
        spans = sorted(mark.reach(row) for mark in marks if mark.row == row)
        assert all(left[1] <= right[0] for left, right in pairwise(spans))


def promise(
    outcome: str, met: datetime | None = None, due: datetime | None = None, audience: str = "Customers"
) -> dict:
    return {"audience": audience, "message": "Update", "due_at": due or at(15), "met_at": met, "outcome": outcome}


@pytest.mark.parametrize(
    ("given", "mark", "words"),
    [
        (promise("kept", at(14, 48)), "kept", "12 min early"),
        (promise("kept", at(15)), "kept", "Kept"),
        (promise("holding", at(15)), "hold", "Holding"),
        (promise("late", at(15, 4)), "late", "4 min late"),
        (promise("missed"), "miss", "Missed"),
        (promise("waived"), "none", "Waived"),
        (promise("open"), "due", "Due"),
    ],
)
def test_how_a_promise_ended_in_words(given, mark, words):
    assert sections.verdict(given) == (mark, words)


def test_a_holding_message_keeps_the_promise_but_is_no_news():
    kept = sections.score([promise("kept", at(14)), promise("holding", at(15)), promise("missed"), promise("open")])
    assert (kept.met, kept.with_news, kept.of) == (2, 1, 3)


def test_percent_is_cut_so_that_100_means_all():
    assert sections.Score.percent(1999, 2000) == "99.9 %"


def test_the_longest_silence_is_the_widest_gap_between_messages_to_customers():
    told = [promise("kept", at(14, 36)), promise("kept", at(14, 46)), promise("holding", at(15, 5))]
    other = promise("kept", at(20), audience="Internal")
    assert sections.score([*told, other]).silence == timedelta(minutes=19)


def test_a_notice_of_the_next_day_is_left_to_the_table():
    drawn = sections.chart([promise("kept", at(14, 36)), promise("kept", at(9, day=26))], at(14, 30), at(15, 15))
    assert (len(drawn.lanes[0].marks), drawn.others) == (1, 1)


@pytest.mark.parametrize("text", ["one\ntwo", "- one\n\n* two\n", "  • one  \r\n• two"])
def test_one_entry_a_line_whatever_bullet_was_typed(text):
    assert sections.lines(text) == ["one", "two"]
