"""From components and open notices to one verdict. Pure; never rosier than the facts."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from django.utils.translation import gettext, ngettext_lazy, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from statuspage import rhythm
from statuspage.models import Component, Notice

State, Impact = Component.State, Notice.Impact

MAINTENANCE = "maintenance"
DESCRIPTIONS = {
    "none": "All Systems Operational",
    "minor": "Partially Degraded Service",
    "major": "Partial System Outage",
    "critical": "Major System Outage",
    MAINTENANCE: "Service Under Maintenance",
}
HEADLINES = {
    "none": _("All systems operational"),
    "minor": _("Partially degraded service"),
    "major": _("Partial outage"),
    "critical": _("Major outage"),
    MAINTENANCE: _("Under maintenance"),
}
# The words for states, statuses and impacts behind a colon or in a sentence.
INSIDE = {
    State.OPERATIONAL.value: pgettext_lazy("in a sentence", "operational"),
    State.DEGRADED_PERFORMANCE.value: pgettext_lazy("in a sentence", "degraded performance"),
    State.PARTIAL_OUTAGE.value: pgettext_lazy("in a sentence", "partial outage"),
    State.MAJOR_OUTAGE.value: pgettext_lazy("in a sentence", "major outage"),
    State.UNDER_MAINTENANCE.value: pgettext_lazy("in a sentence", "under maintenance"),
    Notice.Status.INVESTIGATING.value: pgettext_lazy("in a sentence", "investigating"),
    Notice.Status.IDENTIFIED.value: pgettext_lazy("in a sentence", "identified"),
    Notice.Status.MONITORING.value: pgettext_lazy("in a sentence", "monitoring"),
    Notice.Status.RESOLVED.value: pgettext_lazy("in a sentence", "resolved"),
    Impact.NONE.value: pgettext_lazy("impact", "none"),
    Impact.MINOR.value: pgettext_lazy("impact", "minor"),
    Impact.MAJOR.value: pgettext_lazy("impact", "major"),
    Impact.CRITICAL.value: pgettext_lazy("impact", "critical"),
}
# The shape and hue of each state, impact and indicator; names of symbols and of classes in status.css.
SHAPES = {
    State.OPERATIONAL: "ok",
    State.DEGRADED_PERFORMANCE: "degraded",
    State.PARTIAL_OUTAGE: "partial",
    State.MAJOR_OUTAGE: "major",
    State.UNDER_MAINTENANCE: "maint",
    "none": "ok",
    "minor": "degraded",
    "major": "partial",
    "critical": "major",
    MAINTENANCE: "maint",
    "no_data": "none",
}
NUMBERS = [
    pgettext_lazy("number of components", "no"),
    pgettext_lazy("number of components", "one"),
    pgettext_lazy("number of components", "two"),
    pgettext_lazy("number of components", "three"),
    pgettext_lazy("number of components", "four"),
    pgettext_lazy("number of components", "five"),
    pgettext_lazy("number of components", "six"),
    pgettext_lazy("number of components", "seven"),
    pgettext_lazy("number of components", "eight"),
    pgettext_lazy("number of components", "nine"),
    pgettext_lazy("number of components", "ten"),
    pgettext_lazy("number of components", "eleven"),
    pgettext_lazy("number of components", "twelve"),
]


def indicator(states: Sequence[str], impacts: Collection[str]) -> str:
    """The overall indicator of leaf components' states and open notices' impacts."""
    count = {state: states.count(state) for state in State.values}
    if Impact.CRITICAL in impacts or 0 < len(states) == count[State.MAJOR_OUTAGE]:
        return "critical"
    half_is_partial = 0 < len(states) <= 2 * count[State.PARTIAL_OUTAGE]
    if Impact.MAJOR in impacts or count[State.MAJOR_OUTAGE] or half_is_partial:
        return "major"
    if Impact.MINOR in impacts or count[State.PARTIAL_OUTAGE] or count[State.DEGRADED_PERFORMANCE]:
        return "minor"
    return MAINTENANCE if count[State.UNDER_MAINTENANCE] else "none"


class Clauses(NamedTuple):
    """What is said of components in one state: of some or all of them first, and of further ones behind a comma."""

    some: Any
    every: Any
    only: Any
    further: Any


DOWN = Clauses(
    ngettext_lazy("%(number)s of %(total)s components is down", "%(number)s of %(total)s components are down", "count"),
    _("all %(total)s components are down"),
    _("the only component is down"),
    ngettext_lazy("%(number)s is down", "%(number)s are down", "count"),
)
AFFECTED = Clauses(
    ngettext_lazy(
        "%(number)s of %(total)s components is affected", "%(number)s of %(total)s components are affected", "count"
    ),
    _("all %(total)s components are affected"),
    _("the only component is affected"),
    ngettext_lazy("%(number)s is affected", "%(number)s are affected", "count"),
)
MAINTAINED = Clauses(
    ngettext_lazy(
        "%(number)s of %(total)s components is under maintenance",
        "%(number)s of %(total)s components are under maintenance",
        "count",
    ),
    _("all %(total)s components are under maintenance"),
    _("the only component is under maintenance"),
    ngettext_lazy("%(number)s is under maintenance", "%(number)s are under maintenance", "count"),
)


def sentence(states: Sequence[str]) -> str:
    """How many components are down, affected or in maintenance; empty when none is."""
    total = len(states)
    counts = [
        (states.count(State.MAJOR_OUTAGE), DOWN),
        (states.count(State.PARTIAL_OUTAGE) + states.count(State.DEGRADED_PERFORMANCE), AFFECTED),
        (states.count(State.UNDER_MAINTENANCE), MAINTAINED),
    ]
    said = [(number, clauses) for number, clauses in counts if number]
    if not said:
        return ""
    (first, clauses), *rest = said
    whole = clauses.only if total == 1 else clauses.every
    parts = [_said(clauses.some if first < total else whole, first, total)]
    parts += [_said(clauses.further, number, total) for number, clauses in rest]
    text = rhythm.comma(parts)
    return gettext("%(sentence)s.") % {"sentence": f"{text[0].upper()}{text[1:]}"}


def _said(clause: Any, count: int, total: int) -> str:
    return str(clause % {"count": count, "number": _number(count), "total": _number(total)})


def _number(number: int) -> str:
    return str(NUMBERS[number]) if number < len(NUMBERS) else str(number)
