"""A policy as a document: what a profile file may say, what is wrong in which line, its one normal form. Pure."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

import yaml

from incidents.policy.matrix import AUDIENCES, EARLIEST_LAW, UNITS
from irportal.refused import Refused

RANKS = (1, 2, 3, 4)
ROLES = (
    *("incident_commander", "technical_lead", "ai_lead", "security_lead", "comms_lead", "legal_lead"),
    *("customer_trust", "executive_sponsor", "management", "owning_team", "scribe", "privacy_lead"),
    *("compliance_lead", "backup_on_call"),
)
CLASSES = {
    "customers": ("status_update", "incident_notice", "breach_notice"),
    "regulators": ("regulator_decision",),
    "public": ("status_page", "public_statement"),
    "internal": ("internal_update", "internal_summary", "board_notice"),
}
APPROVED = (
    *("status_update", "incident_notice", "breach_notice", "regulator_filing"),
    *("public_statement", "postmortem_public"),
)
MODES = {
    "required": "Required",
    "if_affected": "If affected",
    "if_over_threshold": "If over the agreed threshold",
    "if_material": "If material",
    "if_public_component_down": "If a public component is down",
    "decide": "Decide",
    "decide_if_data_or_ai_harm": "Decide, for data or AI harm",
    "optional": "Optional",
    "optional_if_affected": "Optional, if affected",
    "none": "None",
}
SCOPES = {
    "all": "Everybody",
    "affected": "Those affected",
    "outage_all": "Everybody in an outage, else those affected",
    "owning_team": "Owning team",
}
SIGNALS = {
    "error_rate_percent": "Error rate, %",
    "p95_ms": "P95 latency, ms",
    "p99_over_baseline_ratio": "P99 latency, times its baseline",
    "cost_percent_of_daily_average": "Cost, % of the daily average",
    "consecutive_failed_health_checks": "Failed health checks in a row",
}
CHECKPOINTS = {
    "classified": "Classified",
    "first_containment": "First containment",
    "evidence_snapshot": "Evidence secured",
    "stabilised": "Stabilised, internal update sent",
    "contained": "Contained",
    "resolved": "Resolved",
}
LENGTH, AMOUNT = re.compile(r"\d{1,4}[mhd]"), re.compile(r"\d{1,4}[mhd]|[1-9]\d?bd_end|day_end")
LONGEST_FILE = 200_000
Path = tuple[str | int, ...]
Document = dict[str, Any]


class Fault(NamedTuple):
    """One thing that is wrong: where, why, and in which line where it was read from a file."""

    path: Path
    why: str
    line: int = 0

    def __str__(self) -> str:
        said = ": ".join(filter(None, [where(self.path), self.why]))
        return f"Line {self.line}: {said}" if self.line else said


class Bad(Refused):
    """A document that cannot be a policy; says every fault."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = sorted(faults, key=lambda fault: fault.line)
        super().__init__("\n".join(map(str, self.faults)))


def where(path: Path) -> str:
    """A place in words: `matrix, severity 1, customers, duties 2, every`."""
    words: list[str] = []
    for step in path:
        if not isinstance(step, int):
            words.append(step)
        elif words and (words[-1] in LISTS or words[-1].startswith("severity ")):
            words.append(f"no. {step + 1}")
        else:
            words.append(f"severity {step}")
    return ", ".join(words)


LISTS = {"duties", "definitions", "thresholds", "conditions", "ticks", *APPROVED}


# Reading: a file becomes plain values, each with its line


@lru_cache(maxsize=16)
def _tree(text: str) -> tuple[Any, dict[Path, int]]:
    lines: dict[Path, int] = {}
    return _plain(yaml.compose(text, Loader=yaml.SafeLoader), (), lines), lines


def read(text: str) -> Document:
    """The normal form of a profile file. Raises Bad with every fault and its line."""
    if len(text) > LONGEST_FILE:
        raise Bad([Fault((), f"The file is longer than {LONGEST_FILE} characters; that is no profile.", 1)])
    try:
        data, lines = _tree(text)
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        why = f"This is not YAML: {problem.problem or problem.context}."
        raise Bad([Fault((), why, mark.line + 1 if mark else 1)]) from None
    except yaml.reader.ReaderError:
        raise Bad([Fault((), "A character in it is not text.", 1)]) from None
    except RecursionError:
        raise Bad([Fault((), "It is nested too deeply.", 1)]) from None
    try:
        return checked(data, file=True)
    except Bad as bad:
        raise Bad(fault._replace(line=_line(lines, fault.path)) for fault in bad.faults) from None


def _line(lines: dict[Path, int], path: Path) -> int:
    return next((lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in lines), 1)


class Twice(dict[Any, Any]):
    """A mapping of a file that names some of its keys twice."""

    keys_twice: frozenset[Any] = frozenset()


