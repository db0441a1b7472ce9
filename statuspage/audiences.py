"""Who hears about a public update by mail, as rows the outbox can write to without loading them."""

from functools import cache
from typing import Any

from django.conf import settings
from django.db.models import Case, CharField, Exists, F, OuterRef, QuerySet, StringAgg, Subquery, TextField, Value, When
from django.db.models.functions import Cast, Concat
from django.urls import reverse

from irportal.outbox.audiences import Reader
from statuspage.models import Choice, Subscriber
from statuspage.subscriptions import token

WHY = "You get this because you asked for updates about "


def subscribers(component_ids: list[int] | None) -> QuerySet[Any, Any]:
    """Confirmed subscribers of these components and of the whole page; None means every one."""
    chosen = Choice.objects.filter(subscriber=OuterRef("pk"))
    names = (
        chosen.order_by()
        .values("subscriber")
        .values(names=StringAgg("component__name", Value(", "), order_by="component__name"))
    )
    rows = (
        Subscriber.objects.active()
        .concerned(component_ids)
        .annotate(
            key=Concat(Value("subscriber:"), Cast("pk", CharField())),
            address=F("email"),
            leave=F("code"),
            why=Case(
                When(Exists(chosen), then=Concat(Value(WHY), Subquery(names), Value("."), output_field=TextField())),
                default=Value(f"{WHY}{settings.ORGANISATION}."),
                output_field=TextField(),
            ),
        )
    )
    return rows.order_by("pk").values("key", "address", "leave", "why")


def asker(facts: dict[str, Any]) -> list[Reader]:
    """Who asked for a mail on the public page.

    There is nothing to leave yet; `leave` is set because an address that bounces must be stopped as a reader's.
    """
    why = "You get this one mail because this address was typed in on our status page."
    return [Reader(key=f"asker:{facts['code']}", address=facts["email"], leave="asker", why=why)]


def no_leave_url(name: str) -> str:
    return ""


def leave_url(name: str) -> str:
    """The absolute address where the reader so named leaves with one click."""
    return f"{settings.PUBLIC_BASE_URL}{_leave_path()}{token(name)}"


@cache
def _leave_path() -> str:
    """Looked up once: a mail is filled in a hundred thousand times."""
    return reverse("statuspage:leave", args=["-"]).removesuffix("-")
