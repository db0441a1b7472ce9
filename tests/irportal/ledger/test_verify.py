"""Whatever was done to the ledger behind its walls is found."""

import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command

from irportal.ledger import actions, tree
from irportal.ledger.models import Checkpoint, Entry
from tests.database import walls_down

pytestmark = pytest.mark.django_db


@pytest.fixture
def handed_out() -> str:
    """Twelve deeds and the checkpoint over the first nine, as printed in a report: `9:<root>`."""
    for number in range(9):
        actions.append("incident.updated", subject=f"INC-{number}", by=None, text=f"Update {number}")
    point = str(actions.make_checkpoint())
    for number in range(9, 12):
        actions.append("incident.updated", subject=f"INC-{number}", by=None, text=f"Update {number}")
    return point


def witness(handed_out: str) -> tuple[int, str]:
    size, _, root = handed_out.partition(":")
    return int(size), root


def rewrite(n: int, **facts) -> None:
    """Forge an entry so that its own text, columns and hash agree."""
    entry = Entry.objects.get(n=n)
    said = json.loads(entry.line)
    said["facts"] |= facts
    line = tree.canonical(said)
    Entry.objects.filter(n=n).update(line=line, leaf=tree.leaf(line).hex())


def text_changed():
    Entry.objects.filter(n=4).update(line=Entry.objects.get(n=4).line.replace("Update", "Uptake"))


def text_is_nonsense():
    Entry.objects.filter(n=4).update(line="[]", leaf=tree.leaf("[]").hex())


def text_is_no_json():
    Entry.objects.filter(n=10).update(line="{", leaf=tree.leaf("{").hex())


def hash_changed():
    Entry.objects.filter(n=4).update(leaf="0" * 64)


def time_changed():
    entry = Entry.objects.get(n=11)
    Entry.objects.filter(n=11).update(recorded_at=entry.recorded_at - timedelta(minutes=5))


def deed_changed():
    Entry.objects.filter(n=11).update(deed="incident.closed")


def subject_changed():
    Entry.objects.filter(n=11).update(subject="INC-99")


def row_missing():
    Entry.objects.filter(n=4).delete()


def first_row_missing():
    Entry.objects.filter(n=0).delete()


def two_swapped():
    Entry.objects.filter(n=3).update(n=100)
    Entry.objects.filter(n=4).update(n=3)
    Entry.objects.filter(n=100).update(n=4)


def tail_cut_below_the_checkpoint():
    Entry.objects.filter(n__gte=7).delete()


def forged_below_the_checkpoint():
    rewrite(4, text="Nothing happened")


def checkpoint_changed():
    Checkpoint.objects.update(root="0" * 64)


def gap_then_more():
    entry = Entry.objects.get(n=11)
    entry.n = 20
    entry.save(force_insert=True)


FAULTS = [
    text_changed,
    text_is_nonsense,
    text_is_no_json,
    hash_changed,
    time_changed,
    deed_changed,
    subject_changed,
    row_missing,
    first_row_missing,
    two_swapped,
    tail_cut_below_the_checkpoint,
    forged_below_the_checkpoint,
    checkpoint_changed,
    gap_then_more,
]


def test_a_whole_ledger_has_no_fault(handed_out):
    assert actions.verify(witness(handed_out)) == []


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_planted_fault_is_found(handed_out, fault):
    with walls_down():
        fault()

    assert actions.verify()


def test_a_rewritten_database_is_found_by_the_checkpoint_that_left_the_house(handed_out):
    with walls_down():
        rewrite(4, text="Nothing happened")
        Checkpoint.objects.all().delete()
        actions.make_checkpoint()

    assert actions.verify() == []
    assert actions.verify(witness(handed_out)) == ["checkpoint 9: something up to entry 8 was changed"]


def test_a_ledger_cut_short_is_found_by_the_checkpoint_that_left_the_house(handed_out):
    with walls_down():
        Entry.objects.filter(n__gte=5).delete()
        Checkpoint.objects.all().delete()

    assert actions.verify(witness(handed_out)) == ["checkpoint 9: only 5 entries are left"]


def test_the_command_says_ok_with_counts(handed_out, capsys):
    call_command("verify_ledger", checkpoint=handed_out)

    assert capsys.readouterr().out.strip() == "OK 12 entries, 1 checkpoints"


def test_the_command_fails_and_names_the_entry(handed_out):
    with walls_down():
        text_changed()

    with pytest.raises(CommandError, match="FAIL\nentry 4: its text does not match its hash"):
        call_command("verify_ledger")


@pytest.mark.parametrize("typed", ["9", "nine:" + "0" * 64, "9:abc", "-1:" + "0" * 64])
def test_a_mistyped_checkpoint_is_explained(db, typed):
    with pytest.raises(CommandError, match="A checkpoint looks like"):
        call_command("verify_ledger", checkpoint=typed)


def test_the_walls_stand_again_after_a_test_pulled_them_down(handed_out):
    with walls_down():
        pass

    with pytest.raises(Exception, match="append-only"):
        Entry.objects.filter(n=0).update(deed="x")
