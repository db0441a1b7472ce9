"""Everything that must go out. Rows carry the promises; workers come and go.

An Announcement says what happened and to which audience; a Delivery is one message to one address; an Attempt
is the proof of one try; a Bounce is what came back for it. A Suppression stops a reader in the claim. Channel is the
circuit breaker, Pulse the heartbeat. An Endpoint is an address of another program, or of a chat room, that is told what
readers are.

The statements every message passes through are written out here, once for both databases.
"""

import base64
import re
import secrets
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import psycopg
from django.conf import settings
from django.core.validators import EmailValidator
from django.db import connection, models, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.crypto import salted_hmac
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus, TransactionStatus
from psycopg.pq.abc import PGresult

from irportal.outbox import bounces

LEASE = timedelta(seconds=settings.MAIL_LEASE_SECONDS)
PULSE_LIMIT = timedelta(seconds=30)
WAIT_LIMIT = timedelta(seconds=120)
WEBHOOK_LIFE = timedelta(days=5)  # longer than its tries take
LAST = 9  # priority of what goes to an endpoint that fails: whoever answers is told first


class Words(NamedTuple):
    """A mail in one language, with the marks of `text` and `html` for what is a reader's own."""

    subject: str
    text: str
    html: str


class Announcement(models.Model):
    """What to say, to whom, fixed before anything leaves."""

    dedupe_key = models.CharField(max_length=120, unique=True)
    topic = models.CharField(max_length=40)
    thread = models.CharField(max_length=40, help_text="What it belongs to, for example INC-42: one mail thread each")
    audience = models.CharField(max_length=40)
    facts = models.JSONField(default=dict, help_text="Arguments of the audience, never queried")
    subject = models.CharField(max_length=300)
    text = models.TextField(help_text="Plain part; {unsubscribe_url}, {why}, {local:…}: the reader's own")
    html = models.TextField()
    letters = models.JSONField(default=dict, help_text="By language {subject, text, html} for who reads another one")
    payload = models.TextField(blank=True, help_text="JSON for webhooks; without it they hear nothing of this")
    chat = models.TextField(blank=True, help_text="JSON for chat rooms of staff; without it they hear nothing of this")
    public_chat = models.TextField(blank=True, help_text="JSON for chat rooms of readers; likewise")
    priority = models.PositiveSmallIntegerField(default=5)
    made_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    fanned_out_at = models.DateTimeField(null=True)
    retells: models.ManyToManyField = models.ManyToManyField(
        "self", symmetrical=False, related_name="retold_by", help_text="Earlier word whose text this one repeats"
    )

    class Meta:
        ordering = ["id"]
        indexes = [
            models.Index("id", condition=Q(fanned_out_at=None), name="announcement_to_fan_out"),
            models.Index("thread", "audience", "fanned_out_at", name="announcement_of_thread"),
        ]

    def __str__(self) -> str:
        return f"{self.thread} {self.topic}"

    def words(self, language: str) -> Words:
        """What readers of this language get; everybody the same where it was written in one language."""
        return Words(**self.letters.get(language, {"subject": self.subject, "text": self.text, "html": self.html}))

    @property
    def said(self) -> dict[str, str]:
        """What readers are told, by the channels it has something for."""
        texts = {"smtp": self.text, "webhook": self.payload, "chat": self.public_chat}
        return {channel: text for channel, text in texts.items() if text}

    def lasts(self, channel: str) -> datetime:
        """Until when it is tried."""
        return self.made_at + WEBHOOK_LIFE if channel == "webhook" else self.expires_at


def database_now() -> datetime:
    """What claims go by: PostgreSQL's own clock, which workers on several machines share; else this machine's."""
    if connection.vendor != "postgresql":
        return timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
        return now


