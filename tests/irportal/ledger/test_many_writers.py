"""Many write at once; the ledger has no gap and no number twice."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, transaction

from irportal.ledger import actions
from irportal.ledger.models import Entry

WRITERS, EACH = 8, 15


def write(writer: int) -> None:
    """Fifteen deeds, every third of them rolled back."""
    try:
        for number in range(EACH):
            try:
                with transaction.atomic():
                    actions.append("incident.updated", subject=f"INC-{writer}", by=None, number=number)
                    if number % 3 == 2:
                        raise ZeroDivisionError
            except ZeroDivisionError:
                pass
    finally:
        connection.close()


@pytest.mark.django_db(transaction=True)
def test_eight_writers_leave_no_gap_and_only_what_they_committed():
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(WRITERS)))

    assert list(Entry.objects.values_list("n", flat=True)) == list(range(WRITERS * EACH * 2 // 3))
    assert actions.verify() == []
