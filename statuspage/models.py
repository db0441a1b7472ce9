"""What the public sees: components, notices and their updates, and who asked to be told.

Only text somebody chose to publish lives here. `publish.py` is its only writer.
"""

import hashlib
import secrets
import string
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any

from django.conf import settings
from django.core.validators import EmailValidator
from django.db import models
from django.db.models import Case, Exists, Expression, F, OuterRef, Prefetch, Q, Subquery, Value, When
from django.db.models.functions import Coalesce, Length, Lower, StrIndex, Substr
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from irportal.outbox.models import Endpoint
from statuspage.languages import NAMES, Text, here, own

BASE36 = string.digits + string.ascii_lowercase
TITLE_LENGTH = 200


def new_code() -> str:
    """12 characters of base36, the shape status-page clients expect of an id; not guessable."""
    return "".join(secrets.choice(BASE36) for _ in range(12))


def code_of(name: str) -> str:
    """As `new_code`, but always the same for the same name."""
    number = int.from_bytes(hashlib.sha256(name.encode()).digest())
    return "".join(BASE36[number // 36**n % 36] for n in range(12))


class CustomerQuerySet(models.QuerySet["Customer"]):
    def of(self, email: str) -> "Customer | None":
        """Whose people read mail at this address; None when it is nobody's, or that customer has gone."""
        found = CustomerAddress.objects.covering(Value(email)).values_list("customer", flat=True).first()
        return self.filter(pk=found, is_active=True).first()


class Customer(models.Model):
    """A customer with a contract, attached to the components they use; their contact is told without subscribing.

    Components that are theirs alone (`Component.customer`) are seen by whoever reads mail at `addresses`.
    """

    name = models.CharField(max_length=120, unique=True)
    contact_email = models.EmailField(max_length=254, validators=[EmailValidator()])
    components: models.ManyToManyField = models.ManyToManyField("Component", blank=True, related_name="+")
    is_active = models.BooleanField(default=True)

    objects = CustomerQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class CustomerAddressQuerySet(models.QuerySet["CustomerAddress"]):
    def covering(self, email: Expression | F | Value) -> "CustomerAddressQuerySet":
        """Those that name this address or its domain, the address itself first."""
        mail = Lower(email)
        domain = Substr(mail, StrIndex(mail, Value("@")) + 1)
        return self.filter(Q(address=mail) | Q(address=domain)).order_by(Length("address").desc())


class CustomerAddress(models.Model):
    """An address, or a whole domain, whose mail a customer's people read. It belongs to one customer."""

    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="addresses")
    address = models.CharField(max_length=254, unique=True, help_text="ann@bank.example, or bank.example; lower case")

    objects = CustomerAddressQuerySet.as_manager()

    class Meta:
        ordering = ["address"]

    def __str__(self) -> str:
        return self.address


def theirs(customer: Customer | None, *fields: str) -> Q:
    """Rows whose `fields` name nobody or this customer; with None, the public, only those that name nobody."""
    found = Q()
    for field in fields:
        nobody = Q(**{f"{field}__isnull": True})
        found &= nobody | Q(**{field: customer}) if customer else nobody
    return found


def _none_or_some(rows: models.QuerySet[Any], wanted: Q) -> Coalesce:
    """Whether there are no such rows, or at least one wanted: one look by the index for each row it is asked of.

    As two EXISTS in an OR, PostgreSQL may read all rows of all of the past before the first answer.
    """
    best = rows.annotate(wanted=Case(When(wanted, then=True), default=False)).order_by("-wanted")
    return Coalesce(Subquery(best.values("wanted")[:1]), Value(True))


class ComponentGroupQuerySet(models.QuerySet["ComponentGroup"]):
    def seen_by(self, customer: Customer | None) -> "ComponentGroupQuerySet":
        """Those with a component the public (None) or this customer sees."""
        return self.filter(Exists(Component.objects.seen_by(customer).filter(group=OuterRef("pk"))))


class ComponentGroup(models.Model):
    code = models.CharField(max_length=12, unique=True, default=new_code, editable=False)
    name = models.CharField(max_length=80)
    position = models.PositiveSmallIntegerField(default=1)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = ComponentGroupQuerySet.as_manager()

    class Meta:
        ordering = ["position", "id"]

    def __str__(self) -> str:
        return self.name


class ComponentQuerySet(models.QuerySet["Component"]):
    def seen_by(self, customer: Customer | None) -> "ComponentQuerySet":
        """What the public sees (None), and besides it what is this customer's alone."""
        if customer is None and settings.PAGE_RESTRICTED:
            return self.none()
        return self.filter(theirs(customer, "customer"))

    def with_state(self) -> "ComponentQuerySet":
        """Add `.state`: the worst any open notice says of the component, else whether it is under maintenance."""
        rank = Case(
            *(When(state=state, then=Value(rank)) for state, rank in Component.RANK.items()),
            output_field=models.SmallIntegerField(),
        )
        hits = NoticeComponent.objects.filter(component=OuterRef("pk"), notice__resolved_at=None)
        worst = hits.exclude(state=Component.State.OPERATIONAL).order_by(rank.desc())
        works = Maintenance.objects.active().filter(hits__component=OuterRef("pk"))
        return self.annotate(
            state=Coalesce(
                Subquery(worst.values("state")[:1]),
                Case(When(Exists(works), then=Value(Component.State.UNDER_MAINTENANCE.value))),
                Value(Component.State.OPERATIONAL.value),
            )
        )


class Component(models.Model):
    """One thing customers know by name. It has no state of its own: open notices decide (`with_state`)."""

    class State(models.TextChoices):
        OPERATIONAL = "operational", _("Operational")
        DEGRADED_PERFORMANCE = "degraded_performance", _("Degraded performance")
        PARTIAL_OUTAGE = "partial_outage", _("Partial outage")
        MAJOR_OUTAGE = "major_outage", _("Major outage")
        UNDER_MAINTENANCE = "under_maintenance", _("Under maintenance")

    # The worse the higher. Maintenance never hides a real problem.
    RANK = {
        State.OPERATIONAL: 0,
        State.UNDER_MAINTENANCE: 1,
        State.DEGRADED_PERFORMANCE: 2,
        State.PARTIAL_OUTAGE: 3,
        State.MAJOR_OUTAGE: 4,
    }

    code = models.CharField(max_length=12, unique=True, default=new_code, editable=False)
    group = models.ForeignKey(
        ComponentGroup, on_delete=models.PROTECT, null=True, blank=True, related_name="components"
    )
    name = models.CharField(max_length=80)
    description = models.CharField(max_length=200, blank=True)
    customer = models.ForeignKey(
        Customer,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="own_components",
        verbose_name="private to",
        help_text="Empty: everybody sees it. Else only this customer's people do, when signed in.",
    )
    position = models.PositiveSmallIntegerField(default=1)
    state_changed_at = models.DateTimeField(default=timezone.now, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    state: str  # filled by `with_state`

    objects = ComponentQuerySet.as_manager()

    class Meta:
        ordering = [F("group__position").asc(nulls_last=True), "group_id", "position", "id"]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def rank(cls, state: str) -> int:
        """How bad a state is."""
        return cls.RANK[cls.State(state)]

    @property
    def full_name(self) -> str:
        return f"{self.group.name} - {self.name}" if self.group else self.name

    @property
    def state_label(self) -> str:
        return str(Component.State(self.state).label)


class VendorQuerySet(models.QuerySet["Vendor"]):
    def due(self, at: datetime) -> "VendorQuerySet":
        """Those nobody has asked since, the longest waiting first."""
        return self.filter(Q(asked_at=None) | Q(asked_at__lte=at)).order_by(F("asked_at").asc(nulls_first=True), "pk")


class Vendor(models.Model):
    """Somebody whose service ours stands on, with a status page of their own that speaks Statuspage's API v2."""

    STALE = timedelta(minutes=15)  # what was read longer ago says nothing of now

    name = models.CharField(max_length=80)
    address = models.CharField(
        max_length=200, unique=True, help_text="Where their status page is, such as https://status.example.com"
    )
    watched = models.TextField(
        "components that matter",
        blank=True,
        max_length=2000,
        help_text="As their page names them, one a line; none means the page as a whole.",
    )
    components = models.ManyToManyField(
        Component, blank=True, related_name="vendors", help_text="Which of ours depend on them."
    )
    state = models.CharField(max_length=20, choices=Component.State, blank=True, editable=False)
    words = models.CharField(max_length=200, blank=True, editable=False)
    etag = models.CharField(max_length=200, blank=True, editable=False)
    problem = models.CharField(max_length=200, blank=True, editable=False)
    asked_at = models.DateTimeField(null=True, editable=False)
    read_at = models.DateTimeField(null=True, editable=False)

    objects = VendorQuerySet.as_manager()

    class Meta:
        ordering = [Lower("name"), "id"]

    def __str__(self) -> str:
        return self.name

    @property
    def watched_names(self) -> list[str]:
        return [name for line in self.watched.splitlines() if (name := " ".join(line.split()))]

    @property
    def stale_at(self) -> datetime | None:
        """When what was read says nothing any more; None when nothing was read."""
        return self.read_at + self.STALE if self.read_at else None

    def state_at(self, now: datetime) -> str:
        """A component's state, or empty for unknown: never read, or too long ago."""
        return self.state if self.stale_at and now < self.stale_at else ""


def _shown(customer: Customer | None, path: str = "") -> Q:
    """Which notices the public (None) or this customer sees; `path` leads to them from what is asked, as `notice__`."""
    pk = OuterRef(f"{path}pk")
    hits = NoticeComponent.objects.filter(notice=pk)
    wanted = theirs(customer, "customer", "component__customer")
    shown = Q(**{f"{path}is_public": True}) & Q(_none_or_some(hits, wanted))
    if customer:
        shown |= Q(Exists(Notice.customers.through.objects.filter(notice=pk, customer=customer)))
    return shown


class NoticeQuerySet(models.QuerySet["Notice"]):
    def open(self) -> "NoticeQuerySet":
        return self.filter(resolved_at=None)

    def told(self) -> "NoticeQuerySet":
        """With all that was said of them, newest first."""
        return self.select_related("vendor").prefetch_related("updates", "postmortems")

    def seen_by(self, customer: Customer | None) -> "NoticeQuerySet":
        """What the public sees (None), and besides it what was told to this customer.

        A public notice is hidden while all the components it names are private: the last of them became so later.
        """
        return self.none() if customer is None and settings.PAGE_RESTRICTED else self.filter(_shown(customer))

    def complete(self, customer: Customer | None) -> "NoticeQuerySet":
        """As `seen_by`, with all that was said of them and the components they see, in four queries for any number."""
        hits = NoticeComponent.objects.seen_by(customer).select_related("component__group")
        return self.seen_by(customer).told().prefetch_related(Prefetch("hits", hits))


class Notice(models.Model):
    """One incident as the public knows it. Its address, /incidents/<code>, never changes."""

    class Status(models.TextChoices):
        INVESTIGATING = "investigating", _("Investigating")
        IDENTIFIED = "identified", _("Identified")
        MONITORING = "monitoring", _("Monitoring")
        RESOLVED = "resolved", _("Resolved")

    class Impact(models.TextChoices):
        NONE = "none"
        MINOR = "minor"
        MAJOR = "major"
        CRITICAL = "critical"

        @property
        def and_milder(self) -> "list[Notice.Impact]":
            """This one and whatever is less bad."""
            return list(Notice.Impact)[: list(Notice.Impact).index(self) + 1]

    POSTMORTEM = "postmortem"  # the status by which clients of Statuspage know that one is published

    code = models.CharField(max_length=12, unique=True, default=new_code, editable=False)
    ref = models.CharField(max_length=20, unique=True, help_text="The incident's number, for example INC-42")
    title = models.CharField(max_length=TITLE_LENGTH)
    titles = models.JSONField(default=dict, blank=True, help_text="The title in other languages, by language")
    status = models.CharField(max_length=13, choices=Status)
    impact = models.CharField(max_length=8, choices=Impact)
    is_public = models.BooleanField(default=True)
    customers: models.ManyToManyField = models.ManyToManyField(
        Customer, blank=True, related_name="notices", help_text="Who alone was told, when it is not public"
    )
    started_at = models.DateTimeField()
    created_at = models.DateTimeField()
    monitoring_at = models.DateTimeField(null=True)
    resolved_at = models.DateTimeField(null=True)
    next_update_by = models.DateTimeField(null=True)
    vendor = models.ForeignKey(
        Vendor, on_delete=models.PROTECT, null=True, related_name="notices", help_text="Who caused it"
    )

    objects = NoticeQuerySet.as_manager()

    class Meta:
        ordering = ["-started_at", "-id"]
        indexes = [
            models.Index("started_at", "id", name="notice_started"),
            models.Index("created_at", "id", name="notice_created"),
            models.Index("id", condition=Q(resolved_at=None), name="notice_open"),
            models.Index("resolved_at", name="notice_resolved"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(status="resolved", resolved_at__isnull=False)
                | (~Q(status="resolved") & Q(resolved_at=None)),
                name="notice_resolved_has_instant",
                violation_error_message="Exactly the resolved incidents have a time of resolution.",
            ),
            models.CheckConstraint(
                condition=Q(resolved_at=None) | Q(resolved_at__gte=F("started_at")),
                name="notice_resolved_after_started",
                violation_error_message="An incident cannot be resolved before it started.",
            ),
            models.CheckConstraint(
                condition=~Q(status="resolved") | Q(next_update_by=None),
                name="notice_resolved_promises_nothing",
                violation_error_message="A resolved incident promises no next update.",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["investigating", "identified", "monitoring", "resolved"]),
                name="notice_status_known",
                violation_error_message="Choose Investigating, Identified, Monitoring or Resolved.",
            ),
            models.CheckConstraint(
                condition=Q(impact__in=["none", "minor", "major", "critical"]),
                name="notice_impact_known",
                violation_error_message="Impact is none, minor, major or critical.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.ref} {self.title}"

    def get_absolute_url(self) -> str:
        return reverse("statuspage:incident", args=[self.code])

    @property
    def here(self) -> Text:
        """The title, in the active language where it was given in it."""
        return here(self.title, self.titles)

    @property
    def is_open(self) -> bool:
        return self.resolved_at is None

    @property
    def postmortem(self) -> "NoticePostmortem | None":
        """The post-mortem that stands: the newest, unless it was withdrawn."""
        newest = next(iter(self.postmortems.all()), None)
        return newest if newest and not newest.is_withdrawn else None

    @property
    def postmortem_told_at(self) -> datetime | None:
        """When the post-mortem that stands was first told, before any correction; what was withdrawn does not count."""
        told = list(takewhile(lambda one: not one.is_withdrawn, self.postmortems.all()))
        return told[-1].created_at if told else None

    @property
    def stage(self) -> str:
        """The status, or `postmortem` once one is published."""
        return self.POSTMORTEM if self.postmortem and not self.is_open else self.status

    @property
    def told_at(self) -> datetime:
        """When anything was last published of it."""
        told = [update.created_at for update in self.updates.all()]
        return max(told + [one.created_at for one in self.postmortems.all()])


class NoticeUpdateQuerySet(models.QuerySet["NoticeUpdate"]):
    def seen_by(self, customer: Customer | None) -> "NoticeUpdateQuerySet":
        """Those of the notices the public (None) or this customer sees."""
        hidden = customer is None and settings.PAGE_RESTRICTED
        return self.none() if hidden else self.filter(_shown(customer, "notice__"))


class NoticeUpdate(models.Model):
    """One text as it was published; never changed afterwards. A correction is another update."""

    class Kind(models.TextChoices):
        UPDATE = "update"
        HOLDING = "holding"
        CORRECTION = "correction"

    notice = models.ForeignKey(Notice, on_delete=models.PROTECT, related_name="updates")
    code = models.CharField(max_length=12, unique=True, default=new_code, editable=False)
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.UPDATE)
    status = models.CharField(max_length=13, choices=Notice.Status)
    body = models.TextField(help_text="Markdown")
    bodies = models.JSONField(default=dict, blank=True, help_text="Frozen: the text in other languages, by language")
    affected = models.JSONField(
        default=list, help_text="Frozen: [{code, name, old_status, new_status}], and `customer` where it is private"
    )
    display_at = models.DateTimeField(help_text="When it was said")
    created_at = models.DateTimeField(help_text="When it was recorded")
    imported_at = models.DateTimeField(
        null=True,
        help_text="When it was taken over from another page, where it was recorded; nobody was told of it here",
    )

    objects = NoticeUpdateQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]  # as recorded: the newest word always stands first, even when its said time is earlier
        constraints = [
            models.CheckConstraint(
                condition=~Q(body=""),
                name="update_says_something",
                violation_error_message="An update needs a text.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_status_display()} {self.display_at:%Y-%m-%d %H:%M}"

    @property
    def here(self) -> Text:
        """The text, in the active language where it was given in it."""
        return here(self.body, self.bodies)

    @property
    def parts(self) -> list[Text]:
        return [self.here]

    @property
    def notified(self) -> bool:
        """Whether subscribers were told of it, as in `MaintenanceUpdate`."""
        return self.imported_at is None


class NoticePostmortem(models.Model):
    """What was learned, as it was published; never changed. The newest stands; so a correction is another one.

    One without a text takes back what stood before.
    """

    notice = models.ForeignKey(Notice, on_delete=models.PROTECT, related_name="postmortems")
    code = models.CharField(max_length=12, unique=True, default=new_code, editable=False)
    body = models.TextField(blank=True, help_text="Markdown; empty where the post-mortem is withdrawn")
    reason = models.CharField(max_length=300, blank=True, help_text="What was wrong with the one before")
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(body="") | ~Q(reason=""),
                name="postmortem_withdrawn_has_reason",
                violation_error_message="Say why the post-mortem is withdrawn.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.notice_id}: {self.created_at:%Y-%m-%d %H:%M}"

    @property
    def is_withdrawn(self) -> bool:
        return not self.body


class NoticeComponentQuerySet(models.QuerySet["NoticeComponent"]):
    def seen_by(self, customer: Customer | None) -> "NoticeComponentQuerySet":
        """What was theirs to see when it was named, and still is."""
        return self.filter(theirs(customer, "customer", "component__customer"))


class NoticeComponent(models.Model):
    """A component a notice names, with the state it gives it. It counts only while the notice is open."""

    notice = models.ForeignKey(Notice, on_delete=models.CASCADE, related_name="hits")
    component = models.ForeignKey(Component, on_delete=models.PROTECT, related_name="hits")
    state = models.CharField(max_length=20, choices=Component.State)
    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, null=True, related_name="+", help_text="Whose it was when it was named"
    )

    objects = NoticeComponentQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                F("notice"),
                F("component"),
                name="notice_component_once",
                violation_error_message="A component is named once.",
            ),
            models.CheckConstraint(
                condition=Q(
                    state__in=[
                        "operational",
                        "degraded_performance",
                        "partial_outage",
                        "major_outage",
                        "under_maintenance",
                    ]
                ),
                name="notice_component_state_known",
                violation_error_message="This is not a state a component can have.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.component}: {self.get_state_display()}"


class StateSpanQuerySet(models.QuerySet["StateSpan"]):
    def seen_by(self, customer: Customer | None) -> "StateSpanQuerySet":
        """What was theirs to see when it was said, and still is."""
        return self.filter(theirs(customer, "customer", "component__customer"))


class StateSpan(models.Model):
    """From when to when a notice said that a component was not operational: what days and percentages come from.

    Written with what is published. Overlaps are meant: at every instant the worst counts.
    """

    notice = models.ForeignKey(Notice, on_delete=models.CASCADE, related_name="spans")
    component = models.ForeignKey(Component, on_delete=models.PROTECT, related_name="spans")
    state = models.CharField(max_length=20, choices=Component.State)
    began_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, help_text="Empty while it is so")
    adjusted_at = models.DateTimeField(null=True, help_text="When it changed a day that was over")
    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, null=True, related_name="+", help_text="Whose the component was"
    )

    objects = StateSpanQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        indexes = [
            models.Index("ended_at", name="span_ended"),
            models.Index("component", "began_at", name="span_of_component"),
        ]
        constraints = [
            models.UniqueConstraint(
                "notice",
                "component",
                condition=Q(ended_at=None),
                name="span_one_open",
                violation_error_message="A component has one state in an incident at a time.",
            ),
            models.CheckConstraint(
                condition=Q(ended_at=None) | Q(ended_at__gte=F("began_at")),
                name="span_ends_after_it_began",
                violation_error_message="A state cannot end before it began.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.component_id}: {self.get_state_display()} {self.began_at:%Y-%m-%d %H:%M}"


class MaintenanceQuerySet(models.QuerySet["Maintenance"]):
    def open(self) -> "MaintenanceQuerySet":
        """Planned or going on."""
        return self.filter(ended_at=None)

    def upcoming(self) -> "MaintenanceQuerySet":
        """Announced and not begun, the next one first."""
        return self.filter(status=Maintenance.Status.SCHEDULED).order_by("starts_at", "id")

    def active(self) -> "MaintenanceQuerySet":
        return self.filter(started_at__isnull=False, ended_at=None)

    def over(self) -> "MaintenanceQuerySet":
        """Completed or called off."""
        return self.filter(ended_at__isnull=False)

    def seen_by(self, customer: Customer | None) -> "MaintenanceQuerySet":
        """What the public sees (None), and this customer: what works on nothing but hidden components is hidden."""
        if customer is None and settings.PAGE_RESTRICTED:
            return self.none()
        hits = MaintenanceComponent.objects.filter(maintenance=OuterRef("pk"))
        return self.filter(_none_or_some(hits, theirs(customer, "component__customer")))

    def complete(self, customer: Customer | None) -> "MaintenanceQuerySet":
        """As `seen_by`, with updates (newest first) and components, in three queries whatever the number of rows."""
        hits = MaintenanceComponent.objects.filter(theirs(customer, "component__customer"))
        hits = hits.select_related("component__group")
        return self.seen_by(customer).prefetch_related("updates", Prefetch("hits", hits))


class Maintenance(models.Model):
    """Work that is announced before it happens. Its address, /maintenance/<code>, never changes.

    `starts_at` and `ends_at` are what is planned now, `started_at` and `ended_at` what happened; a plan that was called
    off has ended without having started. Its components are under maintenance from its start to its end.
    """

    class Status(models.TextChoices):
        SCHEDULED = "scheduled", _("Scheduled")
        IN_PROGRESS = "in_progress", _("In progress")
        VERIFYING = "verifying", _("Verifying")
        COMPLETED = "completed", _("Completed")
        CANCELLED = "cancelled", _("Cancelled")

    code = models.CharField(max_length=12, unique=True, default=new_code, editable=False)
    number = models.PositiveIntegerField(unique=True)
    title = models.CharField(max_length=TITLE_LENGTH)
    status = models.CharField(max_length=11, choices=Status, default=Status.SCHEDULED)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    starts_itself = models.BooleanField(default=True)
    ends_itself = models.BooleanField(default=True)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    sequence = models.PositiveIntegerField(default=0, help_text="How often its time changed, for calendars (RFC 5545)")
    created_at = models.DateTimeField()

    objects = MaintenanceQuerySet.as_manager()

    class Meta:
        ordering = ["-starts_at", "-id"]
        permissions = [("plan_maintenance", "Can plan maintenance and tell the public of it")]
        indexes = [
            models.Index("starts_at", name="maintenance_starts"),
            models.Index("id", condition=Q(ended_at=None), name="maintenance_open"),
            models.Index("ended_at", name="maintenance_ended"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(ends_at__gt=F("starts_at")),
                name="maintenance_ends_after_start",
                violation_error_message="Maintenance ends after it starts.",
            ),
            models.CheckConstraint(
                condition=Q(status="scheduled", started_at=None, ended_at=None)
                | Q(status__in=["in_progress", "verifying"], started_at__isnull=False, ended_at=None)
                | Q(status="completed", started_at__isnull=False, ended_at__isnull=False)
                | Q(status="cancelled", started_at=None, ended_at__isnull=False),
                name="maintenance_status_has_instants",
                violation_error_message="The times of this maintenance do not fit its status.",
            ),
            models.CheckConstraint(
                condition=Q(ended_at=None) | Q(started_at=None) | Q(ended_at__gte=F("started_at")),
                name="maintenance_ended_after_started",
                violation_error_message="Maintenance cannot end before it started.",
            ),
        ]

    # What documents ask of an incident, they may ask of maintenance.
    impact = "maintenance"
    monitoring_at = postmortem = vendor = None

    def __str__(self) -> str:
        return f"{self.ref} {self.title}"

    def get_absolute_url(self) -> str:
        return reverse("statuspage:maintenance", args=[self.code])

    @property
    def here(self) -> Text:
        return here(self.title, {})

    @property
    def ref(self) -> str:
        return f"MNT-{self.number}"

    @property
    def is_open(self) -> bool:
        return self.ended_at is None

    @property
    def is_active(self) -> bool:
        return self.started_at is not None and self.is_open

    @property
    def stage(self) -> str:
        return self.status

    @property
    def told_at(self) -> datetime:
        """When something was last said of it."""
        return self.updates.all()[0].created_at

    @property
    def resolved_at(self) -> datetime | None:
        return self.ended_at

    @property
    def begins_at(self) -> datetime:
        """When it began, or is to begin."""
        return self.started_at or self.starts_at

    @property
    def over_at(self) -> datetime:
        """When it was done, or is to be done; the planned end of what was called off."""
        return self.ended_at if self.started_at and self.ended_at else self.ends_at


class MaintenanceUpdate(models.Model):
    """One text about maintenance as it was published, with the time it was planned for then."""

    class Kind(models.TextChoices):
        UPDATE = "update"
        MOVED = "moved"
        CORRECTION = "correction"

    maintenance = models.ForeignKey(Maintenance, on_delete=models.PROTECT, related_name="updates")
    code = models.CharField(max_length=12, unique=True, default=new_code, editable=False)
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.UPDATE)
    status = models.CharField(max_length=11, choices=Maintenance.Status)
    body = models.TextField(help_text="Markdown")
    sentences = models.JSONField(
        default=dict, blank=True, help_text="Frozen: what the portal itself says at the beginning of it, by language"
    )
    affected = models.JSONField(default=list, help_text="Frozen: [{code, name, old_status, new_status}]")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    notified = models.BooleanField(default=True, help_text="Whether subscribers were told of it")
    display_at = models.DateTimeField(help_text="When it was said")
    created_at = models.DateTimeField(help_text="When it was recorded")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(body=""),
                name="maintenance_update_says_something",
                violation_error_message="An update needs a text.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_status_display()} {self.display_at:%Y-%m-%d %H:%M}"

    @property
    def here(self) -> Text:
        """The text, as far as the portal wrote it in the active language."""
        parts = self.parts
        return Text("\n\n".join(part.words for part in parts), parts[0].language)

    @property
    def parts(self) -> list[Text]:
        """What the portal says in the active language, and what somebody wrote."""
        ours = max((said for said in self.sentences.values() if self.body.startswith(said)), key=len, default="")
        written = Text(self.body.removeprefix(ours).strip(), own())
        return [part for part in (here(ours, self.sentences), written) if part.words]


class MaintenanceComponent(models.Model):
    """A component that is worked on."""

    maintenance = models.ForeignKey(Maintenance, on_delete=models.CASCADE, related_name="hits")
    component = models.ForeignKey(Component, on_delete=models.PROTECT, related_name="works")

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                F("maintenance"),
                F("component"),
                name="maintenance_component_once",
                violation_error_message="A component is named once.",
            ),
        ]

    def __str__(self) -> str:
        return str(self.component)


