"""Every public document as bytes, from the tables and an instant. No request, no cookie, no host enters here.

Query counts do not grow with the number of rows. Times are UTC; addresses start at PUBLIC_BASE_URL.
"""

import json
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, cached_property, lru_cache
from itertools import groupby
from typing import Any, NamedTuple

from django.conf import settings
from django.db.models import Exists, Min, OuterRef, Prefetch, Q
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from irportal.ledger.models import Entry
from irportal.outbox.audiences import LEAVE
from statuspage import languages, letters, planned, rhythm, rollup, spans, uptime
from statuspage.models import (
    Component,
    ComponentGroup,
    Customer,
    Maintenance,
    MaintenanceQuerySet,
    MaintenanceUpdate,
    Notice,
    NoticeComponent,
    NoticePostmortem,
    NoticeQuerySet,
    NoticeUpdate,
    Vendor,
    code_of,
)

DEEDS = [
    "notice.published",
    "notice.imported",
    "maintenance.imported",
    "notice.next_update_set",
    "notice.vendor_set",
    "notice.postmortem_published",
    "notice.postmortem_withdrawn",
    "component.changed",
    "vendor.changed",
    "vendor.read",
    *(f"maintenance.{deed}" for deed in letters.DEEDS if deed != "reminded"),
]
MOST_RECENT = 50  # of what the API shows
NEWEST = 25  # of what feeds tell of
DAYS = 90  # bars
DRAWN = 10_000  # components, each once a language
EARLIER_MONTHS = 3  # of which percentages are shown, besides this one
LONGEST_POST = 20_000  # bytes of what a webhook is told, as Standard Webhooks advises
LONGEST_LEAVE = 60  # of which the path where its reader leaves
CUT = " […]"
POSTMORTEM = (
    "postmortem_body",
    "postmortem_body_last_updated_at",
    "postmortem_ignored",
    "postmortem_notified_subscribers",
    "postmortem_notified_twitter",
    "postmortem_published_at",
)


type Groups = list[tuple[ComponentGroup | None, list[Component]]]


def changed_at() -> datetime | None:
    """When the record last says that something public changed."""
    return Entry.objects.filter(deed__in=DEEDS).order_by("-n").values_list("recorded_at", flat=True).first()


class Facts:
    """What several documents of one edition need, asked for once: as the public sees it (None), or one customer."""

    def __init__(self, customer: Customer | None = None) -> None:
        self.customer = customer

    @cached_property
    def components(self) -> list[Component]:
        """With their states. Only what is open is looked at, however much there was in the past."""
        states: dict[int, str] = {}
        hits = NoticeComponent.objects.seen_by(self.customer).filter(notice__in=self.notices.open())
        for pk, state in hits.values_list("component", "state"):
            states[pk] = max(state, states.get(pk, Component.State.OPERATIONAL), key=Component.rank)
        for pk in (hit.component_id for work in self.works if work.is_active for hit in work.hits.all()):
            states[pk] = max(Component.State.UNDER_MAINTENANCE, states.get(pk, "operational"), key=Component.rank)
        found = list(Component.objects.seen_by(self.customer).select_related("group"))
        for component in found:
            component.state = states.get(component.pk, Component.State.OPERATIONAL)
        return found

    @cached_property
    def works(self) -> list[Maintenance]:
        """Maintenance that is planned or goes on, the next one first."""
        return list(self.maintenance.open().order_by("starts_at", "id"))

    @property
    def maintenance(self) -> MaintenanceQuerySet:
        """With updates and components."""
        return Maintenance.objects.complete(self.customer)

    @cached_property
    def open(self) -> list[Notice]:
        return list(self.notices.open())

    @property
    def notices(self) -> NoticeQuerySet:
        """With their updates and components."""
        return Notice.objects.complete(self.customer)

    @cached_property
    def newest(self) -> list[Notice | Maintenance]:
        """Incidents and maintenance as feeds tell of them, the newest first."""
        incidents = self.notices.order_by("-created_at", "-id")[:NEWEST]
        works = self.maintenance.order_by("-created_at", "-id")[:NEWEST]
        found: list[Notice | Maintenance] = [*incidents, *works]
        return sorted(found, key=lambda told: told.created_at, reverse=True)[:NEWEST]

    @cached_property
    def changed_at(self) -> datetime | None:
        return changed_at()

    @cached_property
    def codes(self) -> set[str]:
        """Of all components there are to see."""
        return set(Component.objects.seen_by(self.customer).values_list("code", flat=True))

    def affected(self, update: NoticeUpdate | MaintenanceUpdate) -> list[dict[str, str]]:
        """The frozen lines of the components that were theirs to see, and still are."""
        own = (None, self.customer and self.customer.pk)
        rows = [row for row in update.affected if row.get("customer") in own and row["code"] in self.codes]
        return [{name: row[name] for name in ("code", "name", "old_status", "new_status")} for row in rows]

    @cached_property
    def rows(self) -> dict[int, dict[str, Any]]:
        """Each component as the API shows it, by primary key."""
        return {component.pk: _component_row(component) for component in self.components}

    @cached_property
    def status(self) -> dict[str, str]:
        impacts = {notice.impact for notice in self.open}
        found = rollup.indicator([component.state for component in self.components], impacts)
        return {"indicator": found, "description": rollup.DESCRIPTIONS[found]}


