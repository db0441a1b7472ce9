"""The pack: a stranger checks it with tools of their own."""

import io
import json
import shutil
import subprocess
import tracemalloc
import zipfile

import pytest

from incidents.evidence import actions, pack, store
from irportal.ledger import actions as ledger
from irportal.ledger.models import Entry
from tests.incidents.evidence.kept import LOG

pytestmark = pytest.mark.django_db


def packed(incident, by, purpose="For the auditor") -> bytes:
    return b"".join(actions.export(incident, by=by, purpose=purpose))


def told(data: bytes) -> dict:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return json.loads(archive.read("INC-1-evidence/manifest.json"))


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="there is no sha256sum here; macOS has shasum -a 256")
def test_sha256sum_checks_every_file_of_it(keep, incident, grace, tmp_path):
    keep()
    keep("Zürich\n", title="A text")
    keep(url="https://logs.example/guard")
    keep(b"%PDF-1.7\n%%EOF\n", name="Übersicht 東京 (1).pdf")
    with zipfile.ZipFile(io.BytesIO(packed(incident, grace))) as archive:
        assert archive.testzip() is None
        archive.extractall(tmp_path)
    done = subprocess.run(
        ["sha256sum", "-c", "SHA256SUMS"], cwd=tmp_path / "INC-1-evidence", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": OK") == 6
    (tmp_path / "INC-1-evidence" / "files" / "E-001-guard.log").write_bytes(LOG.replace(b"BLOCK", b"ALLOW"))
    again = subprocess.run(
        ["sha256sum", "-c", "SHA256SUMS"], cwd=tmp_path / "INC-1-evidence", capture_output=True, check=False
    )
    assert again.returncode == 1


def test_the_manifest_says_what_who_when_and_every_touch(keep, incident, grace, lin, lee):
    item = keep(topics=["decisions", "requests"])
    actions.read(item, by=lin, purpose="Root cause").close()
    actions.hold(incident, reason="Litigation", by=grace, item=item)
    said = told(packed(incident, grace))

    assert said["schema"] == 1
    assert said["incident"]["ref"] == "INC-1"
    assert said["exported"] == {"at": "2026-03-02T14:30:00.000000Z", "by": grace.email, "purpose": "For the auditor"}
    [row] = said["items"]
    assert (row["item"], row["sha256"], row["file"]) == ("E-1", item.sha256, "files/E-001-guard.log")
    assert (row["shows"], row["received_by"], row["damaged"]) == (["decisions", "requests"], lee.email, "")
    assert [line["deed"] for line in said["custody"]] == ["received", "read", "held", "exported", "exported"]
    assert said["custody"][1] == {
        "at": "2026-03-02T14:30:00.000000Z",
        "by": lin.email,
        "deed": "read",
        "detail": "Root cause",
        "item": "E-1",
    }
    assert said["holds"][0]["reason"] == "Litigation"


def test_that_it_left_is_in_the_ledger_and_the_checkpoint_it_carries_holds(keep, incident, grace):
    keep()
    said = told(packed(incident, grace))["ledger"]
    entry = Entry.objects.get(deed="evidence.exported")
    assert (said["entry"], said["leaf"]) == (entry.n, entry.leaf)
    size, _, root = said["checkpoint"].partition(":")
    assert ledger.verify((int(size), root)) == []


def test_equal_input_gives_equal_bytes(keep, incident, grace, freezer):
    item = keep()
    keep("14:00 BLOCK")
    said = told(packed(incident, grace))
    rows = list(incident.evidence.order_by("number"))
    one = b"".join(pack.pieces(said, rows))
    freezer.shift(100)
    assert b"".join(pack.pieces(said, rows)) == one
    assert item.sha256.encode() in one


def test_names_in_it_stay_below_its_folder(keep, incident, grace):
    for name in ("../../evil.log", "/etc/passwd", "..\\evil.log", "C:\\evil.log", "evil\0.log", "e\u202evil.log"):
        keep(f"{name}\n".encode("utf-8", "ignore").replace(b"\0", b""), name=name)
    with zipfile.ZipFile(io.BytesIO(packed(incident, grace))) as archive:
        names = archive.namelist()
    assert all(name.startswith("INC-1-evidence/") and name.isascii() for name in names)
    assert not [name for name in names if ".." in name or "\\" in name or ":" in name or "\0" in name]
    assert len({*names}) == len(names)


def test_a_damaged_item_is_named_and_left_out(keep, incident, grace):
    keep()
    store.path_of(keep(b"Another log\n").sha256).unlink()
    data = packed(incident, grace)
    said = told(data)
    assert [(row["item"], row["file"], row["damaged"]) for row in said["items"]] == [
        ("E-1", "files/E-001-guard.log", ""),
        ("E-2", "", "its file is missing"),
    ]
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert "Left out: E-2, because its file is missing." in archive.read("INC-1-evidence/README.txt").decode()
        assert "INC-1-evidence/files/E-001-guard.log" in archive.namelist()
    assert incident.custody.filter(deed="damaged").count() == 1


def test_a_file_that_changes_while_the_pack_leaves_breaks_it_off(keep, incident, grace):
    item = keep(b"a" * 600_000)
    data = actions.export(incident, by=grace)
    store.path_of(item.sha256).chmod(0o600)
    store.path_of(item.sha256).write_bytes(b"b" * 600_000)
    got = io.BytesIO()
    with pytest.raises(store.Damaged):
        got.writelines(data)
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(got)


def test_a_large_pack_is_never_in_memory(keep, incident, grace):
    for number in range(3):
        keep(bytes([97 + number]) * 12_000_000)
    data = actions.export(incident, by=grace)
    tracemalloc.start()
    total = sum(len(piece) for piece in data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total > 36_000_000
    assert peak < 4_000_000


def test_an_incident_without_evidence_has_a_pack_that_says_so(incident, grace):
    assert told(packed(incident, grace))["items"] == []
