"""Brings the public site up to date, and writes it as plain files where asked."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from statuspage import editions, plain
from statuspage.models import Document


class Command(BaseCommand):
    help = "Write every public document that is not up to date; with --to also as plain files for nginx or a CDN."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--to", metavar="DIR", type=Path, help="write the site as files into this folder")

    def handle(self, *args: Any, **options: Any) -> None:
        editions.run_due(timezone.now())
        while editions.refresh():
            pass
        if folder := options["to"]:
            wrote, removed = plain.write_to(folder)
            self.stdout.write(f"{wrote} files written to {folder}, {removed} removed.")
        self.stdout.write(f"{Document.objects.count()} documents are up to date.")