# What a claim takes, in the order promises fell due. On PostgreSQL `skip` locks the rows and passes over locked ones.
CLAIM = """
WITH due AS MATERIALIZED (
    SELECT q.id FROM outbox_delivery q
    WHERE q.state = 'pending' AND q.channel = %s AND q.due_at <= %s
    AND (q.lease_until IS NULL OR q.lease_until < %s OR q.lease_until > %s)
    AND NOT EXISTS (SELECT 1 FROM outbox_delivery e
                    WHERE e.lane = q.lane AND e.state = 'pending' AND e.id < q.id)
    AND NOT EXISTS (SELECT 1 FROM outbox_suppression s WHERE s.target = q.reader)
    AND NOT EXISTS (SELECT 1 FROM outbox_suppression s WHERE s.target = q.address)
    ORDER BY q.priority, q.due_at, q.id LIMIT %s {skip})
UPDATE outbox_delivery SET lease_until = %s, attempts = attempts + 1
WHERE id IN (SELECT id FROM due) RETURNING *"""

# The same for what is posted to endpoints: one more to each reader, while fewer than `each` are out to it and `host`
# to its address, `kin` of them such as are claimed here. What is out is what is leased, by whomever.
CLAIM_POSTS = """
WITH busy AS MATERIALIZED (
    SELECT b.reader, b.address, b.priority FROM outbox_delivery b
    WHERE b.state = 'pending' AND b.channel IN ('chat', 'webhook')
    AND b.lease_until >= %(now)s AND b.lease_until <= %(beyond)s),
due AS (
    SELECT q.id, q.address, q.priority, q.due_at,
           row_number() OVER (PARTITION BY q.reader ORDER BY q.priority, q.due_at, q.id) AS place
    FROM outbox_delivery q
    WHERE q.state = 'pending' AND q.channel IN ('chat', 'webhook') AND q.due_at <= %(now)s
    AND q.priority BETWEEN %(first)s AND %(last)s
    AND (q.lease_until IS NULL OR q.lease_until < %(now)s OR q.lease_until > %(beyond)s)
    AND (SELECT count(*) FROM busy b WHERE b.reader = q.reader) < %(each)s
    AND NOT EXISTS (SELECT 1 FROM outbox_delivery p WHERE p.lane = q.lane AND p.state = 'pending' AND p.id < q.id)
    AND NOT EXISTS (SELECT 1 FROM outbox_suppression s WHERE s.target = q.reader)),
fair AS (
    SELECT d.id, d.address, d.priority, d.due_at,
           row_number() OVER (PARTITION BY d.address ORDER BY d.priority, d.due_at, d.id) AS place
    FROM due d WHERE d.place = 1)
UPDATE outbox_delivery SET lease_until = %(until)s, attempts = attempts + 1
WHERE id IN (
    SELECT f.id FROM fair f
    WHERE f.place + (SELECT count(*) FROM busy b WHERE b.address = f.address) <= %(host)s
    AND f.place + (SELECT count(*) FROM busy b WHERE b.address = f.address
                   AND b.priority BETWEEN %(first)s AND %(last)s) <= %(kin)s
    ORDER BY f.priority, f.due_at, f.id LIMIT %(limit)s)
AND state = 'pending' AND due_at <= %(now)s
AND (lease_until IS NULL OR lease_until < %(now)s OR lease_until > %(beyond)s) RETURNING *"""
POSTS_LOCK = 6_963  # the advisory lock's number on PostgreSQL: one claim of posts at a time, or two count the same
EACH, HOST = 2, 5  # posts out to one endpoint and to one host
FAILING_EACH, FAILING_HOST = 1, 2  # of those, to an endpoint that failed the last time, and to all such of one host

