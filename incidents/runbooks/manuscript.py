"""How a runbook is written: Markdown with a few lines of YAML on top. Reads it, or says line by line why not. Pure.

    ---
    code: restart-api
    title: Restart the API
    kind: runbook
    types: [T01, T02]
    ---
    ## Symptoms
    - Requests hang.

    ## Steps
    1. Restart the service.
       ```
       {{ restart }}
       ```
       Expect: the health check answers within a minute.
       Within: 60 s of the step before

Numbered items are steps that are ticked; everything else is read. What belongs to a step is indented below it.
"""

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import timedelta

import yaml

from incidents.runbooks.placeholders import unreadable
from irportal.refused import Refused

KINDS = {
    "card": "3 AM card",
    "runbook": "Runbook",
    "containment": "Containment",
    "checklist": "Checklist",
    "checkpoints": "Checkpoints",
    "recovery": "Recovery",
    "evidence": "Evidence",
}
ONE = {"code": 60, "title": 120, "kind": 20, "control": 2, "repository": 300, "on_call": 500, "management": 500}
LISTS = {"types": 4, "covers": 20}
REQUIRED = ("code", "title", "kind")
LONGEST, FRONT, LINES = 40_000, 5_000, 1_500  # characters of the whole, of what stands on top; lines
SECTIONS, STEPS, COMMANDS = 30, 200, 5  # sections and steps of a runbook, commands of a step
HEADING, SAID, COMMAND = 120, 2_000, 2_000  # characters
FAULTS = 12  # more than a person mends at once
START = 0  # the position a time limit counts from when it is the start of the run
WEEK = 7 * 24 * 3600

CODE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*", re.ASCII)
STEP = re.compile(r"\d{1,3}[.)]\s+(.*)", re.ASCII)
FENCE = re.compile(r"\s*(`{3,}|~{3,})")
EXPECT = re.compile(r"\s+expect:\s*(.*)", re.IGNORECASE)
WITHIN = re.compile(r"\s+within:\s*(.*)", re.IGNORECASE)
LIMIT = re.compile(
    r"(\d{1,4})\s*(s|min|h)(?:\s+of\s+(?:(the start)|the step before|step (\d{1,3})))?\.?", re.IGNORECASE | re.ASCII
)
UNITS = {"s": 1, "min": 60, "h": 3600}
CUT_SHORT = re.compile(r"\s*---\s*$")


