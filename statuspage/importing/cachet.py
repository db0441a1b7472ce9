"""Cachet 2 and 3: a dump of its database, or the answers of its interface as files or by address.

All become rows of one shape first, that of the tables: `groups`, `components`, `incidents`, `updates`, `links`.
What only signed-in people saw there, what was hidden and what was deleted stays where it is.
"""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from irportal.refused import Refused
from statuspage.importing import sql, words
from statuspage.importing.shape import File, Group, Incident, Page, Part, Refusal, Said, State, Status
from statuspage.importing.shape import incident as incident_of
from statuspage.importing.sources import Asked, as_file, base_of

NAME = "cachet"
STAGES = {1: Status.INVESTIGATING, 2: Status.IDENTIFIED, 3: Status.MONITORING, 4: Status.RESOLVED}
STATES = {1: State.OPERATIONAL, 2: State.DEGRADED_PERFORMANCE, 3: State.PARTIAL_OUTAGE, 4: State.MAJOR_OUTAGE}
GUESTS = 1  # who may see it: everybody
SCHEDULED = 0
RULES = [
    "Watching is monitoring, fixed is resolved; performance issues are degraded performance.",
    "Cachet keeps no impact: it follows from the worst state an incident gives a component; none when it gives none.",
    "Cachet overwrites the stage of its first text: it counts as investigating when more follows. "
    "An incident that was fixed without another text was resolved when it was last changed.",
]
PAGES, A_PAGE = 500, 100
TABLES = {
    "component_groups": "groups",
    "components": "components",
    "incidents": "incidents",
    "incident_updates": "updates",
    "updates": "updates",
    "incident_components": "links",
}


@dataclass
class Rows:
    """Rows with where they stand; every key as the newest tables name it."""

    groups: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    components: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    incidents: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    updates: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    links: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    seen: set[tuple[str, str]] = field(default_factory=set)

    def add(self, kind: str, where: str, row: dict[str, Any]) -> None:
        """Keep a row, the first time it is met: answers repeat what belongs to others."""
        id = str(row.get("id"))
        if kind == "links" or (kind, id) not in self.seen:
            self.seen.add((kind, id))
            getattr(self, kind).append((where, row))


def knows(file: File) -> bool:
    """Whether this is one of its dumps or answers."""
    if file.name.endswith(".sql"):
        return b"component_groups" in file.data and b"incidents" in file.data
    try:
        document = json.loads(file.data)
    except (ValueError, RecursionError):
        return False
    listed = document.get("data") if isinstance(document, dict) else None
    return isinstance(listed, list) and bool(listed) and all(isinstance(row, dict) and _kind_of(row) for row in listed)


def fetch(url: str, asked: Asked) -> list[File]:
    """All answers that count, of version 2 (`/api/v1`) or 3 (`/api`)."""
    base, path = base_of(url), urlsplit(url).path.rstrip("/")
    start = base + (path if path.endswith(("/api", "/api/v1")) else path + "/api/v1")
    if not path.endswith("/api") and asked.document(f"{start}/ping") is None:
        start = start.removesuffix("/v1")
    if start.endswith("/v1"):
        names = {"components/groups": "", "components": "", "incidents": ""}
    else:
        names = {"component-groups": "", "components": "&include=group", "incidents": "&include=components,updates"}
    return [file for name, more in names.items() for file in _pages(f"{start}/{name}", more, asked)]


def _pages(url: str, more: str, asked: Asked) -> Iterable[File]:
    for number in range(1, PAGES + 1):
        document = asked.document(f"{url}?per_page={A_PAGE}&page={number}{more}")
        if not isinstance(document, dict) or not isinstance(document.get("data"), list):
            raise Refused(f"{url} does not answer as Cachet does.")
        yield as_file(f"{url}/{number}", document)
        if not document["data"] or not _goes_on(document):
            return


def _goes_on(document: dict[str, Any]) -> bool:
    """Whether another page follows: version 2 says so in `meta.pagination`, version 3 in `links`."""
    links = document.get("links") or {}
    for key in ("meta", "pagination", "links"):
        document = document.get(key) if isinstance(document.get(key), dict) else {}  # type: ignore[assignment]
    return bool(document.get("next_page") or (isinstance(links, dict) and links.get("next")))


