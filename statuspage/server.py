"""The server in front: public documents from memory on one event loop, every other connection handed to Django.

`PageWorker` owns the port. It answers plain GET and HEAD requests for public documents, and nothing in it can wait for
a database. A connection that asks for anything else is passed on, socket and all, to a `DjangoWorker` in processes of
their own, over a Unix socket that only we may open. Whatever is unusual about a request is left to them as well, so
what is answered here is only what is understood completely. Both are workers of gunicorn, which starts, watches and
replaces them.
"""

import asyncio
import os
import signal
import socket
import struct
import time
from contextlib import suppress
from email.utils import formatdate
from functools import partial
from typing import Any, NamedTuple

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "irportal.settings")

import httptools
import uvloop
from django.conf import settings
from gunicorn import http
from gunicorn.workers import base, gthread

from statuspage import site
from statuspage.site import Wish

END = b"\r\n\r\n"
HEAD_LIMIT, BODY_LIMIT = 16_384, 65_536  # bytes waited for here; what is longer goes to Django as it comes
REQUEST_WITHIN = 10  # seconds for all of a small request, from its first byte
IDLE = 75  # seconds a connection may stay open between two requests; one second when there are too many
NEW = 2  # seconds an ending process gives a connection that has asked for nothing yet
READING = 30  # seconds in which a slow reader must have taken what was sent
STALLED = 30  # seconds Django waits for the next part of a long body
REMEMBERED = 2048  # header blocks and answers kept ready
HANDED = 1 << 18  # bytes of a connection's beginning that fit into one message
UNAVAILABLE = (
    b"<!doctype html><html lang=en><meta charset=utf-8><title>Not available</title>"
    b"<h1>This part does not answer right now</h1><p>Please try again in a minute. "
    b"The <a href=/>status page</a> is up."
)


class Fields(NamedTuple):
    """What the header lines of a request say; `plain` when a document may be answered from memory."""

    plain: bool
    wish: Wish
    close: bool = False
    length: int = 0  # of the body, where it says so; -1 when it does not come as a whole


