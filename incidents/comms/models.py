"""What is owed to whom by when, and what was said."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.urls import reverse

from incidents.comms import wording
from incidents.lifecycle.models import Incident, Role
from incidents.policy.matrix import SHORT_CLOCK
from incidents.policy.models import EscalationRule, MatrixCell
from statuspage import languages


class Message(models.Model):
    """One text to one audience: drafted, then approved bound to its hash, which sends it."""

    class Status(models.TextChoices):
        DRAFT = "draft"
        SENT = "sent"
        RETURNED = "returned"

    class Kind(models.TextChoices):
        UPDATE = "update"
        HOLDING = "holding", "Holding message"
        CORRECTION = "correction"
        INCIDENT_NOTICE = "incident_notice", "Incident notice"
        BREACH_NOTICE = "breach_notice", "Breach notice"
        STATEMENT = "public_statement", "Public statement"
        POSTMORTEM = "postmortem", "Public post-mortem"

    class Audience(models.TextChoices):
        CUSTOMERS = "customers", "Customers and status page"
        PAGE = "public", "Status page"
        INTERNAL = "internal", "Internal readers"
        PRESS = "press", "Press and social media"

    WRITTEN = (Kind.UPDATE, Kind.CORRECTION)
    NOTICES = (Kind.INCIDENT_NOTICE, Kind.BREACH_NOTICE)

    incident = models.ForeignKey(Incident, on_delete=models.PROTECT, related_name="messages")
    audience = models.CharField(max_length=12, choices=Audience)
    kind = models.CharField(max_length=16, choices=Kind, default=Kind.UPDATE)
    status = models.CharField(max_length=8, choices=Status, default=Status.DRAFT)
    public_status = models.CharField(max_length=14, choices=Incident.Status)
    text = models.TextField(max_length=5000)
    titles = models.JSONField(default=dict, blank=True, help_text="The title in other languages, by language")
    bodies = models.JSONField(default=dict, blank=True, help_text="The text in other languages, by language")
    next_update_by = models.DateTimeField(null=True)
    asserts = models.BooleanField(
        default=False, help_text="Names a cause, exposed data, liability or compensation: approved like a notice"
    )
    override_reason = models.CharField(
        max_length=300, blank=True, help_text="Why the outside is told at a severity that tells it nothing"
    )
    corrects = models.CharField(
        max_length=300, blank=True, help_text="What was wrong with the post-mortem that readers have seen"
    )
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
    def here(self) -> languages.Text:
        """The text, in the active language where it was given in it."""
        return languages.here(self.text, self.bodies)

    @property
    def in_other_languages(self) -> list[tuple[str, str, str]]:
        """Every language it was given in besides the page's own, as its name, the title and the text."""
        given = [code for code in languages.NAMES if code in self.titles or code in self.bodies]
        return [(languages.NAMES[code], self.titles.get(code, ""), self.bodies.get(code, "")) for code in given]

    @property
    def is_notice(self) -> bool:
        """A formal notice: to the contacts of affected customers by mail, never to the page."""
        return self.kind in self.NOTICES

    @property
    def is_statement(self) -> bool:
        """Words for press and social media: approved here, given out by people."""
        return self.kind == self.Kind.STATEMENT

    @property
    def is_postmortem(self) -> bool:
        """What customers read of what was learned, on the incident's page."""
        return self.kind == self.Kind.POSTMORTEM

    @property
    def is_formal(self) -> bool:
        """Meets the promise of its own name, and no other."""
        return self.is_notice or self.is_statement or self.is_postmortem

    @property
    def goes_as(self) -> str:
        """What an approval binds besides the text: the audience of an update, the kind of everything else."""
        return self.audience if self.kind in (self.Kind.UPDATE, self.Kind.HOLDING) else self.kind

    @property
    def approval_class(self) -> str:
        """What the policy calls it when it says who must approve it; empty where nobody must.

        An update that asserts a cause, exposed data, liability or compensation takes a notice's path (C-07).
        """
        if self.audience == self.Audience.INTERNAL or self.kind == self.Kind.HOLDING:
            return ""
        if self.is_postmortem:
            return "postmortem_public"
        if self.is_formal:
            return self.kind
        return self.Kind.INCIDENT_NOTICE if self.asserts else "status_update"

    @property
    def found_words(self) -> list[str]:
        """What of the text may assert more than its author says it does."""
        return [] if self.asserts or self.approval_class != "status_update" else wording.assertions(self.text)


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