# The three steps of one message: its try ends well, it is marked as sent, the next one's try begins.
ENDED = """
UPDATE outbox_attempt SET finished_at = %(at)s, outcome = 'ok', code = %(code)s, answer = %(answer)s
WHERE delivery_id = %(sent)s AND n = %(sent_n)s AND finished_at IS NULL"""
MARKED = """
UPDATE outbox_delivery SET state = 'sent', accepted_at = %(at)s, lease_until = NULL, last_error = ''
WHERE id = %(sent)s AND attempts = %(sent_n)s AND state = 'pending'"""
BEGUN = """
INSERT INTO outbox_attempt (delivery_id, n, started_at, worker, outcome, answer)
SELECT d.id, d.attempts, %(at)s, %(worker)s, '', '' FROM outbox_delivery d
WHERE d.id = %(next)s AND d.attempts = %(next_n)s AND d.state = 'pending' AND d.expires_at > %(at)s
AND NOT EXISTS (SELECT 1 FROM outbox_suppression s WHERE s.target = d.reader)
AND NOT EXISTS (SELECT 1 FROM outbox_suppression s WHERE s.target = d.address)
RETURNING n"""
NO_WAIT = ", set_config('synchronous_commit', 'off', true)"
TYPES = dict.fromkeys(("sent", "sent_n", "next", "next_n"), "bigint") | {
    "at": "timestamptz",
    "answer": "text",
    "worker": "text",
    "code": "smallint",
}
_prepared: WeakKeyDictionary[psycopg.Connection[Any], set[bytes]] = WeakKeyDictionary()


class Prepared(NamedTuple):
    """Steps as one statement for PostgreSQL: its name there, its text, and the facts it takes in their order."""

    name: bytes
    sql: bytes
    facts: list[str]


TO_DISK = Prepared(b"outbox_to_disk", b"SELECT pg_logical_emit_message(true, 'outbox', '')", [])


@cache
def _as_one(steps: tuple[str, ...], *, waits: bool = True) -> Prepared:
    """All steps in one statement, which counts the rows of the last; what does not wait for the disk needs TO_DISK."""
    names = [f"step{number}" for number in range(len(steps))]
    whole = [step if "RETURNING" in step else f"{step} RETURNING 1" for step in steps]
    parts = ", ".join(f"{name} AS ({step})" for name, step in zip(names, whole, strict=True))
    sql = f"WITH {parts} SELECT count(*){'' if waits else NO_WAIT} FROM {names[-1]}"  # noqa: S608  (our own words only)
    facts = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", sql)))
    for number, fact in enumerate(facts, 1):
        sql = sql.replace(f"%({fact})s", f"${number}::{TYPES[fact]}")
    return Prepared(f"outbox_{len(steps)}_{waits}".encode(), sql.encode(), facts)


def _in_one_go(wanted: "list[Progress]") -> list[bool | Exception]:
    """Each as one statement and transaction of its own, all in one round trip, and one wait for the disk for all.

    Every message passes here, so libpq is spoken to without a cursor: that costs a third.
    """
    connection.ensure_connection()
    raw = connection.connection
    if connection.in_atomic_block and raw.info.transaction_status == TransactionStatus.IDLE:
        raw.execute("SELECT 1")  # has the driver begin the transaction
    with connection.wrap_database_errors:
        if len(wanted) == 1:
            steps, facts = wanted[0].written()
            one = _ready(raw, _as_one(tuple(steps)))
            answer = _checked(raw.pgconn.exec_prepared(one.name, [_as_text(facts[name]) for name in one.facts]))
            return [wanted[0].begin is None or answer.get_value(0, 0) == b"1"]
        return _in_pipeline(raw, wanted)


def _in_pipeline(raw: Any, wanted: "list[Progress]") -> list[bool | Exception]:
    statements = []
    for one in wanted:
        steps, facts = one.written()
        ready = _ready(raw, _as_one(tuple(steps), waits=False))
        statements.append((ready.name, [_as_text(facts[name]) for name in ready.facts]))
    statements.append((_ready(raw, TO_DISK).name, []))
    raw.pgconn.enter_pipeline_mode()
    try:
        for name, params in statements:
            raw.pgconn.send_query_prepared(name, params)
            raw.pgconn.pipeline_sync()
        answers = [_next_answer(raw.pgconn) for _ in statements]
    finally:
        raw.pgconn.exit_pipeline_mode()
    _checked(answers.pop())
    found: list[bool | Exception] = []
    for one, answer in zip(wanted, answers, strict=True):
        try:
            found.append(one.begin is None or _checked(answer).get_value(0, 0) == b"1")
        except psycopg.OperationalError:
            raise
        except psycopg.Error as error:
            found.append(error)
    return found


