"""The public interface as an OpenAPI 3.1 description; tests/statuspage/test_contract.py holds every document to it."""

import json
from datetime import datetime
from typing import Any

from django.conf import settings

from statuspage.models import Component, Notice
from statuspage.planned import WAY
from statuspage.rollup import DESCRIPTIONS
from statuspage.snapshot import POSTMORTEM, Facts

Schema = dict[str, Any]
ABOUT = """The state of every component, incidents and maintenance, in the shape of Statuspage's API v2. Anonymous, GET
and HEAD only, from any origin. Queries are ignored. Send If-None-Match: what did not change is answered with 304."""
STAGES = [*Notice.Status.values, Notice.POSTMORTEM]
MAINTENANCE_STAGES = [status.value for status in WAY]
TEXT: Schema = {"type": "string"}
MAYBE_TEXT: Schema = {"type": ["string", "null"]}
YES_OR_NO: Schema = {"type": "boolean"}
MAYBE: Schema = {"type": ["boolean", "null"]}
ID: Schema = {"type": "string", "pattern": "^[0-9a-z]{12}$"}
MAYBE_ID: Schema = {"type": ["string", "null"], "pattern": "^[0-9a-z]{12}$"}
AT: Schema = {"type": "string", "format": "date-time", "description": "ISO 8601 with milliseconds and Z"}
MAYBE_AT: Schema = {"type": ["string", "null"], "format": "date-time"}
ADDRESS: Schema = {"type": "string", "format": "uri"}


def openapi(facts: Facts, now: datetime) -> bytes:
    description = {
        "openapi": "3.1.0",
        "info": {
            "title": f"{settings.ORGANISATION} status",
            "version": "2",
            "description": ABOUT,
        },
        "servers": [{"url": settings.PUBLIC_BASE_URL}],
        "paths": _paths(),
        "components": {"schemas": _schemas()},
    }
    return json.dumps(description, ensure_ascii=False, separators=(",", ":")).encode()


def _paths() -> dict[str, Any]:
    page, status = {"page": _ref("Page")}, {"status": _ref("Status")}
    incidents, maintenances = {"incidents": _list("Incident")}, {"scheduled_maintenances": _list("Maintenance")}
    components = {"components": _list("AnyComponent")}
    documents: dict[str, tuple[str, str, Schema]] = {
        "/api/v2/status.json": ("getStatus", "The overall state", status),
        "/api/v2/summary.json": ("getSummary", "Everything current", status | components | incidents | maintenances),
        "/api/v2/components.json": ("getComponents", "Components, and groups as rows before theirs", components),
        "/api/v2/incidents.json": ("getIncidents", "The 50 most recent incidents", incidents),
        "/api/v2/incidents/unresolved.json": ("getUnresolved", "Open incidents", incidents),
        "/api/v2/scheduled-maintenances.json": ("getMaintenances", "The 50 most recent", maintenances),
        "/api/v2/scheduled-maintenances/upcoming.json": ("getUpcoming", "Announced", maintenances),
        "/api/v2/scheduled-maintenances/active.json": ("getActive", "Going on", maintenances),
    }
    paths = {path: _get(name, about, _object(page | keys)) for path, (name, about, keys) in documents.items()}
    one = _object(page | {"incident": _ref("OneIncident")})
    paths["/incidents/{code}.json"] = _get_one("getIncident", "incident", "One incident, for good at this address", one)
    work = _object(page | {"scheduled_maintenance": _ref("Maintenance")})
    about = "One maintenance, for good at this address"
    paths["/maintenance/{code}.json"] = _get_one("getMaintenance", "maintenance", about, work)
    for path, name, media in (
        ("/history.atom", "getAtom", "application/atom+xml"),
        ("/history.rss", "getRss", "application/rss+xml"),
        ("/badge.svg", "getBadge", "image/svg+xml"),
    ):
        paths[path] = _get(
            name,
            "The 25 newest incidents and maintenances" if "history" in path else "The state as a drawing",
            TEXT,
            media,
        )
    paths |= _calendars()
    paths["/feed.json"] = _get(
        "getFeed", "The 25 newest incidents and maintenances", {"type": "object"}, "application/feed+json"
    )
    return paths


