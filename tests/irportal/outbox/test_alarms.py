"""Staff learn of a relay that is gone and of messages that were given up, once each."""

from datetime import timedelta

import pytest

from irportal.outbox import alarms, engine
from irportal.outbox.models import Delivery
from tests.factories import announcement

pytestmark = pytest.mark.django_db
ANN, BOB = "ann@reader.example", "bob@reader.example"
SECOND = timedelta(seconds=1)


@pytest.fixture
def heard(monkeypatch) -> list[tuple[str, str]]:
    """Thread and sentence of every alarm."""
    found = []
    monkeypatch.setattr(alarms, "_alarms", [lambda key, thread, sentence: found.append((thread, sentence))])
    return found


def turns(freezer, count: int, step: timedelta) -> None:
    for _ in range(count):
        engine.run_once()
        freezer.shift(step)


def test_a_relay_that_is_gone_for_two_minutes_is_one_alarm(freezer, smtp_relay, heard):
    smtp_relay.stop()
    announcement(ANN)
    turns(freezer, 11, 10 * SECOND)
    assert heard == []

    turns(freezer, 60, 10 * SECOND)
    assert len(heard) == 1
    assert "has not worked since 14:30 UTC" in heard[0][1]


def test_a_second_outage_is_a_second_alarm(freezer, smtp_relay, heard):
    for _ in range(2):
        smtp_relay.stop()
        announcement(ANN)
        turns(freezer, 20, 10 * SECOND)
        smtp_relay.start()
        turns(freezer, 5, 10 * SECOND)

    assert len(heard) == 2


def test_what_was_given_up_together_is_one_alarm_with_its_reason(freezer, smtp_relay, heard):
    for address in (ANN, BOB):
        smtp_relay.at_data[address] = ["554 5.7.1 policy"]
    announcement(ANN, BOB)
    turns(freezer, 3, SECOND)

    assert heard == [("INC-42", "2 messages were given up, the first because: 5.7.1 policy")]


def test_what_dies_soon_after_waits_for_the_next_alarm(freezer, smtp_relay, monkeypatch):
    monkeypatch.setattr(alarms, "_alarms", [tell_root])
    smtp_relay.at_data[ANN] = ["554 5.7.1 policy"] * 3
    for _ in range(3):
        announcement(ANN)
        turns(freezer, 1, SECOND)
    assert smtp_relay.addresses == [ROOT]

    turns(freezer, 3, alarms.QUIET)
    assert smtp_relay.addresses == [ROOT, ROOT]
    assert "2 messages were" in smtp_relay.taken[1].message["Subject"]


def test_an_alarm_that_cannot_be_delivered_raises_no_other(freezer, smtp_relay, monkeypatch):
    monkeypatch.setattr(alarms, "_alarms", [tell_root])
    smtp_relay.at_data[ANN] = ["554 5.7.1 policy"]
    smtp_relay.at_data[ROOT] = ["554 5.7.1 policy"] * 9
    announcement(ANN)
    turns(freezer, 5, alarms.QUIET)

    assert Delivery.objects.filter(state="dead").count() == 2


ROOT = "root@reader.example"


def tell_root(key: str, thread: str, sentence: str) -> None:
    announcement(ROOT, dedupe_key=key, topic=alarms.TOPIC, thread=thread, subject=sentence, text=sentence)
