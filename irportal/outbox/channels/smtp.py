"""SMTP: the relay of SMTP_URL, several commands in one write where it offers that (RFC 2920)."""

import smtplib
import ssl
from collections import deque
from contextlib import suppress
from datetime import timedelta
from typing import ClassVar
from urllib.parse import unquote, urlsplit

from django.conf import settings

from irportal.outbox import bounces
from irportal.outbox.channels import Answer, Outcome
from irportal.outbox.models import Attempt, Delivery
from irportal.outbox.talks import Elsewhere, Talk, Wait
from irportal.outbox.wire import Form, wire_address

CONNECT_SECONDS, COMMAND_SECONDS = 10, 30
PER_CONNECTION = 100
LONGEST_LINE, LONGEST_ANSWER = 8192, 100  # bytes of one line, lines of one answer
Reply = tuple[int, bytes]


class Line:
    """A connection to the relay, made anew after PER_CONNECTION messages. Raises Outcome for everything that fails."""

    at_once: ClassVar[int] = PER_CONNECTION
    waits: ClassVar[tuple[timedelta, ...] | None] = None

    def __init__(self) -> None:
        url = urlsplit(settings.SMTP_URL)
        self.host, self.port = url.hostname or "127.0.0.1", url.port or 25
        self.secure = url.scheme == "smtp+starttls"
        self.user, self.password = unquote(url.username or ""), unquote(url.password or "")
        self.relay = smtplib.SMTP()
        self.lines: deque[bytes] = deque()  # of answers, read but not looked at
        self.forms: dict[tuple[int, str], Form] = {}
        self.named: Delivery | None = None  # whose envelope the relay has, its answers unread

    def __enter__(self) -> "Line":
        self._connect()
        return self

    def __exit__(self, *raised: object) -> None:
        self._goodbye()

    def send(self, delivery: Delivery, ahead: Delivery | None) -> Talk:
        """Give one message to the relay; the talk ends with its Answer. Raises Outcome with who is to blame.

        With pipelining the envelope of `ahead` goes out behind this message, so that the next call finds its answers.
        """
        data = self._form(delivery).fill(delivery).replace(b"\r\n.", b"\r\n..")
        try:
            yield from self._name(delivery)
        except OSError as error:
            raise self._broken(Attempt.Outcome.TRANSPORT, str(error)) from error
        self.sent += 1
        follows = self._envelope(ahead) if ahead and self.pipelines and self.sent < PER_CONNECTION else b""
        self.named = ahead if follows else None
        try:
            yield from self._write(data + b".\r\n" + follows)
            code, answer = yield from self._read()
        except OSError as error:
            raise self._broken(Attempt.Outcome.UNCERTAIN, f"no answer after the message: {error}") from error
        if code != 250:
            raise self._blame(code, answer)
        return Answer(code, _text(answer))

    def drop(self) -> None:
        """Whoever was named ahead is not sent to after all: only a broken line takes that back."""
        if self.named:
            self._broken(Attempt.Outcome.TRANSPORT, "")

    def _form(self, delivery: Delivery) -> Form:
        wanted = delivery.announcement_id, delivery.language
        if wanted not in self.forms:
            if len(self.forms) >= 16:
                self.forms.clear()
            self.forms[wanted] = Form(delivery.announcement, delivery.language)
        return self.forms[wanted]

    def _connect(self) -> None:
        """Open a line in place of the one there may be. Raises Outcome."""
        self._goodbye()
        self.sent, self.named, self.rest = 0, None, b""
        self.lines.clear()
        try:
            self.relay = smtplib.SMTP(self.host, self.port, settings.MAIL_DOMAIN, timeout=CONNECT_SECONDS)
            self._prepare()
        except OSError as error:
            raise Outcome(Attempt.Outcome.TRANSPORT, getattr(error, "smtp_code", None), str(error)) from error

    def _prepare(self) -> None:
        """Encrypt and sign in, or close the line: nothing is said on one that is not as the operator asked for."""
        try:
            if self.relay.sock:
                self.relay.sock.settimeout(COMMAND_SECONDS)
            if self.secure:
                self.relay.starttls(context=ssl.create_default_context())
            if self.user:
                self.relay.login(self.user, self.password)
            self.relay.ehlo_or_helo_if_needed()
            self.pipelines = self.relay.has_extn("pipelining")
            if self.relay.sock:
                self.relay.sock.setblocking(False)
        except BaseException:
            self.relay.close()
            raise

    def _goodbye(self) -> None:
        """Say goodbye where the relay can take it: not between an envelope and its message."""
        with suppress(OSError):
            if self.relay.sock and not self.named:
                self.relay.sock.settimeout(COMMAND_SECONDS)
                self.relay.quit()
        self.relay.close()

    def _broken(self, blame: str, said: str) -> Outcome:
        self.named = None
        self.relay.close()
        return Outcome(blame, None, said)

    def _envelope(self, delivery: Delivery) -> bytes:
        to = wire_address(delivery.address)
        return f"MAIL FROM:<{bounces.verp(delivery.key)}>\r\nRCPT TO:<{to}>\r\nDATA\r\n".encode("ascii")

    def _name(self, delivery: Delivery) -> Talk:
        """Bring the relay to the point where it takes the message. Raises Outcome where it refuses."""
        if self.named is not delivery:  # a lease ran out: what is said now would be mail to whoever was named
            self.drop()
        if not self.relay.sock or self.sent >= PER_CONNECTION:
            yield Elsewhere(self._connect)
        commands = self._envelope(delivery).splitlines(keepends=True)
        replies: list[Reply] = []
        if self.named is not delivery and self.pipelines:
            yield from self._write(b"".join(commands))
        for command in commands:
            if self.named is not delivery and not self.pipelines:
                yield from self._write(command)
            replies.append((yield from self._read()))
            if not self.pipelines and replies[-1][0] not in (250, 251, 354):
                break
        self.named = None
        yield from self._judge(replies)

    def _write(self, data: bytes) -> Talk:
        while data:
            if not self.relay.sock:
                raise smtplib.SMTPServerDisconnected("the relay closed the connection")
            try:
                data = data[self.relay.sock.send(data) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                yield Wait(self.relay.sock.fileno(), COMMAND_SECONDS, write=True)

    def _read(self) -> Talk:
        """The next answer of the relay, of one line or several; the talk ends with its Reply."""
        words = []
        while True:
            while not self.lines:
                yield from self._receive()
            line = self.lines.popleft()
            words.append(line[4:].strip())
            if line[3:4] != b"-":
                return int(line[:3]) if line[:3].isdigit() else -1, b"\n".join(words)
            if len(words) >= LONGEST_ANSWER:
                raise smtplib.SMTPServerDisconnected("the relay does not end its answer")

    def _receive(self) -> Talk:
        """Whole lines into `lines`, once some more came."""
        if not self.relay.sock:
            raise smtplib.SMTPServerDisconnected("the relay closed the connection")
        yield Wait(self.relay.sock.fileno(), COMMAND_SECONDS)
        try:
            data = self.relay.sock.recv(65536)
        except (BlockingIOError, ssl.SSLWantReadError):  # half of an encrypted record
            return
        *whole, self.rest = (self.rest + data).split(b"\n")
        self.lines.extend(whole)
        if not data or len(self.rest) > LONGEST_LINE:
            self.relay.close()
            raise smtplib.SMTPServerDisconnected("the relay closed the connection")

    def _judge(self, replies: list[Reply]) -> Talk:
        """Raises Outcome when the relay did not say 250, 250 (or 251), 354 to sender, reader and DATA."""
        wanted = ((250,), (250, 251), (354,))
        refused = next((n for n, (code, _) in enumerate(replies) if code not in wanted[n]), None)
        if refused is None:
            return
        code, answer = replies[refused]
        if replies[-1][0] == 354:  # it wants a message all the same, and even an empty one might reach somebody
            self._broken(Attempt.Outcome.TRANSPORT, "")
        else:
            with suppress(OSError):  # a broken line is met, and blamed, by the next message
                yield from self._write(b"RSET\r\n")
                yield from self._read()
        if refused == 0:  # the sender is ours: this is never about one reader
            raise Outcome(Attempt.Outcome.TRANSPORT, code, _text(answer))
        raise self._blame(code, answer, address_said=refused == 1)

    def _blame(self, code: int, answer: bytes, *, address_said: bool = False) -> Outcome:
        """Whose fault this answer is.

        Only an answer to the address itself can say that nobody is there; the message's own is about the message.
        """
        said = _text(answer)
        if code == 421:
            self._broken(Attempt.Outcome.TRANSPORT, said)
            return Outcome(Attempt.Outcome.TRANSPORT, code, said)
        blame = Attempt.Outcome.PERM if code >= 500 else Attempt.Outcome.TEMP
        return Outcome(blame, code, said, unknown_reader=address_said and code >= 500 and bounces.is_nobody(said))


def _text(answer: bytes) -> str:
    return answer.decode("utf-8", "replace")
