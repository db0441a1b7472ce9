"""What was published of components as spans of time: written with each publication, read as their record."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from fractions import Fraction
from functools import cache
from typing import NamedTuple

from django.conf import settings
from django.db.models import F, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce, Least

from statuspage import planned
from statuspage.models import Component, Customer, Maintenance, Notice, StateSpan, theirs
from statuspage.uptime import Method, Record, Stretch

OPERATIONAL = Component.State.OPERATIONAL


class Before(NamedTuple):
    """A notice before something is published of it."""

    started_at: datetime | None
    was_open: bool
    states: dict[int, str]

    @classmethod
    def of(cls, notice: Notice) -> "Before":
        states = dict(notice.hits.values_list("component", "state")) if notice.pk else {}
        return cls(notice.started_at, notice.is_open, states)


# Writing


def note(
    notice: Notice, affected: list[tuple[Component, str]], before: Before, *, said_at: datetime, now: datetime
) -> None:
    """Write what this publication says of components. `notice` is as it stands after it, `before` as it stood.

    The first one tells of the time since the start, each later one from when it was said. What changes a day that was
    over and had been told otherwise is marked as adjusted.
    """
    said = {component.pk: state for component, state in affected if state != OPERATIONAL}
    if before.started_at is None:
        over = notice.resolved_at and _is_past(notice.started_at, now)
        _begin(notice, said, notice.started_at, adjusted_at=now if over else None)
        return
    if notice.started_at != before.started_at:
        _move_start(notice, before.started_at, now)
    if before.was_open and notice.is_open:
        _go_on(notice, said, said_at)
    elif before.was_open:
        _end(notice, notice.resolved_at or now, now)
    elif notice.is_open:
        _begin(notice, said, said_at)
    elif said:
        _tell_anew(notice, said, before.states, now)


def _is_past(at: datetime, now: datetime) -> bool:
    """Whether the day of an instant is over."""
    return at.astimezone(UTC).date() < now.astimezone(UTC).date()


def _begin(notice: Notice, said: dict[int, str], at: datetime, *, adjusted_at: datetime | None = None) -> None:
    owners = dict(Component.objects.filter(pk__in=said).values_list("pk", "customer"))
    StateSpan.objects.bulk_create(
        StateSpan(
            customer_id=owners[component],
            notice=notice,
            component_id=component,
            state=state,
            began_at=at,
            ended_at=notice.resolved_at,
            adjusted_at=adjusted_at,
        )
        for component, state in said.items()
    )


def _move_start(notice: Notice, was: datetime, now: datetime) -> None:
    """What held since the start holds since the other start."""
    adjusted = {"adjusted_at": now} if _is_past(min(was, notice.started_at), now) else {}
    first = notice.spans.filter(began_at=was)
    first.filter(ended_at__lt=notice.started_at).update(ended_at=notice.started_at)
    first.update(began_at=notice.started_at, **adjusted)


def _go_on(notice: Notice, said: dict[int, str], said_at: datetime) -> None:
    holds = {span.component_id: span for span in notice.spans.filter(ended_at=None)}
    over = [span for span in holds.values() if said.get(span.component_id) != span.state]
    for span in over:
        span.ended_at = max(said_at, span.began_at)
    StateSpan.objects.bulk_update(over, ["ended_at"])
    changed = {pk: state for pk, state in said.items() if pk not in holds or holds[pk].state != state}
    _begin(notice, changed, max(said_at, notice.started_at))


def _end(notice: Notice, at: datetime, now: datetime) -> None:
    """Everything ends with the incident; cutting off what was told of a day that is over is an adjustment."""
    later = notice.spans.filter(Q(ended_at=None) | Q(ended_at__gt=at))
    if _is_past(at, now) and notice.updates.filter(display_at__gt=at).exists():
        later.update(adjusted_at=now)
    later.filter(began_at__gt=at).update(ended_at=F("began_at"))
    later.filter(began_at__lte=at).update(ended_at=at)


def _tell_anew(notice: Notice, said: dict[int, str], was: dict[int, str], now: datetime) -> None:
    """A correction after the end: what it says otherwise held to the end, what it leaves out never did."""
    adjusted_at = now if _is_past(notice.started_at, now) else None
    gone = notice.spans.filter(component__in=was.keys() - said.keys())
    gone.update(ended_at=F("began_at"), adjusted_at=adjusted_at)
    for component, state in said.items():
        if was.get(component) != state:
            last = notice.spans.filter(component=component).order_by("-began_at", "-id").first()
            if last:
                last.state, last.adjusted_at = state, adjusted_at
                last.save(update_fields=["state", "adjusted_at"])
            else:
                _begin(notice, {component: state}, notice.started_at, adjusted_at=adjusted_at)


# Reading


def records(
    components: Iterable[Component], begin: datetime, now: datetime, customer: Customer | None = None
) -> dict[int, Record]:
    """The record of each component from `begin` to `now`, by primary key. Older incidents cost nothing.

    It is what the public was told (None), and besides it this customer.
    """
    stretches: dict[int, list[Stretch]] = defaultdict(list)
    adjusted: dict[int, datetime] = {}
    told = StateSpan.objects.seen_by(customer)
    rows = told.filter(Q(ended_at=None) | Q(ended_at__gte=begin), began_at__lt=now)
    for pk, state, began, ended, at in rows.values_list("component", "state", "began_at", "ended_at", "adjusted_at"):
        stretches[pk].append(Stretch(state, began, ended or now))
        if at:
            adjusted[pk] = max(at, adjusted.get(pk, at))
    components = list(components)
    for pk, works in planned.windows([one.pk for one in components], begin, now).items():
        stretches[pk] += [Stretch(Component.State.UNDER_MAINTENANCE, *window) for window in works]
    since = _known_since(customer)
    return {
        one.pk: Record(since.get(one.pk, one.created_at), stretches.get(one.pk, ()), adjusted.get(one.pk))
        for one in components
    }


def _known_since(customer: Customer | None) -> dict[int, datetime]:
    """Since when each component is known: it was made, or an incident had named it before."""
    told = StateSpan.objects.filter(theirs(customer, "customer"), component=OuterRef("pk"))
    first = Coalesce(Subquery(told.order_by("began_at").values("began_at")[:1]), F("created_at"))
    known = Component.objects.seen_by(customer).annotate(known_since=Least("created_at", first))
    return dict(known.order_by().values_list("pk", "known_since"))


def anything_counts_now() -> bool:
    """Whether time that passes changes percentages: a component is in a state that counts as down, or is left out."""
    counted = [state for state, share in method().weights.items() if share]
    works = Maintenance.objects.seen_by(None).active()
    if Component.State.UNDER_MAINTENANCE in {*counted, *method().left_out} and works.exists():
        return True
    return StateSpan.objects.seen_by(None).filter(ended_at=None, state__in=counted).exists()


def method() -> Method:
    """The method in force."""
    return _method(tuple(settings.UPTIME_WEIGHTS.items()), settings.MAINTENANCE_EXCLUDED_FROM_DOWNTIME)


@cache
def _method(weights: tuple[tuple[str, str], ...], without_maintenance: bool) -> Method:
    left_out = frozenset({Component.State.UNDER_MAINTENANCE.value} if without_maintenance else ())
    return Method({state: Fraction(share) for state, share in weights}, left_out)
