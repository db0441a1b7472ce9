"""The words of the public page and its mails: which there are, and their catalogues under locale/.

`python -m tests.messages` (`make messages`) adds what is new to every catalogue, takes out what is gone, and compiles.
"""

import ast
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parent.parent
NEVER = datetime(2026, 1, 1, tzinfo=UTC)  # in place of when: the same sources give the same bytes
LOCALES = sorted(folder.name for folder in (ROOT / "locale").iterdir())
# How many of the arguments are a context, a text, its plural
PLURALS = {
    "de": "nplurals=2; plural=(n != 1);",
    "fr": "nplurals=2; plural=(n > 1);",
    "es": "nplurals=2; plural=(n != 1);",
    "ja": "nplurals=1; plural=0;",
    "pt_BR": "nplurals=2; plural=(n > 1);",
}
CALLS = {"gettext": (0, 1, 0), "pgettext": (1, 1, 0), "ngettext": (0, 1, 1), "npgettext": (1, 1, 1)}
NAMES = {f"{name}{end}": counts for name, counts in CALLS.items() for end in ("", "_lazy", "_noop")} | {
    "_": CALLS["gettext"]
}


class Message(NamedTuple):
    text: str
    plural: str = ""
    context: str = ""

    @property
    def id(self) -> str | tuple[str, str]:
        return (self.text, self.plural) if self.plural else self.text


def messages() -> dict[Message, list[str]]:
    """Every message that is marked, and the files it is in."""
    found: dict[Message, list[str]] = {}
    for package in ("irportal", "incidents", "statuspage"):
        for file in sorted((ROOT / package).rglob("*.py")):
            _add(found, file, in_python(file.read_text()))
    for file in sorted((ROOT / "templates").rglob("*.*")):
        _add(found, file, in_template(file.read_text()))
    return found


def _add(found: dict[Message, list[str]], file: Path, there: Iterator[Message]) -> None:
    for message in there:
        files = found.setdefault(message, [])
        if (name := file.relative_to(ROOT).as_posix()) not in files:
            files.append(name)


def in_python(source: str) -> Iterator[Message]:
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        counts = NAMES.get(getattr(node.func, "attr", getattr(node.func, "id", "")))
        if counts and len(node.args) >= sum(counts):
            words = [arg.value for arg in node.args[: sum(counts)] if isinstance(arg, ast.Constant)]
            if len(words) == sum(counts) and all(isinstance(word, str) for word in words):
                context = words.pop(0) if counts[0] else ""
                yield Message(*words, context=context)


def in_template(source: str) -> Iterator[Message]:
    from django.template import engines
    from django.templatetags.i18n import BlockTranslateNode, TranslateNode

    nodes = engines["django"].from_string(source).template.nodelist
    for node in nodes.get_nodes_by_type(TranslateNode):
        context = node.message_context.resolve({}) if node.message_context else ""
        yield Message(str(node.filter_expression.var.literal), context=context)
    for node in nodes.get_nodes_by_type(BlockTranslateNode):
        context = node.message_context.resolve({}) if node.message_context else ""
        plural = node.render_token_list(node.plural)[0] if node.plural else ""
        yield Message(node.render_token_list(node.singular)[0], plural, context)


def source_of(locale: str) -> Path:
    return ROOT / "locale" / locale / "LC_MESSAGES" / "django.po"


def read(locale: str) -> Catalog:
    with source_of(locale).open("rb") as file:
        found = read_po(file, locale=locale)
    found.creation_date = found.revision_date = NEVER
    return found


def compiled(catalogue: Catalog) -> bytes:
    """What gettext reads."""
    written = BytesIO()
    write_mo(written, catalogue)
    return written.getvalue()


def _drop_dates(file: Path) -> None:
    """And names: they say nothing the record of changes does not, and differ with every run."""
    dull = ('"POT-', '"PO-', '"Last-', '"Language-Team', '"Report-', '"Project-', '"Generated-')
    kept = [line for line in file.read_text().splitlines(keepends=True) if not line.startswith(dull)]
    file.write_text("".join(kept).lstrip())


def update() -> None:
    """Bring every catalogue up to what is marked; whatever has no words yet is left empty."""
    there = messages()
    for locale in LOCALES:
        old = read(locale)
        new = Catalog(locale=locale, fuzzy=False, header_comment="", project="incident-portal", version="1")
        new.mime_headers = [
            ("Language", locale),
            ("MIME-Version", "1.0"),
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Transfer-Encoding", "8bit"),
            ("Plural-Forms", PLURALS[locale]),
        ]
        for message, files in there.items():
            known = old.get(message.id, message.context or None)
            flags = ["python-format"] if "%(" in message.text else []
            new.add(
                message.id,
                known.string if known else "",
                locations=[(file, None) for file in files],
                context=message.context or None,
                flags=flags,
            )
        with source_of(locale).open("wb") as file:
            write_po(file, new, width=110, sort_by_file=True)
        _drop_dates(source_of(locale))
        source_of(locale).with_suffix(".mo").write_bytes(compiled(read(locale)))


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "irportal.settings")
    import django

    django.setup()
    update()
