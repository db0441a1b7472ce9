"""The test database: is it there, its address, and how append-only tables are emptied between tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.core.cache import cache
from django.db import connection
from django.test import TransactionTestCase


def unreachable(url: str) -> str:
    """Why PostgreSQL cannot be used at this address; empty when it can."""
    try:
        psycopg.connect(url.rpartition("/")[0] + "/postgres", connect_timeout=3).close()
    except psycopg.Error as problem:
        return str(problem).strip().splitlines()[0]
    return ""


def url() -> str:
    """The address of the database this test uses, for processes of their own."""
    parts = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{parts['NAME']}"
    secret = f":{parts['PASSWORD']}" if parts["PASSWORD"] else ""
    return f"postgres://{parts['USER']}{secret}@{parts['HOST']}:{parts['PORT']}/{parts['NAME']}"


@contextmanager
def walls_down() -> Iterator[None]:
    """Within, append-only tables can be emptied or forged; afterwards every trigger stands as before."""
    with connection.cursor() as cursor:
        down, up = _sqlite_walls(cursor) if connection.vendor == "sqlite" else _postgres_walls(cursor)
        for statement in down:
            cursor.execute(statement)
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            for statement in up:
                cursor.execute(statement)


def _sqlite_walls(cursor: Any) -> tuple[list[str], list[str]]:
    cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
    triggers = cursor.fetchall()
    return [f"DROP TRIGGER {name}" for name, _ in triggers], [sql for _, sql in triggers]


def _postgres_walls(cursor: Any) -> tuple[list[str], list[str]]:
    cursor.execute("SELECT tgrelid::regclass::text, tgname, tgenabled FROM pg_trigger WHERE NOT tgisinternal")
    triggers = cursor.fetchall()
    always = {"A": "ENABLE ALWAYS", "O": "ENABLE"}
    down = [f"ALTER TABLE {table} DISABLE TRIGGER {name}" for table, name, _ in triggers]
    return down, [f"ALTER TABLE {table} {always[mode]} TRIGGER {name}" for table, name, mode in triggers]


_flush = TransactionTestCase._fixture_teardown


def _flush_behind_walls(case: TransactionTestCase) -> None:
    """Tests that really commit are cleaned up by emptying every table; append-only ones would refuse."""
    with walls_down():
        _flush(case)
    cache.clear()


TransactionTestCase._fixture_teardown = _flush_behind_walls
