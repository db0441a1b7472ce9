"""The rows of a database dump: `INSERT INTO … VALUES` as mysqldump, SQLite's .dump and pg_dump --inserts write it."""

import re
from collections.abc import Iterator
from typing import NamedTuple

Value = str | int | float | None
NAME = r'(?:[`"]?\w+[`"]?\.)?[`"]?(\w+)[`"]?'
CREATE = re.compile(rf"^CREATE TABLE (?:IF NOT EXISTS )?{NAME}\s*\(", re.IGNORECASE | re.MULTILINE)
INSERT = re.compile(rf"^INSERT (?:IGNORE )?INTO {NAME}\s*(?:\(([^)]*)\))?\s*VALUES\s*", re.IGNORECASE | re.MULTILINE)
COLUMN = re.compile(r'^\s*[`"](\w+)[`"]', re.MULTILINE)
REST = r"(?P<sign>[(),;])|(?P<word>[^\s(),;']+))"
# MySQL has its strings escaped by backslashes, the others know only doubled quotes; its names stand in backticks.
BACKSLASHED = re.compile(rf"\s*(?:(?P<text>[NX_a-z0-9]*'(?:[^'\\]++|\\.|'')*+')|{REST}", re.DOTALL)
DOUBLED = re.compile(rf"\s*(?:(?P<text>[NEX]?'(?:[^']++|'')*+')|{REST}", re.DOTALL)
ESCAPE = re.compile(r"\\(.)|''", re.DOTALL)
MEANS = {"n": "\n", "r": "\r", "t": "\t", "0": "\0", "b": "\b", "Z": "\x1a"}
WORDS: dict[str, Value] = {"NULL": None, "TRUE": 1, "FALSE": 0}


class Row(NamedTuple):
    """One row of a table and the line it stands on."""

    table: str
    line: int
    values: dict[str, Value]


def rows(text: str) -> Iterator[Row]:
    """Every row a dump inserts, in its order. Rows whose columns are unknown, or another number, are left out."""
    columns = {match[1]: _columns(text, match.end()) for match in CREATE.finditer(text)}
    token = BACKSLASHED if "INSERT INTO `" in text else DOUBLED
    at, line, counted = 0, 1, 0
    while match := INSERT.search(text, at):
        table, listed = match[1], match[2]
        names = [name.strip(' `"\n\t') for name in listed.split(",")] if listed else columns.get(table, [])
        found, at = _statement(text, match.end(), token)
        for begins, values in found:
            line, counted = line + text.count("\n", counted, begins), begins
            if len(names) == len(values):
                yield Row(table, line, dict(zip(names, values, strict=True)))


def _columns(text: str, start: int) -> list[str]:
    end = text.find("\n)", start)
    return COLUMN.findall(text, start, end if end >= 0 else len(text))


def _statement(text: str, at: int, token: re.Pattern[str]) -> tuple[list[tuple[int, list[Value]]], int]:
    """Each `(…)` of one statement with where it begins, and where the statement ends."""
    found: list[tuple[int, list[Value]]] = []
    depth = 0
    while match := token.match(text, at):
        at = match.end()
        if match["sign"] == ";" and not depth:
            break
        if match["sign"] == "(":
            depth += 1
            if depth == 1:
                found.append((match.start("sign"), []))
        elif match["sign"] == ")":
            depth -= 1
        elif depth == 1 and match["sign"] is None:
            found[-1][1].append(_value(match["text"], match["word"], token))
    return found, at


def _value(text: str | None, word: str | None, token: re.Pattern[str]) -> Value:
    if text is not None:
        inside = text[text.index("'") + 1 : -1]
        if token is DOUBLED:
            return inside.replace("''", "'")
        return ESCAPE.sub(lambda found: "'" if found[1] is None else MEANS.get(found[1], found[1]), inside)
    word = word or ""
    if word.upper() in WORDS:
        return WORDS[word.upper()]
    try:
        return float(word) if "." in word else int(word)
    except ValueError:
        return word