class MaintenanceReminder(models.Model):
    """A promise to remind those concerned `lead` before the start; settled when it was kept or came to nothing."""

    maintenance = models.ForeignKey(Maintenance, on_delete=models.CASCADE, related_name="reminders")
    lead = models.DurationField()
    due_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True)
    sent = models.BooleanField(default=False)

    class Meta:
        ordering = ["due_at"]
        indexes = [models.Index("due_at", condition=Q(settled_at=None), name="maintenance_reminder_due")]
        constraints = [models.UniqueConstraint(F("maintenance"), F("lead"), name="maintenance_reminder_once")]

    def __str__(self) -> str:
        return f"{self.maintenance_id}: {self.lead} before"


class SubscriberQuerySet(models.QuerySet["Subscriber"]):
    def active(self) -> "SubscriberQuerySet":
        """Those who confirmed and have not left."""
        return self.filter(confirmed_at__isnull=False, left_at=None)

    def at(self, email: str) -> "SubscriberQuerySet":
        """Those with this address, however it is capitalised."""
        return self.alias(folded=Lower("email")).filter(folded=email.lower())

    def at_endpoint(self, url: str) -> "SubscriberQuerySet":
        return self.filter(endpoint__url=url)

    def hearing_of(self, component_ids: Iterable[int] | None, impact: str) -> "SubscriberQuerySet":
        """Whose standing wish is to hear of something this bad in these components; None means any."""
        ready: SubscriberQuerySet = self.filter(is_standing=True, floor__in=Notice.Impact(impact).and_milder)
        if component_ids is None:
            return ready
        components, groups = Choice.objects.values("subscriber"), GroupChoice.objects.values("subscriber")
        hit = Component.objects.filter(pk__in=list(component_ids))
        everybodys, private = (hit.filter(customer__isnull=alone).values("pk") for alone in (True, False))
        chosen = Q(pk__in=components.filter(component__in=everybodys)) | Q(
            pk__in=groups.filter(group__components__in=everybodys)
        )
        own = Q(component__in=private, component__customer=OuterRef("owner"))
        in_own = Q(group__components__in=private, group__components__customer=OuterRef("owner"))
        mine = {"subscriber": OuterRef("pk")}
        if private.exists():
            ready = ready.with_owner()
            chosen |= Q(Exists(components.filter(own, **mine))) | Q(Exists(groups.filter(in_own, **mine)))
        return ready.filter(Q(~Exists(components.filter(**mine)), ~Exists(groups.filter(**mine))) | chosen)

    def with_owner(self) -> "SubscriberQuerySet":
        """Add `owner`: the customer whose people read mail at the address, if any."""
        found = CustomerAddress.objects.filter(customer__is_active=True).covering(OuterRef("email"))
        return self.annotate(owner=Subquery(found.values("customer")[:1]))


