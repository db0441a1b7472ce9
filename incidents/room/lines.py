"""Lines of the timeline as they are shown. What was written never changes, so each process draws a line once."""

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from django.template.loader import render_to_string

from incidents.lifecycle.models import Incident, TimelineEntry

KEPT = 4000  # some hundred incidents as the room shows them


class Line(NamedTuple):
    """All that decides how a line looks."""

    pk: int
    ref: str
    occurred_at: datetime
    recorded_at: datetime | None  # where it was written down late
    is_today: bool
    marker: str
    text: str
    author: str
    corrects: bool
    corrected: bool
    may_correct: bool


def drawn(incident: Incident, entries: Iterable[TimelineEntry], now: datetime, *, may_correct: bool) -> list[str]:
    """HTML of each, in their order; they need their authors and what corrected them."""
    return [
        _draw(
            Line(
                pk=entry.pk,
                ref=incident.ref,
                occurred_at=entry.occurred_at,
                recorded_at=entry.recorded_at if entry.is_late else None,
                is_today=entry.occurred_at.date() == now.date(),
                marker=entry.get_marker_display() if entry.marker else "",
                text=entry.text,
                author=str(entry.author or "Engine"),
                corrects=entry.corrects_id is not None,
                corrected=hasattr(entry, "corrected_by"),
                may_correct=may_correct,
            )
        )
        for entry in entries
    ]


@lru_cache(maxsize=KEPT)
def _draw(line: Line) -> str:
    return render_to_string("incidents/room/_line.html", {"line": line})
