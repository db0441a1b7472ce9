"""The only writer of public text: what is published here is on the page, in the API and in the record."""

import hashlib
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from irportal.accounts.models import User
from irportal.ledger import actions as ledger
from irportal.refused import Refused
from statuspage import editions, languages, spans
from statuspage.models import (
    TITLE_LENGTH,
    Component,
    Customer,
    Notice,
    NoticeComponent,
    NoticePostmortem,
    NoticeUpdate,
    Vendor,
)
from statuspage.rhythm import moment

BODY_LENGTH = 20_000
Words = Mapping[str, str] | None  # by language
TURNS = re.compile("[\u202a-\u202e\u2066-\u2069]")  # embeddings, overrides and isolates of bidirectional text
# What an incident is at most to those who see only components in this state; they may not learn of a worse one.
MOST = {
    Component.State.OPERATIONAL: Notice.Impact.NONE,
    Component.State.UNDER_MAINTENANCE: Notice.Impact.NONE,
    Component.State.DEGRADED_PERFORMANCE: Notice.Impact.MINOR,
    Component.State.PARTIAL_OUTAGE: Notice.Impact.MAJOR,
    Component.State.MAJOR_OUTAGE: Notice.Impact.CRITICAL,
}


@transaction.atomic
def publish(
    ref: str,
    *,
    title: str,
    status: str,
    impact: str,
    body: str,
    affected: list[tuple[Component, str]],
    started_at: datetime,
    said_at: datetime,
    next_update_by: datetime | None,
    by: User | None,
    kind: str = "update",
    titles: Words = None,
    bodies: Words = None,
) -> NoticeUpdate:
    """Put an update of incident `ref` on the public page; the first one creates its notice.

    `affected` is every component the incident hits now, with its state. Resolving closes the notice: its
    components no longer count and nothing more is promised. Publishing another status later re-opens it. `by` None
    means the engine. What hits only private components is told to their customers alone. `titles` and `bodies` are the
    same words by language. Raises Refused with a sentence when words, times or components cannot be published.
    """
    title, body = one_line(title), body.strip()
    titles, bodies = in_languages(titles, one_line), in_languages(bodies, str.strip)
    check_words(title, status, impact, body, kind)
    check_times(status, started_at, said_at)
    _check_components(affected)
    ledger.turn()
    now = timezone.now()
    notice = Notice.objects.select_for_update().filter(ref=ref).first() or Notice(ref=ref, created_at=now)
    customers, told = _told_to(notice, affected), spans.Before.of(notice)
    touched = {*told.states, *(component.pk for component, _ in affected)}
    before = states(touched)
    _name(notice, title, titles)
    notice.started_at, notice.is_public = started_at, customers is None
    notice.impact = _as_public(impact, affected) if notice.is_public else impact
    _move(notice, status, at=said_at)
    notice.next_update_by = next_update_by if notice.is_open else None
    notice.save()
    notice.customers.set(customers or ())
    _replace_hits(notice, affected)
    spans.note(notice, affected, told, said_at=said_at, now=now)
    rows = record_changes(touched, before, now)
    said = {"kind": kind, "status": status, "body": body, "bodies": bodies}
    update = notice.updates.create(**said, affected=rows, display_at=said_at, created_at=now)
    ledger.append(_deed(notice, "published"), subject=ref, by=by, **_facts(notice, update))
    editions.touch_notice(notice, was_started_at=told.started_at, component_ids=touched)
    return update


def _name(notice: Notice, title: str, titles: Mapping[str, str]) -> None:
    """A title in another language lasts as long as the title itself."""
    notice.titles = {**(notice.titles if title == notice.title else {}), **titles}
    notice.title = title


def _deed(notice: Notice, what: str) -> str:
    """Private deeds have names of their own: no public document may even change its time with them."""
    return f"notice.{what}" if notice.is_public else f"private_notice.{what}"


@transaction.atomic
def set_next_update(ref: str, next_update_by: datetime | None, by: User | None) -> None:
    """Change only the promise "next update by". Raises Refused when no notice of `ref` is open."""
    ledger.turn()
    notice = Notice.objects.open().select_for_update().filter(ref=ref).first()
    if notice is None:
        raise Refused(f"{ref} is not open on the public page, so it cannot promise an update.")
    if notice.next_update_by == next_update_by:
        return
    was, notice.next_update_by = notice.next_update_by, next_update_by
    notice.save(update_fields=["next_update_by"])
    ledger.append(_deed(notice, "next_update_set"), subject=ref, by=by, was=was, now=next_update_by)
    editions.touch_notice(notice)


