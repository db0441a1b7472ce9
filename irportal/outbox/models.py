"""Everything that must go out. Rows carry the promises; workers come and go.

An Announcement says what happened and to which audience; a Delivery is one message to one address; an Attempt
is the proof of one try. A Suppression stops a reader in the claim. Channel is the circuit breaker, Pulse the
heartbeat.
"""

from datetime import datetime, timedelta
from typing import Any

from django.core.validators import EmailValidator
from django.db import connection, models
from django.db.models import Exists, F, OuterRef, Q

LEASE = timedelta(seconds=90)
PULSE_LIMIT = timedelta(seconds=30)
WAIT_LIMIT = timedelta(seconds=120)


class Announcement(models.Model):
    """What to say, to whom, fixed before anything leaves."""

    dedupe_key = models.CharField(max_length=120, unique=True)
    topic = models.CharField(max_length=40)
    thread = models.CharField(max_length=40, help_text="What it belongs to, for example INC-42: one mail thread each")
    audience = models.CharField(max_length=40)
    facts = models.JSONField(default=dict, help_text="Arguments of the audience, never queried")
    subject = models.CharField(max_length=300)
    text = models.TextField(help_text="Plain part; {unsubscribe_url} and {why} stand for the reader's own")
    html = models.TextField()
    priority = models.PositiveSmallIntegerField(default=5)
    made_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    fanned_out_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]
        indexes = [
            models.Index("id", condition=Q(fanned_out_at=None), name="announcement_to_fan_out"),
        ]

    def __str__(self) -> str:
        return f"{self.thread} {self.topic}"


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def claim(self, now: datetime, *, limit: int = 20) -> list["Delivery"]:
        """Lease up to `limit` due deliveries to the caller for LEASE and return them, oldest promise first.

        A delivery whose worker died falls due again when its lease ends. Earlier word to the same reader goes
        first; a lease further ahead than LEASE means the clock jumped back, and counts as ended. A suppressed
        reader is never claimed.
        """
        skip = "FOR UPDATE SKIP LOCKED" if connection.vendor == "postgresql" else ""
        ended = now + LEASE
        sql = f"""
            WITH due AS MATERIALIZED (
                SELECT q.id FROM outbox_delivery q
                WHERE q.state = 'pending' AND q.due_at <= %s
                AND (q.lease_until IS NULL OR q.lease_until < %s OR q.lease_until > %s)
                AND NOT EXISTS (SELECT 1 FROM outbox_delivery e
                                WHERE e.lane = q.lane AND e.state = 'pending' AND e.id < q.id)
                AND NOT EXISTS (SELECT 1 FROM outbox_suppression s WHERE s.target IN (q.reader, q.address))
                ORDER BY q.priority, q.due_at, q.id LIMIT %s {skip})
            UPDATE outbox_delivery SET lease_until = %s, attempts = attempts + 1
            WHERE id IN (SELECT id FROM due) RETURNING id"""  # noqa: S608  (no outside text enters it)
        at, until = (connection.ops.adapt_datetimefield_value(value) for value in (now, ended))
        with connection.cursor() as cursor:
            cursor.execute(sql, [at, at, until, limit, until])
            ids = [row[0] for row in cursor.fetchall()]
        return list(self.filter(pk__in=ids).select_related("announcement").order_by("priority", "due_at", "id"))

    def waiting(self) -> "DeliveryQuerySet":
        return self.filter(state=Delivery.State.PENDING)

    def dead(self, words: str = "") -> "DeliveryQuerySet":
        """What was given up, newest first; with `words` only what names them: incident, address or reason.

        `overtaken` says that later word in the same thread has reached the reader since.
        """
        later = self.filter(state=Delivery.State.SENT, lane=OuterRef("lane"), pk__gt=OuterRef("pk"))
        named = Q(announcement__thread__iexact=words) | Q(address__icontains=words) | Q(last_error__icontains=words)
        found = self.filter(named) if words else self
        return found.filter(state=Delivery.State.DEAD).annotate(overtaken=Exists(later)).order_by("-pk")

    def sendable(self, now: datetime) -> "DeliveryQuerySet":
        """What should be on its way: due, not suppressed, not behind an earlier word to the same reader."""
        stopped = Suppression.objects.filter(target__in=[OuterRef("reader"), OuterRef("address")])
        earlier = self.waiting().filter(lane=OuterRef("lane"), pk__lt=OuterRef("pk"))
        return self.waiting().filter(~Exists(stopped), ~Exists(earlier), due_at__lte=now)


