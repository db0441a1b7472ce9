"""The contact list: who fills which role, how they are reached, who looked through it last."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from incidents.lifecycle.models import ContactReview, Role, RoleContact
from irportal.accounts.models import User
from irportal.ledger import actions as ledger
from irportal.ledger.models import Entry
from irportal.refused import Refused

REVIEWED_EVERY = timedelta(days=91)  # requirements 1.9: three months
CHANGED = "role_contact.changed"
HISTORY = 20


@dataclass(frozen=True)
class Line:
    """One role of the list; without a person, or with one who left, it is a gap."""

    role: str
    label: str
    contact: RoleContact | None

    @property
    def person(self) -> User | None:
        person = self.contact.person if self.contact else None
        return person if person and person.is_active else None

    @property
    def lacks(self) -> str:
        """What is missing, in words; empty when somebody is named."""
        if self.person:
            return ""
        left = self.contact.person if self.contact else None
        return f"TBD: {left} has left" if left else "TBD: nobody is named"


def lines() -> list[Line]:
    """Every role with who fills it. One query."""
    known = {row.role: row for row in RoleContact.objects.select_related("person")}
    return [Line(role.value, role.label, known.get(role)) for role in Role]


def newest_change() -> int:
    """The number of the list's newest entry in the ledger; -1 where there is none."""
    newest = Entry.objects.filter(deed=CHANGED).order_by("-n").values_list("n", flat=True).first()
    return -1 if newest is None else newest


def history() -> list[dict[str, Any]]:
    """The newest changes of the list: when, by whom, which role, which fields. One query."""
    rows = Entry.objects.filter(deed=CHANGED).order_by("-n")[:HISTORY]
    return [_told(row) for row in rows]


def _told(entry: Entry) -> dict[str, Any]:
    said = json.loads(entry.line)
    role = entry.subject.removeprefix("role:")
    label = Role(role).label if role in Role.values else role
    fields = sorted(set(said["facts"]) - {"what"})
    return {"at": entry.recorded_at, "by": said["by"], "role": label, "what": ", ".join(fields) or "added"}


def last_review() -> ContactReview | None:
    return ContactReview.objects.select_related("by").first()


def is_due(review: ContactReview | None, now: datetime) -> bool:
    """Whether somebody should look through it again."""
    return review is None or now >= review.at + REVIEWED_EVERY


def _check_seen(seen: int | None, entries: Any) -> None:
    """Refuse when the list changed after it was on the person's screen, saying who changed what."""
    since = [_told(row) for row in entries.filter(n__gt=seen).order_by("n")] if seen is not None else []
    if since:
        words = " · ".join(f"{row['at']:%H:%M:%S} UTC, {row['by']}: {row['role']}, {row['what']}" for row in since)
        raise Refused(f"Meanwhile this changed. {words} · Look at it, then send again.")


@transaction.atomic
def change(role: str, *, person: User | None, phone: str, pager: str, by: User, seen: int | None = None) -> RoleContact:
    """Say who fills a role and how they are reached. The ledger names what changed, not the numbers.

    `seen` is the newest change the person had before them. Incidents keep who holds their roles.
    """
    ledger.turn()
    _check_seen(seen, Entry.objects.filter(deed=CHANGED, subject=f"role:{role}"))
    contact = RoleContact.objects.filter(role=role).first() or RoleContact(role=role)
    now = {"person": person, "phone": phone, "pager": pager}
    changed = [name for name, value in now.items() if getattr(contact, name) != value]
    if contact.pk and not changed:
        raise Refused("That is what the list says already.")
    for name, value in now.items():
        setattr(contact, name, value)
    what = "changed" if contact.pk else "added"
    contact.save()
    facts: dict[str, Any] = dict.fromkeys(changed, "changed")
    if "person" in changed:
        facts["person"] = f"user:{person.pk}" if person else None
    ledger.append(CHANGED, subject=f"role:{role}", by=by, what=what, **facts)
    return contact


@transaction.atomic
def review(*, by: User, seen: int | None = None) -> ContactReview:
    """Say that one went through the whole list; its gaps are counted, not excused."""
    ledger.turn()
    _check_seen(seen, Entry.objects.filter(deed=CHANGED))
    gaps = [line.role for line in lines() if line.lacks]
    made = ContactReview.objects.create(at=timezone.now(), by=by, gaps=len(gaps))
    ledger.append("contacts.reviewed", subject="contacts", by=by, gaps=gaps)
    return made
