"""A small storm in every run of the suite; `make chaos` is the large one."""

import shutil

import pytest

from tests import needs
from tests.chaos import checker
from tests.chaos.run import run
from tests.chaos.servers import postgres_programs
from tests.chaos.sink import Taken
from tests.conftest import TEST_DATABASE

FAULTS = 40


@pytest.mark.processes
def test_nothing_is_lost_reordered_or_changed_while_everything_breaks():
    if TEST_DATABASE == "postgres" and not postgres_programs():
        needs.missing("PostgreSQL's own programs are not here", needs.POSTGRES)
    if not shutil.which("redis-server"):
        needs.missing("there is no redis-server", needs.REDIS)
    report = run(TEST_DATABASE, seed=20260302, readers=80, updates=13, faults=FAULTS)

    assert report.verdict.broken == [], "\n".join(report.lines())
    assert sum(report.injected.values()) >= FAULTS
    assert report.deliveries >= 500


# The checker itself: a history with one fault in it never passes.

KEYS = [f"{n:016x}" for n in range(3)]


def history() -> dict:
    """Two readers, update 1 to both and update 2 to the first: all sent, in order."""
    rows = [(1, 1, KEYS[0], "INC-1:a"), (2, 1, KEYS[1], "INC-1:b"), (3, 2, KEYS[2], "INC-1:a")]
    return {
        "announcements": [
            {"id": n, "text": f"Update number {n}.", "audience": "customers", "fanned_out_at": "now"} for n in (1, 2)
        ],
        "deliveries": [
            {
                "id": pk,
                "announcement_id": of,
                "key": key + "0" * 48,
                "lane": lane,
                "state": "sent",
                "last_error": "",
                "reader": f"subscriber:{lane[-1]}",
                "address": "reader",
            }
            for pk, of, key, lane in rows
        ],
        "ok": [1, 2, 3],
    }


def taken(*keys: str) -> list[Taken]:
    return [Taken(key, "reader", "the same", float(n)) for n, key in enumerate(keys)]


def broken(
    dump: dict, got: list[Taken], *, acknowledged=(1,), written: int = 1, under_fire: int = 9, allowed: int = 0
) -> list[str]:
    return checker.check(list(acknowledged), written, 2, dump, got, under_fire, allowed).broken


def test_a_history_in_which_all_went_well_passes():
    assert broken(history(), taken(*KEYS)) == []


def test_a_repeat_that_a_fault_explains_passes():
    assert broken(history(), taken(KEYS[0], *KEYS), allowed=1) == []


def unsent(dump):
    dump["deliveries"][0]["state"] = "pending"


def unexplained(dump):
    dump["deliveries"][0]["state"] = "dead"


def unproven(dump):
    dump["ok"].remove(1)


def unspread(dump):
    dump["announcements"][1]["fanned_out_at"] = None


def untold(dump):
    del dump["deliveries"][1]


@pytest.mark.parametrize("harm", [unsent, unexplained, unproven, unspread, untold])
def test_a_history_with_something_missing_fails(harm):
    dump = history()
    harm(dump)

    assert broken(dump, taken(*KEYS))


@pytest.mark.parametrize(
    "got",
    [
        taken(*KEYS[1:]),
        taken(*KEYS, "f" * 16),
        taken(KEYS[2], KEYS[1], KEYS[0]),
        taken(KEYS[0], *KEYS),
        [*taken(*KEYS), Taken(KEYS[0], "reader", "other bytes", 9.0)],
        [*taken(*KEYS[1:]), Taken(KEYS[0], "another reader", "the same", 9.0)],
    ],
    ids=[
        "lost",
        "from nowhere",
        "out of order",
        "repeated without a fault",
        "repeated with other bytes",
        "to somebody else",
    ],
)
def test_a_relay_that_saw_something_else_fails(got):
    assert broken(history(), got)


def test_a_portal_that_says_no_to_most_updates_fails():
    assert broken(history(), taken(*KEYS), written=3)


def test_a_storm_that_was_over_before_the_mail_left_fails():
    assert broken(history(), taken(*KEYS), under_fire=0)
