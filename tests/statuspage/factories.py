"""Public facts to test with; name only what the test is about."""

import itertools
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from statuspage import maintenance
from statuspage import publish as public
from statuspage.models import Component, ComponentGroup, Maintenance, NoticeUpdate, Subscriber

_numbers = itertools.count(1)


def component(name: str = "Agent API", group: str = "") -> Component:
    found = ComponentGroup.objects.get_or_create(name=group)[0] if group else None
    return Component.objects.create(name=name, group=found, position=next(_numbers))


def subscriber(email: str, *parts: Component | ComponentGroup, **given: Any) -> Subscriber:
    made = Subscriber.objects.create(email=email, **({"confirmed_at": timezone.now()} | given))
    made.components.set([part for part in parts if isinstance(part, Component)])
    made.groups.set([part for part in parts if isinstance(part, ComponentGroup)])
    return made


def publish(status: str = "investigating", *affected: tuple[Component, str], **given: Any) -> NoticeUpdate:
    """An update of INC-42, Agent API unavailable, which began half an hour ago; said now."""
    now = timezone.now()
    facts: dict[str, Any] = {
        "title": "Agent API unavailable",
        "status": status,
        "impact": "critical",
        "body": "Every request fails.",
        "affected": list(affected),
        "started_at": now - timedelta(minutes=30),
        "said_at": now,
        "next_update_by": None,
        "by": None,
    }
    return public.publish(given.pop("ref", "INC-42"), **(facts | given))


def past_incident(ref: str, *, started_at: datetime, minutes: int = 34, **given: Any) -> NoticeUpdate:
    """An incident that was resolved `minutes` after it started."""
    said_at = started_at + timedelta(minutes=minutes)
    return publish("resolved", ref=ref, started_at=started_at, said_at=said_at, **({"impact": "minor"} | given))


def planned(*components: Component, **given: Any) -> maintenance.Plan:
    """Two hours of work that begin in two days."""
    starts_at = given.pop("starts_at", timezone.now() + timedelta(days=2))
    facts: dict[str, Any] = {
        "title": "Database upgrade",
        "starts_at": starts_at,
        "ends_at": starts_at + timedelta(hours=2),
        "components": components,
    }
    return maintenance.Plan(**(facts | given))


def announced(*components: Component, silent: str = "", **given: Any) -> Maintenance:
    """That work, announced; on a component of its own unless some are given."""
    plan = planned(*(components or (component("Dashboard"),)), **given)
    return maintenance.announce(plan, text="We move to a larger database.", by=None, silent=silent).maintenance
