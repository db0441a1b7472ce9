"""The words of every mail, made once per message: subject, plain part and HTML part, equal in content."""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from django.conf import settings
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from incidents.comms.approvals import Seat
from incidents.comms.models import CommsDuty, Escalation, Message
from incidents.lifecycle.models import Handover, Incident, IncidentComponent, RoleAssignment, ShiftSheet
from irportal import prose
from irportal.accounts.models import User
from irportal.outbox.audiences import LEAVE
from statuspage import languages, rhythm, rollup
from statuspage.audiences import told_alone
from statuspage.models import Component, Notice

ZONES = (
    ("San Francisco", "America/Los_Angeles"),
    ("New York", "America/New_York"),
    ("Berlin", "Europe/Berlin"),
    ("Bengaluru", "Asia/Kolkata"),
)
SHAPES = {
    Component.State.MAJOR_OUTAGE: ("major", "#b3182f", "■"),
    Component.State.PARTIAL_OUTAGE: ("partial", "#b04a08", "◆"),
    Component.State.DEGRADED_PERFORMANCE: ("degraded", "#8a5d00", "▲"),
    Component.State.UNDER_MAINTENANCE: ("maint", "#5148a3", "□"),
    Component.State.OPERATIONAL: ("ok", "#1c7a50", "●"),
}
WORST = list(SHAPES)
_STARTED = ("Impact", "Started", "IC")


class Letter(NamedTuple):
    subject: str
    text: str
    html: str


def _letter(topic: str, context: dict[str, Any]) -> Letter:
    frame = {
        "organisation": settings.ORGANISATION,
        "support": settings.SUPPORT_EMAIL,
        "base_url": settings.PUBLIC_BASE_URL,
        **context,
    }
    parts = (render_to_string(f"emails/{topic}/{part}", frame) for part in ("subject.txt", "body.txt", "body.html"))
    subject, text, html = parts
    return Letter(" ".join(subject.split()), text.strip() + "\n", html)


def elsewhere(at: datetime) -> list[tuple[str, str]]:
    """The instant in four cities, with the day where it is another one: [("08:05", "San Francisco"), …]."""
    found = []
    for city, zone in ZONES:
        local = at.astimezone(ZoneInfo(zone))
        named = _("%(city)s (%(weekday)s)") % {"city": _(city), "weekday": date_format(local, "l")}
        found.append((f"{local:%H:%M}", _(city) if local.date() == at.date() else named))
    return found


def told_components(message: Message) -> list[tuple[Component, str]]:
    """What a message says is affected: as staff judge it now, but a holding message repeats what was last published."""
    incident = message.incident
    notice = Notice.objects.open().filter(ref=incident.ref).first() if message.kind == Message.Kind.HOLDING else None
    rows = notice.hits if notice else incident.components
    return [(row.component, row.state) for row in rows.select_related("component")]


def nameable(incident: Incident) -> list[IncidentComponent]:
    """What it hits and every reader may read of: a private component only where all of them are its customer's."""
    rows = list(incident.components.select_related("component"))
    alone = told_alone(incident.ref, [row.component for row in rows])
    return [row for row in rows if _may_be_named(row.component, alone)]


def _may_be_named(component: Component, alone: list[int] | None) -> bool:
    return component.customer_id is None or alone == [component.customer_id]


def page_url(incident: Incident) -> str:
    """Where readers of its mails read on; what only customers are told, on their own page."""
    alone = told_alone(incident.ref, [row.component for row in incident.components.select_related("component")])
    inside = alone or settings.PAGE_RESTRICTED
    return settings.PUBLIC_BASE_URL + reverse(
        "customers:by-ref" if inside else "statuspage:by-ref", args=[incident.ref]
    )


def _affected(message: Message) -> list[dict[str, Any]]:
    told = told_components(message)
    alone = told_alone(message.incident.ref, [component for component, _ in told])
    rows = [(each.name, Component.State(state)) for each, state in told if _may_be_named(each, alone)]
    rows.sort(key=lambda row: WORST.index(row[1]))
    return [{"name": name, "state": str(rollup.INSIDE[state]), "look": SHAPES[state]} for name, state in rows]


def told_before(message: Message) -> list[Message]:
    """The last three updates to customers before this one, newest first; a mail repeats them under "Earlier"."""
    rows = message.incident.messages.filter(
        audience__in=[Message.Audience.CUSTOMERS, Message.Audience.PAGE],
        status=Message.Status.SENT,
        kind__in=Message.WRITTEN,
    )
    return list(rows.exclude(pk=message.pk).order_by("-sent_at")[:3])


