"""Runbooks, their versions and runs. Versions, their steps and what was said of a step never change."""

from importlib import import_module

import django.core.validators
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

walls = import_module("incidents.migrations.0002_append_only")
TABLES = ["incidents_runbookversion", "incidents_runbookstep", "incidents_stepchange"]


def build(apps, editor):
    postgres = editor.connection.vendor == "postgresql"
    with editor.connection.cursor() as cursor:
        for table in TABLES:
            for name, statement in (walls.POSTGRES if postgres else walls.SQLITE).items():
                cursor.execute(statement.format(table=table))
                if postgres:
                    cursor.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_{name}")


def remove(apps, editor):
    postgres = editor.connection.vendor == "postgresql"
    with editor.connection.cursor() as cursor:
        for table in TABLES:
            for name in walls.POSTGRES if postgres else walls.SQLITE:
                cursor.execute(f"DROP TRIGGER {table}_{name}" + (f" ON {table}" if postgres else ""))


class Migration(migrations.Migration):

    dependencies = [
        ('incidents', '0003_evidence'),
        ('ledger', '0002_append_only'),
        ('statuspage', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Runbook',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('code', models.SlugField(max_length=60, unique=True)),
                ('title', models.CharField(max_length=120)),
                ('kind', models.CharField(choices=[('card', '3 AM card'), ('runbook', 'Runbook'), ('containment', 'Containment'), ('checklist', 'Checklist'), ('checkpoints', 'Checkpoints'), ('recovery', 'Recovery'), ('evidence', 'Evidence')], max_length=20)),
                ('management', models.CharField(blank=True, help_text='What it is for, in a sentence for management', max_length=500)),
                ('repository', models.CharField(blank=True, help_text='Where it is kept beside the code it is about', max_length=300)),
                ('for_all', models.BooleanField(default=False, help_text='Offered whatever the type of the incident')),
                ('withdrawn_at', models.DateTimeField(blank=True, null=True)),
                ('types', models.ManyToManyField(blank=True, related_name='runbooks', to='incidents.incidenttype')),
            ],
            options={
                'permissions': [('write_runbook', 'Can write runbooks and withdraw them')],
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='RunbookVersion',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField()),
                ('title', models.CharField(max_length=120)),
                ('source', models.TextField()),
                ('sha256', models.CharField(help_text='Of the text, in UTF-8', max_length=64)),
                ('asks', models.TextField(blank=True, help_text='The placeholders in its steps, with a space between')),
                ('change_note', models.CharField(max_length=300)),
                ('made_at', models.DateTimeField()),
                ('author', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('runbook', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='versions', to='incidents.runbook')),
            ],
            options={
                'ordering': ['-number'],
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='RunbookStep',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('position', models.PositiveSmallIntegerField()),
                ('number', models.PositiveSmallIntegerField(help_text='In its section')),
                ('section', models.CharField(blank=True, max_length=120)),
                ('text', models.TextField()),
                ('expect', models.TextField(blank=True, help_text='What tells that it worked')),
                ('commands', models.JSONField(default=list)),
                ('within_seconds', models.PositiveIntegerField(null=True)),
                ('since', models.PositiveSmallIntegerField(default=0)),
                ('version', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='steps', to='incidents.runbookversion')),
            ],
            options={
                'ordering': ['position'],
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='RunbookRun',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('started_at', models.DateTimeField()),
                ('ended_at', models.DateTimeField(help_text='Every step was settled, or somebody stopped it', null=True)),
                ('stopped_reason', models.CharField(blank=True, max_length=300)),
                ('incident', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='runs', to='incidents.incident')),
                ('started_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('stopped_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('version', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='runs', to='incidents.runbookversion')),
            ],
            options={
                'ordering': ['started_at', 'id'],
                'default_permissions': (),
            },
        ),
        migrations.AddField(
            model_name='runbook',
            name='version_in_force',
            field=models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='in_force_of', to='incidents.runbookversion'),
        ),
        migrations.CreateModel(
            name='RunStep',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('position', models.PositiveSmallIntegerField()),
                ('number', models.PositiveSmallIntegerField(help_text='In its section')),
                ('section', models.CharField(blank=True, max_length=120)),
                ('text', models.TextField()),
                ('expect', models.TextField(blank=True, help_text='What tells that it worked')),
                ('commands', models.JSONField(default=list)),
                ('within_seconds', models.PositiveIntegerField(null=True)),
                ('since', models.PositiveSmallIntegerField(default=0)),
                ('state', models.CharField(choices=[('open', 'Open'), ('done', 'Done'), ('skipped', 'Skipped')], default='open', max_length=8)),
                ('settled_at', models.DateTimeField(help_text='When it was done, as said', null=True)),
                ('run', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='steps', to='incidents.runbookrun')),
                ('settled_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['position'],
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='ServiceCommand',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=40, validators=[django.core.validators.RegexValidator('^[a-z][a-z0-9_]{0,39}\\Z', 'Write it as runbooks do: lower case, digits and _.')])),
                ('text', models.TextField(help_text='As it is typed. Never a secret: name a variable, such as $DATABASE_URL.', max_length=2000, verbose_name='command')),
                ('component', models.ForeignKey(blank=True, help_text='Empty: for every service that has none of its own.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='statuspage.component')),
            ],
            options={
                'ordering': ['name', 'component_id'],
            },
        ),
        migrations.CreateModel(
            name='ServiceLink',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=40, validators=[django.core.validators.RegexValidator('^[a-z][a-z0-9_]{0,39}\\Z', 'Write it as runbooks do: lower case, digits and _.')])),
                ('url', models.CharField(help_text='https://…', max_length=500, validators=[django.core.validators.URLValidator(['http', 'https'])], verbose_name='address')),
                ('component', models.ForeignKey(blank=True, help_text='Empty: for every service that has none of its own.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='statuspage.component')),
            ],
            options={
                'ordering': ['name', 'component_id'],
            },
        ),
        migrations.CreateModel(
            name='StepChange',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('was', models.CharField(choices=[('open', 'Open'), ('done', 'Done'), ('skipped', 'Skipped')], max_length=8)),
                ('now', models.CharField(choices=[('open', 'Open'), ('done', 'Done'), ('skipped', 'Skipped')], max_length=8)),
                ('note', models.TextField(blank=True, max_length=2000)),
                ('evidence', models.CharField(blank=True, max_length=500)),
                ('occurred_at', models.DateTimeField()),
                ('recorded_at', models.DateTimeField()),
                ('by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('step', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='changes', to='incidents.runstep')),
            ],
            options={
                'ordering': ['id'],
                'default_permissions': (),
            },
        ),
        migrations.AddConstraint(
            model_name='runbookversion',
            constraint=models.UniqueConstraint(models.F('runbook'), models.F('number'), name='runbook_version_once'),
        ),
        migrations.AddConstraint(
            model_name='runbookstep',
            constraint=models.UniqueConstraint(models.F('version'), models.F('position'), name='runbook_step_once'),
        ),
        migrations.AddConstraint(
            model_name='runstep',
            constraint=models.UniqueConstraint(models.F('run'), models.F('position'), name='run_step_once'),
        ),
        migrations.AddConstraint(
            model_name='runstep',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('settled_at', None), ('settled_by', None), ('state', 'open')), models.Q(models.Q(('state', 'open'), _negated=True), ('settled_at__isnull', False), ('settled_by__isnull', False)), _connector='OR'), name='run_step_says_who_and_when', violation_error_message='A settled step names who settled it, and when.'),
        ),
        migrations.AddConstraint(
            model_name='servicecommand',
            constraint=models.UniqueConstraint(fields=('component', 'name'), name='service_command_once', violation_error_message='There is one of this name for this service already; change that one.'),
        ),
        migrations.AddConstraint(
            model_name='servicecommand',
            constraint=models.UniqueConstraint(condition=models.Q(('component', None)), fields=('name',), name='service_command_shared_once', violation_error_message='There is one of this name for the organisation already; change that one.'),
        ),
        migrations.AddConstraint(
            model_name='servicelink',
            constraint=models.UniqueConstraint(fields=('component', 'name'), name='service_link_once', violation_error_message='There is one of this name for this service already; change that one.'),
        ),
        migrations.AddConstraint(
            model_name='servicelink',
            constraint=models.UniqueConstraint(condition=models.Q(('component', None)), fields=('name',), name='service_link_shared_once', violation_error_message='There is one of this name for the organisation already; change that one.'),
        ),
        migrations.RunPython(build, remove),
    ]
