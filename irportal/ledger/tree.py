"""RFC 6962 Merkle tree over ledger lines. Pure; hashes are SHA-256, given and returned as bytes."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any


def leaf(line: str) -> bytes:
    """SHA-256(0x00 || line), 32 bytes."""
    return hashlib.sha256(b"\0" + line.encode()).digest()


def _pair(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def roots(leaves: Iterable[bytes], sizes: Iterable[int]) -> Iterator[tuple[int, bytes]]:
    """(size, root) for each wanted size the leaves reach, in one pass, as RFC 6962 section 2.1 builds them.

    `peaks` are the roots of the full subtrees so far, largest first, one for each bit set in the count.
    """
    wanted, peaks = set(sizes), list[bytes]()
    if 0 in wanted:
        yield 0, hashlib.sha256(b"").digest()
    for count, top in enumerate(leaves, start=1):
        while len(peaks) >= count.bit_count():
            top = _pair(peaks.pop(), top)
        peaks.append(top)
        if count in wanted:
            whole = peaks[-1]
            for peak in reversed(peaks[:-1]):
                whole = _pair(peak, whole)
            yield count, whole


def root(leaves: Iterable[bytes]) -> bytes:
    """The tree's root, 32 bytes; of no leaves, the hash of nothing."""
    known = list(leaves)
    return dict(roots(known, [len(known)]))[len(known)]


def stamp(at: datetime) -> str:
    """An aware instant as `2025-10-24T14:30:00.000000Z`, always with microseconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def canonical(entry: dict[str, Any]) -> str:
    """Sorted keys, no spaces, UTF-8, no floats; instants as `stamp`. Raises TypeError on anything else."""
    return json.dumps(_plain(entry), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, datetime) and value.tzinfo:
        return stamp(value)
    if value is None or isinstance(value, str | int):
        return value
    raise TypeError(f"{value!r} cannot stand in a ledger line")