def _next_answer(line: Any) -> PGresult:
    """The result of the next statement; the marks behind it are read, too."""
    answer: PGresult = line.get_result()
    ahead = answer
    while ahead is None or ahead.status != ExecStatus.PIPELINE_SYNC:
        ahead = line.get_result()
        if ahead is None and line.status != ConnStatus.OK:
            raise psycopg.OperationalError(line.get_error_message())
    return answer


def _ready(raw: Any, one: Prepared) -> Prepared:
    if one.name not in _prepared.setdefault(raw, set()):
        _checked(raw.pgconn.prepare(one.name, one.sql))
        _prepared[raw].add(one.name)
    return one


def _as_text(fact: Any) -> bytes | None:
    """A fact as libpq takes it; None is NULL."""
    return None if fact is None else (fact.isoformat() if isinstance(fact, datetime) else str(fact)).encode()


def _checked(result: PGresult) -> PGresult:
    if result.status in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
        return result
    if not result.error_field(DiagnosticField.SQLSTATE):  # nothing was answered
        raise psycopg.OperationalError(result.get_error_message())
    raise psycopg.errors.error_from_result(result)


def _one_by_one(steps: list[str], facts: dict[str, Any]) -> int:
    """The same on SQLite, whose statements change one table each; how many rows the last one touched."""
    facts = facts | {"at": connection.ops.adapt_datetimefield_value(facts["at"])}
    with transaction.atomic(), connection.cursor() as cursor:
        for step in steps:
            cursor.execute(step, {name: value for name, value in facts.items() if f"%({name})s" in step})
        return len(cursor.fetchall()) if "RETURNING" in steps[-1] else cursor.rowcount


# One delivery for each row of a query with the columns of `audiences.ROW`, without loading one of them.
FAN_OUT = """
INSERT INTO outbox_delivery (announcement_id, key, lane, reader, channel, address, leave, why, language, time_zone,
                             priority, state, due_at, expires_at, attempts, failures, forgiven, last_error)
SELECT %s, {key}, %s || r.key, r.key, r.channel, r.address, r.leave, substr(r.why, 1, 300), r.language,
       r.time_zone,
       CASE WHEN r.channel <> 'smtp' AND EXISTS (SELECT 1 FROM outbox_endpoint e
                 WHERE 'endpoint:' || e.id = r.key AND e.failing_since IS NOT NULL)
            THEN {last} ELSE %s END,
       CASE WHEN EXISTS (SELECT 1 FROM outbox_suppression s WHERE s.target = r.key)
              OR EXISTS (SELECT 1 FROM outbox_suppression s WHERE s.target = r.address)
            THEN 'suppressed' ELSE 'pending' END,
       %s, CASE WHEN r.channel = 'webhook' THEN %s ELSE %s END, 0, 0, 0, ''
FROM ({rows}) r WHERE r.channel IN ({channels}) ON CONFLICT DO NOTHING"""
NAMED = "%s || r.channel || '|' || CASE WHEN r.channel = 'smtp' THEN lower(r.address) ELSE r.key END"
KEY = {"postgresql": f"encode(sha256(convert_to({NAMED}, 'UTF8')), 'hex')", "sqlite": f"sha256({NAMED})"}


