"""A real SMTP server on a free port whose answers a test writes in advance: the far end of mail."""

import asyncio
import socket
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import SMTP as MAIL

import pytest
from aiosmtpd.controller import Controller


@dataclass
class Taken:
    """One message the relay answered 250 to (or received whole before it dropped the line)."""

    sender: str
    recipients: list[str]
    data: bytes

    @property
    def message(self) -> EmailMessage:
        return BytesParser(policy=MAIL).parsebytes(self.data)  # type: ignore[return-value]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Relay:
    """`taken` holds what arrived, oldest first.

    `at_rcpt[address]` and `at_data[address]` are answers to give to that address, one per try, before it is
    accepted again: "450 4.2.0 try later", "550 5.1.1 unknown", "421 4.3.2 going away". "drop" cuts the line;
    at DATA that is after the whole message came in, so nobody knows whether it was taken.
    `extensions` are what EHLO offers. `before_answer(count)` is called when a message is in and not yet answered.
    """

    port: int = field(default_factory=free_port)
    taken: list[Taken] = field(default_factory=list)
    at_rcpt: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    at_data: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    connections: int = 0
    extensions: list[str] = field(default_factory=lambda: ["PIPELINING"])
    before_answer: Callable[[int], None] = lambda count: None
    _arrival: threading.Condition = field(default_factory=threading.Condition)
    _controller: Controller | None = None

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    @property
    def addresses(self) -> list[str]:
        """Who got a message, in order."""
        return [taken.recipients[0] for taken in self.taken]

    def wait_for(self, count: int, *, seconds: float = 120) -> None:
        """Return as soon as `count` messages came in; fail when that takes longer than `seconds`."""
        with self._arrival:
            came = self._arrival.wait_for(lambda: len(self.taken) >= count, timeout=seconds)
        assert came, f"only {len(self.taken)} of {count} messages came within {seconds} s"

    def start(self) -> None:
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self._controller.start()

    def stop(self) -> None:
        """From now on the relay refuses connections."""
        if self._controller:
            self._controller.stop()
            self._controller = None

    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        self.connections += 1
        session.host_name = hostname
        return [*responses[:-1], *(f"250-{name}" for name in self.extensions), responses[-1]]

    async def handle_RCPT(self, server, session, envelope, address, options):
        if self.at_rcpt[address]:
            return self._say(server, self.at_rcpt[address].pop(0))
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server, session, envelope):
        taken = Taken(envelope.mail_from, list(envelope.rcpt_tos), envelope.content)
        answers = self.at_data[taken.recipients[0]]
        answer = answers.pop(0) if answers else ""
        if not answer or answer == "drop":
            with self._arrival:
                self.taken.append(taken)
                self._arrival.notify_all()
            self.before_answer(len(self.taken))
        return self._say(server, answer) if answer else f"250 2.0.0 queued as {len(self.taken)}"

    def _say(self, server, answer: str) -> str:
        if answer == "drop":
            server.transport.abort()
            raise asyncio.CancelledError
        return answer


@pytest.fixture
def smtp_relay(settings) -> Iterator[Relay]:
    """A relay that accepts everything until the test says otherwise; SMTP_URL points to it."""
    relay = Relay()
    relay.start()
    settings.SMTP_URL = relay.url
    yield relay
    relay.stop()
