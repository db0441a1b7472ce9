"""The engine: one turn does everything that is due. Any number of hands may run it at once.

Parts above add their own duties with `on_turn`; each runs in isolation, so one that breaks stops nobody else.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import OperationalError, connection
from django.utils import timezone

from irportal.ledger import actions as ledger
from irportal.ledger.models import Checkpoint, Entry
from irportal.outbox import alarms, fan_out, sending

log = logging.getLogger(__name__)

CHECKPOINT_EVERY = timedelta(seconds=60)

_turns: list[Callable[[datetime], None]] = []


def on_turn(function: Callable[[datetime], None]) -> Callable[[datetime], None]:
    """Have `function(now)` called once in every turn of the engine.

    It must be safe to call at any time, by many.
    """
    if function not in _turns:
        _turns.append(function)
    return function


def run_once() -> None:
    """One turn: duties, fan-out, deliveries (with a pulse before each claim), alarms, pulse, checkpoint."""
    for function in (*_turns, fan_out.fan_out_pending, fan_out.supersede, _send, alarms.sound, _checkpoint):
        try:
            function(timezone.now())
        except OperationalError:
            connection.close()
            log.exception("the database did not answer %s", function.__name__)
        except Exception:
            log.exception("%s failed; the turn goes on", function.__name__)
    sending.beat()


def _send(now: datetime) -> None:
    sending.send_due()


def _checkpoint(now: datetime) -> None:
    """Once a minute at most, when something was recorded since the last one."""
    newest = Checkpoint.objects.order_by("size").last()
    if newest and now - newest.made_at < CHECKPOINT_EVERY:
        return
    if Entry.objects.count() > (newest.size if newest else 0):
        ledger.make_checkpoint()
