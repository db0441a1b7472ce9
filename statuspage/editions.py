"""Keeps what is published written: each change names what it is about, and only documents about that are written anew.

A change is a row in the transaction of the deed. It is carried out right after the commit, or else by the engine;
so is what time alone changes. Every batch raises the version by one, under a lock on the edition. How things stand is
written and committed in the page's own language first, then lists of what was told, then the other languages.
"""

import gzip
import hashlib
import logging
from collections.abc import Iterable
from datetime import datetime
from functools import cache
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import brotli
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Max, QuerySet
from django.urls import is_valid_path
from django.utils import timezone
from django.utils.translation import override

from statuspage import documents
from statuspage.documents import KINDS, TOPICS, Kind
from statuspage.models import Change, Component, Document, Edition, Maintenance, Notice

log = logging.getLogger(__name__)

BATCH = 0.25  # seconds of rebuilding in one transaction: news never waits longer for it
PATIENCE = 1  # seconds
LOCKED = "55P03"  # PostgreSQL: somebody holds the row
FEW = 1000  # changes read at once
SLOT = b"<!--age-->"  # where a page says how old it is, when it cannot be refreshed
PACKABLE = (
    "text/",
    "application/json",
    "application/feed+json",
    "application/atom+xml",
    "application/rss+xml",
    "image/svg",
)
COLUMNS = ["version", "status", "head", "body", "gzip", "brotli", "slot", "etag", "modified", "due", "topic"]
NOW, LISTS, UPTIME = "now:-", "lists:-", "uptime:-"
FOLLOWS = {"lists", "month"}  # topics that tell the news a moment after the page itself
_built: set[str] = set()


# What changed


def touch(*topics: str) -> None:
    """Have what is current and everything about these topics written anew once the transaction is committed.

    Uptime month by month follows: nobody waits for it to read the news.
    """
    _note([NOW, *topics, LISTS], Change.Rank.NEWS)
    _note([UPTIME], Change.Rank.REBUILD)
    transaction.on_commit(_write_now, robust=True)


def touch_notice(notice: Notice, *, was_started_at: datetime | None = None, component_ids: Iterable[int] = ()) -> None:
    """As `touch`, for a notice and every month since it began: it may have been open in each. Calendars in turn.

    No document is about a private one, and none is looked at again because of it.
    """
    if not notice.is_public:
        return
    began = min(filter(None, [notice.started_at, was_started_at]))
    months = documents.months(began, max(began, timezone.now()))
    _note_calendars(component_ids)
    touch(f"notice:{notice.code}", *(f"month:{key}" for key in months))


def touch_maintenance(maintenance: Maintenance, component_ids: Iterable[int]) -> None:
    """As `touch`, for maintenance and the month it began or was called off in. Calendars in turn."""
    day = maintenance.started_at or maintenance.ended_at
    months = documents.months(day, day) if day else []
    _note_calendars(component_ids)
    touch(f"maintenance:{maintenance.code}", *(f"month:{key}" for key in months))


def _note_calendars(component_ids: Iterable[int]) -> None:
    """Calendars are asked for every quarter of an hour: no news waits for them."""
    codes = Component.objects.filter(pk__in=list(component_ids)).order_by().values_list("code", flat=True)
    _note(["calendar:-", *(f"component:{code}" for code in codes)], Change.Rank.REBUILD)


def touch_component(component: Component) -> None:
    """As `touch`, and in their turn the incidents and maintenance that name the component."""
    codes = Notice.objects.filter(hits__component=component).values_list("code", flat=True)
    works = Maintenance.objects.filter(hits__component=component).values_list("code", flat=True)
    _note([*(f"notice:{code}" for code in codes), *(f"maintenance:{code}" for code in works)], Change.Rank.REBUILD)
    _note(["calendar:-", f"component:{component.code}"], Change.Rank.REBUILD)
    touch()


def touch_past(notices: Iterable[Notice], works: Iterable[Maintenance] = ()) -> None:
    """Have notices and maintenance of any age, every month, calendar and what is current written anew in their turn.

    Not by the commit but by the engine, or by whoever calls `refresh`. What many calls have in common is written once.
    """
    shared = [
        NOW,
        LISTS,
        UPTIME,
        *(f"{name}:{key}" for name in ("month", "calendar", "component") for key in TOPICS[name].every()),
    ]
    Change.objects.filter(rank=Change.Rank.REBUILD, topic__in=shared).delete()
    own = [*(f"notice:{notice.code}" for notice in notices), *(f"maintenance:{work.code}" for work in works)]
    _note([*own, *shared], Change.Rank.REBUILD)


def touch_looks(were: Iterable[str]) -> None:
    """As `touch`, with every page in its turn: all look different now. `were` are the brand's files before, by name.

    What is new is there before any page names it, and what is old stays until no page does.
    """
    names = list(TOPICS["brand"].every())
    _note([f"brand:{name}" for name in names], Change.Rank.NEWS)
    worded = dict.fromkeys(kind.topic for kind in KINDS if kind.worded)
    _note([f"{topic}:{key}" for topic in worded for key in TOPICS[topic].every()], Change.Rank.REBUILD)
    last = {"rank": Change.Rank.REBUILD, "place": len(settings.PAGE_LANGUAGES) - 1}
    made = int(timezone.now().timestamp())
    Change.objects.bulk_create(Change(topic=f"brand:{name}", made=made, **last) for name in were if name not in names)
    touch()


