"""Drafts of policies and their approval; thresholds, gates and checkpoints as data; walls around what is approved.

An approved version, everything it says and who wrote it never change; a settled choice of the default profile neither.
On SQLite the walls go with a table that is rebuilt: a later migration that alters one of these tables takes them down
first and builds them again.
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

FROZEN = "SELECT 1 FROM incidents_policyversion v WHERE v.id = {row}.version_id AND v.approved_at IS NOT NULL"
CHILDREN = [
    *("incidents_severitylevel", "incidents_notifyrule", "incidents_escalationrule", "incidents_approvalrule"),
    *("incidents_matrixcell", "incidents_commobligation", "incidents_thresholdrule", "incidents_gateitem"),
    *("incidents_checkpoint", "incidents_policywriter"),
]
VERSION, CHOICE = "incidents_policyversion", "incidents_defaultchoice"
# A row is final once one of these is set; a choice is never removed.
FINAL = {VERSION: ["approved_at", "withdrawn_at"], CHOICE: ["settled_at"]}
POSTGRES = """
CREATE FUNCTION policy_child_frozen() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP <> 'INSERT' AND EXISTS ({old}) THEN RAISE EXCEPTION 'append-only'; END IF;
  IF TG_OP <> 'DELETE' AND EXISTS ({new}) THEN RAISE EXCEPTION 'append-only'; END IF;
  IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
  RETURN NEW;