# Pages


def page(facts: Facts, now: datetime) -> bytes:
    """The status page: verdict, open incidents, components, and the past of this month and the one before."""
    components = facts.components
    notices = facts.open
    states = [component.state for component in components]
    verdict = rollup.indicator(states, {notice.impact for notice in notices})
    groups = _with_days(facts, now)
    for row in (row for section in groups for row in section["rows"]):
        shown = row["component"]
        row["item"] = _item(languages.current(), shown.name, shown.description, shown.state, row["days"])
    works = [planned.sheet(maintenance, now) for maintenance in facts.works]
    last = [
        NoticeUpdate.objects.seen_by(facts.customer).order_by("-id").first(),
        MaintenanceUpdate.objects.filter(maintenance__in=facts.maintenance).order_by("-id").first(),
    ]
    this_month = now.astimezone(UTC).date().replace(day=1)
    context = {
        "verdict": verdict,
        "headline": rollup.HEADLINES[verdict],
        "sentence": rollup.sentence(states),
        "changed_at": max((update.display_at for update in last if update), default=None),
        "events": [_event(notice, now) for notice in notices],
        "works": [work for work in works if work["maintenance"].is_active],
        "upcoming": [work for work in works if not work["maintenance"].is_active],
        "groups": groups,
        "legend": uptime.LEGEND,
        "method": uptime.explained(spans.method()),
        "vendors": _vendors(facts, now),
        "months": _months(facts, _previous(this_month), now, open_too=False),
    }
    return _html("page", context, now, path=reverse("statuspage:page"))


def incident_page(notice: Notice, now: datetime) -> bytes:
    """One incident with all its updates, at its permanent address. Best given a notice of `complete()`."""
    context = {
        "event": _event(notice, now),
        "notice": notice,
        "verdict": notice.impact if notice.is_open else "none",
        "changed_at": max(
            [update.display_at for update in notice.updates.all()]
            + [one.created_at for one in notice.postmortems.all()]
        ),
        "postmortems": list(notice.postmortems.all()),
    }
    return _html("incident", context, now, path=notice.get_absolute_url())


def maintenance_page(maintenance: Maintenance, now: datetime) -> bytes:
    """Planned maintenance with all its updates, at its permanent address. Best given a row of `complete()`."""
    context = {
        "work": planned.sheet(maintenance, now),
        "maintenance": maintenance,
        "verdict": rollup.MAINTENANCE if maintenance.is_active else "",
        "changed_at": maintenance.updates.all()[0].display_at,
    }
    return _html("maintenance", context, now, path=maintenance.get_absolute_url())


def history(facts: Facts, now: datetime, month: date | None = None) -> bytes | None:
    """One month of incidents, day by day; None when the month lies ahead or before the record begins."""
    newest = now.astimezone(UTC).date().replace(day=1)
    month = month or newest
    oldest = (since(facts.customer) or now).astimezone(UTC).date().replace(day=1)
    if not oldest <= month <= newest:
        return None
    context = {
        "month": rhythm.month(month),
        "months": _months(facts, month, now, last=_next(month) - timedelta(days=1)),
        "older": _previous(month) if month > oldest else None,
        "newer": _next(month) if month < newest else None,
    }
    path = reverse("statuspage:history", args=[] if month == newest else [month.year, f"{month:%m}"])
    return _html("history", context, now, path=path)


