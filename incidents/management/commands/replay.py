import json
from argparse import ArgumentParser
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from incidents.comms import replay
from incidents.lifecycle.actions import NO_POLICY
from incidents.policy.models import PolicyVersion
from irportal.refused import Refused
from statuspage.rhythm import duration

HEADS = ["", "incidents", "owing", "ticks due", "kept", "holding", "late", "late by up to", "longest silence"]


class Command(BaseCommand):
    help = "Replay a record of past incidents under the policy in force, on a virtual clock. Writes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE", type=Path, help="one JSON object a line, one line an incident")
        parser.add_argument("--json", action="store_true", help="print the same as JSON, lengths in seconds")

    def handle(self, *args: Any, **options: Any) -> None:
        version = PolicyVersion.objects.in_force(timezone.now())
        if version is None:
            raise CommandError(NO_POLICY)
        policy = replay.Policy(version.rules(), version.grace, version.holding_max_consecutive)
        try:
            incidents, maintenance = replay.read(options["file"].read_bytes().splitlines())
            rows = replay.report(incidents, policy, {level.rank: str(level) for level in version.severities.all()})
        except OSError as problem:
            raise CommandError(f"{options['file']} cannot be read: {problem.strerror}.") from None
        except Refused as refusal:
            raise CommandError(str(refusal)) from None
        self.stdout.write(as_json(version, maintenance, rows) if options["json"] else text(version, maintenance, rows))


def text(version: PolicyVersion, maintenance: int, rows: list[replay.Row]) -> str:
    skipped = f"{maintenance} {'entry' if maintenance == 1 else 'entries'} of maintenance left out."
    return "\n".join([f"Replayed under {version}. {skipped}", "", *table(rows), "", *replay.ASSUMED])


def table(rows: list[replay.Row]) -> list[str]:
    """The rows under their heads: the first column to the left, the others to the right."""
    cells = [HEADS, *([cell(value) for value in asdict(row).values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            [line[0].ljust(widths[0]), *(word.rjust(width) for word, width in zip(line[1:], widths[1:], strict=True))]
        )
        for line in cells
    ]


def cell(value: object) -> str:
    if not isinstance(value, timedelta):
        return str(value)
    return duration(value).replace("\N{NO-BREAK SPACE}", " ") if value else "-"


def as_json(version: PolicyVersion, maintenance: int, rows: list[replay.Row]) -> str:
    found = [asdict(row) for row in rows]
    report = {"policy": str(version), "assumed": replay.ASSUMED, "maintenance": maintenance}
    return json.dumps(
        report | {"severities": found[:-1], "total": found[-1]},
        indent=2,
        default=lambda length: int(length.total_seconds()),
    )