class Way(models.TextChoices):
    """How somebody is told; the values are the outbox's channels."""

    MAIL = "smtp", "E-mail"
    WEBHOOK = "webhook", "Webhook"
    CHAT = "chat", "Chat room"


class Subscriber(models.Model):
    """An address that asked for updates: a mailbox, or an endpoint where a program or a chat room listens.

    A standing one hears of what begins in the components and groups it chose, or on the whole page when it chose
    none, from the impact `floor` on. The others hear of incidents they follow, and end with them.
    """

    code = models.CharField(max_length=12, unique=True, default=new_code, editable=False)
    way = models.CharField("told by", max_length=7, choices=Way, default=Way.MAIL)
    email = models.CharField("e-mail address", max_length=254, validators=[EmailValidator()])
    endpoint = models.OneToOneField(Endpoint, on_delete=models.SET_NULL, null=True, blank=True)
    host = models.CharField(max_length=253, blank=True, help_text="All of an endpoint's address that may be shown")
    components: models.ManyToManyField = models.ManyToManyField(
        Component, through="Choice", blank=True, related_name="subscribers"
    )
    groups: models.ManyToManyField = models.ManyToManyField(
        ComponentGroup, through="GroupChoice", blank=True, related_name="subscribers"
    )
    is_standing = models.BooleanField("hears of new incidents", default=True)
    followed: models.ManyToManyField = models.ManyToManyField(
        Notice, blank=True, related_name="followers", verbose_name="incidents they follow"
    )
    floor = models.CharField("from this impact on", max_length=8, choices=Notice.Impact, default=Notice.Impact.NONE)
    language = models.CharField(max_length=12, choices=NAMES, default="en", help_text="BCP 47, in lower case")
    time_zone = models.CharField(max_length=50, default="UTC", help_text="Beside UTC, times are told in this zone")
    confirmed_at = models.DateTimeField(null=True, blank=True)
    left_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = SubscriberQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                Lower("email"),
                condition=Q(left_at=None, way="smtp"),
                name="subscriber_once",
                violation_error_message="This address is subscribed already.",
            ),
            models.CheckConstraint(
                condition=~Q(email__contains=",") & ~Q(email__contains="\n") & ~Q(email__contains="\r"),
                name="subscriber_one_address",
                violation_error_message="Give exactly one e-mail address.",
            ),
            models.CheckConstraint(
                condition=Q(floor__in=["none", "minor", "major", "critical"]),
                name="subscriber_floor_known",
                violation_error_message="Choose from which impact on they hear of incidents.",
            ),
        ]

    def __str__(self) -> str:
        return self.email or f"{self.get_way_display()} {self.pk} at {self.host}"

    @property
    def subject(self) -> str:
        """How the ledger names them."""
        return f"subscriber:{self.pk}"

    @property
    def reader(self) -> str:
        """How the outbox names them."""
        return self.endpoint.reader if self.endpoint else self.subject


