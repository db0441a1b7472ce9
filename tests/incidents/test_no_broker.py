"""Redis is no memory and on nobody's way: without it incidents are declared and mail leaves as ever (R-T4)."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from incidents.lifecycle.models import Incident
from irportal.celery import app
from irportal.outbox import engine
from irportal.outbox.models import Delivery
from tests import people
from tests.promises.broker import black_hole

pytestmark = pytest.mark.django_db


@pytest.fixture(params=["refuses", "never answers", "drops"])
def asked(request, monkeypatch) -> Iterator[socket.socket]:
    """The broker's socket: closed; one that takes connections and says nothing, as a frozen Redis does; or one whose
    queue is full, so that the kernel drops who wants to connect, as a firewall does."""
    with ExitStack() as stack:
        broker = stack.enter_context(socket.socket())
        broker.bind(("127.0.0.1", 0))
        broker.setblocking(False)
        if request.param == "never answers":
            broker.listen()
        if request.param == "drops":
            stack.enter_context(black_hole(broker))
        monkeypatch.setitem(app.conf, "broker_url", f"redis://127.0.0.1:{broker.getsockname()[1]}/0")
        soon = {"socket_timeout": 0.2, "socket_connect_timeout": 0.2, "max_retries": 1, "interval_start": 0}
        monkeypatch.setitem(app.conf, "broker_transport_options", soon)  # whoever calls it fails instead of hanging
        yield broker


def was_called(broker: socket.socket) -> bool:
    try:
        broker.accept()[0].close()
    except OSError:
        return False
    return True


def test_declaring_and_sending_never_wait_for_the_broker(
    asked, request, client, declaration, roles, freezer, smtp_relay
):
    client.force_login(people.person("Root", "admin"))
    for number in range(20):
        answer = client.post("/portal/incidents/declare", declaration | {"title": f"Outage {number}"})
        assert answer.status_code == 302
    engine.run_once()

    assert Incident.objects.count() == 20
    assert set(Delivery.objects.values_list("state", flat=True)) == {"sent"}
    assert len(smtp_relay.taken) == Delivery.objects.count() >= 20
    assert "drops" in request.node.name or not was_called(asked)  # there, a call ends in an error by itself


def test_a_call_would_have_been_noticed(asked, request):
    if "drops" in request.node.name:
        with pytest.raises(TimeoutError):
            socket.create_connection(asked.getsockname(), 0.5)
    elif asked.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        with socket.create_connection(asked.getsockname(), 1):
            assert was_called(asked)
    else:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(asked.getsockname(), 1)
