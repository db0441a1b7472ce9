"""The operations guide names everything an operator can set, run, watch or call."""

import ast
from pathlib import Path

import pytest
from django.conf import settings
from django.urls import get_resolver

ROOT = Path(__file__).resolve().parent.parent
GUIDE = ROOT / "docs" / "operations.md"


def settings_read(text: str) -> set[str]:
    """Every NAME of `env.kind("NAME", ...)` and `_required("NAME")`."""
    return {
        node.args[0].value
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant)
        if ast.unparse(node.func).startswith(("env.", "_required")) and isinstance(node.args[0].value, str)
    }


def our_settings() -> set[str]:
    return settings_read((ROOT / "irportal" / "settings.py").read_text())


def our_jobs() -> set[str]:
    return {job["task"] for job in settings.CELERY_BEAT_SCHEDULE.values()}


def our_commands() -> set[str]:
    files = [file for name in ("irportal", "incidents", "statuspage") for file in (ROOT / name).rglob("commands/*.py")]
    return {file.stem for file in files if file.stem != "__init__"}


def our_addresses() -> set[str]:
    """The first step of every address: `/portal/`, `/healthz`, `/api/`."""
    return {"/" + first_step(str(entry.pattern)) for entry in flat(get_resolver().url_patterns)}


def first_step(route: str) -> str:
    head, slash, _ = route.lstrip("^").partition("/")
    return "" if head.startswith(("<", "(")) else head + slash


def flat(entries) -> list:
    """Patterns of the root, and of what is included at the root without a prefix."""
    return [
        leaf
        for entry in entries
        for leaf in (flat(entry.url_patterns) if hasattr(entry, "url_patterns") and not str(entry.pattern) else [entry])
    ]


@pytest.mark.parametrize("name", sorted(our_settings()))
def test_every_setting_is_in_the_guide(name):
    assert f"`{name}`" in GUIDE.read_text()


@pytest.mark.parametrize("name", sorted(our_jobs()))
def test_every_job_of_the_clock_is_in_the_guide(name):
    assert f"`{name}`" in GUIDE.read_text()


@pytest.mark.parametrize("name", sorted(our_commands()))
def test_every_command_is_in_the_guide(name):
    assert f"manage.py {name}" in GUIDE.read_text() or f"`{name}`" in GUIDE.read_text()


@pytest.mark.parametrize("address", sorted(our_addresses()))
def test_every_address_is_in_the_guide(address):
    assert f"`{address}" in GUIDE.read_text()


def test_a_setting_is_found_however_it_is_read():
    text = 'A = env.str("A_NAME", "x") or env.bool("B_NAME", False)\nC = _required("C_NAME") or env.int("D_NAME")'

    assert settings_read(text) == {"A_NAME", "B_NAME", "C_NAME", "D_NAME"}
