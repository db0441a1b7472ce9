from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.urls import reverse
from django.utils import timezone

from incidents.policy import actions, documents
from incidents.policy.models import PolicyVersion
from incidents.runbooks import actions as runbooks
from irportal.accounts.models import User
from irportal.refused import Refused


class Command(BaseCommand):
    help = (
        "Load the shipped policy profiles, taxonomy and runbooks, or propose what one FILE says. Safe at every start."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", nargs="?", type=Path, help="a profile file; without it, what is shipped")
        parser.add_argument("--by", metavar="EMAIL", help="who proposes FILE; somebody else approves it in the portal")
        parser.add_argument(
            "--check", action="store_true", help="say what is wrong with FILE, line by line; load nothing"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["check"] and not options["file"]:
            raise CommandError("Name the file to check.")
        try:
            file, check, by = (options[name] for name in ("file", "check", "by"))
            self.stdout.write(self._file(file, check, by) if file else self._shipped())
        except (Refused, OSError, UnicodeDecodeError) as refusal:
            raise CommandError(str(refusal)) from None

    def _shipped(self) -> str:
        actions.load_shipped()
        actions.load_literal()
        runbooks.load_shipped()
        return f"Policy in force: {PolicyVersion.objects.in_force(timezone.now())}"

    def _file(self, file: Path, check: bool, by: str | None) -> str:
        text = file.read_text(encoding="utf-8")
        if check:
            found = documents.read(text)
            return f"Nothing is wrong with {found['profile']}, version {found['version']}: {documents.digest(found)}"
        person = User.objects.filter(email__iexact=by or "", is_active=True).first()
        if person is None or not person.has_perm("incidents.propose_policy"):
            raise Refused("Name with --by the e-mail address of somebody who may propose a policy.")
        version = actions.propose_file(text, by=person)
        where = reverse("portal:policy-version", args=[version.profile.name, version.number])
        return f"{version}: {version.state}. {settings.PUBLIC_BASE_URL}{where}"
