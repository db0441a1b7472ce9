"""The least that has to be kept of an incident: what is there, what is missing, and where it is added.

Six entries of any review and the captures of minute 20 to 40 (R002-06, R002-08). Pure: it is given facts and answers
with lines to show. What only an AI system has is asked for where an AI is involved, and named as not asked elsewhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from django.db.models import TextChoices


class Topic(TextChoices):
    """What an item of evidence shows; one may show several."""

    REQUESTS = "requests", "Request and response metadata"
    DECISIONS = "decisions", "Decision logs: what was blocked or warned about, and why"
    RULES = "rules", "Rulepack and policy versions in force"
    ROUTING = "routing", "Model, provider and routing"
    CHANGES = "changes", "Who changed what, and when"
    SCOPE = "scope", "Affected tenants, use cases or endpoints"
    DELTAS = "deltas", "Cost, latency or success rate, before and after"
    CONTAINMENT = "containment", "What contained it, and how that was seen"


# Where a person goes to add what is missing
ROLES, TIMELINE, AI, ITEMS = "roles", "timeline", "ai", "items"


@dataclass(frozen=True)
class Facts:
    """What is known of an incident. `topics` counts the items in force by what they show."""

    ref: str
    severity: str
    commander: str = ""
    ai: bool = False
    contained: bool = False
    over: bool = False
    notes: int = 0
    topics: Mapping[str, int] = field(default_factory=dict)
    scope: tuple[bool, bool, bool] = (False, False, False)  # tenants, use cases, endpoints are named
    rules: tuple[bool, bool] = (False, False)  # rulepack and policy version are named
    decisions: bool = False  # rows with their rationale, or why there are none
    deltas: tuple[bool, bool, bool] = (False, False, False)  # cost, latency, success rate: before and after
    routing: tuple[bool, bool, bool] = (False, False, False)  # model, provider and route are named


@dataclass(frozen=True)
class Line:
    """One entry. Neither `found` nor `missing`: it is not asked of this incident."""

    code: str
    title: str
    found: str = ""
    missing: str = ""
    where: str = ITEMS

    @property
    def topic(self) -> str:
        """What an item that fills it shows."""
        return SHOWN.get(self.code, "")


SHOWN = {
    "scope": Topic.SCOPE,
    "deltas": Topic.DELTAS,
    "containment": Topic.CONTAINMENT,
    "requests": Topic.REQUESTS,
    "logs": Topic.DECISIONS,
}


def set_of(facts: Facts) -> list[Line]:
    """The six entries, in the order a review asks for them."""
    return [_head(facts), _scope(facts), _rules(facts), _decisions(facts), _deltas(facts), _containment(facts)]


def captures(facts: Facts) -> list[Line]:
    """What is to be captured in minute 20 to 40, before it is overwritten."""
    requests = _items(facts, Topic.REQUESTS)
    routing = _items(facts, Topic.ROUTING) or _named("AI context", facts.routing)
    changes = _items(facts, Topic.CHANGES) or (_count(facts.notes, "line") + " in the timeline" if facts.notes else "")
    return [
        _line(facts, "requests", Topic.REQUESTS.label, requests, "Nothing shows what was asked and answered."),
        _line(facts, "logs", "Decision logs", _items(facts, Topic.DECISIONS), "No log of decisions is kept."),
        _line(facts, "versions", "Rule versions", _rules(facts).found, "Nothing says which rules were in force.", AI),
        _line(facts, "routing", Topic.ROUTING.label, routing, _lacks(facts.routing, "model provider route"), AI),
        Line("changes", Topic.CHANGES.label, changes, "" if changes else "Nobody has written down a change.", TIMELINE),
    ]


def gaps(facts: Facts) -> list[Line]:
    return [line for line in [*set_of(facts), *captures(facts)] if line.missing]


def _head(facts: Facts) -> Line:
    lacks = [] if facts.commander else ["Nobody commands it."]
    where = TIMELINE if facts.commander else ROLES
    if facts.over and not facts.contained:
        lacks.append("The timeline does not say when it was contained.")
    found = f"{facts.ref}, {facts.severity}, commanded by {facts.commander}, times in the record"
    return Line("head", "Reference, severity, owner and times", "" if lacks else found, " ".join(lacks), where)


def _scope(facts: Facts) -> Line:
    found = _items(facts, Topic.SCOPE) or _named("AI context", facts.scope)
    lacks = _lacks(facts.scope, "tenants,use cases,endpoints", ",")
    title = "Affected tenants, use cases and endpoints"
    return Line("scope", title, found, "" if found else lacks, AI if facts.ai else ITEMS)


def _rules(facts: Facts) -> Line:
    found = _items(facts, Topic.RULES) or _named("AI context", facts.rules)
    return _line(facts, "rules", Topic.RULES.label, found, _lacks(facts.rules, "rulepack,policy version", ","), AI)


def _decisions(facts: Facts) -> Line:
    found = "AI context" if facts.decisions else _items(facts, Topic.DECISIONS)
    missing = "No decision is written down with its reason, nor why there is none."
    return _line(facts, "decisions", "Block and warn decisions with their reasons", found, missing, AI)


def _deltas(facts: Facts) -> Line:
    found = _items(facts, Topic.DELTAS) or _named("AI context", facts.deltas)
    lacks = _lacks(facts.deltas, "cost,latency,success rate", ",")
    where = AI if facts.ai else ITEMS
    return Line("deltas", "Change of cost, latency and success rate", found, "" if found else lacks, where)


def _containment(facts: Facts) -> Line:
    items = _items(facts, Topic.CONTAINMENT)
    lacks = [] if items else ["Nothing shows what contained it and how that was seen."]
    if not facts.contained:
        lacks.append("The timeline does not say when it was contained.")
    where = TIMELINE if items else ITEMS
    return Line("containment", "What contained it, validated", "" if lacks else items, " ".join(lacks), where)


def _line(facts: Facts, code: str, title: str, found: str, missing: str, where: str = ITEMS) -> Line:
    """An entry only an AI system can have."""
    return Line(code, title, found, missing if facts.ai and not found else "", where)


def _items(facts: Facts, topic: Topic) -> str:
    number = facts.topics.get(topic, 0)
    return _count(number, "item") if number else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _named(where: str, parts: tuple[bool, ...]) -> str:
    return where if all(parts) else ""


def _lacks(parts: tuple[bool, ...], names: str, between: str = " ") -> str:
    """`Not named: cost, latency.` of what is not there."""
    lacking = [name for name, there in zip(names.split(between), parts, strict=True) if not there]
    return f"Not said: {', '.join(lacking)}." if lacking else ""
