"""The walls of the design, read from the source. Every wall is shown to hold, and to fall when it is breached."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("irportal", "incidents", "statuspage")

# A part imports only parts of lower rows; parts of one row never import each other. Rows 0 to 3 are level 0 of
# docs/architecture.md, in the order they rest on each other.
LEVELS = [
    {"irportal.refused", "irportal.prose", "irportal.celery", "irportal.logs"},
    {"irportal.ledger", "irportal.pdf"},
    {"irportal.accounts", "irportal.outbox"},
    {"irportal.parts", "irportal.recorded"},
    {"statuspage"},
    {"incidents.policy"},
    {"incidents.lifecycle"},
    {
        f"incidents.{name}"
        for name in ("comms", "runbooks", "evidence", "postmortems", "clocks", "oncall", "maintenance", "room")
    },
    {"incidents.workflow"},
    {f"incidents.{name}" for name in ("intake", "drills", "readiness", "plans", "metrics")},
]
LEVEL = {part: number for number, parts in enumerate(LEVELS) for part in parts}
EDGES = {"views", "urls", "tasks", "admin", "apps", "management", "templatetags", "settings", "wsgi", "server"}
INDEXES = {"incidents/models.py", "incidents/urls.py"}
NAMES = {"utils", "helpers", "services", "managers", "common", "base", "misc"}
SQL = {"irportal/outbox/models.py", "irportal/ledger/actions.py", "statuspage/site.py"}
# Text shown unescaped: prose.py cleaned it; a form's hint is written by us (Django's own template does the same).
SAFE = {"irportal/prose.py", "templates/django/forms/field.html"}
LONGEST, USUAL = 50, 30  # lines of a function: no one longer, 95 of 100 within


class Source(NamedTuple):
    path: str
    tree: ast.Module

    @property
    def module(self) -> str:
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def sources(root: Path) -> Iterator[Source]:
    for package in PACKAGES:
        for file in sorted((root / package).rglob("*.py")):
            path = file.relative_to(root).as_posix()
            if "/migrations/" not in path:
                yield Source(path, ast.parse(file.read_text(), path))


def part_of(module: str) -> str:
    """The part a module belongs to: `incidents.comms` for `incidents.comms.actions`; empty for none."""
    names = module.split(".")
    return next((part for n in (2, 1) if (part := ".".join(names[:n])) in LEVEL), "")


def is_edge(module: str) -> bool:
    return not EDGES.isdisjoint(module.split(".")[1:])


def imports(source: Source, modules: set[str]) -> Iterator[str]:
    """The modules of ours this file imports, wherever in the file; `from a import b` is `a.b` where that is one."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = source.path.rsplit("/", node.level)[0].replace("/", ".") if node.level else ""
            start = ".".join(filter(None, [package, node.module]))
            found = [name if (name := f"{start}.{alias.name}") in modules else start for alias in node.names]
        else:
            continue
        yield from (name for name in found if name.split(".")[0] in PACKAGES)


def wrong_import(source: Source, target: str) -> str:
    """What is wrong with this file importing `target`; empty when nothing is."""
    mine, other = part_of(source.module), part_of(target)
    if mine == "statuspage" and target.split(".")[0] == "incidents":
        return "the public page knows nothing of incidents"
    if target == "statuspage.publish" and mine not in ("statuspage", "incidents.comms"):
        return "only comms publishes"
    if is_edge(target) and not source.path.endswith(("urls.py", "admin.py")) and part_of(target) != mine:
        return "nothing imports an edge"
    if is_edge(target) and not is_edge(source.module):
        return "nothing imports an edge"
    if is_edge(source.module) or source.path in INDEXES or mine == other or source.module == "irportal":
        return ""
    if not other:
        return "this module has no level"
    if not mine:
        return "the importing file has no level"
    return "" if LEVEL[other] < LEVEL[mine] else "not a lower level"


def import_breaches(root: Path) -> list[str]:
    files = list(sources(root))
    modules = {source.module for source in files}
    return [
        f"{source.path} imports {target}: {wrong}"
        for source in files
        for target in imports(source, modules)
        if (wrong := wrong_import(source, target))
    ]


