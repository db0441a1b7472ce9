import django.core.validators
import django.db.models.deletion
import django.db.models.functions.text
import django.utils.timezone
import statuspage.models
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('outbox', '0002_append_only'),
    ]

    operations = [
        migrations.CreateModel(
            name='Component',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('code', models.CharField(default=statuspage.models.new_code, editable=False, max_length=12, unique=True)),
                ('name', models.CharField(max_length=80)),
                ('description', models.CharField(blank=True, max_length=200)),
                ('position', models.PositiveSmallIntegerField(default=1)),
                ('state_changed_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
            ],
            options={
                'ordering': [models.OrderBy(models.F('group__position'), nulls_last=True), 'group_id', 'position', 'id'],
            },
        ),
        migrations.CreateModel(
            name='ComponentGroup',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('code', models.CharField(default=statuspage.models.new_code, editable=False, max_length=12, unique=True)),
                ('name', models.CharField(max_length=80)),
                ('position', models.PositiveSmallIntegerField(default=1)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
            ],
            options={
                'ordering': ['position', 'id'],
            },
        ),
        migrations.CreateModel(
            name='Choice',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('component', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='statuspage.component')),
            ],
        ),
        migrations.AddField(
            model_name='component',
            name='group',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='components', to='statuspage.componentgroup'),
        ),
        migrations.CreateModel(
            name='GroupChoice',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('group', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='statuspage.componentgroup')),
            ],
        ),
        migrations.CreateModel(
            name='Notice',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('code', models.CharField(default=statuspage.models.new_code, editable=False, max_length=12, unique=True)),
                ('ref', models.CharField(help_text="The incident's number, for example INC-42", max_length=20, unique=True)),
                ('title', models.CharField(max_length=200)),
                ('status', models.CharField(choices=[('investigating', 'Investigating'), ('identified', 'Identified'), ('monitoring', 'Monitoring'), ('resolved', 'Resolved')], max_length=13)),
                ('impact', models.CharField(choices=[('none', 'None'), ('minor', 'Minor'), ('major', 'Major'), ('critical', 'Critical')], max_length=8)),
                ('started_at', models.DateTimeField()),
                ('created_at', models.DateTimeField()),
                ('monitoring_at', models.DateTimeField(null=True)),
                ('resolved_at', models.DateTimeField(null=True)),
                ('next_update_by', models.DateTimeField(null=True)),
            ],
            options={
                'ordering': ['-started_at', '-id'],
                'indexes': [models.Index(models.F('started_at'), name='notice_started'), models.Index(models.F('id'), condition=models.Q(('resolved_at', None)), name='notice_open')],
                'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('resolved_at__isnull', False), ('status', 'resolved')), models.Q(models.Q(('status', 'resolved'), _negated=True), ('resolved_at', None)), _connector='OR'), name='notice_resolved_has_instant', violation_error_message='Exactly the resolved incidents have a time of resolution.'), models.CheckConstraint(condition=models.Q(('resolved_at', None), ('resolved_at__gte', models.F('started_at')), _connector='OR'), name='notice_resolved_after_started', violation_error_message='An incident cannot be resolved before it started.'), models.CheckConstraint(condition=models.Q(models.Q(('status', 'resolved'), _negated=True), ('next_update_by', None), _connector='OR'), name='notice_resolved_promises_nothing', violation_error_message='A resolved incident promises no next update.'), models.CheckConstraint(condition=models.Q(('status__in', ['investigating', 'identified', 'monitoring', 'resolved'])), name='notice_status_known', violation_error_message='Choose Investigating, Identified, Monitoring or Resolved.'), models.CheckConstraint(condition=models.Q(('impact__in', ['none', 'minor', 'major', 'critical'])), name='notice_impact_known', violation_error_message='Impact is none, minor, major or critical.')],
            },
        ),
        migrations.CreateModel(
            name='Subscriber',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('code', models.CharField(default=statuspage.models.new_code, editable=False, max_length=12, unique=True)),
                ('email', models.CharField(max_length=254, validators=[django.core.validators.EmailValidator()], verbose_name='e-mail address')),
                ('is_standing', models.BooleanField(default=True, verbose_name='hears of new incidents')),
                ('floor', models.CharField(choices=[('none', 'None'), ('minor', 'Minor'), ('major', 'Major'), ('critical', 'Critical')], default='none', max_length=8, verbose_name='from this impact on')),
                ('language', models.CharField(choices=[('en', 'English'), ('de', 'Deutsch'), ('fr', 'Français'), ('es', 'Español'), ('ja', '日本語'), ('pt-br', 'Português (Brasil)')], default='en', help_text='BCP 47, in lower case', max_length=12)),
                ('time_zone', models.CharField(default='UTC', help_text='Beside UTC, times are told in this zone', max_length=50)),
                ('confirmed_at', models.DateTimeField(blank=True, null=True)),
                ('left_at', models.DateTimeField(blank=True, null=True)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('components', models.ManyToManyField(blank=True, related_name='subscribers', through='statuspage.Choice', to='statuspage.component')),
                ('followed', models.ManyToManyField(blank=True, related_name='followers', to='statuspage.notice', verbose_name='incidents they follow')),
                ('groups', models.ManyToManyField(blank=True, related_name='subscribers', through='statuspage.GroupChoice', to='statuspage.componentgroup')),
            ],
            options={
                'ordering': ['id'],
            },
        ),
        migrations.AddField(
            model_name='groupchoice',
            name='subscriber',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to='statuspage.subscriber'),
        ),
        migrations.AddField(
            model_name='choice',
            name='subscriber',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to='statuspage.subscriber'),
        ),
        migrations.CreateModel(
            name='SubscriptionRequest',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('code', models.CharField(default=statuspage.models.new_code, editable=False, max_length=12, unique=True)),
                ('wish', models.CharField(choices=[('subscribe', 'Subscribe'), ('manage', 'Manage')], max_length=9)),
                ('email', models.CharField(max_length=254, validators=[django.core.validators.EmailValidator()])),
                ('mailbox', models.CharField(help_text='SHA-256 of the address as limits see it', max_length=64)),
                ('incident', models.CharField(blank=True, help_text='Code of the one incident it is about', max_length=12)),
                ('components', models.JSONField(default=list, help_text='Codes of chosen components; no choice is the whole page')),
                ('groups', models.JSONField(default=list, help_text='Codes of chosen groups')),
                ('floor', models.CharField(choices=[('none', 'None'), ('minor', 'Minor'), ('major', 'Major'), ('critical', 'Critical')], default='none', max_length=8)),
                ('language', models.CharField(choices=[('en', 'English'), ('de', 'Deutsch'), ('fr', 'Français'), ('es', 'Español'), ('ja', '日本語'), ('pt-br', 'Português (Brasil)')], default='en', max_length=12)),
                ('time_zone', models.CharField(default='UTC', max_length=50)),
                ('visitor', models.CharField(help_text="Keyed hash of the visitor's network address", max_length=64)),
                ('made_at', models.DateTimeField()),
                ('answered_at', models.DateTimeField(null=True)),
                ('mailed', models.BooleanField(default=False)),
                ('used_at', models.DateTimeField(help_text='When its link was confirmed', null=True)),
            ],
            options={
                'indexes': [models.Index(models.F('id'), condition=models.Q(('answered_at', None)), name='request_waiting'), models.Index(models.F('visitor'), models.F('made_at'), name='request_of_visitor'), models.Index(models.F('mailbox'), models.F('answered_at'), condition=models.Q(('mailed', True)), name='request_to_mailbox'), models.Index(models.F('answered_at'), condition=models.Q(('mailed', True)), name='request_mailed'), models.Index(models.F('made_at'), name='request_made')],
                'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('email__contains', ','), _negated=True), models.Q(('email__contains', '\n'), _negated=True), models.Q(('email__contains', '\r'), _negated=True)), name='request_one_address', violation_error_message='Give exactly one e-mail address.')],
            },
        ),
        migrations.CreateModel(
            name='NoticeComponent',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('state', models.CharField(choices=[('operational', 'Operational'), ('degraded_performance', 'Degraded performance'), ('partial_outage', 'Partial outage'), ('major_outage', 'Major outage'), ('under_maintenance', 'Under maintenance')], max_length=20)),
                ('component', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='hits', to='statuspage.component')),
                ('notice', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='hits', to='statuspage.notice')),
            ],
            options={
                'ordering': ['id'],
                'constraints': [models.UniqueConstraint(models.F('notice'), models.F('component'), name='notice_component_once', violation_error_message='A component is named once.'), models.CheckConstraint(condition=models.Q(('state__in', ['operational', 'degraded_performance', 'partial_outage', 'major_outage', 'under_maintenance'])), name='notice_component_state_known', violation_error_message='This is not a state a component can have.')],
            },
        ),
        migrations.CreateModel(
            name='NoticeUpdate',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('code', models.CharField(default=statuspage.models.new_code, editable=False, max_length=12, unique=True)),
                ('kind', models.CharField(choices=[('update', 'Update'), ('holding', 'Holding'), ('correction', 'Correction')], default='update', max_length=10)),
                ('status', models.CharField(choices=[('investigating', 'Investigating'), ('identified', 'Identified'), ('monitoring', 'Monitoring'), ('resolved', 'Resolved')], max_length=13)),
                ('body', models.TextField(help_text='Markdown')),
                ('affected', models.JSONField(default=list, help_text='Frozen: [{code, name, old_status, new_status}]')),
                ('display_at', models.DateTimeField(help_text='When it was said')),
                ('created_at', models.DateTimeField(help_text='When it was recorded')),
                ('imported_at', models.DateTimeField(help_text='When it was taken over from another page, where it was recorded; nobody was told of it here', null=True)),
                ('notice', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='updates', to='statuspage.notice')),
            ],
            options={
                'ordering': ['-id'],
                'constraints': [models.CheckConstraint(condition=models.Q(('body', ''), _negated=True), name='update_says_something', violation_error_message='An update needs a text.')],
            },
        ),
        migrations.AddConstraint(
            model_name='subscriber',
            constraint=models.UniqueConstraint(django.db.models.functions.text.Lower('email'), condition=models.Q(('left_at', None)), name='subscriber_once', violation_error_message='This address is subscribed already.'),
        ),
        migrations.AddConstraint(
            model_name='subscriber',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('email__contains', ','), _negated=True), models.Q(('email__contains', '\n'), _negated=True), models.Q(('email__contains', '\r'), _negated=True)), name='subscriber_one_address', violation_error_message='Give exactly one e-mail address.'),
        ),
        migrations.AddConstraint(
            model_name='subscriber',
            constraint=models.CheckConstraint(condition=models.Q(('floor__in', ['none', 'minor', 'major', 'critical'])), name='subscriber_floor_known', violation_error_message='Choose from which impact on they hear of incidents.'),
        ),
        migrations.AddConstraint(
            model_name='groupchoice',
            constraint=models.UniqueConstraint(models.F('subscriber'), models.F('group'), name='group_choice_once'),
        ),
        migrations.AddConstraint(
            model_name='choice',
            constraint=models.UniqueConstraint(models.F('subscriber'), models.F('component'), name='choice_once'),
        ),
        migrations.CreateModel(
            name='StateSpan',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('state', models.CharField(choices=[('operational', 'Operational'), ('degraded_performance', 'Degraded performance'), ('partial_outage', 'Partial outage'), ('major_outage', 'Major outage'), ('under_maintenance', 'Under maintenance')], max_length=20)),
                ('began_at', models.DateTimeField()),
                ('ended_at', models.DateTimeField(help_text='Empty while it is so', null=True)),
                ('adjusted_at', models.DateTimeField(help_text='When it changed a day that was over', null=True)),
                ('component', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='spans', to='statuspage.component')),
                ('notice', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='spans', to='statuspage.notice')),
            ],
            options={
                'ordering': ['id'],
                'indexes': [models.Index(models.F('ended_at'), name='span_ended'), models.Index(models.F('component'), models.F('began_at'), name='span_of_component')],
                'constraints': [models.UniqueConstraint(models.F('notice'), models.F('component'), condition=models.Q(('ended_at', None)), name='span_one_open', violation_error_message='A component has one state in an incident at a time.'), models.CheckConstraint(condition=models.Q(('ended_at', None), ('ended_at__gte', models.F('began_at')), _connector='OR'), name='span_ends_after_it_began', violation_error_message='A state cannot end before it began.')],
            },
        ),
        migrations.CreateModel(
            name='Vendor',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=80)),
                ('address', models.CharField(help_text='Where their status page is, such as https://status.example.com', max_length=200, unique=True)),
                ('watched', models.TextField(blank=True, help_text='As their page names them, one a line; none means the page as a whole.', max_length=2000, verbose_name='components that matter')),
                ('state', models.CharField(blank=True, choices=[('operational', 'Operational'), ('degraded_performance', 'Degraded performance'), ('partial_outage', 'Partial outage'), ('major_outage', 'Major outage'), ('under_maintenance', 'Under maintenance')], editable=False, max_length=20)),
                ('words', models.CharField(blank=True, editable=False, max_length=200)),
                ('etag', models.CharField(blank=True, editable=False, max_length=200)),
                ('problem', models.CharField(blank=True, editable=False, max_length=200)),
                ('asked_at', models.DateTimeField(editable=False, null=True)),
                ('read_at', models.DateTimeField(editable=False, null=True)),
                ('components', models.ManyToManyField(blank=True, help_text='Which of ours depend on them.', related_name='vendors', to='statuspage.component')),
            ],
            options={
                'ordering': [django.db.models.functions.text.Lower('name'), 'id'],
            },
        ),
        migrations.AddField(
            model_name='notice',
            name='vendor',
            field=models.ForeignKey(help_text='Who caused it', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='notices', to='statuspage.vendor'),
        ),
        migrations.CreateModel(
            name='NoticePostmortem',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('code', models.CharField(default=statuspage.models.new_code, editable=False, max_length=12, unique=True)),
                ('body', models.TextField(blank=True, help_text='Markdown; empty where the post-mortem is withdrawn')),
                ('reason', models.CharField(blank=True, help_text='What was wrong with the one before', max_length=300)),
                ('created_at', models.DateTimeField()),
                ('notice', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='postmortems', to='statuspage.notice')),
            ],
            options={
                'ordering': ['-id'],
                'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('body', ''), _negated=True), models.Q(('reason', ''), _negated=True), _connector='OR'), name='postmortem_withdrawn_has_reason', violation_error_message='Say why the post-mortem is withdrawn.')],
            },
        ),
        migrations.CreateModel(
            name='Maintenance',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('code', models.CharField(default=statuspage.models.new_code, editable=False, max_length=12, unique=True)),
                ('number', models.PositiveIntegerField(unique=True)),
                ('title', models.CharField(max_length=200)),
                ('status', models.CharField(choices=[('scheduled', 'Scheduled'), ('in_progress', 'In progress'), ('verifying', 'Verifying'), ('completed', 'Completed'), ('cancelled', 'Cancelled')], default='scheduled', max_length=11)),
                ('starts_at', models.DateTimeField()),
                ('ends_at', models.DateTimeField()),
                ('starts_itself', models.BooleanField(default=True)),
                ('ends_itself', models.BooleanField(default=True)),
                ('started_at', models.DateTimeField(null=True)),
                ('ended_at', models.DateTimeField(null=True)),
                ('sequence', models.PositiveIntegerField(default=0, help_text='How often its time changed, for calendars (RFC 5545)')),
                ('created_at', models.DateTimeField()),
            ],
            options={
                'ordering': ['-starts_at', '-id'],
                'permissions': [('plan_maintenance', 'Can plan maintenance and tell the public of it')],
                'indexes': [models.Index(models.F('starts_at'), name='maintenance_starts'), models.Index(models.F('id'), condition=models.Q(('ended_at', None)), name='maintenance_open'), models.Index(models.F('ended_at'), name='maintenance_ended')],
                'constraints': [models.CheckConstraint(condition=models.Q(('ends_at__gt', models.F('starts_at'))), name='maintenance_ends_after_start', violation_error_message='Maintenance ends after it starts.'), models.CheckConstraint(condition=models.Q(models.Q(('ended_at', None), ('started_at', None), ('status', 'scheduled')), models.Q(('ended_at', None), ('started_at__isnull', False), ('status__in', ['in_progress', 'verifying'])), models.Q(('ended_at__isnull', False), ('started_at__isnull', False), ('status', 'completed')), models.Q(('ended_at__isnull', False), ('started_at', None), ('status', 'cancelled')), _connector='OR'), name='maintenance_status_has_instants', violation_error_message='The times of this maintenance do not fit its status.'), models.CheckConstraint(condition=models.Q(('ended_at', None), ('started_at', None), ('ended_at__gte', models.F('started_at')), _connector='OR'), name='maintenance_ended_after_started', violation_error_message='Maintenance cannot end before it started.')],
            },
        ),
        migrations.CreateModel(
            name='MaintenanceComponent',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('component', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='works', to='statuspage.component')),
                ('maintenance', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='hits', to='statuspage.maintenance')),
            ],
            options={
                'ordering': ['id'],
                'constraints': [models.UniqueConstraint(models.F('maintenance'), models.F('component'), name='maintenance_component_once', violation_error_message='A component is named once.')],
            },
        ),
        migrations.CreateModel(
            name='MaintenanceReminder',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('lead', models.DurationField()),
                ('due_at', models.DateTimeField()),
                ('settled_at', models.DateTimeField(null=True)),
                ('sent', models.BooleanField(default=False)),
                ('maintenance', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='reminders', to='statuspage.maintenance')),
            ],
            options={
                'ordering': ['due_at'],
                'indexes': [models.Index(models.F('due_at'), condition=models.Q(('settled_at', None)), name='maintenance_reminder_due')],
                'constraints': [models.UniqueConstraint(models.F('maintenance'), models.F('lead'), name='maintenance_reminder_once')],
            },
        ),
        migrations.CreateModel(
            name='MaintenanceUpdate',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('code', models.CharField(default=statuspage.models.new_code, editable=False, max_length=12, unique=True)),
                ('kind', models.CharField(choices=[('update', 'Update'), ('moved', 'Moved')], default='update', max_length=6)),
                ('status', models.CharField(choices=[('scheduled', 'Scheduled'), ('in_progress', 'In progress'), ('verifying', 'Verifying'), ('completed', 'Completed'), ('cancelled', 'Cancelled')], max_length=11)),
                ('body', models.TextField(help_text='Markdown')),
                ('affected', models.JSONField(default=list, help_text='Frozen: [{code, name, old_status, new_status}]')),
                ('starts_at', models.DateTimeField()),
                ('ends_at', models.DateTimeField()),
                ('notified', models.BooleanField(default=True, help_text='Whether subscribers were told of it')),
                ('display_at', models.DateTimeField(help_text='When it was said')),
                ('created_at', models.DateTimeField(help_text='When it was recorded')),
                ('maintenance', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='updates', to='statuspage.maintenance')),
            ],
            options={
                'ordering': ['-id'],
                'constraints': [models.CheckConstraint(condition=models.Q(('body', ''), _negated=True), name='maintenance_update_says_something', violation_error_message='An update needs a text.')],
            },
        ),
        migrations.RemoveConstraint(
            model_name='subscriber',
            name='subscriber_once',
        ),
        migrations.AddField(
            model_name='subscriber',
            name='endpoint',
            field=models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, to='outbox.endpoint'),
        ),
        migrations.AddField(
            model_name='subscriber',
            name='host',
            field=models.CharField(blank=True, help_text="All of an endpoint's address that may be shown", max_length=253),
        ),
        migrations.AddField(
            model_name='subscriber',
            name='way',
            field=models.CharField(choices=[('smtp', 'E-mail'), ('webhook', 'Webhook'), ('chat', 'Chat room')], default='smtp', max_length=7, verbose_name='told by'),
        ),
        migrations.AddField(
            model_name='subscriptionrequest',
            name='host',
            field=models.CharField(blank=True, max_length=253),
        ),
        migrations.AddField(
            model_name='subscriptionrequest',
            name='url',
            field=models.CharField(blank=True, max_length=500),
        ),
        migrations.AddField(
            model_name='subscriptionrequest',
            name='way',
            field=models.CharField(choices=[('smtp', 'E-mail'), ('webhook', 'Webhook'), ('chat', 'Chat room')], default='smtp', max_length=7),
        ),
        migrations.AddIndex(
            model_name='subscriptionrequest',
            index=models.Index(models.F('host'), models.F('answered_at'), condition=models.Q(('mailed', True), models.Q(('host', ''), _negated=True)), name='request_to_host'),
        ),
        migrations.AddConstraint(
            model_name='subscriber',
            constraint=models.UniqueConstraint(django.db.models.functions.text.Lower('email'), condition=models.Q(('left_at', None), ('way', 'smtp')), name='subscriber_once', violation_error_message='This address is subscribed already.'),
        ),
    ]