class Delivery(models.Model):
    """One message to one address.

    `attempts` counts claims and fences late writers; `failures` is what 1.5 blames.
    """

    class State(models.TextChoices):
        PENDING = "pending"
        SENT = "sent"
        DEAD = "dead"
        SUPPRESSED = "suppressed"

    announcement = models.ForeignKey(Announcement, on_delete=models.PROTECT, related_name="deliveries")
    key = models.CharField(max_length=64, unique=True, help_text="SHA-256(announcement | channel | address)")
    lane = models.CharField(max_length=120, help_text="thread:reader; order is kept within it")
    reader = models.CharField(max_length=60)
    channel = models.CharField(max_length=20, default="smtp")
    address = models.CharField(max_length=254, validators=[EmailValidator()])
    unsubscribe_url = models.CharField(max_length=300, blank=True)
    why = models.CharField(max_length=300, blank=True)
    priority = models.PositiveSmallIntegerField(default=5)
    state = models.CharField(max_length=12, choices=State, default=State.PENDING)
    due_at = models.DateTimeField()
    lease_until = models.DateTimeField(null=True)
    attempts = models.PositiveIntegerField(default=0)
    failures = models.PositiveIntegerField(default=0)
    forgiven = models.PositiveIntegerField(default=0, help_text="Attempts before a person last sent it again")
    expires_at = models.DateTimeField()
    last_error = models.CharField(max_length=300, blank=True)
    accepted_at = models.DateTimeField(null=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "deliveries"
        permissions = [("resend_delivery", "Can send again what was given up")]
        indexes = [
            models.Index("priority", "due_at", "id", condition=Q(state="pending"), name="delivery_to_send"),
            models.Index("lane", "id", condition=Q(state="pending"), name="delivery_lane"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=~Q(address__contains=",") & ~Q(address__contains="\n") & ~Q(address__contains="\r"),
                name="delivery_one_address",
            ),
            models.CheckConstraint(
                condition=~Q(state="sent") | Q(accepted_at__isnull=False), name="delivery_sent_has_instant"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.lane} {self.state}"


class Attempt(models.Model):
    """One try, written before the network is touched; an unfinished one says 'may have been sent'."""

    class Outcome(models.TextChoices):
        OK = "ok"
        TEMP = "temp"
        PERM = "perm"
        TRANSPORT = "transport"
        UNCERTAIN = "uncertain"
        CRASHED = "crashed"

    delivery = models.ForeignKey(Delivery, on_delete=models.PROTECT, related_name="tries")
    n = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    worker = models.CharField(max_length=80)
    finished_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=10, choices=Outcome, blank=True)
    code = models.PositiveSmallIntegerField(null=True)
    answer = models.CharField(max_length=300, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(F("delivery"), F("n"), name="attempt_once")]

    def __str__(self) -> str:
        return f"{self.delivery_id}/{self.n} {self.outcome or 'unfinished'}"


class Suppression(models.Model):
    """A reader key or an address that gets nothing more, with the reason."""

    target = models.CharField(max_length=254, unique=True)
    reason = models.CharField(max_length=100)
    bounced = models.BooleanField(default=False, help_text="Its mail server said so, not the reader: staff may lift it")
    made_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.target}: {self.reason}"


class Channel(models.Model):
    """One row per transport: while it is open (broken) nothing is claimed, and no message is blamed."""

    name = models.CharField(primary_key=True, max_length=20)
    open_until = models.DateTimeField(null=True)
    fail_streak = models.PositiveIntegerField(default=0)
    last_error = models.CharField(max_length=300, blank=True)

    def __str__(self) -> str:
        return self.name


class PulseQuerySet(models.QuerySet["Pulse"]):
    def seen(self, now: datetime) -> dict[str, Any]:
        """When the engine last ran and whether that is recent enough to trust."""
        beat = self.filter(name="engine").values_list("beat_at", flat=True).first()
        return {"beat_at": beat, "alive": bool(beat and now - beat <= PULSE_LIMIT)}

    def health(self, now: datetime) -> dict[str, Any]:
        """The answer of /healthz: `ok`, and in seconds the age of the pulse and of the oldest due delivery."""
        beat = self.seen(now)["beat_at"]
        oldest = Delivery.objects.sendable(now).aggregate(oldest=models.Min("due_at"))["oldest"]
        unfanned = Announcement.objects.filter(fanned_out_at=None).aggregate(oldest=models.Min("made_at"))["oldest"]
        pulse_age = None if beat is None else (now - beat).total_seconds()
        waits = [(now - at).total_seconds() for at in (oldest, unfanned) if at]
        reasons = []
        if pulse_age is None or pulse_age > PULSE_LIMIT.total_seconds():
            reasons.append("the engine is silent")
        if waits and max(waits) > WAIT_LIMIT.total_seconds():
            reasons.append("a due delivery waits too long")
        return {
            "ok": not reasons,
            "reasons": reasons,
            "pulse_age_seconds": pulse_age,
            "oldest_due_seconds": max(waits, default=0.0),
        }


class Pulse(models.Model):
    """The engine's heartbeat, watched by /healthz and every staff page."""

    name = models.CharField(primary_key=True, max_length=20)
    beat_at = models.DateTimeField()
    host = models.CharField(max_length=80)
    pid = models.PositiveIntegerField()

    objects = PulseQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.name} {self.beat_at:%H:%M:%S}"