def not_found(facts: Facts, now: datetime) -> bytes:
    return render_to_string("404.html").encode()


def _html(name: str, context: dict[str, Any], now: datetime, *, path: str) -> bytes:
    ways = languages.ways(path)
    context = {"now": now, "path": path, "base": settings.PUBLIC_BASE_URL, "ways": ways} | context
    return render_to_string(f"statuspage/{name}.html", context).encode()


def _event(notice: Notice, now: datetime) -> dict[str, Any]:
    """What the sheet of one incident shows."""
    updates, due = list(notice.updates.all()), notice.next_update_by
    hits = sorted(notice.hits.all(), key=lambda hit: -Component.rank(hit.state))
    reached = {update.status for update in updates}
    return {
        "notice": notice,
        "updates": updates,
        "hits": hits,
        "stages": [(label, stage in reached, stage == notice.status) for stage, label in Notice.Status.choices],
        "when": _when(notice, now),
        "late": due is not None and due < now,
        "due_day": rhythm.day(due.astimezone(UTC), now) if due and due.astimezone(UTC).date() != now.date() else "",
        "line": due and rhythm.promise_line([(u.display_at, u.kind) for u in reversed(updates)], due),
        "elsewhere": due and rhythm.elsewhere(due),
    }


def _when(notice: Notice, now: datetime) -> str:
    if notice.resolved_at is None:
        return _("Since %(instant)s") % {"instant": rhythm.moment(notice.started_at, now)}
    began = rhythm.day(notice.started_at.astimezone(UTC), now)
    return rhythm.on_day(began, rhythm.span(notice.started_at, notice.resolved_at))


def _groups(components: list[Component]) -> Groups:
    return [(group, list(members)) for group, members in groupby(components, key=lambda component: component.group)]


def _with_days(facts: Facts, now: datetime) -> list[dict[str, Any]]:
    """Groups and their components with ninety days each, and what percentage of them each was up."""
    today, groups = now.astimezone(UTC).date(), _groups(facts.components)
    first = today - timedelta(days=DAYS - 1)
    begin, method = uptime.midnight(first), spans.method()
    records = spans.records(facts.components, begin, now, facts.customer)
    found, drawn, named = [], cache(uptime.bars), cache(rhythm.day)  # most days are like those of others
    for group, members in groups:
        rows, shares = [], []
        for component in members:
            record = records[component.pk]
            count = record.count(begin, now, method)
            shares.append(count.share)
            since = named(record.since.astimezone(UTC).date(), now) if count.no_data else ""
            bars, adjusted = drawn(tuple(record.days(first, today)), today), record.adjusted_at is not None
            days = _days(languages.current(), component.name, bars, since, uptime.percent(count.share), adjusted)
            rows.append({"component": component, "days": days})
        whole = uptime.percent(uptime.mean(shares)) if len(rows) > 1 else ""
        found.append({"group": group, "rows": rows, "uptime": whole})
    return found


# Hardly any component changes between two pages, and drawing them all is most of the work of a page.
@lru_cache(maxsize=DRAWN)
def _days(language: str, name: str, bars: uptime.Bars, since: str, percent: str, adjusted: bool) -> str:
    """The drawing of a component's days and the line below it, in the active language."""
    row = {"name": name, "bars": bars, "since": since, "uptime": percent, "adjusted": adjusted}
    return render_to_string("statuspage/_days.html", row)


@lru_cache(maxsize=DRAWN)
def _item(language: str, name: str, description: str, state: str, days: str) -> str:
    """A component in the list of them, in the active language."""
    row = {"name": name, "description": description, "state": state, "days": days}
    return render_to_string("statuspage/_component.html", row)


