"""The communications matrix and everything else a policy says, as rows. A version never changes once approved."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.urls import reverse
from django.utils.functional import cached_property

from incidents.policy.matrix import EARLIEST_LAW, DutyRule, Rules


class PolicyProfile(models.Model):
    name = models.SlugField(unique=True)
    is_default = models.BooleanField(default=False, help_text="New incidents take it; two people decide")
    read_only = models.BooleanField(default=False, help_text="Shipped to be read and cloned, never changed")

    class Meta:
        app_label = "incidents"
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint("is_default", condition=Q(is_default=True), name="policy_one_default"),
        ]

    def __str__(self) -> str:
        return self.name


class PolicyVersionQuerySet(models.QuerySet["PolicyVersion"]):
    def in_force(self, at: datetime) -> "PolicyVersion | None":
        """The newest approved version of the default profile that is effective at `at`."""
        return self.of_profile_in_force(at).filter(profile__is_default=True).first()

    def of_profile_in_force(self, at: datetime) -> "PolicyVersionQuerySet":
        """What is approved and effective at `at`, whatever the profile, the newest first."""
        approved = self.filter(approved_at__isnull=False, effective_from__lte=at)
        return approved.select_related("profile").order_by("-number")


class PolicyVersion(models.Model):
    """One numbered state of a profile. An incident pins the version it was declared under."""

    profile = models.ForeignKey(PolicyProfile, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    effective_from = models.DateTimeField(null=True, blank=True, help_text="Set when it is approved")
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    cloned_from = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    revision = models.PositiveIntegerField(default=1, help_text="Counts the saves of a draft")
    submitted_at = models.DateTimeField(null=True, blank=True)
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    approved_at = models.DateTimeField(null=True, blank=True)
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    withdrawn_reason = models.CharField(max_length=300, blank=True)
    change_note = models.CharField(max_length=300, blank=True)
    document = models.JSONField(default=dict, help_text="All of it in its normal form; the rows are made of this")
    sha256 = models.CharField(max_length=64, help_text="Of the normal form")
    customer_threshold = models.CharField(
        max_length=200, blank=True, help_text="What was agreed: above this, customers are told"
    )
    grace_seconds = models.PositiveIntegerField(default=120)
    holding_max_consecutive = models.PositiveSmallIntegerField(default=2)
    gate_monitoring_minutes = models.PositiveIntegerField(default=30)
    remind_update_minutes = models.PositiveIntegerField(default=10, help_text="Before an update is due, at most")
    remind_once_minutes = models.PositiveIntegerField(default=240, help_text="Before anything else is due, at most")

    objects = PolicyVersionQuerySet.as_manager()

    class Meta:
        app_label = "incidents"
        permissions = [
            ("propose_policy", "Can draft a policy, and propose which profile new incidents take"),
            ("approve_policy", "Can approve a policy somebody else wrote"),
        ]
        constraints = [
            models.UniqueConstraint("profile", "number", name="policy_version_once"),
            models.UniqueConstraint(
                "profile", condition=Q(approved_at=None, withdrawn_at=None), name="policy_one_draft"
            ),
            models.CheckConstraint(
                condition=Q(approved_by=None) | Q(author=None) | ~Q(approved_by=F("author")),
                name="policy_approved_by_another",
            ),
            models.CheckConstraint(
                condition=Q(approved_at=None) | Q(effective_from__isnull=False, withdrawn_at=None),
                name="policy_approved_is_effective",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.profile.name}, version {self.number}"

    def get_absolute_url(self) -> str:
        return reverse("portal:policy-version", args=[self.profile.name, self.number])

    @property
    def state(self) -> str:
        if self.withdrawn_at:
            return "withdrawn"
        if self.approved_at:
            return "approved"
        return "waits for approval" if self.submitted_at else "draft"

    @property
    def is_draft(self) -> bool:
        return self.state == "draft"

    @property
    def grace(self) -> timedelta:
        return timedelta(seconds=self.grace_seconds)

    def rules(self) -> Rules:
        """The matrix as plain values for the pure rules; two queries, once for each object that stands for it."""
        return self._rules

    @cached_property
    def _rules(self) -> Rules:
        known = list(self.cells.all())
        cells = {(cell.rank, cell.audience): (cell.mode, cell.scope) for cell in known}
        duties: dict[tuple[int, str], list[DutyRule]] = {}
        places = {cell.pk: (cell.rank, cell.audience) for cell in known}
        for row in self.obligations.all():
            duties.setdefault(places[row.cell_id], []).append(row.as_rule())
        reasons = ((cell.rank, cell.audience) for cell in known if cell.override == MatrixCell.Override.REASON)
        return Rules(cells=cells, duties=duties, overridable=frozenset(reasons))

    def reminder(self, *, repeated: bool) -> timedelta:
        """How long before a promise is due its owner is reminded, at most."""
        return timedelta(minutes=self.remind_update_minutes if repeated else self.remind_once_minutes)


class SeverityLevel(models.Model):
    version = models.ForeignKey(PolicyVersion, on_delete=models.CASCADE, related_name="severities")
    rank = models.PositiveSmallIntegerField()
    label = models.CharField(max_length=10)
    name = models.CharField(max_length=30, blank=True)
    definitions = models.TextField(help_text="One line each; the worst line that fits decides")
    enabled = models.BooleanField(default=True)
    acknowledge = models.CharField(max_length=10, blank=True, help_text="From detection, as written: 15m, 2h, 1bd_end")
    page_within = models.CharField(max_length=10, blank=True, help_text="From declaration, until the page has left")
    contain = models.CharField(max_length=10, blank=True)
    resolve = models.CharField(max_length=10, blank=True)

    class Meta:
        app_label = "incidents"
        ordering = ["rank"]
        constraints = [
            models.UniqueConstraint("version", "rank", name="severity_once"),
            models.CheckConstraint(condition=Q(rank__range=(1, 4)), name="severity_rank_1_to_4"),
        ]

    def __str__(self) -> str:
        return f"{self.label} {self.name}".strip()


class NotifyRule(models.Model):
    """Which role is told when an incident of this rank is declared."""

    version = models.ForeignKey(PolicyVersion, on_delete=models.CASCADE, related_name="notify_rules")
    rank = models.PositiveSmallIntegerField()
    role = models.CharField(max_length=30)

    class Meta:
        app_label = "incidents"
        ordering = ["rank", "id"]

    def __str__(self) -> str:
        return f"{self.rank}: {self.role}"


class EscalationRule(models.Model):
    """Which role is called when an incident of this rank stays unacknowledged, or unresolved, for so long."""

    class While(models.TextChoices):
        UNACKNOWLEDGED = "unacknowledged"
        UNRESOLVED = "unresolved"

    version = models.ForeignKey(PolicyVersion, on_delete=models.CASCADE, related_name="escalation_rules")
    rank = models.PositiveSmallIntegerField()
    condition = models.CharField("while", max_length=14, choices=While)
    after = models.CharField(max_length=10, help_text="From declaration, as written: 5m, 4h")
    role = models.CharField(max_length=30)

    class Meta:
        app_label = "incidents"
        ordering = ["rank", "id"]
        constraints = [models.UniqueConstraint("version", "rank", "condition", "role", name="escalation_rule_once")]

    def __str__(self) -> str:
        return f"{self.rank}: {self.role} after {self.after} {self.condition}"


class ApprovalRule(models.Model):
    """Which role must approve a message of this class; several rows mean all of them."""

    version = models.ForeignKey(PolicyVersion, on_delete=models.CASCADE, related_name="approval_rules")
    message_class = models.CharField(max_length=20)
    role = models.CharField(max_length=30)

    class Meta:
        app_label = "incidents"
        ordering = ["id"]
        constraints = [models.UniqueConstraint("version", "message_class", "role", name="approval_rule_once")]

    def __str__(self) -> str:
        return f"{self.message_class}: {self.role}"


class MatrixCell(models.Model):
    """Severity rank × audience: whether, and to whom, something is owed."""

    class Audience(models.TextChoices):
        CUSTOMERS = "customers"
        REGULATORS = "regulators"
        PUBLIC = "public", "Status page"
        INTERNAL = "internal"

    class Override(models.TextChoices):
        NO = "", "Not at all"
        REASON = "reason_required", "With a reason"

    version = models.ForeignKey(PolicyVersion, on_delete=models.CASCADE, related_name="cells")
    rank = models.PositiveSmallIntegerField()
    audience = models.CharField(max_length=12, choices=Audience)
    mode = models.CharField(max_length=30)
    scope = models.CharField(max_length=20, default="all")
    override = models.CharField(
        max_length=15, choices=Override, blank=True, help_text="Whether mode `none` gives way to somebody's reason"
    )
    note = models.CharField(max_length=120, blank=True, help_text="What no number says")

    class Meta:
        app_label = "incidents"
        constraints = [models.UniqueConstraint("version", "rank", "audience", name="matrix_cell_once")]

    def __str__(self) -> str:
        return f"{self.rank} × {self.audience}: {self.mode}"


class CommObligation(models.Model):
    """What one cell owes: the first message, its cadence, the closing message."""

    cell = models.ForeignKey(MatrixCell, on_delete=models.CASCADE, related_name="obligations")
    version = models.ForeignKey(PolicyVersion, on_delete=models.CASCADE, related_name="obligations")
    message_class = models.CharField(max_length=20)
    first = models.CharField(max_length=10, blank=True)
    first_if_data_or_ai_harm = models.CharField(max_length=10, blank=True)
    first_if_short_clock = models.CharField(
        max_length=10, blank=True, help_text="When a law gives the regulator's notice 6 hours or less"
    )
    every = models.CharField(max_length=10, blank=True)
    close = models.CharField(max_length=10, blank=True)
    daily_once_contained = models.CharField(max_length=5, blank=True)
    when = models.CharField(max_length=20, blank=True)
    holding = models.BooleanField(default=False)
    mode = models.CharField(max_length=30, blank=True, help_text="Its own, where it is not the cell's")
    or_earlier = models.CharField(max_length=20, blank=True, choices=[(EARLIEST_LAW, "Earliest enabled law")])

    class Meta:
        app_label = "incidents"
        constraints = [models.UniqueConstraint("cell", "message_class", name="obligation_once")]

    def __str__(self) -> str:
        return f"{self.cell} {self.message_class}"

    def as_rule(self) -> DutyRule:
        return DutyRule(
            message_class=self.message_class,
            first=self.first,
            first_if_data_or_ai_harm=self.first_if_data_or_ai_harm,
            first_if_short_clock=self.first_if_short_clock,
            every=self.every,
            close=self.close,
            daily_once_contained=self.daily_once_contained,
            when=self.when,
            holding=self.holding,
            mode=self.mode,
            or_earlier=self.or_earlier,
        )


class ThresholdRule(models.Model):
    """Above this value a severity is suggested, or none yet: a person decides."""

    version = models.ForeignKey(PolicyVersion, on_delete=models.CASCADE, related_name="thresholds")
    signal = models.CharField(max_length=40)
    above = models.DecimalField(max_digits=9, decimal_places=3)
    suggests = models.PositiveSmallIntegerField(null=True)

    class Meta:
        app_label = "incidents"
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.signal} > {self.above}"


class GateItem(models.Model):
    """What must be true, or ticked, before an incident is resolved."""

    class Kind(models.TextChoices):
        CONDITION = "condition"
        TICK = "tick"

    version = models.ForeignKey(PolicyVersion, on_delete=models.CASCADE, related_name="gate_items")
    kind = models.CharField(max_length=9, choices=Kind)
    position = models.PositiveSmallIntegerField()
    text = models.CharField(max_length=120)

    class Meta:
        app_label = "incidents"
        ordering = ["kind", "position"]
        constraints = [models.UniqueConstraint("version", "kind", "position", name="gate_item_once")]

    def __str__(self) -> str:
        return self.text


class Checkpoint(models.Model):
    """How far an incident of this rank should be, so long after detection. It warns and blocks nothing."""

    version = models.ForeignKey(PolicyVersion, on_delete=models.CASCADE, related_name="checkpoints")
    rank = models.PositiveSmallIntegerField()
    name = models.CharField(max_length=20)
    after = models.CharField(max_length=10)

    class Meta:
        app_label = "incidents"
        ordering = ["rank", "id"]
        constraints = [models.UniqueConstraint("version", "rank", "name", name="policy_checkpoint_once")]

    def __str__(self) -> str:
        return f"{self.rank}: {self.name} after {self.after}"


class PolicyWriter(models.Model):
    """Who wrote at a draft, and so cannot approve it."""

    version = models.ForeignKey(PolicyVersion, on_delete=models.CASCADE, related_name="writers")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")

    class Meta:
        app_label = "incidents"
        constraints = [models.UniqueConstraint("version", "person", name="policy_writer_once")]

    def __str__(self) -> str:
        return str(self.person)


class DefaultChoice(models.Model):
    """One decision, by two people, which profile new incidents take."""

    profile = models.ForeignKey(PolicyProfile, on_delete=models.PROTECT, related_name="choices")
    reason = models.CharField(max_length=300)
    proposed_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    proposed_at = models.DateTimeField()
    settled_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    settled_at = models.DateTimeField(null=True)
    approved = models.BooleanField(default=False)

    class Meta:
        app_label = "incidents"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint("approved", condition=Q(settled_at=None), name="policy_one_choice_waits"),
            models.CheckConstraint(
                condition=Q(approved=False) | (Q(settled_by__isnull=False) & ~Q(settled_by=F("proposed_by"))),
                name="policy_choice_approved_by_another",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.profile}: {self.reason}"


class IncidentType(models.Model):
    """The taxonomy T01 to T99: every category a seed document names."""

    class Family(models.TextChoices):
        SECURITY = "security"
        OPERATIONAL = "operational"
        COMPLIANCE = "compliance"

    code = models.CharField(max_length=4, primary_key=True)
    name = models.CharField(max_length=80)
    family = models.CharField(max_length=12, choices=Family)
    ai = models.CharField(max_length=5, default="no")
    suggested_rank = models.PositiveSmallIntegerField(null=True)
    why = models.CharField(max_length=200)
    is_outage = models.BooleanField(default=False)
    is_data = models.BooleanField(default=False)

    class Meta:
        app_label = "incidents"
        ordering = ["code"]

    def __str__(self) -> str:
        return f"{self.code} {self.name}"
