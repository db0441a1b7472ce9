"""Deeds on evidence: kept for good, every touch written down, nothing shown that does not match its hash."""

import errno
import hashlib
import os
import time
from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import Error, connection, transaction
from django.utils import timezone

from incidents.evidence import actions, queries, store
from incidents.evidence.models import CustodyLine, EvidenceItem, Hold
from irportal.ledger.models import Entry
from irportal.refused import Refused
from tests.incidents.evidence.kept import LOG, files

pytestmark = pytest.mark.django_db
SUM = hashlib.sha256(LOG).hexdigest()


def deeds(item) -> list[str]:
    return list(item.custody.order_by("pk").values_list("deed", flat=True))


def entries(deed: str) -> int:
    return Entry.objects.filter(deed=deed).count()


# Receiving


def test_a_file_is_kept_by_its_hash_with_who_when_and_from_where(keep, incident, lee, folder):
    # covers R002-06
    item = keep(captured_at=timezone.now() - timedelta(minutes=20), topics=["decisions"])

    assert (item.number, item.size, item.sha256, item.media) == (1, len(LOG), SUM, "text/plain")
    assert (item.received_by, item.received_at, item.source) == (lee, timezone.now(), "guard-7")
    assert files(folder) == [f"{SUM[:2]}/{SUM}"]
    assert (folder / SUM[:2] / SUM).read_bytes() == LOG
    assert deeds(item) == ["received"]
    assert incident.timeline.last().text == "Evidence E-1 added: Guard log"
    assert SUM in Entry.objects.get(deed="evidence.received").line


def test_a_text_and_a_link_have_their_hash_too(keep):
    text, link = keep("14:00 BLOCK\nZürich"), keep(url="https://logs.example/guard?from=14:00")
    assert text.sha256 == hashlib.sha256("14:00 BLOCK\nZürich".encode()).hexdigest()
    assert link.sha256 == hashlib.sha256(b"https://logs.example/guard?from=14:00").hexdigest()
    assert (text.number, link.number) == (1, 2)


def test_files_and_folders_are_for_the_portal_alone(keep, folder):
    keep()
    assert oct((folder / SUM[:2] / SUM).stat().st_mode)[-3:] == "400"
    assert oct((folder / SUM[:2]).stat().st_mode)[-3:] == "700"


def test_a_mistake_is_put_right_by_another_item_and_stays(keep, lee, incident):
    wrong = keep(title="Guard log of tenant Southwind")
    right = actions.receive(
        incident,
        store.of_item(wrong),
        actions.Said(title="Guard log of tenant Northwind", source="guard-7", captured_at=wrong.captured_at),
        by=lee,
        instead_of=wrong,
        reason="Wrong tenant",
    )
    assert (right.sha256, right.number, right.supersedes) == (wrong.sha256, 2, wrong)
    assert list(incident.evidence.in_force()) == [right]
    assert deeds(wrong) == ["received", "superseded"]
    assert incident.timeline.last().text.endswith("in place of E-1: Wrong tenant")


def test_an_item_is_put_right_once(keep, grace):
    wrong = keep()
    keep(instead_of=wrong, reason="Cut too short", by=grace)
    with pytest.raises(Refused, match=r"E-2 by Grace stands in for E-1 already; correct that one"):
        keep(instead_of=wrong, reason="Cut too short")


def test_what_is_said_to_be_taken_ahead_of_now_is_refused(keep, folder):
    with pytest.raises(Refused, match="lies ahead"):
        keep(captured_at=timezone.now() + timedelta(hours=1))
    assert files(folder) == []


def test_an_incident_has_room_for_so_much_and_says_how_much_is_left(keep, settings, incident, folder):
    settings.EVIDENCE_INCIDENT_MB = 1
    keep(b"a" * 700_000)
    with pytest.raises(
        Refused, match=r"INC-1 has room for 0\.3 MB more evidence \(1 MB in all\); this file has 0\.4 MB"
    ):
        keep(b"b" * 400_000)
    assert (incident.evidence.count(), len(files(folder))) == (1, 1)
    keep(b"a" * 700_000, title="The same again takes no room")


