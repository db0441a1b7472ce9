"""Runbooks as numbered texts that never change, a service's own commands and links, and runs with what was ticked."""

from datetime import datetime, timedelta

from django.conf import settings
from django.core.validators import RegexValidator, URLValidator
from django.db import models
from django.db.models import Q
from django.urls import reverse

from incidents.lifecycle.models import Incident
from incidents.policy.models import IncidentType
from incidents.runbooks import placeholders
from incidents.runbooks.manuscript import KINDS, START
from irportal.prose import plain
from statuspage.models import Component


class RunbookQuerySet(models.QuerySet["Runbook"]):
    def in_order(self) -> "RunbookQuerySet":
        """As they are looked for when something is wrong: by kind, then by code."""
        kinds = [models.When(kind=kind, then=place) for place, kind in enumerate(KINDS)]
        return self.order_by(models.Case(*kinds, default=len(KINDS), output_field=models.IntegerField()), "code")

    def in_use(self) -> "RunbookQuerySet":
        return self.filter(withdrawn_at=None)

    def locked(self, pk: int) -> "Runbook":
        return self.select_for_update().get(pk=pk)


class Runbook(models.Model):
    """What stays the same over its versions: the code. Title, kind and types are those of the version in force."""

    code = models.SlugField(max_length=60, unique=True)
    title = models.CharField(max_length=120)
    kind = models.CharField(max_length=20, choices=list(KINDS.items()))
    management = models.CharField(max_length=500, blank=True, help_text="What it is for, in a sentence for management")
    repository = models.CharField(max_length=300, blank=True, help_text="Where it is kept beside the code it is about")
    for_all = models.BooleanField(default=False, help_text="Offered whatever the type of the incident")
    types = models.ManyToManyField(IncidentType, related_name="runbooks", blank=True)
    version_in_force = models.OneToOneField(
        "RunbookVersion", on_delete=models.PROTECT, null=True, blank=True, related_name="in_force_of"
    )
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    objects = RunbookQuerySet.as_manager()

    class Meta:
        app_label = "incidents"
        default_permissions = ()
        permissions = [("write_runbook", "Can write runbooks and withdraw them")]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return reverse("portal:runbook", args=[self.code])


class RunbookVersion(models.Model):
    """One numbered text of a runbook; never changed, a correction is the next number."""

    runbook = models.ForeignKey(Runbook, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    title = models.CharField(max_length=120)
    source = models.TextField()
    sha256 = models.CharField(max_length=64, help_text="Of the text, in UTF-8")
    asks = models.TextField(blank=True, help_text="The placeholders in its steps, with a space between")
    change_note = models.CharField(max_length=300)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    made_at = models.DateTimeField()

    class Meta:
        app_label = "incidents"
        default_permissions = ()
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint("runbook", "number", name="runbook_version_once"),
        ]

    def __str__(self) -> str:
        return f"{self.title}, version {self.number}"

    def get_absolute_url(self) -> str:
        return reverse("portal:runbook-version", args=[self.runbook.code, self.number])

    @property
    def is_shipped(self) -> bool:
        return self.author_id is None


class StepText(models.Model):
    """What one step asks for. `commands` still hold their placeholders; `since` is the position a limit counts from."""

    position = models.PositiveSmallIntegerField()
    number = models.PositiveSmallIntegerField(help_text="In its section")
    section = models.CharField(max_length=120, blank=True)
    text = models.TextField()
    expect = models.TextField(blank=True, help_text="What tells that it worked")
    commands = models.JSONField(default=list)
    within_seconds = models.PositiveIntegerField(null=True)
    since = models.PositiveSmallIntegerField(default=START)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.position}. {self.text[:60]}"

    @property
    def first_line(self) -> str:
        """For a list or the timeline: bare words, placeholders by what they stand for."""
        return plain(placeholders.spoken(self.text.split("\n")[0]))

    @property
    def within(self) -> timedelta | None:
        return timedelta(seconds=self.within_seconds) if self.within_seconds else None


class RunbookStep(StepText):
    version = models.ForeignKey(RunbookVersion, on_delete=models.PROTECT, related_name="steps")

    class Meta:
        app_label = "incidents"
        default_permissions = ()
        ordering = ["position"]
        constraints = [models.UniqueConstraint("version", "position", name="runbook_step_once")]


# What fills the placeholders


class ServiceValue(models.Model):
    """Something a service has of its own. Without a component it is the whole organisation's."""

    component = models.ForeignKey(
        Component,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="Empty: for every service that has none of its own.",
    )
    name = models.CharField(
        max_length=40,
        validators=[
            RegexValidator(rf"^{placeholders.NAME.pattern}\Z", "Write it as runbooks do: lower case, digits and _.")
        ],
    )

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{placeholders.words(self.name)} of {self.component or 'the organisation'}"


