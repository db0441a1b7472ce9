"""The far ends a delivery can go to. One file each; all of them keep this small contract."""

from datetime import timedelta
from typing import ClassVar, NamedTuple, Protocol, Self

from irportal.outbox.models import Delivery
from irportal.outbox.talks import Talk


class Outcome(Exception):
    """How a try ended when it did not end well. `blame` is an Attempt.Outcome.

    `unknown_reader`: the far end says that the address itself leads nowhere (for SMTP 5.1.x, RFC 3463).
    `wait`: how long it asks to be left alone, at least.
    """

    def __init__(
        self, blame: str, code: int | None, answer: str, *, unknown_reader: bool = False, wait: timedelta = timedelta()
    ) -> None:
        super().__init__(answer)
        self.blame, self.code, self.answer = blame, code, answer[:300]
        self.unknown_reader, self.wait = unknown_reader, wait


class Answer(NamedTuple):
    """What a far end said that took a message."""

    code: int | None
    text: str


class Way(Protocol):
    """How the messages of a channel leave: mail by a Line, the rest each by a post of its own (`webhook.Post`)."""

    waits: ClassVar[tuple[timedelta, ...] | None]  # after each failure, then given up; None: as mail, until it expires


class Line(Way, Protocol):
    """An open way to the relay, used by one sender for many messages. Entering it raises Outcome when it is down.

    While it is down (Outcome.TRANSPORT) no mail is claimed.
    """

    at_once: ClassVar[int]  # how many messages one claim takes

    def __enter__(self) -> Self: ...

    def __exit__(self, *raised: object) -> None: ...

    def send(self, delivery: Delivery, ahead: Delivery | None) -> Answer | Talk:
        """Hand one message over and return the answer, or a talk that ends with it. Raises Outcome.

        `ahead` comes next: a channel may begin to speak of it, but not send any of it.
        """

    def drop(self) -> None:
        """What was announced with `ahead` does not come after all."""
