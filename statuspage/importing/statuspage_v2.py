"""Statuspage's API v2, as its documents come: one object, a list of incidents, or one incident a line."""

import json
from collections.abc import Collection, Iterator
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from irportal.refused import Refused
from statuspage.importing import words
from statuspage.importing.shape import (
    CODE,
    Change,
    File,
    Group,
    Impact,
    Incident,
    Page,
    Part,
    Refusal,
    Said,
    State,
    Status,
    Work,
    worst,
)
from statuspage.importing.shape import incident as incident_of
from statuspage.importing.sources import Asked, as_file, base_of
from statuspage.models import Maintenance

NAME = "statuspage"
STATUSES = {status.value: status for status in Status} | {"postmortem": Status.RESOLVED}
MAINTENANCE = ("scheduled", "in_progress", "verifying", "completed")
RULES = [
    "An update of the stage postmortem is one of the stage resolved.",
    "An incident without an impact has that of the worst state its updates give a component; none when they give none.",
    "A component an incident names without a state has the state its impact stands for: "
    "minor degraded, major partial outage, critical major outage.",
]
QUIET_PAGES = 8
PARTS = ("components", "incidents", "incident", "scheduled_maintenances", "incident_updates")


def knows(file: File) -> bool:
    """Whether this looks like one of its documents."""
    return any(key in document for _, document in _documents(file) for key in PARTS)


def fetch(url: str, asked: Asked) -> list[File]:
    """The documents of a page: the one a `.json` address names, else components, and incidents as far back as it tells.

    Its list of incidents ends after 50; the others are asked for one by one, by the codes in its history.
    """
    if urlsplit(url).path.endswith(".json"):
        return [_needed(url, asked)]
    base = base_of(url)
    found = [_needed(f"{base}/api/v2/{name}.json", asked) for name in ("components", "incidents")]
    if (maintenances := asked.document(f"{base}/api/v2/scheduled-maintenances.json")) is not None:
        found.append(as_file(f"{base}/api/v2/scheduled-maintenances.json", maintenances))
    known = {str(row.get("id")) for file in found for _, row in _records(file, {}, Page(NAME))}
    for code in _older(base, asked):
        if code not in known and CODE.fullmatch(code):
            known.add(code)
            found.append(_needed(f"{base}/incidents/{code}.json", asked))
    return found


def _needed(url: str, asked: Asked) -> File:
    document = asked.document(url)
    if document is None:
        raise Refused(f"{url} is not there.")
    return as_file(url, document)


def _older(base: str, asked: Asked) -> Iterator[str]:
    """The codes of its history, three months at a time, until two years in a row are empty."""
    number = empty = 0
    while empty < QUIET_PAGES:
        number += 1
        document = asked.document(f"{base}/history.json?page={number}")
        if not isinstance(document, dict):
            return
        months = words.rows(document.get("months"), "months")
        codes = [str(row.get("code")) for month in months for row in words.rows(month.get("incidents"), "incidents")]
        empty = 0 if codes else empty + 1
        yield from codes


def read(files: list[File], zone: ZoneInfo) -> Page:
    page = Page(NAME, rules=RULES)
    components: dict[str, dict[str, Any]] = {}
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for file in files:
        for where, row in _records(file, components, page):
            known = found.get(str(row.get("id")))
            if known is None or str(row.get("updated_at")) > str(known[1].get("updated_at")):
                found[str(row.get("id"))] = where, row
    _read_components(components, page, zone)
    for where, row in reversed(found.values()):  # lists begin with the newest
        _read_one(where, row, page, zone)
    return page


def _documents(file: File) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each object of a file with where it stands. Lines that are no object are left to `_records`."""
    try:
        whole = json.loads(file.data)
    except (ValueError, RecursionError):
        for number, line in enumerate(file.data.splitlines(), start=1):
            if line.strip():
                yield f"{file.name} line {number}", _object_or_nothing(line)
        return
    for number, row in enumerate(whole if isinstance(whole, list) else [whole], start=1):
        where = f"{file.name} record {number}" if isinstance(whole, list) else file.name
        yield where, row if isinstance(row, dict) else {}


def _object_or_nothing(line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return row if isinstance(row, dict) else {}


def _records(file: File, components: dict[str, Any], page: Page) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every incident and maintenance of a file; components are collected on the way."""
    for where, document in _documents(file):
        if not any(key in document for key in PARTS):
            page.refused.append(Refusal(where, "", "this is no document of Statuspage's API."))
        elif "incident_updates" in document:
            yield where, document
        else:
            yield from _listed(where, document, components, page)


def _listed(
    where: str, document: dict[str, Any], components: dict[str, Any], page: Page
) -> Iterator[tuple[str, dict[str, Any]]]:
    for row in _rows(document, "components", where, page):
        components[str(row.get("id"))] = row
    if isinstance(document.get("incident"), dict):
        yield where, document["incident"]
    for key in ("incidents", "scheduled_maintenances"):
        for number, row in enumerate(_rows(document, key, where, page), start=1):
            yield f"{where} {key} {number}", row


def _rows(document: dict[str, Any], key: str, where: str, page: Page) -> list[dict[str, Any]]:
    try:
        return words.rows(document.get(key), key)
    except Refused as refusal:
        page.refused.append(Refusal(where, key, str(refusal)))
        return []


def _read_components(components: dict[str, dict[str, Any]], page: Page, zone: ZoneInfo) -> None:
    for id, row in components.items():
        try:
            created_at = words.instant(row.get("created_at"), zone)
            name = words.line(row.get("name"), 80)
        except Refused as refusal:
            page.refused.append(Refusal(f"component {id}", str(row.get("name")), str(refusal)))
            continue
        position = words.number(row.get("position"))
        if row.get("group") is True:
            page.groups.append(Group(id, name, position, created_at))
        else:
            description = words.line(row.get("description"), 200)
            page.parts.append(Part(id, name, str(row.get("group_id") or ""), description, position, created_at))