class Unreadable(Refused):
    """Why a text is no runbook: each fault with its line, in the order of the lines."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__(" ".join(faults))
        self.faults = faults


@dataclass(frozen=True)
class Step:
    """`within` is in seconds and counts from the step at position `since`, START for the start of the run."""

    position: int
    number: int
    section: str
    text: str
    expect: str = ""
    commands: tuple[str, ...] = ()
    within: int | None = None
    since: int = START


@dataclass(frozen=True)
class Section:
    title: str
    prose: str = ""
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True)
class Manuscript:
    code: str
    title: str
    kind: str
    types: tuple[str, ...] = ()
    for_all: bool = False
    covers: tuple[str, ...] = ()
    control: int | None = None
    repository: str = ""
    on_call: str = ""
    management: str = ""
    sections: tuple[Section, ...] = ()

    @property
    def steps(self) -> list[Step]:
        return [step for section in self.sections for step in section.steps]


def tidy(source: str) -> str:
    """The text as it is kept: one kind of line end, nothing behind the last word of a line."""
    lines = source.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff").split("\n")
    return "\n".join(line.rstrip(" \t") for line in lines).strip("\n") + "\n"


def read(source: str, *, types: Collection[str] | None = None) -> Manuscript:
    """The runbook a text holds. `types` are the codes there are; without them any code passes.

    Raises Unreadable with every fault found, the first FAULTS of them.
    """
    return _Reader(tidy(source), types).read()


@dataclass
class _Draft:
    """A step while its lines are read."""

    line: int
    text: list[str]
    expect: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    limit: str = ""
    limit_line: int = 0
    into: list[str] | None = None


class _Reader:
    def __init__(self, source: str, types: Collection[str] | None) -> None:
        self.source = source
        self.lines = source.rstrip("\n").split("\n")
        self.types = types
        self.faults: list[tuple[int, str]] = []
        self.sections: list[Section] = []
        self.title, self.prose, self.drafts = "", [], []  # type: ignore[var-annotated]
        self.count = 0

    def fault(self, line: int, why: str) -> None:
        self.faults.append((line, f"Line {line}: {why}"))

    def refuse(self) -> None:
        if self.faults:
            found = [why for _, why in sorted(self.faults, key=lambda fault: fault[0])]
            more = len(found) - FAULTS
            raise Unreadable(found[:FAULTS] + ([f"And {more} more like these."] if more > 0 else []))

    def read(self) -> Manuscript:
        self._check_size()
        first = self._body_begins()
        head = self._front(first - 1)
        self._body(first)
        if not self.count and not self.faults:
            self.fault(len(self.lines), "there is no step; write at least one, numbered like “1. Restart the service.”")
        self.refuse()
        return replace(head, sections=tuple(self.sections))

    def _check_size(self) -> None:
        if len(self.source) > LONGEST:
            raise Unreadable([f"The text has {len(self.source)} characters; a runbook has at most {LONGEST}."])
        if len(self.lines) > LINES:
            raise Unreadable([f"The text has {len(self.lines)} lines; a runbook has at most {LINES}."])
        for number, line in enumerate(self.lines, 1):
            if bad := next((c for c in line if c != "\t" and unicodedata.category(c) in ("Cc", "Cs")), ""):
                self.fault(number, f"it holds a character that cannot be shown (U+{ord(bad):04X}); type it again.")
        self.refuse()

    # On top

    def _body_begins(self) -> int:
        """The number of the first line below what stands on top."""
        if not CUT_SHORT.match(self.lines[0]):
            raise Unreadable(["Line 1: a runbook begins with a line of three dashes (---), then code, title and kind."])
        end = next((n for n, line in enumerate(self.lines[1:], 2) if CUT_SHORT.match(line)), 0)
        if not end:
            raise Unreadable(["Line 1: what stands on top never ends; close it with a second line of three dashes."])
        if sum(len(line) + 1 for line in self.lines[:end]) > FRONT:
            raise Unreadable([f"Line 1: what stands on top is too long; it has at most {FRONT} characters."])
        return end + 1

    def _front(self, end: int) -> Manuscript:
        """What stands between the dashes, as text: YAML would make 010 a number and `no` a falsehood."""
        try:
            tree = yaml.compose("\n".join(self.lines[1 : end - 1]), yaml.SafeLoader)
        except yaml.MarkedYAMLError as problem:
            mark = problem.problem_mark or problem.context_mark
            line = mark.line + 2 if mark else 1
            raise Unreadable([f"Line {line}: this is no YAML: {problem.problem or problem.context}."]) from None
        except (yaml.YAMLError, RecursionError):
            raise Unreadable(["Line 2: what stands on top is no YAML; write one “name: value” a line."]) from None
        if not isinstance(tree, yaml.MappingNode):
            raise Unreadable(["Line 2: write one “name: value” a line on top, for example “code: restart-api”."])
        said: dict[str, tuple[int, str | list[str]]] = {}
        for key, value in tree.value:
            self._take(said, key, value)
        for name in REQUIRED:
            if name not in said:
                self.fault(1, f"“{name}” is missing on top.")
        return self._head(said)

    def _take(self, said: dict[str, tuple[int, str | list[str]]], key: yaml.Node, value: yaml.Node) -> None:
        line, name = key.start_mark.line + 2, key.value
        if not isinstance(name, str) or name not in {*ONE, *LISTS}:
            known = ", ".join([*ONE, *LISTS])
            self.fault(line, f"“{str(name)[:30]}” is nothing a runbook has; there are {known}.")
        elif name in said:
            self.fault(line, f"“{name}” is given twice.")
        elif isinstance(value, yaml.ScalarNode):
            said[name] = (line, " ".join(value.value.split()))
        elif (
            name in LISTS
            and isinstance(value, yaml.SequenceNode)
            and all(isinstance(node, yaml.ScalarNode) for node in value.value)
        ):
            said[name] = (line, [" ".join(node.value.split()) for node in value.value])
        else:
            said[name] = (line, "")
            self.fault(line, f"“{name}” is {'a list like [T01, T02]' if name in LISTS else 'one line of text'}.")

    def _head(self, said: dict[str, tuple[int, str | list[str]]]) -> Manuscript:
        one = {name: self._one(name, *said.get(name, (1, ""))) for name in ONE}
        listed = {name: self._list(name, *said.get(name, (1, []))) for name in LISTS}
        if one["code"] and not CODE.fullmatch(one["code"]):
            self.fault(said["code"][0], "“code” is lower-case letters, digits and single dashes, like restart-api.")
        if one["kind"] and one["kind"] not in KINDS:
            self.fault(said["kind"][0], f"“kind” is {one['kind'][:20]!r}; it can be {', '.join(KINDS)}.")
        control = one.pop("control")
        if control and (not control.isascii() or not control.isdigit() or not 1 <= int(control) <= 12):
            self.fault(said["control"][0], "“control” is the number of a readiness control, 1 to 12.")
            control = ""
        for_all = listed["types"] == ["all"]
        codes = [] if for_all else listed["types"]
        for code in codes:
            if self.types is not None and code not in self.types:
                self.fault(said["types"][0], f"“{code}” is no type of incident; write codes like T01, or all.")
        return Manuscript(
            code=one["code"],
            title=one["title"],
            kind=one["kind"],
            repository=one["repository"],
            on_call=one["on_call"],
            management=one["management"],
            control=int(control) if control else None,
            types=tuple(dict.fromkeys(codes)),
            for_all=for_all,
            covers=tuple(listed["covers"]),
        )

    def _one(self, name: str, line: int, value: str | list[str]) -> str:
        text = value if isinstance(value, str) else ""
        if len(text) > ONE[name]:
            self.fault(line, f"“{name}” has {len(text)} characters; it has at most {ONE[name]}.")
        if line > 1 and not text and name in REQUIRED:
            self.fault(line, f"“{name}” is empty.")
        return text

    def _list(self, name: str, line: int, value: str | list[str]) -> list[str]:
        found = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
        found = [part for part in found if part]
        if len(found) > 60 or any(len(part) > LISTS[name] for part in found):
            self.fault(line, f"“{name}” is a short list of codes, each of at most {LISTS[name]} characters.")
            return []
        return found

    # Below

    def _body(self, first: int) -> None:
        number = first
        while number <= len(self.lines):
            number = self._line(number, self.lines[number - 1])
        self._end_section(number - 1)

    def _line(self, number: int, line: str) -> int:
        """Take one line, or the whole command that begins there; the number of the next."""
        inside = bool(self.drafts) and (not line or line[0] in " \t")
        if FENCE.match(line):
            return self._command(number, line, inside=inside)
        if line.startswith("## "):
            self._begin_section(number, line[3:].strip())
        elif line.startswith("# ") or line in ("#", "##"):
            self.fault(number, "a section begins with two # and its name, like “## Steps”; the title stands on top.")
        elif found := STEP.fullmatch(line):
            self._begin_step(number, found[1])
        elif inside:
            self._continue(self.drafts[-1], number, line)
        elif self.drafts:
            self.fault(number, "this text follows a step but is not indented; indent it, or put it before the steps.")
        else:
            self.prose.append(line)
        return number + 1

    def _begin_section(self, number: int, title: str) -> None:
        self._end_section(number - 1)
        self.title = title
        if not title:
            self.fault(number, "the section has no name.")
        if len(title) > HEADING:
            self.fault(number, f"the name has {len(title)} characters; it has at most {HEADING}.")
        if any(section.title == title for section in self.sections):
            self.fault(number, f"there is a section “{title}” already.")
        if len(self.sections) == SECTIONS:
            self.fault(number, f"there are more than {SECTIONS} sections.")

    def _begin_step(self, number: int, text: str) -> None:
        self.count += 1
        if self.count == STEPS + 1:
            self.fault(number, f"there are more than {STEPS} steps; make two runbooks of it.")
        draft = _Draft(number, [text])
        draft.into = draft.text
        self.drafts.append(draft)

    def _continue(self, draft: _Draft, number: int, line: str) -> None:
        if found := EXPECT.fullmatch(line):
            if draft.expect:
                self.fault(number, "this step says twice what to expect.")
            draft.expect.append(found[1])
            draft.into = draft.expect
        elif found := WITHIN.fullmatch(line):
            if draft.limit_line:
                self.fault(number, "this step has two time limits.")
            draft.limit, draft.limit_line = found[1], number
        elif draft.into is not None:
            draft.into.append(line.strip())

    def _command(self, number: int, line: str, *, inside: bool) -> int:
        mark = FENCE.match(line)
        bar, indent = (mark[1], len(line) - len(line.lstrip())) if mark else ("", 0)
        end = next(
            (n for n in range(number + 1, len(self.lines) + 1) if self.lines[n - 1].strip() == bar),
            0,
        )
        if not end:
            self.fault(number, f"the command that begins here never ends; close it with a line of {bar}.")
            return len(self.lines) + 1
        if not inside:
            self.fault(number, "a command belongs to a step; indent it below one that is numbered.")
            return end + 1
        self._keep_command(number, [_outdented(text, indent) for text in self.lines[number : end - 1]])
        return end + 1

    def _keep_command(self, number: int, lines: list[str]) -> None:
        draft, text = self.drafts[-1], "\n".join(lines).strip("\n")
        for offset, line in enumerate(lines, 1):
            hidden = next((c for c in line if c != "\t" and unicodedata.category(c) in ("Cf", "Zl", "Zp")), "")
            if hidden:
                self.fault(number + offset, f"the command holds an invisible character (U+{ord(hidden):04X}).")
            self._check_placeholders(number + offset, line)
        if not text.strip():
            self.fault(number, "the command is empty.")
        elif len(text) > COMMAND:
            self.fault(number, f"the command has {len(text)} characters; it has at most {COMMAND}.")
        elif len(draft.commands) == COMMANDS:
            self.fault(number, f"this step has more than {COMMANDS} commands; make two steps of it.")
        else:
            draft.commands.append(text)

    def _check_placeholders(self, number: int, line: str) -> None:
        if wrong := unreadable(line):
            self.fault(number, f"“{wrong[:40]}” is no placeholder; write it like {{{{ health }}}}, lower case and _.")

    def _end_section(self, last: int) -> None:
        steps: list[Step] = []
        for number, draft in enumerate(self.drafts, 1):
            steps.append(self._step(draft, number, steps))
        prose = "\n".join(self.prose).strip("\n")
        if prose or steps or self.title:
            self.sections.append(Section(self.title, prose, tuple(steps)))
        self.title, self.prose, self.drafts = "", [], []

    def _step(self, draft: _Draft, number: int, before: list[Step]) -> Step:
        text, expect = "\n".join(draft.text).strip(), " ".join(draft.expect).strip()
        position = self.count - len(self.drafts) + number
        if not text:
            self.fault(draft.line, "the step says nothing.")
        if len(text) > SAID or len(expect) > SAID:
            self.fault(draft.line, f"the step is longer than {SAID} characters; make two of it.")
        for line in (text, expect):
            self._check_placeholders(draft.line, line)
        within, since = self._limit(draft, number, before, position)
        return Step(position, number, self.title, text, expect, tuple(draft.commands), within, since)

    def _limit(self, draft: _Draft, number: int, before: list[Step], position: int) -> tuple[int | None, int]:
        if not draft.limit_line:
            return None, START
        found = LIMIT.fullmatch(draft.limit.strip())
        seconds = int(found[1]) * UNITS[found[2].lower()] if found else 0
        if not found or not 0 < seconds <= WEEK:
            self.fault(
                draft.limit_line,
                "a time limit is written like “60 s”, “15 min of step 2” or “1 h of the start”, up to 7 days.",
            )
            return None, START
        if found[4] and not 1 <= int(found[4]) < number:
            self.fault(draft.limit_line, f"step {found[4]} is not before this one in its section.")
            return None, START
        if found[4]:
            return seconds, before[int(found[4]) - 1].position
        return seconds, START if found[3] else position - 1


def length(amount: timedelta) -> str:
    """As a time limit is written: 60 s, 15 min, 4 h; what is no round number has two units."""
    seconds = int(amount.total_seconds())
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min" + (f" {seconds % 60} s" if seconds % 60 else "")
    return f"{seconds // 3600} h" + (f" {seconds % 3600 // 60} min" if seconds % 3600 // 60 else "")


def _outdented(line: str, indent: int) -> str:
    """Without the fence's own indent; what is indented less loses what it has."""
    return line[min(indent, len(line) - len(line.lstrip())) :]
