"""What is owed to whom by when, what was said, and the customers it is said to."""

from datetime import datetime, timedelta

from django.conf import settings
from django.core.validators import EmailValidator
from django.db import models
from django.db.models import F, Q
from django.urls import reverse

from incidents.lifecycle.models import Incident, Role
from incidents.policy.models import EscalationRule, MatrixCell
from statuspage.models import Component


class Customer(models.Model):
    """A customer with a contract, attached to the components they use; their contact is told without subscribing."""

    name = models.CharField(max_length=120, unique=True)
    contact_email = models.EmailField(max_length=254, validators=[EmailValidator()])
    components = models.ManyToManyField(Component, blank=True, related_name="+")
    is_active = models.BooleanField(default=True)

    class Meta:
        app_label = "incidents"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Message(models.Model):
    """One text to one audience: drafted, then approved bound to its hash, which sends it."""

    class Status(models.TextChoices):
        DRAFT = "draft"
        SENT = "sent"
        RETURNED = "returned"

    class Kind(models.TextChoices):
        UPDATE = "update"
        HOLDING = "holding", "Holding message"
        INCIDENT_NOTICE = "incident_notice", "Incident notice"
        BREACH_NOTICE = "breach_notice", "Breach notice"

    class Audience(models.TextChoices):
        CUSTOMERS = "customers", "Customers and status page"
        PAGE = "public", "Status page"
        INTERNAL = "internal", "Internal readers"

    NOTICES = (Kind.INCIDENT_NOTICE, Kind.BREACH_NOTICE)

    incident = models.ForeignKey(Incident, on_delete=models.PROTECT, related_name="messages")
    audience = models.CharField(max_length=12, choices=Audience)
    kind = models.CharField(max_length=16, choices=Kind, default=Kind.UPDATE)
    status = models.CharField(max_length=8, choices=Status, default=Status.DRAFT)
    public_status = models.CharField(max_length=14, choices=Incident.Status)
    text = models.TextField(max_length=5000)
    next_update_by = models.DateTimeField(null=True)
    content_hash = models.CharField(max_length=64)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    written_at = models.DateTimeField()
    approved_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    sent_at = models.DateTimeField(null=True)
    announcement_key = models.CharField(max_length=120, blank=True)
    returned_reason = models.CharField(max_length=300, blank=True)
    unapproved_reason = models.CharField(
        max_length=300, blank=True, help_text="Why it left without the approval the policy asks for"
    )
    review = models.ForeignKey("CommsDuty", on_delete=models.PROTECT, null=True, related_name="reviewed")

    class Meta:
        app_label = "incidents"
        ordering = ["written_at", "id"]
        default_permissions = ()
        permissions = [
            ("draft_message", "Can write messages"),
            ("publish_message", "Can approve and send messages to customers"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=~Q(status="sent") | Q(sent_at__isnull=False), name="message_sent_has_instant"
            ),
            models.CheckConstraint(
                condition=Q(unapproved_reason="") | Q(review__isnull=False), name="message_unapproved_is_reviewed"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.incident.ref} {self.get_audience_display()}: {self.text[:40]}"

    @property
    def is_notice(self) -> bool:
        """A formal notice: to the contacts of affected customers by mail, never to the page."""
        return self.kind in self.NOTICES

    @property
    def message_class(self) -> str:
        """What the policy calls it when it says who must approve it; empty where nobody must."""
        if self.audience == self.Audience.INTERNAL or self.kind == self.Kind.HOLDING:
            return ""
        return self.kind if self.is_notice else "status_update"


class Approval(models.Model):
    """Somebody approved exactly one text, for one role. Never changed; another text needs new ones."""

    message = models.ForeignKey(Message, on_delete=models.PROTECT, related_name="approvals")
    role = models.CharField(max_length=30, choices=Role)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    content_hash = models.CharField(max_length=64)
    at = models.DateTimeField()

    class Meta:
        app_label = "incidents"
        ordering = ["at", "id"]
        default_permissions = ()
        constraints = [models.UniqueConstraint("message", "role", "content_hash", name="approval_once")]

    def __str__(self) -> str:
        return f"{self.get_role_display()}: {self.by}"


class DutyQuerySet(models.QuerySet["CommsDuty"]):
    def open(self) -> "DutyQuerySet":
        return self.filter(outcome=CommsDuty.Outcome.OPEN)

    def overdue(self, at: datetime) -> "DutyQuerySet":
        return self.open().filter(due_at__lte=at)


class CommsDuty(models.Model):
    """One promise to one audience with one due time. Due times are stored with what they were derived from."""

    class Outcome(models.TextChoices):
        OPEN = "open", "Due"
        KEPT = "kept"
        HOLDING = "holding", "Holding message"
        LATE = "late"
        MISSED = "missed"
        WAIVED = "waived"

    class Phase(models.TextChoices):
        FIRST = "first"
        UPDATE = "update"
        CLOSING = "closing"
        ONCE = "once"

    LABELS = {
        "status_update": "Customer update",
        "status_page": "Status page update",
        "incident_notice": "Incident notice to customers",
        "breach_notice": "Breach notice to customers",
        "regulator_decision": "Decide whether a regulator must be told",
        "internal_update": "Internal update",
        "internal_summary": "End-of-incident summary",
        "review": "Review of what left without approval",
    }
    WRITTEN = {"status_update", "status_page", "internal_update", "internal_summary"}

    incident = models.ForeignKey(Incident, on_delete=models.PROTECT, related_name="duties")
    audience = models.CharField(max_length=12, choices=MatrixCell.Audience)
    message_class = models.CharField(max_length=20)
    seq = models.PositiveIntegerField()
    phase = models.CharField(max_length=8, choices=Phase)
    anchor_at = models.DateTimeField(help_text="What the due time was counted from")
    amount = models.CharField(max_length=40, help_text="What was added to it, as the policy writes it")
    due_at = models.DateTimeField()
    every = models.CharField(max_length=10, blank=True)
    daily_once_contained = models.CharField(max_length=5, blank=True)
    holding = models.BooleanField(default=False, help_text="The engine may keep this promise by itself")
    outcome = models.CharField(max_length=8, choices=Outcome, default=Outcome.OPEN)
    ended_at = models.DateTimeField(null=True)
    message = models.ForeignKey(Message, on_delete=models.PROTECT, null=True, related_name="met")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    reason = models.CharField(max_length=300, blank=True)
    remind_at = models.DateTimeField()
    reminded_at = models.DateTimeField(null=True)
    escalated_at = models.DateTimeField(null=True)

    objects = DutyQuerySet.as_manager()

    class Meta:
        app_label = "incidents"
        ordering = ["due_at", "id"]
        default_permissions = ()
        permissions = [("waive_duty", "Can waive a duty with a reason")]
        indexes = [models.Index("due_at", condition=Q(outcome="open"), name="duty_open_by_due")]
        constraints = [
            models.UniqueConstraint("incident", "audience", "message_class", "seq", name="duty_once"),
            models.UniqueConstraint(
                "incident", "audience", "message_class", condition=Q(outcome="open"), name="duty_one_open"
            ),
            models.CheckConstraint(
                condition=Q(outcome="open") | Q(ended_at__isnull=False), name="duty_ended_has_instant"
            ),
            models.CheckConstraint(
                condition=~Q(outcome="waived") | ~Q(reason=""),
                name="duty_waived_has_reason",
                violation_error_message="Say why this is waived.",
            ),
            models.CheckConstraint(condition=Q(due_at__gte=F("anchor_at")), name="duty_due_after_anchor"),
        ]

    def __str__(self) -> str:
        return f"{self.label} {self.seq} by {self.due_at:%Y-%m-%d %H:%M} UTC"

    @property
    def label(self) -> str:
        return self.LABELS.get(self.message_class, self.message_class)

    @property
    def is_written(self) -> bool:
        """Met by a message written in the portal; the others by recording what was done."""
        return self.message_class in self.WRITTEN

    @property
    def is_notice(self) -> bool:
        """Met by a formal notice written here, or by recording that it was given another way."""
        return self.message_class in Message.NOTICES

    @property
    def is_review(self) -> bool:
        return self.message_class == "review"

    def get_write_url(self) -> str:
        """Where the message that meets it is written; empty for what is only recorded."""
        if self.is_notice:
            return reverse("portal:notice", args=[self.incident.ref, self.message_class])
        return reverse("portal:update", args=[self.incident.ref]) if self.is_written else ""

    @property
    def late_by(self) -> timedelta | None:
        if self.outcome not in (self.Outcome.LATE, self.Outcome.MISSED) or self.ended_at is None:
            return None
        return self.ended_at - self.due_at


class EscalationQuerySet(models.QuerySet["Escalation"]):
    def due(self, at: datetime) -> "EscalationQuerySet":
        """What has to be called now: its time has come and its incident is still open, or still unacknowledged."""
        still = Q(condition=EscalationRule.While.UNRESOLVED) | Q(incident__acknowledged_at=None)
        return self.filter(still, called_at=None, due_at__lte=at).exclude(incident__status=Incident.Status.RESOLVED)


class Escalation(models.Model):
    """A role that is called by itself while an incident stays unacknowledged or unresolved; once each."""

    incident = models.ForeignKey(Incident, on_delete=models.PROTECT, related_name="escalations")
    condition = models.CharField(max_length=14, choices=EscalationRule.While)
    role = models.CharField(max_length=30, choices=Role)
    anchor_at = models.DateTimeField()
    after = models.CharField(max_length=10)
    due_at = models.DateTimeField()
    called_at = models.DateTimeField(null=True)

    objects = EscalationQuerySet.as_manager()

    class Meta:
        app_label = "incidents"
        ordering = ["due_at", "id"]
        default_permissions = ()
        indexes = [models.Index("due_at", condition=Q(called_at=None), name="escalation_to_call")]
        constraints = [models.UniqueConstraint("incident", "condition", "role", name="escalation_once")]

    def __str__(self) -> str:
        return f"{self.get_role_display()} by {self.due_at:%H:%M} UTC while {self.condition}"