def _read_one(where: str, row: dict[str, Any], page: Page, zone: ZoneInfo) -> None:
    title = words.line(row.get("name"))
    try:
        if row.get("impact") == "maintenance" or row.get("status") in MAINTENANCE:
            page.works.append(_work(where, title, row, zone))
        else:
            page.incidents.append(_incident(where, title, row, zone))
    except Refused as refusal:
        page.refused.append(Refusal(where, f"{row.get('id')} {title}"[:80], str(refusal)))
        return
    known = {part.id for part in page.parts}
    unknown = {id: part for id, part in _named(row, zone).items() if id not in known}
    page.parts += unknown.values()


def _named(row: dict[str, Any], zone: ZoneInfo) -> dict[str, Part]:
    """The components an incident brings with it."""
    return {
        str(part["id"]): Part(
            str(part["id"]),
            words.line(part["name"], 80),
            str(part.get("group_id") or ""),
            words.line(part.get("description"), 200),
            words.number(part.get("position")),
            words.instant(part.get("created_at"), zone),
        )
        for part in words.rows(row.get("components"), "components")
        if part.get("id") and part.get("name") and part.get("group") is not True
    }


def _incident(where: str, title: str, row: dict[str, Any], zone: ZoneInfo) -> Incident:
    if not row.get("id"):
        raise Refused("it has no id.")
    status = _status(row.get("status"))
    updates = [_update(said, zone) for said in reversed(words.rows(row.get("incident_updates"), "incident_updates"))]
    resolved_at = words.instant(row.get("resolved_at"), zone)
    if status == Status.RESOLVED and not any(update.status == status for update in updates):
        resolved_at = resolved_at or words.instant(row.get("updated_at"), zone)
    return incident_of(
        id=str(row["id"]),
        where=where,
        title=title,
        updates=updates,
        started_at=words.instant(row.get("started_at"), zone),
        created_at=words.instant(row.get("created_at"), zone),
        resolved_at=resolved_at,
        is_open=status != Status.RESOLVED,
        impact=_impact(row.get("impact")),
        hits=_hits(_named(row, zone), updates),
    )


def _work(where: str, title: str, row: dict[str, Any], zone: ZoneInfo) -> Work:
    if not row.get("id"):
        raise Refused("it has no id.")
    if row.get("status") != Maintenance.Status.COMPLETED:
        raise Refused("it is a maintenance that is not over. Plan it here, so that people are told of it.")
    rows = words.rows(row.get("incident_updates"), "incident_updates")
    updates = [_update(said, zone, Maintenance.Status.values) for said in reversed(rows)]
    updates.sort(key=lambda update: update.said_at)
    if not updates:
        raise Refused("it has no updates.")
    began = [update.said_at for update in updates if update.status == Maintenance.Status.IN_PROGRESS]
    starts_at = words.needed(row.get("scheduled_for"), zone, "when it was planned for (scheduled_for)")
    ended_at = words.instant(row.get("resolved_at"), zone) or updates[-1].said_at
    return Work(
        id=str(row["id"]),
        where=where,
        title=title,
        updates=tuple(updates),
        starts_at=starts_at,
        ends_at=words.needed(row.get("scheduled_until"), zone, "until when it was planned (scheduled_until)"),
        started_at=began[0] if began else starts_at,
        ended_at=ended_at,
        created_at=words.instant(row.get("created_at"), zone) or updates[0].recorded_at,
        parts=tuple(_named(row, zone)),
    )


def _status(value: Any) -> str:
    try:
        return STATUSES[value]
    except (KeyError, TypeError):
        raise Refused(f"its stage {str(value)[:40]!r} is unknown.") from None


def _impact(value: Any) -> str | None:
    if value is None:
        return None
    if value not in Impact.values:
        raise Refused(f"its impact {str(value)[:40]!r} is unknown.")
    return str(value)


def _update(row: dict[str, Any], zone: ZoneInfo, stages: Collection[str] = ()) -> Said:
    """One update; its stage is one of `stages`, or of an incident's."""
    recorded_at = words.instant(row.get("created_at"), zone)
    said_at = words.instant(row.get("display_at"), zone) or recorded_at
    if said_at is None:
        raise Refused("an update does not say when it was.")
    changes = words.rows(row.get("affected_components"), "affected_components")
    return Said(
        id=str(row.get("id") or ""),
        status=row["status"] if row.get("status") in stages else _status(row.get("status")),
        body=words.prose(row.get("body")),
        said_at=said_at,
        recorded_at=recorded_at or said_at,
        changes=tuple(_change(change) for change in changes if change.get("code")),
    )


def _change(row: dict[str, Any]) -> Change:
    was, now = row.get("old_status"), row.get("new_status")
    if was not in State.values or now not in State.values:
        raise Refused(f"a component goes from {str(was)[:40]!r} to {str(now)[:40]!r}; one of them is no state.")
    return Change(str(row["code"]), words.line(row.get("name")), was, now)


def _hits(named: dict[str, Part], updates: list[Said]) -> dict[str, str | None]:
    """The worst state each named component came into; None where no update says."""
    states: dict[str, list[str]] = {id: [] for id in named}
    for update in updates:
        for change in update.changes:
            if change.part in states:
                states[change.part].append(change.now)
    return {id: worst(*found) if found else None for id, found in states.items()}
