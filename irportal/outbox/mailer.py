"""Django's mail backend: mail a library sends (password reset) becomes rows, so no request waits for SMTP."""

import uuid
from collections.abc import Sequence

from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.core.mail.backends.base import BaseEmailBackend
from django.db import transaction

from irportal.outbox import actions


class OutboxBackend(BaseEmailBackend):
    """Announces each message to exactly its recipients."""

    @transaction.atomic
    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        for message in email_messages:
            html = (
                next(
                    (str(a.content) for a in getattr(message, "alternatives", []) if a.mimetype == "text/html"),
                    "",
                )
                if isinstance(message, EmailMultiAlternatives)
                else ""
            )
            name = uuid.uuid4().hex
            actions.announce(
                f"mail:{name}",
                topic="account",
                thread=f"mail-{name[:12]}",
                audience="addresses",
                facts={"addresses": message.recipients()},
                subject=str(message.subject),
                text=str(message.body),
                html=html,
                priority=3,
            )
        return len(email_messages)
