"""Things to test with. Each function makes one with sensible facts; name only what the test is about."""

import itertools
import re
from typing import Any

from django.utils import timezone

from irportal.outbox import actions as outbox
from irportal.outbox import audiences, fan_out, wire
from irportal.outbox.models import Announcement, Delivery, Endpoint

_numbers = itertools.count(1)


def readers(facts: dict[str, Any]) -> list[audiences.Reader]:
    """The audience `test-readers`: one reader for each address named in the facts."""
    return [
        audiences.Reader(
            key=f"subscriber:{address}"[:60],
            address=address,
            leave=address[:100],
            why="You asked for updates about all components.",
        )
        for address in facts["to"]
    ]


audiences.register("test-readers", readers, "https://status.example/u/{}".format)


def announcement(*to: str, **given: Any) -> Announcement:
    """Something to tell the readers at these addresses; a new one each call unless `dedupe_key` is given."""
    number = next(_numbers)
    facts: dict[str, Any] = {
        "topic": "update",
        "thread": "INC-42",
        "audience": "test-readers",
        "facts": {"to": list(to) or ["ann@reader.example"]},
        "subject": "[INC-42] Searches are slow",
        "text": f"Update {number}.\n\n{{why}}\n{{unsubscribe_url}}\n",
        "html": f"<p>Update {number}.</p><p>{{why}} <a href='{{unsubscribe_url}}'>Stop</a></p>",
    }
    return outbox.announce(given.pop("dedupe_key", f"test:{number}"), **(facts | given))


def deliveries(*to: str, **given: Any) -> list[Delivery]:
    """The waiting deliveries of one new announcement, in the order of their rows."""
    made = announcement(*to, **given)
    fan_out.fan_out(made.pk)
    return list(made.deliveries.order_by("pk"))


def endpoint(url: str, **given: Any) -> Endpoint:
    """A webhook that has answered its challenge."""
    return Endpoint.objects.create(url=url, **({"verified_at": timezone.now()} | given))


def mail_of(delivery: Delivery) -> bytes:
    """The bytes this delivery goes out with."""
    return wire.Form(delivery.announcement, delivery.language).fill(delivery)


def link_of(address: str) -> str:
    """The unsubscribe link in the mail that waits for this address."""
    return re.search(rb"List-Unsubscribe: <([^>]+)>, <mailto:", mail_of(Delivery.objects.get(address=address)))[
        1
    ].decode()
