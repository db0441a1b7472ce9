"""All evidence of an incident as one ZIP file that a stranger can check with `sha256sum -c`.

Made as it is sent: no more than a piece of a file is in memory. Equal input gives equal bytes: nothing is compressed,
and the only times in it are those of the manifest.
"""

import hashlib
import json
import zipfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from incidents.evidence import queries, store
from incidents.evidence.contents import plain_name
from incidents.evidence.models import AiContext, AiDecision, CustodyLine, EvidenceItem, Hold
from incidents.lifecycle.models import Incident
from irportal.ledger import tree

SCHEMA = 1
INSTANTS = ("started", "detected", "declared", "acknowledged", "identified", "contained", "recovered", "resolved")
README = """Evidence of {ref}: {title}

Taken out on {at} by {by}{purpose}

  files/         every item as it was received, by its number
  manifest.json  what each item is, who received it when and from where, who touched it since (schema {schema})
  SHA256SUMS     the SHA-256 of each file here

To check that nothing was changed, unpack this file and run in its folder:

  sha256sum -c SHA256SUMS        (macOS: shasum -a 256 -c SHA256SUMS; Windows: Get-FileHash files\\*)

Every line must end in OK. The hashes of files/ are those taken when the items were received: compare them with
"sha256" in manifest.json. That this pack was made is entry {entry} of the portal's ledger; the checkpoint over it is
{checkpoint}
and `manage.py verify_ledger --checkpoint SIZE:ROOT` with it shows whether the ledger still says what it said then.
{left_out}"""


class Sink:
    """Where zipfile writes; what it wrote is taken out again at once. It cannot go back, so zipfile does not ask."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self.parts.append(bytes(data))
        return len(data)

    def flush(self) -> None: ...

    def taken(self) -> bytes:
        data = b"".join(self.parts)
        self.parts.clear()
        return data


def pieces(manifest: dict[str, Any], items: Iterable[EvidenceItem]) -> Iterator[bytes]:
    """The ZIP file. `items` are those the manifest names a file for, and were found whole a moment ago."""
    sink, folder = Sink(), f"{manifest['incident']['ref']}-evidence"
    at = datetime.fromisoformat(manifest["exported"]["at"])
    sums: dict[str, str] = {}
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]
        for name, data in _papers(manifest).items():
            sums[name] = hashlib.sha256(data).hexdigest()
            archive.writestr(_entry(f"{folder}/{name}", at), data)
            yield sink.taken()
        for item in items:
            name = file_name(item)
            sums[name] = item.sha256
            info = _entry(f"{folder}/{name}", item.received_at)
            info.file_size = item.size
            with archive.open(info, "w") as file:
                for piece in store.pieces(store.open_whole(item), item.sha256):
                    file.write(piece)
                    yield sink.taken()
            yield sink.taken()
        lines = "".join(f"{digest}  {name}\n" for name, digest in sums.items())
        archive.writestr(_entry(f"{folder}/SHA256SUMS", at), lines)
    yield sink.taken()


def file_name(item: EvidenceItem) -> str:
    """Where an item lies in the pack: its number, and a name of plain letters."""
    name = plain_name(item.name) if item.name else "text.txt" if item.text else "address.txt"
    return f"files/E-{item.number:03}-{name}"


def _entry(name: str, at: datetime) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, at.astimezone(UTC).timetuple()[:6])
    info.create_system, info.external_attr = 3, 0o100644 << 16
    return info


def _papers(manifest: dict[str, Any]) -> dict[str, bytes]:
    exported, left_out = manifest["exported"], [row for row in manifest["items"] if row["damaged"]]
    readme = README.format(
        ref=manifest["incident"]["ref"],
        title=manifest["incident"]["title"],
        at=exported["at"],
        by=exported["by"],
        purpose=f" for: {exported['purpose']}" if exported["purpose"] else "",
        schema=SCHEMA,
        entry=manifest["ledger"]["entry"],
        checkpoint=manifest["ledger"]["checkpoint"],
        left_out="".join(f"\nLeft out: {row['item']}, because {row['damaged']}." for row in left_out),
    )
    text = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False)
    return {"README.txt": readme.encode(), "manifest.json": text.encode()}


def manifest(
    incident: Incident,
    *,
    items: list[EvidenceItem],
    faults: dict[int, str],
    custody: list[CustodyLine],
    holds: list[Hold],
    contexts: list[AiContext],
    exported: dict[str, str],
    ledger: dict[str, Any],
) -> dict[str, Any]:
    """What manifest.json says. `faults` are the damaged items by id; they are described and have no file."""
    return {
        "schema": SCHEMA,
        "about": "Evidence of one incident. Times are UTC; sha256 was taken when an item was received.",
        "incident": {
            "ref": incident.ref,
            "title": incident.title,
            "type": str(incident.type),
            "severity": incident.severity_label,
            "status": incident.status,
            "policy": str(incident.policy_version),
            "instants": {name: _stamp(getattr(incident, f"{name}_at")) for name in INSTANTS},
        },
        "exported": exported,
        "ledger": ledger,
        "items": [_item(item, faults.get(item.pk, "")) for item in sorted(items, key=lambda item: item.number)],
        "custody": [_line(line) for line in custody],
        "holds": [_hold(hold) for hold in holds],
        "ai_context": [
            {"revision": said.revision, "saved_at": _stamp(said.saved_at), "saved_by": said.saved_by.email}
            | context_facts(said, list(said.decisions.all()))
            for said in reversed(contexts)
        ],
    }


def _item(item: EvidenceItem, fault: str) -> dict[str, Any]:
    names = ("kind", "title", "source", "note", "name", "media", "url", "size", "sha256", "reason")
    return {name: getattr(item, name) for name in names} | {
        "item": item.ref,
        "file": "" if fault else file_name(item),
        "damaged": fault,
        "shows": item.topics.split(),
        "captured_at": _stamp(item.captured_at),
        "received_at": _stamp(item.received_at),
        "received_by": item.received_by.email,
        "may_hold_personal_data": item.personal,
        "stands_in_for": item.supersedes.ref if item.supersedes else None,
    }


def _line(line: CustodyLine) -> dict[str, Any]:
    return {
        "at": _stamp(line.at),
        "item": line.item.ref if line.item else None,
        "deed": line.deed,
        "by": line.by.email,
        "detail": line.detail,
    }


def _hold(hold: Hold) -> dict[str, Any]:
    return {
        "on": hold.what,
        "reason": hold.reason,
        "placed_at": _stamp(hold.placed_at),
        "placed_by": hold.placed_by.email,
        "lifted_at": _stamp(hold.lifted_at),
        "lifted_by": hold.lifted_by.email if hold.lifted_by else None,
        "lift_reason": hold.lift_reason,
    }


def context_facts(said: AiContext, decisions: list[AiDecision]) -> dict[str, Any]:
    """What one revision says, as plain values; numbers as they were typed."""
    words = {name: value for name in queries.FIELDS if (value := said.typed(name))}
    rows = [
        {"at": _stamp(row.at), "verdict": row.verdict, "what": row.what, "rule": row.rule, "why": row.rationale}
        for row in decisions
    ]
    return words | {"decisions": rows}


def _stamp(at: datetime | None) -> str | None:
    return tree.stamp(at) if at else None
