"""A policy in words: each cell as it is read, and what differs between two versions, part by part. Pure."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from incidents.policy import documents, matrix
from incidents.policy.documents import CHECKPOINTS, MODES, RANKS, SCOPES, SIGNALS, Document

AUDIENCES = {
    "customers": "Customers",
    "public": "Status page and press",
    "internal": "Internal",
    "regulators": "Regulators",
}
CLASSES = {
    "status_update": "Status update",
    "incident_notice": "Incident notice",
    "breach_notice": "Breach notice",
    "regulator_decision": "Decision",
    "regulator_filing": "Filing with a regulator",
    "status_page": "Status page",
    "public_statement": "Press",
    "internal_update": "Update",
    "internal_summary": "Summary",
    "board_notice": "Board",
    "postmortem_public": "Public post-mortem",
}
FIRST_HOURS = 120  # minutes each cell's line shows
SPELT = {"ai_lead": "AI lead"}


def role(name: str) -> str:
    return SPELT.get(name, name.replace("_", " ").capitalize())


def people(names: list[str]) -> str:
    """`Executive sponsor and legal lead`."""
    said = [role(name) if n == 0 or name in SPELT else role(name).lower() for n, name in enumerate(names)]
    return " and ".join(filter(None, [", ".join(said[:-1]), said[-1]])) if said else ""


def label(document: Document, rank: int) -> str:
    """What the profile calls a severity: `SEV1`."""
    return document.get("severities", {}).get(rank, {}).get("label", f"Rank {rank}")


def value(signal: str, above: Any) -> str:
    return f"{SIGNALS[signal]}: above {above:g}"


def thresholds(document: Document) -> list[tuple[str, str]]:
    """Each threshold with the severity it suggests; empty where it only alerts."""
    return [
        (value(rule["signal"], rule["gt"]), label(document, rule["suggests"]) if rule.get("suggests") else "")
        for rule in document.get("thresholds", [])
    ]


# The matrix as it is read


class Line(NamedTuple):
    said: str
    small: str = ""


class Cell(NamedTuple):
    audience: str
    name: str
    mode: str
    owes: bool
    lines: list[Line]
    rhythm: list[str]
    pace: str
    note: str


class Row(NamedTuple):
    rank: int
    label: str
    definitions: str
    targets: str
    enabled: bool
    cells: list[Cell]


def rows(document: Document) -> list[Row]:
    """The whole matrix, a row a severity, a cell an audience. A cell the document does not have says so."""
    return [
        Row(
            rank,
            " ".join(filter(None, [level["label"], level.get("name", "")])),
            " ".join(level.get("definitions", [])),
            ", ".join(f"{name} {_within(level[key])}" for key, name in TARGETS.items() if level.get(key)),
            level.get("enabled", True),
            [cell(document, rank, audience) for audience in AUDIENCES],
        )
        for rank, level in document["severities"].items()
    ]


TARGETS = {"acknowledge": "acknowledge", "page_within": "page", "contain": "contain", "resolve": "resolve"}


def _within(amount: str) -> str:
    said = matrix.words(amount)
    return said if said.startswith("by ") else f"in {said}"


def cell(document: Document, rank: int, audience: str) -> Cell:
    found = document.get("matrix", {}).get(rank, {}).get(audience)
    name = AUDIENCES[audience]
    if found is None:
        return Cell(audience, name, "Not said", False, [], [], "", "")
    lines = [_line(duty, audience, document) for duty in found.get("duties", [])]
    paced: Document = next((duty for duty in found.get("duties", []) if duty.get("every")), {})
    notes = [
        found.get("note", ""),
        SCOPES[found["scope"]] if "scope" in found else "",
        "Possible with a reason" if found.get("override") else "",
    ]
    mode = MODES[found["mode"]]
    return Cell(
        audience,
        name,
        mode,
        found["mode"] != "none",
        lines,
        _rhythm(paced),
        f"First after {matrix.words(paced['first'])}, then every {matrix.words(paced['every'])}" if paced else "",
        " · ".join(filter(None, notes)),
    )


def _line(duty: Document, audience: str, document: Document) -> Line:
    """One duty: by when, how often, and who approves it."""
    name, first, every = CLASSES[duty["class"]], duty.get("first", ""), duty.get("every", "")
    if first and every:
        said = f"{name}: first {_within(first)}, then every {matrix.words(every)}"
    elif first:
        said = f"{name} {_within(first)}"
    else:
        said = f"{name}, no time said" if not duty.get("close") else name
    approve = document.get("approvals", {}).get(duty["class"], [])
    small = [
        MODES[duty["mode"]] if duty.get("mode") else "",
        f"{_within(duty['first_if_data_or_ai_harm']).capitalize()} for data or AI harm"
        if duty.get("first_if_data_or_ai_harm")
        else "",
        f"{_within(duty['first_if_short_clock']).capitalize()} if a law gives 6 h or less"
        if duty.get("first_if_short_clock")
        else "",
        "Sooner if a law says so" if duty.get("or_earlier") else "",
        "If personal data is involved" if duty.get("when") else "",
        f"Once contained, daily at {duty['daily_once_contained']}" if duty.get("daily_once_contained") else "",
        f"Closing message {matrix.words(duty['close'])} after the end" if duty.get("close") else "",
        "Holding message if nobody wrote" if duty.get("holding") else "",
        f"{people(approve)} approve{'s' if len(approve) == 1 else ''}" if approve else "",
    ]
    return Line(said, " · ".join(filter(None, small)))


def _rhythm(duty: Document) -> list[str]:
    """Where the messages of the first two hours stand on a line, in percent."""
    if not duty or not (documents.LENGTH.fullmatch(duty["first"]) and documents.LENGTH.fullmatch(duty["every"])):
        return []
    first, every = documents.minutes(duty["first"]), documents.minutes(duty["every"])
    return [f"{3 + 94 * at / FIRST_HOURS:.2f}%" for at in range(first, FIRST_HOURS + 1, max(every, 5))]


class Part(NamedTuple):
    name: str
    said: list[tuple[str, str]]


def parts(document: Document) -> list[Part]:
    """Everything beside severities and matrix, part by part; a part the document is silent on is there, and empty."""
    labels = {rank: label(document, rank) for rank in RANKS}
    return [
        Part(name, [(subject, said) for subject, said in told(document, labels) if said])
        for name, told in PARTS.items()
        if name not in ("Severities", "Matrix")
    ]


# What differs


class Difference(NamedTuple):
    part: str
    subject: str
    was: str
    now: str

    def __str__(self) -> str:
        change = f"{self.was} → {self.now}" if self.was and self.now else self.now or f"no longer {self.was}"
        return f"{self.subject}: {change}"


def differences(before: Document, after: Document) -> list[Difference]:
    """What `after` says otherwise than `before`, in words; number, note and start of a version are no such thing."""
    labels = {rank: label(after if rank in after["severities"] else before, rank) for rank in RANKS}
    was, now = dict(_facts(before, labels)), dict(_facts(after, labels))
    both = [*now, *(key for key in was if key not in now)]
    found = [Difference(*key, was.get(key, ""), now.get(key, "")) for key in both if was.get(key) != now.get(key)]
    parts = list(PARTS)
    return sorted(found, key=lambda row: parts.index(row.part))


Facts = Iterator[tuple[tuple[str, str], str]]
Labels = dict[int, str]


def _facts(document: Document, labels: Labels) -> Facts:
    """Every single thing a document says: (part, subject) and its value in words."""
    for part, told in PARTS.items():
        for subject, said in told(document, labels):
            if said:
                yield (part, subject), said


Told = Iterator[tuple[str, str]]


def _general(document: Document, labels: Labels) -> Told:
    reminder = document.get("reminder", {})
    yield "Grace of a repeated update", _words(document.get("grace"))
    yield "Holding messages in a row", str(document.get("holding_max_consecutive", ""))
    yield "Reminder before an update", _words(reminder.get("update"))
    yield "Reminder before anything else", _words(reminder.get("once"))
    yield "Agreed threshold for telling customers", document.get("customer_threshold", "")


def _words(amount: str | None) -> str:
    return matrix.words(amount) if amount else ""


def _levels(document: Document, labels: Labels) -> Told:
    for rank, row in document["severities"].items():
        here = labels[rank]
        yield f"Severity {rank}", row["label"]
        yield f"{here}, name", row.get("name", "")
        yield f"{here}, definition", " ".join(row.get("definitions", []))
        for key, name in TARGETS.items():
            yield f"{here}, time to {name}", _words(row.get(key))
        yield f"{here}, in use", "no" if row.get("enabled") is False else "yes"


DUTY_WORDS = {
    "mode": "mode",
    "first": "first",
    "first_if_data_or_ai_harm": "first for data or AI harm",
    "first_if_short_clock": "first if a law gives 6 h or less",
    "or_earlier": "sooner if a law says so",
    "every": "then every",
    "daily_once_contained": "daily once contained, at",
    "close": "closing message",
    "when": "only if",
    "holding": "holding message",
}
CELL_WORDS = {"mode": "mode", "scope": "who", "override": "possible all the same", "note": "note"}


def _cells(document: Document, labels: Labels) -> Told:
    for rank, cells in document.get("matrix", {}).items():
        for audience, found in cells.items():
            here = f"{labels[rank]}, {AUDIENCES[audience].lower()}"
            for key, name in CELL_WORDS.items():
                yield f"{here}, {name}", _said(found.get(key))
            for duty in found.get("duties", []):
                duty_here = f"{here}, {CLASSES[duty['class']].lower()}"
                yield duty_here, "owed"
                for key, name in DUTY_WORDS.items():
                    yield f"{duty_here}, {name}", _said(duty.get(key))


FIXED: dict[Any, str] = {
    **MODES,
    **SCOPES,
    True: "yes",
    "reason_required": "with a reason",
    "personal_data": "personal data is involved",
    matrix.EARLIEST_LAW: "yes",
}


def _said(stored: Any) -> str:
    if stored is None or stored is False:
        return ""
    return FIXED.get(stored) or (matrix.words(stored) if documents.AMOUNT.fullmatch(str(stored)) else str(stored))


def _approvals(document: Document, labels: Labels) -> Told:
    for name, roles in document.get("approvals", {}).items():
        yield CLASSES[name], people(roles)


def _told_at_once(document: Document, labels: Labels) -> Told:
    for rank, roles in document.get("notify_on_declare", {}).items():
        yield labels[rank], people(roles)


def _called_later(document: Document, labels: Labels) -> Told:
    whiles = {"unacknowledged_page": "unacknowledged", "escalate_if_unresolved": "unresolved"}
    for key, condition in whiles.items():
        for rank, called in document.get(key, {}).items():
            for name, after in called.items():
                yield (
                    f"{labels[rank]}, {role(name).lower()} while {condition}",
                    f"after {matrix.words(after)}" if documents.minutes(after) else "at once",
                )


def _thresholds(document: Document, labels: Labels) -> Told:
    for rule in document.get("thresholds", []):
        suggests = rule.get("suggests")
        yield value(rule["signal"], rule["gt"]), f"suggests {labels[suggests]}" if suggests else "alerts"


def _gate(document: Document, labels: Labels) -> Told:
    gate = document.get("resolve_gate", {})
    yield "Time in Monitoring", _words(gate.get("monitoring"))
    for text in gate.get("conditions", []):
        yield text, "must be true"
    for text in gate.get("ticks", []):
        yield text, "must be ticked"


def _checkpoints(document: Document, labels: Labels) -> Told:
    for rank, points in document.get("checkpoints", {}).items():
        for name, after in points.items():
            yield f"{labels[rank]}, {CHECKPOINTS[name].lower()}", f"by {matrix.words(after)}"


PARTS = {
    "Severities": _levels,
    "Matrix": _cells,
    "Approvals": _approvals,
    "Told at once": _told_at_once,
    "Called later": _called_later,
    "Thresholds": _thresholds,
    "Before Resolved": _gate,
    "Checkpoints": _checkpoints,
    "General": _general,
}
