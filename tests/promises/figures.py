"""What a proof measured, beside what was promised."""

import math
from collections.abc import Sequence
from typing import NamedTuple


class Figure(NamedTuple):
    """`measured` must not be above `bound`, in `unit`."""

    name: str
    measured: float
    bound: float
    unit: str

    @property
    def holds(self) -> bool:
        return self.measured <= self.bound

    def __str__(self) -> str:
        mark = "ok    " if self.holds else "BROKEN"
        return f"{mark} {self.name}: {self.measured:,.6g} {self.unit} (at most {self.bound:,g})"


def percentile(values: Sequence[float], share: float) -> float:
    """The least of `values` that `share` of them do not exceed (nearest rank); infinite when there are none."""
    return sorted(values)[max(math.ceil(share * len(values)) - 1, 0)] if values else math.inf
