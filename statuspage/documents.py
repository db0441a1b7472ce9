"""What is published: one entry a document says where it lives, what writes it and what it is about.

A new document is a new entry in KINDS; address, headers, snapshot and plain files follow from it.
"""

import json
import mimetypes
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.staticfiles import finders
from django.db.models import Min
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.urls import reverse
from django.utils.csp import CSP, build_policy

from statuspage import calendar, contract, embedded, feeds, looks, planned, snapshot, spans
from statuspage.models import Component, Maintenance, Notice, Vendor

HTML, JSON = "text/html; charset=utf-8", "application/json; charset=utf-8"
# Caches in between may keep a document for 15 s; a browser asks each time, so that nobody reloads into old news.
CACHE = "public, max-age=0, s-maxage=15, stale-if-error=86400"
SVG, ATOM, RSS = (
    "image/svg+xml; charset=utf-8",
    "application/atom+xml; charset=utf-8",
    "application/rss+xml; charset=utf-8",
)
CALENDAR = "text/calendar; charset=utf-8"
# Any site may read what is for programs.
OPEN = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "ETag"}
FOR_EVER = "public, max-age=315360000, immutable"
FILES = ("asset", "brand")  # topics whose documents are files, the same for everybody and in every language
ALONE = {"default-src": [CSP.NONE], "frame-ancestors": [CSP.NONE], "sandbox": True}  # for what somebody uploaded
COUNT_AGAIN = timedelta(minutes=10)  # less than a hundredth of a percent of 90 days
ASSETS = [
    "css/status.css",
    "js/local-time.js",
    "fonts/source-sans-3-latin.woff2",
    "fonts/source-sans-3-latin-ext.woff2",
    "marks/kept.svg",
]


@dataclass(frozen=True)
class Topic:
    """What documents are about. `every` finds all keys there are, `load` what a key names (None: nothing)."""

    every: Callable[[], Iterable[str]]
    load: Callable[[str], Any]


@dataclass(frozen=True)
class Kind:
    """One document, or one for each key of its topic.

    `write(subject, now)` gives the body, or None when there is no such document; for a redirect it gives where to.
    `until(subject, now)` is when time alone will change it. `args(subject)` complete its address.
    """

    topic: str
    route: str
    name: str
    write: Callable[[Any, datetime], bytes | str | None]
    media: str = HTML
    until: Callable[[Any, datetime], datetime | None] = lambda subject, now: None
    args: Callable[[Any], list[Any]] = lambda subject: []
    key: Callable[..., str | None] = lambda: "-"
    status: int = 200
    framed: bool = False  # other sites may show it in a frame

    @property
    def worded(self) -> bool:
        """Whether it has words of ours, so that there is one in every language; what programs read has none."""
        return self.topic not in FILES and self.media not in (JSON, CALENDAR)

    def path(self, subject: Any) -> str:
        """In the active language."""
        if self.topic == "asset":
            return static(subject)
        return reverse(f"statuspage:{self.name}", args=self.args(subject))

    def head(self, subject: Any) -> dict[str, str]:
        """The headers that say nothing of one representation; Django's middleware writes the same."""
        head = {"Content-Type": self.media, "Cache-Control": CACHE} | _walls()
        if self.topic == "asset":
            head["Content-Type"] = _media_of(subject)
            head["Access-Control-Allow-Origin"] = "*"
            head["Cache-Control"] = FOR_EVER if settings.PRODUCTION else "public, max-age=60"
        elif self.topic == "brand":
            head |= {"Content-Type": _media_of(subject.name), "Cache-Control": FOR_EVER}
            head["Content-Security-Policy"] = build_policy(ALONE)  # type: ignore[arg-type]
        elif not self.media.startswith("text/html"):
            head |= OPEN
        if self.framed:
            policy = settings.SECURE_CSP | {"frame-ancestors": ["*"]}
            head["Content-Security-Policy"] = build_policy(policy)  # type: ignore[arg-type]
            del head["X-Frame-Options"]
        return head


def said(kind: Kind, subject: Any, now: datetime) -> tuple[int, bytes | str | None]:
    """Status and body of a document. A restricted page says only where to sign in; feeds and drawings are gone."""
    if not settings.PAGE_RESTRICTED or kind.topic in FILES or kind.status != 200:
        return kind.status, kind.write(subject, now)
    if kind.media == HTML:
        return 200, render_to_string("statuspage/closed.html").encode()
    where = settings.PUBLIC_BASE_URL + reverse("customers:sign-in")
    sentence = {"error": f"This status page is for signed-in customers: {where}"}
    return 404, json.dumps(sentence).encode() if kind.media == JSON else None


