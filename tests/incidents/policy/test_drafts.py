"""From a clone to a version in force: who may do what when, and what never changes again."""

import copy
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import Error, IntegrityError, connection, transaction
from django.utils import timezone

from incidents.policy import actions, documents, queries
from incidents.policy.models import DefaultChoice, PolicyProfile, PolicyVersion, PolicyWriter
from irportal.ledger.models import Entry
from irportal.refused import Refused
from tests import people

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture
def shipped(db) -> PolicyVersion:
    return actions.load_shipped()


@pytest.fixture
def draft(shipped, grace) -> PolicyVersion:
    return actions.clone(shipped, into="default-unified", by=grace)


def submit(version, by, **given):
    return actions.submit(version, **({"change_note": "Sooner", "by": by, "seen": version.revision} | given))


def approve(version, by, **given):
    return actions.approve(version, by=by, **({"sha256": version.sha256} | given))


def newest(version):
    return PolicyVersion.objects.get(pk=version.pk)


# Cloning


def test_a_clone_says_what_the_version_says_and_is_a_draft_with_the_next_number(draft, shipped):
    said, before = queries.document(draft), queries.document(shipped)
    kept = set(said) - {"version"}
    assert {key: said[key] for key in kept} == {key: before[key] for key in kept}
    assert (draft.number, draft.state, draft.cloned_from) == (2, "draft", shipped)
    assert PolicyVersion.objects.in_force(timezone.now()) == shipped


def test_a_read_only_profile_is_cloned_into_one_of_our_own(shipped, grace):
    seed = actions.load_literal()[0]
    with pytest.raises(Refused, match="shipped to be read and never changed"):
        actions.clone(seed, into="seed-000", by=grace)
    ours = actions.clone(seed, into="ours", by=grace)
    assert (str(ours), ours.profile.read_only, ours.profile.is_default) == ("ours, version 1", False, False)


def test_a_profile_has_one_draft_at_a_time(draft, shipped, lin):
    with pytest.raises(Refused, match="version 2 is a draft by Grace already"):
        actions.clone(shipped, into="default-unified", by=lin)
    with pytest.raises(IntegrityError), transaction.atomic():
        PolicyVersion.objects.create(profile=draft.profile, number=3, sha256="x")


# Editing


def test_a_change_of_a_part_changes_that_part_alone(draft, grace):
    before = queries.document(draft)
    draft = actions.change(draft, {"grace": "5m"}, by=grace, seen=1)
    after = queries.document(newest(draft))
    assert (draft.grace_seconds, draft.revision) == (300, 2)
    assert {key for key in after if after[key] != before.get(key)} == {"grace"}
    assert '"changes":["Grace of a repeated update: 2 min → 5 min"]' in Entry.objects.last().line


def test_the_rows_always_say_what_the_document_says(draft, grace):
    part = copy.deepcopy(queries.document(draft))
    part["matrix"][1]["customers"]["duties"][0]["first"] = "20m"
    part["severities"][4]["enabled"] = False
    draft = actions.change(draft, {"matrix": part["matrix"], "severities": part["severities"]}, by=grace, seen=1)
    assert queries.from_rows(newest(draft)) == queries.document(newest(draft))
    assert draft.obligations.get(cell__rank=1, message_class="status_update").first == "20m"


def test_saving_nothing_new_leaves_no_trace(draft, lin):
    before = Entry.objects.count()
    assert actions.change(draft, {"grace": "2m"}, by=lin, seen=1).revision == 1
    assert Entry.objects.count() == before
    assert not draft.writers.filter(person=lin).exists()


def test_what_would_be_no_policy_is_refused_whole(draft, grace):
    with pytest.raises(Refused, match="is not a length of time"):
        actions.change(draft, {"grace": "soon"}, by=grace, seen=1)
    assert newest(draft).revision == 1


def test_the_second_of_two_writers_sees_what_the_first_changed(draft, grace, lin):
    actions.change(draft, {"grace": "5m"}, by=lin, seen=1)
    with pytest.raises(Refused, match=r"Meanwhile Lin saved at .*Grace of a repeated update: 2 min → 5 min"):
        actions.change(draft, {"holding_max_consecutive": 1}, by=grace, seen=1)
    assert newest(draft).holding_max_consecutive == 2


# Submitting and approving


