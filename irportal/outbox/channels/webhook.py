"""Webhooks as in Standard Webhooks 1.0: signed, with an id that stays the same over every try."""

import base64
import hmac
import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import ClassVar

from django.utils import timezone

from irportal.outbox import audiences
from irportal.outbox.channels import Answer, Outcome, guard
from irportal.outbox.models import Attempt, Delivery, Endpoint
from irportal.refused import Refused

LONGEST_WAIT = timedelta(hours=24)
WAITS = tuple(
    timedelta(**wait)
    for wait in (
        {"seconds": 5},
        {"minutes": 5},
        {"minutes": 30},
        *({"hours": hours} for hours in (2, 5, 10, 14, 20, 24)),
    )
)


class Post:
    """One delivery on its way to its endpoint. What fails is blamed on that endpoint alone.

    Made where the database is at hand; `send` speaks to the far end only, so any thread may call it.
    """

    waits: ClassVar[tuple[timedelta, ...] | None] = WAITS
    final: ClassVar[frozenset[int]] = frozenset({410})  # answers after which the same message is not tried again

    def __init__(self, endpoint: Endpoint, delivery: Delivery) -> None:
        self.endpoint, self.delivery = endpoint, delivery
        leave_url = audiences.leave_url(delivery.announcement.audience)
        self.body = self.filled(leave_url(delivery.leave, delivery.language) if delivery.leave else "").encode()

    def filled(self, leave_url: str) -> str:
        """The text with the link by which the reader leaves; our own programs have none."""
        return self.delivery.announcement.payload.replace(f'"{audiences.LEAVE}"', json.dumps(leave_url or None))

    def headers(self) -> dict[str, str]:
        return signed(self.endpoint, self.delivery.key, self.body, timezone.now())

    def send(self) -> Answer:
        """The status of a 2xx. Raises Outcome for every other; the far end's own words are read by nobody."""
        try:
            reply = guard.post(self.endpoint.url, self.body, self.headers(), trusted=self.endpoint.is_trusted)
        except guard.Blocked as blocked:
            raise Outcome(Attempt.Outcome.TEMP, None, f"not sent: {blocked}") from blocked
        except (OSError, HTTPException) as error:
            said = getattr(error, "strerror", None) or type(error).__name__
            raise Outcome(Attempt.Outcome.TEMP, None, f"no answer: {said}") from error
        if 200 <= reply.status < 300:
            return Answer(reply.status, f"{reply.status}")
        blame = Attempt.Outcome.PERM if reply.status in self.final else Attempt.Outcome.TEMP
        wait = retry_after(reply.headers, timezone.now()) if reply.status in (429, 503) else timedelta()
        raise Outcome(blame, reply.status, f"it answered {reply.status}", wait=wait)


def signed(endpoint: Endpoint, message_id: str, body: bytes, at: datetime) -> dict[str, str]:
    """The headers of one try. Each key of the endpoint signs: whoever has any of them can verify."""
    moment = str(int(at.timestamp()))
    content = f"{message_id}.{moment}.".encode() + body
    marks = [base64.b64encode(hmac.digest(key, content, "sha256")).decode("ascii") for key in endpoint.keys(at)]
    return {
        "Content-Type": "application/json",
        "User-Agent": "incident-portal",
        "webhook-id": message_id,
        "webhook-timestamp": moment,
        "webhook-signature": " ".join(f"v1,{mark}" for mark in marks),
    }


def retry_after(headers: Mapping[str, str], now: datetime) -> timedelta:
    """How long the far end asks to be left alone, in seconds or as a date; never more than LONGEST_WAIT."""
    said = next((value.strip() for name, value in headers.items() if name.lower() == "retry-after"), "")
    try:
        if said.isdecimal():
            wait = timedelta(seconds=int(said[:9]))
        else:
            at = parsedate_to_datetime(said)
            wait = (at if at.tzinfo else at.replace(tzinfo=UTC)) - now
    except ValueError:
        return timedelta()
    return min(max(wait, timedelta()), LONGEST_WAIT)


def challenge(endpoint: Endpoint) -> None:
    """Have the endpoint say a word back, so that we cannot be aimed at somebody who did not ask. Raises Refused."""
    word = secrets.token_hex(16)
    body = json.dumps({"type": "endpoint.challenge", "challenge": word}).encode()
    reply = asked(endpoint, body, signed(endpoint, f"challenge-{word}", body, timezone.now()))
    if not _says(reply.body, word):
        raise Refused("It did not say the challenge back, so nothing is sent there.")


def _says(answer: bytes, word: str) -> bool:
    """The word alone, or `{"challenge": word}` alone: a server that repeats whatever it gets has agreed to nothing."""
    said = answer.decode("utf-8", "replace").strip()
    try:
        return said == word or json.loads(said) == {"challenge": word}
    except ValueError:
        return False


def asked(endpoint: Endpoint, body: bytes, headers: dict[str, str]) -> guard.Reply:
    """What it answers to a first post. Raises Refused."""
    try:
        reply = guard.post(endpoint.url, body, headers)
    except guard.Blocked as blocked:
        raise Refused(f"Nothing can be sent there: {blocked}.") from blocked
    except (OSError, HTTPException) as error:
        raise Refused("It does not answer.") from error
    if not 200 <= reply.status < 300:
        raise Refused(f"It answered {reply.status}.")
    return reply
