"""Walls: a try is written once and ended once. Nothing else of it changes, and none is ever removed."""

from django.db import migrations

CHANGED = """OLD.finished_at IS NOT NULL OR NEW.finished_at IS NULL OR NEW.id <> OLD.id OR NEW.n <> OLD.n
OR NEW.delivery_id <> OLD.delivery_id OR NEW.started_at <> OLD.started_at OR NEW.worker <> OLD.worker"""
REFUSE = "BEGIN SELECT RAISE(ABORT, 'append-only'); END"
SQLITE = [
    f"CREATE TRIGGER outbox_attempt_u BEFORE UPDATE ON outbox_attempt WHEN {CHANGED} {REFUSE}",
    f"CREATE TRIGGER outbox_attempt_d BEFORE DELETE ON outbox_attempt {REFUSE}",
    f"""CREATE TRIGGER outbox_attempt_i BEFORE INSERT ON outbox_attempt WHEN EXISTS
    (SELECT 1 FROM outbox_attempt a WHERE a.id = NEW.id OR a.delivery_id = NEW.delivery_id AND a.n = NEW.n) {REFUSE}""",
]
RUN = "EXECUTE FUNCTION outbox_append_only()"
# The test stands inside a function: PostgreSQL keeps that ready, a WHEN it would read anew with every statement.
POSTGRES = [
    """CREATE FUNCTION outbox_append_only() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'append-only'; END $$""",
    f"""CREATE FUNCTION outbox_ends_once() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN IF {CHANGED} THEN RAISE EXCEPTION 'append-only'; END IF; RETURN NEW; END $$""",
    "CREATE TRIGGER outbox_attempt_u BEFORE UPDATE ON outbox_attempt FOR EACH ROW EXECUTE FUNCTION outbox_ends_once()",
    f"CREATE TRIGGER outbox_attempt_d BEFORE DELETE ON outbox_attempt FOR EACH ROW {RUN}",
    f"CREATE TRIGGER outbox_attempt_t BEFORE TRUNCATE ON outbox_attempt FOR EACH STATEMENT {RUN}",
    *(f"ALTER TABLE outbox_attempt ENABLE ALWAYS TRIGGER outbox_attempt_{letter}" for letter in "udt"),
]
# A claim then finds room on the row's own page and leaves the indexes alone.
POSTGRES.append("ALTER TABLE outbox_delivery SET (fillfactor = 50)")
TRIGGERS = {"sqlite": "udi", "postgresql": "udt"}


def build(apps, editor):
    for statement in SQLITE if editor.connection.vendor == "sqlite" else POSTGRES:
        editor.execute(statement, params=None)


def remove(apps, editor):
    vendor = editor.connection.vendor
    for letter in TRIGGERS[vendor]:
        editor.execute(f"DROP TRIGGER outbox_attempt_{letter}" + (" ON outbox_attempt" if vendor == "postgresql" else ""))
    if vendor == "postgresql":
        editor.execute("DROP FUNCTION outbox_append_only(), outbox_ends_once()")


class Migration(migrations.Migration):
    dependencies = [("outbox", "0001_initial")]
    operations = [migrations.RunPython(build, remove)]
