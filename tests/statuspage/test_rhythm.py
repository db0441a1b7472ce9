from datetime import UTC, date, datetime, timedelta

import pytest

from statuspage import rhythm

NOW = datetime(2025, 10, 24, 14, 50, tzinfo=UTC)


def at(hour: int, minute: int, day: int = 24) -> datetime:
    return datetime(2025, 10, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("instant", "expected"),
    [
        (at(14, 45), "14:45 UTC"),
        (at(23, 50, 23), "23 October, 23:50 UTC"),
        (datetime(2024, 12, 31, 8, 0, tzinfo=UTC), "31 December 2024, 08:00 UTC"),
    ],
)
def test_a_time_has_its_date_when_it_is_not_today(instant, expected):
    assert rhythm.moment(instant, NOW) == expected


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [(0, "0 min"), (34, "34 min"), (60, "1 h"), (75, "1 h 15 min"), (3120, "2 d 4 h")],
)
def test_a_duration_is_said_in_two_units(minutes, expected):
    assert rhythm.duration(timedelta(minutes=minutes)).replace("\xa0", " ") == expected


def test_a_span_over_midnight_names_the_second_day():
    assert rhythm.span(at(23, 50, 23), at(0, 20)).replace("\xa0", " ") == "23:50 to 24 October, 00:20 UTC · 30 min"


def test_other_zones_name_the_weekday_where_it_is_another_day():
    clocks = {place: there for there, place in rhythm.elsewhere(at(15, 5))}

    assert clocks["Berlin"] == "17:05"
    assert clocks["Tokyo, Saturday"] == "00:05"


def test_the_promise_line_is_to_scale_and_ends_at_the_promise():
    line = rhythm.promise_line([(at(14, 35), "update"), (at(14, 45), "holding")], at(15, 5))

    assert [(mark.x, mark.shape, mark.label) for mark in line.marks] == [
        ("9.00%", "kept", "14:35"),
        ("36.33%", "hold", "14:45"),
        ("91.00%", "next", "15:05"),
    ]
    assert line.words == "Updates sent at 14:35 and 14:45, the next one by 15:05 UTC"


def test_labels_of_the_promise_line_never_touch():
    line = rhythm.promise_line([(at(14, 35), "update"), (at(14, 36), "update"), (at(14, 37), "update")], at(15, 5))

    assert [mark.label for mark in line.marks] == ["", "", "14:37", "15:05"]


def test_there_is_no_line_to_a_promise_before_the_first_word():
    assert rhythm.promise_line([(at(15, 10), "update")], at(15, 5)) is None


def test_quiet_days_in_a_row_become_one_line_and_never_cross_a_month():
    months = rhythm.months(date(2025, 9, 29), date(2025, 10, 4), {date(2025, 10, 2): ["slow"]}, set())

    assert [(month.name, [row.label for row in month.rows]) for month in months] == [
        ("October 2025", ["3 to 4", "Thu 2", "Wed 1"]),
        ("September 2025", ["29 to 30"]),
    ]


def test_a_day_on_which_something_was_still_open_is_not_called_quiet():
    months = rhythm.months(date(2025, 10, 1), date(2025, 10, 4), {}, {date(2025, 10, 3)})

    assert [row.label for row in months[0].rows] == ["Sat 4", "1 to 2"]