def test_two_incidents_share_a_file_and_each_has_its_item(keep, declare, folder):
    other = declare(title="Another", impact="Something else.")
    assert (keep().number, keep(incident=other).number) == (1, 1)
    assert len(files(folder)) == 1


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, "The disk for evidence is full. Nothing was kept"),
        (errno.EDQUOT, "The disk for evidence is full. Nothing was kept"),
        (errno.EACCES, "The folder for evidence cannot be written to. Nothing was kept"),
        (errno.EIO, "The folder for evidence cannot be written to. Nothing was kept"),
    ],
)
@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_disk_that_refuses_gives_a_sentence_and_no_row(keep, incident, folder, monkeypatch, number, sentence, where):
    def refuse(*given, **named):
        raise OSError(number, "no")

    before = Entry.objects.count()
    monkeypatch.setattr(*((os, "fsync") if where == "fsync" else ("pathlib.Path.replace",)), refuse)
    with pytest.raises(Refused, match=sentence):
        keep()
    assert (incident.evidence.count(), Entry.objects.count(), files(folder)) == (0, before, [])


def test_a_folder_that_is_none_gives_a_sentence_and_no_row(keep, incident, folder):
    folder.parent.mkdir(exist_ok=True)
    folder.write_text("in the way")
    with pytest.raises(Refused, match="The folder for evidence cannot be written to"):
        keep()
    assert incident.evidence.count() == 0


def test_what_a_killed_process_left_is_swept_away_after_a_day(keep, folder):
    keep()
    old, new = folder / "incoming" / "old.part", folder / "incoming" / "new.part"
    for left in (old, new):
        left.write_bytes(b"half")
    os.utime(old, (time.time() - 90_000,) * 2)
    os.utime(new, (time.time(),) * 2)
    keep(b"Another log\n")
    assert (old.exists(), new.exists()) == (False, True)


# Reading


def test_reading_is_written_down_before_the_bytes_leave(keep, grace):
    item = keep()
    handle = actions.read(item, by=grace, purpose="Root cause")
    assert deeds(item) == ["received", "read"]
    line = item.custody.last()
    assert (line.by, line.detail, line.at) == (grace, "Root cause", timezone.now())
    assert entries("evidence.read") == 1
    assert b"".join(store.pieces(handle, item.sha256)) == LOG


def test_what_cannot_be_written_down_is_not_read(keep, grace, monkeypatch):
    item = keep()

    def broken(*given, **named):
        raise RuntimeError("no ledger")

    monkeypatch.setattr(actions.ledger, "append", broken)
    with pytest.raises(RuntimeError):
        actions.read(item, by=grace)
    assert deeds(item) == ["received"]


def spoil(item, how: str) -> None:
    place = store.path_of(item.sha256)
    place.chmod(0o600)
    if how == "missing":
        place.unlink()
    elif how == "a folder":
        place.unlink()
        place.mkdir()
    else:
        place.write_bytes(LOG[:-1] if how == "shorter" else LOG.replace(b"BLOCK", b"ALLOW"))


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("missing", "its file is missing"),
        ("shorter", "it was changed after it was received"),
        ("changed", "it was changed after it was received"),
        ("a folder", "its file cannot be read"),
    ],
)
def test_what_does_not_match_its_hash_is_never_shown_and_that_is_recorded(keep, incident, grace, how, words):
    item = keep()
    spoil(item, how)
    for _ in range(2):
        with pytest.raises(Refused, match=f"E-1 cannot be shown: {words}"):
            actions.read(item, by=grace)
    assert deeds(item) == ["received", "damaged", "damaged"]
    assert entries("evidence.damaged") == 2
    assert entries("evidence.read") == 0
    assert list(incident.timeline.filter(text__contains="damaged").values_list("text", flat=True)) == [
        f"Evidence E-1 is damaged: {words}."
    ]


def test_a_file_changed_while_it_is_handed_out_breaks_off_before_its_end(keep, grace):
    item = keep(b"a" * 600_000)
    handle = actions.read(item, by=grace)
    place = store.path_of(item.sha256)
    place.chmod(0o600)
    place.write_bytes(b"a" * 599_999 + b"b")
    taken = []
    with pytest.raises(store.Damaged):
        taken.extend(store.pieces(handle, item.sha256))
    assert len(b"".join(taken)) < 600_000