class FieldReader:
    """Collects header lines for httptools' parser."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self.twice: set[str] = set()

    def on_header(self, name: bytes, value: bytes) -> None:
        word = name.decode("latin-1").lower()
        if word in self.found:
            self.twice.add(word)
            self.found[word] += f", {value.decode('latin-1')}"
        else:
            self.found[word] = value.decode("latin-1")


def read_fields(lines: bytes) -> Fields:
    """The header lines (without the request line and the empty line) as they concern us. Anything odd is not plain."""
    reader = FieldReader()
    try:
        httptools.HttpRequestParser(reader).feed_data(b"GET / HTTP/1.1\r\n" + lines + END)
    except httptools.HttpParserError:
        return Fields(plain=False, wish=Wish())
    found = reader.found
    tokens = {token.strip() for token in found.get("connection", "").lower().split(",")}
    length = found.get("content-length", "0")
    whole = "transfer-encoding" not in found and "expect" not in found and length.isdecimal()
    return Fields(
        plain=whole
        and length == "0"
        and "host" in found
        and reader.twice.isdisjoint({"host", "if-none-match", "if-modified-since"}),
        wish=Wish.of(found.get("accept-encoding", ""), found.get("if-none-match"), found.get("if-modified-since")),
        close="close" in tokens,
        length=int(length) if whole and len(length) < 10 else -1,
    )


class PageWorker(base.Worker):
    """Serves the public site. `answer` is what it costs: nothing is made for a request that can be made before."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.connections: set[Connection] = set()
        self.arriving = 0  # accepted, and not among the connections yet
        self.limit = self.cfg.worker_connections
        self.fields: dict[bytes, Fields] = {}
        self.ready: dict[tuple[bytes, bytes], tuple[bytes, bool]] = {}  # of this second and this edition
        self.date, self.now, self.full = b"", time.monotonic(), False
        self.documents: object = None
        self.ages_said = ("", "")

    def run(self) -> None:
        self.site = site.here()
        uvloop.run(self.serve())

    async def serve(self) -> None:
        loop = asyncio.get_running_loop()
        over = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            loop.add_signal_handler(number, over.set)
        self.listen(loop)
        while not over.is_set() and self.ppid == os.getppid():
            self.each_second()
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), 1)
        self.deafen(loop)
        await self.finish()

    def listen(self, loop: asyncio.AbstractEventLoop) -> None:
        for listener in self.sockets:
            listener.setblocking(False)
            loop.add_reader(listener.fileno(), self.accept, loop, listener)

    def deafen(self, loop: asyncio.AbstractEventLoop) -> None:
        for listener in self.sockets:
            loop.remove_reader(listener.fileno())

    def accept(self, loop: asyncio.AbstractEventLoop, listener: Any) -> None:
        """One connection at a time, so that the processes that share the port share the connections too."""
        try:
            accepted, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:
            self.log.warning("no connection can be accepted for a second: %s", error)
            self.full = True
            self.deafen(loop)
            loop.call_later(1, self.listen, loop)
            return
        accepted.setblocking(False)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.arriving += 1
        task = loop.create_task(loop.connect_accepted_socket(partial(Connection, self), accepted))
        task.add_done_callback(self.arrived)

    def arrived(self, task: "asyncio.Task[Any]") -> None:
        self.arriving -= 1
        if not task.cancelled():
            task.exception()  # somebody who has hung up already is nobody's concern

    def each_second(self) -> None:
        self.notify()
        self.now = time.monotonic()
        self.site.look_at_clock()
        self.forget(formatdate(usegmt=True).encode())
        self.full = len(self.connections) > self.limit
        for connection in list(self.connections):
            connection.end_if_late(self.now)

    async def finish(self) -> None:
        """Answer what is half said, then go: idle connections at once, new ones soon, the others as time allows."""
        began = time.monotonic()
        while (self.connections or self.arriving) and time.monotonic() < began + self.cfg.graceful_timeout:
            for connection in list(self.connections):
                connection.end_if_idle(new_too=time.monotonic() > began + NEW)
            self.notify()
            await asyncio.sleep(0.05)

    # Answers

    def forget(self, date: bytes) -> None:
        self.ready = {}
        self.date = date
        self.documents, self.ages_said = self.site.documents, self.site.ages

    def answer(self, line: bytes, lines: bytes) -> tuple[bytes, bool] | None:
        """The whole answer and whether the connection ends with it; None when it is not ours to give."""
        if self.documents is not self.site.documents or self.ages_said is not self.site.ages:
            self.forget(self.date)
        method, _, rest = line.partition(b" ")
        target, _, version = rest.partition(b" ")
        path = target.partition(b"?")[0]
        key = (b"%b %b %b" % (method, path, version), lines)
        found = self.ready.get(key)
        if found is None and (found := self.put_together(method, path, version, lines)):
            if len(self.ready) > REMEMBERED:
                self.ready.clear()
            self.ready[key] = found
        return found

    def put_together(self, method: bytes, path: bytes, version: bytes, lines: bytes) -> tuple[bytes, bool] | None:
        if method not in (b"GET", b"HEAD") or version not in (b"HTTP/1.1", b"HTTP/1.0") or not path.isascii():
            return None
        fields = self.read(lines)
        document = self.site.find(path.decode("ascii")) if fields.plain else None
        if document is None:
            return None
        given = document.answer(fields.wish)
        close = fields.close or version == b"HTTP/1.0"
        head = [
            f"HTTP/1.1 {given.status} {site.REASONS[given.status]}",
            *(f"{name}: {value}" for name, value in given.fields),
        ]
        head.append(f"Date: {self.date.decode()}")
        if close:
            head.append("Connection: close")
        whole = "\r\n".join(head).encode() + END
        return (whole + given.body if method == b"GET" else whole), close

    def read(self, lines: bytes) -> Fields:
        found = self.fields.get(lines)
        if found is None:
            if len(self.fields) > REMEMBERED:
                self.fields.clear()
            found = self.fields[lines] = read_fields(lines)
        return found


