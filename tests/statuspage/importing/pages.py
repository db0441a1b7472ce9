"""Other people's pages, in the shape of their formats and in our own words."""

import hashlib
import itertools
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

RECORD = Path(__file__).parents[2] / "data" / "public-incidents.jsonl"
NAMES = ("Git", "Web", "API", "Webhooks", "Issues", "Pages", "Packages", "Actions", "Search", "Mail")
STATES = {"none": "operational", "minor": "degraded_performance", "major": "partial_outage", "critical": "major_outage"}
STAGES = ("investigating", "identified", "monitoring")
SENTENCES = (
    "Some requests fail. We are looking for the reason.",
    "We know the **reason** and are mending it.\n\n* Reads work.\n* Writes are slow.",
    "A fix is in place; we are watching <https://status.example.org> & the numbers.",
)


def id_of(*parts: object) -> str:
    """12 characters of base36, the same for the same parts."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def component(number: int) -> dict[str, Any]:
    return {
        "id": id_of("component", number),
        "name": NAMES[number],
        "status": "operational",
        "created_at": "2026-02-01T00:00:00.000Z",
        "updated_at": "2026-02-01T00:00:00.000Z",
        "position": number + 1,
        "description": None,
        "showcase": True,
        "start_date": "2026-02-01",
        "group_id": None,
        "page_id": "theotherpage",
        "group": False,
        "only_show_if_degraded": False,
    }


def incident(row: dict[str, Any]) -> dict[str, Any]:
    """One incident of the record as Statuspage's API would give it, with words of our own."""
    parts = [component(number) for number in range(row["components"])]
    updates, stage = [], 0
    for number, (at, word) in enumerate(row["updates"]):
        stage = min(stage + (word == "Update"), 2)
        status = "resolved" if word == "Resolved" else STAGES[stage]
        updates.append(update(row, number, status, at, parts))
    return {
        "id": id_of("incident", row["id"]),
        "name": f"Trouble {row['id']} <of> some & any kind",
        "status": updates[-1]["status"],
        "created_at": stamp(row["started_at"]),
        "updated_at": stamp(row["resolved_at"]),
        "monitoring_at": next((u["display_at"] for u in updates if u["status"] == "monitoring"), None),
        "resolved_at": stamp(row["resolved_at"]),
        "impact": row["impact"],
        "shortlink": "https://stspg.example/x",
        "started_at": stamp(row["started_at"]),
        "page_id": "theotherpage",
        "incident_updates": updates[::-1],
        "components": parts,
    }


def update(row: dict[str, Any], number: int, status: str, at: str, parts: list[dict[str, Any]]) -> dict[str, Any]:
    worst = STATES[row["impact"]]
    was = "operational" if number == 0 else worst
    now = "operational" if status == "resolved" else worst
    changes = [{"code": p["id"], "name": p["name"], "old_status": was, "new_status": now} for p in parts]
    return {
        "id": id_of("update", row["id"], number),
        "status": status,
        "body": "It is over." if status == "resolved" else SENTENCES[STAGES.index(status)],
        "incident_id": id_of("incident", row["id"]),
        "created_at": stamp(at),
        "updated_at": stamp(at),
        "display_at": stamp(at),
        "affected_components": changes or None,
        "deliver_notifications": True,
        "custom_tweet": None,
        "tweet_id": None,
    }


def stamp(at: str) -> str:
    return at.replace("Z", ".000Z")


def record() -> list[dict[str, Any]]:
    """Every line of the record of real incidents."""
    return [json.loads(line) for line in RECORD.read_text().splitlines()]


def incidents() -> list[dict[str, Any]]:
    """The incidents of the record, maintenance left out, newest first as an API lists them."""
    return [incident(row) for row in reversed(record()) if row["impact"] != "maintenance"]


def maintenance(row: dict[str, Any]) -> dict[str, Any]:
    """One maintenance of the record as Statuspage's API would give it, planned for when it took place."""
    found = incident(row | {"impact": "none", "updates": [[at, "Update"] for at, _ in row["updates"]]})
    at = {word: stamp(instant) for instant, word in row["updates"]}
    stage = ""
    for said, (_, word) in zip(reversed(found["incident_updates"]), row["updates"], strict=True):
        stage = stage if word == "Update" else word.lower().replace(" ", "_")
        said |= {"status": stage, "body": f"{word} as planned.", "affected_components": None}
    plan = {"scheduled_for": at["In progress"], "scheduled_until": at["Completed"], "started_at": at["In progress"]}
    return found | {"impact": "maintenance", "status": "completed", "monitoring_at": None} | plan


def maintenances() -> list[dict[str, Any]]:
    """The maintenance of the record, newest first."""
    return [maintenance(row) for row in reversed(record()) if row["impact"] == "maintenance"]


def document(*incidents: dict[str, Any], components: int = 0) -> bytes:
    return json.dumps(
        {
            "page": {"id": "theotherpage"},
            "incidents": incidents,
            "components": [component(n) for n in range(components)],
        }
    ).encode()


_rows = itertools.count(1)


def one(*stages: str, **given: Any) -> dict[str, Any]:
    """An incident of Sunday 1 March 2026, 08:00 UTC, one update of each stage every ten minutes."""
    start, id = datetime(2026, 3, 1, 8, tzinfo=UTC), str(next(_rows))
    at = [(start + timedelta(minutes=10 * n)).strftime("%Y-%m-%dT%H:%M:%SZ") for n in range(len(stages))]
    row = {"id": id, "impact": "minor", "components": 1, "started_at": at[0], "resolved_at": at[-1]}
    found = incident(row | {"updates": [[instant, "Update"] for instant in at]})
    for said, stage in zip(reversed(found["incident_updates"]), stages, strict=True):
        said["status"] = stage
    found["status"] = stages[-1]
    if stages[-1] != "resolved":
        found["resolved_at"] = None
    return found | given
