"""The public site in the memory of a web process: what it answers, and how it keeps up.

Nothing here needs Django's models, templates or addresses. A thread asks the database for a newer version several
times a second; when it gets no answer, the copy in memory goes on being served, and pages say how old it is. The last
copy also lies in a file, so that a process that starts without a database still serves.
"""

import gettext
import logging
import os
import sqlite3
import threading
import time
import warnings
import zlib
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from datetime import UTC, datetime
from email.utils import formatdate, parsedate_to_datetime
from functools import cache
from gzip import compress
from pathlib import Path
from typing import Any, NamedTuple

from django import conf
from django.conf import settings
from django.db import connection
from django.utils.translation import to_locale

from statuspage import languages

log = logging.getLogger(__name__)

ASK_EVERY = 0.1  # seconds; a publish is visible within this and the time to write it
FIRST_ANSWER = 3  # seconds a process without a copy waits for the database before it serves
NOTE_EVERY = 30  # seconds between notes in the file of when the copy was last known to be right
OWN = ("/incidents/", "/i/", "/history/", "/api/v2/")  # below these, what is not in a whole snapshot does not exist
NOT_FOUND = "/404"
COLUMNS = "path, version, status, head, body, gzip, brotli, slot, etag, modified"
NEWER = f"SELECT {COLUMNS} FROM statuspage_document WHERE version > %s"  # noqa: S608  (a constant)
# The site's code, version and oldest version to build on; since when news waits; what time should have changed;
# whether it is still being built.
STATE = """SELECT code, version, since,
    (SELECT min(made) FROM statuspage_change WHERE rank = 0 AND place = 0),
    (SELECT min(made) FROM statuspage_change WHERE rank = 0 AND place > 0),
    (SELECT min(due) FROM statuspage_document
        WHERE due IS NOT NULL AND topic NOT IN (SELECT topic FROM statuspage_change)),
    EXISTS (SELECT 1 FROM statuspage_change WHERE rank = 1)
    FROM statuspage_edition"""

REASONS = {200: "OK", 301: "Moved Permanently", 304: "Not Modified", 404: "Not Found"}
Fields = list[tuple[str, str]]


class Answer(NamedTuple):
    status: int
    fields: Fields
    body: bytes


class Wish(NamedTuple):
    """What of a request decides which answer it gets, besides its path."""

    coding: str = ""  # br, gzip or none
    etags: str | None = None  # If-None-Match
    since: str | None = None  # If-Modified-Since

    @classmethod
    def of(cls, accept_encoding: str, etags: str | None, since: str | None) -> "Wish":
        return cls(best_coding(accept_encoding), etags, since)


def best_coding(accept: str) -> str:
    """Brotli before gzip before neither, of what Accept-Encoding names and does not refuse by `q=0`."""
    if not accept:
        return ""
    taken = set()
    for one in accept.lower().split(","):
        name, _, weight = one.partition(";")
        refused = False
        if weight:
            with suppress(ValueError):
                refused = float(weight.partition("q=")[2] or 1) == 0
        if not refused:
            taken.add(name.strip())
    return "br" if "br" in taken else "gzip" if taken & {"gzip", "x-gzip", "*"} else ""


class Document:
    """One document as it was published. Its answers are put together when first asked for."""

    def __init__(self, row: Iterable[Any]) -> None:
        path, version, status, head, body, packed, brotli, slot, etag, modified = row
        self.path, self.version, self.status, self.head = str(path), int(version), int(status), str(head)
        self.body, self.packed, self.brotli = bytes(body), _bytes(packed), _bytes(brotli)
        self.slot, self.etag, self.modified = slot, str(etag), int(modified)
        self.answers: dict[tuple[str, bool], Answer] = {}

    def row(self) -> tuple[Any, ...]:
        return (
            self.path, self.version, self.status, self.head, self.body, self.packed, self.brotli, self.slot,
            self.etag, self.modified,
        )  # fmt: skip

    def answer(self, wish: Wish) -> Answer:
        unchanged = self.status == 200 and self.is_known(wish)
        key = (wish.coding, unchanged)
        return self.answers.get(key) or self.answers.setdefault(key, self._put_together(*key))

    def is_known(self, wish: Wish) -> bool:
        """Whether the asker has this already. A copy packed in another way is the same document."""
        if wish.etags is not None:
            if wish.etags.strip() == "*":
                return True
            known = (one.strip().removeprefix("W/").strip('"') for one in wish.etags.split(","))
            return any(one.partition("-")[0] == self.etag for one in known)
        if wish.since:
            with suppress(ValueError, TypeError, OverflowError):
                return int(parsedate_to_datetime(wish.since).timestamp()) >= self.modified
        return False

    def _put_together(self, coding: str, unchanged: bool) -> Answer:
        body, etag = self.body, self.etag
        fields = [(name, value) for name, _, value in (line.partition(": ") for line in self.head.splitlines())]
        if self.packed is not None:
            fields.append(("Vary", "Accept-Encoding"))
        if coding == "br" and self.brotli is not None:
            body, etag = self.brotli, f"{etag}-br"
            fields.append(("Content-Encoding", "br"))
        elif coding and self.packed is not None:
            body, etag = self.packed, f"{etag}-gz"
            fields.append(("Content-Encoding", "gzip"))
        if self.status == 200:
            fields += [("ETag", f'"{etag}"'), ("Last-Modified", formatdate(self.modified, usegmt=True))]
        if unchanged:
            kept = [(name, value) for name, value in fields if name not in ("Content-Type", "Content-Encoding")]
            return Answer(304, kept, b"")
        return Answer(self.status, [*fields, ("Content-Length", str(len(body)))], body)

    def with_age(self, words: str, now: float) -> "Document":
        """The same page with the words that say how old it is."""
        if self.slot is None:
            return self
        body = self.body[: self.slot] + words.encode() + self.body[self.slot :]
        etag = f"{self.etag}.{zlib.crc32(words.encode()):08x}"
        packed = None if self.packed is None else compress(body, 6, mtime=0)
        return Document((self.path, self.version, self.status, self.head, body, packed, None, None, etag, int(now)))


