from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from incidents.policy import documents, queries
from incidents.policy.models import PolicyVersion


class Command(BaseCommand):
    help = "Write a version of a policy as a profile file, which loads to the same SHA-256 elsewhere."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("profile")
        parser.add_argument("number", nargs="?", type=int, help="the newest approved one when not given")

    def handle(self, *args: Any, **options: Any) -> None:
        rows = PolicyVersion.objects.filter(profile__name=options["profile"]).select_related("profile")
        number = options["number"]
        rows = rows.filter(number=number) if number else rows.filter(approved_at__isnull=False)
        version = rows.order_by("-number").first()
        if version is None:
            raise CommandError("There is no such version.")
        self.stdout.write(documents.written(queries.document(version)), ending="")
