"""What the report reads: the post-mortem, the incident's record as it stands, and the ledger behind both."""

import hashlib
import importlib.metadata
import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db.models import QuerySet

from incidents.lifecycle import gate
from incidents.lifecycle import queries as lifecycle
from incidents.lifecycle.models import Incident, IncidentComponent, TimelineEntry
from incidents.policy import matrix
from incidents.postmortems import sections
from incidents.postmortems.models import PostMortem
from irportal.accounts.models import User
from irportal.ledger import tree
from irportal.ledger.models import Checkpoint, Entry

INSTANTS = (
    "started",
    "detected",
    "declared",
    "acknowledged",
    "identified",
    "contained",
    "recovered",
    "resolved",
)
KEPT_APART = ("id", "incident", "status", "version")
CONTENT = [field.name for field in PostMortem._meta.fields if field.editable and field.name not in KEPT_APART]
ACTION = ("action", "type", "priority", "due_on", "status", "evidence")
FACTS = (
    *("ref", "title", "severity", "status", "channel_name", "detection_source", "impact_text"),
    *("personal_data", "ai_involved", "ai_harm", "material", "gate_override_reason"),
)


def plain(value: Any) -> Any:
    """A field's value as canonical JSON can hold it: no dates, decimals or objects."""
    if isinstance(value, datetime):
        return tree.stamp(value)
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return value.isoformat() if isinstance(value, date) else value


def in_force(incident: Incident) -> QuerySet[TimelineEntry]:
    """The timeline as corrected: a line that was corrected gives way to its correction."""
    return incident.timeline.filter(corrected_by=None).select_related("author", "corrects")


def components_of(incident: Incident) -> QuerySet[IncidentComponent]:
    return incident.components.select_related("component")


def missing(postmortem: PostMortem) -> list[str]:
    """What the publication gate still asks for, as sentences."""
    rows = list(in_force(postmortem.incident))
    return sections.missing(
        postmortem,
        rows=len(rows),
        markers={row.marker for row in rows},
        actions=postmortem.action_items.count(),
    )


def facts(incident: Incident) -> dict[str, Any]:
    """The incident as plain values: what an approval binds besides the words."""
    return {name: getattr(incident, name) for name in FACTS} | {
        "type": incident.type_id,
        "policy": str(incident.policy_version),
        "instants": {name: plain(getattr(incident, f"{name}_at")) for name in INSTANTS},
        "components": [f"{row.component.code}: {row.state}" for row in incident.components.select_related("component")],
        "roles": [
            [role.role, role.person.email, plain(role.started_at), plain(role.ended_at)]
            for role in incident.roles.select_related("person")
        ],
        "severities": [
            [change.was, change.now, change.by.email, plain(change.at), change.reason]
            for change in incident.severity_changes.select_related("by")
        ],
        "timeline": [
            [
                plain(row.occurred_at),
                plain(row.recorded_at),
                row.kind,
                row.marker,
                row.text,
                _email(row.author),
            ]
            for row in in_force(incident)
        ],
        **_recovery_facts(incident),
    }


def _recovery_facts(incident: Incident) -> dict[str, Any]:
    """What shows how it ended and who passed on what. Where there is nothing of a kind it adds nothing: what was
    approved before any was recorded keeps its hash.
    """
    found: dict[str, Any] = {
        "gate_missing": incident.gate_lacked,
        "readings": [
            [row.signal, row.amount, row.source, plain(row.at), row.by.email]
            for row in incident.readings.select_related("by")
        ],
        "gate_ticks": [
            [row.key, row.given, row.note, plain(row.at), row.by.email]
            for row in incident.gate_ticks.select_related("by")
        ],
        "controls": [
            [row.kind, row.target, plain(row.started_at), row.started_by.email, plain(row.confirmed_at), row.proof]
            for row in incident.control_runs.select_related("started_by")
        ],
        "handovers": [
            [row.role, row.giver.email, row.taker.email, plain(row.at), row.still_open, plain(row.taken_at)]
            for row in incident.handovers.select_related("giver", "taker")
        ],
    }
    return {name: rows for name, rows in found.items() if rows}


def _email(person: Any) -> str:
    return person.email if person else "engine"


def content(postmortem: PostMortem) -> dict[str, Any]:
    """Everything the report says, as plain values: fields, actions, incident and timeline."""
    return {
        "version": postmortem.version,
        "fields": {name: plain(getattr(postmortem, name)) for name in CONTENT},
        "actions": [
            {name: plain(getattr(item, name)) for name in ACTION} | {"owner": item.owner.email}
            for item in postmortem.action_items.select_related("owner")
        ],
        "incident": facts(postmortem.incident),
    }


def content_hash(postmortem: PostMortem) -> str:
    """SHA-256, in hex, of the canonical JSON of all the report says now. An approval is bound to it."""
    return hashlib.sha256(tree.canonical(content(postmortem)).encode()).hexdigest()