def _bytes(value: Any) -> bytes | None:
    return None if value is None else bytes(value)


class Copy:
    """The last copy of the site in a file, for a start without a database."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def _open(self) -> sqlite3.Connection:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        opened = sqlite3.connect(self.file, timeout=5)
        opened.executescript(
            f"""CREATE TABLE IF NOT EXISTS document ({COLUMNS}, PRIMARY KEY (path)) WITHOUT ROWID;
            CREATE TABLE IF NOT EXISTS edition (n PRIMARY KEY, code, version, right_at, whole);"""
        )
        return opened

    def load(self) -> tuple[str, int, int, bool, list[Document]] | None:
        """Code, version, when it was last known to be right, whether it is whole, and the documents; None without."""
        if not self.file.exists():
            return None
        with closing(self._open()) as opened:
            edition = opened.execute("SELECT code, version, right_at, whole FROM edition").fetchone()
            rows = opened.execute(f"SELECT {COLUMNS} FROM document").fetchall()  # noqa: S608  (a constant)
        return edition and (*edition, [Document(row) for row in rows])

    def save(self, site: "Site", changed: Iterable[Document], *, anew: bool) -> None:
        """Bring the file up to this version of the site, unless another process has done so."""
        edition = (site.code, site.version, int(site.as_of), site.whole)
        with closing(self._open()) as opened, opened:
            opened.execute("BEGIN IMMEDIATE")
            there = opened.execute("SELECT code, version FROM edition").fetchone()
            if there != edition[:2]:
                if anew or not there or there[0] != site.code:
                    opened.execute("DELETE FROM document")
                marks = ", ".join("?" * 10)
                rows = [document.row() for document in changed]
                opened.executemany(f"INSERT OR REPLACE INTO document VALUES ({marks})", rows)  # noqa: S608
            opened.execute("INSERT OR REPLACE INTO edition VALUES (1, ?, ?, ?, ?)", edition)


class Site:
    """What this process serves. One thread changes it, any number read; what they read is swapped whole."""

    def __init__(self, copy: Copy) -> None:
        self.copy = copy
        self.documents: Mapping[str, Document] = {}
        self.code, self.version, self.whole = "", 0, False
        self.right_at = 0.0  # when this was last known to be all there is to say
        self.behind_since: float | None = None  # since when something published waits to be written
        self.others_behind_since: float | None = None  # the same in another language than the page's own
        self.age = ""  # the words for it in the page's own language, while the site cannot be refreshed
        self.ages = ("", "")  # those, and what pages in the others say, in the same language
        self.aged_at = 0.0
        self.aged: dict[str, Document] = {}
        self.asked = threading.Event()  # once the database has answered, or refused
        self._noted_at = 0.0

    def find(self, path: str) -> Document | None:
        """The document at this path; the page that says there is none, where only the snapshot knows."""
        found = self.documents.get(path)
        if found is None and self.whole:
            language, rest = languages.split(path)
            if rest.startswith(OWN):
                path = languages.at(NOT_FOUND, language)
                found = self.documents.get(path)
        if found is None or not any(self.ages):
            return found
        return self.aged.get(path) or self.aged.setdefault(path, self._with_age(found))

    def _with_age(self, found: Document) -> Document:
        language = languages.split(found.path)[0]
        own = language == languages.own()
        words = age_words(self.as_of if own else self.others_as_of, self.aged_at, language)
        return found.with_age(words, self.aged_at) if words else found

    def look_at_clock(self) -> None:
        """Say how old the copy is, once it is too old; again with every minute."""
        now = time.time()
        instants = (self.as_of, self.others_as_of) if self.version else (now, now)
        own, others = (age_words(as_of, now, languages.own()) for as_of in instants)
        if (own, others) != self.ages:
            self.aged, self.age, self.ages, self.aged_at = {}, own, (own, others), now

    @property
    def as_of(self) -> float:
        """Up to when the copy is known to tell everything in the page's own language."""
        return min(self.right_at, self.behind_since or self.right_at)

    @property
    def others_as_of(self) -> float:
        """The same for the other languages, which are written after it."""
        return min(self.as_of, self.others_behind_since or self.as_of)

    # Keeping up

    def load_copy(self) -> None:
        try:
            found = self.copy.load()
        except sqlite3.Error:
            log.exception("the copy in %s cannot be read; it will be made anew", self.copy.file)
            self.copy.file.unlink(missing_ok=True)
            return
        if found:
            self.code, self.version, right_at, whole, documents = found
            self.whole, self.right_at, self.documents = (
                bool(whole),
                right_at,
                {document.path: document for document in documents},
            )
            self.look_at_clock()

    def catch_up(self) -> None:
        """Ask the database once and take over what is newer. Raises what the database raises."""
        asked_at = time.time()
        with connection.cursor() as cursor:
            cursor.execute(STATE)
            state = cursor.fetchone()
            if state is None:
                return
            code, version, since, news, news_elsewhere, due, building = state
            anew = code != self.code or not since <= self.version <= version
            changed = []
            if anew or version > self.version:
                cursor.execute(NEWER, [0 if anew else self.version])
                changed = [Document(row) for row in cursor.fetchall()]
        if anew or changed:
            kept = {} if anew else self.documents
            self.documents = {**kept, **{document.path: document for document in changed}}
            self.aged, self.code, self.version = {}, code, version
        self.whole = not building
        soonest = asked_at - settings.PAGE_STALE_SECONDS
        self.behind_since = min((at for at in (news, due) if at is not None and at < soonest), default=None)
        is_late = news_elsewhere is not None and news_elsewhere < soonest
        self.others_behind_since = news_elsewhere if is_late else None
        self.right_at = asked_at
        self._note(changed, anew=anew)

    def _note(self, changed: list[Document], *, anew: bool) -> None:
        if not changed and self.right_at - self._noted_at < NOTE_EVERY:
            return
        try:
            self.copy.save(self, changed, anew=anew)
        except (sqlite3.Error, OSError):
            log.exception("the copy in %s cannot be written", self.copy.file)
        self._noted_at = self.right_at

    def follow(self) -> None:
        """Catch up for ever. One thread of its own: a database that never answers holds up nobody else."""
        failed = False
        while True:
            try:
                self.catch_up()
                failed = False
            except Exception as error:
                if not failed:
                    log.warning("the page cannot be refreshed: %s", error)
                failed = True
                with suppress(Exception):
                    connection.close()
            self.asked.set()
            time.sleep(ASK_EVERY)