def test_a_draft_comes_into_force_when_somebody_else_approves_it(draft, grace, lin, freezer):
    draft = actions.change(draft, {"grace": "5m"}, by=grace, seen=1)
    approved = approve(submit(draft, grace), lin)
    assert PolicyVersion.objects.in_force(timezone.now()) == approved
    assert (approved.approved_by, approved.author, approved.grace_seconds) == (lin, grace, 300)
    assert newest(approved).sha256 == documents.digest(queries.document(newest(approved)))


def test_whoever_wrote_at_it_cannot_approve_it(draft, grace, lin, root):
    draft = actions.change(draft, {"grace": "5m"}, by=lin, seen=1)
    waits = submit(draft, grace)
    for writer in (grace, lin):
        with pytest.raises(Refused, match="You wrote at this version"):
            approve(waits, writer)
    assert approve(waits, root).approved_by == root


def test_whoever_submits_it_cannot_approve_it(draft, lin):
    with pytest.raises(Refused, match="You wrote at this version"):
        approve(submit(draft, lin), lin)


def test_the_database_refuses_an_author_who_approves(draft, grace):
    with pytest.raises(IntegrityError), transaction.atomic():
        PolicyVersion.objects.filter(pk=draft.pk).update(
            approved_by=grace, approved_at=timezone.now(), effective_from=timezone.now()
        )


def test_an_approval_is_bound_to_what_was_read(draft, grace, lin):
    waits = submit(draft, grace)
    seen = waits.sha256
    actions.send_back(waits, reason="Even sooner", by=lin)
    waits = submit(actions.change(newest(waits), {"grace": "1m"}, by=grace, seen=1), grace)
    with pytest.raises(Refused, match="It changed after you opened this page"):
        approve(waits, lin, sha256=seen)


def test_it_can_come_into_force_later_and_not_before_now(draft, grace, lin, freezer):
    waits, now = submit(draft, grace), timezone.now()
    with pytest.raises(Refused, match="has passed"):
        approve(waits, lin, effective_from=now - HOUR)
    approve(waits, lin, effective_from=now + HOUR)
    assert PolicyVersion.objects.in_force(now).number == 1
    assert PolicyVersion.objects.in_force(now + HOUR).number == 2


@pytest.mark.parametrize(
    ("deed", "sentence"),
    [
        (lambda v, by: approve(v, by), "does not wait for approval; it is a draft"),
        (lambda v, by: actions.send_back(v, reason="x", by=by), "does not wait for approval; it is a draft"),
        (
            lambda v, by: actions.change(submit(v, by), {"grace": "5m"}, by=by, seen=1),
            "waits for approval; send it back",
        ),
        (lambda v, by: submit(submit(v, by), by), "waits for approval; send it back"),
        (lambda v, by: submit(v, by, change_note=" "), "Say in one sentence why"),
        (lambda v, by: actions.send_back(submit(v, by), reason=" ", by=by), "Say what should change"),
        (lambda v, by: actions.withdraw(v, reason=" ", by=by), "Say why it is given up"),
        (
            lambda v, by: submit(actions.withdraw(v, reason="x", by=by), by),
            "version 2 was withdrawn; clone it to a new draft",
        ),
        (lambda v, by: actions.withdraw(actions.withdraw(v, reason="x", by=by), reason="y", by=by), "was withdrawn"),
    ],
)
def test_what_cannot_be_done_now_is_refused_in_a_sentence(draft, grace, deed, sentence):
    with pytest.raises(Refused, match=sentence):
        deed(draft, grace)


def test_an_approved_version_is_neither_changed_nor_withdrawn(draft, grace, lin):
    approved = approve(submit(draft, grace), lin)
    for deed in (
        lambda: actions.change(approved, {"grace": "9m"}, by=grace, seen=1),
        lambda: submit(approved, grace),
        lambda: actions.withdraw(approved, reason="x", by=grace),
    ):
        with pytest.raises(Refused, match="was approved by Lin and never changes; clone it to a new draft"):
            deed()
    with pytest.raises(Refused, match="Lin approved default-unified, version 2 meanwhile"):
        approve(approved, people.person("Root", "admin"))


def test_a_withdrawn_number_is_not_used_again(draft, shipped, grace):
    actions.withdraw(draft, reason="Not now", by=grace)
    assert actions.clone(shipped, into="default-unified", by=grace).number == 3


