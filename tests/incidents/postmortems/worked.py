"""The seeds' worked example (requirements R001-44): pool exhaustion on 24 October 2025, 14:30 to 15:15 UTC."""

from datetime import UTC, date, datetime

from incidents import workflow
from incidents.lifecycle import actions as lifecycle
from incidents.lifecycle.models import Incident
from incidents.policy import actions as policy
from incidents.policy.models import IncidentType
from incidents.postmortems import actions
from incidents.postmortems.models import PostMortem
from irportal.accounts.models import User
from statuspage.models import Component, ComponentGroup

FIELDS = {
    "summary": "On 24 October 2025 every request to the Agent API failed for all users, because the ten database "
    "connections the service was allowed were taken during a rise in traffic. The pool was enlarged to fifty, the "
    "service restarted at 14:50 UTC, and the incident was resolved at 15:15 UTC, 45 minutes after it began. No data "
    "was lost. It is over.",
    "root_cause": "The connection pool was configured with a maximum of ten connections. During a traffic spike all "
    "ten were taken, and every new request waited until it failed with “connection pool timeout”.",
    "cause_class": "capacity",
    "contributing_factors": "Capacity: the limit of ten was a default and had not been reviewed as traffic grew.\n"
    "Testing: load tests did not hold many connections open at once.\n"
    "Monitoring: the pool was not among the watched resources.",
    "controls": "Control 4 (monitoring): no alert on waiting connections existed.",
    "detection": "The error-rate alert fired at once. An alert on waiting connections would have fired earlier, while "
    "the pool was filling; it did not exist.",
    "users_percent": 100,
    "failed_requests": 2700,
    "requests_estimated": True,
    "revenue_impact": "about 500 US dollars",
    "revenue_estimated": True,
    "data_impact": "None lost, none changed: requests failed before anything was written.",
    "response": "The technical lead raised the pool from ten to fifty connections and restarted the service in two "
    "halves, so that health checks could confirm the first before the second followed.\n\n"
    "The comms lead checked and approved each text to customers.",
    "recovery": "Error rate 0.0 % since 14:58; P95 latency 184 ms against a baseline of 190 ms.",
    "went_well": "- Monitoring noticed the failure at once.\n- The cause was known after five minutes.\n"
    "- Customers heard within six minutes and at every promised time.",
    "went_wrong": "The incident was closed after half the time the gate asks for.",
    "could_improve": "Size pools for three to five times the expected load.\nLet connections scale with instances.",
    "lessons": "Capacity planning: plan for three to five times the expected load. Policy change proposed.\n"
    "Monitoring: every bounded resource is watched. Two alerts added.",
    "followup_meeting_at": datetime(2025, 10, 25, 10, 0, tzinfo=UTC),
    "followup_attendees": "Commander, comms lead, technical lead, QA lead",
    "customer_record": "Public summary on 25 October 2025, 16:40 UTC",
    "tracker": "AG-1042",
}
ITEMS = [
    ("Increase the connection pool to 50", "prevent", "P0", date(2025, 10, 24), "done", "Configuration hash; Grace"),
    ("Watch connection pools and alert while they fill", "detect", "P0", date(2025, 10, 25), "done", "Test alert; Lin"),
    ("Add a load test that holds many connections open", "detect", "P1", date(2025, 10, 27), "in_progress", ""),
    ("Let connections scale with the number of instances", "prevent", "P1", date(2025, 10, 30), "open", ""),
    ("Add pool troubleshooting to the database runbook", "process", "P2", date(2025, 11, 1), "open", ""),
]


def at(minute: int, hour: int = 14) -> datetime:
    return datetime(2025, 10, 24, hour, minute, tzinfo=UTC)


def data(owner: User) -> dict:
    """What `save_draft` is given: every field of the example and its five actions."""
    names = ("action", "type", "priority", "due_on", "status", "evidence")
    return FIELDS | {"actions": [dict(zip(names, row, strict=True)) | {"owner": owner} for row in ITEMS]}


def declared(clock, *, by: User, title: str = "Agent API unavailable") -> Incident:
    """Declared at 14:32 under the shipped policy, with one component in major outage."""
    policy.load_shipped()
    group, _ = ComponentGroup.objects.get_or_create(name="Product")
    api, _ = Component.objects.get_or_create(name="Agent API", defaults={"group": group})
    clock.move_to(at(32))
    return workflow.declare(
        lifecycle.Declaration(
            title=title,
            type=IncidentType.objects.get(code="T03"),
            rank=1,
            components=[(api, "major_outage")],
            started_at=at(30),
            detected_at=at(30),
            source="monitoring",
            impact="All API requests fail with “connection pool timeout”.",
            commander=by,
            personal_data="no",
            ai_involved="no",
            reason="Service down.",
        ),
        by=by,
    )


def resolved(clock, *, by: User, **given) -> PostMortem:
    """The whole afternoon, as it was recorded; resolved by `by` at 15:15, so the post-mortem is open."""
    incident = declared(clock, by=by, **given)
    texts = {
        "identified": (at(35), "We have found the cause: a limit on database connections. A fix is being made."),
        "monitoring": (at(0, 15), "A fix is in place and requests succeed again. We are watching."),
        "resolved": (at(15, 15), "All services operate normally."),
    }
    for status, (when, text) in texts.items():
        if status == "monitoring":
            clock.move_to(at(50))
            lifecycle.add_note(
                incident, text="Service restarted with the larger pool.", at=at(50), by=by, marker="contained"
            )
        clock.move_to(when)
        reason = "No failed request since 14:58, pool at 11 of 50." if status == "resolved" else ""
        change = workflow.Update(
            status=status,
            at=when,
            reason=reason,
            customer_text=text,
            asserts="cause" in text,
            unapproved="Nobody else was awake",
        )
        incident = workflow.update(incident, change, by=by, send=True)
    return PostMortem.objects.get(incident=incident)


def written(clock, *, commander: User, writer: User, **given) -> PostMortem:
    """The draft as the comms lead wrote it on 29 October."""
    postmortem = resolved(clock, by=commander, **given)
    clock.move_to(datetime(2025, 10, 29, 15, 40, tzinfo=UTC))
    return actions.save_draft(postmortem, data(writer), by=writer, seen=postmortem.revision)


def approved(clock, *, commander: User, writer: User) -> PostMortem:
    """Sent to review by its writer and approved by the commander on 30 October."""
    postmortem = actions.submit(written(clock, commander=commander, writer=writer), by=writer)
    clock.move_to(datetime(2025, 10, 30, 9, 14, tzinfo=UTC))
    return actions.approve(postmortem, by=commander, content_hash=actions.content_hash(postmortem))
