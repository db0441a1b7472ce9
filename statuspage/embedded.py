"""What other sites show of us: a badge and a small page for a frame. Neither needs a script."""

from datetime import datetime
from unicodedata import east_asian_width

from django.conf import settings
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from statuspage import rollup
from statuspage.snapshot import Facts

COLOURS = {"none": "#1c7a50", "minor": "#8a5d00", "major": "#b04a08", "critical": "#b3182f", "maintenance": "#5148a3"}
LETTER, PAD = 6.6, 8  # pixels; the drawing states its length, so that every font fits


def badge(facts: Facts, now: datetime) -> bytes:
    """Name and state side by side, 20 pixels high."""
    verdict = facts.status["indicator"]
    name, state = _("%(organisation)s status") % {"organisation": settings.ORGANISATION}, str(rollup.HEADLINES[verdict])
    left, right = (round(_letters(text) * LETTER) + 2 * PAD for text in (name, state))
    context = {
        "name": name, "state": state, "left": left, "right": right, "width": left + right, "colour": COLOURS[verdict],
        "name_at": left / 2, "state_at": left + right / 2, "name_long": left - 2 * PAD, "state_long": right - 2 * PAD,
    }  # fmt: skip
    return render_to_string("statuspage/badge.svg", context).encode()


def _letters(text: str) -> float:
    """How many letters of a Latin text are as wide; an East Asian one counts nearly twice."""
    return sum(1.75 if east_asian_width(sign) in "WF" else 1 for sign in text)


def widget(facts: Facts, now: datetime) -> bytes:
    """The verdict and what is open, for a frame on another site."""
    verdict = facts.status["indicator"]
    told = [*facts.open[:5], *(work for work in facts.works if work.is_active)]
    context = {"verdict": verdict, "headline": rollup.HEADLINES[verdict], "notices": told[:5]}
    return render_to_string("statuspage/widget.html", context | {"address": settings.PUBLIC_BASE_URL}).encode()
