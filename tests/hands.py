"""The engine as a command, on the virtual clock: its pauses move it."""

import itertools
import signal
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.core.management import call_command

from irportal.outbox.management.commands import engine as command


class Over(BaseException):
    """Ends the command after its last pause."""


@pytest.fixture
def run_engine(freezer, monkeypatch) -> Callable[..., None]:
    """`run_engine(pauses, {n: deed})` runs `manage.py engine` for so many pauses; `deed()` is done as the n-th begins,
    the worst moment for whatever falls due."""

    def run(pauses: int, deeds: dict[int, Callable[[], object]] | None = None) -> None:
        number = itertools.count(1)

        def pause(seconds: float) -> None:
            n = next(number)
            (deeds or {}).get(n, int)()
            freezer.shift(timedelta(seconds=seconds))
            if n == pauses:
                raise Over

        monkeypatch.setattr(command, "time", SimpleNamespace(sleep=pause))
        before = {name: signal.getsignal(name) for name in (signal.SIGTERM, signal.SIGINT)}
        try:
            with pytest.raises(Over):
                call_command("engine")
        finally:
            for name, handler in before.items():
                signal.signal(name, handler)

    return run
