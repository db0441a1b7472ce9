"""What the record says of roles, of the gate before Resolved, and of controls; each in a fixed number of questions."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from incidents.lifecycle import gate
from incidents.lifecycle.models import ControlRun, Handover, Incident, Role, RoleAssignment
from incidents.policy import matrix
from incidents.policy.models import IncidentType, SeverityLevel

LATEST = 20  # controls the page shows
WITH_HANDOVER = ("person", "handover__giver")  # what to select with the terms that run
READINGS = 200  # of an incident, the newest, that the gate looks at


def wanted_roles(incident: Incident) -> set[str]:
    """The roles the policy tells at the incident's severity: each without a person is a gap. One query at most."""
    wanted = {row.role for row in incident.policy_version.notify_rules.all() if row.rank == incident.severity}
    if incident.ai_involved != Incident.Known.YES and incident.type.ai != "yes":
        wanted.discard(Role.AI_LEAD)
    if incident.type.family != IncidentType.Family.SECURITY:
        wanted.discard(Role.SECURITY_LEAD)
    return wanted


def gaps(incident: Incident, held: Collection[str]) -> list[str]:
    """The roles the policy asks for, the commander always, that are not among those `held`; in the list's order."""
    wanted = wanted_roles(incident) | {Role.INCIDENT_COMMANDER.value}
    return [role.value for role in Role if role in wanted and role not in held]


@dataclass(frozen=True)
class Seat:
    """One role of an incident: who holds it since when and how they got it, or that nobody does."""

    role: str
    label: str
    term: RoleAssignment | None
    handover: Handover | None

    @property
    def is_gap(self) -> bool:
        return self.term is None


def seats(incident: Incident, held: Sequence[RoleAssignment]) -> list[Seat]:
    """The roles held now and those the policy asks for and nobody holds, in the order of the list of roles.

    `held` are the terms that run, with their people and hand-overs (WITH_HANDOVER). One query.
    """
    terms = {term.role: term for term in held}
    missing = gaps(incident, terms)
    rows = [(role, terms.get(role)) for role in Role if role in terms or role in missing]
    return [Seat(role.value, role.label, term, getattr(term, "handover", None)) for role, term in rows]


# The gate


@dataclass(frozen=True)
class GateState:
    """The gate as it stands: every point it asks for, and when Monitoring has lasted long enough."""

    points: list[gate.Point]
    opens_at: datetime | None
    tickable: Collection[str]

    @property
    def missing(self) -> list[str]:
        return gate.missing(self.points)

    @property
    def is_open(self) -> bool:
        return not self.missing

    @property
    def has_proof(self) -> bool:
        """Whether anybody has entered a number or given a tick."""
        return any(point.proof for point in self.points)


def _asked(incident: Incident, met_by_deed: Collection[str]) -> list[gate.Point]:
    """What the gate asks for besides time. Two queries."""
    rules = gate.gate_rules(incident.policy_version)
    since = incident.recovered_at if incident.status != Incident.Status.RESOLVED else _entered_monitoring(incident)
    readings = incident.readings.select_related("by").order_by("-at", "-pk")[:READINGS]
    ticks = incident.gate_ticks.select_related("by")
    return gate.conditions(rules, list(readings)[::-1], since=since) + gate.ticks(rules, ticks, met_by_deed=met_by_deed)


def _entered_monitoring(incident: Incident) -> datetime | None:
    """None where it was resolved without any Monitoring, so that nothing was read in it."""
    return incident.recovered_at if incident.recovered_at != incident.resolved_at else None


def gate_lacks(incident: Incident, to: str, *, met_by_deed: Collection[str] = ()) -> list[str]:
    """What moving to `to` still lacks besides time, in words; nothing unless that is Resolved."""
    return gate.missing(_asked(incident, met_by_deed)) if to == Incident.Status.RESOLVED else []


def gate_state(incident: Incident, now: datetime) -> GateState:
    """Time, numbers and ticks as they stand. Two queries."""
    rules = gate.gate_rules(incident.policy_version)
    since = incident.recovered_at if incident.status == Incident.Status.MONITORING else _entered_monitoring(incident)
    waited = gate.waited(rules, since, incident.resolved_at or now)
    return GateState([waited, *_asked(incident, ())], incident.gate_opens_at(), rules.ticks)


# Controls


def control_runs(incident: Incident, now: datetime) -> list[tuple[ControlRun, gate.Answer]]:
    """Each use of a kill switch or a rollback, oldest first, with what became of its limit. One query."""
    limits = gate.gate_rules(incident.policy_version).limits
    rows = incident.control_runs.select_related("started_by", "confirmed_by")[:LATEST]
    return [
        (row, gate.answer(row.started_at, row.confirmed_at, row.started_at + getattr(limits, row.kind), now))
        for row in rows
    ]


def response(
    incident: Incident, changes: Sequence[tuple[datetime, int]], now: datetime
) -> tuple[SeverityLevel, gate.Answer] | None:
    """The severity whose target counts, and how its acknowledgement stands (requirements 5.3). No query of its own.

    `changes` are when the incident got which rank, in the order of time.
    """
    rank = gate.response_rank(changes, incident.acknowledged_at)
    level = next((row for row in incident.policy_version.severities.all() if row.rank == rank), None)
    if level is None or not level.acknowledge:
        return None
    due_at = matrix.due(level.acknowledge, incident.detected_at)
    return level, gate.answer(incident.detected_at, incident.acknowledged_at, due_at, now)
