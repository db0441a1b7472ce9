"""The shipped profile and taxonomy as rows."""

import copy

import pytest
import yaml
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.utils import timezone

from incidents.policy import actions, queries
from incidents.policy.models import CommObligation, IncidentType, MatrixCell, PolicyProfile, PolicyVersion
from irportal.ledger.models import Entry
from irportal.refused import Refused
from tests.incidents.policy.test_matrix import RULES

pytestmark = pytest.mark.django_db


@pytest.fixture
def source() -> dict:
    return yaml.safe_load((actions.PROFILES / "default-unified.yaml").read_text())


def test_loading_again_changes_nothing(capsys):
    call_command("load_policy")
    before = [model.objects.count() for model in (PolicyVersion, MatrixCell, CommObligation, IncidentType, Entry)]
    call_command("load_policy")
    assert before == [
        model.objects.count() for model in (PolicyVersion, MatrixCell, CommObligation, IncidentType, Entry)
    ]
    assert Entry.objects.filter(deed="policy.version_loaded").count() == PolicyVersion.objects.count() == 5


def test_what_was_loaded_says_what_the_file_says():
    rules = actions.load_shipped().rules()
    assert rules.cells == RULES.cells
    assert {key: value for key, value in RULES.duties.items() if value} == rules.duties


def test_the_rules_of_a_version_cost_the_same_queries_whatever_its_size(django_assert_num_queries):
    version = actions.load_shipped()
    with django_assert_num_queries(2):
        version.rules()


def test_a_version_that_exists_with_other_content_is_refused_and_stays(source):
    actions.load_profile(source)
    source["grace"] = "10m"
    with pytest.raises(Refused, match="give the new one a new number"):
        actions.load_profile(source)
    assert PolicyVersion.objects.get().grace_seconds == 120


def test_a_new_number_is_a_new_version_and_comes_into_force(source):
    actions.load_profile(source)
    newer = copy.deepcopy(source) | {"version": 2, "grace": "5m"}
    actions.load_profile(newer)
    assert PolicyVersion.objects.in_force(timezone.now()).number == 2
    assert PolicyVersion.objects.count() == 2


def test_what_is_not_approved_is_not_in_force(source, grace):
    actions.clone(actions.load_profile(source), into="default-unified", by=grace)
    assert PolicyVersion.objects.in_force(timezone.now()).number == 1


def test_what_is_not_yet_effective_is_not_in_force(source):
    actions.load_profile(source)
    actions.load_profile(copy.deepcopy(source) | {"version": 2, "effective_from": "2999-01-01T00:00Z"})
    assert PolicyVersion.objects.in_force(timezone.now()).number == 1


def test_a_misspelt_amount_stops_the_load_whole(source):
    source["matrix"][1]["customers"]["duties"][0]["every"] = "30x"
    with pytest.raises(Refused, match="is not a length of time"):
        actions.load_profile(source)
    assert not PolicyProfile.objects.exists()


def test_there_is_one_default_profile(source):
    actions.load_profile(source)
    with pytest.raises(IntegrityError), transaction.atomic():
        PolicyProfile.objects.create(name="another", is_default=True)


def test_every_category_of_the_seeds_is_there_and_says_why():
    actions.load_shipped()
    codes = set(IncidentType.objects.values_list("code", flat=True))
    assert {"T01", "T05", "T99"} <= codes
    assert not IncidentType.objects.filter(why="").exists()
    assert not IncidentType.objects.exclude(suggested_rank=None).exclude(suggested_rank__range=(1, 4)).exists()
    assert set(IncidentType.objects.values_list("family", flat=True)) == {"security", "operational", "compliance"}


def test_an_approved_version_is_read_once_a_process_and_a_draft_each_time(grace, django_assert_num_queries):
    version = actions.load_shipped()
    queries.pinned(PolicyVersion.objects.get(pk=version.pk))
    again = PolicyVersion.objects.get(pk=version.pk)
    with django_assert_num_queries(0):
        known = queries.pinned(again)
        assert known.rules().cells[1, "customers"]
        assert [level.rank for level in known.severities.all()] == [1, 2, 3, 4]

    draft = actions.clone(version, into="default-unified", by=grace)
    draft.severities.filter(rank=1).update(name="Awful")
    assert queries.pinned(PolicyVersion.objects.get(pk=draft.pk)).severities.get(rank=1).name == "Awful"
