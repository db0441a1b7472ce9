"""How the engine's turn goes over incidents: each by itself, so that one that breaks stops no other."""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

log = logging.getLogger(__name__)


def each_incident(waiting: QuerySet[Any, Any], act: Callable[[int, datetime], None], now: datetime) -> None:
    """`act(id, now)` for every incident that has one of the `waiting` rows; what it raises is logged, no more.

    `act` opens a transaction and reads again under the incident's lock: any number of hands may be here at once.
    """
    for pk in waiting.order_by("incident_id").values_list("incident_id", flat=True).distinct():
        try:
            act(pk, now)
        except Exception:
            log.exception("%s failed for incident %s", act.__module__, pk)
