"""The first hours by the seeds: which minute asks for what, and how it is called when it came, comes late or not."""

from datetime import UTC, datetime, timedelta

import pytest

from incidents.policy.models import PolicyVersion
from incidents.room import checkpoints

DETECTED = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


DEFAULT = {
    "classified": 10,
    "first_containment": 20,
    "evidence_snapshot": 40,
    "stabilised": 60,
    "contained": 60,
    "resolved": 240,
}


def judged(minute: float, *, over: bool = False, **met: float) -> dict[str, str]:
    at = {name: DETECTED + minutes * MINUTE for name, minutes in met.items()}
    limits = [(name, minutes * MINUTE) for name, minutes in DEFAULT.items()]
    now = DETECTED + minute * MINUTE
    found = checkpoints.judge(limits, DETECTED, at, now, over_at=now if over else None)
    names = {label: name for name, label in checkpoints.LABELS.items()}
    return {names[one.label]: one.state for one in found}


@pytest.mark.django_db
def test_the_default_policy_sets_the_windows_of_the_seeds(organisation):
    rows = PolicyVersion.objects.get().checkpoints.all()
    assert {(row.rank, row.name): row.after for row in rows} == {
        (rank, name): f"{minutes}m" for rank in (1, 2) for name, minutes in DEFAULT.items()
    }


# covers R002-04, R002-05, R002-06, R002-07
@pytest.mark.parametrize(
    ("name", "start", "end"),
    [
        ("classified", 0, 10),
        ("first_containment", 10, 20),
        ("evidence_snapshot", 20, 40),
        ("stabilised", 40, 60),
        ("contained", 40, 60),
        ("resolved", 60, 240),
    ],
)
def test_each_checkpoint_has_its_window(name, start, end):
    assert judged(end)[name] == "now"
    assert judged(end + 0.1)[name] == "overdue"
    assert judged(start)[name] == "now"
    if start:
        assert judged(start - 0.1)[name] == "ahead"


def test_what_came_in_time_is_kept_and_what_came_after_is_late():
    assert judged(50, classified=10, evidence_snapshot=40.1) == {
        "classified": "kept",
        "first_containment": "overdue",
        "evidence_snapshot": "late",
        "stabilised": "now",
        "contained": "now",
        "resolved": "ahead",
    }


def test_a_policy_without_checkpoints_shows_none():
    assert checkpoints.judge([], DETECTED, {}, DETECTED, over_at=None) == []


def test_once_it_is_over_nothing_is_waited_for():
    assert judged(90, over=True, classified=2, resolved=90) == {"classified": "kept", "resolved": "kept"}


# covers R001-18, R001-23, R001-26, R001-29
@pytest.mark.parametrize(
    ("minute", "resolved", "phase"),
    [
        (0, False, "Detection and triage"),
        (14.9, False, "Detection and triage"),
        (15, False, "Investigation and containment"),
        (59.9, False, "Investigation and containment"),
        (60, False, "Resolution and recovery"),
        (239, False, "Resolution and recovery"),
        (240, False, "Resolution and recovery, past its 4 hours"),
        (45, True, "Review"),
    ],
)
def test_the_phase_follows_the_minute(minute, resolved, phase):
    now = DETECTED + minute * MINUTE
    assert checkpoints.phase(DETECTED, now if resolved else None, now) == phase


@pytest.mark.parametrize(
    ("minutes", "words"),
    [(-3, "0 min"), (0, "0 min"), (59, "59 min"), (65, "1 h 05 min"), (1439, "23 h 59 min"), (3060, "2 d 3 h")],
)
def test_the_clock_says_how_long(minutes, words):
    assert checkpoints.clock(minutes * MINUTE) == words
