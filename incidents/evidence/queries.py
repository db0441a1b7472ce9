"""What pages and packs read of an incident's evidence."""

from functools import reduce
from operator import or_
from typing import Any

from django.db.models import Count, Exists, IntegerField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from incidents.evidence import minimum
from incidents.evidence.minimum import Facts, Line
from incidents.evidence.models import AiContext, CustodyLine, EvidenceItem, Hold
from incidents.lifecycle.models import Incident, Role, RoleAssignment, TimelineEntry

LONG = ("text", "supersedes__text", "superseded_by__text")
NEWEST = 3  # items the incident page names
KEPT_APART = ("id", "incident", "revision", "saved_at", "saved_by")
FIELDS = [field.name for field in AiContext._meta.fields if field.name not in KEPT_APART]
OURS = ("Evidence E-", "Hold on ", "AI context ")  # how lines begin that this subject adds to the timeline
ROW = ("at", "verdict", "what", "rule", "rationale")


def is_about_ai(incident: Incident) -> bool:
    """Whether its kind is one of an AI's, or somebody said that one plays a part."""
    return incident.type.ai == "yes" or incident.ai_involved == Incident.Known.YES


def panel(incident: Incident) -> dict[str, Any]:
    """For the incident page, in three queries: how much is kept, what of the minimum is missing, the newest, the AI."""
    newest = list(_with_state(incident.evidence.in_force()).defer(*LONG)[:NEWEST])
    said = context(incident)
    facts, count = _facts(incident, said)
    return {
        "count": count,
        "gaps": minimum.gaps(facts),
        "newest": newest,
        "ai": said,
        "is_about_ai": facts.ai,
    }


def minimum_of(incident: Incident) -> dict[str, list[Line]]:
    facts, _ = _facts(incident, context(incident))
    return {"set": minimum.set_of(facts), "captures": minimum.captures(facts)}


def _facts(incident: Incident, said: AiContext | None) -> tuple[Facts, int]:
    """What the rule of the minimum goes by, and the number of items in force; one query besides `said`."""
    notes = TimelineEntry.objects.filter(incident=OuterRef("pk"), kind=TimelineEntry.Kind.NOTE, author__isnull=False)
    notes = notes.exclude(reduce(or_, (Q(text__startswith=words) for words in OURS)))
    number = notes.order_by().values("incident").annotate(n=Count("pk")).values("n")
    commander = RoleAssignment.objects.filter(incident=OuterRef("pk"), role=Role.INCIDENT_COMMANDER, ended_at=None)
    rows = list(
        Incident.objects.filter(pk=incident.pk)
        .order_by()
        .values("evidence__topics")
        .annotate(
            items=Count("evidence", filter=Q(evidence__superseded_by=None)),
            commander=Subquery(commander.values("person__name")[:1]),
            notes=Coalesce(Subquery(number, output_field=IntegerField()), 0),
        )
    )
    topics: dict[str, int] = {}
    for row in rows:
        for topic in (row["evidence__topics"] or "").split():
            topics[topic] = topics.get(topic, 0) + row["items"]
    facts = Facts(
        ref=incident.ref,
        severity=incident.severity_label,
        commander=rows[0]["commander"] or "",
        ai=is_about_ai(incident),
        contained=incident.contained_at is not None,
        over=not incident.is_open,
        notes=rows[0]["notes"],
        topics=topics,
        **(_said(said) if said else {}),
    )
    return facts, sum(row["items"] for row in rows)


def _said(said: AiContext) -> dict[str, Any]:
    def both(name: str) -> bool:
        return getattr(said, f"{name}_before") is not None and getattr(said, f"{name}_after") is not None

    cost, latency, success = (both(name) for name in AiContext.MEASURES)
    return {
        "scope": (bool(said.tenants), bool(said.use_cases), bool(said.endpoints)),
        "rules": (bool(said.rulepack_version), bool(said.policy_version)),
        "decisions": bool(said.no_decisions or getattr(said, "decided", 0)),
        "deltas": (cost, latency, success),
        "routing": (bool(said.model_before or said.model_after), bool(said.provider), bool(said.route)),
    }