def evidence(postmortem: PostMortem) -> bytes:
    """evidence.json, attached to the report: the ledger's lines as hashed, and the facts."""
    checkpoint = Checkpoint.objects.order_by("size").last()
    return json.dumps(
        {
            "about": "Each line is the exact text whose leaf is SHA-256(0x00 || line), RFC 6962.",
            "content": content(postmortem),
            "content_sha256": content_hash(postmortem),
            "ledger": [{"n": e.n, "leaf": e.leaf, "line": e.line} for e in _entries(postmortem.incident)],
            "checkpoint": str(checkpoint) if checkpoint else None,
        },
        indent=1,
        sort_keys=True,
        ensure_ascii=False,
    ).encode()


def _entries(incident: Incident) -> QuerySet[Entry]:
    return Entry.objects.filter(subject=incident.ref).order_by("n")


def saves_after(postmortem: PostMortem, revision: int) -> list[Entry]:
    """The ledger's entries of saves somebody made after the given revision, oldest first."""
    saves = _entries(postmortem.incident).filter(deed="postmortem.saved")
    return [entry for entry in saves if json.loads(entry.line)["facts"]["revision"] > revision]


def has_written(postmortem: PostMortem, person: User) -> bool:
    """Whether any save of it, in any version, was theirs: the first and the last are columns, the rest is recorded."""
    if person.pk in (postmortem.author_id, postmortem.saved_by_id):
        return True
    return any(json.loads(entry.line)["by"] == person.email for entry in saves_after(postmortem, -1))


def report_context(
    postmortem: PostMortem,
    *,
    promises: Sequence[dict[str, Any]] = (),
    updates: Sequence[dict[str, Any]] = (),
    laws: Sequence[Any] = (),
    made_at: datetime,
    made_by: str = "",
) -> dict[str, Any]:
    """All that templates/pdf/postmortem.html prints.

    `promises` are all duties of the matrix as {audience, message, due_at, met_at, outcome, approved_by,
    recipients, accepted, reason}; `updates` what the public was told as {at, status, text, holding}; `laws` the dates
    entered on the incident. All come from the edge, because communications are another subject. `made_at` and
    `made_by` are this copy's.
    """
    incident = postmortem.incident
    rows = list(in_force(incident))
    instants = {name: getattr(incident, f"{name}_at") for name in INSTANTS}
    now_hash = content_hash(postmortem)
    approved_hash = postmortem.content_hash or now_hash
    return {
        "organisation": settings.ORGANISATION,
        "incident": incident,
        "postmortem": postmortem,
        "day": incident.started_at,
        "made_at": made_at,
        "made_by": made_by,
        "hash": approved_hash,
        "hash_parts": sections.octets(approved_hash),
        "changed_since_approval": postmortem.is_approved and now_hash != approved_hash,
        "hash_now_parts": sections.octets(now_hash),
        "contents": CHAPTERS,
        **_cover(incident, instants),
        **_record(incident, rows, instants),
        **_recovery(incident, made_at),
        **_told(promises, updates, incident),
        "laws": laws,
        "users_affected": _grouped(postmortem.users_affected),
        "users_percent": plain(postmortem.users_percent),
        "failed_requests": _grouped(postmortem.failed_requests),
        "lists": {name: sections.lines(getattr(postmortem, name)) for name in LISTS},
        "side_by_side": all(len(getattr(postmortem, name)) <= SHORT for name in LISTS[3:6]),
        "actions": list(postmortem.action_items.select_related("owner")),
        "entries": [_logged(entry) for entry in _entries(incident)],
        "checkpoint": Checkpoint.objects.order_by("size").last(),
        "weasyprint": importlib.metadata.version("weasyprint"),
    }


LISTS = (
    "contributing_factors",
    "controls",
    "five_whys",
    "went_well",
    "went_wrong",
    "could_improve",
    "lessons",
)
SHORT = 700  # characters of a list that can stand in a third of a page's width beside two others
CHAPTERS = [
    ("1", "s1", "Summary"),
    ("2", "s2", "Key facts"),
    ("3", "s3", "Times and targets"),
    ("4", "s4", "Severity decision"),
    ("5", "s5", "Timeline"),
    ("6", "s6", "Impact"),
    ("7", "s7", "Detection"),
    ("8", "s8", "Root cause and contributing factors"),
    ("9", "s9", "Response"),
    ("10", "s10", "AI context"),
    ("11", "s11", "Communications"),
    ("12", "s12", "Regulatory clocks"),
    ("13", "s13", "Evidence"),
    ("14", "s14", "What went well, wrong, and could improve"),
    ("15", "s15", "Action items"),
    ("16", "s16", "Lessons and changes"),
    ("17", "s17", "Follow-up"),
    ("18", "s18", "Approvals"),
    ("A", "sa", "Change log of this record"),
    ("B", "sb", "Definitions"),
]