def retold(message: Message) -> list[str]:
    """The announcements whose text the mail of this message repeats; a holding message has no text to miss."""
    shown = told_before(message)[: 1 if message.kind == Message.Kind.HOLDING else 3]
    held = message.incident.messages.filter(kind=Message.Kind.HOLDING, status=Message.Status.SENT)
    keys = [row.announcement_key for row in (*shown, *held.exclude(pk=message.pk))]
    return [key for key in keys if key]


def customer_letters(message: Message) -> dict[str, Letter]:
    """The mail a customers message becomes, in each language of the page."""
    return languages.in_each(lambda: _customer_letter(message))


def _customer_letter(message: Message) -> Letter:
    """In the active language. Holding messages have their own frame, pre-approved by the policy."""
    incident = message.incident
    earlier = told_before(message)
    topic = "holding" if message.kind == Message.Kind.HOLDING else "update"
    at = message.next_update_by
    notice = Notice.objects.filter(ref=incident.ref).first()
    title = notice.here if notice else languages.here(incident.title, {})
    known = earlier[0] if earlier and earlier[0].public_status != Incident.Status.RESOLVED else None
    return _letter(
        topic,
        {
            "incident": incident,
            "message": message,
            "title": title.words,
            "body": message.here,
            "status": Notice.Status(message.public_status).label,
            "stage": rollup.INSIDE[message.public_status],
            "is_resolved": message.public_status == Incident.Status.RESOLVED,
            "affected": _affected(message),
            "earlier": [(row, Notice.Status(row.public_status).label) for row in earlier],
            "known": known,
            "zones": elsewhere(at) if at else [],
            "page_url": page_url(incident),
        },
    )


def internal_letter(message: Message) -> Letter:
    """The mail internal readers get: who writes, what is known, what comes next."""
    return _letter(
        "internal",
        {"incident": message.incident, "message": message, "body_html": prose.render(message.text)},
    )


def declared_letter(incident: Incident) -> Letter:
    """The first internal message in the seed's six fields (requirements R001-22)."""
    return _letter("declared", {"incident": incident, "fields": initial_fields(incident)})


def alarm_letter(thread: str, sentence: str) -> Letter:
    """Tells who is in charge that mail itself does not work."""
    return _letter("alarm", {"incident": {"title": "Mail trouble"}, "thread": thread, "sentence": sentence})


def initial_fields(incident: Incident, held: Mapping[str, User] | None = None) -> list[tuple[str, str]]:
    """Incident, Severity, Status, Impact, Started, IC: the six fields of the first message.

    `held` says who holds which role, where the caller knows.
    """
    if held is None:
        rows = incident.roles.filter(role="incident_commander", ended_at=None).select_related("person")
        held = {row.role: row.person for row in rows}
    commander = held.get("incident_commander")
    return [
        ("Incident", f"{incident.ref} {incident.title}"),
        ("Severity", incident.severity_label),
        ("Status", incident.get_status_display()),
        ("Impact", " ".join(incident.impact_text.split())),
        ("Started", f"{incident.started_at:%Y-%m-%d %H:%M} UTC"),
        ("IC", str(commander or "TBD")),
    ]


class Used(NamedTuple):
    """The last holding message the policy allows has left: for which duty, the how manieth, and what is due next."""

    duty: CommsDuty
    holdings: int
    next_due: datetime | None


def escalation_letter(incident: Incident, broken: list[CommsDuty], used: Used | None, *, holdings: int) -> Letter:
    """Tells comms lead and commander which promises are broken, and that the last holding message has just left."""
    return _letter("escalation", {"incident": incident, "broken": broken, "used": used, "holdings": holdings})


def reminder_letter(incident: Incident, due: list[CommsDuty]) -> Letter:
    """Tells the owners what falls due next; each duty knows its `owner` and whether a draft waits (`has_draft`)."""
    return _letter("reminder", {"incident": incident, "due": due})


def called_letter(incident: Incident, due: list[Escalation]) -> Letter:
    """Calls further roles: nobody has acknowledged the incident, or it is still open."""
    return _letter(
        "called",
        {
            "incident": incident,
            "unacknowledged": any(row.condition == "unacknowledged" for row in due),
            "roles": list(dict.fromkeys(row.get_role_display().lower() for row in due)),
            "fields": initial_fields(incident),
        },
    )


