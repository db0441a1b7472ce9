"""R-T12: twelve deadlines pass while nobody works; each is missed once, and staff hear of it when a hand is back."""

import json
import time
from collections.abc import Callable
from typing import NamedTuple

from tests.chaos.servers import until
from tests.chaos.sink import Sink
from tests.chaos.stage import Stage, stage
from tests.promises.figures import Figure

DEADLINES = 12


class Trouble(NamedTuple):
    """`hands` are what runs; `strike` ends the work and `heal` lets it go on."""

    name: str
    hands: tuple[str, ...]
    strike: Callable[[Stage], None]
    heal: Callable[[Stage], None]


def engines_die(here: Stage) -> None:
    for name in ("engine", "second engine", "worker"):
        here.portal.end(name)


def database_stops(here: Stage) -> None:
    assert here.postgres
    here.postgres.stop()


def database_starts(here: Stage) -> None:
    assert here.postgres
    here.postgres.start()


TROUBLES = [
    Trouble(
        "engines dead",
        ("web", "engine", "second engine", "worker", "beat"),
        engines_die,
        lambda here: here.portal.start("engine"),
    ),
    Trouble(
        "beat dead",
        ("web", "worker", "beat"),
        lambda here: here.portal.end("beat"),
        lambda here: here.portal.start("beat"),
    ),
    Trouble("Redis dead", ("web", "worker", "beat"), lambda here: here.redis.stop(), lambda here: here.redis.start()),
    Trouble("database restarted", ("web", "engine", "worker", "beat"), database_stops, database_starts),
]


def prove(database: str) -> list[Figure]:
    """A SQLite file is never restarted; there the fourth trouble is left out."""
    return [
        figure
        for trouble in TROUBLES
        if database == "postgres" or trouble.strike is not database_stops
        for figure in go_through(trouble, database)
    ]


def go_through(trouble: Trouble, database: str) -> list[Figure]:
    sink = Sink(0, temporary=0, slow=0)
    with stage(database, sink, readers=1, hands=trouble.hands) as here:
        until(lambda: here.portal.get("/healthz")[0] == 200, seconds=90, what="a healthy portal")
        here.portal.shell(DECLARE)
        if trouble.strike is database_stops:  # nobody could set them later
            here.portal.shell(f"AHEAD = 20\n{PASS}")
        struck = time.monotonic()
        trouble.strike(here)
        trusted = oldest_trusted(here)
        if trouble.strike is not database_stops:
            here.portal.shell(f"AHEAD = 0\n{PASS}")
        time.sleep(max(0.0, struck + 35 - time.monotonic()))
        assert here.portal.get("/healthz")[0] == 503, "it is well again before anybody is back"
        back, before = time.monotonic(), len(sink.taken)
        trouble.heal(here)
        until(lambda: not here.portal.shell_json(UNTOLD), seconds=180, what="an alarm for every deadline")
        told = [taken.at - back for taken in sink.taken[before:] if taken.key in here.portal.shell_json(ALARMS)]
        time.sleep(10)
        times = here.portal.shell_json(TIMES)
    return [
        Figure(f"{trouble.name}, oldest pulse with which /healthz said 200", trusted, 30, "s"),
        Figure(f"{trouble.name}, deadlines not missed exactly once", DEADLINES - times.count(1), 0, f"of {DEADLINES}"),
        Figure(f"{trouble.name}, incidents without an alarm", 3 - len(told), 0, "of 3"),
        Figure(f"{trouble.name}, last alarm after a hand is back", max(told, default=999), 60, "s"),
    ]


def oldest_trusted(here: Stage) -> float:
    """Ask /healthz until it says 503: the oldest pulse with which it still said 200, in seconds."""
    oldest = 0.0

    def is_503() -> bool:
        nonlocal oldest
        status, said, _ = here.portal.get("/healthz")
        if status == 200:
            oldest = max(oldest, json.loads(said)["pulse_age_seconds"])
        return status == 503

    until(is_503, seconds=60, what="503 from /healthz")
    return oldest


DECLARE = """
from django.utils import timezone
from incidents import workflow
from incidents.comms.models import CommsDuty
from incidents.lifecycle.actions import Declaration
from incidents.lifecycle.models import Incident
from incidents.policy.models import IncidentType
from irportal.accounts.models import User
from statuspage.models import Component
root, now = User.objects.get(), timezone.now()
CommsDuty.objects.all().delete()
for n in range(3):
    workflow.declare(Declaration(title=f"Outage {n}", type=IncidentType.objects.get(code="T01"), rank=1,
        components=[(Component.objects.get(), Component.State.MAJOR_OUTAGE)], started_at=now, detected_at=now,
        source=Incident.Source.MONITORING, impact="All of it.", commander=root), by=root)
CommsDuty.objects.exclude(message_class__in=["status_update", "status_page", "internal_update", "regulator_decision"]
    ).delete()
assert CommsDuty.objects.count() == 12
"""
# What an outage of minutes does: the twelve fell due ten seconds apart, too long ago for the engine's own words.
# A database that is gone is told beforehand: they fall due soon, and no words are ready.
PASS = """
from datetime import timedelta
from django.utils import timezone
from incidents.comms.models import CommsDuty
for n, duty in enumerate(CommsDuty.objects.order_by("pk")):
    duty.due_at = duty.remind_at = timezone.now() + timedelta(seconds=AHEAD + n if AHEAD else -150 - 10 * n)
    duty.anchor_at, duty.holding = duty.due_at - timedelta(hours=1), duty.holding and not AHEAD
    duty.save(update_fields=["due_at", "remind_at", "anchor_at", "holding"])
"""
UNTOLD = """
import json
from django.db import OperationalError
from incidents.comms.models import CommsDuty
from irportal.outbox.models import Announcement, Delivery
waiting = Delivery.objects.waiting().filter(announcement__topic="escalation").count()
waiting += Announcement.objects.filter(fanned_out_at=None).count()
first = CommsDuty.objects.order_by("pk")[:12]
print(json.dumps(waiting + sum(duty.escalated_at is None for duty in first)))
"""
ALARMS = """
import json
from irportal.outbox.models import Delivery
print(json.dumps([key[:16] for key in Delivery.objects.filter(announcement__topic="escalation")
    .values_list("key", flat=True)]))
"""
TIMES = """
import json
from incidents.comms.models import CommsDuty
from irportal.ledger.models import Entry
lines = list(Entry.objects.filter(deed="duty.escalated").values_list("line", flat=True))
print(json.dumps([sum(f'"{d.audience} {d.message_class} {d.seq}"' in line and f'"{d.incident.ref}"' in line
    for line in lines) for d in CommsDuty.objects.order_by("pk")[:12]]))
"""
