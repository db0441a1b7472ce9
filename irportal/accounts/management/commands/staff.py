from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from irportal.accounts import actions
from irportal.accounts.roles import ROLES
from irportal.refused import Refused


class Command(BaseCommand):
    help = "Give a person access to the portal and print a one-time sign-in."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--role", required=True, help=", ".join(ROLES))
        parser.add_argument("--name", default="")

    def handle(self, *args: Any, **options: Any) -> None:
        actions.sync_roles()  # the first person of a fresh database comes before any role
        try:
            user = actions.give_access(options["email"], role=options["role"], name=options["name"])
        except Refused as refusal:
            raise CommandError(str(refusal)) from None
        except ValidationError as problem:
            raise CommandError(" ".join(problem.messages)) from None
        self.stdout.write(f"{user.name} is {options['role']}. Sign in once, choosing a password, at")
        self.stdout.write(actions.sign_in_link(user))
