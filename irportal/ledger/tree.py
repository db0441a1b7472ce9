"""RFC 6962 Merkle tree over ledger lines. Pure; hashes are SHA-256, given and returned as bytes."""

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any


def leaf(line: str) -> bytes:
    """SHA-256(0x00 || line), 32 bytes."""
    return hashlib.sha256(b"\0" + line.encode()).digest()


def root(leaves: Iterable[bytes]) -> bytes:
    """The tree's root, 32 bytes; of no leaves, the hash of nothing (RFC 6962 section 2.1)."""
    level = list(leaves)
    if not level:
        return hashlib.sha256(b"").digest()
    while len(level) > 1:
        pairs = [level[i : i + 2] for i in range(0, len(level), 2)]
        level = [hashlib.sha256(b"\1" + p[0] + p[1]).digest() if len(p) == 2 else p[0] for p in pairs]
    return level[0]


def stamp(at: datetime) -> str:
    """An aware instant as `2025-10-24T14:30:00.000000Z`, always with microseconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def canonical(entry: dict[str, Any]) -> str:
    """Sorted keys, no spaces, UTF-8, no floats; instants as `stamp`. Raises TypeError on anything else."""

    def plain(value: Any) -> str:
        if isinstance(value, datetime):
            return stamp(value)
        raise TypeError(f"{value!r} cannot stand in a ledger line")

    text = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=plain)
    if any(isinstance(value, float) for value in entry.values()):
        raise TypeError("a ledger line holds no floats")
    return text