class ChoiceQuerySet(models.QuerySet["Choice"]):
    def seen(self) -> "ChoiceQuerySet":
        """Within a query of subscribers `with_owner`: the components they may still see."""
        return self.filter(Q(component__customer=None) | Q(component__customer=OuterRef("owner")))


class Choice(models.Model):
    """A component a subscriber chose. Protected: losing it would mean the whole page."""

    subscriber = models.ForeignKey(Subscriber, on_delete=models.CASCADE)
    component = models.ForeignKey(Component, on_delete=models.PROTECT)

    objects = ChoiceQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(F("subscriber"), F("component"), name="choice_once")]

    def __str__(self) -> str:
        return f"{self.subscriber_id}: {self.component_id}"


class GroupChoiceQuerySet(models.QuerySet["GroupChoice"]):
    def seen(self) -> "GroupChoiceQuerySet":
        """Within a query of subscribers `with_owner`: the groups in which there is a component they may see."""
        seen = Q(customer=None) | Q(customer=OuterRef(OuterRef("owner")))
        return self.filter(Exists(Component.objects.filter(seen, group=OuterRef("group"))))


class GroupChoice(models.Model):
    """A group a subscriber chose, with whatever is added to it later. Protected as a Choice is."""

    subscriber = models.ForeignKey(Subscriber, on_delete=models.CASCADE)
    group = models.ForeignKey(ComponentGroup, on_delete=models.PROTECT)

    objects = GroupChoiceQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(F("subscriber"), F("group"), name="group_choice_once")]

    def __str__(self) -> str:
        return f"{self.subscriber_id}: {self.group_id}"