def _vendors(facts: Facts, now: datetime) -> list[dict[str, Any]]:
    """Every vendor with what their page says, trouble first, then what is unknown; none only hidden components use."""
    seen = Component.objects.seen_by(facts.customer)
    used = Component.objects.filter(vendors=OuterRef("pk"))
    vendors = Vendor.objects.filter(~Exists(used) | Exists(used.filter(pk__in=seen)))
    rows = [
        {
            "vendor": vendor,
            "state": vendor.state_at(now),
            "used_by": rhythm.join([component.name for component in vendor.components.all()]),
        }
        for vendor in vendors.prefetch_related(Prefetch("components", seen))
    ]
    return sorted(rows, key=lambda row: -Component.rank(row["state"]) if row["state"] else -0.5)


def uptime_page(facts: Facts, now: datetime) -> bytes:
    """Every component's days, and its percentages over 30 and 90 days and by calendar month."""
    month = now.astimezone(UTC).date().replace(day=1)
    months = [month]
    while len(months) <= EARLIER_MONTHS:
        months.append(_previous(months[-1]))
    windows = [(_("%(number)s days") % {"number": days}, *_last_days(days, now)) for days in (30, DAYS)]
    windows += [(rhythm.month(one), uptime.midnight(one), min(uptime.midnight(_next(one)), now)) for one in months]
    records = spans.records(facts.components, uptime.midnight(months[-1]), now, facts.customer)
    groups = _with_days(facts, now)
    for section in groups:
        whole = [records[row["component"].pk] for row in section["rows"]]
        section["windows"] = _windows_of(whole, windows) if len(whole) > 1 else ()
        for row, record in zip(section["rows"], whole, strict=True):
            row["windows"] = _own_windows(languages.current(), _windows_of([record], windows))
    context = {"groups": groups, "legend": uptime.LEGEND, "method": uptime.explained(spans.method())}
    return _html("uptime", context, now, path=reverse("statuspage:uptime"))


def _last_days(days: int, now: datetime) -> tuple[datetime, datetime]:
    """From the beginning of the first of these days to now; today is one of them."""
    return uptime.midnight(now.astimezone(UTC).date() - timedelta(days=days - 1)), now


class Window(NamedTuple):
    """What of a time a component was up, or several on average and `together`; how long nothing was known."""

    name: str
    uptime: str
    together: str
    unknown: str


def _windows_of(records: list[uptime.Record], windows: list[tuple[str, datetime, datetime]]) -> tuple[Window, ...]:
    method, rows = spans.method(), []
    for name, begin, end in windows:
        counts = [record.count(begin, end, method) for record in records]
        together = uptime.together(records).count(begin, end, method) if len(records) > 1 else counts[0]
        unknown = max(count.no_data for count in counts)
        mean = uptime.percent(uptime.mean([count.share for count in counts]))
        gap = rhythm.duration(unknown * uptime.TICK) if unknown else ""
        rows.append(Window(name, mean, uptime.percent(together.share), gap))
    return tuple(rows)


@lru_cache(maxsize=DRAWN)
def _own_windows(language: str, windows: tuple[Window, ...]) -> str:
    """The percentages of one component, in the active language."""
    return render_to_string("statuspage/_windows.html", {"windows": windows})


def since(customer: Customer | None = None) -> datetime | None:
    """Where the record begins: before it, a day without incidents would be a claim nobody can make."""
    begins = [
        Component.objects.seen_by(customer).aggregate(at=Min("created_at"))["at"],
        Notice.objects.seen_by(customer).order_by("started_at").values_list("started_at", flat=True).first(),
    ]
    return min((at for at in begins if at), default=None)


def _months(
    facts: Facts, first: date, now: datetime, *, last: date | None = None, open_too: bool = True
) -> list[rhythm.Month]:
    """Days from `first` to `last` (default and at most today) with their incidents."""
    today, begins = now.astimezone(UTC).date(), since(facts.customer)
    if begins is None:
        return []
    first, last = max(first, begins.astimezone(UTC).date()), min(last or today, today)
    begin, end = (datetime.combine(day, time(), UTC) for day in (first, last + timedelta(days=1)))
    notices = Notice.objects.seen_by(facts.customer).filter(
        Q(resolved_at=None) | Q(resolved_at__gte=begin), started_at__lt=end
    )
    by_day: dict[date, list[Any]] = {}
    busy: set[date] = set()
    for notice in notices.told():
        began = notice.started_at.astimezone(UTC).date()
        busy |= rhythm.days_between(max(began, first), min((notice.resolved_at or now).astimezone(UTC).date(), last))
        if began >= first and (open_too or not notice.is_open):
            by_day.setdefault(began, []).append(_past(notice, now))
    for day, work in planned.past(begin, end, now, open_too=open_too, customer=facts.customer):
        by_day.setdefault(day, []).append(work)
    return rhythm.months(first, last, by_day, busy)


