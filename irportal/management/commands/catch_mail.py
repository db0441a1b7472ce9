import mailbox
import signal
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from django.conf import settings
from django.core.management.base import BaseCommand

STOPS = {signal.SIGTERM, signal.SIGINT}


class Keeper:
    """Keeps every message exactly as it came; nothing is passed on to anybody."""

    def __init__(self, maildir: Path) -> None:
        maildir.parent.mkdir(parents=True, exist_ok=True)
        self.box = mailbox.Maildir(maildir, create=True)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.box.add(envelope.content or b"")
        return "250 kept"


class Command(BaseCommand):
    help = "Take every mail on 127.0.0.1 and keep it in a Maildir. For `run` and tests; it delivers nothing."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=1025)
        parser.add_argument("--maildir", type=Path, default=settings.VAR_DIR / "mail")

    def handle(self, *args: Any, **options: Any) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)  # before the controller's thread starts, which inherits it
        catcher = Controller(
            Keeper(options["maildir"]), hostname="127.0.0.1", port=options["port"], enable_SMTPUTF8=True
        )
        catcher.start()
        signal.sigwait(STOPS)
        catcher.stop()
