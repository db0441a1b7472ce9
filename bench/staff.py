"""How long the portal's pages take with 10,000 incidents and 200,000 timeline entries: `make bench-staff`.

Each page is asked for through the whole of Django (middleware, view, template) in one process, on a PostgreSQL of our
own: the queries of one request, and the median and 95th percentile of the server's time, in milliseconds. The busy
incident has 2,000 lines, 600 promises and 300 messages. Prints a table, writes bench/staff.json.

    python bench/staff.py [--times 40] [--incidents 10000]
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.chaos.servers import Postgres  # noqa: E402

ENTRIES = 20  # lines of each incident
BUSY_LINES, BUSY_DUTIES, BUSY_MESSAGES = 2000, 600, 300
MAY_TAKE, MAY_ASK = 60.0, 12  # ms at the 95th percentile; queries


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--times", type=int, default=40)
    options.add_argument("--incidents", type=int, default=10_000)
    given = options.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-staff-"))
    postgres = Postgres(folder)
    try:
        os.environ |= {
            "VAR_DIR": str(folder / "var"), "DATABASE_URL": postgres.url, "LOG_LEVEL": "ERROR",
            "DJANGO_SETTINGS_MODULE": "irportal.settings",
        }  # fmt: skip
        import django

        django.setup()
        rows = run(given.incidents, given.times)
    finally:
        from django.db import connections

        connections.close_all()
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)
    report(rows)


def run(incidents: int, times: int) -> list[dict[str, Any]]:
    from django.core.management import call_command
    from django.test import Client

    from irportal.accounts.models import User

    call_command("migrate", verbosity=0)
    call_command("load_policy", verbosity=0)
    call_command("demo", verbosity=0)
    busy = fill(incidents)
    root = User.objects.create_superuser("root@bench.example", name="Root")
    client = Client(SERVER_NAME="127.0.0.1")
    client.force_login(root)
    return [measure(client, name, address, times) for name, address in pages(busy).items()]


def fill(count: int) -> Any:
    """Resolved incidents with their record, a dozen open ones, and one that is open and busy; returns that one."""
    from django.db import connection
    from django.utils import timezone

    from incidents import workflow
    from incidents.lifecycle.actions import Declaration
    from incidents.lifecycle.models import Incident, RoleAssignment, TimelineEntry
    from incidents.policy.models import IncidentType
    from irportal.accounts.models import User
    from statuspage.models import Component

    grace, now = User.objects.get(email="grace@agentguard.example"), timezone.now()
    parts = list(Component.objects.all()[:3])

    def declared(title: str) -> Incident:
        facts = Declaration(
            title=title, type=IncidentType.objects.get(code="T09"), rank=1, source="monitoring", commander=grace,
            components=[(parts[0], "major_outage"), (parts[1], "partial_outage")], started_at=now - timedelta(hours=2),
            detected_at=now - timedelta(hours=2), impact="Every request fails.", ai_involved="yes",
        )  # fmt: skip
        return workflow.declare(facts, by=grace)

    open_ones = [declared(f"Open incident {number}") for number in range(12)]
    model = open_ones[0]
    made = Incident.objects.bulk_create(
        [
            Incident(
                number=number, title=f"Past incident {number}", type=model.type, severity=number % 4 + 1,
                status="resolved", policy_version=model.policy_version, channel_name=f"#bench-{number}",
                detection_source="monitoring",
                impact_text="Requests failed.", declared_by=grace, started_at=at, detected_at=at, declared_at=at,
                acknowledged_at=at, recovered_at=at + timedelta(hours=1), resolved_at=at + timedelta(hours=2),
            )
            for number in range(100, 100 + count)
            for at in [now - timedelta(hours=3 * (count + 101 - number))]
        ],
        batch_size=2000,
    )  # fmt: skip
    RoleAssignment.objects.bulk_create(
        [
            RoleAssignment(
                incident=one, role="incident_commander", person=grace, started_at=one.started_at, assigned_by=grace
            )
            for one in made
        ],
        batch_size=5000,
    )  # fmt: skip
    TimelineEntry.objects.bulk_create(
        [
            TimelineEntry(incident=one, text=f"Line {n} of the record.", author=grace, occurred_at=at, recorded_at=at)
            for one in made
            for n in range(ENTRIES)
            for at in [one.started_at + timedelta(minutes=n)]
        ],
        batch_size=5000,
    )
    busy = crowd(open_ones[-1], grace)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return busy


def crowd(incident: Any, grace: Any) -> Any:
    """An incident that has lasted for days."""
    from incidents import workflow
    from incidents.comms.models import CommsDuty, Message
    from incidents.lifecycle.models import TimelineEntry

    start = incident.declared_at - timedelta(days=2)
    TimelineEntry.objects.bulk_create(
        TimelineEntry(incident=incident, text=f"Step {n}.", author=grace, occurred_at=at, recorded_at=at)
        for n in range(BUSY_LINES)
        for at in [start + timedelta(minutes=n)]
    )
    CommsDuty.objects.bulk_create(
        CommsDuty(
            incident=incident, audience="internal", message_class="internal_update", seq=1000 + n, anchor_at=at,
            amount="15m", due_at=at, remind_at=at, outcome="kept", ended_at=at, by=grace,
        )
        for n in range(BUSY_DUTIES)
        for at in [start + timedelta(minutes=5 * n)]
    )  # fmt: skip
    Message.objects.bulk_create(
        Message(
            incident=incident, audience="internal", text=f"Update {n}.", author=grace, approved_by=grace, status="sent",
            written_at=at, sent_at=at, public_status="investigating", content_hash="0" * 64,
        )
        for n in range(BUSY_MESSAGES)
        for at in [start + timedelta(minutes=9 * n)]
    )  # fmt: skip
    facts = {"customer_text": "We are looking.", "internal_text": "Looking.", "asserts": False}
    workflow.update(
        incident, workflow.Update(status="investigating", at=incident.declared_at, **facts), by=grace, send=False
    )
    return incident


def pages(busy: Any) -> dict[str, str]:
    """Every page of the portal that can be read, by its name: of the busy incident, of a past one, and the lists."""
    from django.urls import get_resolver, reverse

    found = {}
    names = get_resolver().namespace_dict["portal"][1].reverse_dict
    for name in sorted(key for key in names if isinstance(key, str)):
        for kind, ref in (("", None), (" (busy)", busy.ref), (" (past)", "INC-5000")):
            try:
                address = reverse(f"portal:{name}", args=[ref] if ref else [])
            except Exception:  # it takes something else
                continue
            found[name + kind] = address
    found["home (page 200)"] = f"{reverse('portal:home')}?page=200"
    found["home (found)"] = f"{reverse('portal:home')}?q=4711"
    found["incident-timeline (busy, page 10)"] = f"{reverse('portal:incident-timeline', args=[busy.ref])}?page=10"
    return found


def measure(client: Any, name: str, address: str, times: int) -> dict[str, Any]:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    if client.get(address).status_code != 200:
        return {}  # it wants a form, or belongs to another state
    with CaptureQueriesContext(connection) as asked:
        client.get(address)
    queries = len(asked)  # now: the next request empties the log
    took = []
    for _ in range(times):
        began = time.perf_counter()
        client.get(address)
        took.append((time.perf_counter() - began) * 1000)
    took.sort()
    return {"name": name, "queries": queries, "median": statistics.median(took), "p95": took[int(times * 0.95) - 1]}


def report(rows: list[dict[str, Any]]) -> None:
    rows = sorted(filter(None, rows), key=lambda row: -row["p95"])
    results = []
    print(f"{'page':44} {'queries':>8} {'median ms':>10} {'p95 ms':>8}")
    for row in rows:
        over = " over" if row["p95"] > MAY_TAKE or row["queries"] > MAY_ASK else ""
        print(f"{row['name']:44} {row['queries']:8} {row['median']:10.1f} {row['p95']:8.1f}{over}")
        for what, unit in (("queries", "queries"), ("median", "ms"), ("p95", "ms")):
            results.append({"name": f"{row['name']}, {what}", "value": round(row[what], 1), "unit": unit})
    worst = {
        "pages": len(rows),
        "pages_over_60_ms": sum(row["p95"] > MAY_TAKE for row in rows),
        "pages_over_12_queries": sum(row["queries"] > MAY_ASK for row in rows),
    }
    (ROOT / "bench" / "staff.json").write_text(json.dumps({"results": results, "counts": worst}, indent=2) + "\n")


if __name__ == "__main__":
    main()
