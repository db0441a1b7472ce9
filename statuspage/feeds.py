"""The history as feeds: Atom, RSS and JSON Feed, the newest incidents and maintenance first.

Instants in the text have their date.
"""

import json
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.urls import reverse
from django.utils.feedgenerator import Atom1Feed, Rss201rev2Feed, SyndicationFeed
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from irportal import prose
from statuspage import languages, rhythm
from statuspage.models import Maintenance, MaintenanceUpdate, Notice, NoticeUpdate
from statuspage.snapshot import Facts

Told = Notice | Maintenance
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def atom(facts: Facts, now: datetime) -> bytes:
    return _feed(_Atom, "history-atom", facts, now)


def rss(facts: Facts, now: datetime) -> bytes:
    return _feed(_Rss, "history-rss", facts, now)


def json_feed(facts: Facts, now: datetime) -> bytes:
    """JSON Feed 1.1."""
    items = [
        {
            "id": _address(notice),
            "url": _address(notice),
            "title": notice.here.words,
            "content_html": _words(notice),
            "date_published": notice.created_at.isoformat(),
            "date_modified": notice.told_at.isoformat(),
            "tags": [notice.impact, notice.stage],
        }
        for notice in facts.newest
    ]
    feed = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": _title(),
        "home_page_url": settings.PUBLIC_BASE_URL + reverse("statuspage:page"),
        "feed_url": settings.PUBLIC_BASE_URL + reverse("statuspage:feed-json"),
        "language": languages.current(),
        "authors": [{"name": settings.ORGANISATION}],
        "items": items,
    }
    return json.dumps(feed, ensure_ascii=False, separators=(",", ":")).encode()


class _Atom(Atom1Feed):
    """Django's feed, with the whole text as content and the id and time that do not depend on the clock."""

    def latest_post_date(self) -> datetime:
        return self.feed["changed_at"]

    def add_item_elements(self, handler: Any, item: dict[str, Any]) -> None:
        super().add_item_elements(handler, item)
        handler.addQuickElement("content", item["words"], {"type": "html"})


class _Rss(Rss201rev2Feed):
    def latest_post_date(self) -> datetime:
        return self.feed["changed_at"]

    def add_item_elements(self, handler: Any, item: dict[str, Any]) -> None:
        super().add_item_elements(handler, item | {"description": item["words"]})


def _feed(kind: type[SyndicationFeed], name: str, facts: Facts, now: datetime) -> bytes:
    host = urlsplit(settings.PUBLIC_BASE_URL).hostname
    feed = kind(
        title=_title(),
        link=settings.PUBLIC_BASE_URL + reverse("statuspage:history"),
        description=_("Incidents and maintenance of %(organisation)s as the status page tells of them")
        % {"organisation": settings.ORGANISATION},
        language=languages.current(),
        author_name=settings.ORGANISATION,
        feed_url=settings.PUBLIC_BASE_URL + reverse(f"statuspage:{name}"),
        feed_guid=f"tag:{host},2005:{languages.at('/history', languages.current())}",
        changed_at=facts.changed_at or now,
    )
    for notice in facts.newest:
        feed.add_item(
            title=NOT_XML.sub("", notice.here.words),
            link=_address(notice),
            description=None,  # type: ignore[arg-type]
            unique_id=f"tag:{host},2005:{_name(notice)}/{notice.pk}" if kind is _Atom else _address(notice),
            unique_id_is_permalink=True,
            pubdate=notice.created_at,
            updateddate=notice.told_at,
            words=NOT_XML.sub("", _words(notice)),
        )
    return feed.writeString("utf-8").encode()


def _name(told: Told) -> str:
    return "Maintenance" if isinstance(told, Maintenance) else "Incident"


def _title() -> str:
    return _("%(organisation)s status: incident history") % {"organisation": settings.ORGANISATION}


def _address(notice: Told) -> str:
    return settings.PUBLIC_BASE_URL + notice.get_absolute_url()


def _words(notice: Told) -> SafeString:
    """Every update, newest first, under the post-mortem, or the time of maintenance.

    A stage that is told of again is called an update.
    """
    rows, told = [], ""
    updates: Iterable[NoticeUpdate | MaintenanceUpdate] = notice.updates.all()
    for update in reversed(list(updates)):
        stage = _("Update") if update.status == told else update.get_status_display()
        told = update.status
        rows.append((rhythm.moment(update.display_at), stage, prose.render(update.here.words)))
    rows += _learned(notice) if isinstance(notice, Notice) else []
    words = format_html_join("", "<p><small>{}</small><br><strong>{}</strong></p>{}", reversed(rows)) or format_html("")
    return _window(notice) + words if isinstance(notice, Maintenance) else words


def _learned(notice: Notice) -> list[tuple[str, str, SafeString]]:
    """The post-mortem that stands, and those that were withdrawn."""
    rows = [
        (rhythm.moment(one.created_at), _("Post-mortem withdrawn"), prose.render(one.reason))
        for one in reversed(notice.postmortems.all())
        if one.is_withdrawn
    ]
    if stands := notice.postmortem:
        name = _("Post-mortem, corrected") if stands.reason else _("Post-mortem")
        rows.append((rhythm.moment(stands.created_at), name, prose.render(stands.body)))
    return rows


def _window(maintenance: Maintenance) -> SafeString:
    """When it is and what it touches; of what was called off, when it was planned for."""
    names = rhythm.comma(hit.component.name for hit in maintenance.hits.all())
    span = rhythm.span(maintenance.begins_at, maintenance.over_at)
    facts = {"when": rhythm.on_day(rhythm.day(maintenance.begins_at), span), "components": names}
    if maintenance.status == Maintenance.Status.CANCELLED:
        words = _("Maintenance: was planned for %(when)s. %(components)s.")
    else:
        words = _("Maintenance: %(when)s. %(components)s.")
    return format_html("<p>{}</p>", words % facts)
