"""The incident and its record: what happened when (said and recorded), who held which role, how bad it was judged."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Cast, Concat
from django.urls import reverse

from incidents.lifecycle import gate
from incidents.policy.models import IncidentType, PolicyVersion
from irportal.refused import Refused
from statuspage.models import Component


class Role(models.TextChoices):
    """The merged roles of requirements 1.11."""

    INCIDENT_COMMANDER = "incident_commander", "Incident commander"
    TECHNICAL_LEAD = "technical_lead", "Technical lead"
    AI_LEAD = "ai_lead", "AI lead"
    SECURITY_LEAD = "security_lead", "Security lead"
    COMMS_LEAD = "comms_lead", "Comms lead"
    LEGAL_LEAD = "legal_lead", "Legal lead"
    CUSTOMER_TRUST = "customer_trust", "Customer trust"
    EXECUTIVE_SPONSOR = "executive_sponsor", "Executive sponsor"
    MANAGEMENT = "management", "Management"
    OWNING_TEAM = "owning_team", "Owning team"
    SCRIBE = "scribe", "Scribe"
    PRIVACY_LEAD = "privacy_lead", "Privacy lead"
    COMPLIANCE_LEAD = "compliance_lead", "Compliance lead"
    BACKUP_ON_CALL = "backup_on_call", "Backup on call"


class RoleContact(models.Model):
    """Who fills a role when an incident is declared. A role without a person is a gap the page shows."""

    role = models.CharField(max_length=30, choices=Role, unique=True)
    person = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    phone = models.CharField(max_length=40, blank=True)
    pager = models.CharField("pager id", max_length=60, blank=True)

    class Meta:
        app_label = "incidents"
        ordering = ["role"]

    def __str__(self) -> str:
        return f"{self.get_role_display()}: {self.person or 'TBD'}"


class IncidentQuerySet(models.QuerySet["Incident"]):
    def open(self) -> "IncidentQuerySet":
        return self.exclude(status=Incident.Status.RESOLVED)

    def named(self, words: str) -> "IncidentQuerySet":
        """Whose number (`INC-7` or `7`) is exactly this, or whose title has these words in it; all for no words."""
        return self.filter(Q(ref__iexact=words) | Q(ref=f"INC-{words}") | Q(title__icontains=words)) if words else self

    def locked(self, pk: int) -> "Incident":
        """The row, locked until the transaction ends; always the first lock a deed takes."""
        return self.select_for_update().get(pk=pk)


class Incident(models.Model):
    class Status(models.TextChoices):
        INVESTIGATING = "investigating"
        IDENTIFIED = "identified"
        MONITORING = "monitoring"
        RESOLVED = "resolved"

    class Source(models.TextChoices):
        MONITORING = "monitoring", "Monitoring alert"
        CUSTOMER = "customer", "Customer report"
        STAFF = "staff", "Somebody here noticed"
        SCAN = "scan", "Security scan"
        HEALTH = "health", "Health check failed"
        VENDOR = "vendor", "Vendor notice"

    class Known(models.TextChoices):
        YES = "yes"
        NO = "no"
        UNKNOWN = "unknown", "Not known yet"

    NEXT = {
        Status.INVESTIGATING: [Status.IDENTIFIED, Status.MONITORING, Status.RESOLVED],
        Status.IDENTIFIED: [Status.INVESTIGATING, Status.MONITORING, Status.RESOLVED],
        Status.MONITORING: [Status.INVESTIGATING, Status.IDENTIFIED, Status.RESOLVED],
        Status.RESOLVED: [Status.INVESTIGATING],
    }
    ORDER = list(Status)

    number = models.PositiveIntegerField(unique=True)
    ref = models.GeneratedField(
        expression=Concat(Value("INC-"), Cast("number", models.CharField())),
        output_field=models.CharField(max_length=20),
        db_persist=True,
    )
    title = models.CharField(max_length=120)
    type = models.ForeignKey(IncidentType, on_delete=models.PROTECT)
    severity = models.PositiveSmallIntegerField(help_text="Rank, 1 worst to 4")
    status = models.CharField(max_length=14, choices=Status, default=Status.INVESTIGATING)
    policy_version = models.ForeignKey(PolicyVersion, on_delete=models.PROTECT)
    channel_name = models.CharField(max_length=40, unique=True)
    detection_source = models.CharField(max_length=12, choices=Source)
    impact_text = models.TextField("what customers notice", max_length=2000)
    personal_data = models.CharField(max_length=8, choices=Known, default=Known.UNKNOWN)
    ai_involved = models.CharField(max_length=8, choices=Known, default=Known.UNKNOWN)
    ai_harm = models.CharField(
        max_length=8, choices=Known, default=Known.UNKNOWN, help_text="Whether an AI's output or action harmed somebody"
    )
    material = models.BooleanField(default=False, help_text="For the business: the board hears of it, the press may")
    estimate = models.CharField("expected to be over", max_length=120, blank=True)
    declared_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")

    started_at = models.DateTimeField()
    detected_at = models.DateTimeField()
    declared_at = models.DateTimeField()
    acknowledged_at = models.DateTimeField(null=True)
    acknowledged_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    identified_at = models.DateTimeField(null=True)
    contained_at = models.DateTimeField(null=True)
    recovered_at = models.DateTimeField(null=True, help_text="Impact ended: said time of entering Monitoring")
    resolved_at = models.DateTimeField(null=True)
    gate_override_reason = models.CharField(max_length=300, blank=True)
    gate_missing = models.TextField(blank=True, help_text="What the gate still asked for when it was overridden")

    objects = IncidentQuerySet.as_manager()

    class Meta:
        app_label = "incidents"
        ordering = ["-number"]
        default_permissions = ["view"]
        permissions = [
            ("declare_incident", "Can declare an incident"),
            ("update_incident", "Can add to the record of an incident"),
            ("command_incident", "Can change severity and roles"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(severity__range=(1, 4)), name="incident_rank_1_to_4"),
            models.CheckConstraint(
                condition=Q(detected_at__gte=F("started_at")),
                name="incident_detected_after_started",
                violation_error_message="An incident cannot be noticed before it started.",
            ),
            models.CheckConstraint(
                condition=Q(resolved_at=None) | Q(resolved_at__gte=F("started_at")),
                name="incident_resolved_after_started",
                violation_error_message="An incident cannot be resolved before it started.",
            ),
            models.CheckConstraint(
                condition=~Q(status="resolved") | Q(resolved_at__isnull=False),
                name="incident_resolved_has_instant",
            ),
        ]

    def __str__(self) -> str:
        return f"INC-{self.number} {self.title}"

    def get_absolute_url(self) -> str:
        return reverse("portal:incident", args=[f"INC-{self.number}"])

    @property
    def is_open(self) -> bool:
        return self.status != self.Status.RESOLVED

    @property
    def is_contained(self) -> bool:
        """No longer spreading: somebody said so, or a fix is in and being watched."""
        return self.contained_at is not None or self.status == self.Status.MONITORING

    @property
    def severity_label(self) -> str:
        """As the pinned policy calls it: `SEV1 Critical`."""
        return next(
            (str(level) for level in self.policy_version.severities.all() if level.rank == self.severity),
            f"rank {self.severity}",
        )

    @property
    def is_retrospective(self) -> bool:
        """Declared so late that the record is after the fact."""
        return self.declared_at - self.detected_at > timedelta(hours=24)

    def check_order(self) -> None:
        """Refuse instants that contradict each other: nothing precedes the start, the end follows what it ended."""
        said = [
            (self.detected_at, "noticed", self.started_at, "started"),
            (self.identified_at, "identified", self.started_at, "started"),
            (self.contained_at, "contained", self.started_at, "started"),
            (self.recovered_at, "over", self.started_at, "started"),
            (self.resolved_at, "resolved", self.started_at, "started"),
            (self.resolved_at, "resolved", self.contained_at, "was contained"),
            (self.resolved_at, "resolved", self.recovered_at, "went to Monitoring"),
        ]
        for at, what, first, before in said:
            if at and first and at < first:
                raise Refused(f"An incident cannot be {what} before it {before}. That was {first:%Y-%m-%d %H:%M} UTC.")

    def is_backwards(self, status: str) -> bool:
        return self.ORDER.index(self.Status(status)) < self.ORDER.index(self.Status(self.status))

    def gate_opens_at(self) -> datetime | None:
        """When Monitoring has lasted as long as the policy asks; None while it has not begun."""
        if self.status != self.Status.MONITORING or self.recovered_at is None:
            return None
        return self.recovered_at + timedelta(minutes=self.policy_version.gate_monitoring_minutes)

    @property
    def shows_controls(self) -> bool:
        """Whether kill switch and rollback are looked for: an AI model or agent plays a part."""
        return self.ai_involved == self.Known.YES or self.type.ai == "yes"

    def needs_reason(self, status: str, *, at: datetime, missing: Sequence[str] = ()) -> str:
        """Why moving to `status` needs a reason, as a sentence; empty when it needs none.

        `missing` is what the gate asks for besides time.
        """
        if self.is_backwards(status):
            return f"Going back from {self.get_status_display()} needs a reason."
        if status != self.Status.RESOLVED:
            return ""
        opens, why = self.gate_opens_at(), ""
        if opens is None or at < opens:
            minutes = self.policy_version.gate_monitoring_minutes
            why = f"The policy asks for {minutes} min in Monitoring before Resolved; say why not to wait."
        elif missing:
            why = "The policy asks for more before Resolved; say why not to wait for it."
        return f"{why} Missing: {'; '.join(missing)}." if missing else why

    def move_to(self, status: str, *, at: datetime, reason: str = "", missing: Sequence[str] = ()) -> None:
        """Change status in memory as of the said time `at`, or refuse. The caller saves.

        `missing` is what the gate asks for besides time.
        """
        if status not in self.NEXT[self.Status(self.status)]:
            raise Refused(f"{self.get_status_display()} cannot become {self.Status(status).label}.")
        if at < self.started_at:
            raise Refused(f"That lies before the incident started, {self.started_at:%Y-%m-%d %H:%M} UTC.")
        why = self.needs_reason(status, at=at, missing=missing)
        if why and not reason:
            raise Refused(why)
        if status == self.Status.RESOLVED:
            self.resolved_at = at
            self.recovered_at = self.recovered_at or at
            early = not (opens := self.gate_opens_at()) or at < opens
            waiting = [f"{self.policy_version.gate_monitoring_minutes} min in Monitoring"] if early else []
            self.gate_override_reason = reason if why else ""
            self.gate_missing = "\n".join([*waiting, *missing]) if why else ""
        elif self.status == self.Status.RESOLVED:
            self.resolved_at = self.recovered_at = self.contained_at = None
        if status == self.Status.IDENTIFIED:
            self.identified_at = self.identified_at or at
        if status == self.Status.MONITORING:
            self.recovered_at = at
        elif status != self.Status.RESOLVED:
            self.recovered_at = None
        self.status = status
        self.check_order()

    @property
    def gate_lacked(self) -> list[str]:
        """What was still missing when somebody resolved it all the same."""
        return self.gate_missing.splitlines()

    MOVED = ["status", "identified_at", "contained_at", "recovered_at", "resolved_at"]
    MOVED += ["gate_override_reason", "gate_missing"]


class IncidentComponentManager(models.Manager["IncidentComponent"]):
    """With the components themselves: rows are ordered by them, and hardly ever read without their names."""

    def get_queryset(self) -> models.QuerySet["IncidentComponent"]:
        return super().get_queryset().select_related("component")


class IncidentComponent(models.Model):
    """How an incident touches a component, as staff judge it now."""

    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="components")
    component = models.ForeignKey(Component, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=24, choices=Component.State)

    objects = IncidentComponentManager()

    class Meta:
        app_label = "incidents"
        ordering = ["component__position", "component__name"]
        constraints = [models.UniqueConstraint("incident", "component", name="incident_component_once")]

    def __str__(self) -> str:
        return f"{self.component}: {self.get_state_display()}"


class TimelineEntry(models.Model):
    """One line of the record, kept twice in time: when it is said to have happened, and when it was written down."""

    class Kind(models.TextChoices):
        NOTE = "note"
        DECLARED = "declared"
        STATUS = "status"
        SEVERITY = "severity"
        ROLE = "role"
        IMPACT = "impact"
        MESSAGE = "message"
        CORRECTION = "correction"
        POSTMORTEM = "postmortem"

    class Marker(models.TextChoices):
        STARTED = "started"
        DETECTED = "detected"
        DECLARED = "declared"
        ACKNOWLEDGED = "acknowledged"
        IDENTIFIED = "identified"
        CONTAINED = "contained"
        RECOVERED = "recovered"
        RESOLVED = "resolved"

    incident = models.ForeignKey(Incident, on_delete=models.PROTECT, related_name="timeline")
    occurred_at = models.DateTimeField("happened at")
    recorded_at = models.DateTimeField()
    kind = models.CharField(max_length=12, choices=Kind, default=Kind.NOTE)
    marker = models.CharField(max_length=12, choices=Marker, blank=True)
    text = models.TextField(max_length=4000)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    corrects = models.OneToOneField("self", on_delete=models.PROTECT, null=True, related_name="corrected_by")

    class Meta:
        app_label = "incidents"
        ordering = ["occurred_at", "id"]
        indexes = [models.Index("incident", "occurred_at", name="timeline_by_time")]

    def __str__(self) -> str:
        return f"{self.occurred_at:%H:%M} {self.text[:60]}"

    @property
    def is_late(self) -> bool:
        """Written down more than 15 minutes after it happened."""
        return self.recorded_at - self.occurred_at > timedelta(minutes=15)


class SeverityChange(models.Model):
    incident = models.ForeignKey(Incident, on_delete=models.PROTECT, related_name="severity_changes")
    was = models.PositiveSmallIntegerField(null=True)
    now = models.PositiveSmallIntegerField()
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField()
    reason = models.CharField(max_length=300)

    class Meta:
        app_label = "incidents"
        ordering = ["at", "id"]

    def __str__(self) -> str:
        return f"{self.was} → {self.now}"


class RoleAssignment(models.Model):
    """Who held a role, from when to when, and who gave it."""

    incident = models.ForeignKey(Incident, on_delete=models.PROTECT, related_name="roles")
    role = models.CharField(max_length=30, choices=Role)
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    assigned_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=200, blank=True)

    class Meta:
        app_label = "incidents"
        ordering = ["started_at", "id"]
        constraints = [
            models.UniqueConstraint("incident", "role", condition=Q(ended_at=None), name="role_held_by_one"),
        ]

    def __str__(self) -> str:
        return f"{self.get_role_display()}: {self.person}"


class Handover(models.Model):
    """One role passed on, with what is open. Never changed, but for the one who takes it saying so, once."""

    incident = models.ForeignKey(Incident, on_delete=models.PROTECT, related_name="handovers")
    term = models.OneToOneField(RoleAssignment, on_delete=models.PROTECT, related_name="handover")
    role = models.CharField(max_length=30, choices=Role)
    giver = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    taker = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField()
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    still_open = models.TextField("what is open", max_length=2000)
    taken_at = models.DateTimeField(null=True)

    class Meta:
        app_label = "incidents"
        ordering = ["at", "id"]
        default_permissions = ()
        constraints = [
            models.CheckConstraint(condition=~Q(giver=F("taker")), name="handover_between_two"),
            models.CheckConstraint(
                condition=~Q(still_open=""),
                name="handover_says_what_is_open",
                violation_error_message="Say what is open, or that nothing is.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_role_display()}: {self.giver} to {self.taker}"


class ShiftSheet(models.Model):
    """All that is open as one person hands it to the next: fixed when the giver signs, then signed by the taker."""

    giver = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    taker = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    made_at = models.DateTimeField()
    questions = models.TextField("open questions", max_length=4000)
    content = models.JSONField(help_text="What was open, as the sheet prints it")
    sha256 = models.CharField(max_length=64, help_text="Of people, questions and content: what both sign")
    taken_at = models.DateTimeField(null=True)

    class Meta:
        app_label = "incidents"
        ordering = ["-made_at", "-id"]
        default_permissions = ()
        constraints = [models.CheckConstraint(condition=~Q(giver=F("taker")), name="shift_between_two")]

    def __str__(self) -> str:
        return f"{self.made_at:%Y-%m-%d %H:%M} UTC, {self.giver} to {self.taker}"

    def get_absolute_url(self) -> str:
        return reverse("portal:shift", args=[self.pk])


class ContactReview(models.Model):
    """Somebody went through the contact list and found it right, or knows its gaps."""

    at = models.DateTimeField()
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    gaps = models.PositiveSmallIntegerField()

    class Meta:
        app_label = "incidents"
        ordering = ["-at", "-id"]
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d} {self.by}"


class Reading(models.Model):
    """A number that tells whether the service is well, as somebody read it off somewhere. Never changed."""

    class Signal(models.TextChoices):
        ERROR_RATE = "error_rate", "Error rate"
        LATENCY = "latency", "Latency, P95"
        NEW_ALERTS = "new_alerts", "New alerts since Monitoring began"

    incident = models.ForeignKey(Incident, on_delete=models.PROTECT, related_name="readings")
    signal = models.CharField(max_length=12, choices=Signal)
    number = models.DecimalField(max_digits=12, decimal_places=3)
    unit = models.CharField(max_length=12)
    baseline = models.DecimalField(max_digits=12, decimal_places=3, null=True)
    source = models.CharField(max_length=120, help_text="Where it was read")
    at = models.DateTimeField()
    recorded_at = models.DateTimeField()
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")

    class Meta:
        app_label = "incidents"
        ordering = ["at", "id"]
        default_permissions = ()
        indexes = [models.Index("incident", "at", name="reading_by_time")]
        constraints = [
            models.CheckConstraint(
                condition=Q(number__gte=0), name="reading_not_negative", violation_error_message="That is below zero."
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_signal_display()}: {self.amount}"

    @property
    def amount(self) -> str:
        base = f", baseline {gate.shown(self.baseline)}" if self.baseline is not None else ""
        return f"{gate.shown(self.number)} {self.unit}{base}"


class GateTick(models.Model):
    """One of the gate's ticks given, or taken back; the last word on each counts. Never changed."""

    incident = models.ForeignKey(Incident, on_delete=models.PROTECT, related_name="gate_ticks")
    key = models.CharField(max_length=30)
    given = models.BooleanField()
    note = models.CharField(max_length=300, blank=True)
    at = models.DateTimeField()
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")

    class Meta:
        app_label = "incidents"
        ordering = ["at", "id"]
        default_permissions = ()
        constraints = [
            models.CheckConstraint(condition=Q(given=True) | ~Q(note=""), name="gate_tick_taken_back_has_reason"),
        ]

    def __str__(self) -> str:
        return f"{self.key}: {'given' if self.given else 'taken back'}"


