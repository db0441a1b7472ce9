"""What may be planned: the plan of one maintenance, and the sentences that refuse one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from irportal.refused import Refused
from statuspage.models import TITLE_LENGTH, Component, Maintenance
from statuspage.publish import BODY_LENGTH
from statuspage.rhythm import moment

LEADS = (timedelta(hours=24), timedelta(hours=1))
FARTHEST = timedelta(days=730)
JUST_NOW = timedelta(minutes=5)  # a start so long ago may still be announced: somebody had to type it


@dataclass(frozen=True)
class Plan:
    """What is planned. `leads` are how long before the start those concerned are reminded."""

    title: str
    starts_at: datetime
    ends_at: datetime
    components: Sequence[Component]
    leads: Iterable[timedelta] = LEADS
    starts_itself: bool = True
    ends_itself: bool = True


def in_order(leads: Iterable[timedelta]) -> tuple[timedelta, ...]:
    """Each once, the longest first."""
    return tuple(sorted(set(leads), reverse=True))


def checked(plan: Plan, now: datetime, was: Maintenance | None = None) -> Plan:
    """The plan with tidy words, or a refusal."""
    plan = replace(plan, title=" ".join(plan.title.split()), leads=in_order(plan.leads))
    if not plan.title:
        raise Refused("The title is empty. Say in a few words what is worked on.")
    if len(plan.title) > TITLE_LENGTH:
        raise Refused(f"The title has {len(plan.title)} characters; {TITLE_LENGTH} are possible.")
    if "\0" in plan.title:
        raise Refused("The title holds a character that cannot be stored (NUL). Remove it.")
    if plan.ends_at <= plan.starts_at:
        raise Refused("It would end before it starts; correct one of the two times.")
    if plan.starts_at < now - JUST_NOW and (was is None or was.starts_at != plan.starts_at):
        raise Refused(f"{moment(plan.starts_at)} has passed; it is {moment(now)} now.")
    if plan.ends_at <= now:
        raise Refused(f"{moment(plan.ends_at)} has passed; it is {moment(now)} now.")
    check_far(plan.ends_at, now)
    if not plan.components:
        raise Refused("Choose at least one component; otherwise nobody knows whether it concerns them.")
    if private := [component.name for component in plan.components if component.customer_id]:
        raise Refused(f"{', '.join(private)} is private to a customer; maintenance is told to everybody. Take it out.")
    known = Component.objects.filter(pk__in=[component.pk for component in plan.components])
    if known.count() != len(plan.components):
        raise Refused("One of the components was deleted meanwhile, or is named twice. Choose again.")
    return plan


def check_far(at: datetime, now: datetime) -> None:
    if at > now + FARTHEST:
        raise Refused(f"{moment(at)} is more than two years ahead; nobody can plan that.")


def check_text(text: str, *, needed: bool = False) -> None:
    if needed and not text.strip():
        raise Refused("The text is empty. Write what readers should know.")
    if len(text) > BODY_LENGTH:
        raise Refused(f"The text has {len(text)} characters; {BODY_LENGTH} are possible.")
    if "\0" in text:
        raise Refused("The text holds a character that cannot be stored (NUL). Remove it.")