def items(incident: Incident) -> QuerySet[EvidenceItem]:
    """Every item with all it holds, newest first."""
    return _with_state(incident.evidence.all())


def listed(incident: Incident) -> QuerySet[EvidenceItem]:
    """The same without the texts, which are long and for nobody to see in a list."""
    return items(incident).defer(*LONG)


def _with_state(rows: QuerySet[EvidenceItem]) -> QuerySet[EvidenceItem]:
    """With who received it, what stands in for it, whether it is held, and how it was found last: damaged, verified."""
    found = CustodyLine.objects.filter(item=OuterRef("pk"), deed__in=["damaged", "verified"]).order_by("-pk")
    held = Hold.objects.filter(Q(item=OuterRef("pk")) | Q(item=None, incident=OuterRef("incident")), lifted_at=None)
    return rows.select_related("received_by", "superseded_by", "supersedes", "incident").annotate(
        found=Subquery(found.values("deed")[:1]),
        found_detail=Subquery(found.values("detail")[:1]),
        is_held=Exists(held),
    )


def held(item: EvidenceItem) -> bool:
    """Whether the item, or everything of its incident, must stay."""
    return Hold.objects.filter(Q(item=item) | Q(item=None), incident=item.incident_id, lifted_at=None).exists()


def custody_of(incident: Incident, item: EvidenceItem | None = None) -> list[CustodyLine]:
    """Every line, oldest first; of one item with those about the incident's evidence as a whole."""
    return list(custody(incident, item).order_by("pk"))


def custody(incident: Incident, item: EvidenceItem | None = None) -> QuerySet[CustodyLine]:
    """Newest first."""
    rows = incident.custody.select_related("by", "item").order_by("-pk")
    return rows.filter(Q(item=item) | Q(item=None, at__gte=item.received_at)) if item else rows


# What the AI was


def context(incident: Incident) -> AiContext | None:
    """The newest revision, with the number of its decisions as `decided`."""
    rows = incident.ai_contexts.select_related("saved_by").annotate(decided=Count("decisions"))
    return rows.order_by("-revision").first()


def contexts(incident: Incident, newest: int | None = None) -> list[AiContext]:
    """Revisions, newest first, with their decisions."""
    return list(incident.ai_contexts.select_related("saved_by").prefetch_related("decisions")[:newest])


def rows_of(said: AiContext) -> list[dict[str, Any]]:
    return [{name: getattr(row, name) for name in ROW} for row in said.decisions.all()]


def differing(said: AiContext | None, data: dict[str, Any], decisions: list[dict[str, Any]]) -> list[str]:
    """What is said otherwise than in `said`, as the form calls it."""
    before = said or AiContext()
    labels = {field.name: str(field.verbose_name) for field in AiContext._meta.fields}
    changed = [labels[name] for name in FIELDS if getattr(before, name) != data[name]]
    if (rows_of(said) if said else []) != [{name: row[name] for name in ROW} for row in decisions]:
        changed.append("decisions")
    return changed


def history(incident: Incident, newest: int = 20) -> list[dict[str, Any]]:
    """The newest revisions, each with what it changed."""
    rows = contexts(incident, newest + 1)
    found = []
    for said, before in zip(rows, [*rows[1:], None], strict=False):
        data = {name: getattr(said, name) for name in FIELDS}
        found.append({"said": said, "changed": differing(before, data, rows_of(said))})
    return found[:newest]


def saved_since(incident: Incident, seen: int) -> str:
    """`Lee saved at 14:30:00 UTC and changed provider, route; …` of every revision after the one that was seen."""
    told = [
        f"{row['said'].saved_by} saved at {row['said'].saved_at:%H:%M:%S} UTC and changed {', '.join(row['changed'])}"
        for row in reversed(history(incident))
        if row["said"].revision > seen
    ]
    return "; ".join(told) or "somebody else saved it"
