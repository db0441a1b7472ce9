"""The engine: one turn does everything that is due. Any number of hands may run it at once.

Parts above add their own duties with `on_turn`; each runs in isolation, so one that breaks stops nobody else.
"""

import logging
import os
import socket
import urllib.request
from collections.abc import Callable
from datetime import datetime, timedelta

from django.conf import settings
from django.db import OperationalError, connection
from django.utils import timezone

from irportal.ledger import actions as ledger
from irportal.ledger.models import Checkpoint, Entry
from irportal.outbox import alarms, fan_out, sending
from irportal.outbox.models import Pulse
from irportal.outbox.posting import Posts, always

log = logging.getLogger(__name__)

CHECKPOINT_EVERY = CALL_EVERY = timedelta(seconds=60)
POST_SECONDS = 1.0  # a turn looks after posts before the next begins

_turns: list[Callable[[datetime], None]] = []


def on_turn(function: Callable[[datetime], None]) -> Callable[[datetime], None]:
    """Have `function(now)` called once in every turn of the engine.

    It must be safe to call at any time, by many.
    """
    if function not in _turns:
        _turns.append(function)
    return function


def run_once(seconds: float = sending.TURN_SECONDS, going: Callable[[], bool] = always) -> None:
    """One turn, and one more each second while posts are out: nobody waits for a far end that says nothing.

    Nothing is out any more when it returns, `seconds` later and a little at most. Once `going()` is false no post
    begins.
    """
    with Posts(seconds, going) as posts:
        _turn(posts)
        while posts.busy:
            _turn(posts)


def _turn(posts: Posts) -> None:
    """Duties, fan-out, mail (with a pulse before each claim), posts, alarms, checkpoint, pulse."""

    def send(now: datetime) -> None:
        sending.send_due(min(posts.seconds_left, sending.TURN_SECONDS), posts.pump)

    def post(now: datetime) -> None:
        posts.wait(POST_SECONDS)

    for function in (*_turns, fan_out.fan_out_pending, fan_out.supersede, send, post, alarms.sound, _checkpoint):
        try:
            function(timezone.now())
        except OperationalError:
            connection.close()
            log.exception("the database did not answer %s", function.__name__)
        except Exception:
            log.exception("%s failed; the turn goes on", function.__name__)
    sending.beat()
    _call_out(timezone.now())


def _call_out(now: datetime) -> None:
    """Once a minute, and only while all is well, tell the monitor outside: it raises the alarm when nobody calls."""
    if not settings.DEAD_MAN_URL or not Pulse.objects.health(now)["ok"] or not _is_our_turn(now):
        return
    try:
        urllib.request.urlopen(settings.DEAD_MAN_URL, timeout=5).close()  # noqa: S310  (the operator's own address)
    except OSError as error:
        log.warning("the monitor outside could not be called: %s", type(error).__name__)


def _is_our_turn(now: datetime) -> bool:
    """Whether nobody has called within the last minute; true for one of any number of hands."""
    facts = {"host": socket.gethostname()[:80], "pid": os.getpid(), "beat_at": now}
    _, first = Pulse.objects.get_or_create(name="dead-man", defaults=facts)
    late = Pulse.objects.filter(name="dead-man", beat_at__lte=now - CALL_EVERY)
    return first or late.update(**facts) == 1


def _checkpoint(now: datetime) -> None:
    """Once a minute at most, when something was recorded since the last one."""
    newest = Checkpoint.objects.order_by("size").last()
    if newest and now - newest.made_at < CHECKPOINT_EVERY:
        return
    if Entry.objects.count() > (newest.size if newest else 0):
        ledger.make_checkpoint()
