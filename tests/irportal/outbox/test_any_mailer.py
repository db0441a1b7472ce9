"""Mail by any Django mailer: the same words and headers, and the same judgement of who is to blame."""

import smtplib
import threading
from types import SimpleNamespace

import pytest
from anymail.exceptions import AnymailRecipientsRefused, AnymailRequestsAPIError
from django.core import mail
from django.core.mail import mailers

from irportal.outbox import engine
from irportal.outbox.channels import django as django_line
from irportal.outbox.models import Attempt, Channel, Delivery, Suppression
from tests.factories import announcement, deliveries, mail_of

pytestmark = pytest.mark.django_db
LOCMEM = "django.core.mail.backends.locmem.EmailBackend"
ANYMAIL = "anymail.backends.test.EmailBackend"
ANN, BOB = "ann@reader.example", "bob@reader.example"


@pytest.fixture(params=[LOCMEM, ANYMAIL])
def mailer(request, settings, monkeypatch):
    settings.MAIL_CHANNEL = "django"
    settings.MAILERS = settings.MAILERS | {"delivery": {"BACKEND": request.param}}
    monkeypatch.setattr(mail, "outbox", [], raising=False)
    return request.param


@pytest.fixture
def failing(settings, monkeypatch):
    """A mailer that raises this error once, then takes everything."""

    def with_error(error: Exception) -> None:
        errors = [error]

        class Once(type(mailers.create_connection("delivery"))):
            def send_messages(self, messages):
                if errors:
                    raise errors.pop()
                return super().send_messages(messages)

        monkeypatch.setattr("django.core.mail.handler.import_string", lambda path: Once)

    settings.MAIL_CHANNEL = "django"
    settings.MAILERS = settings.MAILERS | {"delivery": {"BACKEND": LOCMEM}}
    monkeypatch.setattr(mail, "outbox", [], raising=False)
    return with_error


def api_error(status: int) -> AnymailRequestsAPIError:
    response = SimpleNamespace(status_code=status, reason="no", text="", json=dict)
    return AnymailRequestsAPIError("no", response=response, status_code=status)


def test_mail_leaves_by_the_mailer_with_proof(mailer):
    announcement(ANN, BOB)
    engine.run_once()

    assert [message.to for message in mail.outbox] == [[ANN], [BOB]]
    assert set(Delivery.objects.values_list("state", flat=True)) == {"sent"}
    assert set(Attempt.objects.values_list("outcome", "code")) == {("ok", None)}


@pytest.mark.parametrize(
    "name",
    [
        "Message-ID",
        "In-Reply-To",
        "References",
        "List-Unsubscribe",
        "List-Unsubscribe-Post",
        "List-Id",
        "Auto-Submitted",
    ],
)
def test_its_headers_are_those_of_smtp(mailer, name):
    waiting = deliveries(ANN)[0]
    engine.run_once()

    value = mail.outbox[0].message()[name]
    assert f"\r\n{name}: {value}\r\n".encode() in mail_of(waiting)


def test_its_text_has_the_readers_own_link_and_reason(mailer):
    announcement(ANN)
    engine.run_once()

    sent = mail.outbox[0]
    assert f"You asked for updates about all components.\nhttps://status.example/u/{ANN}" in sent.body
    assert f"href='https://status.example/u/{ANN}'" in sent.alternatives[0].content


def test_mail_that_waited_for_the_relay_leaves_by_the_mailer_once_it_is_chosen(mailer, settings, smtp_relay):
    smtp_relay.stop()
    settings.MAIL_CHANNEL = "smtp"
    announcement(ANN)
    engine.run_once()
    settings.MAIL_CHANNEL = "django"
    Channel.objects.update(open_until=None)
    engine.run_once()

    assert [message.to for message in mail.outbox] == [[ANN]]


def test_a_mailer_that_dislikes_our_own_address_stops_no_reader(failing):
    failing(smtplib.SMTPRecipientsRefused({ANN: (550, b"5.1.8 bad sender")}))
    deliveries(ANN)
    engine.run_once()

    assert not Suppression.objects.exists()


@pytest.mark.parametrize(
    ("error", "outcome", "state"),
    [
        (smtplib.SMTPRecipientsRefused({ANN: (550, b"5.1.1 unknown")}), "perm", "dead"),
        (smtplib.SMTPRecipientsRefused({ANN: (450, b"4.2.0 later")}), "temp", "pending"),
        (smtplib.SMTPDataError(554, b"5.7.1 policy"), "perm", "dead"),
        (smtplib.SMTPDataError(451, b"4.3.0 later"), "temp", "pending"),
        (smtplib.SMTPSenderRefused(550, b"no", "us"), "transport", "pending"),
        (ConnectionRefusedError(111, "refused"), "transport", "pending"),
        (TimeoutError(), "uncertain", "pending"),
        (api_error(400), "perm", "dead"),
        (api_error(422), "perm", "dead"),
        (api_error(401), "transport", "pending"),
        (api_error(429), "transport", "pending"),
        (api_error(503), "transport", "pending"),
        (AnymailRecipientsRefused(), "perm", "dead"),
        (KeyError("a bug"), "crashed", "pending"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_a_failure_is_blamed_on_whose_fault_it_is(failing, error, outcome, state):
    failing(error)
    delivery = deliveries(ANN)[0]
    engine.run_once()

    assert Attempt.objects.get(delivery=delivery).outcome == outcome
    assert Delivery.objects.get(pk=delivery.pk).state == state


def test_several_mailers_work_at_the_same_time(settings, monkeypatch):
    """A provider's interface takes its time, and each sender waits for its own call alone."""
    settings.MAIL_CHANNEL, settings.MAIL_CONNECTIONS = "django", 3
    settings.MAILERS = settings.MAILERS | {"delivery": {"BACKEND": LOCMEM}}
    together = threading.Barrier(3)

    class Slow(type(mailers.create_connection("delivery"))):
        def send_messages(self, messages):
            together.wait(10)
            return len(messages)

    monkeypatch.setattr("django.core.mail.handler.import_string", lambda path: Slow)
    monkeypatch.setattr(django_line.Line, "at_once", 2)
    announcement(*[f"reader{n}@reader.example" for n in range(6)])
    engine.run_once()

    assert set(Delivery.objects.values_list("state", "attempts")) == {("sent", 1)}