def age_words(as_of: float, now: float, language: str) -> str:
    """What a page says when it is known to be right only up to `as_of`; empty while that is a moment ago."""
    if now - as_of <= settings.PAGE_STALE_SECONDS:
        return ""
    words, at, minutes = _catalogue(language), datetime.fromtimestamp(as_of, UTC), int(now - as_of) // 60
    cannot = words.gettext("This page cannot be brought up to date right now.")
    parts = {"day": at.day, "month": words.gettext(f"{at:%B}"), "number": at.month, "year": at.year}
    instant = words.gettext("%(day)s %(month)s %(year)s, %(time)s UTC") % (parts | {"time": f"{at:%H:%M}"})
    it_is = words.gettext("It is as of %(instant)s, %(ago)s.") % {
        "instant": f'<time datetime="{at:%Y-%m-%dT%H:%M:%SZ}">{instant}</time>',
        "ago": _ago(words, minutes),
    }
    return f'\n<div class="wrap age" role="status"><p><strong>{cannot}</strong> {it_is}</p></div>'


def _ago(words: gettext.NullTranslations, minutes: int) -> str:
    if minutes < 1:
        return words.gettext("less than a minute ago")
    if minutes < 120:
        return words.ngettext("%(number)s minute ago", "%(number)s minutes ago", minutes) % {"number": minutes}
    if minutes < 2880:
        hours = minutes // 60
        return words.ngettext("%(number)s hour ago", "%(number)s hours ago", hours) % {"number": hours}
    days = minutes // 1440
    return words.ngettext("%(number)s day ago", "%(number)s days ago", days) % {"number": days}


@cache
def _catalogue(language: str) -> gettext.NullTranslations:
    """Our words in a language, and Django's for the months. Read without Django, which may not work."""
    ours, djangos = (
        gettext.translation("django", folder, [to_locale(language)], fallback=True)
        for folder in (settings.LOCALE_PATHS[0], Path(conf.__file__).parent / "locale")
    )
    ours.add_fallback(djangos)
    return ours


_lock = threading.Lock()
_sites: dict[int, Site] = {}


def here() -> Site:
    """The site of this process; the first call loads the copy and begins to follow the database."""
    found = _sites.get(os.getpid())
    if found:
        return found
    with _lock:
        if os.getpid() not in _sites:
            site = Site(Copy(settings.VAR_DIR / "page.sqlite3"))
            warnings.filterwarnings("ignore", message="Accessing the database during app initialization")
            site.load_copy()
            threading.Thread(target=site.follow, name="page", daemon=True).start()
            if not site.version:
                site.asked.wait(FIRST_ANSWER)
            _sites.clear()
            _sites[os.getpid()] = site
        return _sites[os.getpid()]
