"""Who hears about a public update by mail, as readers the outbox can write to."""

from django.conf import settings
from django.urls import reverse

from irportal.outbox.audiences import Reader
from statuspage.models import Component, Subscriber
from statuspage.rhythm import join
from statuspage.subscriptions import token_for


def subscribers(component_ids: list[int] | None) -> list[Reader]:
    """Confirmed subscribers of these components and of the whole page; None means every one. Two queries."""
    rows = Subscriber.objects.active().concerned(component_ids).prefetch_related("components").order_by("pk")
    return [
        Reader(
            key=f"subscriber:{subscriber.pk}",
            address=subscriber.email,
            unsubscribe_url=settings.PUBLIC_BASE_URL + reverse("statuspage:leave", args=[token_for(subscriber)]),
            why=_why(list(subscriber.components.all())),
        )
        for subscriber in rows
    ]


def _why(components: list[Component]) -> str:
    about = f"the {join([component.name for component in components])}" if components else settings.ORGANISATION
    return f"You get this because you asked for updates about {about}."
