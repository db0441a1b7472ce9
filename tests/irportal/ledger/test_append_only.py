"""Rows of the ledger can be added and nothing else, whichever way one tries."""

import pytest
from django.db import DatabaseError, connection, transaction

from irportal.ledger import actions
from irportal.ledger.models import Checkpoint, Entry

pytestmark = pytest.mark.django_db


@pytest.fixture
def entry():
    return actions.append("incident.declared", subject="INC-1", by=None, title="Searches fail")


@pytest.fixture
def checkpoint(entry):
    return actions.make_checkpoint()


def refused(deed) -> bool:
    try:
        with transaction.atomic():
            deed()
    except DatabaseError as problem:
        return "append-only" in str(problem)
    return False


def sql(statement: str) -> bool:
    def run():
        with connection.cursor() as cursor:
            cursor.execute(statement)

    return refused(run)


def test_an_entry_cannot_be_changed_or_deleted_through_django(entry):
    assert refused(lambda: Entry.objects.filter(n=entry.n).update(deed="incident.closed"))
    assert refused(lambda: Entry.objects.all().delete())


@pytest.mark.parametrize("table", ["ledger_entry", "ledger_checkpoint"])
def test_sql_cannot_delete_rows(table, checkpoint):
    assert sql(f"DELETE FROM {table}")


@pytest.mark.parametrize(
    "statement",
    ["UPDATE ledger_entry SET line = '{}'", "UPDATE ledger_entry SET n = n", "UPDATE ledger_checkpoint SET root = 'x'"],
)
def test_sql_cannot_change_rows(statement, checkpoint):
    assert sql(statement)


@pytest.mark.parametrize("table", ["ledger_entry", "ledger_checkpoint"])
def test_a_table_cannot_be_emptied_at_once_on_postgresql(table, checkpoint):
    if connection.vendor != "postgresql":
        assert sql(f"DELETE FROM {table} WHERE 1")  # SQLite has no TRUNCATE; this is its fast path
    else:
        assert sql(f"TRUNCATE {table}")
        assert sql(f"TRUNCATE {table} CASCADE")


def test_a_row_cannot_be_replaced_by_inserting_it_again(entry):
    columns = "n, recorded_at, deed, subject, line, leaf"
    copy = f"SELECT n, recorded_at, 'other', subject, line, leaf FROM ledger_entry WHERE n = {entry.n}"
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA recursive_triggers=OFF")  # as any other program finds it
        assert sql(f"INSERT OR REPLACE INTO ledger_entry ({columns}) {copy}")
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA recursive_triggers=ON")
    conflict = "WHERE true ON CONFLICT (n) DO UPDATE SET deed = 'other'"
    assert sql(f"INSERT INTO ledger_entry ({columns}) SELECT * FROM ({copy}) AS c {conflict}")
    assert Entry.objects.get(n=entry.n).deed == "incident.declared"


def test_replication_mode_does_not_open_the_wall(entry):
    if connection.vendor != "postgresql":
        pytest.skip("only PostgreSQL has a replication mode")
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")

    assert sql("DELETE FROM ledger_entry")


@transaction.atomic
def close_and_fail() -> None:
    actions.append("incident.closed", subject="INC-1", by=None)
    raise ZeroDivisionError


def test_what_is_rolled_back_leaves_nothing_and_no_gap(entry):
    with pytest.raises(ZeroDivisionError):
        close_and_fail()

    assert actions.append("incident.reopened", subject="INC-1", by=None).n == entry.n + 1
    assert list(Entry.objects.values_list("deed", flat=True)) == ["incident.declared", "incident.reopened"]


def test_nothing_new_makes_no_second_checkpoint(checkpoint):
    assert actions.make_checkpoint() == checkpoint
    assert Checkpoint.objects.count() == 1


def test_a_deed_names_who_did_it(grace):
    line = actions.append("incident.declared", subject="INC-1", by=grace).line

    assert '"by":"grace@example.com"' in line


def test_a_deed_of_the_engine_says_so(entry):
    assert '"by":"engine"' in entry.line