def _walls() -> dict[str, str]:
    walls = {
        "Content-Security-Policy": build_policy(settings.SECURE_CSP),  # type: ignore[arg-type]
        "X-Frame-Options": settings.X_FRAME_OPTIONS,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": settings.SECURE_REFERRER_POLICY,
        "Cross-Origin-Opener-Policy": "same-origin",
    }
    if seconds := settings.SECURE_HSTS_SECONDS:
        walls["Strict-Transport-Security"] = f"max-age={seconds}; includeSubDomains; preload"
    return walls


def _media_of(name: str) -> str:
    media = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return f"{media}; charset=utf-8" if media.startswith("text/") else media


# Subjects


def _notice(code: str) -> Notice | None:
    return Notice.objects.complete(None).filter(code=code).first()


def _maintenance(code: str) -> Maintenance | None:
    return Maintenance.objects.complete(None).filter(code=code).first()


def _code_of(ref: str) -> str | None:
    return Notice.objects.seen_by(None).filter(ref=ref).values_list("code", flat=True).first()


def _month(key: str) -> date | None:
    try:
        return date.fromisoformat(key)
    except ValueError:
        return None


def months(first: datetime, last: datetime) -> list[str]:
    """The key of every month from one instant to another."""
    month, end = (at.astimezone(UTC).date().replace(day=1) for at in (first, last))
    keys = []
    while month <= end:
        keys.append(month.isoformat())
        month = (month + timedelta(days=31)).replace(day=1)
    return keys


def _all_months() -> list[str]:
    now = datetime.now(UTC)
    return months(snapshot.since() or now, now)


def _all_maintenance() -> Iterable[str]:
    return Maintenance.objects.seen_by(None).order_by("-id").values_list("code", flat=True)


TOPICS = {
    "asset": Topic(lambda: ASSETS, str),
    "brand": Topic(looks.names, looks.file),
    "now": Topic(lambda: ["-"], lambda key: snapshot.Facts()),  # how things stand: what readers wait for
    "lists": Topic(lambda: ["-"], lambda key: snapshot.Facts()),  # what was told of late, and what never changes
    "uptime": Topic(lambda: ["-"], lambda key: snapshot.Facts()),
    "month": Topic(_all_months, _month),
    "notice": Topic(lambda: Notice.objects.seen_by(None).order_by("-id").values_list("code", flat=True), _notice),
    "maintenance": Topic(_all_maintenance, _maintenance),
    "calendar": Topic(lambda: ["-"], str),
    "component": Topic(lambda: Component.objects.seen_by(None).values_list("code", flat=True), str),
}


# Writing


def _asset(name: str, now: datetime) -> bytes | None:
    """The file as it is served: with the manifest's names in it where there is one."""
    if settings.STATIC_ROOT:
        from django.contrib.staticfiles.storage import staticfiles_storage

        return Path(staticfiles_storage.path(staticfiles_storage.stored_name(name))).read_bytes()  # type: ignore[attr-defined]
    found = finders.find(name)
    return Path(found).read_bytes() if found else None


def _midnight(now: datetime) -> datetime:
    return datetime.combine(now.astimezone(UTC).date() + timedelta(days=1), time(), UTC)


def _words_last(instants: Iterable[datetime], now: datetime) -> datetime | None:
    """Until when instants are written as now: the day is left out today, the year this year."""
    days = [at.astimezone(UTC).date() for at in instants]
    today = now.astimezone(UTC).date()
    if today in days:
        return _midnight(now)
    return datetime(today.year + 1, 1, 1, tzinfo=UTC) if any(day.year == today.year for day in days) else None


def _page_until(facts: snapshot.Facts, now: datetime) -> datetime:
    """The next midnight or percentage, the next promise that becomes late, the next vendor that becomes unknown."""
    due = Notice.objects.seen_by(None).open().filter(next_update_by__gte=now).aggregate(at=Min("next_update_by"))["at"]
    stale = [at for vendor in Vendor.objects.all() if (at := vendor.stale_at) and at > now]
    late = [planned.late_at(work, now) for work in facts.works]
    ends = [_uptime_until(facts, now), *stale, due and due + timedelta(seconds=1), *late]
    return min(filter(None, ends))


def _uptime_until(facts: snapshot.Facts, now: datetime) -> datetime:
    """The next midnight; while something is down, the next percentage."""
    return min(_midnight(now), now + COUNT_AGAIN) if spans.anything_counts_now() else _midnight(now)


def _notice_until(notice: Notice, now: datetime) -> datetime | None:
    said = [notice.started_at, *(update.display_at for update in notice.updates.all())]
    said += [one.created_at for one in notice.postmortems.all()]
    ends = [_words_last([*said, *filter(None, [notice.resolved_at, notice.next_update_by])], now)]
    if notice.next_update_by and notice.next_update_by >= now:
        ends.append(notice.next_update_by + timedelta(seconds=1))
    return min(filter(None, ends), default=None)


