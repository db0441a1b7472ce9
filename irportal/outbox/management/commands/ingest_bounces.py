"""Read the mailbox of BOUNCE_ADDRESS: who cannot be reached, who complained, who leaves. Run it every few minutes."""

import logging
import mailbox
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from irportal.outbox import actions, bounces

log = logging.getLogger(__name__)


class Command(BaseCommand):
    help = (
        "Read bounces, complaints and who leaves: a Maildir, whose mails are marked as seen, or an mbox, left as it is."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("path", type=Path, help="a Maildir or an mbox file")

    def handle(self, *args: Any, path: Path, **options: Any) -> None:
        if not path.is_file() and not (path / "new").is_dir():
            raise CommandError(f"{path} is neither an mbox file nor a Maildir.")
        counts: Counter[str] = Counter()
        for name, message in _maildir(path) if path.is_dir() else _mbox(path):
            counts[self.take(name, message)] += 1
        names = ("hard", "soft", "complaint", "left", "known", "other", "broken")
        self.stdout.write(", ".join(f"{counts[name]} {name}" for name in names))

    def take(self, name: str, message: bytes) -> str:
        """What this message was: a kind of bounce, known already, other mail, or one that cannot be read."""
        try:
            report, key = bounces.read(message), bounces.who_leaves(message)
        except Exception:
            log.exception("the message %s could not be read", name)
            return "broken"
        if report is None:
            return "left" if key and actions.left_by_mail(key) else "other"
        return report.kind if actions.bounced(report, at=timezone.now()) else "known"


def _maildir(path: Path) -> Iterator[tuple[str, bytes]]:
    """What nobody has seen yet; seen once the caller comes back for the next, so that a crash loses nothing."""
    seen = (file for file in (path / "cur").glob("*:2,*") if "S" not in file.name.rpartition(":2,")[2])
    for file in sorted([*(path / "new").iterdir(), *seen]):
        try:
            message = file.read_bytes()
        except OSError:  # taken by somebody else meanwhile, or not ours to read
            log.exception("the file %s could not be opened", file.name)
            continue
        yield file.name, message
        base, _, flags = file.name.partition(":2,")
        (path / "cur").mkdir(exist_ok=True)
        with suppress(FileNotFoundError):
            file.rename(path / "cur" / f"{base}:2,{''.join(sorted({*flags, 'S'}))}")


def _mbox(path: Path) -> Iterator[tuple[str, bytes]]:
    with closing(mailbox.mbox(path, create=False)) as box:
        for key in box.iterkeys():
            yield str(key), box.get_bytes(key)
