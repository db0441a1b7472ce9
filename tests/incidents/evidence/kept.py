"""What the tests of evidence keep, and what they find on the disk."""

from datetime import timedelta
from pathlib import Path

from django.utils import timezone

from incidents.evidence.actions import Said

LOG = b"14:00:01 guard BLOCK tenant=northwind rule=pii-7\n14:00:02 guard WARN tenant=northwind rule=tone-2\n"


def said(**given) -> Said:
    facts = {"title": "Guard log", "source": "guard-7", "captured_at": timezone.now() - timedelta(minutes=5)}
    return Said(**(facts | given))


def files(folder: Path) -> list[str]:
    """Every file below it, by its path there."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