class LegalDeadlineQuerySet(models.QuerySet["LegalDeadline"]):
    def running(self) -> "LegalDeadlineQuerySet":
        return self.filter(withdrawn_at=None)


class LegalDeadline(models.Model):
    """The date a law or contract demands on this incident, as somebody entered it. Changed by a new one; the old stays.

    Later the clocks write the same rows; what falls due by them does not ask who wrote them.
    """

    class Audience(models.TextChoices):
        CUSTOMERS = "customers", "Customers or the people concerned"
        REGULATORS = "regulators", "A regulator or authority"

    incident = models.ForeignKey(Incident, on_delete=models.PROTECT, related_name="laws")
    audience = models.CharField(max_length=12, choices=Audience)
    name = models.CharField(max_length=120, help_text="The law and its provision, or the contract")
    runs_from = models.DateTimeField(help_text="The event it counts from, for example when we became aware")
    due_at = models.DateTimeField()
    reason = models.CharField(max_length=300, help_text="Why it applies")
    entered_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    entered_at = models.DateTimeField()
    withdrawn_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    withdrawn_at = models.DateTimeField(null=True)
    withdrawn_reason = models.CharField(max_length=300, blank=True)

    objects = LegalDeadlineQuerySet.as_manager()

    class Meta:
        app_label = "incidents"
        ordering = ["due_at", "id"]
        default_permissions = ()
        constraints = [
            models.CheckConstraint(
                condition=Q(due_at__gt=F("runs_from")),
                name="law_due_after_it_runs",
                violation_error_message="It cannot be due before it runs.",
            ),
            models.CheckConstraint(
                condition=Q(withdrawn_at=None) | ~Q(withdrawn_reason=""),
                name="law_withdrawn_has_reason",
                violation_error_message="Say why it does not apply.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name}, by {self.due_at:%Y-%m-%d %H:%M} UTC"

    @property
    def is_running(self) -> bool:
        return self.withdrawn_at is None

    @property
    def is_short(self) -> bool:
        """So short that the decision about regulators is owed sooner (requirements 1.9)."""
        return self.due_at - self.runs_from <= SHORT_CLOCK


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
        "regulator_filing": "Tell the regulator",
        "public_statement": "Public statement, agreed with legal",
        "board_notice": "Tell the board's secretary",
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
    law = models.ForeignKey(LegalDeadline, on_delete=models.PROTECT, null=True, related_name="duties")
    limit_at = models.DateTimeField(null=True, help_text="The policy's own limit, where a law asks for it earlier")
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
                "incident",
                "audience",
                "message_class",
                condition=Q(outcome="open") & ~Q(message_class="regulator_filing"),
                name="duty_one_open",
            ),
            models.UniqueConstraint(
                "law", condition=Q(message_class="regulator_filing"), name="duty_one_filing_for_each_law"
            ),
            models.CheckConstraint(
                condition=~Q(message_class="regulator_filing") | Q(law__isnull=False), name="duty_filing_has_law"
            ),
            models.CheckConstraint(
                condition=Q(outcome="open") | Q(ended_at__isnull=False), name="duty_ended_has_instant"
            ),
            models.CheckConstraint(
                condition=~Q(outcome="waived") | ~Q(reason=""),
                name="duty_waived_has_reason",
                violation_error_message="Say why this is waived.",
            ),
            models.CheckConstraint(  # a law may have asked for it before anybody here knew
                condition=Q(due_at__gte=F("anchor_at")) | Q(law__isnull=False), name="duty_due_after_anchor"
            ),
            models.CheckConstraint(
                condition=Q(limit_at=None) | Q(law__isnull=False, limit_at__gt=F("due_at")),
                name="duty_law_is_earlier",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.label} {self.seq} by {self.due_at:%Y-%m-%d %H:%M} UTC"

    @property
    def label(self) -> str:
        label = self.LABELS.get(self.message_class, self.message_class)
        return f"{label}: {self.law.name}" if self.is_filing and self.law else label

    @property
    def is_written(self) -> bool:
        """Met by a message written in the portal; the others by recording what was done."""
        return self.message_class in self.WRITTEN

    @property
    def is_notice(self) -> bool:
        """Met by a formal notice written here, or by recording that it was given another way."""
        return self.message_class in Message.NOTICES

    @property
    def is_formal(self) -> bool:
        """Met by a text of its own written here, or by recording that it was given another way."""
        return self.is_notice or self.message_class == Message.Kind.STATEMENT

    @property
    def is_filing(self) -> bool:
        return self.message_class == "regulator_filing"

    @property
    def policy_due_at(self) -> datetime:
        """When the policy alone would have it due."""
        return self.limit_at or self.due_at

    @property
    def source(self) -> str:
        """What sets the due time where it is not the policy alone, in words; a filing names its law itself.

        Ask with `law` selected.
        """
        if self.law is None or self.is_filing:
            return ""
        otherwise = f"; the policy alone asks for it by {self.limit_at:%Y-%m-%d %H:%M} UTC" if self.limit_at else ""
        return f"Due by {self.law.name}{otherwise}."

    @property
    def is_review(self) -> bool:
        return self.message_class == "review"

    def get_write_url(self) -> str:
        """Where the message that meets it is written; empty for what is only recorded."""
        if self.is_notice:
            return reverse("portal:notice", args=[self.incident.ref, self.message_class])
        if self.is_formal:
            return reverse("portal:statement", args=[self.incident.ref])
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


class Call(models.Model):
    """One page to one person for one role, or to the chat rooms: whom, why, how, when. What became of it the outbox
    knows; without a person nobody fills the role. Never changed, but for the person saying once that they have it.
    """

    class Cause(models.TextChoices):
        DECLARED = "declared", "Declared"
        UNACKNOWLEDGED = "unacknowledged", "Nobody had acknowledged it"
        UNRESOLVED = "unresolved", "Still not resolved"
        OVERDUE = "overdue", "A promise was not kept in time"
        HANDOVER = "handover", "A role was given"

    class Channel(models.TextChoices):
        MAIL = "smtp", "E-mail"
        CHAT = "chat", "Chat rooms"

    incident = models.ForeignKey(Incident, on_delete=models.PROTECT, related_name="calls")
    cause = models.CharField(max_length=14, choices=Cause)
    role = models.CharField(max_length=30, choices=Role, blank=True)
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    channel = models.CharField(max_length=5, choices=Channel)
    made_at = models.DateTimeField()
    announcement_key = models.CharField(max_length=120)
    acknowledged_at = models.DateTimeField(null=True)

    class Meta:
        app_label = "incidents"
        ordering = ["made_at", "id"]
        default_permissions = ()
        indexes = [
            models.Index("incident", "made_at", name="call_by_time"),
            models.Index("announcement_key", name="call_of_announcement"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(acknowledged_at=None) | Q(person__isnull=False), name="call_acknowledged_by_person"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_role_display() or self.get_channel_display()}: {self.person or 'nobody'}"

    @property
    def reader(self) -> str:
        """How the outbox calls the person."""
        return f"user:{self.person_id}"

    @property
    def is_gap(self) -> bool:
        """Nobody fills the role, so nobody was called for it."""
        return self.channel == self.Channel.MAIL and self.person_id is None

    @property
    def takes_it_on(self) -> bool:
        """Whether saying that one has it acknowledges the incident: it was meant to find somebody who does."""
        return self.cause == self.Cause.UNACKNOWLEDGED or self.role == Role.INCIDENT_COMMANDER
