"""What proves what happened: items as they were received, who touched them, what must stay, and what the AI was.

Rows of everything but holds are never changed or removed: triggers refuse it on both databases.
"""

from decimal import Decimal

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.urls import reverse

from incidents.evidence.minimum import Topic
from incidents.lifecycle.models import Incident


class EvidenceItemQuerySet(models.QuerySet["EvidenceItem"]):
    def in_force(self) -> "EvidenceItemQuerySet":
        """Without those that a later item stands in for."""
        return self.filter(superseded_by=None)


class EvidenceItem(models.Model):
    """One file, text or link as it was received. A mistake is put right by another item that stands in for it."""

    class Kind(models.TextChoices):
        FILE = "file"
        TEXT = "text"
        LINK = "link"

    incident = models.ForeignKey(Incident, on_delete=models.PROTECT, related_name="evidence")
    number = models.PositiveIntegerField(help_text="Gap-free within the incident, from 1")
    kind = models.CharField(max_length=4, choices=Kind)
    title = models.CharField(max_length=120)
    topics = models.CharField(max_length=120, blank=True, help_text="What it shows: Topic values with spaces between")
    source = models.CharField(max_length=200, help_text="The system or person it comes from")
    captured_at = models.DateTimeField(help_text="When it was taken there, as somebody says")
    received_at = models.DateTimeField()
    received_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    personal = models.BooleanField("may hold personal data", default=True)
    note = models.TextField(max_length=2000, blank=True)

    name = models.CharField("file name", max_length=120, blank=True)
    media = models.CharField("type of file", max_length=40, blank=True, help_text="As its first bytes say")
    text = models.TextField(blank=True)
    url = models.CharField("address", max_length=2000, blank=True, help_text="Never fetched by the portal")
    size = models.PositiveBigIntegerField(help_text="Bytes")
    sha256 = models.CharField(max_length=64, db_index=True, help_text="Of the file, or of text or address in UTF-8")

    supersedes = models.OneToOneField("self", on_delete=models.PROTECT, null=True, related_name="superseded_by")
    reason = models.CharField(max_length=300, blank=True, help_text="Why it stands in for another")

    objects = EvidenceItemQuerySet.as_manager()

    class Meta:
        app_label = "incidents"
        ordering = ["-number"]
        default_permissions = ()
        permissions = [
            ("read_evidence", "Can read evidence that may hold personal data"),
            ("hold_evidence", "Can place and lift holds on evidence"),
            ("export_evidence", "Can take out all evidence of an incident"),
        ]
        constraints = [
            models.UniqueConstraint("incident", "number", name="evidence_number_once"),
            models.CheckConstraint(
                condition=Q(kind="file") & ~Q(name="") | Q(kind="text") & ~Q(text="") | Q(kind="link") & ~Q(url=""),
                name="evidence_has_content",
            ),
            models.CheckConstraint(
                condition=Q(supersedes=None) | ~Q(reason=""),
                name="evidence_superseding_says_why",
                violation_error_message="Say why it stands in for the other one.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.ref} {self.title}"

    def get_absolute_url(self) -> str:
        return reverse("portal:evidence-item", args=[self.incident.ref, self.number])

    @property
    def ref(self) -> str:
        return f"E-{self.number}"

    @property
    def topic_labels(self) -> list[str]:
        return [Topic(value).label for value in self.topics.split()]


class Hold(models.Model):
    """What must not be disposed of: one item, or without one everything of the incident, until it is lifted."""

    incident = models.ForeignKey(Incident, on_delete=models.PROTECT, related_name="holds")
    item = models.ForeignKey(EvidenceItem, on_delete=models.PROTECT, null=True, related_name="holds")
    reason = models.CharField(max_length=300)
    placed_at = models.DateTimeField()
    placed_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    lifted_at = models.DateTimeField(null=True)
    lifted_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    lift_reason = models.CharField(max_length=300, blank=True)

    class Meta:
        app_label = "incidents"
        ordering = ["id"]
        default_permissions = ()
        constraints = [
            models.UniqueConstraint("incident", condition=Q(item=None, lifted_at=None), name="hold_incident_once"),
            models.UniqueConstraint("item", condition=Q(lifted_at=None), name="hold_item_once"),
            models.CheckConstraint(
                condition=Q(lifted_at=None, lifted_by=None, lift_reason="")
                | Q(lifted_at__gte=F("placed_at"), lifted_by__isnull=False) & ~Q(lift_reason=""),
                name="hold_lifted_says_who_and_why",
            ),
        ]

    def __str__(self) -> str:
        return f"Hold on {self.what}"

    @property
    def what(self) -> str:
        return self.item.ref if self.item else "everything"


class CustodyLine(models.Model):
    """Who did what to an item, or without one to the evidence of an incident as a whole, and when."""

    class Deed(models.TextChoices):
        RECEIVED = "received"
        READ = "read"
        EXPORTED = "exported"
        VERIFIED = "verified", "Hash verified"
        DAMAGED = "damaged", "Found damaged"
        HELD = "held", "Hold placed"
        LIFTED = "lifted", "Hold lifted"
        SUPERSEDED = "superseded"

    incident = models.ForeignKey(Incident, on_delete=models.PROTECT, related_name="custody")
    item = models.ForeignKey(EvidenceItem, on_delete=models.PROTECT, null=True, related_name="custody")
    deed = models.CharField(max_length=10, choices=Deed)
    at = models.DateTimeField()
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    detail = models.CharField(max_length=400, blank=True, help_text="Purpose, reason or result")

    class Meta:
        app_label = "incidents"
        ordering = ["id"]
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.get_deed_display()} by {self.by}"


class AiContext(models.Model):
    """What the AI system was before and during an incident, as known then. Each save is another row."""

    incident = models.ForeignKey(Incident, on_delete=models.PROTECT, related_name="ai_contexts")
    revision = models.PositiveIntegerField()
    saved_at = models.DateTimeField()
    saved_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")

    model_before = models.CharField("model and version before", max_length=200, blank=True)
    model_after = models.CharField("model and version after", max_length=200, blank=True)
    provider = models.CharField(max_length=200, blank=True)
    route = models.CharField(max_length=300, blank=True, help_text="Which path requests took, with its fallback.")
    prompt_version = models.CharField(max_length=200, blank=True)
    policy_version = models.CharField(max_length=200, blank=True, help_text="Of the AI's own policy, not of this plan.")
    rulepack_version = models.CharField(max_length=200, blank=True)
    tool_boundary = models.CharField(
        "tool boundary", max_length=300, blank=True, help_text="Which document says what it may call, and its version."
    )
    tools_in_scope = models.TextField("tools called within it", max_length=5000, blank=True, help_text="One a line.")
    tools_out_of_scope = models.TextField(
        "tools called outside it", max_length=5000, blank=True, help_text="One a line; “none” when that was seen."
    )
    tenants = models.TextField("affected tenants", max_length=5000, blank=True, help_text="One a line, or “none”.")
    use_cases = models.TextField("affected use cases", max_length=5000, blank=True, help_text="One a line, or “none”.")
    endpoints = models.TextField("affected endpoints", max_length=5000, blank=True, help_text="One a line, or “none”.")

    cost_before = models.DecimalField(max_digits=18, decimal_places=4, null=True, blank=True)
    cost_after = models.DecimalField(max_digits=18, decimal_places=4, null=True, blank=True)
    cost_unit = models.CharField(max_length=40, blank=True, default="USD an hour")
    latency_before = models.DecimalField(max_digits=18, decimal_places=4, null=True, blank=True)
    latency_after = models.DecimalField(max_digits=18, decimal_places=4, null=True, blank=True)
    latency_unit = models.CharField(max_length=40, blank=True, default="ms, P95")
    success_before = models.DecimalField("success rate before", max_digits=18, decimal_places=4, null=True, blank=True)
    success_after = models.DecimalField("success rate after", max_digits=18, decimal_places=4, null=True, blank=True)
    success_unit = models.CharField("success rate unit", max_length=40, blank=True, default="% of requests")
    no_decisions = models.CharField(
        "why nothing was blocked or warned about", max_length=300, blank=True, help_text="Only if there is no decision."
    )

    MEASURES = ("cost", "latency", "success")

    class Meta:
        app_label = "incidents"
        ordering = ["-revision"]
        default_permissions = ()
        verbose_name = "AI context"
        constraints = [models.UniqueConstraint("incident", "revision", name="ai_context_revision_once")]

    def __str__(self) -> str:
        return f"AI context, revision {self.revision}"

    @property
    def measures(self) -> list[tuple[str, str, str, str]]:
        """(name, before, after, unit) of what was measured at all."""
        rows = [
            (name, self.typed(f"{name}_before"), self.typed(f"{name}_after"), getattr(self, f"{name}_unit"))
            for name in self.MEASURES
        ]
        return [row for row in rows if row[1] or row[2]]

    def typed(self, name: str) -> str:
        """A field as somebody would type it: 12.5, not 12.5000."""
        value = getattr(self, name)
        return f"{value.normalize():f}" if isinstance(value, Decimal) else value or ""


class AiDecision(models.Model):
    """Something a guard blocked, warned about or let through, and why; part of one saved context."""

    class Verdict(models.TextChoices):
        BLOCK = "block", "Blocked"
        WARN = "warn", "Warned"
        ALLOW = "allow", "Let through"

    context = models.ForeignKey(AiContext, on_delete=models.PROTECT, related_name="decisions")
    position = models.PositiveSmallIntegerField()
    at = models.DateTimeField("when, UTC", null=True, blank=True)
    verdict = models.CharField(max_length=5, choices=Verdict, default=Verdict.BLOCK)
    what = models.CharField("what was decided on", max_length=300)
    rule = models.CharField("by which rule", max_length=200, blank=True)
    rationale = models.TextField("why", max_length=2000)

    class Meta:
        app_label = "incidents"
        ordering = ["position"]
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.get_verdict_display()}: {self.what}"