class SubscriptionRequestQuerySet(models.QuerySet["SubscriptionRequest"]):
    def waiting(self) -> "SubscriptionRequestQuerySet":
        """Those the engine has not looked at, oldest first."""
        return self.filter(answered_at=None).order_by("pk")

    def mailed_since(self, at: datetime) -> "SubscriptionRequestQuerySet":
        return self.filter(mailed=True, answered_at__gt=at)


class SubscriptionRequest(models.Model):
    """What a visitor asked for, naming nothing but an address (`email`, or `url`). Forgotten after a week."""

    class Wish(models.TextChoices):
        SUBSCRIBE = "subscribe"
        MANAGE = "manage"
        SIGN_IN = "sign-in"

    code = models.CharField(max_length=12, unique=True, default=new_code, editable=False)
    wish = models.CharField(max_length=9, choices=Wish)
    email = models.CharField(max_length=254, validators=[EmailValidator()])
    way = models.CharField(max_length=7, choices=Way, default=Way.MAIL)
    url = models.CharField(max_length=500, blank=True)
    host = models.CharField(max_length=253, blank=True)
    mailbox = models.CharField(max_length=64, help_text="SHA-256 of the address as limits see it")
    incident = models.CharField(max_length=12, blank=True, help_text="Code of the one incident it is about")
    components = models.JSONField(default=list, help_text="Codes of chosen components; no choice is the whole page")
    groups = models.JSONField(default=list, help_text="Codes of chosen groups")
    floor = models.CharField(max_length=8, choices=Notice.Impact, default=Notice.Impact.NONE)
    language = models.CharField(max_length=12, choices=NAMES, default="en")
    time_zone = models.CharField(max_length=50, default="UTC")
    visitor = models.CharField(max_length=64, help_text="Keyed hash of the visitor's network address")
    made_at = models.DateTimeField()
    answered_at = models.DateTimeField(null=True)
    mailed = models.BooleanField(default=False)
    used_at = models.DateTimeField(null=True, help_text="When its link was confirmed")
    secret = models.CharField(max_length=64, default="", help_text="SHA-256 of what its link holds, to sign in")

    objects = SubscriptionRequestQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index("id", condition=Q(answered_at=None), name="request_waiting"),
            models.Index("visitor", "made_at", name="request_of_visitor"),
            models.Index("mailbox", "answered_at", condition=Q(mailed=True), name="request_to_mailbox"),
            models.Index("answered_at", condition=Q(mailed=True), name="request_mailed"),
            models.Index("host", "answered_at", condition=Q(mailed=True) & ~Q(host=""), name="request_to_host"),
            models.Index("made_at", name="request_made"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=~Q(email__contains=",") & ~Q(email__contains="\n") & ~Q(email__contains="\r"),
                name="request_one_address",
                violation_error_message="Give exactly one e-mail address.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.wish} {self.made_at:%Y-%m-%d %H:%M}"


class CustomerSessionQuerySet(models.QuerySet["CustomerSession"]):
    def alive(self, at: datetime) -> "CustomerSessionQuerySet":
        """Those that were used within the last 30 days."""
        return self.filter(seen_at__gt=at - CustomerSession.IDLE)


class CustomerSession(models.Model):
    """A browser in which one of a customer's people is signed in. It has nothing to do with the sessions of staff."""

    IDLE = timedelta(days=30)

    secret = models.CharField(max_length=64, unique=True, help_text="SHA-256 of what the cookie holds")
    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="sessions")
    email = models.CharField(max_length=254)
    made_at = models.DateTimeField()
    seen_at = models.DateTimeField()

    objects = CustomerSessionQuerySet.as_manager()

    class Meta:
        indexes = [models.Index("seen_at", name="customer_session_seen")]

    def __str__(self) -> str:
        return f"{self.customer_id}: {self.made_at:%Y-%m-%d %H:%M}"


