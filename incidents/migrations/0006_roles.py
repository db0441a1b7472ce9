"""Hand-overs, shift sheets, calls, the recovery gate and controls; most of it is written once and never changed."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

# Never changed at all; and those where one column may be filled in, once.
TABLES = ["incidents_reading", "incidents_gatetick", "incidents_contactreview"]
ONCE = {
    "incidents_handover": (
        ["id", "incident_id", "term_id", "role", "giver_id", "taker_id", "at", "by_id", "still_open"],
        "taken_at",
    ),
    "incidents_shiftsheet": (
        ["id", "giver_id", "taker_id", "made_at", "questions", "content", "sha256"],
        "taken_at",
    ),
    "incidents_call": (
        ["id", "incident_id", "cause", "role", "person_id", "channel", "made_at", "announcement_key"],
        "acknowledged_at",
    ),
    "incidents_controlrun": (
        ["id", "incident_id", "kind", "target", "started_at", "started_by_id", "recorded_at", "recorded_by_id"],
        "confirmed_at",
    ),
}
SQLITE = {
    "u": "CREATE TRIGGER {table}_u BEFORE UPDATE ON {table} BEGIN SELECT RAISE(ABORT, 'append-only'); END",
    "d": "CREATE TRIGGER {table}_d BEFORE DELETE ON {table} BEGIN SELECT RAISE(ABORT, 'append-only'); END",
    "i": "CREATE TRIGGER {table}_i BEFORE INSERT ON {table} WHEN EXISTS (SELECT 1 FROM {table} WHERE id = NEW.id) "
    "BEGIN SELECT RAISE(ABORT, 'append-only'); END",
}
SQLITE_ONCE = {
    "u": "CREATE TRIGGER {table}_u BEFORE UPDATE OF {fixed} ON {table} BEGIN SELECT RAISE(ABORT, 'append-only'); END",
    "o": "CREATE TRIGGER {table}_o BEFORE UPDATE ON {table} WHEN OLD.{once} IS NOT NULL "
    "BEGIN SELECT RAISE(ABORT, 'append-only'); END",
    "d": SQLITE["d"],
    "i": SQLITE["i"],
}
POSTGRES = {
    "row": "CREATE TRIGGER {table}_row BEFORE UPDATE OR DELETE ON {table} "
    "FOR EACH ROW EXECUTE FUNCTION ledger_append_only()",
    "all": "CREATE TRIGGER {table}_all BEFORE TRUNCATE ON {table} "
    "FOR EACH STATEMENT EXECUTE FUNCTION ledger_append_only()",
}
POSTGRES_ONCE = {
    "row": "CREATE TRIGGER {table}_row BEFORE DELETE OR UPDATE OF {fixed} ON {table} "
    "FOR EACH ROW EXECUTE FUNCTION ledger_append_only()",
    "once": "CREATE TRIGGER {table}_once BEFORE UPDATE ON {table} "
    "FOR EACH ROW WHEN (OLD.{once} IS NOT NULL) EXECUTE FUNCTION ledger_append_only()",
    "all": POSTGRES["all"],
}


def walls(postgres):
    """Table, name and statement of every trigger."""
    whole, once = (POSTGRES, POSTGRES_ONCE) if postgres else (SQLITE, SQLITE_ONCE)
    for table in TABLES:
        for name, statement in whole.items():
            yield table, name, statement.format(table=table)
    for table, (fixed, column) in ONCE.items():
        quoted = ", ".join(f'"{name}"' for name in fixed)
        for name, statement in once.items():
            yield table, name, statement.format(table=table, fixed=quoted, once=column)


def build(apps, editor):
    postgres = editor.connection.vendor == "postgresql"
    with editor.connection.cursor() as cursor:
        for table, name, statement in walls(postgres):
            cursor.execute(statement)
            if postgres:
                cursor.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_{name}")


def remove(apps, editor):
    postgres = editor.connection.vendor == "postgresql"
    with editor.connection.cursor() as cursor:
        for table, name, _ in walls(postgres):
            cursor.execute(f"DROP TRIGGER {table}_{name}" + (f" ON {table}" if postgres else ""))


def name_who_acknowledged(apps, editor):
    """As the record tells it: the line that says so, or whoever declared it and commanded it."""
    incidents = apps.get_model("incidents", "Incident").objects.filter(acknowledged_at__isnull=False)
    lines = apps.get_model("incidents", "TimelineEntry").objects.filter(marker="acknowledged")
    said = dict(lines.order_by("pk").values_list("incident_id", "author_id"))
    for incident in incidents.iterator():
        by = said.get(incident.pk) or (
            incident.declared_by_id if incident.acknowledged_at == incident.declared_at else None
        )
        incidents.filter(pk=incident.pk).update(acknowledged_by=by)


class Migration(migrations.Migration):

    dependencies = [
        ('incidents', '0005_policy'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name='incident',
            name='acknowledged_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='incident',
            name='gate_missing',
            field=models.TextField(blank=True, help_text='What the gate still asked for when it was overridden'),
        ),
        migrations.CreateModel(
            name='ContactReview',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField()),
                ('gaps', models.PositiveSmallIntegerField()),
                ('by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['-at', '-id'],
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='Call',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('cause', models.CharField(choices=[('declared', 'Declared'), ('unacknowledged', 'Nobody had acknowledged it'), ('unresolved', 'Still not resolved'), ('overdue', 'A promise was not kept in time'), ('handover', 'A role was given')], max_length=14)),
                ('role', models.CharField(blank=True, choices=[('incident_commander', 'Incident commander'), ('technical_lead', 'Technical lead'), ('ai_lead', 'AI lead'), ('security_lead', 'Security lead'), ('comms_lead', 'Comms lead'), ('legal_lead', 'Legal lead'), ('customer_trust', 'Customer trust'), ('executive_sponsor', 'Executive sponsor'), ('management', 'Management'), ('owning_team', 'Owning team'), ('scribe', 'Scribe'), ('privacy_lead', 'Privacy lead'), ('compliance_lead', 'Compliance lead'), ('backup_on_call', 'Backup on call')], max_length=30)),
                ('channel', models.CharField(choices=[('smtp', 'E-mail'), ('chat', 'Chat rooms')], max_length=5)),
                ('made_at', models.DateTimeField()),
                ('announcement_key', models.CharField(max_length=120)),
                ('acknowledged_at', models.DateTimeField(null=True)),
                ('incident', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='calls', to='incidents.incident')),
                ('person', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['made_at', 'id'],
                'default_permissions': (),
                'indexes': [models.Index(models.F('incident'), models.F('made_at'), name='call_by_time'), models.Index(models.F('announcement_key'), name='call_of_announcement')],
                'constraints': [models.CheckConstraint(condition=models.Q(('acknowledged_at', None), ('person__isnull', False), _connector='OR'), name='call_acknowledged_by_person')],
            },
        ),
        migrations.CreateModel(
            name='ControlRun',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('kill_switch', 'Kill switch'), ('rollback', 'Rollback')], max_length=12)),
                ('target', models.CharField(help_text='Which agent, model or service', max_length=120)),
                ('started_at', models.DateTimeField(help_text='Pressed, or authorised')),
                ('recorded_at', models.DateTimeField()),
                ('confirmed_at', models.DateTimeField(null=True)),
                ('proof', models.CharField(blank=True, help_text='How it was seen', max_length=300)),
                ('confirmed_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('incident', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='control_runs', to='incidents.incident')),
                ('recorded_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('started_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['started_at', 'id'],
                'default_permissions': (),
                'constraints': [models.CheckConstraint(condition=models.Q(('confirmed_at', None), ('confirmed_at__gte', models.F('started_at')), _connector='OR'), name='control_confirmed_after_start', violation_error_message='It cannot be confirmed before it began.'), models.CheckConstraint(condition=models.Q(models.Q(('confirmed_at', None), ('confirmed_by', None)), models.Q(('confirmed_at__isnull', False), ('confirmed_by__isnull', False)), _connector='OR'), name='control_confirmed_by_somebody')],
            },
        ),
        migrations.CreateModel(
            name='GateTick',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(max_length=30)),
                ('given', models.BooleanField()),
                ('note', models.CharField(blank=True, max_length=300)),
                ('at', models.DateTimeField()),
                ('by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('incident', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='gate_ticks', to='incidents.incident')),
            ],
            options={
                'ordering': ['at', 'id'],
                'default_permissions': (),
                'constraints': [models.CheckConstraint(condition=models.Q(('given', True), models.Q(('note', ''), _negated=True), _connector='OR'), name='gate_tick_taken_back_has_reason')],
            },
        ),
        migrations.CreateModel(
            name='Handover',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('role', models.CharField(choices=[('incident_commander', 'Incident commander'), ('technical_lead', 'Technical lead'), ('ai_lead', 'AI lead'), ('security_lead', 'Security lead'), ('comms_lead', 'Comms lead'), ('legal_lead', 'Legal lead'), ('customer_trust', 'Customer trust'), ('executive_sponsor', 'Executive sponsor'), ('management', 'Management'), ('owning_team', 'Owning team'), ('scribe', 'Scribe'), ('privacy_lead', 'Privacy lead'), ('compliance_lead', 'Compliance lead'), ('backup_on_call', 'Backup on call')], max_length=30)),
                ('at', models.DateTimeField()),
                ('still_open', models.TextField(max_length=2000, verbose_name='what is open')),
                ('taken_at', models.DateTimeField(null=True)),
                ('by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('giver', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('incident', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='handovers', to='incidents.incident')),
                ('term', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='handover', to='incidents.roleassignment')),
                ('taker', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['at', 'id'],
                'default_permissions': (),
                'constraints': [models.CheckConstraint(condition=models.Q(('giver', models.F('taker')), _negated=True), name='handover_between_two'), models.CheckConstraint(condition=models.Q(('still_open', ''), _negated=True), name='handover_says_what_is_open', violation_error_message='Say what is open, or that nothing is.')],
            },
        ),
        migrations.CreateModel(
            name='Reading',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('signal', models.CharField(choices=[('error_rate', 'Error rate'), ('latency', 'Latency, P95'), ('new_alerts', 'New alerts since Monitoring began')], max_length=12)),
                ('number', models.DecimalField(decimal_places=3, max_digits=12)),
                ('unit', models.CharField(max_length=12)),
                ('baseline', models.DecimalField(decimal_places=3, max_digits=12, null=True)),
                ('source', models.CharField(help_text='Where it was read', max_length=120)),
                ('at', models.DateTimeField()),
                ('recorded_at', models.DateTimeField()),
                ('by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('incident', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='readings', to='incidents.incident')),
            ],
            options={
                'ordering': ['at', 'id'],
                'default_permissions': (),
                'indexes': [models.Index(models.F('incident'), models.F('at'), name='reading_by_time')],
                'constraints': [models.CheckConstraint(condition=models.Q(('number__gte', 0)), name='reading_not_negative', violation_error_message='That is below zero.')],
            },
        ),
        migrations.CreateModel(
            name='ShiftSheet',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('made_at', models.DateTimeField()),
                ('questions', models.TextField(max_length=4000, verbose_name='open questions')),
                ('content', models.JSONField(help_text='What was open, as the sheet prints it')),
                ('sha256', models.CharField(help_text='Of people, questions and content: what both sign', max_length=64)),
                ('taken_at', models.DateTimeField(null=True)),
                ('giver', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('taker', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['-made_at', '-id'],
                'default_permissions': (),
                'constraints': [models.CheckConstraint(condition=models.Q(('giver', models.F('taker')), _negated=True), name='shift_between_two')],
            },
        ),
        migrations.RunPython(name_who_acknowledged, migrations.RunPython.noop),
        migrations.RunPython(build, remove),
    ]
