"""Upptime: the issues of its repository as JSON, its `.upptimerc.yml` and its `history/*.yml`.

Issues as `gh issue list --json number,title,body,state,createdAt,closedAt,labels,comments` or GitHub's interface
write them. Labels name the site by its slug.
"""

import json
import re
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import yaml

from irportal.refused import Refused
from statuspage.importing import words
from statuspage.importing.shape import File, Incident, Page, Part, Refusal, Said, State, Status
from statuspage.importing.shape import incident as incident_of

NAME = "upptime"
RULES = [
    "A site that is down is a major outage and critical, one with degraded performance is degraded and minor.",
    "A comment that begins with Resolved ends an issue, else the instant it was closed at.",
]
LABEL, MAINTENANCE = "status", "maintenance"
DEGRADED = re.compile(r"degraded", re.IGNORECASE)
DOWN = re.compile(r"\b(?:is|was) \**down\b", re.IGNORECASE)
RESOLVED = re.compile(r"\A\W*(?:resolved|fixed)\b", re.IGNORECASE)
MARKS = "🛑🟥🟨🟩⚠️ "


def knows(file: File) -> bool:
    """Whether this is one of its files."""
    if file.name.rpartition("/")[2].startswith(".upptimerc"):
        return True
    try:
        rows = json.loads(file.data) if file.name.endswith(".json") else None
    except (ValueError, RecursionError):
        return False
    return (
        isinstance(rows, list)
        and bool(rows)
        and all(isinstance(r, dict) and "number" in r and "labels" in r for r in rows)
    )


def read(files: list[File], zone: ZoneInfo) -> Page:
    page, began = Page(NAME, rules=RULES), _beginnings(files, zone)
    for file in files:
        if file.name.rpartition("/")[2].startswith(".upptimerc"):
            _read_sites(file, page, began)
    for file in files:
        if file.name.endswith(".json") and knows(file):
            for number, row in enumerate(json.loads(file.data), start=1):
                _read_issue(f"{file.name} record {number}", row, page, zone)
    return page


def _yaml(data: bytes) -> dict[str, Any]:
    try:
        found = yaml.safe_load(data)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise Refused("it is no YAML.") from None
    return found if isinstance(found, dict) else {}


def _beginnings(files: list[File], zone: ZoneInfo) -> dict[str, Any]:
    """Since when each site is watched, by its slug."""
    found = {}
    for file in files:
        folder, _, name = file.name.rpartition("/")
        if folder.rpartition("/")[2] == "history" and name.endswith(".yml"):
            try:
                found[name.removesuffix(".yml")] = words.instant(_yaml(file.data).get("startTime"), zone)
            except Refused:
                continue  # a site without a beginning begins with its first incident
    return found


def _read_sites(file: File, page: Page, began: dict[str, Any]) -> None:
    try:
        sites = words.rows(_yaml(file.data).get("sites"), "sites")
    except Refused as refusal:
        page.refused.append(Refusal(file.name, "", str(refusal)))
        return
    for number, site in enumerate(sites, start=1):
        if name := words.line(site.get("name"), 80):
            slug = str(site.get("slug") or _slug(name))
            page.parts.append(Part(slug, name, position=number, created_at=began.get(slug)))


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _read_issue(where: str, row: dict[str, Any], page: Page, zone: ZoneInfo) -> None:
    labels = {str(label.get("name") if isinstance(label, dict) else label) for label in row.get("labels") or []}
    if LABEL not in labels or "pull_request" in row:
        return
    try:
        if MAINTENANCE in labels:
            raise Refused("it is a maintenance; those are not taken over.")
        found = _incident(where, row, sorted(labels - {LABEL}), page, zone)
    except Refused as refusal:
        page.refused.append(Refusal(where, f"issue {row.get('number')} {str(row.get('title'))[:60]}", str(refusal)))
        return
    page.incidents.append(found)


def _incident(where: str, row: dict[str, Any], labels: list[str], page: Page, zone: ZoneInfo) -> Incident:
    title = words.line(row.get("title")).lstrip(MARKS)
    started_at = words.needed(row.get("createdAt") or row.get("created_at"), zone, "when it was opened")
    closed_at = words.instant(row.get("closedAt") or row.get("closed_at"), zone)
    known = {part.id for part in page.parts}
    state = State.DEGRADED_PERFORMANCE if DEGRADED.search(title) else State.MAJOR_OUTAGE
    is_measured = bool(DEGRADED.search(title) or DOWN.search(title))
    return incident_of(
        id=str(row["number"]),
        where=where,
        title=title,
        updates=[
            Said("issue", Status.INVESTIGATING, words.prose(row.get("body")) or title, started_at, started_at),
            *_comments(row, zone, closed_at),
        ],
        started_at=started_at,
        created_at=started_at,
        resolved_at=closed_at,
        is_open=closed_at is None,
        impact=None,
        hits={label: state if is_measured else None for label in labels if label in known},
    )


def _comments(row: dict[str, Any], zone: ZoneInfo, closed_at: datetime | None) -> list[Said]:
    """Its comments. Of a closed issue, the first that says so and all behind it are of the stage resolved."""
    if not isinstance(row.get("comments"), list):
        return []
    found: list[Said] = []
    status = Status.INVESTIGATING
    for comment in words.rows(row["comments"], "comments"):
        at = words.needed(comment.get("createdAt") or comment.get("created_at"), zone, "when a comment was written")
        body = words.prose(comment.get("body"))
        if closed_at and (RESOLVED.match(body) or at >= closed_at):
            status = Status.RESOLVED
        found.append(Said(f"comment-{comment.get('id') or len(found) + 1}", status, body, at, at))
    return found
