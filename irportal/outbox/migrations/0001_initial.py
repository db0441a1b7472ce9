import django.core.validators
import django.db.models.deletion
import django.utils.timezone
import irportal.outbox.models
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='Channel',
            fields=[
                ('name', models.CharField(max_length=20, primary_key=True, serialize=False)),
                ('open_until', models.DateTimeField(null=True)),
                ('fail_streak', models.PositiveIntegerField(default=0)),
                ('failing_since', models.DateTimeField(null=True)),
                ('alarmed_at', models.DateTimeField(null=True)),
                ('last_error', models.CharField(blank=True, max_length=300)),
            ],
        ),
        migrations.CreateModel(
            name='Endpoint',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('url', models.URLField(help_text='https; it may hold a secret of its own', max_length=500, unique=True)),
                ('kind', models.CharField(choices=[('webhook', 'Webhook: updates to customers, signed'), ('chat', 'Chat room: what staff are told, as Slack and Mattermost take it')], default='webhook', max_length=8)),
                ('salt', models.CharField(default=irportal.outbox.models.new_salt, max_length=32)),
                ('previous_salt', models.CharField(blank=True, max_length=32)),
                ('previous_until', models.DateTimeField(help_text='Until when the secret before this one signs too', null=True)),
                ('is_active', models.BooleanField(default=True, verbose_name='in use')),
                ('verified_at', models.DateTimeField(null=True)),
                ('failing_since', models.DateTimeField(null=True)),
                ('disabled_reason', models.CharField(blank=True, help_text='Why the portal switched it off', max_length=300)),
                ('alarmed_at', models.DateTimeField(help_text='When staff were told that it was switched off', null=True)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
            ],
        ),
        migrations.CreateModel(
            name='Pulse',
            fields=[
                ('name', models.CharField(max_length=20, primary_key=True, serialize=False)),
                ('beat_at', models.DateTimeField()),
                ('host', models.CharField(max_length=80)),
                ('pid', models.PositiveIntegerField()),
            ],
        ),
        migrations.CreateModel(
            name='Suppression',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('target', models.CharField(max_length=254, unique=True)),
                ('reason', models.CharField(max_length=100)),
                ('bounced', models.BooleanField(default=False, help_text='Its mail server said so, not the reader: staff may lift it')),
                ('made_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='Announcement',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('dedupe_key', models.CharField(max_length=120, unique=True)),
                ('topic', models.CharField(max_length=40)),
                ('thread', models.CharField(help_text='What it belongs to, for example INC-42: one mail thread each', max_length=40)),
                ('audience', models.CharField(max_length=40)),
                ('facts', models.JSONField(default=dict, help_text='Arguments of the audience, never queried')),
                ('subject', models.CharField(max_length=300)),
                ('text', models.TextField(help_text="Plain part; {unsubscribe_url} and {why} stand for the reader's own")),
                ('html', models.TextField()),
                ('payload', models.TextField(blank=True, help_text='JSON for webhooks; without it they hear nothing of this')),
                ('chat', models.TextField(blank=True, help_text='JSON for chat rooms; without it they hear nothing of this')),
                ('priority', models.PositiveSmallIntegerField(default=5)),
                ('made_at', models.DateTimeField()),
                ('expires_at', models.DateTimeField()),
                ('fanned_out_at', models.DateTimeField(null=True)),
                ('retells', models.ManyToManyField(help_text='Earlier word whose text this one repeats', related_name='retold_by', to='outbox.announcement')),
            ],
            options={
                'ordering': ['id'],
            },
        ),
        migrations.CreateModel(
            name='Delivery',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(help_text='SHA-256(announcement | channel | address)', max_length=64)),
                ('lane', models.CharField(help_text='thread:reader; order is kept within it', max_length=120)),
                ('reader', models.CharField(max_length=60)),
                ('channel', models.CharField(default='smtp', max_length=20)),
                ('address', models.CharField(max_length=254, validators=[django.core.validators.EmailValidator()])),
                ('leave', models.CharField(blank=True, help_text='Names the reader to the page where they leave', max_length=100)),
                ('why', models.CharField(blank=True, max_length=300)),
                ('priority', models.SmallIntegerField(default=5)),
                ('state', models.CharField(choices=[('pending', 'Pending'), ('sent', 'Sent'), ('dead', 'Dead'), ('suppressed', 'Suppressed'), ('superseded', 'Superseded')], default='pending', max_length=12)),
                ('due_at', models.DateTimeField()),
                ('lease_until', models.DateTimeField(null=True)),
                ('attempts', models.IntegerField(default=0)),
                ('failures', models.IntegerField(default=0)),
                ('forgiven', models.IntegerField(default=0, help_text='Attempts before a person last sent it again')),
                ('expires_at', models.DateTimeField()),
                ('last_error', models.CharField(blank=True, max_length=300)),
                ('accepted_at', models.DateTimeField(null=True)),
                ('alarmed_at', models.DateTimeField(help_text='When staff were told that it was given up', null=True)),
                ('announcement', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='deliveries', to='outbox.announcement')),
            ],
            options={
                'verbose_name_plural': 'deliveries',
                'permissions': [('resend_delivery', 'Can send again what was given up')],
            },
        ),
        migrations.CreateModel(
            name='Attempt',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('n', models.IntegerField()),
                ('started_at', models.DateTimeField()),
                ('worker', models.CharField(max_length=80)),
                ('finished_at', models.DateTimeField(null=True)),
                ('outcome', models.CharField(blank=True, choices=[('ok', 'Ok'), ('temp', 'Temp'), ('perm', 'Perm'), ('transport', 'Transport'), ('uncertain', 'Uncertain'), ('crashed', 'Crashed')], max_length=10)),
                ('code', models.SmallIntegerField(null=True)),
                ('answer', models.CharField(blank=True, max_length=300)),
                ('delivery', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='tries', to='outbox.delivery')),
            ],
        ),
        migrations.CreateModel(
            name='Bounce',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('hard', 'Hard'), ('soft', 'Soft'), ('complaint', 'Complaint')], max_length=9)),
                ('code', models.CharField(blank=True, max_length=20)),
                ('day', models.DateField()),
                ('source', models.CharField(help_text='Names the report, so that it counts once', max_length=64, unique=True)),
                ('forgiven', models.BooleanField(default=False, help_text='Staff have lifted the suppression since')),
                ('delivery', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='bounces', to='outbox.delivery')),
            ],
            options={
                'indexes': [models.Index(models.F('day'), condition=models.Q(('forgiven', False), ('kind', 'soft')), name='bounce_that_counts')],
            },
        ),
        migrations.AddIndex(
            model_name='announcement',
            index=models.Index(models.F('id'), condition=models.Q(('fanned_out_at', None)), name='announcement_to_fan_out'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(models.F('channel'), models.F('priority'), models.F('due_at'), models.F('id'), condition=models.Q(('state', 'pending')), name='delivery_to_send'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(models.F('lane'), models.F('id'), condition=models.Q(('state', 'pending')), name='delivery_lane'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(models.F('announcement'), condition=models.Q(('state', 'pending')), name='delivery_of_announcement'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(models.F('id'), condition=models.Q(('alarmed_at', None), ('state', 'dead')), name='delivery_to_alarm'),
        ),
        migrations.AddConstraint(
            model_name='delivery',
            constraint=models.UniqueConstraint(fields=('key',), name='delivery_once'),
        ),
        migrations.AddConstraint(
            model_name='delivery',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('address__contains', ','), _negated=True), models.Q(('address__contains', '\n'), _negated=True), models.Q(('address__contains', '\r'), _negated=True)), name='delivery_one_address'),
        ),
        migrations.AddConstraint(
            model_name='delivery',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'sent'), _negated=True), ('accepted_at__isnull', False), _connector='OR'), name='delivery_sent_has_instant'),
        ),
        migrations.AddConstraint(
            model_name='attempt',
            constraint=models.UniqueConstraint(models.F('delivery'), models.F('n'), name='attempt_once'),
        ),
    ]