class ControlRun(models.Model):
    """A kill switch pressed or a rollback authorised, and when its effect was confirmed: written once, each."""

    class Kind(models.TextChoices):
        KILL_SWITCH = "kill_switch", "Kill switch"
        ROLLBACK = "rollback"

    incident = models.ForeignKey(Incident, on_delete=models.PROTECT, related_name="control_runs")
    kind = models.CharField(max_length=12, choices=Kind)
    target = models.CharField(max_length=120, help_text="Which agent, model or service")
    started_at = models.DateTimeField(help_text="Pressed, or authorised")
    started_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    recorded_at = models.DateTimeField()
    recorded_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    confirmed_at = models.DateTimeField(null=True)
    confirmed_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    proof = models.CharField(max_length=300, blank=True, help_text="How it was seen")

    class Meta:
        app_label = "incidents"
        ordering = ["started_at", "id"]
        default_permissions = ()
        constraints = [
            models.CheckConstraint(
                condition=Q(confirmed_at=None) | Q(confirmed_at__gte=F("started_at")),
                name="control_confirmed_after_start",
                violation_error_message="It cannot be confirmed before it began.",
            ),
            models.CheckConstraint(
                condition=Q(confirmed_at=None, confirmed_by=None)
                | Q(confirmed_at__isnull=False, confirmed_by__isnull=False),
                name="control_confirmed_by_somebody",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.target}"

    @property
    def is_kill_switch(self) -> bool:
        return self.kind == self.Kind.KILL_SWITCH

    @property
    def word(self) -> str:
        """How it is set going."""
        return "pressed" if self.is_kill_switch else "authorised"