def _maintenance_until(maintenance: Maintenance, now: datetime) -> datetime | None:
    said = [maintenance.created_at, *(update.display_at for update in maintenance.updates.all())]
    words = _words_last([*said, maintenance.begins_at, maintenance.over_at], now)
    return min(filter(None, [words, planned.late_at(maintenance, now)]), default=None)


def _month_until(month: date, now: datetime) -> datetime | None:
    today = now.astimezone(UTC).date()
    if month == today.replace(day=1):
        return _midnight(now)
    return datetime(today.year + 1, 1, 1, tzinfo=UTC) if month.year >= today.year - 1 else None


def _api(name: str, write: Callable[[snapshot.Facts, datetime], bytes], topic: str = "now") -> Kind:
    return Kind(topic, f"api/v2/{name}.json", f"{name.replace('/', '-')}-json", write, JSON)


KINDS = [
    Kind("asset", "", "asset", _asset),
    Kind(
        "brand",
        "brand/<str:name>",
        "brand",
        lambda file, now: file.content,
        media="application/octet-stream",
        args=lambda file: [file.name],
        key=lambda name: name,
    ),
    Kind("now", "", "page", snapshot.page, until=_page_until),
    Kind("uptime", "uptime", "uptime", snapshot.uptime_page, until=_uptime_until),
    Kind("lists", "404", "not-found", snapshot.not_found, status=404),
    Kind("lists", "history", "history", snapshot.history, until=lambda _, now: _midnight(now)),
    Kind(
        "month",
        "history/<int:year>-<month:month>",
        "history",
        lambda month, now: snapshot.history(snapshot.Facts(), now, month),
        until=_month_until,
        args=lambda month: [month.year, month.month],
        key=lambda year, month: f"{year:04}-{month:02}-01",
    ),
    Kind(
        "notice",
        "incidents/<slug:code>",
        "incident",
        snapshot.incident_page,
        until=_notice_until,
        args=lambda notice: [notice.code],
        key=lambda code: code,
    ),
    Kind(
        "notice",
        "i/<slug:ref>",
        "by-ref",
        lambda notice, now: notice.get_absolute_url(),
        args=lambda notice: [notice.ref],
        key=_code_of,
    ),
    Kind(
        "notice",
        "incidents/<slug:code>.json",
        "incident-json",
        snapshot.incident_json,
        JSON,
        args=lambda notice: [notice.code],
        key=lambda code: code,
    ),
    Kind(
        "maintenance",
        "maintenance/<slug:code>",
        "maintenance",
        snapshot.maintenance_page,
        until=_maintenance_until,
        args=lambda maintenance: [maintenance.code],
        key=lambda code: code,
    ),
    Kind(
        "maintenance",
        "maintenance/<slug:code>.json",
        "maintenance-json",
        snapshot.maintenance_json,
        JSON,
        args=lambda maintenance: [maintenance.code],
        key=lambda code: code,
    ),
    Kind(
        "maintenance",
        "maintenance/<slug:code>.ics",
        "maintenance-calendar",
        calendar.one,
        CALENDAR,
        args=lambda maintenance: [maintenance.code],
        key=lambda code: code,
    ),
    Kind("calendar", "calendar.ics", "calendar", calendar.whole, CALENDAR, until=lambda _, now: calendar.until(now)),
    Kind(
        "component",
        "components/<slug:code>.ics",
        "component-calendar",
        calendar.of_component,
        CALENDAR,
        until=lambda code, now: calendar.until(now, code),
        args=lambda code: [code],
        key=lambda code: code,
    ),
    Kind("lists", "history.atom", "history-atom", feeds.atom, ATOM),
    Kind("lists", "history.rss", "history-rss", feeds.rss, RSS),
    Kind("lists", "feed.json", "feed-json", feeds.json_feed, "application/feed+json; charset=utf-8"),
    Kind("now", "badge.svg", "badge", embedded.badge, SVG),
    Kind("now", "widget", "widget", embedded.widget, framed=True),
    Kind("lists", "openapi.json", "openapi", contract.openapi, JSON),
    _api("status", snapshot.status_json),
    _api("summary", snapshot.summary_json),
    _api("components", snapshot.components_json),
    _api("incidents", snapshot.incidents_json, "lists"),
    _api("incidents/unresolved", snapshot.unresolved_json),
    _api("scheduled-maintenances", snapshot.maintenances_json, "lists"),
    _api("scheduled-maintenances/upcoming", snapshot.upcoming_json, "lists"),
    _api("scheduled-maintenances/active", snapshot.active_json, "lists"),
]