def touch_owned(component: Component) -> None:
    """As `touch`, with every incident that names the component at once: it has left the page, or come to it."""
    for notice in Notice.objects.filter(hits__component=component).distinct():
        touch_notice(notice)
    for work in Maintenance.objects.filter(hits__component=component):
        touch_maintenance(work, [])
    _note(["calendar:-", f"component:{component.code}"], Change.Rank.NEWS)
    touch()


def rebuild() -> None:
    """Have everything written anew, behind any news, and nothing served whose address or subject is gone."""
    topics = [f"{name}:{key}" for name, topic in TOPICS.items() for key in topic.every()]
    known = set(topics)
    for path, topic in Document.objects.values_list("path", "topic"):
        if topic not in known or not (path.startswith(settings.STATIC_URL) or is_valid_path(path)):
            Document.objects.filter(path=path).delete()
    edition, _ = Edition.objects.get_or_create(pk=1)
    edition.version = edition.since = edition.version + 1
    edition.save(update_fields=["version", "since"])
    _note(topics, Change.Rank.REBUILD)


def _note(topics: Iterable[str], rank: int) -> None:
    made = int(timezone.now().timestamp())
    Change.objects.bulk_create(
        Change(topic=topic, rank=rank, place=place, made=made)
        for topic in dict.fromkeys(topics)
        for place in range(len(settings.PAGE_LANGUAGES))
        if kinds(topic, place)
    )


def kinds(topic: str, place: int) -> list[Kind]:
    """What there is about a topic in the language at this place; what has no words of ours is at the first."""
    return [kind for kind in KINDS if kind.topic == _name(topic) and (kind.worded or not place)]


# Carrying it out


class NewsCame(Exception):
    """Something was published while what can wait was written."""


def run_due(now: datetime) -> None:
    """The engine's turn: what was left, what time changed, and everything after the code has changed."""
    end = monotonic() + 2 * BATCH
    try:
        _rebuild_if_made_from_other_code()
        _note_what_time_changed(now)
        while refresh(patience=0) and monotonic() < end:
            pass
    except OperationalError as error:
        if not _is_locked(error):
            raise


def _write_now() -> None:
    """After a commit: what it changed, in the other languages as far as that is soon done."""
    end = monotonic() + BATCH
    while refresh() and monotonic() < end:
        pass


def refresh(patience: float = PATIENCE) -> int:
    """Write one batch of what waits; how many changes are done with it. 0 when nothing waits, or all of it fails.

    Whoever else is writing is waited for `patience` seconds, not longer: it may have been stopped half-way.
    """
    end = monotonic() + patience
    while Change.objects.exists():
        try:
            return _refresh()
        except NewsCame:
            continue
        except OperationalError as error:
            if not _is_locked(error) or monotonic() > end:
                raise
        sleep(0.01)
    return 0


def _is_locked(error: OperationalError) -> bool:
    return getattr(error.__cause__, "sqlstate", "") == LOCKED


def _edition() -> Edition:
    """The one edition, locked. Raises OperationalError at once where somebody else holds it."""
    one_at_a_time = Edition.objects.select_for_update(nowait=connection.features.has_select_for_update_nowait)
    return one_at_a_time.get_or_create(pk=1)[0]


def _refresh() -> int:
    with transaction.atomic():
        edition = _edition()
        done, written = _write_batch(edition)
        Change.objects.filter(pk__in=done).delete()
        if written:
            edition.version += 1
            edition.save(update_fields=["version", "since"])
    return len(done)


def _write_batch(edition: Edition) -> tuple[list[int], bool]:
    """What news says of how things stand, in the page's own language, or else what comes next for BATCH.

    The changes that are done, and whether any document is another now.
    """
    end, written, urgent = monotonic() + BATCH, False, False
    done: list[int] = []
    outcome: dict[tuple[str, int], int | None] = {}
    load, now = cache(_subject), timezone.now()
    newest = Change.objects.aggregate(pk=Max("pk"))["pk"]
    for change in Change.objects.all()[:FEW]:
        about = change.topic, change.place
        if about not in outcome:
            follows = _name(change.topic) in FOLLOWS
            if urgent and follows:
                continue  # there may be more news behind it
            can_wait = change.rank == Change.Rank.REBUILD or change.place > 0 or follows
            if can_wait and (urgent or (done and monotonic() > end)):  # what fails holds up nothing behind it
                break
            try:
                with transaction.atomic():
                    outcome[about] = _write_about(
                        load(change.topic), *about, edition, now, newest if can_wait else None
                    )
            except NewsCame:
                if done:
                    break
                raise
            urgent = urgent or not (can_wait or outcome[about] is None)
        if outcome[about] is not None:
            done.append(change.pk)
            written = written or bool(outcome[about])
    return done, written


