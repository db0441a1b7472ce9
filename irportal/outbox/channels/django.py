"""Mail by whatever Django can send with: MAILERS["delivery"], for example a provider's API.

Which of the library's errors is whose fault is told by what it carries, so that no provider's package is needed here.
"""

import html
import smtplib
from datetime import timedelta
from functools import partial
from typing import Any, ClassVar, Self

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, mailers

from irportal.outbox import audiences, bounces, events, wire
from irportal.outbox.channels import Answer, Outcome
from irportal.outbox.models import Attempt, Delivery
from irportal.outbox.talks import Elsewhere, Talk

OURS = {401, 403, 408, 425, 429}  # answers about our key or our pace, not about the message


class Line:
    """A connection of the mailer, as far as it keeps one."""

    at_once: ClassVar[int] = 100
    waits: ClassVar[tuple[timedelta, ...] | None] = None

    def __enter__(self) -> Self:
        self.mailer = mailers["delivery"]
        try:
            self.mailer.open()
        except OSError as error:
            raise Outcome(Attempt.Outcome.TRANSPORT, None, str(error)) from error
        return self

    def __exit__(self, *raised: object) -> None:
        self.mailer.close()

    def drop(self) -> None:
        """Nothing is spoken of ahead."""

    def send(self, delivery: Delivery, ahead: Delivery | None) -> Talk:
        message = letter(delivery)
        try:
            taken = yield Elsewhere(partial(self.mailer.send_messages, [message]))
        except Exception as error:
            raise _blame(error) from error
        if not taken:
            raise Outcome(Attempt.Outcome.TEMP, None, "the mailer did not take it")
        known_as = getattr(getattr(message, "anymail_status", None), "message_id", None)
        return Answer(None, str(known_as or "taken"))


def letter(delivery: Delivery) -> EmailMultiAlternatives:
    """The mail with the headers and the text that SMTP would carry. Raises ValueError for what is no address."""
    told = delivery.announcement
    url = audiences.leave_url(told.audience)(delivery.leave, delivery.language) if delivery.leave else ""
    own = wire.words_for(delivery, url)
    words = told.words(delivery.language)
    message = EmailMultiAlternatives(
        subject=words.subject,
        body=wire.MARKS.sub(own, words.text),
        from_email=settings.MAIL_FROM,
        to=[wire.wire_address(delivery.address)],
        headers={
            "Message-ID": wire.message_id(delivery),
            **wire.headers(told),
            **wire.leave_headers(url, delivery.key),
        },
    )
    if settings.MAIL_EVENTS:  # django-anymail's mailers hand it to the provider, whose events repeat it
        message.metadata = {events.MARK: bounces.mark(delivery.key)}  # type: ignore[attr-defined]
    if words.html:
        message.attach_alternative(wire.MARKS.sub(lambda mark: html.escape(own(mark)), words.html), "text/html")
    return message


def _blame(error: Exception) -> Exception:
    """Whose fault it is; the error itself when it is none of the mailer's."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, said = next(iter(error.recipients.values()))
        words = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        blame = Attempt.Outcome.PERM if code >= 500 else Attempt.Outcome.TEMP
        return Outcome(blame, code, words, unknown_reader=code >= 500 and bounces.is_nobody(words))
    if isinstance(error, smtplib.SMTPDataError) and error.smtp_code != 421:
        blame = Attempt.Outcome.PERM if error.smtp_code >= 500 else Attempt.Outcome.TEMP
        return Outcome(blame, error.smtp_code, str(error.smtp_error))
    status: Any = getattr(error, "status_code", None)
    if status is not None:
        ours = status in OURS or status >= 500
        return Outcome(Attempt.Outcome.TRANSPORT if ours else Attempt.Outcome.PERM, status, f"the mailer said {status}")
    if type(error).__name__ == "AnymailRecipientsRefused":
        return Outcome(Attempt.Outcome.PERM, None, "the mailer refused the address")
    if _may_have_left(error):
        return Outcome(Attempt.Outcome.UNCERTAIN, None, f"no answer after the message: {type(error).__name__}")
    if isinstance(error, OSError):
        return Outcome(Attempt.Outcome.TRANSPORT, None, str(error.strerror or type(error).__name__))
    return error


def _may_have_left(error: Exception) -> bool:
    """Whether time ran out once there was a connection."""
    names = {type(found).__name__ for found in (error, error.__cause__)}
    return not names.isdisjoint({"TimeoutError", "ReadTimeout", "SMTPServerDisconnected"})
