from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from irportal.ledger import actions
from irportal.ledger.models import Checkpoint, Entry


class Command(BaseCommand):
    help = "Check that no ledger entry was changed, removed, reordered or inserted."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--checkpoint", metavar="SIZE:ROOT", help="a checkpoint printed in an earlier report")

    def handle(self, *args: Any, **options: Any) -> None:
        handed_out = None
        if given := options["checkpoint"]:
            size, _, root = given.partition(":")
            if not size.isdigit() or len(root) != 64:
                raise CommandError("A checkpoint looks like 5300:ed5841bb… (a number, a colon, 64 hex digits).")
            handed_out = (int(size), root)
        if faults := actions.verify(handed_out):
            raise CommandError("FAIL\n" + "\n".join(faults))
        counts = f"{Entry.objects.count()} entries, {Checkpoint.objects.count()} checkpoints"
        self.stdout.write(f"OK {counts}")
