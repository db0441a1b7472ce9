"""The proofs of `make promises` and `make soak` can fail, and a small soak is in every run of the suite."""

import math
import shutil

import pytest

from tests import needs
from tests.chaos.servers import postgres_programs
from tests.conftest import TEST_DATABASE
from tests.promises import soak
from tests.promises.figures import Figure, percentile
from tests.promises.soak import Sample


@pytest.mark.processes
def test_a_sender_keeps_its_size_and_its_connections_through_thousands_of_mails():
    """R-T16, small."""
    if TEST_DATABASE == "postgres" and not postgres_programs():
        needs.missing("PostgreSQL's own programs are not here", needs.POSTGRES)
    if not shutil.which("redis-server"):
        needs.missing("there is no redis-server", needs.REDIS)
    figures = soak.prove(TEST_DATABASE, deliveries=3_000, readers=300, hands=("engine",), every=0.1, patience=300)

    assert [str(figure) for figure in figures if not figure.holds] == []


def samples(*sizes: float, connections: int = 4) -> list[Sample]:
    return [Sample(100 * n, connections, {"engine 1": size}) for n, size in enumerate(sizes, 1)]


def broken(found: list[Sample], *, most: int = 4, at_rest: tuple[int, int] = (1, 1)) -> list[str]:
    return [figure.name for figure in soak.judge(found, 1000, most=most, at_rest=at_rest) if not figure.holds]


def test_a_process_that_keeps_its_size_passes():
    assert broken(samples(*[60.0] * 9, 90.0)) == []


def test_a_process_that_grows_fails_even_when_it_shrinks_again():
    assert broken(samples(60, 70, 80, 91, *[60] * 6)) == ["growth of engine 1"]


def test_a_process_that_started_late_counts_from_its_start():
    late = [Sample(1000, 4, {"engine 1": 60, "worker 2": size}) for size in (50, 95)]

    assert broken([*samples(*[60.0] * 10), *late]) == ["growth of worker 2"]


def test_more_connections_than_senders_may_have_fail():
    assert broken(samples(*[60.0] * 10, connections=5)) == ["connections at once"]


def test_a_connection_left_at_rest_fails():
    assert broken(samples(*[60.0] * 10), at_rest=(1, 2)) == ["connections at rest afterwards"]


def test_mail_that_never_left_fails():
    assert "deliveries not taken" in broken(samples(*[60.0] * 9))


def test_a_soak_nobody_looked_at_fails():
    assert "samples missing of ten" in broken(samples(60, 60, 60))


@pytest.mark.parametrize(("measured", "holds"), [(5.0, True), (5.001, False), (math.inf, False), (math.nan, False)])
def test_a_figure_holds_up_to_its_bound(measured, holds):
    assert Figure("commit to 250", measured, 5, "s").holds is holds


def test_percentiles_are_by_nearest_rank():
    waits = [float(n) for n in range(1, 201)]

    assert (percentile(waits, 0.5), percentile(waits, 0.99), percentile(waits[::-1], 1)) == (100, 198, 200)


def test_nothing_measured_is_no_good_figure():
    assert percentile([], 0.99) == math.inf