@transaction.atomic
def set_vendor(ref: str, vendor: Vendor | None, *, by: User | None) -> None:
    """Say which vendor caused the incident, or that none did. Raises Refused when the page does not show it."""
    ledger.turn()
    notice = Notice.objects.select_for_update(of=("self",)).filter(ref=ref).first()
    if notice is None:
        raise Refused(f"{ref} is not on the public page, so it has no cause to show there.")
    if notice.vendor == vendor:
        return
    was, notice.vendor = notice.vendor, vendor
    notice.save(update_fields=["vendor"])
    ledger.append(_deed(notice, "vendor_set"), subject=ref, by=by, was=was and was.name, now=vendor and vendor.name)
    editions.touch_notice(notice)


@transaction.atomic
def publish_postmortem(ref: str, body: str, *, by: User | None, reason: str = "") -> NoticePostmortem:
    """Publish what was learned of a resolved incident, or with a reason a corrected text in place of the one before.

    Raises Refused with a sentence when it cannot be published.
    """
    body = body.strip()
    _check_text(body, "The post-mortem")
    return _replace_postmortem(ref, body, reason, by=by)


@transaction.atomic
def withdraw_postmortem(ref: str, *, reason: str, by: User | None) -> NoticePostmortem:
    """Take the post-mortem off the page; the page says so and why. Refused without a reason, and when none stands."""
    return _replace_postmortem(ref, "", reason, by=by)


def check_postmortem(ref: str, reason: str) -> Notice:
    """The locked notice of `ref` if a post-mortem may be published or withdrawn for this reason. Raises Refused."""
    ledger.turn()
    notice = Notice.objects.select_for_update().filter(ref=ref).first()
    if notice is None or notice.is_open:
        raise Refused(f"{ref} is not resolved on the public page, so there is no post-mortem to publish yet.")
    if notice.postmortems.exists() and not reason.strip():
        raise Refused("Say what was wrong with the post-mortem readers have seen; the page tells them.")
    return notice


def _replace_postmortem(ref: str, body: str, reason: str, *, by: User | None) -> NoticePostmortem:
    notice, reason = check_postmortem(ref, reason), " ".join(reason.split())
    if not (body or notice.postmortem):
        raise Refused(f"{ref} has no post-mortem on the public page.")
    made = notice.postmortems.create(body=body, reason=reason, created_at=timezone.now())
    facts = {"postmortem": made.code, "body_sha256": hashlib.sha256(body.encode()).hexdigest(), "reason": reason}
    deed = _deed(notice, "postmortem_published" if body else "postmortem_withdrawn")
    ledger.append(deed, subject=ref, by=by, **facts)
    editions.touch_notice(notice)
    return made


def one_line(title: str) -> str:
    """Without line ends, and without the characters that turn the direction of what stands behind them."""
    return " ".join(TURNS.sub("", title).split())


def in_languages(words: Words, clean: Callable[[str], str]) -> dict[str, str]:
    """The words in other languages of the page that are there. Raises Refused with a sentence."""
    found = {language: cleaned for language, said in (words or {}).items() if (cleaned := clean(said))}
    for language, said in found.items():
        name = languages.names().get(language)
        if not name or language == languages.own():
            raise Refused(f"The page has no pages in {language!r} of their own. Take that text out.")
        most = TITLE_LENGTH if clean is one_line else BODY_LENGTH
        if len(said) > most:
            raise Refused(f"The text in {name} has {len(said)} characters; {most} are possible.")
        if "\0" in said:
            raise Refused(f"The text in {name} holds a character that cannot be stored (NUL). Remove it.")
    return found


def check_words(title: str, status: str, impact: str, body: str, kind: str) -> None:
    """Raise Refused with a sentence when these words cannot be published."""
    if not title:
        raise Refused("The title is empty. Say in a few words what customers notice.")
    if len(title) > TITLE_LENGTH:
        raise Refused(f"The title has {len(title)} characters; {TITLE_LENGTH} are possible.")
    _check_text(body, "The update")
    if "\0" in title:
        raise Refused("The title holds a character that cannot be stored (NUL). Remove it.")
    for word, what, choices in (
        (status, "a status", Notice.Status.values),
        (impact, "an impact", Notice.Impact.values),
        (kind, "a kind of update", NoticeUpdate.Kind.values),
    ):
        if word not in choices:
            raise Refused(f"{word!r} is not {what}. Choose one of {', '.join(choices)}.")


def _check_text(body: str, what: str) -> None:
    if not body:
        raise Refused(f"{what} has no text. Write what customers should know.")
    if len(body) > BODY_LENGTH:
        raise Refused(f"{what} has {len(body)} characters; {BODY_LENGTH} are possible.")
    if "\0" in body:
        raise Refused("The text holds a character that cannot be stored (NUL). Remove it.")


def check_times(status: str, started_at: datetime, said_at: datetime) -> None:
    """Raise Refused when an incident that started then cannot have this status at `said_at`."""
    if status == Notice.Status.RESOLVED and said_at < started_at:
        raise Refused(
            f"It cannot be resolved before it started: it started {moment(started_at)}, "
            f"and would be resolved {moment(said_at)}."
        )


