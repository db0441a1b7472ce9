"""Monitors see promises, too."""

from datetime import timedelta

import pytest
from django.utils import timezone

from incidents.comms import queries
from incidents.comms.models import CommsDuty
from irportal.outbox.queries import metrics

pytestmark = pytest.mark.django_db


def measured() -> dict[str, float]:
    """Duties by outcome, and `overdue` in seconds."""
    families = list(queries.promises(timezone.now()))
    counts = {sample.labels["outcome"]: sample.value for sample in families[0].samples}
    return counts | {"overdue": families[1].samples[0].value}


def test_no_promise_reads_as_zero_of_every_kind():
    assert measured() == dict.fromkeys([*CommsDuty.Outcome.values, "overdue"], 0)


def test_promises_are_counted_by_what_became_of_them_and_the_oldest_overdue_is_timed(declare, freezer):
    incident = declare()
    duties = incident.duties.open().order_by("due_at")
    open_before, first = duties.count(), duties.first()
    assert measured()["open"] == open_before

    freezer.move_to(first.due_at + timedelta(seconds=90))
    assert measured()["overdue"] == 90
    CommsDuty.objects.filter(pk=first.pk).update(outcome="kept", ended_at=timezone.now())
    assert (measured()["kept"], measured()["open"]) == (first.outcome != "kept", open_before - 1)


def test_they_are_among_what_monitors_read():
    assert b'portal_duties{outcome="holding"} 0.0' in metrics(timezone.now())
