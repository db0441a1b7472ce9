"""Who hears about a public update, as rows the outbox can write to without loading them."""

from collections.abc import Iterable
from functools import cache
from typing import Any

from django.conf import settings
from django.db.models import Case, CharField, Exists, F, OuterRef, Q, QuerySet, StringAgg, Subquery, Value, When
from django.db.models.expressions import Combinable
from django.db.models.functions import Cast, Concat
from django.urls import reverse
from django.utils.translation import gettext, gettext_noop, override

from irportal.outbox.audiences import ROW, Reader
from irportal.outbox.models import Endpoint
from statuspage import languages
from statuspage.models import Choice, Component, GroupChoice, Notice, Subscriber, Way
from statuspage.subscriptions import token

ABOUT = gettext_noop("You get this because you asked for updates about %(what)s.")
ABOUT_INCIDENT = gettext_noop("You get this because you asked for updates about this incident.")
WORST = Notice.Impact.CRITICAL


def told_alone(ref: str, components: Iterable[Component]) -> list[int] | None:
    """The customers who alone are told of incident `ref`; None is everybody.

    Before its first update: those whose the `components` are, which it hits, when all of them are private.
    """
    notice = Notice.objects.filter(ref=ref).first()
    if notice is None:
        owners = {component.customer_id for component in components}
    elif not notice.is_public:
        return sorted(notice.customers.values_list("pk", flat=True))
    else:
        owners = set(notice.hits.values_list("component__customer", flat=True))
    return None if None in owners else sorted(owner for owner in owners if owner) or None


def subscribers(
    component_ids: list[int] | None,
    *,
    impact: str = WORST,
    incident: str = "",
    told: QuerySet[Any, Any] | None = None,
    alone: list[int] | None = None,
) -> QuerySet[Any, Any]:
    """Who has confirmed, has not left, and is concerned; as outbox rows.

    Concerned are those who chose one of these components, its group or the whole page (None: everybody), from `impact`
    on or milder; who follows `incident`, a reference; and whoever stands among the keys `told` (`audiences.told`).
    `alone`: of all these only the people of these customers.
    """
    concerned = Subscriber.objects.hearing_of(component_ids, impact).values("pk")
    following = Subscriber.objects.filter(followed__ref=incident).values("pk")
    before = [] if told is None else [_with_key(Subscriber.objects.all()).filter(key__in=told).values("pk")]
    found = concerned.union(following, *before)
    rows = _with_key(Subscriber.objects.active().filter(pk__in=found).with_owner())
    if alone is not None:
        rows = rows.filter(Q(owner__in=alone))
    if settings.PAGE_RESTRICTED:
        rows = rows.filter(owner__isnull=False)
    rows = rows.annotate(
        address=Case(When(way=Way.MAIL, then="email"), default="host"),
        leave=F("code"),
        why=_why(incident),
        channel=F("way"),
    )
    return rows.order_by("pk").values(*ROW)


def _with_key(rows: QuerySet[Subscriber]) -> QuerySet[Any, Any]:
    """With `key`, which the outbox knows them by (`Subscriber.reader`)."""
    endpoint = Concat(Value("endpoint:"), Cast("endpoint_id", CharField()))
    own = Concat(Value("subscriber:"), Cast("pk", CharField()))
    return rows.annotate(key=Case(When(endpoint=None, then=own), default=endpoint))


def _why(incident: str) -> Case:
    """The sentence that says what the reader asked for, in their language."""
    follows = Subscriber.followed.through.objects.filter(subscriber=OuterRef("pk"), notice__ref=incident)
    components = Choice.objects.filter(subscriber=OuterRef("pk")).seen()
    groups = GroupChoice.objects.filter(subscriber=OuterRef("pk")).seen()
    both = Concat(_names(groups, "group"), Value(", "), _names(components, "component"), output_field=CharField())
    return Case(
        When(Exists(follows), then=_said(ABOUT_INCIDENT)),
        When(Exists(groups) & Exists(components), then=_said(ABOUT, both)),
        When(Exists(groups), then=_said(ABOUT, _names(groups, "group"))),
        When(Exists(components), then=_said(ABOUT, _names(components, "component"))),
        default=_said(ABOUT, Value(settings.ORGANISATION)),
        output_field=CharField(),
    )


def _names(chosen: QuerySet[Any], what: str) -> Subquery:
    names = StringAgg(f"{what}__name", Value(", "), order_by=f"{what}__name")
    return Subquery(chosen.order_by().values("subscriber").values(names=names), output_field=CharField())


def _said(sentence: str, what: Combinable | None = None) -> Combinable:
    """The sentence in the language of each row, with `what` where it says %(what)s."""
    befores, afters = {}, {}
    for language in languages.NAMES:
        with override(language):
            befores[language], _, afters[language] = gettext(sentence).partition("%(what)s")
    before, after = _by_language(befores), _by_language(afters)
    return before if what is None else Concat(before, what, after, output_field=CharField())


def _by_language(words: dict[str, str]) -> Case:
    other = {language: text for language, text in words.items() if text != words["en"]}
    whens = [When(language=language, then=Value(text)) for language, text in other.items()]
    return Case(*whens, default=Value(words["en"]), output_field=CharField())


def asker(facts: dict[str, Any]) -> list[Reader]:
    """Who asked for a mail, or a post, on the public page.

    There is nothing to leave yet; `leave` is set because an address that bounces must be stopped as a reader's.
    """
    if facts.get("endpoint"):
        endpoint = Endpoint.objects.filter(pk=facts["endpoint"]).first()
        return [Reader(endpoint.reader, endpoint.host, leave="asker", channel=endpoint.kind)] if endpoint else []
    with override(languages.known(facts["language"])):
        why = gettext("You get this one mail because this address was typed in on our status page.")
    return [Reader(key=f"asker:{facts['code']}", address=facts["email"], leave="asker", why=why)]


def no_leave_url(name: str, language: str) -> str:
    return ""


def leave_url(name: str, language: str) -> str:
    """The absolute address where the reader so named leaves with one click, in their language."""
    return f"{settings.PUBLIC_BASE_URL}{_leave_path(languages.known(language))}{token(name)}"


@cache
def _leave_path(language: str) -> str:
    """Looked up once: a mail is filled in a hundred thousand times."""
    with override(language):
        return reverse("statuspage:leave", args=["-"]).removesuffix("-")
