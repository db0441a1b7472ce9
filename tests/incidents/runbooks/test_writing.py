"""Staff write runbooks and their versions; a text in force has a number, an author and a reason."""

import hashlib

import pytest

from incidents.policy.models import IncidentType
from incidents.runbooks import actions, queries
from incidents.runbooks.manuscript import Unreadable
from incidents.runbooks.models import Runbook
from irportal.ledger import actions as ledger
from irportal.ledger.models import Entry
from irportal.refused import Refused
from tests.incidents.runbooks.conftest import SMALL
from tests.incidents.test_bad_input import at_once

pytestmark = pytest.mark.django_db
QUIETER = SMALL.replace("Tell customers.", "Tell nobody.").replace("types: [T01]", "types: [T02, T03]")


# covers R000-28
def test_a_text_becomes_version_one_with_its_hash_steps_and_types(small, grace):
    version = small.version_in_force
    assert (version.number, version.author, version.change_note) == (1, grace, "First")
    assert version.sha256 == hashlib.sha256(SMALL.encode()).hexdigest()
    assert [step.position for step in version.steps.all()] == [1, 2, 3]
    assert list(small.types.values_list("code", flat=True)) == ["T01"]
    assert small.repository == "https://git.example.com/api/runbook.md"
    assert version.asks.split() == ["restart", "errors", "health"]


def test_a_new_version_comes_into_force_and_the_old_one_stays_to_be_read(small, grace, lin):
    actions.rewrite(small, QUIETER, note="Quieter", by=lin, seen=1)
    small.refresh_from_db()
    assert (small.version_in_force.number, small.version_in_force.author) == (2, lin)
    assert sorted(small.types.values_list("code", flat=True)) == ["T02", "T03"]
    assert small.versions.get(number=1).source == SMALL


def test_what_others_wrote_meanwhile_is_told_and_not_overwritten(small, grace, lin):
    actions.rewrite(small, QUIETER, note="Quieter", by=lin, seen=1)
    with pytest.raises(Refused, match=r"Lin added version 2 at .* UTC: Quieter"):
        actions.rewrite(small, SMALL.replace("Tell", "Call"), note="Louder", by=grace, seen=1)
    assert small.versions.count() == 2


def test_the_same_text_is_no_new_version_but_going_back_is_one(small, grace):
    with pytest.raises(Refused, match="Nothing changes: this is the text of version 1"):
        actions.rewrite(small, SMALL.replace("\n", "\r\n"), note="Same", by=grace, seen=1)
    actions.rewrite(small, QUIETER, note="Quieter", by=grace, seen=1)
    actions.rewrite(small, SMALL, note="Back", by=grace, seen=2)
    small.refresh_from_db()
    assert small.version_in_force.number == 3


def test_a_code_is_taken_once_and_stays(small, grace):
    with pytest.raises(Refused, match="There is a runbook restart-api already"):
        actions.write(SMALL, note="Again", by=grace)
    with pytest.raises(Unreadable, match="Line 2: “code” stays restart-api over all versions; it says restart-web"):
        actions.rewrite(small, SMALL.replace("restart-api", "restart-web"), note="x", by=grace, seen=1)


def test_a_type_that_does_not_exist_is_refused_with_its_line(organisation, grace):
    with pytest.raises(Unreadable, match="Line 5: “T77” is no type of incident"):
        actions.write(SMALL.replace("T01", "T77"), note="x", by=grace)
    assert not Runbook.objects.exists()


def test_a_withdrawn_runbook_is_offered_no_more_until_a_new_version(declare, small, grace):
    incident = declare()
    actions.withdraw(small, reason="Wrong", by=grace)
    assert queries.offered(incident) == []
    with pytest.raises(Refused, match="withdrawn already"):
        actions.withdraw(small, reason="Wrong", by=grace)
    actions.rewrite(small, SMALL.replace("Tell", "Call"), note="Right", by=grace, seen=1)
    assert queries.offered(incident) == [small]


def test_writing_and_withdrawing_are_in_the_ledger(small, grace):
    actions.rewrite(small, QUIETER, note="Quieter", by=grace, seen=1)
    actions.withdraw(small, reason="Wrong", by=grace)
    deeds = Entry.objects.filter(subject="runbook:restart-api").values_list("deed", flat=True)
    assert list(deeds) == ["runbook.version_written", "runbook.version_written", "runbook.withdrawn"]
    assert ledger.verify() == []


def test_the_difference_names_what_went_and_what_came(small):
    lines = queries.difference(SMALL, QUIETER)
    assert [line.text for line in lines if line.sort == "removed"] == ["types: [T01]", "3. Tell customers."]
    assert [line.text for line in lines if line.sort == "added"] == ["types: [T02, T03]", "3. Tell nobody."]
    assert [line.sort for line in lines].count("gap") == 2
    assert queries.difference(SMALL, SMALL) == []


def test_one_question_finds_what_is_offered(declare, shipped, django_assert_num_queries):
    incident = declare(type="T14")
    with django_assert_num_queries(1):
        queries.offered(incident)
    assert IncidentType.objects.get(code="T14").runbooks.count() == 4


@pytest.mark.django_db(transaction=True)
def test_two_people_saving_at_the_same_moment_save_one_after_the_other(small, grace, lin):
    def save(text, by):
        return lambda: actions.rewrite(small, text, note="Mine", by=by, seen=1)

    answers = at_once(save(QUIETER, grace), save(SMALL.replace("Tell", "Call"), lin))
    [loser] = [answer for answer in answers if isinstance(answer, Refused)]
    assert "added version 2" in str(loser)
    assert small.versions.count() == 2
