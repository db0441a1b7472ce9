"""Who must approve what leaves, who has, and what happens when it leaves without.

The policy names roles for each class of message; each must approve the same text, and nobody their own. A role is
filled by who holds it on the incident, else by the contact list. Where nobody but the author fills the comms lead's,
anybody who may publish stands in, so that one person asleep never silences us; formal notices know no stand-in.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Q
from django.utils import timezone

from incidents.comms import duties
from incidents.comms.models import Approval, Message
from incidents.lifecycle.models import Role, RoleAssignment, RoleContact
from irportal.accounts.models import User
from irportal.ledger import actions as ledger
from irportal.refused import Refused

STAND_IN = {Role.COMMS_LEAD}
MAY_STAND_IN = "incidents.publish_message"


@dataclass(frozen=True)
class Seat:
    """One approval a message needs: the role, who fills it (None: nobody but the author), and who has given it."""

    role: Role
    person: User | None
    given: Approval | None = None

    @property
    def label(self) -> str:
        return self.role.label.lower()

    @property
    def who(self) -> str:
        """Who is asked, in words: `Edith, executive sponsor`."""
        if self.person:
            return f"{self.person}, {self.label}"
        return f"somebody else who may publish, for the {self.label}" if self.role in STAND_IN else f"the {self.label}"

    def may_be_taken_by(self, person: User) -> bool:
        if self.person:
            return self.person == person
        return self.role in STAND_IN and person.has_perm(MAY_STAND_IN)


def seats(message: Message) -> list[Seat]:
    """The approvals this message needs, in the policy's order; empty where it needs none."""
    return seats_of([message])[message.pk]


def seats_of(messages: list[Message], held: Iterable[RoleAssignment] | None = None) -> dict[int, list[Seat]]:
    """The same for many messages of any incidents, by their key; a few queries whatever their number.

    `held` are the terms that run on these incidents, with their people, where they are at hand.
    """
    if not messages:
        return {}
    incidents = {message.incident_id: message.incident for message in messages}
    rules = defaultdict(list)
    versions = {incident.policy_version_id: incident.policy_version for incident in incidents.values()}
    for version in versions.values():
        for rule in version.approval_rules.all():
            rules[rule.version_id, rule.message_class].append(Role(rule.role))
    people = _people(list(incidents), held)
    given = {
        (row.message_id, row.role, row.content_hash): row
        for row in Approval.objects.filter(message__in=[message.pk for message in messages]).select_related("by")
    }
    return {
        message.pk: [
            Seat(
                role,
                _other(people[message.incident_id].get(role), message),
                given.get((message.pk, role, message.content_hash)),
            )
            for role in rules[incidents[message.incident_id].policy_version_id, message.approval_class]
        ]
        for message in messages
    }


def _people(incidents: list[int], held: Iterable[RoleAssignment] | None) -> dict[int, dict[str, User]]:
    """Who fills each role: on the incident, else by the contact list; a stand-in's role only on the incident."""
    listed = RoleContact.objects.filter(person__is_active=True).exclude(role__in=STAND_IN).select_related("person")
    everywhere = {row.role: row.person for row in listed if row.person}
    found = {incident: dict(everywhere) for incident in incidents}
    if held is None:
        held = RoleAssignment.objects.filter(incident__in=incidents, ended_at=None).select_related("person")
    for row in held:
        if row.incident_id in found and row.person.is_active:
            found[row.incident_id][row.role] = row.person
    return found


def _other(person: User | None, message: Message) -> User | None:
    return None if person and person.pk == message.author_id else person


def missing(message: Message) -> list[Seat]:
    return [seat for seat in seats(message) if not seat.given]


def approve(message: Message, *, by: User) -> list[Seat]:
    """Record `by`'s approval of this text for every role they fill; return what is still missing. Raises Refused."""
    waiting = missing(message)
    mine = [seat for seat in waiting if seat.may_be_taken_by(by)]
    if waiting and by.pk == message.author_id:
        asked = " and ".join(seat.who for seat in waiting)
        raise Refused(f"You wrote this, so it needs the approval of {asked}; or send it without, and say why.")
    if waiting and not mine:
        raise Refused(f"This needs the approval of {' and '.join(seat.who for seat in waiting)}.")
    now = timezone.now()
    for seat in mine:
        Approval.objects.create(message=message, role=seat.role, by=by, content_hash=message.content_hash, at=now)
    if mine:
        ledger.append(
            "message.approved",
            subject=message.incident.ref,
            by=by,
            roles=[seat.role.value for seat in mine],
            sha256=message.content_hash,
        )
    return [seat for seat in waiting if seat not in mine]


def go_without(message: Message, *, reason: str, by: User) -> None:
    """Let it leave without the approval that is missing: the reason is kept, and somebody else reviews it later."""
    reason = reason.strip()
    lacking = missing(message)
    if not lacking or not reason:
        return
    message.unapproved_reason = reason
    message.review = duties.owe_review(message.incident)
    message.save(update_fields=["unapproved_reason", "review"])
    ledger.append(
        "message.left_unapproved",
        subject=message.incident.ref,
        by=by,
        missing=[seat.role.value for seat in lacking],
        sha256=message.content_hash,
        reason=reason,
        review_by=message.review.due_at,
    )


def approvers(message: Message) -> list[User]:
    """Whom to ask for what is missing: who fills each role, or all who could stand in."""
    asked: dict[int, User] = {}
    for seat in missing(message):
        stand_ins = User.objects.filter(
            Q(groups__permissions__codename="publish_message") | Q(is_superuser=True), is_active=True
        )
        found = [seat.person] if seat.person else stand_ins.distinct() if seat.role in STAND_IN else []
        asked |= {person.pk: person for person in found if person.pk != message.author_id}
    return list(asked.values())