def _check_components(affected: list[tuple[Component, str]]) -> None:
    known = set(
        Component.objects.filter(pk__in=[component.pk for component, _ in affected]).values_list("pk", flat=True)
    )
    seen = set()
    for component, state in affected:
        if component.pk not in known:
            raise Refused(f"{component.name} was deleted meanwhile. Take it out and publish again.")
        if component.pk in seen:
            raise Refused(f"{component.name} is named twice. Give it one state.")
        if state not in Component.State.values:
            raise Refused(
                f"{state!r} is not a state of a component. Choose one of {', '.join(Component.State.values)}."
            )
        seen.add(component.pk)


def _told_to(notice: Notice, affected: list[tuple[Component, str]]) -> set[int] | None:
    """The customers who alone are told; None is everybody. Fixed once told, so that earlier texts reach nobody else."""
    owners = {component.customer_id for component, _ in affected}
    private = {owner for owner in owners if owner is not None}
    if notice.pk is None:
        return private if owners and None not in owners else None
    if notice.is_public:
        if not owners or None in owners:
            return None
        if not notice.hits.exists() or notice.hits.filter(component__customer=None).exists():
            raise Refused(
                f"{notice.ref} is on the public page, and what it names now is private. Leave a public component in "
                "it, operational if it is well again, or tell its customers in an incident of its own."
            )
        return private  # it left the page when its components became private
    told = set(notice.customers.values_list("pk", flat=True))
    named = set(notice.hits.values_list("component", flat=True))
    if any(component.customer_id not in told and component.pk not in named for component, _ in affected):
        who = ", ".join(Customer.objects.filter(pk__in=told).values_list("name", flat=True))
        raise Refused(
            f"{notice.ref} was told to {who} alone, and its texts stay with them. "
            "Declare another incident for what others see."
        )
    return told


def _as_public(impact: str, affected: list[tuple[Component, str]]) -> str:
    """The impact as far as public components bear it out."""
    public = [Component.State(state) for component, state in affected if component.customer_id is None]
    if len(public) == len(affected):
        return impact
    order = list(Notice.Impact.values)
    return min(impact, max((MOST[state].value for state in public), key=order.index), key=order.index)


def states(ids: set[int]) -> dict[int, str]:
    return {component.pk: component.state for component in Component.objects.with_state().filter(pk__in=ids)}


def _move(notice: Notice, status: str, *, at: datetime) -> None:
    """Set the status and its instants. A correction of a resolved notice keeps the time of resolution."""
    if status == Notice.Status.MONITORING and notice.status != status:
        notice.monitoring_at = at
    if status != Notice.Status.RESOLVED:
        notice.resolved_at = None
    elif notice.resolved_at is None or notice.resolved_at < notice.started_at:
        notice.resolved_at = at
    notice.status = status


def _replace_hits(notice: Notice, affected: list[tuple[Component, str]]) -> None:
    """Name the given components instead. Closing with nothing broken keeps what it hit, for the history."""
    if not notice.is_open and all(state == Component.State.OPERATIONAL for _, state in affected):
        return
    notice.hits.all().delete()
    NoticeComponent.objects.bulk_create(
        NoticeComponent(notice=notice, component=component, state=state, customer_id=component.customer_id)
        for component, state in affected
    )


def record_changes(ids: set[int], before: dict[int, str], now: datetime) -> list[dict[str, Any]]:
    """The frozen line of each component of this update; those whose state changed get `state_changed_at`."""
    rows, changed = [], []
    for component in Component.objects.with_state().filter(pk__in=ids).select_related("group"):
        was = before[component.pk]
        if was != component.state:
            changed.append(component.pk)
        row = {
            "code": component.code,
            "name": component.full_name,
            "old_status": was,
            "new_status": component.state,
        }
        rows.append(row | ({"customer": component.customer_id} if component.customer_id else {}))
    Component.objects.filter(pk__in=changed).update(state_changed_at=now)
    return rows


def _facts(notice: Notice, update: NoticeUpdate) -> dict[str, Any]:
    """What the ledger keeps: all but the text itself, which it binds by its SHA-256."""
    return {
        "update": update.code,
        "kind": update.kind,
        "status": update.status,
        "impact": notice.impact,
        "title": notice.title,
        "body_sha256": _sha256(update.body),
        "bodies_sha256": {
            language: hashlib.sha256(said.encode()).hexdigest() for language, said in update.bodies.items()
        },
        "affected": update.affected,
        "started_at": notice.started_at,
        "said_at": update.display_at,
        "resolved_at": notice.resolved_at,
        "next_update_by": notice.next_update_by,
    }


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
