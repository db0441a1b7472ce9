"""Walls: lines of the record, decisions on severity and approvals are never changed or removed; corrections are new lines."""

from django.db import migrations

TABLES = ["incidents_timelineentry", "incidents_severitychange", "incidents_approval"]
SQLITE = {
    "u": "CREATE TRIGGER {table}_u BEFORE UPDATE ON {table} BEGIN SELECT RAISE(ABORT, 'append-only'); END",
    "d": "CREATE TRIGGER {table}_d BEFORE DELETE ON {table} BEGIN SELECT RAISE(ABORT, 'append-only'); END",
    "i": "CREATE TRIGGER {table}_i BEFORE INSERT ON {table} WHEN EXISTS (SELECT 1 FROM {table} WHERE id = NEW.id) "
    "BEGIN SELECT RAISE(ABORT, 'append-only'); END",
}
POSTGRES = {
    "row": "CREATE TRIGGER {table}_row BEFORE UPDATE OR DELETE ON {table} "
    "FOR EACH ROW EXECUTE FUNCTION ledger_append_only()",
    "all": "CREATE TRIGGER {table}_all BEFORE TRUNCATE ON {table} "
    "FOR EACH STATEMENT EXECUTE FUNCTION ledger_append_only()",
}


def build(apps, editor):
    postgres = editor.connection.vendor == "postgresql"
    with editor.connection.cursor() as cursor:
        for table in TABLES:
            for name, statement in (POSTGRES if postgres else SQLITE).items():
                cursor.execute(statement.format(table=table))
                if postgres:
                    cursor.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_{name}")


def remove(apps, editor):
    postgres = editor.connection.vendor == "postgresql"
    with editor.connection.cursor() as cursor:
        for table in TABLES:
            for name in POSTGRES if postgres else SQLITE:
                cursor.execute(f"DROP TRIGGER {table}_{name}" + (f" ON {table}" if postgres else ""))


class Migration(migrations.Migration):
    dependencies = [("incidents", "0001_initial"), ("ledger", "0002_append_only")]
    operations = [migrations.RunPython(build, remove)]