def _grouped(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def _cover(incident: Incident, instants: dict[str, datetime | None]) -> dict[str, Any]:
    shown = [("Began", "started"), ("Detected", "detected"), ("Identified", "identified")]
    shown += [("Contained", "contained"), ("Recovered", "recovered"), ("Resolved", "resolved")]
    marks = [(label, at) for label, name in shown if (at := instants[name])]
    start, end = incident.started_at, incident.resolved_at
    took = sections.duration(end - start) if end else ""
    first = sections.clock(start, end or start)
    return {
        "took": took or "Not over",
        "span": f"{first} to {sections.clock(end, start)} UTC" if end else f"since {first} UTC",
        "recovered_after": sections.duration(at - start) if (at := instants["recovered"]) else "",
        "band": sections.band(marks),
    }


def _record(incident: Incident, rows: list[TimelineEntry], instants: dict[str, datetime | None]) -> dict[str, Any]:
    """Times, severity and timeline, as the record has them now."""
    day, levels = (
        incident.started_at,
        {level.rank: level for level in incident.policy_version.severities.all()},
    )
    changes = list(incident.severity_changes.select_related("by"))
    first = changes[0].now if changes else incident.severity
    policy = incident.policy_version
    ranks = {"acknowledge": gate.response_rank([(row.at, row.now) for row in changes], incident.acknowledged_at)}
    return {
        "instants": [_instant(name, at, rows, incident) for name, at in instants.items()],
        "intervals": sections.intervals(
            instants,
            targets={
                name: _target(levels.get(ranks.get(name) or first), name)
                for name in ("acknowledge", "contain", "resolve")
            },
            stable=timedelta(minutes=policy.gate_monitoring_minutes),
        ),
        "severities": [
            {
                "at": sections.clock(change.at, day),
                "was": levels.get(change.was or 0, "none"),
                "now": levels.get(change.now),
                "terms": sections.lines(levels[change.now].definitions) if change.now in levels else [],
                "by": change.by,
                "reason": change.reason,
            }
            for change in changes
        ],
        "first_severity": str(levels.get(first, f"rank {first}")),
        "timeline": [_row(row, day) for row in rows],
        "commanders": incident.roles.filter(role="incident_commander").select_related("person"),
        "others": incident.roles.exclude(role="incident_commander").filter(ended_at=None).select_related("person"),
        "components": components_of(incident),
    }


def _recovery(incident: Incident, now: datetime) -> dict[str, Any]:
    """How it was shown to be over, what controls took, and who handed which role to whom."""
    return {
        "gate": lifecycle.gate_state(incident, now),
        "runs": lifecycle.control_runs(incident, now),
        "handed": incident.handovers.select_related("giver", "taker", "by"),
    }


def _target(level: Any, name: str) -> timedelta | None:
    """The time this severity allows for a step; None when it sets none or counts in business days."""
    amount = getattr(level, name, "")
    return matrix.length(amount) if amount and not amount.endswith("bd_end") else None


def _instant(name: str, at: datetime | None, rows: list[TimelineEntry], incident: Incident) -> dict[str, Any]:
    """One lifecycle instant: said, recorded and by whom. Acknowledging is recorded by declaring."""
    day = incident.started_at
    marker = "declared" if name == "acknowledged" and at == incident.declared_at else name
    row = next((row for row in reversed(rows) if row.marker == marker), None) if at else None
    return {
        "name": "Impact began" if name == "started" else name.capitalize(),
        "occurred": sections.clock(at, day) if at else "",
        "recorded": sections.clock(row.recorded_at, day) if row else "",
        "late": bool(row and row.is_late),
        "source": (row.author or "Engine") if row else "",
    }


def _row(row: TimelineEntry, day: datetime) -> dict[str, Any]:
    return {
        "at": sections.clock(row.occurred_at, day),
        "text": row.text,
        "marker": "Impact began" if row.marker == "started" else row.get_marker_display(),
        "moment": row.marker in ("detected", "contained", "identified", "resolved"),
        "late": sections.clock(row.recorded_at, day) if row.is_late else "",
        "corrected": sections.clock(row.corrects.recorded_at, day) if row.corrects else "",
        "source": row.author or "Engine",
    }


def _told(promises: Sequence[dict[str, Any]], updates: Sequence[dict[str, Any]], incident: Incident) -> dict[str, Any]:
    day = incident.started_at

    def shown(promise: dict[str, Any]) -> dict[str, Any]:
        mark, words = sections.verdict(promise)
        due, met = promise.get("due_at"), promise.get("met_at")
        return promise | {
            "mark": mark,
            "words": words,
            "due": sections.clock(due, day) if due else "",
            "met": sections.clock(met, day) if met else "",
        }

    end = incident.resolved_at or max((p["met_at"] for p in promises if p.get("met_at")), default=day)
    score = sections.score(promises)
    return {
        "promises": [shown(promise) for promise in promises],
        "updates": [update | {"at": sections.clock(update["at"], day)} for update in updates],
        "score": score,
        "silence": sections.duration(score.silence) if score.silence is not None else "",
        "chart": sections.chart(promises, day, end) if promises else None,
    }


def _logged(entry: Entry) -> dict[str, Any]:
    by = json.loads(entry.line)["by"]
    at = entry.recorded_at.astimezone(UTC)
    return {
        "n": f"{entry.n:,}",
        "at": f"{at:%Y-%m-%d}",
        "time": f"{at:%H:%M:%S.%f}",
        "by": "Engine" if by == "engine" else by,
        "deed": entry.deed,
        "parts": sections.octets(entry.leaf),
    }
