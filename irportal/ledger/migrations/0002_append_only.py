"""Walls: ledger rows refuse UPDATE, DELETE (and TRUNCATE, and SQLite's INSERT OR REPLACE)."""

from django.db import migrations

SQLITE = """
CREATE TRIGGER {table}_u BEFORE UPDATE ON {table} BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER {table}_d BEFORE DELETE ON {table} BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER {table}_i BEFORE INSERT ON {table}
WHEN NEW.{key} <= COALESCE((SELECT MAX({key}) FROM {table}), -1) BEGIN SELECT RAISE(ABORT, 'append-only'); END;
"""
SQLITE_BACK = "DROP TRIGGER {table}_u; DROP TRIGGER {table}_d; DROP TRIGGER {table}_i;"
POSTGRES = """
CREATE TRIGGER {table}_row BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION ledger_append_only();
CREATE TRIGGER {table}_all BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION ledger_append_only();
ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_row;
ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_all;
"""
POSTGRES_BACK = "DROP TRIGGER {table}_row ON {table}; DROP TRIGGER {table}_all ON {table};"
FUNCTION = """
CREATE FUNCTION ledger_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'append-only'; END $$;
"""
TABLES = [("ledger_entry", "n"), ("ledger_checkpoint", "size")]


def _run(editor, statements):
    with editor.connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def _sqlite_statements(text):
    return [part.strip() + " END;" for part in text.split("END;") if part.strip()]


def build(apps, editor):
    if editor.connection.vendor == "postgresql":
        _run(editor, [FUNCTION, *(POSTGRES.format(table=table) for table, _ in TABLES)])
    else:
        for table, key in TABLES:
            _run(editor, _sqlite_statements(SQLITE.format(table=table, key=key)))


def remove(apps, editor):
    if editor.connection.vendor == "postgresql":
        _run(editor, [*(POSTGRES_BACK.format(table=table) for table, _ in TABLES), "DROP FUNCTION ledger_append_only()"])
    else:
        for table, _ in TABLES:
            _run(editor, [part + ";" for part in SQLITE_BACK.format(table=table).split(";") if part.strip()])


class Migration(migrations.Migration):
    dependencies = [("ledger", "0001_initial")]
    operations = [migrations.RunPython(build, remove)]
