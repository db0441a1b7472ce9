"""What counts as down, to the microsecond, and the days as drawn and as said."""

from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statuspage.models import Component
from statuspage.uptime import NO_DATA, Method, Record, Stretch, bars, explained, in_words, mean, percent

DEFAULT = Method({"major_outage": Fraction(1), "partial_outage": Fraction(3, 10)})
STRICT = Method({"major_outage": Fraction(1), "partial_outage": Fraction(1), NO_DATA: Fraction(1)})
UPKEEP_LEFT_OUT = Method(DEFAULT.weights, frozenset({"under_maintenance"}))
BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
END = BEGIN + timedelta(days=30)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def stretch(state: str, after: float, minutes: float) -> Stretch:
    """A state that began so many minutes after BEGIN and held for so many."""
    began = BEGIN + timedelta(minutes=after)
    return Stretch(state, began, began + timedelta(minutes=minutes))


def shown(*stretches: Stretch, method: Method = DEFAULT, since: datetime = LONG_AGO) -> str:
    return percent(Record(since, stretches).count(BEGIN, END, method).share)


VECTOR = [
    stretch("major_outage", 100, 20),
    stretch("partial_outage", 200, 60),
    stretch("degraded_performance", 300, 120),
]


@pytest.mark.parametrize(("method", "figure"), [(DEFAULT, "99.91"), (STRICT, "99.81")])
def test_the_requirements_example_counts_as_they_say(method, figure):
    assert shown(*VECTOR, method=method) == figure


@pytest.mark.parametrize(
    ("stretches", "figure"),
    [
        ([], "100"),
        ([stretch("major_outage", 0, 1e-6 / 60)], "99.99"),
        ([stretch("degraded_performance", 0, 43_200)], "100"),
        ([stretch("major_outage", 0, 43_200)], "0.00"),
        ([stretch("major_outage", -10, 20)], "99.97"),
        ([stretch("major_outage", 43_190, 500)], "99.97"),
        ([stretch("major_outage", 50_000, 500)], "100"),
        ([stretch("major_outage", 0, 432), stretch("major_outage", 0, 432)], "99.00"),
        ([stretch("major_outage", 0, 432), stretch("partial_outage", 0, 432)], "99.00"),
        ([stretch("partial_outage", 0, 864), stretch("major_outage", 432, 432)], "98.70"),
        ([stretch("under_maintenance", 0, 864), stretch("major_outage", 0, 432)], "99.00"),
    ],
    ids=[
        "nothing", "a microsecond", "degraded", "all", "before it", "after it", "outside",
        "the same twice", "two states at once", "a worse one within", "maintenance hides nothing",
    ],
)  # fmt: skip
def test_every_instant_counts_once_by_the_worst_of_it(stretches, figure):
    assert shown(*stretches) == figure


def test_time_without_data_is_left_out_or_counts_as_the_method_says():
    known_since = BEGIN + timedelta(days=20)
    outage = stretch("major_outage", 25 * 1440, 144)

    assert shown(outage, since=known_since) == "99.00"
    assert shown(outage, since=known_since, method=STRICT) == "33.00"
    assert Record(known_since).count(BEGIN, END, DEFAULT).no_data == 20 * 86_400 * 10**6


def test_what_was_not_known_at_all_has_no_percentage():
    assert shown(since=END) == ""


def test_maintenance_may_be_left_out_of_the_time_that_counts():
    planned, outage = stretch("under_maintenance", 0, 14_400), stretch("major_outage", 20_000, 288)

    assert shown(planned, outage) == "99.33"
    assert shown(planned, outage, method=UPKEEP_LEFT_OUT) == "99.00"


def test_a_groups_uptime_is_the_mean_of_those_that_are_known():
    assert percent(mean([Fraction(1), Fraction(99, 100), None])) == "99.50"
    assert percent(mean([Fraction(1), Fraction(1)])) == "100"
    assert percent(mean([None])) == ""


minutes = st.integers(-1000, 45_000)
anything = st.builds(stretch, st.sampled_from(Component.State.values), minutes, st.integers(0, 3000))


