from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from incidents.policy import actions, documents
from incidents.policy.models import PolicyVersion
from incidents.runbooks import actions as runbooks
from irportal.refused import Refused


class Command(BaseCommand):
    help = "Load the shipped policy profiles, taxonomy and runbooks, or one FILE. Safe to run at every start."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", nargs="?", type=Path, help="a profile file; without it, what is shipped")
        parser.add_argument(
            "--check", action="store_true", help="say what is wrong with FILE, line by line; load nothing"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["check"] and not options["file"]:
            raise CommandError("Name the file to check.")
        try:
            self.stdout.write(self._file(options["file"], options["check"]) if options["file"] else self._shipped())
        except (Refused, OSError, UnicodeDecodeError) as refusal:
            raise CommandError(str(refusal)) from None

    def _shipped(self) -> str:
        actions.load_shipped()
        actions.load_literal()
        runbooks.load_shipped()
        return f"Policy in force: {PolicyVersion.objects.in_force(timezone.now())}"

    def _file(self, file: Path, check: bool) -> str:
        text = file.read_text(encoding="utf-8")
        if check:
            found = documents.read(text)
            return f"Nothing is wrong with {found['profile']}, version {found['version']}: {documents.digest(found)}"
        return f"Loaded and approved: {actions.load_file(text)}"