def read(files: list[File], zone: ZoneInfo) -> Page:
    page, found = Page(NAME, rules=RULES), Rows()
    for file in files:
        (_collect_dump if file.name.endswith(".sql") else _collect_answer)(file, found, page)
    hidden = _read_groups(found, page, zone)
    _read_components(found, hidden, page, zone)
    updates, links, known = _by_incident(found.updates), _by_incident(found.links), {part.id for part in page.parts}
    for where, row in found.incidents:
        id = str(row.get("id"))
        try:
            hits = {part: state for part, state in _hits(row, links[id]).items() if part in known}
            page.incidents.append(_incident(where, row, updates[id], hits, zone))
        except Refused as refusal:
            what = f"{row.get('id')} {str(row.get('name'))[:60]}"
            page.refused.append(Refusal(where, what, str(refusal)))
    return page


# Collecting


def _collect_dump(file: File, found: Rows, page: Page) -> None:
    prefix = ""
    rows = list(sql.rows(file.data.decode(errors="replace")))
    for row in rows:
        if row.table.endswith("component_groups"):
            prefix = row.table.removesuffix("component_groups")
    for row in rows:
        if kind := TABLES.get(row.table.removeprefix(prefix)):
            found.add(kind, f"{file.name} line {row.line}", row.values)
    if not found.incidents:
        page.refused.append(Refusal(file.name, "", "it holds no rows of a table of incidents with known columns."))


def _kind_of(row: dict[str, Any]) -> str | None:
    """What a row of an answer is: version 3 says so, of version 2 the keys do."""
    kinds = {"componentGroups": "groups", "components": "components", "incidents": "incidents", "updates": "updates"}
    if isinstance(row.get("attributes"), dict):
        return kinds.get(str(row.get("type")), "other")
    if "message" in row and "status" in row:
        return "updates" if "incident_id" in row else "incidents"
    if "collapsed" in row or "enabled_components" in row:
        return "groups"
    return "components" if "link" in row and "status" in row else None


def _collect_answer(file: File, found: Rows, page: Page) -> None:
    try:
        document = words.as_object(words.as_json(file.data))
        listed = words.rows(document.get("data"), "data") + words.rows(document.get("included"), "included")
    except Refused as refusal:
        page.refused.append(Refusal(file.name, "", str(refusal)))
        return
    for number, row in enumerate(listed, start=1):
        where = f"{file.name} record {number}"
        kind = _kind_of(row)
        if kind is None:
            page.refused.append(Refusal(where, "", "this is nothing of Cachet's."))
        elif kind != "other":
            try:
                _collect_row(where, kind, _flat(row), found)
            except Refused as refusal:
                page.refused.append(Refusal(where, str(row.get("id")), str(refusal)))


def _collect_row(where: str, kind: str, row: dict[str, Any], found: Rows) -> None:
    found.add(kind, where, row)
    for update in words.rows(row.get("updates"), "updates"):
        found.add("updates", where, update)
    for component in row.get("component_ids", []):
        found.add("links", where, {"incident_id": row.get("id"), "component_id": component})


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """A row of version 3 as its table would have it; one of version 2 as it is."""
    if not isinstance(row.get("attributes"), dict):
        return row
    flat: dict[str, Any] = {"id": row.get("id")}
    for key, value in row["attributes"].items():
        if isinstance(value, dict) and "value" in value:
            value = value["value"]
        elif isinstance(value, dict) and "string" in value:
            key, value = f"{key}_at", value["string"]
        flat[key] = value
    related = row.get("relationships") if isinstance(row.get("relationships"), dict) else {}
    flat["component_ids"] = [one.get("id") for one in _related(related, "components")]
    flat["updates"] = None
    for one in _related(related, "group"):
        flat["component_group_id"] = one.get("id")
    return flat


def _related(related: Any, name: str) -> list[dict[str, Any]]:
    data = related.get(name, {}).get("data") if isinstance(related.get(name), dict) else None
    return [one for one in (data if isinstance(data, list) else [data]) if isinstance(one, dict)]


# Reading


def _read_groups(found: Rows, page: Page, zone: ZoneInfo) -> set[str]:
    """Read the groups; the ids of those that not everybody saw."""
    hidden = set()
    for where, row in found.groups:
        if _number(row.get("visible"), GUESTS) != GUESTS or row.get("deleted_at"):
            hidden.add(str(row.get("id")))
            page.refused.append(Refusal(where, f"group {row.get('id')}", "not everybody saw it."))
        elif made := _made(where, row, page, zone):
            page.groups.append(Group(*made))
    return hidden