def test_every_hash_is_checked_at_once_and_each_item_has_its_line(keep, incident, grace):
    whole, spoilt, text = keep(), keep(b"Another log\n"), keep("14:00 BLOCK")
    store.path_of(spoilt.sha256).unlink()
    assert [(item.ref, how) for item, how in actions.verify(incident, by=grace)] == [("E-2", "its file is missing")]
    assert [deeds(item)[-1] for item in (whole, spoilt, text)] == ["verified", "damaged", "verified"]
    assert [item.found for item in queries.items(incident)] == ["verified", "damaged", "verified"]


def test_the_file_put_back_makes_it_whole_again(keep, incident, grace):
    item = keep()
    spoil(item, "changed")
    actions.verify(incident, by=grace)
    store.path_of(item.sha256).write_bytes(LOG)
    assert actions.verify(incident, by=grace) == []
    assert deeds(item) == ["received", "damaged", "verified"]


# Holds


def test_a_hold_is_placed_and_lifted_with_a_reason_and_written_everywhere(keep, incident, grace, lin):
    item = keep()
    placed = actions.hold(incident, reason="AI Act 73(6)", by=grace, item=item)
    assert queries.held(item)
    actions.lift(placed, reason="Authority informed", by=lin)
    assert not queries.held(item)
    assert deeds(item) == ["received", "held", "lifted"]
    assert [entries(f"evidence.hold_{done}") for done in ("placed", "lifted")] == [1, 1]
    assert incident.timeline.last().text == "Hold on evidence E-1 lifted: Authority informed"


def test_a_hold_on_everything_holds_what_comes_later_too(keep, incident, grace):
    before = keep()
    actions.hold(incident, reason="Litigation", by=grace)
    after = keep("14:00 BLOCK")
    assert queries.held(before)
    assert queries.held(after)
    assert [item.is_held for item in queries.items(incident)] == [True, True]


def test_a_hold_is_placed_once_and_lifted_once(keep, incident, grace, lin):
    placed = actions.hold(incident, reason="Litigation", by=grace)
    with pytest.raises(Refused, match="Grace placed this hold on 2026-03-02, 14:30 UTC already"):
        actions.hold(incident, reason="Me too", by=lin)
    actions.lift(placed, reason="Settled", by=lin)
    with pytest.raises(Refused, match="Lin lifted this hold"):
        actions.lift(placed, reason="Settled", by=grace)
    actions.hold(incident, reason="Appeal", by=lin)
    assert Hold.objects.count() == 2


# Walls


@pytest.mark.parametrize("table", ["evidenceitem", "custodyline", "aicontext", "aidecision"])
@pytest.mark.parametrize(
    "attack",
    ["UPDATE incidents_{table} SET id = id", "DELETE FROM incidents_{table}", "{again}"],
    ids=["update", "delete", "replace"],
)
def test_what_was_received_said_or_done_refuses_to_be_changed(table, attack, keep, incident, lee):
    keep()
    context(incident, lee)
    connection.check_constraints()  # so that nothing but the wall stands in the way
    if connection.vendor == "postgresql":
        again = f"TRUNCATE incidents_{table} CASCADE"
    else:
        again = f"INSERT OR REPLACE INTO incidents_{table} SELECT * FROM incidents_{table}"
    statement = attack.format(table=table, again=again)
    with pytest.raises(Error, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def context(incident, lee) -> None:
    data = dict.fromkeys(queries.FIELDS, "") | {"model_before": "atlas-4"}
    data |= {f"{name}_{part}": None for name in ("cost", "latency", "success") for part in ("before", "after")}
    row = {"at": None, "verdict": "block", "what": "refund", "rule": "pay-2", "rationale": "Twice in a minute"}
    actions.save_context(incident, data, [row], by=lee, seen=0)


def test_a_deed_taken_back_leaves_nothing(keep, incident, grace):
    before = (Entry.objects.count(), CustodyLine.objects.count(), EvidenceItem.objects.count())
    with transaction.atomic():
        actions.read(keep("14:00 BLOCK"), by=grace).close()
        actions.hold(incident, reason="Litigation", by=grace)
        transaction.set_rollback(True)
    assert (Entry.objects.count(), CustodyLine.objects.count(), EvidenceItem.objects.count()) == before


def test_an_empty_upload_is_refused(keep, folder):
    with pytest.raises(Refused, match="The file is empty"), store.received(SimpleUploadedFile("x.log", b"")):
        pass
    assert files(folder) == []