def handover_letter(handovers: list[Handover]) -> Letter:
    """Tells who takes over roles what is open, and asks to say that they have it."""
    first = handovers[0]
    roles = " and ".join(row.get_role_display().lower() for row in handovers)
    entered_by = first.by if first.by_id != first.giver_id else None
    said = {"giver": first.giver, "entered_by": entered_by, "at": first.at, "still_open": first.still_open}
    return _letter(
        "handover",
        {"incident": first.incident, "roles": roles, "fields": initial_fields(first.incident), "handed": True, **said},
    )


def given_letter(term: RoleAssignment) -> Letter:
    """Tells somebody that they were given a role."""
    said = {"giver": term.assigned_by, "at": term.started_at, "reason": term.reason}
    role = term.get_role_display().lower()
    return _letter(
        "handover", {"incident": term.incident, "roles": role, "fields": initial_fields(term.incident), **said}
    )


def shift_letter(sheet: ShiftSheet) -> Letter:
    """Tells who takes over a shift what is open; the sheet itself waits in the portal for the signature."""
    url = settings.PUBLIC_BASE_URL + sheet.get_absolute_url()
    return _letter("shift", {"sheet": sheet, "title": "Shift handed over to you", "url": url})


def plain(text: str) -> str:
    """A text for the plain part: the headings of a notice as the mails' other headings stand there."""
    return re.sub(r"^### (.+)$", lambda heading: heading[1].upper(), text, flags=re.MULTILINE)


def approval_letter(message: Message, seats: list[Seat], recipients: int) -> Letter:
    """Asks whoever has to approve a draft; it holds the whole text, so that it can be judged on a phone."""
    return _letter(
        "approval",
        {
            "incident": message.incident,
            "message": message,
            "seats": seats,
            "recipients": recipients,
            "plain": plain(message.text),
            "body_html": prose.render(message.text),
        },
    )


def notice_letter(message: Message, *, signed_by: str) -> Letter:
    """A formal notice to a customer, signed by the accountable executive (requirements R003-25, R001-41)."""
    return _letter(
        "notice",
        {
            "incident": message.incident,
            "message": message,
            "signed_by": signed_by,
            "plain": plain(message.text),
            "body_html": prose.render(message.text),
            "page_url": page_url(message.incident),
        },
    )


# Chat rooms: the three messages of the seeds (requirements R001-36 to R001-38), and alarms

CHAT_VALUE, CHAT_TITLE = 1900, 150  # the longest a room takes


def chat(message: Message) -> str:
    """What rooms read of a message that leaves: internal updates, and once that it is resolved. Empty for the rest."""
    incident = message.incident
    since = incident.resolved_at
    told = incident.messages.filter(public_status=Incident.Status.RESOLVED, status=Message.Status.SENT)
    told = told.exclude(audience=Message.Audience.PRESS)
    if message.is_formal or message.kind == Message.Kind.HOLDING:
        return ""
    if since and not told.filter(sent_at__gte=since).exclude(pk=message.pk).exists():
        return resolved_chat(message)
    return update_chat(message) if message.audience == Message.Audience.INTERNAL else ""


def declared_chat(incident: Incident) -> str:
    said = dict(initial_fields(incident))
    fields = [("Severity", said["Severity"]), ("Title", said["Incident"]), *((n, said[n]) for n in _STARTED)]
    fields.append(("Channel", incident.channel_name))
    return _chat("🚨 INCIDENT DECLARED 🚨", fields, "All hands on deck. Join the incident channel.", incident)


def called_chat(incident: Incident, due: list[Escalation]) -> str:
    """What rooms read when further roles are called: nobody has acknowledged it, or it is still open."""
    unseen = any(row.condition == "unacknowledged" for row in due)
    title = "🚨 NOBODY HAS ACKNOWLEDGED" if unseen else "🚨 STILL NOT RESOLVED"
    said = dict(initial_fields(incident))
    roles = ", ".join(dict.fromkeys(row.get_role_display().lower() for row in due))
    fields = [("Severity", said["Severity"]), ("Title", said["Incident"]), ("Called", roles)]
    fields.append(("Declared", f"{incident.declared_at:%Y-%m-%d %H:%M} UTC"))
    return _chat(title, fields, "Whoever reads this: open it and say that you work on it.", incident)