class Progress(NamedTuple):
    """How far a sender came: `sent` was accepted with `answer` (code and words), and `begin` comes next."""

    at: datetime
    worker: str
    sent: "Delivery | None" = None
    answer: tuple[int | None, str] | None = None
    begin: "Delivery | None" = None

    def written(self) -> tuple[list[str], dict[str, Any]]:
        """The steps and their facts."""
        facts: dict[str, Any] = {"at": self.at, "worker": self.worker}
        steps: list[str] = []
        if self.sent and self.answer:
            code, said = self.answer
            facts |= {"sent": self.sent.pk, "sent_n": self.sent.attempts, "code": code}
            facts["answer"] = said[:300].replace("\0", "")
            steps += ENDED, MARKED
        if self.begin:
            facts |= {"next": self.begin.pk, "next_n": self.begin.attempts}
            steps.append(BEGUN)
        return steps, facts


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def fan_out(self, announcement: Announcement, rows: QuerySet[Any, Any]) -> None:
        """Write the deliveries of `announcement` to `rows` (`audiences.Readers`) in one statement.

        Keys are those of `actions.delivery_key`; one that is there already is left alone.
        """
        sql, params = rows.query.get_compiler(connection=connection).as_sql()
        channels = list(announcement.said)
        instants = (announcement.made_at, announcement.lasts("webhook"), announcement.expires_at)
        times = [connection.ops.adapt_datetimefield_value(at) for at in instants]
        told: list[Any] = [
            announcement.pk,
            f"{announcement.dedupe_key}|",
            f"{announcement.thread}:",
            announcement.priority,
        ]
        places = ", ".join(["%s"] * len(channels))
        with connection.cursor() as cursor:
            cursor.execute(
                FAN_OUT.format(key=KEY[connection.vendor], rows=sql, last=LAST, channels=places),
                [*told, *times, *params, *channels],
            )

    def claim(self, now: datetime, *, limit: int = 20, channel: str = "smtp") -> list["Delivery"]:
        """Lease up to `limit` due deliveries to the caller for LEASE and return them, oldest promise first.

        A delivery whose worker died falls due again when its lease ends. Earlier word to the same reader goes
        first; a lease further ahead than twice LEASE means the clock jumped back, and counts as ended (once would not
        do: who read the clock first may come to claim second). A suppressed reader is never claimed.
        """
        skip = "FOR UPDATE SKIP LOCKED" if connection.vendor == "postgresql" else ""
        instants = (now, now + 2 * LEASE, now + LEASE)
        at, beyond, until = (connection.ops.adapt_datetimefield_value(instant) for instant in instants)
        rows = self.raw(CLAIM.format(skip=skip), [channel, at, at, beyond, limit, until])
        return sorted(rows, key=lambda row: (row.priority, row.due_at, row.pk))

    @transaction.atomic
    def claim_posts(self, now: datetime, *, limit: int, failing: bool = False) -> list["Delivery"]:
        """Lease up to `limit` due posts, as `claim` does, so that no endpoint and no host has too many at once.

        One more for each endpoint, however much waits for it; with `failing` what goes to those that failed the last
        time, else only the others. The announcements come with them.
        """
        if limit < 1:
            return []
        if connection.vendor == "postgresql":  # SQLite's IMMEDIATE already is that
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [POSTS_LOCK])
        instants = {"now": now, "beyond": now + 2 * LEASE, "until": now + LEASE}
        times = {name: connection.ops.adapt_datetimefield_value(instant) for name, instant in instants.items()}
        limits = {"limit": limit, "host": HOST, "each": EACH, "kin": HOST, "first": 0, "last": LAST - 1}
        if failing:
            limits |= {"each": FAILING_EACH, "kin": FAILING_HOST, "first": LAST, "last": LAST}
        rows = list(self.raw(CLAIM_POSTS, {**times, **limits}))
        models.prefetch_related_objects(rows, "announcement")
        return sorted(rows, key=lambda row: (row.priority, row.due_at, row.pk))

    def progress(self, wanted: "list[Progress]") -> list[bool | Exception]:
        """Write down how far some messages came, a commit for each, and return when all of them are safe on disk.

        For each of `wanted`: False when the one to begin must not be sent, for it expired, its reader left, or another
        worker has it by now; an exception when the database refused this one alone. Raises what the database says
        when it could not be asked.
        """
        if connection.vendor == "postgresql":
            return _in_one_go(wanted)
        return [_one_by_one(*one.written()) == 1 or one.begin is None for one in wanted]

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

    `attempts` counts claims and fences late writers; `failures` is what 1.5 blames. The numbers are plain ones: each
    field that must be positive is one check more in the statement every message passes through.
    """

    class State(models.TextChoices):
        PENDING = "pending"
        SENT = "sent"
        DEAD = "dead"
        SUPPRESSED = "suppressed"
        SUPERSEDED = "superseded"

    announcement = models.ForeignKey(Announcement, on_delete=models.PROTECT, related_name="deliveries")
    key = models.CharField(max_length=64, help_text="SHA-256(announcement | channel | address)")
    lane = models.CharField(max_length=120, help_text="thread:reader; order is kept within it")
    reader = models.CharField(max_length=60)
    channel = models.CharField(max_length=20, default="smtp")
    address = models.CharField(max_length=254, validators=[EmailValidator()])
    leave = models.CharField(max_length=100, blank=True, help_text="Names the reader to the page where they leave")
    why = models.CharField(max_length=300, blank=True)
    language = models.CharField(max_length=12, default="en", help_text="Which form of the announcement is filled in")
    time_zone = models.CharField(max_length=50, default="UTC")
    priority = models.SmallIntegerField(default=5)
    state = models.CharField(max_length=12, choices=State, default=State.PENDING)
    due_at = models.DateTimeField()
    lease_until = models.DateTimeField(null=True)
    attempts = models.IntegerField(default=0)
    failures = models.IntegerField(default=0)
    forgiven = models.IntegerField(default=0, help_text="Attempts before a person last sent it again")
    expires_at = models.DateTimeField()
    last_error = models.CharField(max_length=300, blank=True)
    accepted_at = models.DateTimeField(null=True)
    alarmed_at = models.DateTimeField(null=True, help_text="When staff were told that it was given up")

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "deliveries"
        permissions = [("resend_delivery", "Can send again what was given up")]
        indexes = [
            models.Index("channel", "priority", "due_at", "id", condition=Q(state="pending"), name="delivery_to_send"),
            models.Index("lane", "id", condition=Q(state="pending"), name="delivery_lane"),
            models.Index("announcement", condition=Q(state="pending"), name="delivery_of_announcement"),
            models.Index("id", condition=Q(state="dead", alarmed_at=None), name="delivery_to_alarm"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["key"], name="delivery_once"),
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

    delivery = models.ForeignKey(Delivery, on_delete=models.PROTECT, related_name="tries", db_index=False)
    n = models.IntegerField()
    started_at = models.DateTimeField()
    worker = models.CharField(max_length=80)
    finished_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=10, choices=Outcome, blank=True)
    code = models.SmallIntegerField(null=True)
    answer = models.CharField(max_length=300, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(F("delivery"), F("n"), name="attempt_once")]

    def __str__(self) -> str:
        return f"{self.delivery_id}/{self.n} {self.outcome or 'unfinished'}"


class SuppressionQuerySet(models.QuerySet["Suppression"]):
    def named(self, words: str = "") -> "SuppressionQuerySet":
        """Newest first; with `words` only those whose address, reader key or reason contains them."""
        found = self.filter(Q(target__icontains=words) | Q(reason__icontains=words)) if words else self
        return found.order_by("-pk")


class Suppression(models.Model):
    """A reader key or an address that gets nothing more, with the reason."""

    target = models.CharField(max_length=254, unique=True)
    reason = models.CharField(max_length=100)
    bounced = models.BooleanField(default=False, help_text="Its mail server said so, not the reader: staff may lift it")
    made_at = models.DateTimeField()

    objects = SuppressionQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.target}: {self.reason}"


class Bounce(models.Model):
    """What came back for one message, once; soft ones are counted by the day until staff lift the suppression."""

    class Kind(models.TextChoices):
        HARD = bounces.HARD
        SOFT = bounces.SOFT
        COMPLAINT = bounces.COMPLAINT

    delivery = models.ForeignKey(Delivery, on_delete=models.PROTECT, related_name="bounces")
    kind = models.CharField(max_length=9, choices=Kind)
    code = models.CharField(max_length=20, blank=True)
    day = models.DateField()
    source = models.CharField(max_length=64, unique=True, help_text="Names the report, so that it counts once")
    forgiven = models.BooleanField(default=False, help_text="Staff have lifted the suppression since")

    class Meta:
        indexes = [models.Index("day", condition=Q(kind="soft", forgiven=False), name="bounce_that_counts")]

    def __str__(self) -> str:
        return f"{self.delivery_id} {self.kind} {self.code}"


class EndpointQuerySet(models.QuerySet["Endpoint"]):
    def in_use(self) -> "EndpointQuerySet":
        return self.filter(is_active=True, verified_at__isnull=False)


def new_salt() -> str:
    return secrets.token_hex(16)


class Endpoint(models.Model):
    """Where another program or a chat room is told; it has to answer a challenge before anything else is sent there.

    Those of readers (`of_reader`) belong to a subscription, which begins when somebody follows the link posted there.

    Its secret is not stored: it follows from `salt` and SECRET_KEY (docs/decisions/0008).
    """

    class Kind(models.TextChoices):
        WEBHOOK = "webhook", "Webhook: updates to customers, signed"
        CHAT = "chat", "Chat room: what staff are told, as Slack and Mattermost take it"

    url = models.URLField(max_length=500, unique=True, help_text="https; it may hold a secret of its own")
    kind = models.CharField(max_length=8, choices=Kind, default=Kind.WEBHOOK)
    salt = models.CharField(max_length=32, default=new_salt)
    previous_salt = models.CharField(max_length=32, blank=True)
    previous_until = models.DateTimeField(null=True, help_text="Until when the secret before this one signs too")
    of_reader = models.BooleanField(default=False, help_text="A visitor named it; it is told what they subscribed to")
    is_active = models.BooleanField("in use", default=True)
    verified_at = models.DateTimeField(null=True)
    failing_since = models.DateTimeField(null=True)
    disabled_reason = models.CharField(max_length=300, blank=True, help_text="Why the portal switched it off")
    alarmed_at = models.DateTimeField(null=True, help_text="When staff were told that it was switched off")
    created_at = models.DateTimeField(default=timezone.now)

    objects = EndpointQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.kind} {self.pk} at {self.host}"

    @property
    def host(self) -> str:
        """All of the address that may be shown: the rest of a chat room's is a secret."""
        return urlsplit(self.url).hostname or ""

    @property
    def reader(self) -> str:
        return f"endpoint:{self.pk}"

    @property
    def is_trusted(self) -> bool:
        """Whether it may lie in the networks of WEBHOOK_ALLOW_CIDRS."""
        return not self.of_reader or bool(settings.WEBHOOK_READERS_INSIDE)

    @property
    def secret(self) -> str:
        """As its owner keeps it."""
        return f"whsec_{base64.b64encode(self.keys(timezone.now())[0]).decode('ascii')}"

    def keys(self, now: datetime) -> list[bytes]:
        """What signs at `now`, the current one first: for a day also the one before, and those of older SECRET_KEYs."""
        salts = [self.salt, self.previous_salt] if self.previous_until and now < self.previous_until else [self.salt]
        return [
            salted_hmac("outbox.endpoint", salt, secret=key, algorithm="sha256").digest()
            for salt in salts
            for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
        ]


