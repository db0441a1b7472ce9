"""Chat rooms by incoming webhook, as Slack and Mattermost take it. The address is the secret; nothing is signed."""

import json
from datetime import timedelta
from typing import ClassVar

from irportal.outbox import audiences
from irportal.outbox.channels import webhook
from irportal.outbox.models import Endpoint

HEADERS = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "incident-portal"}


class Post(webhook.Post):
    """What a room does not take as it is will not be taken later; what it cannot take now is tried again like mail."""

    waits: ClassVar[tuple[timedelta, ...] | None] = None
    final: ClassVar[frozenset[int]] = frozenset(range(400, 500)) - {408, 425, 429}

    def filled(self, leave_url: str) -> str:
        told = self.delivery.announcement
        return told.public_chat.replace(audiences.LEAVE, leave_url) if self.endpoint.of_reader else told.chat

    def headers(self) -> dict[str, str]:
        return HEADERS


def challenge(endpoint: Endpoint) -> None:
    """Write into the room; whoever knows its address may. Raises Refused."""
    webhook.asked(endpoint, json.dumps({"text": "The incident portal writes here from now on."}).encode(), HEADERS)
