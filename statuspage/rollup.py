"""From components and open notices to one verdict. Pure; never rosier than the facts."""

from collections.abc import Collection, Sequence

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
    "none": "All systems operational",
    "minor": "Partially degraded service",
    "major": "Partial outage",
    "critical": "Major outage",
    MAINTENANCE: "Under maintenance",
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
NUMBERS = "no one two three four five six seven eight nine ten eleven twelve".split()  # noqa: SIM905


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


def sentence(states: Sequence[str]) -> str:
    """How many components are down, affected or in maintenance; empty when none is."""
    down = states.count(State.MAJOR_OUTAGE)
    affected = states.count(State.PARTIAL_OUTAGE) + states.count(State.DEGRADED_PERFORMANCE)
    counts = [
        (down, "down"),
        (affected, "affected"),
        (states.count(State.UNDER_MAINTENANCE), "under maintenance"),
    ]
    said = [(number, word) for number, word in counts if number]
    if not said:
        return ""
    (first, word), *rest = said
    parts = [f"{_part(first, len(states))} {_are(first)} {word}"]
    parts += [f"{_number(number)} {_are(number)} {word}" for number, word in rest]
    text = ", ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def _part(number: int, total: int) -> str:
    if number < total:
        return f"{_number(number)} of {_number(total)} components"
    return "the only component" if total == 1 else f"all {_number(total)} components"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _number(number: int) -> str:
    return NUMBERS[number] if number < len(NUMBERS) else str(number)