class Connection(asyncio.Protocol):
    """One reader. `waiting` is what was read and not answered yet."""

    __slots__ = ("blocked", "is_new", "transport", "until", "waiting", "worker")

    def __init__(self, worker: PageWorker) -> None:
        self.worker, self.waiting, self.blocked, self.is_new = worker, b"", False, True
        self.until = worker.now + REQUEST_WITHIN

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.set_write_buffer_limits(high=0)
        self.worker.connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.worker.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        if self.waiting:
            data = self.waiting + data
        elif not self.blocked:
            self.until = self.worker.now + REQUEST_WITHIN
        self.respond(data)

    def pause_writing(self) -> None:
        """The reader is slower than we are: read nothing more of it until it has taken what was sent."""
        self.blocked, self.until = True, self.worker.now + READING
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.blocked, self.until = False, self.worker.now + REQUEST_WITHIN
        if not self.transport.is_closing():
            self.transport.resume_reading()
            self.respond(self.waiting)

    def respond(self, data: bytes) -> None:
        """Answer every request in `data` that is whole, and keep the rest."""
        while data and not self.blocked:
            end = data.find(END)
            if max(end, len(data) if end < 0 else 0) > HEAD_LIMIT:
                return self.hand_over(data)
            if end < 0:
                break
            line, _, lines = data[:end].partition(b"\r\n")
            given = self.worker.answer(line, lines)
            if given is None:
                if self.is_half_said(data, end, lines):
                    break
                return self.hand_over(data)
            data = data[end + 4 :]
            self.is_new = False
            self.transport.write(given[0])
            if given[1]:
                return self.transport.close()
        self.waiting = data
        if not data and not self.blocked:
            self.until = self.worker.now + IDLE

    def is_half_said(self, data: bytes, end: int, lines: bytes) -> bool:
        """Whether the rest of a short body is still to come; Django's threads need not wait for it."""
        length = self.worker.read(lines).length
        return 0 < length <= BODY_LIMIT and len(data) < end + 4 + length

    def hand_over(self, data: bytes) -> None:
        """Pass the socket and what was read from it on, and have nothing more to do with it."""
        try:
            with socket.socket(socket.AF_UNIX) as courier:
                courier.setblocking(False)
                courier.connect(str(settings.VAR_DIR / "web.sock"))
                own = self.transport.get_extra_info("socket").fileno()
                if socket.send_fds(courier, [data], [own]) < len(data):
                    raise BlockingIOError("the message is too long")
        except OSError as error:
            self.worker.log.warning("Django does not answer: %s", error)
            head = f"HTTP/1.1 503 Service Unavailable\r\nDate: {self.worker.date.decode()}\r\nRetry-After: 10\r\n"
            head += "Content-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\nConnection: close\r\n"
            self.transport.write(f"{head}Content-Length: {len(UNAVAILABLE)}\r\n\r\n".encode() + UNAVAILABLE)
            self.transport.close()
        else:
            self.transport.abort()

    def end_if_late(self, now: float) -> None:
        if now > self.until or (
            self.worker.full and not self.waiting and not self.blocked and now > self.until - IDLE + 1
        ):
            self.transport.abort()

    def end_if_idle(self, *, new_too: bool) -> None:
        if not self.waiting and not self.blocked and (new_too or not self.is_new):
            self.transport.close()


class DjangoWorker(gthread.ThreadWorker):
    """Answers on connections that a PageWorker has accepted and begun to read."""

    def accept(self, listener: Any) -> None:
        if listener.family != socket.AF_UNIX:
            return super().accept(listener)
        try:
            courier, _ = listener.accept()
        except OSError:
            return None
        with courier:
            courier.settimeout(1)
            try:
                begun, handles, _, _ = socket.recv_fds(courier, HANDED, 1)
                while part := courier.recv(HANDED):
                    begun += part
            except OSError:
                handles = []
        if handles:
            self.take_over(socket.socket(fileno=handles[0]), begun)
        return None

    def take_over(self, accepted: socket.socket, begun: bytes) -> None:
        """Go on with a connection of which `begun` has been read."""
        try:
            client, own = accepted.getpeername(), accepted.getsockname()
            for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                accepted.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", STALLED, 0))
        except OSError:  # it has hung up
            accepted.close()
            return
        conn = gthread.TConn(self.cfg, accepted, client, own)
        conn.parser = http.get_parser(self.cfg, accepted, client)
        conn.parser.unreader.unread(begun)
        conn.initialized = conn.data_ready = True
        self.nr_conns += 1
        self.enqueue_req(conn)