@given(st.lists(anything, max_size=6), anything)
def test_more_trouble_never_makes_a_record_better(stretches, another):
    def down(*all_of_it: Stretch) -> Fraction:
        return Record(LONG_AGO, all_of_it).count(BEGIN, END, DEFAULT).down

    assert 0 <= down(*stretches) <= down(*stretches, another) <= 30 * 86_400 * 10**6
    assert down(*stretches, another) == down(another, *stretches)
    assert down(*stretches, *stretches) == down(*stretches)


@given(st.lists(anything, max_size=6))
def test_it_adds_up_as_it_does_minute_by_minute(stretches):
    begin, end = BEGIN, BEGIN + timedelta(hours=4)
    weight = {**DEFAULT.weights}

    def at(minute: int) -> Fraction:
        now = begin + timedelta(minutes=minute)
        return max(
            (weight.get(s.state, Fraction(0)) for s in stretches if s.began <= now < s.ended), default=Fraction(0)
        )

    slow = sum(at(minute) for minute in range(240)) * 60 * 10**6
    assert Record(LONG_AGO, stretches).count(begin, end, DEFAULT).down == slow


def days(*stretches: Stretch, since: datetime = LONG_AGO, number: int = 5) -> list[str]:
    return Record(since, stretches).days(BEGIN.date(), BEGIN.date() + timedelta(days=number - 1))


OK, MAJOR, DEGRADED = "operational", "major_outage", "degraded_performance"


@pytest.mark.parametrize(
    ("stretches", "since", "found"),
    [
        ([], LONG_AGO, [OK] * 5),
        ([stretch(MAJOR, 1430, 20)], LONG_AGO, [MAJOR, MAJOR, OK, OK, OK]),
        ([stretch(MAJOR, 1430, 10)], LONG_AGO, [MAJOR, OK, OK, OK, OK]),
        ([stretch(MAJOR, 1430, 0)], LONG_AGO, [OK] * 5),
        ([stretch(DEGRADED, 0, 7200), stretch(MAJOR, 2000, 5)], LONG_AGO, [DEGRADED, MAJOR, *[DEGRADED] * 3]),
        ([stretch(MAJOR, -5000, 90_000)], LONG_AGO, [MAJOR] * 5),
        ([], BEGIN + timedelta(days=2, hours=3), [NO_DATA, NO_DATA, OK, OK, OK]),
        ([], BEGIN + timedelta(days=2), [NO_DATA, NO_DATA, OK, OK, OK]),
        ([], BEGIN + timedelta(days=9), [NO_DATA] * 5),
    ],
)
def test_a_day_is_as_bad_as_its_worst_instant(stretches, since, found):
    assert days(*stretches, since=since) == found


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ([OK] * 5, "operational"),
        ([OK, OK, OK, OK, MAJOR], "major outage today, otherwise operational"),
        ([DEGRADED, OK, DEGRADED, OK, MAJOR],
         "major outage today, degraded performance on 3 March and 1 March, otherwise operational"),
        ([MAJOR] * 5, "major outage on 5 days, the newest today"),
        ([NO_DATA, NO_DATA, OK, OK, MAJOR], "major outage today, no data before 3 March, otherwise operational"),
        ([NO_DATA] * 5, "no data"),
    ],
)  # fmt: skip
def test_a_drawing_says_in_words_what_it_shows(found, words):
    assert in_words(found, date(2026, 3, 5)) == words


def test_a_drawing_has_one_line_for_each_look_and_breaks_it_where_days_differ():
    drawn = bars([NO_DATA, OK, OK, MAJOR, OK], date(2026, 3, 5))

    assert drawn.paths == (("none", "M0 30.5H3.4"), ("ok", "M5 24.5H13.4M20 24.5H23.4"), ("major", "M15 16H18.4"))


@pytest.mark.parametrize(
    ("method", "sentence"),
    [
        (DEFAULT, "A major outage counts in full, a partial outage counts as 30\xa0%, degraded performance and "
                  "maintenance count as up and time without data is left out."),
        (STRICT, "A major outage counts in full, a partial outage counts in full, degraded performance and "
                 "maintenance count as up and time without data counts in full."),
        (UPKEEP_LEFT_OUT, "A major outage counts in full, a partial outage counts as 30\xa0%, degraded performance "
                          "counts as up, time under maintenance is left out and time without data is left out."),
    ],
)  # fmt: skip
def test_the_method_in_force_is_said_in_words(method, sentence):
    assert explained(method).startswith(sentence)