def _read_components(found: Rows, hidden: set[str], page: Page, zone: ZoneInfo) -> None:
    for where, row in found.components:
        group = str(row.get("component_group_id") or row.get("group_id") or "")
        group = "" if group == "0" else group
        if _number(row.get("enabled"), 1) != 1 or row.get("deleted_at") or group in hidden:
            page.refused.append(Refusal(where, f"component {row.get('id')}", "not everybody saw it."))
        elif made := _made(where, row, page, zone):
            id, name, position, created_at = made
            page.parts.append(Part(id, name, group, words.line(row.get("description"), 200), position, created_at))


def _made(where: str, row: dict[str, Any], page: Page, zone: ZoneInfo) -> tuple[str, str, int, Any] | None:
    """Id, name, position and beginning of a group or component, or None when it is refused."""
    try:
        name = words.line(row.get("name"), 80)
        if not name or row.get("id") is None:
            raise Refused("it has no name or no id.")
        return str(row["id"]), name, words.number(row.get("order")), words.instant(row.get("created_at"), zone)
    except Refused as refusal:
        page.refused.append(Refusal(where, str(row.get("id")), str(refusal)))
        return None


def _by_incident(rows: list[tuple[str, dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Rows by the id of their incident. Version 3 keeps updates of maintenances in the same table."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for _, row in rows:
        if "updateable_id" not in row:
            found[str(row.get("incident_id"))].append(row)
        elif str(row.get("updateable_type")).lower().endswith("incident"):
            found[str(row["updateable_id"])].append(row)
    return found


def _incident(
    where: str, row: dict[str, Any], updates: list[dict[str, Any]], hits: dict[str, str | None], zone: ZoneInfo
) -> Incident:
    if _number(row.get("visible"), GUESTS) != GUESTS or row.get("deleted_at"):
        raise Refused("not everybody saw it.")
    if row.get("status") is not None and _number(row["status"], -1) == SCHEDULED:
        raise Refused("it is a maintenance; those are not taken over.")
    more = sorted((_update(update, zone) for update in updates), key=lambda update: update.said_at)
    stage = more[-1].status if more else _stage(row.get("status"))
    first = _first(row, Status.INVESTIGATING if more or stage == Status.RESOLVED else stage, zone)
    resolved_at = None
    if stage == Status.RESOLVED and not more:
        resolved_at = max(first.said_at, words.instant(row.get("updated_at"), zone) or first.said_at)
    return incident_of(
        id=str(row["id"]),
        where=where,
        title=words.line(row.get("name")),
        updates=[first, *more],
        started_at=first.said_at,
        created_at=first.recorded_at,
        resolved_at=resolved_at,
        is_open=stage != Status.RESOLVED,
        impact=None,
        hits=hits,
    )


def _first(row: dict[str, Any], status: str, zone: ZoneInfo) -> Said:
    """The incident's own text."""
    recorded_at = words.needed(row.get("created_at") or row.get("occurred_at"), zone, "when it was")
    said_at = words.instant(row.get("occurred_at"), zone) or recorded_at
    return Said(f"incident-{row['id']}", status, words.prose(row.get("message")), said_at, recorded_at)


def _update(row: dict[str, Any], zone: ZoneInfo) -> Said:
    at = words.needed(row.get("created_at"), zone, "when an update of it was")
    return Said(f"update-{row.get('id')}", _stage(row.get("status")), words.prose(row.get("message")), at, at)


def _hits(row: dict[str, Any], links: list[dict[str, Any]]) -> dict[str, str | None]:
    """The components it names, with the states it gave them."""
    states: dict[str, str | None] = {}
    if row.get("component_id"):
        states[str(row["component_id"])] = None
    for link in links:
        given = _number(link.get("component_status", link.get("status_id", link.get("status"))), -1)
        states[str(link.get("component_id"))] = STATES.get(given)
    return states


def _stage(value: Any) -> str:
    if _number(value, -1) not in STAGES:
        raise Refused(f"its stage {value} is unknown.")
    return STAGES[_number(value, -1)]


def _number(value: Any, default: int) -> int:
    """A small number however it is written: dumps and answers have 1, "1" and true."""
    try:
        return default if value is None else int(value)
    except (TypeError, ValueError):
        return -1
