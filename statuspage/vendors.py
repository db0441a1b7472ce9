"""The vendors we depend on, as their own status pages tell it: read on a tick, by threads that know no database.

Whoever runs the engine hands out what is due and goes on at once; the answers are taken over in a later turn. What was
not read for a while is unknown, never fine.
"""

import json
import logging
from datetime import datetime, timedelta
from http.client import HTTPException
from threading import Thread
from typing import Any, NamedTuple

from django.db import transaction

from irportal.ledger import actions as ledger
from irportal.outbox.channels import guard
from statuspage import editions
from statuspage.models import Component, Vendor

log = logging.getLogger(__name__)

EVERY = timedelta(minutes=1)
AT_ONCE = 8  # begun in one turn
SECONDS, BYTES = 10, 2_000_000  # for one answer
LONGEST = 200  # characters of what is shown of a vendor's own words
STATES = {
    "none": Component.State.OPERATIONAL,
    "minor": Component.State.DEGRADED_PERFORMANCE,
    "major": Component.State.PARTIAL_OUTAGE,
    "critical": Component.State.MAJOR_OUTAGE,
    "maintenance": Component.State.UNDER_MAINTENANCE,
}


class Reading(NamedTuple):
    """What a page said: the state of what matters to us, in its words. `same`: nothing changed since last time."""

    state: str = ""
    words: str = ""
    etag: str = ""
    same: bool = False
    problem: str = ""


class Question(Thread):
    """Asks one vendor's page."""

    def __init__(self, vendor: Vendor) -> None:
        super().__init__(name=f"vendor {vendor.pk}", daemon=True)
        self.vendor, self.reading = vendor, Reading(problem="the answer was lost")

    def run(self) -> None:
        self.reading = ask(self.vendor)


_out: list[Question] = []


def run_due(now: datetime) -> None:
    """The engine's turn: take over what was read, and begin to read what is due. Waits for nobody."""
    for question in [one for one in _out if not one.is_alive()]:
        _out.remove(question)
        take_over(question.vendor, question.reading, now)
    for vendor in Vendor.objects.due(now - EVERY)[:AT_ONCE]:
        mine = Vendor.objects.filter(pk=vendor.pk, asked_at=vendor.asked_at).update(asked_at=now)
        if mine:
            question = Question(vendor)
            _out.append(question)
            question.start()


def ask(vendor: Vendor) -> Reading:
    """Read the vendor's summary. Any thread may; the database is not touched."""
    headers = {"Accept": "application/json", "User-Agent": "incident-portal"}
    if vendor.etag and vendor.state:
        headers["If-None-Match"] = vendor.etag
    try:
        reply = guard.get(f"{vendor.address}/api/v2/summary.json", headers, seconds=SECONDS, most=BYTES)
        if reply.status == 304:
            return Reading(same=True)
        if reply.status != 200:
            return Reading(problem=f"it answered {reply.status}")
        state, words = understand(json.loads(reply.body), vendor.watched_names)
    except guard.Blocked as blocked:
        return Reading(problem=str(blocked))
    except (OSError, HTTPException) as error:
        return Reading(problem=f"no answer: {getattr(error, 'strerror', None) or type(error).__name__}")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Reading(problem="this is no summary of Statuspage's API v2")
    etag = next((value for name, value in reply.headers.items() if name.lower() == "etag"), "")
    return Reading(state, words, etag if len(etag) <= LONGEST else "")


def understand(summary: Any, watched: list[str]) -> tuple[str, str]:
    """State and words of a summary in the shape of Statuspage's API v2.

    `watched` are names of components that matter; without any the whole page does. Raises ValueError, KeyError,
    TypeError or AttributeError when it is none, or does not name one of them.
    """
    if not watched:
        return STATES[summary["status"]["indicator"]], _shown(summary["status"]["description"])
    found = _components(summary["components"])
    chosen = {name: found[name.casefold()] for name in watched}
    worst = max(chosen.values(), key=Component.rank)
    hit = [f"{name}: {Component.State(state).label.lower()}" for name, state in chosen.items() if Component.rank(state)]
    return worst, _shown(", ".join(hit))


def _components(rows: list[dict[str, Any]]) -> dict[str, str]:
    """The state of each component by name, and by `Group - Name` where it is in one; the worst of a name."""
    groups = {row["id"]: row["name"] for row in rows if row.get("group")}
    found: dict[str, str] = {}
    for row in rows:
        names = [row["name"]]
        if row.get("group_id") in groups:
            names.append(f"{groups[row['group_id']]} - {row['name']}")
        for name in names:
            before = found.get(name.casefold(), Component.State.OPERATIONAL)
            found[name.casefold()] = max(Component.State(row["status"]), before, key=Component.rank)
    return found


def _shown(words: str) -> str:
    """The vendor's words as they may stand on our page: one short line of what can be printed."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in words).split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


@transaction.atomic
def take_over(asked: Vendor, reading: Reading, now: datetime) -> None:
    """Write down what was read. What readers see changes only when the state does, or was unknown till now."""
    ledger.turn()
    vendor = Vendor.objects.select_for_update().filter(pk=asked.pk).first()
    if vendor is None or (vendor.address, vendor.watched) != (asked.address, asked.watched):
        return
    before = (vendor.state_at(now), vendor.words)
    vendor.problem = reading.problem
    if not reading.problem:
        vendor.read_at = now
        if not reading.same:
            vendor.state, vendor.words, vendor.etag = reading.state, reading.words, reading.etag
    vendor.save(update_fields=["problem", "read_at", "state", "words", "etag"])
    if (vendor.state_at(now), vendor.words) != before:
        ledger.append("vendor.read", subject=f"vendor:{vendor.pk}", by=None, state=vendor.state, words=vendor.words)
        editions.touch()
