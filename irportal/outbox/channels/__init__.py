"""The far ends a delivery can go to. One file each; all of them keep this small contract."""

from typing import Protocol, Self

from irportal.outbox.models import Delivery


class Outcome(Exception):
    """How a try ended when it did not end well. `blame` is an Attempt.Outcome.

    `unknown_reader`: the far end says that the address itself leads nowhere (for SMTP 5.1.x, RFC 3463).
    """

    def __init__(self, blame: str, code: int | None, answer: str, *, unknown_reader: bool = False) -> None:
        super().__init__(answer)
        self.blame, self.code, self.answer = blame, code, answer[:300]
        self.unknown_reader = unknown_reader


class Line(Protocol):
    """An open way to the far end, used by one sender for many messages. Entering it raises Outcome when it is down."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *raised: object) -> None: ...

    def send(self, delivery: Delivery, ahead: Delivery | None) -> str:
        """Hand one message over and return the answer. Raises Outcome.

        `ahead` comes next: a channel may begin to speak of it, but not send any of it.
        """

    def drop(self) -> None:
        """What was announced with `ahead` does not come after all."""
