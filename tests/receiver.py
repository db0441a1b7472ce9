"""A real HTTP server on a free port whose answers a test writes in advance: the far end of webhooks and chat."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import pytest


class Posted(NamedTuple):
    """One request the receiver read whole, whatever its method."""

    path: str
    headers: dict[str, str]
    body: bytes


class Answer(NamedTuple):
    status: int = 200
    headers: dict[str, str] = {}
    body: bytes = b"ok"


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request, client_address) -> None:
        """A sender that hangs up is what some tests are about."""


@dataclass
class Receiver:
    """`posted` holds what arrived, oldest first.

    `answers[path]` are what to say there, one per post, before it says 200 again; a function is called with the
    handler and says it by itself. Once there is `found`, that is all there is to be read.
    """

    posted: list[Posted] = field(default_factory=list)
    answers: dict[str, list[Answer | Callable[[BaseHTTPRequestHandler], None]]] = field(default_factory=dict)
    found: dict[str, Answer] | None = None
    server: Server | None = None

    @property
    def port(self) -> int:
        return self.server.server_address[1]

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def paths(self) -> list[str]:
        return [posted.path for posted in self.posted]

    def start(self) -> None:
        self.server = Server(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                receiver.posted.append(Posted(self.path, dict(self.headers.items()), body))
                waiting = receiver.answers.get(self.path) or [Answer()]
                answer = waiting.pop(0)
                if callable(answer):
                    return answer(self)
                self.send_response(answer.status)
                for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.body)

            def do_GET(self) -> None:
                if receiver.found is not None:
                    receiver.answers[self.path] = [receiver.found.get(self.path, Answer(404))]
                self.do_POST()

            def log_message(self, *said: object) -> None:
                pass

        return Handler


@pytest.fixture
def receiver(settings) -> Iterator[Receiver]:
    """A receiver that says 200 until the test says otherwise; the operator allows its network and its port."""
    far = Receiver()
    far.start()
    settings.WEBHOOK_ALLOW_CIDRS = ["127.0.0.0/8"]
    settings.WEBHOOK_PORTS = [443, far.port]
    yield far
    far.stop()