def escalation_chat(incident: Incident, broken: list[CommsDuty], used: Used | None) -> str:
    """What rooms read when a promise was not kept in time, or the last holding message has left."""
    overdue = "; ".join(f"{duty.label}, due by {duty.due_at:%H:%M} UTC" for duty in broken)
    if not overdue:
        return _chat(
            "⏰ NO NEWS FOR TOO LONG", [("What", "The last holding message has left.")], "Write now.", incident
        )
    return _chat("⏰ OVERDUE", [("What", overdue)], "Write it now.", incident)


def handover_chat(handovers: list[Handover]) -> str:
    first = handovers[0]
    fields = [(row.get_role_display(), f"{row.taker}, from {row.giver}") for row in handovers]
    fields.append(("Open", first.still_open))
    return _chat("🤝 ROLE HANDED OVER", fields, f"{first.taker}: open it and say that you have it.", first.incident)


def given_chat(term: RoleAssignment) -> str:
    fields = [(term.get_role_display(), f"{term.person}, by {term.assigned_by}")]
    return _chat("👤 ROLE GIVEN", fields, f"{term.person}: open it.", term.incident)


def shift_chat(sheet: ShiftSheet) -> str:
    refs = ", ".join(row["ref"] for row in sheet.content) or "nothing is open"
    fields = [("From", str(sheet.giver)), ("To", str(sheet.taker)), ("Open", refs)]
    return _chat("🤝 SHIFT HANDED OVER", fields, f"{settings.PUBLIC_BASE_URL}{sheet.get_absolute_url()}")


def update_chat(message: Message) -> str:
    incident = message.incident
    duty = incident.duties.open().filter(message_class="internal_update").order_by("due_at").first()
    fields = [
        ("Status", Incident.Status(message.public_status).label),
        ("Findings and action", message.text),
        ("ETA", incident.estimate or "not known yet"),
    ]
    by = f"by {duty.due_at:%H:%M} UTC" if duty else "when there is news"
    return _chat("📊 INCIDENT UPDATE", fields, f"Next update {by} or when resolved.", incident)


def resolved_chat(message: Message) -> str:
    incident = message.incident
    fields = [
        ("Duration", rhythm.duration((incident.resolved_at or message.written_at) - incident.started_at)),
        ("Root cause", "in the post-mortem"),
        ("Resolution", message.text),
    ]
    thanks = "Post-mortem within 48 hours. Thank you to everyone who helped resolve this."
    return _chat("✅ INCIDENT RESOLVED", fields, thanks, incident)


def public_chat(message: Message) -> str:
    """What the rooms of subscribers read of a message to customers: what the page says, with the link to leave by."""
    incident, status = message.incident, Incident.Status(message.public_status).label
    fields = [("Status", status), ("What we know", message.text)]
    if hit := _affected(message):
        fields.insert(1, ("Affected", ", ".join(f"{row['name']} ({row['state']})" for row in hit)))
    if message.next_update_by and message.public_status != Incident.Status.RESOLVED:
        fields.append(("Next update by", f"{message.next_update_by:%Y-%m-%d %H:%M} UTC"))
    foot = f"{settings.PUBLIC_BASE_URL}/i/{incident.ref} · No more of this: {LEAVE}"
    return _chat(f"{status}: {incident.title}", fields, foot)


def alarm_chat(thread: str, sentence: str) -> str:
    return _chat("⚠️ MAIL TROUBLE", [("About", thread), ("What", sentence)], "")


def _chat(title: str, fields: list[tuple[str, str]], foot: str, incident: Incident | None = None) -> str:
    """Slack's blocks in plain text, which mentions nobody; the same in `text` for rooms that know no blocks."""
    if incident:
        title, foot = f"{title} {incident.ref}", f"{foot} {settings.PUBLIC_BASE_URL}{incident.get_absolute_url()}"
    short = [(name, value if len(value) <= CHAT_VALUE else f"{value[: CHAT_VALUE - 1]}…") for name, value in fields]
    lines = "\n".join([title, "", *(f"{name}: {value}" for name, value in short), "", foot]).strip()
    blocks: list[dict[str, Any]] = [{"type": "header", "text": _unmarked(title[:CHAT_TITLE])}]
    blocks += [{"type": "section", "text": _unmarked(f"{name}: {value}")} for name, value in short]
    blocks += [{"type": "context", "elements": [_unmarked(foot.strip())]}] if foot else []
    return json.dumps({"text": prose.harmless(lines), "blocks": blocks}, ensure_ascii=False)


def _unmarked(text: str) -> dict[str, str]:
    return {"type": "plain_text", "text": text}