def _plain(node: yaml.Node | None, path: Path, lines: dict[Path, int]) -> Any:
    """The node as plain values. Dates and clock times stay text: YAML would make numbers of them."""
    if isinstance(node, yaml.MappingNode):
        found, twice = Twice(), set()
        for key_node, value_node in node.value:
            key = _plain(key_node, (), {}) if isinstance(key_node, yaml.ScalarNode) else "?"
            lines[*path, key] = key_node.start_mark.line + 1
            twice |= {key} & found.keys()
            found[key] = _plain(value_node, (*path, key), lines)
        found.keys_twice = frozenset(twice)
        return found
    if isinstance(node, yaml.SequenceNode):
        for n, item in enumerate(node.value):
            lines[*path, n] = item.start_mark.line + 1
        return [_plain(item, (*path, n), lines) for n, item in enumerate(node.value)]
    return _scalar(node) if isinstance(node, yaml.ScalarNode) else None


def _scalar(node: yaml.ScalarNode) -> Any:
    kind = node.tag.rpartition(":")[2]
    if kind == "null":
        return None
    if kind == "bool":
        return node.value.lower() in ("true", "yes", "on")
    if kind in ("int", "float") and re.fullmatch(r"-?\d{1,9}(\.\d{1,9})?", node.value):
        return int(node.value) if "." not in node.value else float(node.value)
    return node.value


# What may stand where. A reader gives back the normal form, or notes what is wrong.


@dataclass
class Place:
    path: Path = ()
    faults: list[Fault] = field(default_factory=list)

    def at(self, key: str | int) -> "Place":
        return Place((*self.path, key), self.faults)

    def wrong(self, why: str) -> None:
        self.faults.append(Fault(self.path, why))


Reader = Callable[[Place, Any], Any]


def shown(value: Any) -> str:
    text = repr(value) if not isinstance(value, dict | list) else "a list" if isinstance(value, list) else "a group"
    return text if len(text) <= 40 else f"{text[:37]}..."


def text(most: int) -> Reader:
    def read_text(place: Place, value: Any) -> Any:
        if not isinstance(value, str) or not value.strip():
            return place.wrong(f"Write words here, not {shown(value)}; put quotes around what looks like a number.")
        said = value.strip()
        if not said.isprintable():
            return place.wrong("Write it in one line of plain text.")
        return said if len(said) <= most else place.wrong(f"That is {len(said)} characters long; at most {most} fit.")

    return read_text


def a_time(pattern: re.Pattern[str], example: str) -> Reader:
    def read_time(place: Place, value: Any) -> Any:
        if isinstance(value, str) and pattern.fullmatch(value):
            return value
        return place.wrong(f"{shown(value)} is not a length of time; write {example}.")

    return read_time


length, amount = a_time(LENGTH, "30m, 24h or 3d"), a_time(AMOUNT, "30m, 24h, 3d, 1bd_end or day_end")


def more_than_nothing(place: Place, value: Any) -> Any:
    found = length(place, value)
    return found if not found or int(found[:-1]) else place.wrong("Write at least one minute.")


def whole_minutes(place: Place, value: Any) -> Any:
    found = length(place, value)
    return found and in_minutes(minutes(found))


def whole(least: int, most: int) -> Reader:
    def read_whole(place: Place, value: Any) -> Any:
        fits = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
        return value if fits else place.wrong(f"Write a whole number from {least} to {most}, not {shown(value)}.")

    return read_whole


