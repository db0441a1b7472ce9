"""Many conversations in one thread.

A talk is a generator. It yields what it waits for (`Wait`, `Elsewhere`, `Step`), is sent what came of it, and has that
error thrown into it that came instead. Threads would hand the interpreter to each other several times a message; and
talks that want to write to the database at the same moment share one round trip and one wait for the disk.
"""

import select
import socket
import time
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from types import GeneratorType
from typing import Any, NamedTuple


class Wait(NamedTuple):
    """Go on when the far end can be read from (or written to); TimeoutError comes instead after `seconds`."""

    file: int
    seconds: float
    write: bool = False


class Elsewhere(NamedTuple):
    """Call something that holds its thread, and that asks no database, where it holds up nobody."""

    call: Callable[[], Any]


class Step(NamedTuple):
    """What is written to the database; the answer is what `side_by_side` was told to do about steps."""

    facts: Any


Talk = Generator[Wait | Elsewhere | Step, Any, Any]
Steps = Callable[[list[Any]], list[Any]]


def through(said: Any) -> Talk:
    """What was said, at once or at the end of a talk."""
    if isinstance(said, GeneratorType):
        return (yield from said)
    return said


def alone(said: Any) -> Any:
    """The end of one talk that takes no steps."""
    return side_by_side([through(said)])[0]


def side_by_side(talks: list[Talk], steps: Steps = list) -> list[Any]:
    """Lead every talk to its end and return what each returned. Raises the first error that ended one.

    `steps` takes the facts of all steps that are wanted at the moment and returns an answer for each, in their order:
    an exception among them is thrown into its own talk, one that is raised into all of them.
    """
    with _Table(talks, steps) as table:
        while table.goes_on():
            pass
    for ended in table.ended.values():
        if isinstance(ended, BaseException):
            raise ended
    return [table.ended[talk] for talk in talks]


class _Table:
    def __init__(self, talks: list[Talk], steps: Steps) -> None:
        self.talks, self.steps = talks, steps
        self.ready: deque[tuple[Talk, Any]] = deque((talk, None) for talk in talks)
        self.wanted: list[tuple[Talk, Any]] = []
        self.waiting: dict[int, tuple[Talk, Wait, float]] = {}
        self.elsewhere: dict[Future[Any], Talk] = {}
        self.ended: dict[Talk, Any] = {}
        self.lonely = len(talks) == 1

    def __enter__(self) -> "_Table":
        if not self.lonely:
            self.pool = ThreadPoolExecutor(min(len(self.ready), 32), thread_name_prefix="elsewhere")
            self.bell, self.rope = socket.socketpair()
            for end in (self.bell, self.rope):
                end.setblocking(False)
        return self

    def __exit__(self, *raised: object) -> None:
        with ExitStack() as last:
            if not self.lonely:
                for end in (self.bell.close, self.rope.close, self.pool.shutdown):
                    last.callback(end)
            for talk in self.talks:  # when something else than an end of theirs ended it, they clean up all the same
                last.callback(talk.close)

    def goes_on(self) -> bool:
        """One round; False when there is nothing left to do."""
        while self.ready:
            self._advance(*self.ready.popleft())
        if self.wanted:
            talks, facts = zip(*self.wanted, strict=True)
            self.wanted = []
            self.ready.extend(zip(talks, self._answers(list(facts)), strict=True))
        elif self.waiting or self.elsewhere:
            self._listen()
        return len(self.ended) < len(self.talks)  # the bell may ring late, for somebody who has come back

    def _answers(self, facts: list[Any]) -> list[Any]:
        try:
            return self.steps(facts)
        except Exception as error:
            return [error] * len(facts)

    def _advance(self, talk: Talk, answer: Any) -> None:
        try:
            wish = talk.throw(answer) if isinstance(answer, BaseException) else talk.send(answer)
        except StopIteration as end:
            self.ended[talk] = end.value
        except Exception as error:
            self.ended[talk] = error
        else:
            self._grant(talk, wish)

    def _grant(self, talk: Talk, wish: Wait | Elsewhere | Step) -> None:
        if isinstance(wish, Wait):
            self.waiting[wish.file] = (talk, wish, time.monotonic() + wish.seconds)
        elif isinstance(wish, Step):
            self.wanted.append((talk, wish.facts))
        elif self.lonely:
            self.ready.append((talk, _outcome(wish.call)))
        else:
            future = self.pool.submit(wish.call)
            self.elsewhere[future] = talk
            future.add_done_callback(self._ring)

    def _ring(self, future: Future[Any]) -> None:
        with suppress(BlockingIOError):  # the bell rings already
            self.rope.send(b"!")

    def _listen(self) -> None:
        """Wait until somebody can go on, or has waited for too long."""
        poll = select.poll()
        for file, (_, wish, _) in self.waiting.items():
            poll.register(file, select.POLLOUT if wish.write else select.POLLIN)
        if self.elsewhere:
            poll.register(self.bell, select.POLLIN)
        first = min((until for _, _, until in self.waiting.values()), default=None)
        patience = None if first is None else max(0, first - time.monotonic()) * 1000
        for file, _ in poll.poll(patience):
            if file in self.waiting:
                self.ready.append((self.waiting.pop(file)[0], None))
        self._come_back()
        if first is not None and first <= time.monotonic():
            self._give_up(time.monotonic())

    def _come_back(self) -> None:
        if self.elsewhere:
            with suppress(BlockingIOError):
                self.bell.recv(4096)
            for future in [one for one in self.elsewhere if one.done()]:
                self.ready.append((self.elsewhere.pop(future), _outcome(future.result)))

    def _give_up(self, now: float) -> None:
        for file in [file for file, (_, _, until) in self.waiting.items() if until <= now]:
            talk, wish, _ = self.waiting.pop(file)
            self.ready.append((talk, TimeoutError(f"no answer within {wish.seconds:.0f} s")))


def _outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:
        return error