@pytest.mark.django_db(transaction=True)
def test_two_who_approve_at_once_approve_once(grace, lin, root):
    waits = submit(actions.clone(actions.load_shipped(), into="default-unified", by=grace), grace)
    barrier, said = Barrier(2), []

    def try_it(by):
        barrier.wait()
        try:
            approve(waits, by)
        except Refused as refusal:
            said.append(str(refusal))
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(try_it, [lin, root]))
    assert len(said) == 1
    assert "meanwhile; it is approved once" in said[0]
    assert Entry.objects.filter(deed="policy.approved").count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_who_clone_at_once_make_one_draft(grace, lin):
    shipped, barrier, said = actions.load_shipped(), Barrier(2), []

    def try_it(by):
        barrier.wait()
        try:
            actions.clone(shipped, into="default-unified", by=by)
        except Refused as refusal:
            said.append(str(refusal))
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(try_it, [grace, lin]))
    assert len(said) == PolicyVersion.objects.filter(number=2).count() == 1


# Incidents


def test_an_incident_keeps_the_version_it_was_declared_under(declare, grace, lin):
    before = declare()
    draft = actions.clone(before.policy_version, into="default-unified", by=grace)
    approve(submit(actions.change(draft, {"grace": "5m"}, by=grace, seen=1), grace), lin)
    after = declare(title="Another")
    before.refresh_from_db()
    assert (before.policy_version.number, after.policy_version.number) == (1, 2)


# Walls


CHILDREN = [
    *("severitylevel", "notifyrule", "escalationrule", "approvalrule", "matrixcell", "commobligation"),
    *("thresholdrule", "gateitem", "checkpoint"),
]


def sql(statement):
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.mark.parametrize("table", CHILDREN)
@pytest.mark.parametrize(
    "attack",
    [
        "UPDATE incidents_{t} SET version_id = version_id WHERE version_id = {approved}",
        "UPDATE incidents_{t} SET version_id = {approved} WHERE version_id = {draft}",
        "UPDATE incidents_{t} SET version_id = {draft} WHERE version_id = {approved}",
        "DELETE FROM incidents_{t} WHERE version_id = {approved}",
        "DELETE FROM incidents_{t}",
    ],
)
def test_what_an_approved_version_says_refuses_to_be_changed(table, attack, draft, shipped):
    with pytest.raises(Error, match="append-only"):
        sql(attack.format(t=table, approved=shipped.pk, draft=draft.pk))


@pytest.mark.parametrize("table", CHILDREN)
def test_nothing_is_added_to_an_approved_version(table, draft, shipped):
    row = apps.get_model("incidents", table).objects.filter(version=draft).first()
    row.pk, row.version = None, shipped
    with pytest.raises(Error, match="append-only"), transaction.atomic():
        row.save(force_insert=True)


@pytest.mark.parametrize(
    "attack",
    [
        "UPDATE incidents_policyversion SET approved_at = NULL WHERE id = {pk}",
        "UPDATE incidents_policyversion SET grace_seconds = 9 WHERE id = {pk}",
        "DELETE FROM incidents_policyversion WHERE id = {pk}",
        "DELETE FROM incidents_policywriter WHERE version_id = {pk}",
    ],
)
def test_an_approved_or_withdrawn_version_refuses_to_be_changed(attack, draft, grace, lin):
    approved = approve(submit(draft, grace), lin)
    with pytest.raises(Error, match="append-only"):
        sql(attack.format(pk=approved.pk))
    withdrawn = actions.withdraw(actions.clone(approved, into="default-unified", by=grace), reason="x", by=grace)
    if "policyversion" in attack:
        with pytest.raises(Error, match="append-only"):
            sql(attack.format(pk=withdrawn.pk))


def test_a_draft_can_still_be_written(draft):
    sql(f"UPDATE incidents_severitylevel SET name = 'Worst' WHERE version_id = {draft.pk}")
    sql(f"UPDATE incidents_policyversion SET grace_seconds = 9 WHERE id = {draft.pk}")
    assert draft.severities.first().name == "Worst"


# Which profile new incidents take


@pytest.fixture
def seed(shipped) -> PolicyProfile:
    actions.load_literal()
    return PolicyProfile.objects.get(name="seed-001")


def test_new_incidents_take_the_profile_two_people_chose(seed, grace, lin, declare):
    choice = actions.propose_default(seed, reason="As agreed with the board", by=grace)
    assert PolicyVersion.objects.in_force(timezone.now()).profile.name == "default-unified"
    with pytest.raises(Refused, match="You proposed this; somebody else has to approve it"):
        actions.approve_default(choice, by=grace)
    actions.approve_default(choice, by=lin)
    assert PolicyVersion.objects.in_force(timezone.now()).profile == seed
    assert str(declare().policy_version) == "seed-001, version 1"
    assert '"before":"default-unified"' in Entry.objects.get(deed="policy.default_chosen").line