def _news() -> QuerySet[Change]:
    return Change.objects.filter(rank=Change.Rank.NEWS, place=0)


def _name(topic: str) -> str:
    return topic.partition(":")[0]


def _subject(topic: str) -> Any:
    name, _, key = topic.partition(":")
    return TOPICS[name].load(key)


def _write_about(
    subject: Any, topic: str, place: int, edition: Edition, now: datetime, unless_after: int | None
) -> int | None:
    """Write every document about the topic in the language at this place, unless that is no longer spoken.

    How many are others than before; None when one could not be written. What can wait is given up for news that came
    after the change `unless_after`: raises NewsCame.
    """
    if subject is None:
        gone = Document.objects.filter(topic=topic).values_list("path", flat=True)
        return sum(_withdraw(path, edition) for path in list(gone))
    if place >= len(settings.PAGE_LANGUAGES):
        return 0
    outcomes: list[bool | None] = []
    with override(settings.PAGE_LANGUAGES[place]):
        for kind in kinds(topic, place):
            if unless_after and _news().filter(pk__gt=unless_after).exists():
                raise NewsCame
            outcomes.append(_write(kind, subject, topic, edition, now))
    return None if None in outcomes else sum(filter(None, outcomes))


def _write(kind: Kind, subject: Any, topic: str, edition: Edition, now: datetime) -> bool | None:
    """Write one document; whether it is another than before, or None when it could not be written."""
    try:
        with transaction.atomic():
            path, until = kind.path(subject), kind.until(subject, now)
            status, body = documents.said(kind, subject, now)
            if body is None:
                return _withdraw(path, edition)
            return _store(_document(path, kind, subject, status, body), topic, until, edition, now)
    except (OperationalError, InterfaceError):
        raise  # the database does not answer: nothing can be written
    except Exception:
        log.exception("the public document %s about %s could not be written", kind.name, topic)
        return None


def _document(path: str, kind: Kind, subject: Any, status: int, body: bytes | str) -> Document:
    """The document as it will be served. A `str` is where a redirect leads."""
    head = kind.head(subject)
    if isinstance(body, str):
        head, body, status = head | {"Location": body}, b"", 301
    before, found, after = body.partition(SLOT)
    body = before + after
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    packable = bool(body) and head["Content-Type"].startswith(PACKABLE)
    return Document(
        path=path,
        status=status,
        head=lines,
        body=body,
        gzip=gzip.compress(body, 9, mtime=0) if packable else None,
        brotli=brotli.compress(body, quality=6) if packable else None,
        slot=len(before) if found else None,
        etag=hashlib.sha256(lines.encode() + body).hexdigest()[:24],
    )


def _store(document: Document, topic: str, until: datetime | None, edition: Edition, now: datetime) -> bool:
    due = int(until.timestamp()) if until else None
    same = Document.objects.filter(path=document.path, etag=document.etag)
    if same.exists():
        same.update(due=due, topic=topic)
        return False
    document.version, document.modified, document.due, document.topic = (
        edition.version + 1,
        int(now.timestamp()),
        due,
        topic,
    )
    Document.objects.bulk_create([document], update_conflicts=True, unique_fields=["path"], update_fields=COLUMNS)
    return True


def _withdraw(path: str, edition: Edition) -> bool:
    gone = Document.objects.filter(path=path).delete()[0] > 0
    if gone:
        edition.since = edition.version + 1
    return gone


def _note_what_time_changed(now: datetime) -> None:
    due = set(Document.objects.filter(due__lte=int(now.timestamp())).values_list("topic", flat=True))
    if due:
        month = f"month:{documents.months(now, now)[0]}"
        if not Document.objects.filter(topic=month).exists():
            due.add(month)
        _note(due, Change.Rank.NEWS if NOW in due else Change.Rank.REBUILD)


def _rebuild_if_made_from_other_code() -> None:
    """Once a process at most, so that old and new code running side by side do not take turns."""
    mine = made_from()
    if mine in _built:
        return
    if Edition.objects.filter(pk=1, made_from=mine).exists():
        _built.add(mine)
        return
    with transaction.atomic():
        if _edition().made_from != mine:
            rebuild()
            Edition.objects.filter(pk=1).update(made_from=mine)
    _built.add(mine)


@cache
def made_from() -> str:
    """A hash of whatever decides how documents are written, besides what is published."""
    here = Path(__file__).parent
    files = [*here.rglob("*.py"), *(settings.BASE_DIR / "templates" / "statuspage").iterdir()]
    files += [settings.BASE_DIR / "static" / name for name in documents.ASSETS]
    files += (settings.BASE_DIR / "locale").rglob("*.mo")
    found = hashlib.sha256()
    for file in sorted(files):
        found.update(file.read_bytes())
    for value in (
        settings.ORGANISATION,
        settings.PUBLIC_BASE_URL,
        settings.SUPPORT_EMAIL,
        settings.PRODUCTION,
        settings.UPTIME_WEIGHTS,
        settings.PAGE_LANGUAGES,
        settings.PAGE_RESTRICTED,
    ):
        found.update(f"{value}\n".encode())
    return found.hexdigest()
