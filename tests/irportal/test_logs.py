"""What the log keeps, and what it must not."""

import json
import logging

import pytest

from irportal.logs import Json, Line
from irportal.outbox import engine
from irportal.outbox.models import Delivery
from tests.factories import deliveries


def record(message: str, *args: object, error: BaseException | None = None) -> logging.LogRecord:
    caught = (type(error), error, None) if error else None
    return logging.LogRecord("irportal.outbox", logging.ERROR, __file__, 1, message, args, caught)


def test_a_line_is_one_json_object_that_says_when_who_and_what():
    written = Json().format(record("delivery %s is dead:\nexpired", 7))
    said = json.loads(written)

    assert "\n" not in written
    assert (said["level"], said["logger"], said["message"]) == (
        "ERROR",
        "irportal.outbox",
        "delivery 7 is dead:\nexpired",
    )
    assert said["at"].endswith("+00:00")
    assert said["process"]


@pytest.mark.parametrize("form", [Json, Line])
@pytest.mark.parametrize(
    ("message", "secret"),
    [
        ("address:ann.o'neill+list@reader.example has no mailbox", "reader.example"),
        ("<bob@sub.reader.example>: refused", "bob"),
        ("Key (address)=(cid@reader.example) already exists.", "cid"),
        ('{"to": ["dot@reader.example"]}', "dot@"),
        ("Not Found: /u/Zm9vYmFyLXRva2Vu_-~", "Zm9vYmFyLXRva2Vu"),
        ("GET /accounts/password/reset/key/9-dio85t-51942c37721fdb35/", "51942c37"),
        ("cannot reach smtp+starttls://user:hunter2@relay.example:587", "hunter2"),
        ("redis://:hunter2@10.0.0.1:6379/0 is gone", "hunter2"),
        ("first line\nfay@reader.example", "fay"),
        ("mail to müller@bücher.example", "müller"),
    ],
)
def test_addresses_and_secrets_are_hidden(form, message, secret):
    written = form().format(record(message))
    assert secret not in (json.loads(written)["message"] if form is Json else written)


@pytest.mark.parametrize("form", [Json, Line])
def test_they_are_hidden_in_the_error_that_came_with_it_too(form):
    written = form().format(record("it broke", error=ValueError("eve@reader.example is taken")))
    assert "is taken" in written
    assert "eve@" not in written


@pytest.mark.parametrize(
    "kept", ["at 14:30 UTC", "INC-42 resolved", "http://127.0.0.1:8000/incidents/x", "a @ b", "5.1.1"]
)
def test_what_is_nobodys_stays(kept):
    assert kept in Line().format(record("%s", kept))


@pytest.mark.django_db
def test_a_refused_message_leaves_no_address_in_the_log(smtp_relay, caplog):
    smtp_relay.at_rcpt["ann@reader.example"] = ["550 5.1.1 <ann@reader.example> unknown"]
    deliveries("ann@reader.example")
    engine.run_once()

    assert Delivery.objects.get().state == "dead"
    written = [Json().format(kept) for kept in caplog.records]
    assert [line for line in written if "ann@" in line] == []
    assert any("is dead" in line for line in written)
