"""SMTP. Builds one delivery's bytes, the same on every try, and hands them to the relay."""

import re
import smtplib
import ssl
from contextlib import suppress
from datetime import UTC
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import EmailPolicy
from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.utils.html import escape

from irportal.outbox.models import Attempt, Delivery

CONNECT_SECONDS, COMMAND_SECONDS = 10, 30


class Wire(EmailPolicy):
    """How our mails are written: seven bits, and addresses in angle brackets never folded.

    The library would fold a long one into encoded words, which no reader takes for an address: one-click
    unsubscribe and threading would be lost.
    """

    WHOLE = frozenset({"message-id", "in-reply-to", "references", "list-unsubscribe"})

    def fold_binary(self, name: str, value: Any) -> bytes:
        if name.lower() in self.WHOLE:
            return f"{name}: {value}\r\n".encode("ascii")
        return super().fold_binary(name, value)


WIRE = Wire(linesep="\r\n", cte_type="7bit")


def message_id(delivery: Delivery) -> str:
    """`<inc-42.subscriber-17.<key16>@domain>`: stable over every retry."""
    name = re.sub(r"[^a-z0-9-]+", ".", f"{delivery.lane}.{delivery.key[:16]}".lower())
    return f"<{name}@{settings.MAIL_DOMAIN}>"


def build(delivery: Delivery) -> bytes:
    """The whole message as it goes over the wire.

    A pure function of stored rows: a retry sends the same bytes.
    """
    announcement = delivery.announcement
    own = {"{unsubscribe_url}": delivery.unsubscribe_url, "{why}": delivery.why}
    text, html = announcement.text, announcement.html
    for mark, value in own.items():
        text, html = text.replace(mark, value), html.replace(mark, escape(value))
    message = EmailMessage(policy=WIRE)
    message["From"] = settings.MAIL_FROM
    message["To"] = Address(addr_spec=delivery.address)
    message["Subject"] = announcement.subject
    message["Date"] = announcement.made_at.astimezone(UTC)
    message["Message-ID"] = message_id(delivery)
    thread = f"<{announcement.thread.lower()}.thread@{settings.MAIL_DOMAIN}>"
    message["In-Reply-To"] = message["References"] = thread
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    if delivery.unsubscribe_url:
        message["List-Id"] = f"status updates <status.{settings.MAIL_DOMAIN}>"
        message["List-Unsubscribe"] = f"<{delivery.unsubscribe_url}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.set_content(text)
    if html:
        message.add_alternative(html, subtype="html")
        message.set_boundary(f"=_{delivery.key[:32]}")
    return message.as_bytes()


class Outcome(Exception):
    """How a try ended when it did not end well. `blame` is an Attempt.Outcome.

    `unknown_reader`: the relay says that the address itself leads nowhere (5.1.x, RFC 3463).
    """

    def __init__(self, blame: str, code: int | None, answer: str, *, unknown_reader: bool = False) -> None:
        super().__init__(answer)
        self.blame, self.code, self.answer = blame, code, answer[:300]
        self.unknown_reader = unknown_reader


def _text(answer: bytes | str) -> str:
    return answer.decode("utf-8", "replace") if isinstance(answer, bytes) else str(answer)


class Connection:
    """One connection to the relay of SMTP_URL, used for a whole claim.

    Raises Outcome for everything that fails.
    """

    def __init__(self) -> None:
        url = urlsplit(settings.SMTP_URL)
        self.host, self.port = url.hostname or "127.0.0.1", url.port or 25
        self.secure = url.scheme == "smtp+starttls"
        self.user, self.password = unquote(url.username or ""), unquote(url.password or "")

    def __enter__(self) -> "Connection":
        try:
            self.relay = smtplib.SMTP(self.host, self.port, settings.MAIL_DOMAIN, timeout=CONNECT_SECONDS)
            self._prepare()
        except (OSError, smtplib.SMTPException) as error:
            raise Outcome(Attempt.Outcome.TRANSPORT, getattr(error, "smtp_code", None), str(error)) from error
        return self

    def _prepare(self) -> None:
        """Encrypt and sign in, or close the line: nothing is said on one that is not as the operator asked for."""
        try:
            if self.relay.sock:
                self.relay.sock.settimeout(COMMAND_SECONDS)
            if self.secure:
                self.relay.starttls(context=ssl.create_default_context())
            if self.user:
                self.relay.login(self.user, self.password)
        except BaseException:
            self.relay.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.relay.quit()
        except (OSError, smtplib.SMTPException):
            self.relay.close()

    def send(self, delivery: Delivery, data: bytes) -> str:
        """Give one message to the relay and return its answer. Raises Outcome with who is to blame."""
        relay = self.relay
        try:
            relay.ehlo_or_helo_if_needed()
            code, answer = relay.mail(settings.BOUNCE_ADDRESS)
            if code != 250:  # the same sender for every message: this is never about one of them
                raise Outcome(Attempt.Outcome.TRANSPORT, code, _text(answer))
            code, answer = relay.rcpt(delivery.address)
            if code not in (250, 251):
                raise self._refused(code, answer, address_said=True)
        except (OSError, smtplib.SMTPServerDisconnected) as error:
            raise Outcome(Attempt.Outcome.TRANSPORT, None, str(error)) from error
        try:
            code, answer = relay.data(data)
        except smtplib.SMTPDataError as error:
            raise self._refused(error.smtp_code, error.smtp_error) from error
        except (OSError, smtplib.SMTPServerDisconnected) as error:
            raise Outcome(Attempt.Outcome.UNCERTAIN, None, f"no answer after the message: {error}") from error
        if code != 250:
            raise self._refused(code, answer)
        return _text(answer)

    def _refused(self, code: int, answer: bytes | str, *, address_said: bool = False) -> Outcome:
        """Whom this answer blames; the relay is made ready for the next message.

        Only an answer to the address itself can say that nobody is there; the message's own is about the message.
        """
        if code == 421:
            return Outcome(Attempt.Outcome.TRANSPORT, code, _text(answer))
        with suppress(OSError):  # a line that breaks here is met, and blamed, by the next message
            self.relay.rset()
        said = _text(answer)
        blame = Attempt.Outcome.PERM if code >= 500 else Attempt.Outcome.TEMP
        return Outcome(blame, code, said, unknown_reader=address_said and code >= 500 and said.startswith("5.1."))