def _once(model: str) -> list[models.BaseConstraint]:
    said = "There is one of this name for this service already; change that one."
    return [
        models.UniqueConstraint(
            fields=["component", "name"], name=f"service_{model}_once", violation_error_message=said
        ),
        models.UniqueConstraint(
            fields=["name"],
            condition=Q(component=None),
            name=f"service_{model}_shared_once",
            violation_error_message="There is one of this name for the organisation already; change that one.",
        ),
    ]


class ServiceCommand(ServiceValue):
    text = models.TextField(
        "command",
        max_length=2000,
        help_text="As it is typed. Never a secret: name a variable, such as $DATABASE_URL.",
    )

    class Meta:
        app_label = "incidents"
        ordering = ["name", "component_id"]
        constraints = _once("command")


class ServiceLink(ServiceValue):
    url = models.CharField(
        "address", max_length=500, validators=[URLValidator(["http", "https"])], help_text="https://…"
    )

    class Meta:
        app_label = "incidents"
        ordering = ["name", "component_id"]
        constraints = _once("link")


# Runs


class RunbookRun(models.Model):
    """A runbook as it is worked through in one incident; the steps are copies, later versions do not touch them."""

    incident = models.ForeignKey(Incident, on_delete=models.PROTECT, related_name="runs")
    version = models.ForeignKey(RunbookVersion, on_delete=models.PROTECT, related_name="runs")
    started_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, help_text="Every step was settled, or somebody stopped it")
    stopped_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    stopped_reason = models.CharField(max_length=300, blank=True)

    class Meta:
        app_label = "incidents"
        default_permissions = ()
        ordering = ["started_at", "id"]

    def __str__(self) -> str:
        return f"{self.version.title} in {self.incident.ref}"

    def get_absolute_url(self) -> str:
        return reverse("portal:run", args=[self.incident.ref, self.pk])

    @property
    def is_stopped(self) -> bool:
        return self.stopped_by_id is not None

    @property
    def settled(self) -> int:
        return sum(not step.is_open for step in self.steps.all())


class RunStep(StepText):
    """One step of a run as it stands now; how it came to that is in its changes."""

    class State(models.TextChoices):
        OPEN = "open"
        DONE = "done"
        SKIPPED = "skipped"

    run = models.ForeignKey(RunbookRun, on_delete=models.PROTECT, related_name="steps")
    state = models.CharField(max_length=8, choices=State, default=State.OPEN)
    settled_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    settled_at = models.DateTimeField(null=True, help_text="When it was done, as said")

    class Meta:
        app_label = "incidents"
        default_permissions = ()
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint("run", "position", name="run_step_once"),
            models.CheckConstraint(
                condition=Q(state="open", settled_at=None, settled_by=None)
                | (~Q(state="open") & Q(settled_at__isnull=False, settled_by__isnull=False)),
                name="run_step_says_who_and_when",
                violation_error_message="A settled step names who settled it, and when.",
            ),
        ]

    @property
    def is_open(self) -> bool:
        return self.state == self.State.OPEN

    def limit_from(self, run: RunbookRun, earlier: "RunStep | None") -> datetime | None:
        """The instant its limit counts from, where `earlier` is the step it counts from.

        None while that one is open, or when it was skipped.
        """
        if self.since == START:
            return run.started_at
        return earlier.settled_at if earlier and earlier.state == self.State.DONE else None

    def took(self, begin: datetime | None) -> timedelta | None:
        """From where its limit counts to its tick; None where it has no limit or one of the two is missing."""
        if not self.within or self.state != self.State.DONE or self.settled_at is None or begin is None:
            return None
        return max(self.settled_at - begin, timedelta(0))


class StepChange(models.Model):
    """What was said of a step: ticked, skipped, opened again, or only added to. Never changed itself."""

    step = models.ForeignKey(RunStep, on_delete=models.PROTECT, related_name="changes")
    was = models.CharField(max_length=8, choices=RunStep.State)
    now = models.CharField(max_length=8, choices=RunStep.State)
    note = models.TextField(max_length=2000, blank=True)
    evidence = models.CharField(max_length=500, blank=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    occurred_at = models.DateTimeField()
    recorded_at = models.DateTimeField()

    class Meta:
        app_label = "incidents"
        default_permissions = ()
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.was} → {self.now}"

    @property
    def is_late(self) -> bool:
        """Written down more than a minute after it is said to have happened."""
        return self.recorded_at - self.occurred_at > timedelta(minutes=1)

    @property
    def what(self) -> str:
        words = {"done": "Done", "skipped": "Skipped", "open": "Opened again"}
        return "Added to" if self.was == self.now else words[self.now]

    @property
    def evidence_is_link(self) -> bool:
        return self.evidence.startswith(("https://", "http://")) and " " not in self.evidence