def _past(notice: Notice, now: datetime) -> dict[str, Any]:
    """One incident in the history: what it was, when, how it ended."""
    if notice.resolved_at:
        when = rhythm.span(notice.started_at, notice.resolved_at, now)
    else:
        when = _("since %(clock)s UTC") % {"clock": f"{notice.started_at.astimezone(UTC):%H:%M}"}
    told = {"notice": notice, "when": when, "last": notice.updates.all()[0]}
    return told | {"began_at": notice.started_at, "over_at": notice.resolved_at}


def _previous(month: date) -> date:
    return (month - timedelta(days=1)).replace(day=1)


def _next(month: date) -> date:
    return (month + timedelta(days=31)).replace(day=1)


# API documents, in the shape of Statuspage's API v2: full key sets and nothing beside them


def status_json(facts: Facts, now: datetime) -> bytes:
    return _document(facts, now, status=facts.status)


def summary_json(facts: Facts, now: datetime) -> bytes:
    return _document(
        facts,
        now,
        status=facts.status,
        components=_component_rows(facts),
        incidents=_incident_rows(facts.open, facts),
        scheduled_maintenances=_maintenance_rows(facts.maintenance.open(), facts),
    )


def components_json(facts: Facts, now: datetime) -> bytes:
    return _document(facts, now, components=_component_rows(facts))


def incidents_json(facts: Facts, now: datetime) -> bytes:
    """The 50 most recent in every state."""
    return _document(facts, now, incidents=_incident_rows(facts.notices[:MOST_RECENT], facts))


def unresolved_json(facts: Facts, now: datetime) -> bytes:
    return _document(facts, now, incidents=_incident_rows(facts.open, facts))


def newest_json(notice: Notice, now: datetime) -> str:
    """One incident with its newest update alone: what a webhook is told, in the shape of the other documents.

    `meta` has a gap for the link by which a reader leaves. LONGEST_POST bytes at most with it: the list of components
    gives way first, then the end of the text; `shortlink` has all.
    """
    facts = Facts()
    return _news(facts, now, _incident_rows(facts.notices.filter(pk=notice.pk), facts)[0])


def _news(facts: Facts, now: datetime, row: dict[str, Any]) -> str:
    newest = row["incident_updates"][0]
    row["incident_updates"] = [newest]
    meta = {
        "unsubscribe": LEAVE,
        "documentation": settings.PUBLIC_BASE_URL + reverse("statuspage:openapi"),
        "generated_at": _stamp(now),
    }
    longest = LONGEST_POST - len(settings.PUBLIC_BASE_URL) - LONGEST_LEAVE

    def told() -> bytes:
        return _document(facts, now, meta=meta, status=facts.status, incident=row)

    whole = told()
    if len(whole) > longest:
        row["components"], newest["affected_components"] = [], None
        whole = told()
    if len(whole) > longest:
        newest["body"] = _cut(newest["body"], len(whole) - longest)
        whole = told()
    return whole.decode()


def maintenance_news(maintenance: Maintenance) -> str:
    """Maintenance with its newest update alone, as `newest_json` has an incident, under the same key."""
    facts = Facts()
    row = _maintenance_rows(facts.maintenance.filter(pk=maintenance.pk), facts)[0]
    return _news(facts, timezone.now(), row)


