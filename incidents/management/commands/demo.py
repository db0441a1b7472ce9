import secrets
from typing import Any

from django.core.management.base import BaseCommand
from django.db import transaction
from django.utils import timezone

from incidents.lifecycle.models import Role, RoleContact
from irportal.accounts import actions as accounts
from irportal.accounts.models import User
from irportal.ledger import actions as ledger
from statuspage.models import Component, ComponentGroup, Customer, Subscriber

GROUPS = {
    "Agent platform": [
        ("Agent API", "Answers every request to an agent"),
        ("Dashboard", "What customers look at"),
        ("Detection results", "Findings on agent output"),
    ],
    "Connected services": [
        ("Model providers", "The language models agents call"),
        ("Payments", "Cards and invoices"),
        ("E-mail alerts", "Mails our customers set up for themselves"),
    ],
}
# Names, access and roles after the seeds' tables; management is left open, so that a gap is seen as a gap.
PEOPLE = [
    ("Grace", "grace", "admin", []),
    ("Lin", "lin", "publisher", [Role.COMMS_LEAD, Role.CUSTOMER_TRUST]),
    ("Tomas", "tomas", "commander", [Role.TECHNICAL_LEAD, Role.BACKUP_ON_CALL]),
    ("Ines", "ines", "responder", [Role.AI_LEAD]),
    ("Sol", "sol", "responder", [Role.SECURITY_LEAD]),
    ("Marek", "marek", "publisher", [Role.LEGAL_LEAD]),
    ("Edith", "edith", "viewer", [Role.EXECUTIVE_SPONSOR]),
    ("Ada", "ada", "viewer", []),
]
CUSTOMERS = {
    "Northwind Clinics": ["Agent API", "Dashboard"],
    "Harbour Bank": ["Agent API", "Payments"],
    "Lumen Retail": ["Dashboard", "E-mail alerts"],
    "Orchard Logistics": ["Detection results"],
}
SUBSCRIBERS = 40


class Command(BaseCommand):
    help = "Create the demo organisation and print a sign-in. Does nothing once there is anybody."

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        if User.objects.exists():
            self.stdout.write("There are people already; nothing was changed.")
            return
        accounts.sync_roles()
        password = secrets.token_urlsafe(12)
        people(password)
        parts = components()
        readers(parts)
        ledger.append("demo.created", subject="demo", by=None)
        self.stdout.write(f"Sign in as grace@agentguard.example with {password}")


def people(password: str) -> None:
    """Grace can sign in with the password; everybody else needs a link from `manage.py staff`."""
    for name, local, access, roles in PEOPLE:
        person = accounts.give_access(
            f"{local}@agentguard.example",
            role=access,
            name=name,
            password=password if local == "grace" else None,
        )
        for role in roles:
            RoleContact.objects.create(role=role, person=person)
    RoleContact.objects.create(role=Role.MANAGEMENT)


def components() -> dict[str, Component]:
    made = {}
    for place, (group_name, rows) in enumerate(GROUPS.items()):
        group = ComponentGroup.objects.create(name=group_name, position=place)
        for position, (name, description) in enumerate(rows):
            made[name] = Component.objects.create(group=group, name=name, description=description, position=position)
    return made


def readers(parts: dict[str, Component]) -> None:
    """Forty subscribers, every fourth for the whole page, and four customers."""
    names, now = list(parts.values()), timezone.now()
    for number in range(1, SUBSCRIBERS + 1):
        subscriber = Subscriber.objects.create(email=f"reader{number:02}@example.com", confirmed_at=now)
        if number % 4:
            subscriber.components.set([names[number % len(names)]])
    for customer_name, used in CUSTOMERS.items():
        local = customer_name.lower().replace(" ", "-")
        customer = Customer.objects.create(name=customer_name, contact_email=f"ops@{local}.example.com")
        customer.components.set([parts[name] for name in used])
