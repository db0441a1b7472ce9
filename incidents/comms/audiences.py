"""Who hears of an incident: subscribers of affected components plus the customers attached to them; or its staff."""

from collections.abc import Collection
from typing import Any

from django.db.models import CharField, Exists, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Cast, Concat

from incidents.comms.models import Call
from incidents.lifecycle.models import Incident, Role, RoleAssignment, RoleContact
from incidents.policy.matrix import Facts, reaches_all
from irportal.accounts.models import User
from irportal.outbox import audiences
from irportal.outbox.audiences import Reader, Readers
from statuspage.audiences import leave_url, subscribers, told_alone
from statuspage.models import Component, Customer

PUBLIC_IMPACT = {1: "critical", 2: "major", 3: "minor", 4: "none"}
NOBODY = "Nobody who is still here holds a role on it."
DOWN = (Component.State.PARTIAL_OUTAGE, Component.State.MAJOR_OUTAGE)


def facts_of(incident: Incident) -> Facts:
    """What the matrix needs to know of this incident now."""
    states = [row.state for row in incident.components.all()]
    filings = [law for law in incident.laws.all() if law.audience == "regulators" and law.is_running]
    return Facts(
        affected=any(state != Component.State.OPERATIONAL for state in states),
        personal_data=incident.personal_data == Incident.Known.YES,
        ai_harm=_ai_harm(incident),
        is_outage=incident.type.is_outage,
        down=any(state in DOWN for state in states),
        material=incident.material,
        short_clock=any(law.is_short for law in filings),
    )


def _ai_harm(incident: Incident) -> bool:
    """As somebody said; until then an AI's part in a critical or high one counts as harm."""
    if incident.ai_harm != Incident.Known.UNKNOWN:
        return incident.ai_harm == Incident.Known.YES
    return incident.ai_involved == Incident.Known.YES and incident.severity <= 2


def customers_of(incident: Incident) -> dict[str, Any]:
    """The facts that name the customer audience of this incident; they are frozen into its announcements."""
    rows = incident.components.all()
    alone = told_alone(incident.ref, [row.component for row in rows])
    if reaches_all(incident.policy_version.rules(), incident.severity, facts_of(incident)):
        return {"components": None, "alone": alone}
    touched = sorted(row.component_id for row in rows if row.state != Component.State.OPERATIONAL)
    return {"components": touched, "alone": alone}


def readers_of(incident: Incident, impact: str = "") -> dict[str, Any]:
    """The facts that name the readers of an update to customers: whoever is concerned by `impact` or was told before.

    Without one it is the impact the page would show now.
    """
    return customers_of(incident) | {"incident": incident.ref, "impact": impact or PUBLIC_IMPACT[incident.severity]}


def inside(incident: Incident) -> dict[str, Any]:
    """The facts that name the readers of an internal update: all who hold a role, or the owning team and commander."""
    _, scope = incident.policy_version.rules().cells.get((incident.severity, "internal"), ("", ""))
    roles = [Role.OWNING_TEAM.value, Role.INCIDENT_COMMANDER.value] if scope == "owning_team" else []
    return {"incident": incident.pk, "roles": roles}


def contracts(facts: dict[str, Any]) -> list[Reader]:
    """Audience `contracts`: the contacts of customers who use these components, for formal notices.

    Subscribers of the public page are no party to a contract. Who left the updates is still given notice, so these
    readers have keys of their own and no link to leave by.
    """
    return [
        Reader(
            key=f"contract:{row.pk}",
            address=row.contact_email,
            why=f"You get this formal notice as the contact of {row.name}.",
        )
        for row in _attached(facts)
    ]


def people(facts: dict[str, Any]) -> list[Reader]:
    """Audience `people`: exactly these staff, by `ids`, for the reason in `why`."""
    rows = User.objects.filter(pk__in=facts["ids"], is_active=True)
    return [Reader(key=f"user:{row.pk}", address=row.email, why=facts["why"]) for row in rows]


