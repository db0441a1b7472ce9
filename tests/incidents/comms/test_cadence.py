"""When the next message is due, and how a promise ends. Pure: no database."""

from datetime import UTC, datetime, timedelta

import pytest

from incidents.comms import cadence
from irportal.refused import Refused

GRACE = timedelta(minutes=2)


def at(clock: str, day: int = 2) -> datetime:
    hour, minute, second = (int(part) for part in f"{clock}:00".split(":")[:3])
    return datetime(2026, 3, day, hour, minute, second, tzinfo=UTC)


@pytest.mark.parametrize(
    ("sent", "every", "due"),
    [
        ("14:30", "30m", "15:00"),
        ("14:30:59", "30m", "15:00"),  # "by 15:00" as promised in writing: never rounded up
        ("14:30:01", "15m", "14:45"),
        ("14:00", "60m", "15:00"),
        ("23:45:30", "30m", "00:15"),
    ],
)
def test_the_next_update_is_due_one_interval_later_on_the_whole_minute(sent, every, due):
    found = cadence.next_due(at(sent), every)
    assert f"{found:%H:%M}" == due
    assert (found.second, found.microsecond) == (0, 0)


@pytest.mark.parametrize(
    ("sent", "day", "due"),
    [("14:30", 2, "2 17:00"), ("16:59:59", 2, "2 17:00"), ("17:00", 2, "3 17:00"), ("20:00", 31, "1 17:00")],
)
def test_once_contained_the_next_is_due_at_the_daily_hour(sent, day, due):
    found = cadence.next_due(at(sent, day), "60m", daily_at="17:00")
    assert f"{found:%-d %H:%M}" == due


@pytest.mark.parametrize("promised", ["14:31", "14:45", "15:00"])
def test_the_author_may_promise_sooner_or_the_same(promised):
    assert cadence.next_due(at("14:30"), "30m", promised=at(promised)) == at(promised)


@pytest.mark.parametrize(
    ("promised", "sentence"),
    [
        ("15:01", "The policy asks for the next update by 15:00 UTC; promise that or sooner."),
        ("15:00:01", "by 15:00 UTC"),
        ("14:30", "2026-03-02 14:30 UTC has passed"),
        ("14:00", "has passed; promise a time ahead."),
    ],
)
def test_the_author_may_not_promise_later_or_what_has_passed(promised, sentence):
    with pytest.raises(Refused, match=sentence):
        cadence.next_due(at("14:30"), "30m", promised=at(promised))


@pytest.mark.parametrize(
    ("ended", "repeated", "outcome"),
    [
        ("14:59:59", True, "kept"),
        ("15:00", True, "kept"),
        ("15:02", True, "kept"),
        ("15:02:01", True, "late"),
        ("15:00", False, "kept"),
        ("15:00:01", False, "late"),
        ("13:00", False, "kept"),
    ],
)
def test_a_promise_ends_kept_or_late_with_grace_for_repeated_ones_only(ended, repeated, outcome):
    assert cadence.outcome(at("15:00"), at(ended), grace=GRACE, repeated=repeated) == outcome


@pytest.mark.parametrize(
    ("due", "changed", "amount", "found"),
    [
        ("15:30", "14:40", "30m", "15:10"),  # tightens from the change
        ("14:50", "14:40", "30m", "14:50"),  # never later
        ("14:30", "14:40", "30m", "14:30"),  # what was missed stays missed
        ("15:10", "14:40", "30m", "15:10"),
    ],
)
def test_an_upgrade_only_ever_tightens(due, changed, amount, found):
    assert cadence.tightened(at(due), at(changed), amount) == at(found)


@pytest.mark.parametrize(
    ("anchor", "amount", "due", "promised", "changed", "found"),
    [
        ("14:00", "60m", "14:30", False, "14:10", "15:00"),  # counted again from the same anchor
        ("14:00", "60m", "14:30", True, "14:10", "14:30"),  # customers were told 14:30
        ("14:00", "60m", "14:30", False, "14:30", "14:30"),  # due at the change: it stays due
        ("14:00", "60m", "14:30", False, "14:45", "14:30"),  # a miss stays a miss
        ("14:00", "15m", "14:30", False, "14:10", "14:30"),  # never sooner by a downgrade
    ],
)
def test_a_downgrade_relaxes_only_what_is_ahead_and_was_promised_to_nobody(
    anchor, amount, due, promised, changed, found
):
    relaxed = cadence.relaxed(at(anchor), amount, current_due=at(due), promised=promised, changed_at=at(changed))
    assert relaxed == at(found)
