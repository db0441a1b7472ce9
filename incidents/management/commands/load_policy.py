from typing import Any

from django.core.management.base import BaseCommand, CommandError

from incidents.policy import actions
from incidents.runbooks import actions as runbooks
from irportal.refused import Refused


class Command(BaseCommand):
    help = "Load the shipped policy profile, the taxonomy and the runbooks. Safe to run at every start."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            version = actions.load_shipped()
            runbooks.load_shipped()
        except Refused as refusal:
            raise CommandError(str(refusal)) from None
        self.stdout.write(f"Policy in force: {version}")
