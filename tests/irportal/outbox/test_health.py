"""/healthz watches the engine from the outside: 200 while it does its work, 503 with the reason when it does not."""

from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from irportal.outbox import actions, engine, fan_out, sending
from irportal.outbox.channels import smtp
from irportal.outbox.models import Delivery, Pulse
from tests.factories import announcement, deliveries

pytestmark = pytest.mark.django_db
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


def health(client) -> tuple[int, list[str]]:
    response = client.get("/healthz")
    return response.status_code, response.json()["reasons"]


def beat() -> None:
    Pulse.objects.update_or_create(name="engine", defaults={"beat_at": timezone.now(), "host": "h", "pid": 1})


def test_before_any_engine_ran_it_is_silent(client):
    assert health(client) == (503, ["the engine is silent"])


def test_a_turn_of_the_engine_makes_it_healthy(client, smtp_relay):
    engine.run_once()

    assert health(client) == (200, [])


def test_thirty_seconds_without_a_pulse_are_too_many(client, freezer, smtp_relay):
    engine.run_once()
    freezer.shift(30 * SECOND)
    assert health(client) == (200, [])

    freezer.shift(SECOND)
    assert health(client) == (503, ["the engine is silent"])


def test_a_database_that_does_not_answer_is_the_reason_itself(client, smtp_relay):
    def gone(execute, sql, params, many, context):
        raise OperationalError("connection refused")

    engine.run_once()
    with connection.execute_wrapper(gone):
        assert health(client) == (503, ["the database does not answer"])


def test_a_slow_endpoint_of_somebody_else_says_nothing_about_the_engine(client, freezer):
    deliveries("ann@reader.example")
    Delivery.objects.update(channel="webhook")
    freezer.shift(10 * MINUTE)
    beat()

    assert health(client) == (200, [])


@pytest.mark.parametrize("stage", [announcement, deliveries])
def test_two_minutes_are_too_long_for_anything_due(client, freezer, stage):
    stage("ann@reader.example")
    freezer.shift(2 * MINUTE)
    beat()
    assert health(client) == (200, [])

    freezer.shift(SECOND)
    assert health(client) == (503, ["a due delivery waits too long"])


def test_a_relay_that_is_gone_for_two_minutes_raises_the_alarm(client, freezer, smtp_relay):
    smtp_relay.stop()
    announcement("ann@reader.example")
    for _ in range(5):
        engine.run_once()
        freezer.shift(30.5)
        beat()

    assert health(client) == (503, ["a due delivery waits too long"])


def test_who_left_keeps_nobody_waiting(client, freezer):
    deliveries("ann@reader.example")
    Delivery.objects.update(state="pending")
    actions.Suppression.objects.create(target="ann@reader.example", reason="left", made_at=timezone.now())
    freezer.shift(5 * MINUTE)
    beat()

    assert health(client) == (200, [])


def test_one_readers_greylisting_is_no_alarm_even_with_newer_word_behind_it(client, freezer):
    first = deliveries("ann@reader.example")[0]
    Delivery.objects.filter(pk=first.pk).update(due_at=timezone.now() + 10 * MINUTE)
    deliveries("ann@reader.example")
    freezer.shift(5 * MINUTE)
    beat()

    assert health(client) == (200, [])


def test_the_engine_records_a_checkpoint_at_most_once_a_minute(freezer, smtp_relay, grace):
    engine.run_once()
    actions.suppress("x@reader.example", reason="left")
    engine.ledger.append("incident.declared", subject="INC-1", by=grace)
    engine.run_once()
    assert engine.Checkpoint.objects.count() == 1

    freezer.shift(61 * SECOND)
    engine.run_once()
    assert engine.Checkpoint.objects.count() == 2


def test_the_pulse_is_kept_while_a_long_queue_drains(client, freezer, smtp_relay):
    announcement(*[f"reader{n}@reader.example" for n in range(25)])
    fan_out.fan_out_pending(timezone.now())
    before = timezone.now()
    freezer.shift(MINUTE)
    sending.send_due()

    assert Pulse.objects.get().beat_at > before


def test_the_pulse_is_kept_while_a_slow_relay_takes_one_claim(client, smtp_relay, monkeypatch):
    """A hundred messages at half a second each are one claim of fifty seconds."""
    monkeypatch.setattr(sending, "BEAT_SECONDS", 0)
    deliveries(*[f"reader{n}@reader.example" for n in range(3)])
    held = sending.claim()
    Pulse.objects.update(beat_at=timezone.now() - MINUTE)
    with smtp.Line() as line:
        sending.send_claimed(held, line)

    assert health(client) == (200, [])


@pytest.fixture
def monitor(settings):
    """A monitor outside that counts how often it is called."""
    calls = []

    class Monitor(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            calls.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Monitor)
    thread = Thread(target=server.serve_forever)
    thread.start()
    settings.DEAD_MAN_URL = f"http://127.0.0.1:{server.server_port}/ping/secret"
    yield calls
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_monitor_outside_is_called_once_a_minute_however_many_turns_there_are(freezer, monitor):
    for _ in range(4):
        engine.run_once()
        engine.run_once()
        freezer.shift(30 * SECOND)

    assert monitor == ["/ping/secret"] * 2


def test_the_monitor_outside_is_not_called_while_a_message_waits_too_long(freezer, smtp_relay, monitor):
    smtp_relay.stop()
    announcement()
    engine.run_once()
    monitor.clear()
    freezer.shift(3 * MINUTE)
    engine.run_once()

    assert monitor == []


def test_a_monitor_that_does_not_answer_stops_nothing(freezer, smtp_relay, settings, caplog):
    settings.DEAD_MAN_URL = "http://127.0.0.1:9/secret"
    announcement()
    engine.run_once()

    assert len(smtp_relay.taken) == 1
    assert "could not be called" in caplog.text
    assert "secret" not in caplog.text