def customers(facts: dict[str, Any]) -> list[Readers]:
    """Audience `customers` (`readers_of`); who was told of a start is told of everything up to the end."""
    component_ids, incident = facts["components"], facts["incident"]
    told = audiences.told(incident, "customers")
    alone = facts.get("alone")
    many = subscribers(component_ids, impact=facts["impact"], incident=incident, told=told, alone=alone)
    return [many, *(_contact(row) for row in _attached(facts, told))]


def _attached(facts: dict[str, Any], told: QuerySet[Any, Any] | None = None) -> QuerySet[Customer]:
    """Customers who use these components or whose own they are, or whose key stands among `told`.

    Where the incident is told to some customers `alone`, exactly those.
    """
    rows = Customer.objects.filter(is_active=True)
    if (alone := facts.get("alone")) is not None:
        return rows.filter(pk__in=alone)
    if (component_ids := facts["components"]) is None:
        return rows
    used = Customer.components.through.objects.filter(customer=OuterRef("pk"), component__in=component_ids)
    own = Component.objects.filter(customer=OuterRef("pk"), pk__in=component_ids)
    users = Q(Exists(used.filter(component__customer=None))) | Q(Exists(own))
    if told is not None:
        rows = rows.annotate(key=Concat(Value("customer:"), Cast("pk", CharField())))
        users |= Q(key__in=told.filter(reader__startswith="customer:"))
    return rows.filter(users)


def _contact(customer: Customer) -> Reader:
    key = f"customer:{customer.pk}"
    why = f"You get this as the contact of {customer.name}."
    return Reader(key=key, address=customer.contact_email, leave=key, why=why)


def staff(facts: dict[str, Any]) -> list[Reader]:
    """Audience `staff`: whoever holds a role on the incident; `roles` narrows it, an empty list means all.

    What is meant for certain roles never reaches nobody: without them it goes to who stands for them in the contact
    list, without these to all roles, without any to all who may command or publish.
    """
    found = meant(facts["incident"], facts.get("roles") or [])
    if facts.get("roles") and not found:
        return _in_charge(NOBODY)
    return [_reader(row.person, f"You are {row.get_role_display().lower()}.") for row in found]


def meant(incident_id: int, roles: Collection[str]) -> list[Any]:
    """Terms, or lines of the contact list, of those who are meant by these roles; of all who hold one by none."""
    held = RoleAssignment.objects.filter(incident_id=incident_id, ended_at=None, person__is_active=True)
    rows = list(held.select_related("person"))
    if not roles:
        return rows
    return [row for row in rows if row.role in roles] + _listed(set(roles) - {row.role for row in rows}) or rows


def called(facts: dict[str, Any]) -> list[Reader]:
    """Audience `called`: exactly the people of the calls made under the key `calls`."""
    rows = Call.objects.filter(announcement_key=facts["calls"], channel=Call.Channel.MAIL, person__is_active=True)
    return [
        _reader(row.person, f"You are {row.get_role_display().lower()}." if row.role else NOBODY)
        for row in rows.select_related("person")
        if row.person
    ]


def _reader(person: User, why: str) -> Reader:
    return Reader(key=f"user:{person.pk}", address=person.email, why=why)


def _listed(roles: set[str]) -> list[Any]:
    """Who stands for these roles in the contact list."""
    return list(RoleContact.objects.filter(role__in=roles, person__is_active=True).select_related("person"))


def in_charge() -> QuerySet[User]:
    """All who may command or publish: who is called when nobody else is left."""
    return User.objects.filter(is_active=True, groups__name__in=["commander", "publisher", "admin"]).distinct()


def _in_charge(why: str) -> list[Reader]:
    return [_reader(person, why) for person in in_charge()]


def register() -> None:
    audiences.register("customers", customers, leave_url)
    audiences.register("reminded", customers, leave_url)
    audiences.register("staff", staff)
    audiences.register("called", called)
    audiences.register("in-charge", lambda facts: _in_charge("You may command incidents or publish."))
    audiences.register("contracts", contracts)
    audiences.register("people", people)
