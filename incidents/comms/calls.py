"""Paging people: a row for each who is called and why, mail to them, a message to chat rooms, what became of it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from incidents.comms import letters
from incidents.comms.audiences import in_charge, meant
from incidents.comms.models import Call
from incidents.lifecycle import actions as lifecycle
from incidents.lifecycle import gate
from incidents.lifecycle.models import Handover, Incident, TimelineEntry
from incidents.policy import matrix
from irportal.accounts.models import User
from irportal.ledger import actions as ledger
from irportal.outbox import actions as outbox
from irportal.outbox.models import Bounce, Delivery
from irportal.refused import Refused

URGENT = 1
SHOWN = 60  # calls of an incident on its page, the newest
Cause, Channel = Call.Cause, Call.Channel


@dataclass(frozen=True)
class Page:
    """What is said to whom: the key it is said under once, its topic, the mail and the message to chat rooms."""

    key: str
    topic: str
    letter: letters.Letter
    chat: str


def page(incident: Incident, words: Page, *, cause: str, roles: Collection[str], gaps: Collection[str] = ()) -> None:
    """Call who holds these roles (all who hold one, when none is named), in the caller's transaction.

    `gaps` are roles that should have been called and nobody fills: each is a row, too.
    """
    found = [(row.role, row.person) for row in meant(incident.pk, roles)]
    empty = [*gaps, *(role for role in roles if role not in gaps and role not in {role for role, _ in found})]
    if not found and roles:
        found = [("", person) for person in in_charge()]
    _call(incident, words, cause=cause, people=found, gaps=empty, roles=roles)


def page_people(incident: Incident, words: Page, *, people: list[tuple[str, User]]) -> None:
    """Call exactly these people, each for the role they were given or take over."""
    _call(incident, words, cause=Cause.HANDOVER, people=people, gaps=(), roles=[role for role, _ in people])


def _call(
    incident: Incident,
    words: Page,
    *,
    cause: str,
    people: list[tuple[str, User]],
    gaps: Collection[str],
    roles: Collection[str],
) -> None:
    if Call.objects.filter(announcement_key=words.key).exists():
        return
    said: dict[str, Any] = {
        "incident": incident,
        "cause": cause,
        "made_at": timezone.now(),
        "announcement_key": words.key,
    }
    rows = [Call(**said, role=role, person=person, channel=Channel.MAIL) for role, person in people]
    rows += [Call(**said, role=role, channel=Channel.MAIL) for role in dict.fromkeys(gaps)]
    rows += [Call(**said, channel=Channel.CHAT)] if words.chat else []
    Call.objects.bulk_create(rows)
    outbox.announce(
        words.key,
        topic=words.topic,
        thread=incident.ref,
        audience="called",
        facts={"incident": incident.pk, "roles": list(roles), "calls": words.key},
        priority=URGENT,
        chat=words.chat,
        **words.letter._asdict(),
    )
    ledger.append(
        "incident.called",
        subject=incident.ref,
        by=None,
        cause=cause,
        people=[f"{role or 'in charge'}: user:{person.pk}" for role, person in people],
        gaps=list(dict.fromkeys(gaps)),
        chat=bool(words.chat),
    )


@transaction.atomic
def acknowledge(call: Call, *, by: User) -> None:
    """Say that one has the call. Where it looked for somebody to take the incident on, that acknowledges it."""
    incident = Incident.objects.locked(call.incident_id)
    call = Call.objects.select_related("person").get(pk=call.pk)
    if call.person_id != by.pk:
        raise Refused(f"This call went to {call.person or 'nobody'}; only they can say that they have it.")
    if call.acknowledged_at:
        raise Refused(f"You said so at {call.acknowledged_at:%H:%M} UTC already.")
    _answered(incident, call, by=by)
    if call.takes_it_on and incident.acknowledged_at is None:
        lifecycle.taken_on(incident, by=by)
    else:
        label = call.get_role_display().lower() or "in charge"
        lifecycle.note(incident, TimelineEntry.Kind.NOTE, f"{by} has the call as {label}.", by=by)


def answer_handover(handover: Handover, *, by: User) -> None:
    """Who takes a role over has had the call that said so."""
    rows = handover.incident.calls.filter(
        cause=Cause.HANDOVER, role=handover.role, person=by, acknowledged_at=None, made_at__gte=handover.at
    )
    for call in rows[:1]:
        _answered(handover.incident, call, by=by)


def _answered(incident: Incident, call: Call, *, by: User) -> None:
    call.acknowledged_at = timezone.now()
    call.save(update_fields=["acknowledged_at"])
    ledger.append("call.acknowledged", subject=incident.ref, by=by, cause=call.cause, role=call.role)


# What the incident page shows of it


@dataclass
class Shown:
    """One page: when and why, with each person called and the chat rooms."""

    key: str
    cause: str
    at: datetime
    calls: list[Call] = field(default_factory=list)

    @property
    def people(self) -> int:
        return len({call.person_id for call in self.calls if call.person_id})

    @property
    def gaps(self) -> int:
        return sum(call.is_gap for call in self.calls)


def shown(incident: Incident, me: User) -> list[Shown]:
    """The newest calls by page, newest first; each call knows its `fate` and its `answer` in words. Two queries."""
    calls = list(incident.calls.select_related("person").order_by("-made_at", "-pk")[:SHOWN])[::-1]
    sent: dict[tuple[str, str], list[Any]] = {}
    rows = Delivery.objects.filter(announcement__dedupe_key__in={call.announcement_key for call in calls})
    rows = rows.annotate(came_back=Exists(Bounce.objects.filter(delivery=OuterRef("pk"))))
    names = ("announcement__dedupe_key", "reader", "channel", "state", "accepted_at", "attempts", "last_error")
    for row in rows.values_list(*names, "came_back", named=True):
        reader = row.reader if row.channel == Channel.MAIL else Channel.CHAT
        sent.setdefault((row.announcement__dedupe_key, reader), []).append(row)
    pages: dict[str, Shown] = {}
    for call in calls:
        mail = call.channel == Channel.MAIL
        found = sent.get((call.announcement_key, call.reader if mail else Channel.CHAT), [])
        call.fate, call.bad = _fate(call, found)  # type: ignore[attr-defined]
        call.accepted_at = min((row.accepted_at for row in found if mail and row.accepted_at), default=None)  # type: ignore[attr-defined]
        call.rooms = not mail and any(row.state == Delivery.State.SENT for row in found)  # type: ignore[attr-defined]
        call.answer = _answer(call, incident)  # type: ignore[attr-defined]
        call.mine = call.person_id == me.pk and not call.acknowledged_at  # type: ignore[attr-defined]
        page = pages.setdefault(
            call.announcement_key, Shown(call.announcement_key, call.get_cause_display(), call.made_at)
        )
        page.calls.append(call)
    return list(pages.values())[::-1]


def _fate(call: Call, found: list[Any]) -> tuple[str, bool]:
    """What the outbox knows of it, in words, and whether that is bad."""
    if call.is_gap:
        return "nobody fills that role", True
    if not found:
        if call.channel == Channel.CHAT:
            return "no chat room is set up, or it is being addressed", False
        return "being addressed", False
    if call.channel == Channel.CHAT:
        accepted = sum(row.state == Delivery.State.SENT for row in found)
        lost = any(row.state == Delivery.State.DEAD for row in found)
        return f"{accepted} of {len(found)} room{'' if len(found) == 1 else 's'} took it", lost
    row = found[0]
    if row.came_back:
        return "came back: the mailbox did not take it", True
    if row.state == Delivery.State.SENT:
        return f"accepted {row.accepted_at:%H:%M:%S} UTC", False
    if row.state == Delivery.State.PENDING:
        tried = f", {row.attempts} tries, last: {row.last_error}" if row.last_error else ""
        return f"on its way{tried}", bool(tried)
    return f"not delivered: {row.last_error or row.state}", True


def _answer(call: Call, incident: Incident) -> str:
    """Who answered it when: the person called, else whoever acknowledged the incident afterwards."""
    if call.acknowledged_at:
        return f"{call.person} has it, {call.acknowledged_at:%H:%M} UTC"
    at = incident.acknowledged_at
    if at is None or call.cause not in (Cause.DECLARED, Cause.UNACKNOWLEDGED):
        return ""
    by_declaring = at == incident.declared_at and call.announcement_key == declared_key(incident, 1)
    return f"acknowledged by {incident.acknowledged_by}, {at:%H:%M} UTC" if by_declaring or at >= call.made_at else ""


def first_page(incident: Incident, pages: Sequence[Shown], first_rank: int) -> gate.Answer | None:
    """How soon after declaration the first page was accepted; None at a severity that sets no limit. No query."""
    level = next((row for row in incident.policy_version.severities.all() if row.rank == first_rank), None)
    first = next((page for page in pages if page.key == declared_key(incident, 1)), None)
    if level is None or not level.page_within or first is None:
        return None
    limit = matrix.length(level.page_within)
    at = min((call.accepted_at for call in first.calls if call.accepted_at), default=None)  # type: ignore[attr-defined]
    return gate.answer(incident.declared_at, at, incident.declared_at + limit, timezone.now())


def declared_key(incident: Incident, number: int) -> str:
    """Under what the declaration is told: once as it is declared, once more each time it turns out to be worse."""
    return f"{incident.ref}:declared:{number}"