class Brand(models.Model):
    """How the public page looks, besides its words. One row, or none for the look it comes with."""

    PICTURES = ("logo", "logo_dark", "icon")

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    link_light = models.CharField("links, light", max_length=7, blank=True)
    link_dark = models.CharField("links, dark", max_length=7, blank=True)
    mark_light = models.CharField("marks, light", max_length=7, blank=True)
    mark_dark = models.CharField("marks, dark", max_length=7, blank=True)
    logo = models.BinaryField(blank=True, default=b"", editable=True)
    logo_dark = models.BinaryField("logo, dark", blank=True, default=b"", editable=True)
    icon = models.BinaryField(blank=True, default=b"", editable=True)
    name_beside_logo = models.BooleanField("the name stands beside the logo", default=False)
    pictures = models.JSONField(default=dict, editable=False, help_text="Of each picture there is: name and size")

    class Meta:
        verbose_name = verbose_name_plural = "brand"
        constraints = [models.CheckConstraint(condition=Q(pk=1), name="brand_only_one")]

    def __str__(self) -> str:
        return "The brand on the public page"

    def colours(self, scheme: str) -> tuple[str, str]:
        """Of links and of marks, as `#rrggbb`; empty where the page's own stay. `scheme` is light or dark."""
        return getattr(self, f"link_{scheme}"), getattr(self, f"mark_{scheme}")


