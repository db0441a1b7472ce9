"""What the communications matrix asks for. Pure: rows come in as plain values, time comes in as an argument."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

from django.conf import settings

from irportal.refused import Refused

EARLIEST_LAW = "earliest_enabled_law"
AUDIENCES = ("customers", "regulators", "public", "internal")
UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
DAY_ENDS = time(18, 0)  # of the organisation's business day
LAST_MINUTE = time(23, 59)  # of any day
SHORT_CLOCK = timedelta(hours=6)


@dataclass(frozen=True)
class Facts:
    """What is known about an incident that decides who must hear of it."""

    affected: bool = False  # a component customers use is not operational
    personal_data: bool = False
    ai_harm: bool = False
    is_outage: bool = True
    down: bool = False  # a component on the public page is out, partly or wholly
    material: bool = False  # somebody judged it material for the business: board and press
    short_clock: bool = False  # a law gives a regulator's notice SHORT_CLOCK or less


@dataclass(frozen=True)
class DutyRule:
    """One obligation of a cell. Amounts as written in the profile: 30m, 24h, 3d, 1bd_end, day_end; empty means none."""

    message_class: str
    first: str = ""
    first_if_data_or_ai_harm: str = ""
    first_if_short_clock: str = ""
    every: str = ""
    close: str = ""
    daily_once_contained: str = ""
    when: str = ""
    holding: bool = False
    mode: str = ""  # its own, where it is not the cell's
    or_earlier: str = ""  # EARLIEST_LAW, or nothing


@dataclass(frozen=True)
class Duty:
    """One thing owed to one audience under one rank."""

    audience: str
    message_class: str
    first: str = ""
    every: str = ""
    close: str = ""
    daily_once_contained: str = ""
    holding: bool = False
    or_earlier: bool = False  # a law may ask for it before `first`


@dataclass(frozen=True)
class Rules:
    """A policy version's matrix: (rank, audience) to (mode, scope) and to the obligations; where a reason overrides."""

    cells: dict[tuple[int, str], tuple[str, str]]
    duties: dict[tuple[int, str], list[DutyRule]]
    overridable: frozenset[tuple[int, str]] = frozenset()


def _applies(mode: str, facts: Facts) -> bool:
    return {
        "required": True,
        "decide": True,
        "if_affected": facts.affected,
        "if_material": facts.material,
        "if_over_threshold": facts.material,  # somebody judged it to cross what was agreed
        "if_public_component_down": facts.down,
        "decide_if_data_or_ai_harm": facts.personal_data or facts.ai_harm,
    }.get(mode, False)


def duties_for(version: Rules, rank: int, audience: str, facts: Facts) -> list[Duty]:
    """What is owed to `audience` at severity `rank` (1 worst to 4), given the facts. Source: requirements 1.9."""
    mode, _ = version.cells.get((rank, audience), ("none", ""))
    return [
        Duty(
            audience=audience,
            message_class=rule.message_class,
            first=_first(rule, facts),
            every=rule.every,
            close=rule.close,
            daily_once_contained=rule.daily_once_contained,
            holding=rule.holding,
            or_earlier=rule.or_earlier == EARLIEST_LAW,
        )
        for rule in version.duties.get((rank, audience), [])
        if _applies(rule.mode or mode, facts) and (rule.when != "personal_data" or facts.personal_data)
    ]


def _first(rule: DutyRule, facts: Facts) -> str:
    """The shortest of the amounts these facts ask for."""
    asked = [
        rule.first,
        rule.first_if_data_or_ai_harm if facts.personal_data or facts.ai_harm else "",
        rule.first_if_short_clock if facts.short_clock else "",
    ]
    sooner = [amount for amount in asked[1:] if amount]
    return min(sooner, key=length) if sooner else rule.first


def may_tell(version: Rules, rank: int, audience: str) -> str:
    """Whether `audience` may be told at this rank: `yes`, `reason` when somebody has to say why, else `no`.

    Where the policy says nothing, nothing is owed and nothing forbidden.
    """
    mode, _ = version.cells.get((rank, audience), ("optional", ""))
    if mode != "none":
        return "yes"
    return "reason" if (rank, audience) in version.overridable else "no"


def reaches_all(version: Rules, rank: int, facts: Facts) -> bool:
    """Whether customers means every subscriber and customer, not only those of affected components."""
    mode, scope = version.cells.get((rank, "customers"), ("none", "affected"))
    if mode == "none":  # whoever is told all the same is told for a reason of their own: they are affected
        return False
    return scope == "all" or (scope == "outage_all" and facts.is_outage)


def due(amount: str, anchor: datetime, zone: tzinfo | None = None) -> datetime:
    """`amount` after `anchor`, in elapsed time; `1bd_end` is the end of the next business day, `day_end` of this one.

    Raises Refused.
    """
    if amount == "day_end":
        return end_of_day(anchor, zone)
    if amount.endswith("bd_end"):
        return end_of_business_day(int(amount.removesuffix("bd_end")), anchor, zone)
    return anchor + length(amount)


def organisation_zone() -> tzinfo:
    """Where the organisation's day is: what a rule of the calendar means when no other zone is given."""
    return ZoneInfo(settings.ORGANISATION_TIME_ZONE)


def length(amount: str) -> timedelta:
    """30m, 24h or 3d as a duration. Raises Refused on anything else."""
    number, unit = amount[:-1], amount[-1:]
    if unit not in UNITS or not number.isdigit():
        raise Refused(f"{amount!r} is not a length of time; write 30m, 24h, 3d or 1bd_end.")
    return int(number) * UNITS[unit]


def end_of_business_day(n: int, anchor: datetime, zone: tzinfo | None = None) -> datetime:
    """18:00 on the nth business day after the anchor's day, Monday to Friday, all in `zone`. In UTC."""
    zone = zone or organisation_zone()
    day = anchor.astimezone(zone).date()
    while n:
        day += timedelta(days=1)
        n -= day.weekday() < 5
    return datetime.combine(day, DAY_ENDS, tzinfo=zone).astimezone(UTC)


def end_of_day(anchor: datetime, zone: tzinfo | None = None) -> datetime:
    """23:59 on the anchor's day in `zone`, or the anchor itself in that day's last minute. In UTC."""
    zone = zone or organisation_zone()
    last = datetime.combine(anchor.astimezone(zone).date(), LAST_MINUTE, tzinfo=zone).astimezone(UTC)
    return max(anchor, last)


def words(amount: str) -> str:
    """An amount as people say it: `30 min`, `24 h`, `by the end of the next business day`."""
    if amount == "day_end":
        return "by the end of the day"
    if amount.endswith("bd_end"):
        days = amount.removesuffix("bd_end")
        return f"by the end of {'the next business day' if days == '1' else f'business day {days}'}"
    number, unit = amount[:-1], amount[-1:]
    return f"{number} {'min' if unit == 'm' else unit}"
