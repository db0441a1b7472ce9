"""Every row of docs/requirements.md is held by a test that names it, or says why none does. Each rule is shown to fall.

A test names a row in a comment `# covers R003-21, R003-22` or `# covers R000-05..08`, directly above the test or beside
the case of its table; what follows a colon is for people.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
SERIES = {"R000-": 33, "R001-": 50, "R002-": 11, "R003-": 26, "R004-": 19, "C-": 28, "T": 25}
ROLES = [
    "incident_commander",
    "technical_lead",
    "ai_lead",
    "security_lead",
    "comms_lead",
    "legal_lead",
    "customer_trust",
]
ROLES += ["executive_sponsor", "management", "scribe", "privacy_lead", "compliance_lead", "auditor"]
IDS = [f"{name}{n:02}" for name, last in SERIES.items() for n in range(1, last + 1)] + ["T99", *ROLES]

PARTS = "clocks|drills|intake|metrics|oncall|plans|postmortems|readiness"
REASON = rf"(later: ({PARTS})|not a requirement)"
HELD = re.compile(rf"tests(; \w[^|;]* {REASON})*|{REASON}")


class Row(NamedTuple):
    id: str
    asks: str
    held: str

    @property
    def is_tested(self) -> bool:
        return self.held.startswith("tests")


class Citation(NamedTuple):
    where: str
    id: str
    is_at_a_test: bool


def rows(root: Path) -> list[Row]:
    lines = (root / "docs" / "requirements.md").read_text().splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return [Row(*row) for row in cells if row[0] != "Row"]


def citations(root: Path) -> Iterator[Citation]:
    for file in sorted((root / "tests").rglob("test_*.py")):
        text = file.read_text()
        if "# covers " not in text:
            continue
        nodes = ast.parse(text).body
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT and token.string.startswith("# covers "):
                line = token.start[0]
                owner = next((node for node in nodes if (node.end_lineno or 0) >= line), None)
                named = token.string.removeprefix("# covers ").partition(":")[0]
                for name in filter(None, re.split(r"[,\s]+", named)):
                    where = f"{file.relative_to(root).as_posix()}:{line}"
                    yield from (Citation(where, id, is_test(owner)) for id in spread(name))


def is_test(node: ast.stmt | None) -> bool:
    """Whether this is a test or a table of cases."""
    named = isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    return named or isinstance(node, ast.Assign | ast.AnnAssign)


def spread(name: str) -> list[str]:
    """`R000-05..08` as its four rows; anything else as it is."""
    if found := re.fullmatch(r"(R\d+-|C-|T)(\d+)\.\.(\d+)", name):
        return [f"{found[1]}{n:02}" for n in range(int(found[2]), int(found[3]) + 1)]
    return [name]


def gaps(root: Path) -> list[str]:
    """The list is whole, in order, and nothing stands in it twice."""
    found = [row.id for row in rows(root)]
    wrong = sorted(set(IDS) ^ set(found)) or [id for id in IDS if found.count(id) > 1]
    return [f"{id} is missing, unknown or there twice" for id in wrong] or (["not in order"] if found != IDS else [])


def unreasoned(root: Path) -> list[str]:
    return [f"{row.id}: {row.held!r} is no reason" for row in rows(root) if not HELD.fullmatch(row.held)]


def uncovered(root: Path) -> list[str]:
    cited = {citation.id for citation in citations(root)}
    return [f"{row.id} is named by no test" for row in rows(root) if row.is_tested and row.id not in cited]


def stale(root: Path) -> list[str]:
    reasoned = {row.id: row.held for row in rows(root) if not row.is_tested}
    return [f"{c.where} covers {c.id}, listed as {reasoned[c.id]!r}" for c in citations(root) if c.id in reasoned]


def unknown(root: Path) -> list[str]:
    return [f"{c.where} covers {c.id}, which is no row" for c in citations(root) if c.id not in IDS]


def misplaced(root: Path) -> list[str]:
    return [f"{c.where} covers {c.id}, but stands at no test" for c in citations(root) if not c.is_at_a_test]


CHECKS = [gaps, unreasoned, uncovered, stale, unknown, misplaced]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_every_row_is_held_by_a_test_or_says_why_not(check):
    assert check(ROOT) == []


def plant(root: Path, held: dict[str, str], test: str, *, without: str = "", twice: str = "") -> None:
    """A list of every row, `later: plans` unless `held` says otherwise, and one file of tests."""
    listed = [id for id in IDS if id != without] + ([twice] if twice else [])
    (root / "docs").mkdir()
    (root / "docs" / "requirements.md").write_text(
        "| Row | What it asks | Held |\n|---|---|---|\n"
        + "".join(f"| {id} | Something | {held.get(id, 'later: plans')} |\n" for id in listed)
    )
    (root / "tests").mkdir()
    (root / "tests" / "test_it.py").write_text(test)


BARE = "def test_it():\n    assert True\n"
AT = "# covers {}\n" + BARE


@pytest.mark.parametrize(
    ("check", "held", "test", "listing"),
    [
        (uncovered, {"R003-21": "tests"}, BARE, {}),
        (uncovered, {"R003-21": "tests"}, AT.format("R003-22"), {}),
        (uncovered, {"R003-21": "tests"}, "TEXT = '''\n# covers R003-21\n'''\n" + BARE, {}),
        (uncovered, {"R000-09": "tests; in part later: intake"}, BARE, {}),
        (uncovered, {"scribe": "tests"}, BARE, {}),
        (stale, {}, AT.format("R003-21"), {}),
        (stale, {"R001-30": "later: oncall"}, AT.format("R001-29..31"), {}),
        (unknown, {}, AT.format("R003-27"), {}),
        (unknown, {}, AT.format("R03-21"), {}),
        (unknown, {}, AT.format("T26"), {}),
        (unknown, {}, AT.format("R003-21 and R003-22"), {}),
        (misplaced, {"T01": "tests"}, BARE + "# covers T01\n", {}),
        (misplaced, {"T01": "tests"}, "# covers T01\nimport os\n" + BARE, {}),
        (misplaced, {"T01": "tests"}, "# covers T01\ndef a_helper(): ...\n" + BARE, {}),
        (unreasoned, {"R000-09": "later"}, BARE, {}),
        (unreasoned, {"R000-09": "later: some day"}, BARE, {}),
        (unreasoned, {"R000-09": ""}, BARE, {}),
        (unreasoned, {"R000-09": "tests; not quite"}, AT.format("R000-09"), {}),
        (gaps, {}, BARE, {"without": "R002-05"}),
        (gaps, {}, BARE, {"without": "R004-19"}),
        (gaps, {}, BARE, {"without": "auditor"}),
        (gaps, {}, BARE, {"twice": "R002-05"}),
        (gaps, {}, BARE, {"twice": "R002-12"}),
        (gaps, {}, BARE, {"without": "R002-05", "twice": "R002-05"}),
    ],
)
def test_a_row_that_is_not_held_is_found(tmp_path, check, held, test, listing):
    plant(tmp_path, held, test, **listing)
    assert check(tmp_path)
    assert [other for other in CHECKS if other(tmp_path) and other not in (check, uncovered, stale)] == []


@pytest.mark.parametrize(
    "test",
    [
        AT.format("R003-21, R003-22, scribe"),
        AT.format("R003-21..22, scribe"),
        AT.format("R003-21..22 scribe: in words of our own, see R003-99"),
        "CASES = [\n    1,  # covers R003-21\n    2,  # covers R003-22\n]\n# covers scribe\n\n" + BARE,
        "@mark(\n    # covers R003-21..22, scribe\n)\n" + BARE,
    ],
)
def test_a_row_that_is_held_is_no_breach(tmp_path, test):
    plant(tmp_path, {"R003-21": "tests", "R003-22": "tests; laws later: clocks", "scribe": "tests"}, test)
    assert [breach for check in CHECKS for breach in check(tmp_path)] == []