def _calendars() -> dict[str, Any]:
    ics = "text/calendar"
    about = "The calendar of one"
    return {
        "/calendar.ics": _get("getCalendar", "Maintenance and incidents as iCalendar", TEXT, ics),
        "/components/{code}.ics": _get_one("getComponentCalendar", "component", f"{about} component", TEXT, ics),
        "/maintenance/{code}.ics": _get_one("getMaintenanceCalendar", "maintenance", f"{about} maintenance", TEXT, ics),
    }


def _get_one(name: str, thing: str, about: str, schema: Schema, media: str = "application/json") -> dict[str, Any]:
    """One of many, by its code."""
    one = _get(name, about, schema, media)
    one["get"]["parameters"] = [{"name": "code", "in": "path", "required": True, "schema": ID}]
    one["get"]["responses"]["404"] = {"description": f"There is no such {thing}"}
    return one


def _get(name: str, about: str, schema: Schema, media: str = "application/json") -> dict[str, Any]:
    tags = {name: {"schema": TEXT} for name in ("ETag", "Last-Modified", "Cache-Control")}
    answer = {"description": about, "headers": tags, "content": {media: {"schema": schema}}}
    responses = {"200": answer, "304": {"description": "Not changed since the given ETag or time"}}
    return {"get": {"operationId": name, "summary": about, "responses": responses}}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _list(name: str) -> Schema:
    return {"type": "array", "items": _ref(name)}


def _object(properties: Schema) -> Schema:
    """Every key is always there and no other: some readers fail on what they do not know."""
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _one_of(values: list[str]) -> Schema:
    return {"type": "string", "enum": list(values)}


def _schemas() -> dict[str, Schema]:
    component = _component()
    group = component | {"group": {"const": True}, "components": {"type": "array", "items": ID}}
    incident = _incident(STAGES, [*Notice.Impact.values, "maintenance"])
    window = {"scheduled_for": AT, "scheduled_until": AT}
    postmortem = {
        name: MAYBE_AT if name.endswith("_at") else MAYBE if "notified" in name else MAYBE_TEXT for name in POSTMORTEM
    }
    postmortem["postmortem_ignored"] = YES_OR_NO
    return {
        "Page": _object({"id": ID, "name": TEXT, "url": ADDRESS, "time_zone": TEXT, "updated_at": AT}),
        "Status": _object({"indicator": _one_of(list(DESCRIPTIONS)), "description": _one_of([*DESCRIPTIONS.values()])}),
        "Component": _object(component),
        "Group": _object(group),
        "AnyComponent": {"oneOf": [_ref("Component"), _ref("Group")]},
        "Incident": _object(incident),
        "OneIncident": _object(incident | postmortem),
        "Maintenance": _object(_incident(MAINTENANCE_STAGES, [*Notice.Impact.values, "maintenance"]) | window),
        "Update": _object(_update()),
        "Affected": _object(
            {"code": ID, "name": TEXT, "old_status": _one_of(Component.State.values)}
            | {"new_status": _one_of(Component.State.values)}
        ),
    }


def _component() -> Schema:
    return {
        "id": ID,
        "name": TEXT,
        "status": _one_of(Component.State.values),
        "created_at": AT,
        "updated_at": AT,
        "position": {"type": "integer", "minimum": 0},
        "description": MAYBE_TEXT,
        "showcase": YES_OR_NO,
        "start_date": {"type": ["string", "null"], "format": "date"},
        "group_id": MAYBE_ID,
        "page_id": ID,
        "group": {"const": False},
        "only_show_if_degraded": YES_OR_NO,
    }


def _incident(stages: list[str], impacts: list[str]) -> Schema:
    return {
        "id": ID,
        "name": TEXT,
        "status": _one_of(stages),
        "created_at": AT,
        "updated_at": AT,
        "monitoring_at": MAYBE_AT,
        "resolved_at": MAYBE_AT,
        "impact": _one_of(impacts),
        "shortlink": ADDRESS,
        "started_at": MAYBE_AT,
        "page_id": ID,
        "incident_updates": _list("Update"),
        "components": _list("Component"),
    }


def _update() -> Schema:
    return {
        "id": ID,
        "status": _one_of([*STAGES, *MAINTENANCE_STAGES]),
        "body": TEXT | {"description": "Markdown"},
        "incident_id": ID,
        "created_at": AT,
        "updated_at": AT,
        "display_at": AT,
        "affected_components": {"type": ["array", "null"], "items": _ref("Affected")},
        "deliver_notifications": YES_OR_NO,
        "custom_tweet": MAYBE_TEXT,
        "tweet_id": MAYBE_TEXT,
    }