def _cut(text: str, over: int) -> str:
    """The beginning of `text` and a mark that it goes on; as JSON it takes `over` bytes less at least."""
    most = len(_json(text)) - over
    while text and (too_much := len(_json(text + CUT)) - most) > 0:
        text = text[: -max(too_much // 4, 1)]  # hardly any character takes more than 4 bytes
    return text.rstrip() + CUT


def incident_json(notice: Notice, now: datetime, customer: Customer | None = None) -> bytes:
    """One incident at its own address. Its components are as this incident has them: the text of a past one stands."""
    rows = {hit.component_id: _component_row(_as_hit(hit, notice)) for hit in notice.hits.all()}
    row = _incident_row(notice, rows, Facts(customer))
    _as_told(row)
    return _json({"page": _page_row(notice.told_at), "incident": row | _postmortem_fields(notice)})


def maintenance_json(maintenance: Maintenance, now: datetime, customer: Customer | None = None) -> bytes:
    """One maintenance at its own address. Its components are as this maintenance has them, as with an incident."""
    state = Component.State.UNDER_MAINTENANCE if maintenance.is_active else Component.State.OPERATIONAL
    rows = {}
    for hit in maintenance.hits.all():
        hit.component.state = state
        rows[hit.component_id] = _component_row(hit.component)
    row = _maintenance_row(maintenance, rows, Facts(customer))
    _as_told(row)
    return _json({"page": _page_row(maintenance.told_at), "scheduled_maintenance": row})


def _as_told(row: dict[str, Any]) -> None:
    """What else becomes of its components does not change what was told of it."""
    for component in row["components"]:
        component["updated_at"] = row["updated_at"]


def _postmortem_fields(notice: Notice) -> dict[str, Any]:
    found = dict.fromkeys(POSTMORTEM) | {"postmortem_ignored": False}
    if stands := notice.postmortem:
        found |= {
            "postmortem_body": stands.body,
            "postmortem_body_last_updated_at": _stamp(stands.created_at),
            "postmortem_published_at": _stamp(notice.postmortem_told_at),
            "postmortem_notified_subscribers": False,
            "postmortem_notified_twitter": False,
        }
    return found


def _as_hit(hit: NoticeComponent, notice: Notice) -> Component:
    hit.component.state = hit.state if notice.is_open else Component.State.OPERATIONAL
    return hit.component


def maintenances_json(facts: Facts, now: datetime) -> bytes:
    """The 50 most recent in every state."""
    return _maintenances(facts, now, facts.maintenance[:MOST_RECENT])


def upcoming_json(facts: Facts, now: datetime) -> bytes:
    return _maintenances(facts, now, facts.maintenance.upcoming())


def active_json(facts: Facts, now: datetime) -> bytes:
    return _maintenances(facts, now, facts.maintenance.active())


def _maintenances(facts: Facts, now: datetime, found: MaintenanceQuerySet) -> bytes:
    return _document(facts, now, scheduled_maintenances=_maintenance_rows(found, facts))


def page_id() -> str:
    """12 characters of base36, the same as long as the page keeps its address."""
    return _code_of(settings.PUBLIC_BASE_URL)


_code_of = cache(code_of)


def _document(facts: Facts, now: datetime, **parts: Any) -> bytes:
    return _json({"page": _page_row(facts.changed_at or now), **parts})


def _page_row(updated_at: datetime) -> dict[str, Any]:
    return {
        "id": page_id(),
        "name": settings.ORGANISATION,
        "url": settings.PUBLIC_BASE_URL,
        "time_zone": "Etc/UTC",
        "updated_at": _stamp(updated_at),
    }


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _component_rows(facts: Facts) -> list[dict[str, Any]]:
    """Each group as a row before its children, then the children; components without a group last."""
    rows = []
    for group, members in _groups(facts.components):
        if group:
            rows.append(_group_row(group, members))
        rows += [facts.rows[component.pk] for component in members]
    return rows


def _component_row(component: Component) -> dict[str, Any]:
    return {
        "id": component.code,
        "name": component.name,
        "status": component.state,
        "created_at": _stamp(component.created_at),
        "updated_at": _stamp(component.state_changed_at),
        "position": component.position,
        "description": component.description or None,
        "showcase": False,
        "start_date": component.created_at.astimezone(UTC).date().isoformat(),
        "group_id": component.group.code if component.group else None,
        "page_id": page_id(),
        "group": False,
        "only_show_if_degraded": False,
    }


def _group_row(group: ComponentGroup, members: list[Component]) -> dict[str, Any]:
    worst = max((component.state for component in members), key=Component.rank)
    return {
        "id": group.code,
        "name": group.name,
        "status": worst,
        "created_at": _stamp(group.created_at),
        "updated_at": _stamp(max(component.state_changed_at for component in members)),
        "position": group.position,
        "description": None,
        "showcase": False,
        "start_date": None,
        "group_id": None,
        "page_id": page_id(),
        "group": True,
        "only_show_if_degraded": False,
        "components": [component.code for component in members],
    }


def _incident_rows(notices: Iterable[Notice], facts: Facts) -> list[dict[str, Any]]:
    return [_incident_row(notice, facts.rows, facts) for notice in notices]


def _incident_row(notice: Notice | Maintenance, components: dict[int, dict[str, Any]], facts: Facts) -> dict[str, Any]:
    return {
        "id": notice.code,
        "name": notice.title,
        "status": notice.stage,
        "created_at": _stamp(notice.created_at),
        "updated_at": _stamp(notice.told_at),
        "monitoring_at": _stamp(notice.monitoring_at),
        "resolved_at": _stamp(notice.resolved_at),
        "impact": notice.impact,
        "shortlink": settings.PUBLIC_BASE_URL + reverse("statuspage:by-ref", args=[notice.ref]),
        "started_at": _stamp(notice.started_at),
        "page_id": page_id(),
        "incident_updates": _told_rows(notice, facts),
        "components": [components[hit.component_id] for hit in notice.hits.all()],
    }


def _told_rows(notice: Notice | Maintenance, facts: Facts) -> list[dict[str, Any]]:
    """Everything said of it, newest first; the post-mortem stands where it was first published."""
    updates: list[NoticeUpdate | MaintenanceUpdate] = list(notice.updates.all())
    rows = [(update.created_at, _update_row(update, notice, facts)) for update in updates]
    if isinstance(notice, Notice) and (stands := notice.postmortem) and (at := notice.postmortem_told_at):
        rows.insert(0, (at, _postmortem_row(stands, notice, at)))
        rows.sort(key=lambda row: row[0], reverse=True)
    return [row for _, row in rows]


def _maintenance_rows(found: Iterable[Maintenance], facts: Facts) -> list[dict[str, Any]]:
    return [_maintenance_row(maintenance, facts.rows, facts) for maintenance in found]


def _maintenance_row(maintenance: Maintenance, components: dict[int, dict[str, Any]], facts: Facts) -> dict[str, Any]:
    """An incident's row, and when it is planned. Clients know none that is cancelled: to them it is completed."""
    row = _incident_row(maintenance, components, facts) | {
        "status": planned.api_status(maintenance.status),
        "shortlink": settings.PUBLIC_BASE_URL + maintenance.get_absolute_url(),
        "scheduled_for": _stamp(maintenance.starts_at),
        "scheduled_until": _stamp(maintenance.ends_at),
    }
    for shown, update in zip(row["incident_updates"], maintenance.updates.all(), strict=True):
        shown["status"] = planned.api_status(update.status)
    return row


def _update_row(update: NoticeUpdate | MaintenanceUpdate, notice: Notice | Maintenance, facts: Facts) -> dict[str, Any]:
    return {
        "id": update.code,
        "status": update.status,
        "body": update.body,
        "incident_id": notice.code,
        "created_at": _stamp(update.created_at),
        "updated_at": _stamp(update.created_at),
        "display_at": _stamp(update.display_at),
        "affected_components": facts.affected(update) or None,
        "deliver_notifications": update.notified,
        "custom_tweet": None,
        "tweet_id": None,
    }


def _postmortem_row(stands: NoticePostmortem, notice: Notice, at: datetime) -> dict[str, Any]:
    return {
        "id": stands.code,
        "status": Notice.POSTMORTEM,
        "body": stands.body,
        "incident_id": notice.code,
        "created_at": _stamp(at),
        "updated_at": _stamp(stands.created_at),
        "display_at": _stamp(at),
        "affected_components": None,
        "deliver_notifications": False,
        "custom_tweet": None,
        "tweet_id": None,
    }


def _stamp(at: datetime | None) -> str | None:
    """ISO 8601 with milliseconds and Z."""
    return None if at is None else at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
