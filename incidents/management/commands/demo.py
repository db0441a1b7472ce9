import secrets
from typing import Any

from django.core.management.base import BaseCommand
from django.db import transaction
from django.utils import timezone

from incidents.lifecycle.models import Role, RoleContact
from incidents.runbooks.models import ServiceCommand, ServiceLink
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
# What runbooks ask of the Agent API, after the appendices of the seeds' plan. Some are left open, to be seen as gaps.
API = "https://agent-api.agentguard.example"
SERVICE = {
    "health": f"curl -fsS {API}/health | jq",
    "metrics": f"curl -fsS {API}/metrics",
    "critical_endpoint": f"curl -fsS -X POST {API}/test-agent -H 'Content-Type: application/json' "
    """-d '{"agent_output":"test","ground_truth":"test"}'""",
    "database": 'psql "$DATABASE_URL" -c "SELECT 1;"',
    "cache": "redis-cli ping",
    "deploys": "deployctl list agent-api --last 5",
    "rollback": "deployctl rollback agent-api --to previous",
    "restart": "deployctl restart agent-api",
    "kill_switch": "agentctl halt --all --drain",
    "agent_status": f"curl -s -o /dev/null -w '%{{http_code}}\\n' {API}/agents/run",
    "model_rollback": "modelctl rollback agent-api --to previous",
    "model_version": f"curl -fsS {API}/model | jq -r .sha256",
}
LINKS = {
    "hosting": "https://hosting.agentguard.example/",
    "errors": "https://errors.agentguard.example/",
    "cdn": "https://cdn.agentguard.example/",
    "payments": "https://payments.agentguard.example/",
    "model_status": "https://models.example/status",
    "source": "https://git.agentguard.example/agent-api",
}


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
        service(parts["Agent API"])
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


def service(api: Component) -> None:
    """The commands of the Agent API, and the links everybody uses."""
    ServiceCommand.objects.bulk_create(
        ServiceCommand(component=api, name=name, text=text) for name, text in SERVICE.items()
    )
    ServiceLink.objects.bulk_create(ServiceLink(name=name, url=url) for name, url in LINKS.items())


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
