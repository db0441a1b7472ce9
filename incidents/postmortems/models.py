"""What was learned from an incident: the post-mortem and the actions it ends in.

The timeline, the roles and the times are not copied here; each reading takes them from the record.
"""

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.urls import reverse

from incidents.lifecycle.models import Incident
from irportal.refused import Refused


class PostMortem(models.Model):
    class Status(models.TextChoices):
        DRAFT = "draft"
        REVIEW = "review", "In review"
        APPROVED = "approved"

    class CauseClass(models.TextChoices):
        CHANGE = "change"
        CAPACITY = "capacity"
        DEPENDENCY = "dependency"
        CONFIGURATION = "configuration"
        MODEL = "model"
        PROMPT = "prompt"
        DATA = "data"
        INTEGRATION = "integration"
        MALICIOUS = "malicious"
        PROCESS = "process"
        UNKNOWN = "unknown"

    NEXT: dict[str, set[str]] = {
        Status.DRAFT: {Status.REVIEW},
        Status.REVIEW: {Status.DRAFT, Status.APPROVED},
        Status.APPROVED: {Status.DRAFT},  # only by a second outage: what was approved no longer tells the whole
    }

    incident = models.OneToOneField(Incident, on_delete=models.PROTECT, related_name="postmortem")
    status = models.CharField(max_length=10, choices=Status, default=Status.DRAFT)
    version = models.PositiveIntegerField(default=1, help_text="Grows each time it is sent back")
    revision = models.PositiveIntegerField(default=0, editable=False, help_text="Grows with every save")

    summary = models.TextField(
        blank=True,
        help_text="What happened, who was affected, how long, is it over: about 600 characters.",
    )
    root_cause = models.TextField(
        blank=True,
        help_text="The condition without which it would not have happened, or “unknown, because …”.",
    )
    cause_class = models.CharField("kind of cause", max_length=15, choices=CauseClass, blank=True)
    contributing_factors = models.TextField(blank=True, help_text="One a line.")
    controls = models.TextField(
        "why controls did not prevent it",
        blank=True,
        help_text="Which control, and why it did not prevent or notice this. One a line.",
    )
    five_whys = models.TextField(
        blank=True,
        help_text="If it helps: one “because” a line, down to something the organisation can change.",
    )
    detection = models.TextField(
        blank=True, help_text="Which signal came first, or should have come, and why it was not sooner."
    )

    users_affected = models.PositiveBigIntegerField(null=True, blank=True)
    users_percent = models.DecimalField(
        "share of users, in percent", max_digits=5, decimal_places=2, null=True, blank=True
    )
    users_estimated = models.BooleanField("users are an estimate", default=False)
    failed_requests = models.PositiveBigIntegerField(null=True, blank=True)
    requests_estimated = models.BooleanField("failed requests are an estimate", default=False)
    data_impact = models.TextField("data", blank=True, help_text="What was lost, changed or disclosed; or “none”.")
    financial_impact = models.CharField("other cost", max_length=300, blank=True)
    financial_estimated = models.BooleanField("other cost is an estimate", default=False)
    revenue_impact = models.CharField("revenue", max_length=300, blank=True)
    revenue_estimated = models.BooleanField("revenue is an estimate", default=False)
    customer_impact = models.TextField("customers", blank=True, help_text="What they could not do or saw wrongly.")
    regulatory_impact = models.TextField("regulatory", blank=True)
    brand_impact = models.TextField("brand", blank=True)

    response = models.TextField(blank=True, help_text="What was done, and by which role.")
    recovery = models.TextField(
        blank=True, help_text="What changed so that it was safe to recover, and how that was seen."
    )

    ai_model = models.CharField("model and version, before and after", max_length=300, blank=True)
    ai_route = models.CharField("provider and route", max_length=300, blank=True)
    ai_versions = models.CharField("prompt and rulepack versions", max_length=300, blank=True)
    ai_decisions = models.TextField("block and warn decisions, with their reasons", blank=True)
    ai_tenants = models.TextField("affected tenants, use cases and endpoints", blank=True)

    went_well = models.TextField(blank=True, help_text="One a line.")
    went_wrong = models.TextField(blank=True, help_text="One a line. Conditions, not people.")
    could_improve = models.TextField(blank=True, help_text="One a line.")
    no_lists_reason = models.CharField(
        "why one of these lists is empty", max_length=300, blank=True, help_text="Only if one is empty."
    )
    no_actions_reason = models.CharField(
        "why there is no action", max_length=300, blank=True, help_text="Only if there is none."
    )
    lessons = models.TextField(
        blank=True, help_text="One a line, with what it changes: policy, monitoring, runbook or training."
    )

    followup_meeting_at = models.DateTimeField("review meeting", null=True, blank=True, help_text="UTC.")
    followup_attendees = models.CharField("attendees", max_length=300, blank=True)
    customer_record = models.TextField("customer communication record", blank=True)
    tracker = models.CharField("tracker reference", max_length=200, blank=True)

    author = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        editable=False,
    )
    saved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        editable=False,
    )
    submitted_at = models.DateTimeField(null=True, blank=True, editable=False)
    approver = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        editable=False,
    )
    approved_at = models.DateTimeField(null=True, blank=True, editable=False)
    content_hash = models.CharField(
        max_length=64, blank=True, editable=False, help_text="SHA-256 of what the approver saw"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        app_label = "incidents"
        default_permissions = ()
        verbose_name = "post-mortem"
        permissions = [("approve_postmortem", "Can approve a post-mortem somebody else wrote")]
        constraints = [
            models.CheckConstraint(
                condition=Q(approver=None) | (~Q(approver=F("author")) & ~Q(approver=F("saved_by"))),
                name="postmortem_approver_is_not_author",
                violation_error_message="Who wrote a post-mortem cannot approve it.",
            ),
            models.CheckConstraint(
                condition=~Q(status="approved")
                | (Q(approver__isnull=False, approved_at__isnull=False) & ~Q(content_hash="")),
                name="postmortem_approved_says_who_when_what",
                violation_error_message="An approved post-mortem names who approved which content, and when.",
            ),
            models.CheckConstraint(
                condition=Q(users_percent=None) | Q(users_percent__range=(0, 100)),
                name="postmortem_percent_0_to_100",
                violation_error_message="A share of users lies between 0 and 100 percent.",
            ),
        ]

    def __str__(self) -> str:
        return f"Post-mortem of {self.incident.ref}"

    def get_absolute_url(self) -> str:
        return reverse("portal:postmortem", args=[self.incident.ref])

    @property
    def is_draft(self) -> bool:
        return self.status == self.Status.DRAFT

    @property
    def is_approved(self) -> bool:
        return self.status == self.Status.APPROVED

    def move_to(self, status: str) -> None:
        """Change status in memory, or refuse. The caller saves."""
        if status not in self.NEXT[self.status]:
            raise Refused(
                f"This post-mortem is {self.get_status_display().lower()}; "
                f"it cannot become {self.Status(status).label.lower()}."
            )
        self.status = status


class ActionItem(models.Model):
    """Something that will be done so that it does not happen again. Printed as 42.1, 42.2 and so on."""

    class Priority(models.TextChoices):
        P0 = "P0"
        P1 = "P1"
        P2 = "P2"

    class Status(models.TextChoices):
        OPEN = "open"
        IN_PROGRESS = "in_progress"
        DONE = "done"

    class Type(models.TextChoices):
        PREVENT = "prevent"
        DETECT = "detect"
        MITIGATE = "mitigate"
        PROCESS = "process"

    postmortem = models.ForeignKey(PostMortem, on_delete=models.CASCADE, related_name="action_items")
    position = models.PositiveSmallIntegerField(editable=False)
    action = models.CharField(max_length=300)
    type = models.CharField(max_length=10, choices=Type, default=Type.PREVENT)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    priority = models.CharField(max_length=2, choices=Priority, default=Priority.P1)
    due_on = models.DateField("due")
    status = models.CharField(max_length=12, choices=Status, default=Status.OPEN)
    evidence = models.CharField("evidence that it is done", max_length=300, blank=True, help_text="And who checked it.")

    class Meta:
        app_label = "incidents"
        default_permissions = ()
        ordering = ["position"]

    def __str__(self) -> str:
        return self.action