class Channel(models.Model):
    """One row per transport: while it is open (broken) nothing is claimed, and no message is blamed."""

    name = models.CharField(primary_key=True, max_length=20)
    open_until = models.DateTimeField(null=True)
    fail_streak = models.PositiveIntegerField(default=0)
    failing_since = models.DateTimeField(null=True)
    alarmed_at = models.DateTimeField(null=True)
    last_error = models.CharField(max_length=300, blank=True)

    def __str__(self) -> str:
        return self.name


class PulseQuerySet(models.QuerySet["Pulse"]):
    def seen(self, now: datetime) -> dict[str, Any]:
        """When the engine last ran and whether that is recent enough to trust."""
        beat = self.filter(name="engine").values_list("beat_at", flat=True).first()
        return {"beat_at": beat, "alive": bool(beat and now - beat <= PULSE_LIMIT)}

    def health(self, now: datetime) -> dict[str, Any]:
        """The answer of /healthz: `ok`, and in seconds the age of the pulse and of the oldest due mail.

        What is posted waits for far ends of other people, two at a time: that says nothing about us.
        """
        beat = self.seen(now)["beat_at"]
        oldest = Delivery.objects.sendable(now).filter(channel="smtp").aggregate(oldest=models.Min("due_at"))["oldest"]
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