def name_breaches(root: Path) -> list[str]:
    return [source.path for source in sources(root) if not NAMES.isdisjoint(Path(source.path).with_suffix("").parts)]


def index_breaches(root: Path) -> list[str]:
    """What stands in an index besides imports, its docstring and the lists that make it one."""
    lists = {"__all__", "app_name", "urlpatterns"}
    return [
        f"{source.path}:{node.lineno} is an index"
        for source in sources(root)
        if source.path in INDEXES
        for node in source.tree.body
        if not isinstance(node, ast.Import | ast.ImportFrom)
        and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        and not (isinstance(node, ast.Assign) and lists.issuperset(ast.unparse(t) for t in node.targets))
    ]


def wrong_node(path: str, node: ast.AST) -> str:
    """What is wrong with this piece of code in this file; empty when nothing is."""
    if isinstance(node, ast.keyword) and node.arg in ("eta", "countdown"):
        return "time lives in rows, not in messages"
    if isinstance(node, ast.Attribute) and node.attr in ("delay", "apply_async", "retry", "send_task"):
        return "nobody but the clock calls a task"
    if isinstance(node, ast.ImportFrom | ast.Import):
        names = [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
        if any(name.endswith("signals") or name in ("django.dispatch", "receiver") for name in names):
            return "no signals"
        if any(name.startswith("django.views.generic") or name == "View" for name in names):
            return "views are functions"
    if path not in SAFE and "mark_safe" in (getattr(node, "id", ""), getattr(node, "name", "")):
        return "only prose.py calls text safe"
    called = node.func if isinstance(node, ast.Call) else None
    called_name = getattr(called, "attr", getattr(called, "id", ""))
    if called_name in ("cursor", "raw", "RawSQL", "extra") and path not in SQL:
        return "raw SQL"
    return ""


def code_breaches(root: Path) -> list[str]:
    return [
        f"{source.path}:{getattr(node, 'lineno', '?')} {wrong}"
        for source in sources(root)
        for node in ast.walk(source.tree)
        if (wrong := wrong_node(source.path, node))
    ]


def template_breaches(root: Path) -> list[str]:
    """Unescaped text anywhere; inline style or script wherever our Content-Security-Policy holds."""
    inline = r"|\sstyle\s*=|<style|\son[a-z]+\s*=\s*[\"']|<script(?![^>]*\ssrc=)"
    found = []
    for file in sorted((root / "templates").rglob("*.html")):
        path = file.relative_to(root).as_posix()
        if path in SAFE:
            continue
        free = path.startswith(("templates/emails/", "templates/pdf/"))
        wall = re.compile(r"\|\s*safe\b|autoescape\s+off|\|\s*safeseq\b" + ("" if free else inline), re.IGNORECASE)
        found += [f"{path}: {hit[0].strip()}" for hit in wall.finditer(file.read_text())]
    return found


def function_lengths(root: Path) -> dict[str, int]:
    return {
        f"{source.path}:{node.lineno} {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for source in sources(root)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


CHECKS = [import_breaches, name_breaches, index_breaches, code_breaches, template_breaches]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_every_wall_of_the_design_stands(check):
    assert check(ROOT) == []


def test_no_function_is_too_long_to_read():
    lengths = function_lengths(ROOT)

    assert {name: lines for name, lines in lengths.items() if lines > LONGEST} == {}
    assert sorted(lengths.values())[int(len(lengths) * 0.95)] <= USUAL


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("irportal/ledger/actions.py", "from incidents.lifecycle import models"),
        ("irportal/ledger/actions.py", "from irportal.outbox import actions"),
        ("irportal/accounts/actions.py", "from irportal.outbox import actions"),
        ("statuspage/views.py", "from incidents.lifecycle.models import Incident"),
        ("statuspage/admin.py", "def late():\n    import incidents.comms.actions"),
        ("incidents/policy/matrix.py", "from incidents.lifecycle.models import Incident"),
        ("incidents/comms/actions.py", "from incidents.postmortems import actions"),
        ("incidents/comms/actions.py", "from incidents import workflow"),
        ("incidents/comms/actions.py", "from ..postmortems import actions"),
        ("incidents/lifecycle/actions.py", "from incidents.comms.models import CommsDuty"),
        ("incidents/comms/actions.py", "from incidents.comms import views"),
        ("incidents/comms/actions.py", "from incidents.models import Incident"),
        ("incidents/comms/views.py", "from incidents.lifecycle import views"),
        ("incidents/workflow.py", "from statuspage import publish"),
        ("incidents/lifecycle/views.py", "from statuspage.publish import open_notice"),
        ("incidents/comms/actions.py", "from incidents.nowhere import x"),
        ("incidents/comms/utils.py", ""),
        ("incidents/helpers/text.py", ""),
        ("incidents/models.py", "LIMIT = 5"),
        ("incidents/urls.py", "def view(request): ..."),
        ("incidents/comms/actions.py", "send.apply_async(args)"),
        ("incidents/comms/actions.py", "send.s(eta=tomorrow)"),
        ("incidents/comms/actions.py", "send.delay(1)"),
        ("incidents/comms/tasks.py", "self.retry()"),
        ("incidents/comms/models.py", "from django.db.models.signals import post_save"),
        ("incidents/comms/models.py", "from django.dispatch import receiver"),
        ("incidents/comms/views.py", "from django.views.generic import ListView"),
        ("incidents/comms/views.py", "from django.utils.safestring import mark_safe"),
        ("incidents/comms/models.py", "connection.cursor()"),
        ("incidents/comms/models.py", "Incident.objects.raw('select 1')"),
        ("templates/incidents/page.html", "{{ text|safe }}"),
        ("templates/emails/update/mail.html", "{{ text | safe }}"),
        ("templates/incidents/page.html", "{% autoescape off %}"),
        ("templates/incidents/page.html", "<p style='color: red'>"),
        ("templates/incidents/page.html", "<script>alert(1)</script>"),
        ("templates/incidents/page.html", "<a onclick='x()'>"),
    ],
)
def test_a_breach_is_found(tmp_path, path, text):
    plant(tmp_path, path, text)

    assert [breach for check in CHECKS for breach in check(tmp_path)]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("incidents/comms/actions.py", "from statuspage import publish"),
        ("incidents/comms/actions.py", "from incidents.lifecycle.models import Incident"),
        ("incidents/lifecycle/views.py", "from incidents import workflow"),
        ("incidents/lifecycle/urls.py", "from incidents.lifecycle import views"),
        ("incidents/management/commands/demo.py", "from incidents.comms import actions"),
        ("incidents/models.py", "'''Index.'''\nfrom incidents.comms.models import A\n__all__ = ['A']"),
        ("irportal/outbox/actions.py", "from irportal.ledger import actions"),
        ("irportal/prose.py", "from django.utils.safestring import mark_safe"),
        ("templates/emails/update/mail.html", "<p style='color: red'>"),
        ("templates/incidents/page.html", "<script src='x.js'></script>"),
    ],
)
def test_what_the_design_allows_is_no_breach(tmp_path, path, text):
    plant(tmp_path, path, text)

    assert [breach for check in CHECKS for breach in check(tmp_path)] == []


def test_a_function_of_sixty_lines_is_too_long(tmp_path):
    plant(tmp_path, "incidents/comms/actions.py", "def f():\n" + "    x = 1\n" * 59)

    assert max(function_lengths(tmp_path).values()) == 60


PLANTED = """
incidents/comms/views incidents/comms/models incidents/lifecycle/views incidents/lifecycle/models
incidents/lifecycle/actions incidents/models incidents/postmortems/actions incidents/workflow
irportal/ledger/actions irportal/outbox/actions statuspage/publish
"""


def plant(root: Path, path: str, text: str) -> None:
    """A small tree of ours with this text in this file."""
    for module in PLANTED.split():
        write(root / f"{module}.py", "")
    write(root / path, text)


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
