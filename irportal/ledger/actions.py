"""Append a deed; make a checkpoint; verify everything.

Lock order everywhere: the incident's row first, then the ledger (`turn`), then anything else. Two
transactions that keep to it cannot wait for each other in a circle.
"""

import json
from typing import Any, Protocol

from django.db import connection, transaction
from django.db.models import Max
from django.utils import timezone

from irportal.ledger import tree
from irportal.ledger.models import Checkpoint, Entry

LOCK = 6_962  # the advisory lock's number on PostgreSQL: one writer of the ledger at a time


class Person(Protocol):
    email: str


def turn() -> None:
    """Wait for this transaction's turn to write the ledger; held until it ends.

    SQLite's IMMEDIATE already is that.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])


@transaction.atomic
def append(deed: str, *, subject: str, by: Person | None, **facts: Any) -> Entry:
    """Record one deed in the caller's transaction.

    `deed` is `<thing>.<verb in the past>`; `by` None means the engine. Facts are strings, whole numbers,
    booleans, None, aware datetimes, or lists and dicts of them. Raises TypeError on anything else.
    """
    turn()
    last = Entry.objects.aggregate(last=Max("n"))["last"]
    n = 0 if last is None else last + 1
    at = timezone.now()
    line = tree.canonical(
        {
            "n": n,
            "at": at,
            "deed": deed,
            "subject": subject,
            "by": by.email if by else "engine",
            "facts": facts,
        }
    )
    return Entry.objects.create(n=n, recorded_at=at, deed=deed, subject=subject, line=line, leaf=tree.leaf(line).hex())


@transaction.atomic
def make_checkpoint() -> Checkpoint:
    """The checkpoint over every entry there is now; the newest one again when nothing was added since."""
    turn()
    size = Entry.objects.count()
    newest = Checkpoint.objects.filter(size=size).first()
    if newest:
        return newest
    leaves = (bytes.fromhex(leaf) for leaf in Entry.objects.order_by("n").values_list("leaf", flat=True))
    return Checkpoint.objects.create(size=size, root=tree.root(leaves).hex(), made_at=timezone.now())


def verify(handed_out: tuple[int, str] | None = None) -> list[str]:
    """Every fault found, as sentences; empty when the ledger is whole.

    `handed_out` is a (size, root) that left the house earlier, for example printed in a report: the only
    witness a rewritten database cannot forge.
    """
    witnesses = [(point.size, point.root) for point in Checkpoint.objects.order_by("size")]
    faults: list[str] = []
    leaves: list[bytes] = []
    for expected, entry in enumerate(Entry.objects.order_by("n").iterator()):
        if entry.n != expected:
            return [*faults, f"entry {expected} is missing (found {entry.n} in its place)"]
        leaves.append(tree.leaf(entry.line))
        if leaves[-1].hex() != entry.leaf:
            faults.append(f"entry {entry.n}: its text does not match its hash")
        if not _columns_match(entry):
            faults.append(f"entry {entry.n}: its number, time, deed or subject differs from its text")
    return [*faults, *_broken([*witnesses, *([handed_out] if handed_out else [])], leaves)]


def _columns_match(entry: Entry) -> bool:
    """Whether the columns that help to find an entry say what its hashed text says."""
    try:
        said = json.loads(entry.line)
    except ValueError:
        return False
    at = tree.stamp(entry.recorded_at)
    shown = {"n": entry.n, "at": at, "deed": entry.deed, "subject": entry.subject}
    return isinstance(said, dict) and said.items() >= shown.items()


def _broken(witnesses: list[tuple[int, str]], leaves: list[bytes]) -> list[str]:
    """A sentence for each (size, root) the leaves do not bear out."""
    found = dict(tree.roots(leaves, [size for size, _ in witnesses]))
    faults = []
    for size, root in witnesses:
        if size > len(leaves):
            faults.append(f"checkpoint {size}: only {len(leaves)} entries are left")
        elif found[size].hex() != root.lower():
            faults.append(f"checkpoint {size}: something up to entry {size - 1} was changed")
    return faults
