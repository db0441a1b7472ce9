"""What monitors read: true counts, and nothing about anybody."""

from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from irportal.outbox import engine
from irportal.outbox.models import Delivery
from tests.factories import announcement, deliveries

pytestmark = pytest.mark.django_db
ANN, BOB = "ann@reader.example", "bob@reader.example"
TOKEN = "a token of sixteen letters or more"


@pytest.fixture
def read(client, settings):
    """What a monitor reads: `(name, *label values)` to value, labels in the order of their names."""
    settings.METRICS_TOKEN = TOKEN

    def measures() -> dict[tuple[str, ...], float]:
        answer = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        assert answer.headers["Content-Type"].startswith("text/plain; version=1.0.0")
        families = text_string_to_metric_families(answer.content.decode())
        return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}

    return measures


def test_sends_and_failures_are_counted_by_reason(read, smtp_relay):
    smtp_relay.at_rcpt[BOB] = ["450 4.2.0 later"]
    announcement(ANN, BOB)
    engine.run_once()

    now = read()
    assert (now["portal_attempts_total", "250", "ok"], now["portal_attempts_total", "450", "temp"]) == (1, 1)
    assert (now["portal_deliveries", "sent"], now["portal_deliveries", "pending"]) == (1, 1)


def test_a_state_nothing_is_in_reads_as_zero(read):
    assert {read()["portal_deliveries", state] for state in Delivery.State.values} == {0}


def test_the_wait_of_what_is_due_and_the_silence_of_the_engine_are_in_seconds(read, freezer, smtp_relay):
    engine.run_once()
    deliveries(ANN)
    freezer.shift(timedelta(seconds=150))

    assert (read()["portal_oldest_due_seconds",], read()["portal_tick_lag_seconds",]) == (150, 150)


def test_a_transport_that_broke_reads_as_one_and_as_zero_when_it_works_again(read, freezer, smtp_relay):
    smtp_relay.stop()
    announcement(ANN)
    engine.run_once()
    assert read()["portal_channel_broken", "smtp"] == 1

    smtp_relay.start()
    freezer.shift(timedelta(seconds=6))
    engine.run_once()
    assert read()["portal_channel_broken", "smtp"] == 0


def test_nobody_is_named(client, settings, smtp_relay):
    settings.METRICS_TOKEN = TOKEN
    announcement(ANN)
    engine.run_once()
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).content.decode()
    assert [word for word in (ANN, "reader.example", "INC-42", "Searches") if word in answer] == []


@pytest.mark.parametrize(
    "given", ["", "Bearer", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer ü"]
)
def test_without_the_token_there_is_no_such_page(client, settings, given):
    settings.METRICS_TOKEN = TOKEN
    assert client.get("/metrics", headers={"Authorization": given}).status_code == 404


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer "])
def test_without_a_setting_there_is_no_such_page_for_anybody(client, settings, given):
    settings.METRICS_TOKEN = ""
    assert client.get("/metrics", headers={"Authorization": given}).status_code == 404


def test_every_measure_is_asked_for_in_few_questions(read, django_assert_max_num_queries):
    with django_assert_max_num_queries(8):
        read()
