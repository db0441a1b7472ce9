"""The far end of mail: it writes down each message before it answers, and it misbehaves as told."""

import asyncio
import hashlib
import random
import re
import threading
import time
from typing import NamedTuple

from tests.relay import free_port

ANSWER_AFTER = 0.01  # seconds between writing a message down and saying so: room to die in
MESSAGE_ID = re.compile(rb"^Message-ID: <.*\.([0-9a-f]{16})@", re.MULTILINE | re.IGNORECASE)


class Taken(NamedTuple):
    key: str  # the first 16 digits of the delivery's key
    reader: str
    digest: str
    at: float


class Sink:
    """`taken` in the order of acceptance. `temporary` and `slow` are shares of all messages; `answer_after` is how many
    seconds pass between writing a message down and saying so. The first copy to an address in `silent_to` is never
    answered.
    """

    def __init__(
        self,
        seed: int,
        *,
        temporary: float = 0.05,
        slow: float = 0.05,
        slow_seconds: float = 0.3,
        answer_after: float = ANSWER_AFTER,
    ) -> None:
        self.port = free_port()
        self.url = f"smtp://127.0.0.1:{self.port}"
        self.taken: list[Taken] = []
        self.draw = random.Random(seed)
        self.temporary, self.slow, self.slow_seconds = temporary, slow, slow_seconds
        self.answer_after = answer_after
        self.silent_to: set[str] = set()
        self.cut_next = self.go_away_next = 0
        self.cut = 0
        self.sessions: set[Session] = set()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.server: asyncio.Server | None = None
        self.open()

    def open(self) -> None:
        async def listen() -> asyncio.Server:
            return await self.loop.create_server(lambda: Session(self), "127.0.0.1", self.port)

        self.server = asyncio.run_coroutine_threadsafe(listen(), self.loop).result(10)

    def close(self) -> None:
        """From now on connections are refused and those that stand are cut."""

        async def shut() -> None:
            if self.server:
                self.server.close()
            for session in list(self.sessions):
                session.transport.abort()

        asyncio.run_coroutine_threadsafe(shut(), self.loop).result(10)

    def stop(self) -> None:
        self.close()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    def take(self, reader: str, data: bytes) -> None:
        found = MESSAGE_ID.search(data)
        key = found[1].decode() if found else "?"
        self.taken.append(Taken(key, reader, hashlib.sha256(data).hexdigest(), time.monotonic()))


class Session(asyncio.Protocol):
    def __init__(self, sink: Sink) -> None:
        self.sink, self.buffer, self.in_data, self.reader = sink, b"", False, ""
        self.busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.sink.sessions.add(self)
        self.say("220 sink ESMTP")

    def connection_lost(self, error: Exception | None) -> None:
        self.sink.sessions.discard(self)

    def say(self, answer: str) -> None:
        if not self.transport.is_closing():
            self.transport.write(answer.encode() + b"\r\n")

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        self.go_on()

    def go_on(self) -> None:
        while not self.busy:
            taken, found, rest = self.buffer.partition(b"\r\n.\r\n" if self.in_data else b"\r\n")
            if not found:
                return
            self.buffer = rest
            self.message(taken) if self.in_data else self.command(taken.decode("ascii", "replace"))

    def command(self, line: str) -> None:
        word = line[:4].upper()
        if word == "EHLO":
            self.say("250-sink\r\n250 PIPELINING")
        elif word == "RCPT":
            self.reader = line.partition("<")[2].partition(">")[0]
            refused = self.sink.draw.random() < self.sink.temporary
            self.reader = "" if refused else self.reader
            self.say("450 4.2.0 try later" if refused else "250 2.1.5 ok")
        elif word == "MAIL" and self.sink.go_away_next:
            self.sink.go_away_next -= 1
            self.say("421 4.3.2 going away")
            self.transport.close()
        elif word == "DATA":
            self.in_data = bool(self.reader)
            self.say("354 go on" if self.reader else "503 5.5.1 nobody to send to")
        elif word == "QUIT":
            self.say("221 bye")
            self.transport.close()
        else:
            self.say("250 2.0.0 ok")

    def message(self, data: bytes) -> None:
        self.in_data, self.busy = False, True
        self.sink.take(self.reader, data)
        if self.reader in self.sink.silent_to:
            self.sink.silent_to.discard(self.reader)
            return
        self.reader = ""
        if self.sink.cut_next:
            self.sink.cut_next -= 1
            self.sink.cut += 1
            self.transport.abort()
            return
        slow = self.sink.slow_seconds if self.sink.draw.random() < self.sink.slow else 0.0
        self.sink.loop.call_later(self.sink.answer_after + slow, self.answered)

    def answered(self) -> None:
        self.say("250 2.0.0 taken")
        self.busy = False
        self.go_on()