def above(place: Place, value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.001 <= value <= 999_999:
        return place.wrong(f"Write a number above 0, up to 999999, not {shown(value)}.")
    return number(value)


def yes_or_no(place: Place, value: Any) -> Any:
    return value if isinstance(value, bool) else place.wrong(f"Write true or false, not {shown(value)}.")


def clock(place: Place, value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value):
        return value
    return place.wrong(f"{shown(value)} is not a time of day; write 17:00.")


def instant(place: Place, value: Any) -> Any:
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else value
        if at.tzinfo:
            return stamp(at)
    except (ValueError, AttributeError, OverflowError):
        pass
    return place.wrong(f"{shown(value)} is not a moment; write 2026-03-02T14:30:00Z, with its zone.")


def slug(place: Place, value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(r"[a-z0-9](?:[a-z0-9-]{0,48}[a-z0-9])?", value):
        return value
    return place.wrong(f"{shown(value)} is not a name of a profile; write small letters, digits and dashes.")


def one_of(names: Iterable[Any]) -> Reader:
    known = list(names)

    def read_one(place: Place, value: Any) -> Any:
        if not isinstance(value, bool | dict | list) and value in known:
            return value
        return place.wrong(f"{shown(value)} is not known here; choose among {', '.join(map(str, known))}.")

    return read_one


def _step(key: Any) -> str | int:
    return key if isinstance(key, str | int) else str(key)


def several(reader: Reader, *, once: bool = False) -> Reader:
    def read_several(place: Place, value: Any) -> Any:
        if not isinstance(value, list):
            return place.wrong(f"Write a list here, not {shown(value)}.")
        found = [reader(place.at(n), item) for n, item in enumerate(value)]
        if once and (twice := [item for n, item in enumerate(found) if item is not None and item in found[:n]]):
            place.wrong(f"{twice[0]} stands here twice.")
        return [item for item in found if item is not None]

    return read_several


def by(names: Iterable[Any], reader: Reader) -> Reader:
    known = list(names)

    def read_by(place: Place, value: Any) -> Any:
        if not isinstance(value, dict):
            return place.wrong(f"Write a group of names and values here, not {shown(value)}.")
        for key in getattr(value, "keys_twice", ()):
            place.at(key).wrong("It stands here twice.")
        for key in value.keys() - set(known):
            place.at(_step(key)).wrong(f"No such part; choose among {', '.join(map(str, known))}.")
        found = {key: reader(place.at(key), value[key]) for key in known if key in value}
        return {key: item for key, item in found.items() if item or item == 0}

    return read_by


def parts(readers: dict[str, Reader], *, needed: Iterable[str] = (), usual: Document | None = None) -> Reader:
    """A group of named parts. What is empty, or as usual, is left out of the normal form."""
    plain = usual or {}

    def read_parts(place: Place, value: Any) -> Any:
        if not isinstance(value, dict):
            return place.wrong(f"Write a group of names and values here, not {shown(value)}.")
        for key in getattr(value, "keys_twice", ()):
            place.at(key).wrong("It stands here twice.")
        for key in value.keys() - readers.keys():
            place.at(_step(key)).wrong(f"No such part; there are {', '.join(readers)}.")
        said = {key: item for key, item in value.items() if item not in (None, "")}
        for key in (key for key in needed if key not in said):
            place.wrong(f"{key} is missing.")
        found = {key: reader(place.at(key), said[key]) for key, reader in readers.items() if key in said}
        return {key: item for key, item in found.items() if (item != plain[key] if key in plain else item)}

    return read_parts


def by_rank(reader: Reader) -> Reader:
    return by(RANKS, reader)


a_role = one_of(ROLES)
SEVERITY = parts(
    {
        "label": text(10),
        "name": text(30),
        "acknowledge": amount,
        "page_within": length,
        "contain": amount,
        "resolve": amount,
        "definitions": several(text(200)),
        "enabled": yes_or_no,
    },
    needed=["label"],
    usual={"enabled": True},
)
DUTY_PARTS: dict[str, Reader] = {
    "class": one_of([name for names in CLASSES.values() for name in names]),
    "mode": one_of(MODES),
    "first": amount,
    "first_if_data_or_ai_harm": amount,
    "first_if_short_clock": amount,
    "or_earlier": one_of([EARLIEST_LAW]),
    "every": more_than_nothing,
    "daily_once_contained": clock,
    "close": amount,
    "when": one_of(["personal_data"]),
    "holding": yes_or_no,
}
DUTY = parts(DUTY_PARTS, needed=["class"])
CELL = parts(
    {
        "mode": one_of(MODES),
        "scope": one_of(SCOPES),
        "override": one_of(["reason_required"]),
        "note": text(120),
        "duties": several(DUTY),
    },
    needed=["mode"],
    usual={"scope": "all"},
)
THRESHOLD = parts({"signal": one_of(SIGNALS), "gt": above, "suggests": one_of(RANKS)}, needed=["signal", "gt"])
GATE = parts(
    {
        "monitoring": whole_minutes,
        "conditions": several(text(120), once=True),
        "ticks": several(text(120), once=True),
    }
)
PROFILE = parts(
    {
        "profile": slug,
        "version": whole(1, 9999),
        "change_note": text(300),
        "effective_from": instant,
        "grace": whole_minutes,
        "holding_max_consecutive": whole(0, 10),
        "customer_threshold": text(200),
        "reminder": parts({"update": whole_minutes, "once": whole_minutes}),
        "resolve_gate": GATE,
        "severities": by_rank(SEVERITY),
        "notify_on_declare": by_rank(several(a_role, once=True)),
        "unacknowledged_page": by_rank(by(ROLES, length)),
        "escalate_if_unresolved": by_rank(by(ROLES, length)),
        "approvals": by(APPROVED, several(a_role, once=True)),
        "thresholds": several(THRESHOLD),
        "checkpoints": by_rank(by(CHECKPOINTS, more_than_nothing)),
        "matrix": by_rank(by(AUDIENCES, CELL)),
    },
    needed=["profile", "version", "severities"],
)
RANKED = ("notify_on_declare", "unacknowledged_page", "escalate_if_unresolved", "checkpoints", "matrix")


def checked(data: Any, *, file: bool = False) -> Document:
    """The normal form of plain values. Raises Bad with every fault. A file says why and from when as well."""
    place = Place()
    found = PROFILE(place, data)
    if not place.faults and file:
        for key in ("change_note", "effective_from"):
            if key not in found:
                place.wrong(f"{key} is missing.")
    if not place.faults:
        _agree(place, found)
    if place.faults:
        raise Bad(place.faults)
    return _in_order(found)


def _agree(place: Place, found: Document) -> None:
    """What can only be judged together."""
    if not found.setdefault("severities", {}):
        place.at("severities").wrong("Name at least one severity.")
    elif all(level.get("enabled") is False for level in found["severities"].values()):
        place.at("severities").wrong("Every severity is switched off; nothing could be declared.")
    for part in RANKED:
        for rank in found.get(part, {}):
            if rank not in found["severities"]:
                place.at(part).at(rank).wrong("There is no such severity in this profile.")
    for n, rule in enumerate(found.get("thresholds", [])):
        if rule.get("suggests") not in (None, *found["severities"]):
            place.at("thresholds").at(n).at("suggests").wrong("There is no such severity in this profile.")
    for rank, cells in found.get("matrix", {}).items():
        for audience, cell in cells.items():
            _cell_agrees(place.at("matrix").at(rank).at(audience), audience, cell, found)


def _cell_agrees(place: Place, audience: str, cell: Document, found: Document) -> None:
    if cell["mode"] == "none" and cell.get("duties"):
        place.wrong("Mode none owes nothing; take its duties out, or choose another mode.")
    if cell.get("override") and cell["mode"] != "none":
        place.wrong("Only mode none can give way to a reason; take override out.")
    seen = set()
    for n, duty in enumerate(cell.get("duties", [])):
        here = place.at("duties").at(n)
        if duty["class"] not in CLASSES[audience]:
            here.at("class").wrong(f"{duty['class']} is not for {audience}; they get {', '.join(CLASSES[audience])}.")
        if duty["class"] in seen:
            here.wrong(f"{duty['class']} stands in this cell twice.")
        seen.add(duty["class"])
        if duty.get("every") and not duty.get("first"):
            here.wrong("An update every so often needs a first one; say when.")
        if duty.get("daily_once_contained") and not duty.get("every"):
            here.wrong("Daily once contained needs an every before that.")
        if duty.get("holding") and not (duty.get("every") and found.get("holding_max_consecutive")):
            here.wrong("A holding message needs an every, and holding_max_consecutive of at least 1.")


def _in_order(found: Document) -> Document:
    """Where order says nothing, the one order everything has."""
    if "thresholds" in found:
        signals = list(SIGNALS)
        found["thresholds"].sort(key=lambda rule: (signals.index(rule["signal"]), -rule["gt"]))
    for cells in found.get("matrix", {}).values():
        for audience, cell in cells.items():
            if "duties" in cell:
                cell["duties"].sort(key=lambda duty: CLASSES[audience].index(duty["class"]))
    return found


# The normal form, written


def number(value: Any) -> int | float:
    rounded = round(float(value), 3)
    return int(rounded) if rounded == int(rounded) else rounded


def minutes(amount: str) -> int:
    return int(amount[:-1]) * int(UNITS[amount[-1]].total_seconds() // 60)


def in_minutes(count: int) -> str:
    """90 as `90m`, 240 as `4h`; nothing for 0, which is the same as not said."""
    if not count:
        return ""
    return f"{count // 1440}d" if count % 1440 == 0 else f"{count // 60}h" if count % 60 == 0 else f"{count}m"


def stamp(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def digest(document: Document) -> str:
    """The SHA-256 of the normal form, which is the same wherever it is loaded."""
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def from_json(stored: Any) -> Document:
    """The normal form as it was, from JSON, whose keys are all text."""
    return {
        key: {int(rank): row for rank, row in value.items()} if key in ("severities", *RANKED) else value
        for key, value in stored.items()
    }


def written(document: Document) -> str:
    """The document as a profile file."""
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110)


def typed(said: str) -> str:
    """An amount as a person types it, as the policy writes it: `30 min` is 30m. What is no amount stays as typed."""
    plain = " ".join(said.lower().split())
    if found := re.fullmatch(r"(\d{1,4}) ?(m|min|minutes?|h|hours?|d|days?)", plain):
        return f"{int(found[1])}{found[2][0]}"
    if plain.removeprefix("by ").removeprefix("the ") in ("end of the next business day", "next business day"):
        return "1bd_end"
    if plain.removeprefix("by ").removeprefix("the ") == "end of the day":
        return "day_end"
    return plain