END $$
"""


def sqlite(table, name, deed, condition):
    return (
        f"CREATE TRIGGER {table}_{name} BEFORE {deed} ON {table} WHEN {condition} "
        "BEGIN SELECT RAISE(ABORT, 'append-only'); END"
    )


def sqlite_walls():
    old, new = (f"EXISTS ({FROZEN.format(row=row)})" for row in ("OLD", "NEW"))
    for table in CHILDREN:
        there = f"EXISTS (SELECT 1 FROM {table} c JOIN {VERSION} v ON v.id = c.version_id "
        there += "WHERE c.id = NEW.id AND v.approved_at IS NOT NULL)"
        yield sqlite(table, "i", "INSERT", f"{new} OR {there}")
        yield sqlite(table, "u", "UPDATE", f"{old} OR {new}")
        yield sqlite(table, "d", "DELETE", old)
    for table, final in FINAL.items():
        old = " OR ".join(f"OLD.{name} IS NOT NULL" for name in final)
        there = " OR ".join(f"{name} IS NOT NULL" for name in final)
        yield sqlite(table, "i", "INSERT", f"EXISTS (SELECT 1 FROM {table} WHERE id = NEW.id AND ({there}))")
        yield sqlite(table, "u", "UPDATE", old)
        yield sqlite(table, "d", "DELETE", "1" if table == CHOICE else old)


def postgres_walls():
    yield POSTGRES.format(old=FROZEN.format(row="OLD"), new=FROZEN.format(row="NEW"))
    for table in CHILDREN:
        yield (
            f"CREATE TRIGGER {table}_row BEFORE INSERT OR UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION policy_child_frozen()"
        )
    for table, final in FINAL.items():
        old = " OR ".join(f"OLD.{name} IS NOT NULL" for name in final)
        yield (
            f"CREATE TRIGGER {table}_row BEFORE UPDATE OR DELETE ON {table} "
            f"FOR EACH ROW WHEN ({old}) EXECUTE FUNCTION ledger_append_only()"
        )
    yield (
        f"CREATE TRIGGER {CHOICE}_never BEFORE DELETE ON {CHOICE} "
        "FOR EACH ROW EXECUTE FUNCTION ledger_append_only()"
    )
    for table in [*CHILDREN, *FINAL]:
        yield (
            f"CREATE TRIGGER {table}_all BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION ledger_append_only()"
        )
    for table in [*CHILDREN, *FINAL]:
        yield f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_row"
        yield f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_all"
    yield f"ALTER TABLE {CHOICE} ENABLE ALWAYS TRIGGER {CHOICE}_never"


def build(apps, editor):
    walls = postgres_walls() if editor.connection.vendor == "postgresql" else sqlite_walls()
    with editor.connection.cursor() as cursor:
        for statement in walls:
            cursor.execute(statement)


def remove(apps, editor):
    postgres = editor.connection.vendor == "postgresql"
    with editor.connection.cursor() as cursor:
        for table in [*CHILDREN, *FINAL]:
            for name in ("row", "all") if postgres else ("i", "u", "d"):
                cursor.execute(f"DROP TRIGGER {table}_{name}" + (f" ON {table}" if postgres else ""))
        if postgres:
            cursor.execute(f"DROP TRIGGER {CHOICE}_never ON {CHOICE}")
            cursor.execute("DROP FUNCTION policy_child_frozen()")


class Migration(migrations.Migration):

    dependencies = [
        ('incidents', '0004_runbooks'),
        ('ledger', '0002_append_only'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Checkpoint',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('rank', models.PositiveSmallIntegerField()),
                ('name', models.CharField(max_length=20)),
                ('after', models.CharField(max_length=10)),
            ],
            options={
                'ordering': ['rank', 'id'],
            },
        ),
        migrations.CreateModel(
            name='DefaultChoice',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('reason', models.CharField(max_length=300)),
                ('proposed_at', models.DateTimeField()),
                ('settled_at', models.DateTimeField(null=True)),
                ('approved', models.BooleanField(default=False)),
            ],
            options={
                'ordering': ['-id'],
            },
        ),
        migrations.CreateModel(
            name='GateItem',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('condition', 'Condition'), ('tick', 'Tick')], max_length=9)),
                ('position', models.PositiveSmallIntegerField()),
                ('text', models.CharField(max_length=120)),
            ],
            options={
                'ordering': ['kind', 'position'],
            },
        ),
        migrations.CreateModel(
            name='PolicyWriter',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
            ],
        ),
        migrations.CreateModel(
            name='ThresholdRule',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('signal', models.CharField(max_length=40)),
                ('above', models.DecimalField(decimal_places=3, max_digits=9)),
                ('suggests', models.PositiveSmallIntegerField(null=True)),
            ],
            options={
                'ordering': ['id'],
            },
        ),
        migrations.AlterModelOptions(name='notifyrule', options={'ordering': ['rank', 'id']}),
        migrations.AlterModelOptions(
            name='policyprofile',
            options={'ordering': ['name']},
        ),
        migrations.AlterModelOptions(
            name='policyversion',
            options={'permissions': [('propose_policy', 'Can draft a policy, and propose which profile new incidents take'), ('approve_policy', 'Can approve a policy somebody else wrote')]},
        ),
        migrations.AddField(
            model_name='matrixcell',
            name='note',
            field=models.CharField(blank=True, help_text='What no number says', max_length=120),
        ),
        migrations.AddField(
            model_name='policyprofile',
            name='read_only',
            field=models.BooleanField(default=False, help_text='Shipped to be read and cloned, never changed'),
        ),
        migrations.AddField(
            model_name='policyversion',
            name='author',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='policyversion',
            name='cloned_from',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='incidents.policyversion'),
        ),
        migrations.AddField(
            model_name='policyversion',
            name='customer_threshold',
            field=models.CharField(blank=True, help_text='What was agreed: above this, customers are told', max_length=200),
        ),
        migrations.AddField(
            model_name='policyversion',
            name='document',
            field=models.JSONField(default=dict, help_text='All of it in its normal form; the rows are made of this'),
        ),
        migrations.AddField(
            model_name='policyversion',
            name='revision',
            field=models.PositiveIntegerField(default=1, help_text='Counts the saves of a draft'),
        ),
        migrations.AddField(
            model_name='policyversion',
            name='submitted_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='policyversion',
            name='withdrawn_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='policyversion',
            name='withdrawn_reason',
            field=models.CharField(blank=True, max_length=300),
        ),
        migrations.AddField(
            model_name='severitylevel',
            name='page_within',
            field=models.CharField(blank=True, help_text='From declaration, until the page has left', max_length=10),
        ),
        migrations.AlterField(
            model_name='policyprofile',
            name='is_default',
            field=models.BooleanField(default=False, help_text='New incidents take it; two people decide'),
        ),
        migrations.AlterField(
            model_name='policyversion',
            name='change_note',
            field=models.CharField(blank=True, max_length=300),
        ),
        migrations.AlterField(
            model_name='policyversion',
            name='effective_from',
            field=models.DateTimeField(blank=True, help_text='Set when it is approved', null=True),
        ),
        migrations.AlterField(
            model_name='policyversion',
            name='sha256',
            field=models.CharField(help_text='Of the normal form', max_length=64),
        ),
        migrations.AlterField(
            model_name='severitylevel',
            name='acknowledge',
            field=models.CharField(blank=True, help_text='From detection, as written: 15m, 2h, 1bd_end', max_length=10),
        ),
        migrations.AlterField(
            model_name='severitylevel',
            name='name',
            field=models.CharField(blank=True, max_length=30),
        ),
        migrations.AddConstraint(
            model_name='policyversion',
            constraint=models.UniqueConstraint(models.F('profile'), condition=models.Q(('approved_at', None), ('withdrawn_at', None)), name='policy_one_draft'),
        ),
        migrations.AddConstraint(
            model_name='policyversion',
            constraint=models.CheckConstraint(condition=models.Q(('approved_by', None), ('author', None), models.Q(('approved_by', models.F('author')), _negated=True), _connector='OR'), name='policy_approved_by_another'),
        ),
        migrations.AddConstraint(
            model_name='policyversion',
            constraint=models.CheckConstraint(condition=models.Q(('approved_at', None), models.Q(('effective_from__isnull', False), ('withdrawn_at', None)), _connector='OR'), name='policy_approved_is_effective'),
        ),
        migrations.AddField(
            model_name='checkpoint',
            name='version',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='checkpoints', to='incidents.policyversion'),
        ),
        migrations.AddField(
            model_name='defaultchoice',
            name='profile',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='choices', to='incidents.policyprofile'),
        ),
        migrations.AddField(
            model_name='defaultchoice',
            name='proposed_by',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='defaultchoice',
            name='settled_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='gateitem',
            name='version',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='gate_items', to='incidents.policyversion'),
        ),
        migrations.AddField(
            model_name='policywriter',
            name='person',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='policywriter',
            name='version',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='writers', to='incidents.policyversion'),
        ),
        migrations.AddField(
            model_name='thresholdrule',
            name='version',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='thresholds', to='incidents.policyversion'),
        ),
        migrations.AddConstraint(
            model_name='checkpoint',
            constraint=models.UniqueConstraint(models.F('version'), models.F('rank'), models.F('name'), name='policy_checkpoint_once'),
        ),
        migrations.AddConstraint(
            model_name='defaultchoice',
            constraint=models.UniqueConstraint(models.F('approved'), condition=models.Q(('settled_at', None)), name='policy_one_choice_waits'),
        ),
        migrations.AddConstraint(
            model_name='defaultchoice',
            constraint=models.CheckConstraint(condition=models.Q(('approved', False), models.Q(('settled_by__isnull', False), models.Q(('settled_by', models.F('proposed_by')), _negated=True)), _connector='OR'), name='policy_choice_approved_by_another'),
        ),
        migrations.AddConstraint(
            model_name='gateitem',
            constraint=models.UniqueConstraint(models.F('version'), models.F('kind'), models.F('position'), name='gate_item_once'),
        ),
        migrations.AddConstraint(
            model_name='policywriter',
            constraint=models.UniqueConstraint(models.F('version'), models.F('person'), name='policy_writer_once'),
        ),
        migrations.RunPython(build, remove),
    ]
