"""cState: `content/issues/*.md` with front matter, and `config.yml` with systems and their categories.

A file is one incident. Its text may hold several updates: those with `{{< track "instant" >}}`, each with its stage in
stars or brackets before it. Text without an instant is what was said first.
"""

import re
from typing import Any
from zoneinfo import ZoneInfo

import yaml

from irportal.refused import Refused
from statuspage.importing import words
from statuspage.importing.shape import File, Group, Impact, Incident, Page, Part, Refusal, Said, State, Status
from statuspage.importing.shape import incident as incident_of

NAME = "cstate"
RULES = [
    "Severity down is a major outage and critical, disrupted a partial outage and major, notice nothing down and none.",
    "A stage that is none of ours (or of fixed, watching, update) stays in the text and counts as the stage before it.",
]
FRONT = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)^---[ \t]*\r?$(.*)\Z", re.DOTALL | re.MULTILINE)
TRACK = re.compile(r"""\{\{[<%]\s*track\s+["']?([^"'>%]+?)["']?\s*[>%]\}\}""")
SHORTCODE = re.compile(r"\{\{[<%].*?[>%]\}\}", re.DOTALL)
STAGE = re.compile(r"\A\s*(?:\*{1,2}\[?|\[)([^*\[\]\n]{1,40}?):?(?:\]?\*{1,2}|\])\s*(?:[-–—:]\s*)?")
STAGES = {status.value: status for status in Status} | {
    "fixed": Status.RESOLVED,
    "completed": Status.RESOLVED,
    "watching": Status.MONITORING,
}
UPDATE = "update"
SEVERITIES = {
    "down": (Impact.CRITICAL, State.MAJOR_OUTAGE),
    "disrupted": (Impact.MAJOR, State.PARTIAL_OUTAGE),
    "notice": (Impact.NONE, State.OPERATIONAL),
}
LISTED = ("issues/", "incidents/", "incident/")
CONFIGS = ("config.yml", "config.yaml", "hugo.yml", "hugo.yaml")


def knows(file: File) -> bool:
    """Whether this is an incident of cState's."""
    front = FRONT.match(file.data.decode(errors="replace")) if file.name.endswith(".md") else None
    return bool(front and re.search(r"^section:\s*['\"]?issue", front[1], re.MULTILINE | re.IGNORECASE))


def read(files: list[File], zone: ZoneInfo) -> Page:
    page = Page(NAME, rules=RULES)
    for file in files:
        if file.name.rpartition("/")[2] in CONFIGS:
            _read_config(file, page)
    for file in files:
        if file.name.endswith(".md") and not file.name.endswith("_index.md"):
            try:
                _read_one(file, page, zone)
            except Refused as refusal:
                page.refused.append(Refusal(file.name, "", str(refusal)))
    return page


def _read_config(file: File, page: Page) -> None:
    try:
        params = _yaml(file.data).get("params")
        systems = words.rows((params or {}).get("systems"), "systems") if isinstance(params, dict) else []
        categories = words.rows((params or {}).get("categories"), "categories") if isinstance(params, dict) else []
    except Refused as refusal:
        page.refused.append(Refusal(file.name, "", str(refusal)))
        return
    names = [words.line(row.get("name"), 80) for row in categories]
    page.groups += [Group(name, name, number) for number, name in enumerate(filter(None, names), start=1)]
    for number, row in enumerate(systems, start=1):
        if name := words.line(row.get("name"), 80):
            group = words.line(row.get("category"), 80)
            page.parts.append(Part(name, name, group, words.line(row.get("description"), 200), number))


def _read_one(file: File, page: Page, zone: ZoneInfo) -> None:
    match = FRONT.match(file.data.decode(errors="replace"))
    if match is None:
        if file.name.startswith(LISTED) or any(f"/{folder}" in file.name for folder in LISTED):
            raise Refused("it has no front matter between lines of three dashes.")
        return
    front = {str(key).lower(): value for key, value in _yaml(match[1].encode()).items()}
    if str(front.get("section", "")).lower() != "issue":
        return
    if front.get("draft") is True:
        raise Refused("it is a draft.")
    found = _incident(file.name, front, match[2], zone)
    known = {part.id for part in page.parts}
    page.parts += [Part(name, name, position=len(known) + 1) for name in found.hits if name not in known]
    page.incidents.append(found)


def _yaml(data: bytes) -> dict[str, Any]:
    try:
        found = yaml.safe_load(data)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise Refused("its front matter is no YAML.") from None
    if not isinstance(found, dict):
        raise Refused("its front matter is no list of names and values.")
    return found


def _incident(name: str, front: dict[str, Any], text: str, zone: ZoneInfo) -> Incident:
    severity = str(front.get("severity") or "notice").lower()
    if severity not in SEVERITIES:
        raise Refused(f"its severity {severity[:40]!r} is unknown; it can be {', '.join(SEVERITIES)}.")
    impact, state = SEVERITIES[severity]
    started_at = words.needed(front.get("date"), zone, "when it began (date)")
    affected = front.get("affected") or []
    if not isinstance(affected, list):
        raise Refused("what it affected is not a list.")
    return incident_of(
        id=name.rpartition("/")[2].removesuffix(".md"),
        where=name,
        title=words.line(front.get("title")),
        updates=_updates(text, started_at, zone),
        started_at=started_at,
        created_at=started_at,
        resolved_at=words.instant(front.get("resolvedwhen"), zone),
        is_open=not _is_true(front.get("resolved")),
        impact=impact,
        hits={words.line(part, 80): state for part in affected if part},
    )


def _is_true(value: Any) -> bool:
    return value is True or str(value).lower() in ("true", "yes", "y", "on")


def _updates(text: str, started_at: Any, zone: ZoneInfo) -> list[Said]:
    """What was said, oldest first: the last text that stands above an instant was said then."""
    found, begins = [], 0
    text = words.COMMENT.sub("", text)
    for track in TRACK.finditer(text):
        found.append((text[begins : track.start()], words.needed(track[1], zone, "when an update was")))
        begins = track.end()
    rest = SHORTCODE.sub("", text[begins:])
    if words.prose(rest) or not found:
        found.append((rest, started_at))
    found.reverse()  # the newest stands first; what was said at the same instant keeps that order
    said: list[Said] = []
    for part, at in sorted(found, key=lambda one: one[1]):
        status, body = _stage(SHORTCODE.sub("", part), said[-1].status if said else Status.INVESTIGATING)
        said.append(Said("", status, body, at, at))
    return said


def _stage(text: str, before: str) -> tuple[str, str]:
    """The stage a text begins with and the text without it."""
    match = STAGE.match(text)
    word = match[1].strip().lower() if match else ""
    if match and (word in STAGES or word == UPDATE):
        return STAGES.get(word, Status(before)), words.prose(text[match.end() :])
    return before, words.prose(text)