def test_a_choice_is_made_once(seed, grace, lin, root):
    choice = actions.propose_default(seed, reason="Agreed", by=grace)
    with pytest.raises(Refused, match="Grace proposed seed-001 already"):
        actions.propose_default(seed, reason="Again", by=lin)
    actions.decline_default(choice, by=lin)
    with pytest.raises(Refused, match="Lin declined it at"):
        actions.approve_default(choice, by=root)
    assert PolicyProfile.objects.get(is_default=True).name == "default-unified"


def test_only_a_profile_with_a_version_in_force_can_be_chosen(shipped, grace):
    ours = actions.clone(shipped, into="ours", by=grace).profile
    with pytest.raises(Refused, match="ours has no approved version in force yet"):
        actions.propose_default(ours, reason="x", by=grace)
    with pytest.raises(Refused, match="New incidents take default-unified already"):
        actions.propose_default(shipped.profile, reason="x", by=grace)


def test_a_choice_on_record_refuses_to_be_changed(seed, grace, lin):
    choice = actions.propose_default(seed, reason="Agreed", by=grace)
    with pytest.raises(Error, match="append-only"):
        sql("DELETE FROM incidents_defaultchoice")
    with pytest.raises(IntegrityError), transaction.atomic():
        DefaultChoice.objects.update(approved=True, settled_by=grace, settled_at=timezone.now())
    actions.approve_default(choice, by=lin)
    with pytest.raises(Error, match="append-only"):
        sql("UPDATE incidents_defaultchoice SET reason = 'Other'")


# The round trip through files


def test_a_version_loads_elsewhere_to_the_same_sha256(draft, grace, lin, tmp_path, capsys):
    approved = approve(submit(actions.change(draft, {"grace": "5m"}, by=grace, seen=1), grace), lin)
    call_command("export_policy", "default-unified", "2")
    file = tmp_path / "policy.yaml"
    file.write_text(capsys.readouterr().out)
    call_command("load_policy", str(file), by=grace.email)  # the same again here: nothing happens
    assert documents.digest(documents.read(file.read_text())) == newest(approved).sha256
    assert PolicyVersion.objects.count() == 2
    file.write_text(file.read_text().replace("default-unified", "elsewhere"))
    call_command("load_policy", str(file), by=grace.email)
    there = PolicyVersion.objects.get(profile__name="elsewhere")
    assert queries.document(there)["grace"] == "5m"


def test_what_a_file_says_is_proposed_by_somebody_and_approved_by_somebody_else(shipped, grace, lee, root, tmp_path):
    file = tmp_path / "policy.yaml"
    file.write_text((actions.PROFILES / "default-unified.yaml").read_text().replace("version: 1\n", "version: 2\n", 1))
    for by in (None, "nobody@example.com", lee.email):
        with pytest.raises(CommandError, match="somebody who may propose"):
            call_command("load_policy", str(file), by=by)
    call_command("load_policy", str(file), by=grace.email)
    call_command("load_policy", str(file), by=grace.email)
    found = PolicyVersion.objects.get(number=2, profile=shipped.profile)
    assert (found.state, found.author) == ("waits for approval", grace)
    with pytest.raises(Refused, match="somebody else has to approve"):
        approve(found, grace)
    assert approve(found, root).state == "approved"
    call_command("load_policy", str(file), by=grace.email)
    file.write_text(file.read_text().replace("grace: ", "grace: 1", 1))
    with pytest.raises(CommandError, match="exists with other content"):
        call_command("load_policy", str(file), by=grace.email)


def test_a_version_that_is_not_there_cannot_be_exported(shipped):
    with pytest.raises(CommandError, match="no such version"):
        call_command("export_policy", "default-unified", "7")


def test_a_version_loaded_before_documents_were_kept_is_read_from_its_rows(shipped):
    old = newest(shipped)
    old.document = {}
    assert queries.document(old) == queries.document(shipped)


def test_what_was_shipped_before_under_this_number_stays_as_it_is(db, monkeypatch):
    monkeypatch.setitem(actions.SHIPPED_BEFORE, "ours", {"a" * 64})
    profile = PolicyProfile.objects.create(name="ours", is_default=True)
    now = timezone.now()
    old = PolicyVersion.objects.create(profile=profile, number=1, sha256="a" * 64, approved_at=now, effective_from=now)
    text = (actions.PROFILES / "default-unified.yaml").read_text().replace("profile: default-unified", "profile: ours")
    assert actions.load_file(text) == old
    assert PolicyWriter.objects.count() == 0