class Edition(models.Model):
    """The public site as a whole: one row. `version` grows with every document that is written anew.

    These three tables are also read without Django: instants in them are whole seconds since 1970.
    """

    code = models.CharField(max_length=12, default=new_code, help_text="Tells this site's copies from another's")
    version = models.BigIntegerField(default=0)
    since = models.BigIntegerField(default=0, help_text="Who knows an older version than this reads everything anew")
    made_from = models.CharField(max_length=64, default="", help_text="Hash of the templates, code and settings")

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(pk=1), name="edition_only_one")]

    def __str__(self) -> str:
        return f"version {self.version}"


class Document(models.Model):
    """One public document as it is served, plain and packed."""

    path = models.CharField(max_length=200, primary_key=True)
    version = models.BigIntegerField()
    status = models.PositiveSmallIntegerField(default=200)
    head = models.TextField(help_text="Header lines but those about this very representation")
    body = models.BinaryField()
    gzip = models.BinaryField(null=True)
    brotli = models.BinaryField(null=True)
    slot = models.IntegerField(null=True, help_text="Where a page says how old it is, in bytes")
    etag = models.CharField(max_length=32)
    modified = models.BigIntegerField()
    due = models.BigIntegerField(null=True, help_text="When time alone changes it")
    topic = models.CharField(max_length=60, help_text="What it is about; a Change of this topic has it written anew")

    class Meta:
        indexes = [
            models.Index("version", name="document_version"),
            models.Index("due", condition=Q(due__isnull=False), name="document_due"),
        ]

    def __str__(self) -> str:
        return self.path


class Change(models.Model):
    """Something public changed, and documents about it wait to be written anew."""

    class Rank(models.IntegerChoices):
        NEWS = 0
        REBUILD = 1

    topic = models.CharField(max_length=60)
    rank = models.PositiveSmallIntegerField(choices=Rank, default=Rank.NEWS)
    place = models.PositiveSmallIntegerField(default=0, help_text="Of the documents' language in PAGE_LANGUAGES")
    made = models.BigIntegerField()

    class Meta:
        ordering = ["rank", "place", "id"]
        indexes = [models.Index("rank", "place", "id", name="change_order")]

    def __str__(self) -> str:
        return self.topic
