"""Takes over what another status page said. Says first what it would do; writes only when told to; tells nobody."""

import hashlib
import os
import time
from argparse import ArgumentParser
from typing import Any
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import IntegrityError
from django.utils import timezone

from irportal.accounts.models import User, valid_zone
from irportal.refused import Refused
from statuspage import editions
from statuspage.importing import plan as planning
from statuspage.importing import readers, write
from statuspage.importing.plan import Fate, Plan
from statuspage.importing.shape import File

TOKEN = "IMPORT_TOKEN"  # noqa: S105  (the name of a variable)


class Command(BaseCommand):
    help = (
        "Take over another status page: Statuspage's v2 JSON, Cachet 2 or 3, cState, Upptime. "
        "Says what it would do; does it with --write. Nobody is notified."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("source", metavar="SOURCE", nargs="+", help="files and folders, or one address")
        parser.add_argument("--from", dest="format", choices=readers.READERS, help="what it is; found out by default")
        parser.add_argument("--write", action="store_true", help="do it")
        parser.add_argument("--by", metavar="EMAIL", help="who does it, for the record; needed with --write")
        parser.add_argument("--open", action="store_true", help="also incidents that are not resolved there")
        parser.add_argument("--time-zone", default="UTC", help="where instants without a zone were written, else UTC")
        parser.add_argument("--name", help="tells a second page of the same format from the first")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            by = _person(options["by"]) if options["write"] else None
            files, plan = _planned(options)
        except Refused as refusal:
            raise CommandError(str(refusal)) from None
        except ValidationError as problem:
            raise CommandError(" ".join(problem.messages)) from None
        self.stdout.write(text(plan, every=options["verbosity"] > 1))
        if by is None:
            self.stdout.write("Nothing was written. To write it, add --write --by YOUR-EMAIL.")
        elif plan.is_empty:
            self.stdout.write("Nothing was written: everything that can be taken over stands here already.")
        else:
            self._write(plan, files, options, by)

    def _write(self, plan: Plan, files: list[File], options: dict[str, Any], by: User) -> None:
        began = time.monotonic()
        try:
            write.write(plan, source=" ".join(options["source"])[:500], sha256=sha256(files), by=by)
        except IntegrityError:
            raise CommandError("Somebody wrote the same at the same time. Run it again.") from None
        wrote = time.monotonic()
        while editions.refresh():
            pass
        self.stdout.write(
            f"Written in {wrote - began:.1f} s; the documents of the page in another {time.monotonic() - wrote:.1f} s. "
            "Nobody was notified."
        )


def _person(email: str | None) -> User:
    """Who does it. Raises Refused."""
    if not email:
        raise Refused("Say who does it, for the record: --by YOUR-EMAIL.")
    user = User.objects.filter(email__iexact=email, is_active=True).first()
    if user is None:
        raise Refused(f"{email} has no access to the portal.")
    return user


def _planned(options: dict[str, Any]) -> tuple[list[File], Plan]:
    valid_zone(options["time_zone"])
    token = os.environ.get(TOKEN)
    headers = {"Authorization": f"Bearer {token}", "X-Cachet-Token": token} if token else {}
    files, format = readers.files_of(options["source"], options["format"], headers)
    page = readers.READERS[format].read(files, ZoneInfo(options["time_zone"]))
    space = options["name"] or format
    return files, planning.plan(page, space=space, open_too=options["open"], now=timezone.now())


def sha256(files: list[File]) -> str:
    """One hash over all files with their names."""
    found = hashlib.sha256()
    for file in files:
        found.update(f"{file.name}\0{len(file.data)}\0".encode() + file.data)
    return found.hexdigest()


def text(plan: Plan, *, every: bool) -> str:
    """What would be done, as a table and a line for each refusal; with `every` a line for each incident too."""
    counts: list[list[Any]] = [
        ["", "create", "continue", "leave", "refuse"],
        ["groups", len(plan.groups), "-", plan.known_groups, "-"],
        ["components", len(plan.parts), "-", plan.known_parts, "-"],
        ["incidents", *(plan.count(fate) for fate in Fate), len(plan.refused)],
        ["works", plan.count_works(Fate.NEW), "-", plan.count_works(Fate.SAME), "-"],
    ]
    table = ["  ".join([str(row[0]).ljust(10), *(str(cell).rjust(8) for cell in row[1:])]) for row in counts]
    created = [f"created: component {part.name}" for _, part in plan.parts]
    created += [f"{one.fate.value}: /maintenance/{one.code} {one.work.title}" for one in plan.works]
    created += [f"{step.fate.value}: /incidents/{step.code} {step.incident.title}" for step in plan.steps]
    refused = [f"refused: {where}, {what}: {why}" for where, what, why in plan.refused]
    lines = [*table, "", *(created if every else []), *refused, *plan.rules, ""]
    return "\n".join("".join(sign if sign.isprintable() else "?" for sign in line) for line in lines)
