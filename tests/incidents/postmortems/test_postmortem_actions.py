"""Deeds on a post-mortem: opened from the record, saved without overwriting, approved by another person."""

import json

import pytest
from django.db import IntegrityError, transaction

from incidents.lifecycle import actions as lifecycle
from incidents.postmortems import actions
from incidents.postmortems.models import PostMortem
from irportal.ledger.models import Entry
from irportal.refused import Refused
from tests.incidents.postmortems import worked

pytestmark = pytest.mark.django_db


def deeds() -> list[str]:
    return list(Entry.objects.filter(deed__startswith="postmortem.").order_by("n").values_list("deed", flat=True))


@pytest.fixture
def draft(freezer, grace, lin):
    """As Lin wrote it, complete, Grace having commanded."""
    return worked.written(freezer, commander=grace, writer=lin)


@pytest.fixture
def in_review(draft, lin):
    return actions.submit(draft, by=lin)


# covers R003-18: what was learned follows the end
def test_resolving_opens_a_post_mortem_filled_from_the_record(freezer, grace):
    opened = worked.resolved(freezer, by=grace)
    assert opened.customer_impact == "All API requests fail with “connection pool timeout”."
    assert "resolved at 15:15 UTC, 45 min after it began" in opened.summary
    assert "No failed request since 14:58" in opened.went_wrong


def test_opening_twice_keeps_the_one_there_is(draft, grace):
    assert actions.open_for(draft.incident, by=grace) == draft
    assert deeds().count("postmortem.opened") == 1


def test_every_deed_leaves_an_entry(freezer, grace, lin):
    worked.approved(freezer, commander=grace, writer=lin)
    assert deeds() == [
        "postmortem.opened",
        "postmortem.saved",
        "postmortem.submitted",
        "postmortem.approved",
    ]


def test_saving_keeps_the_action_items_in_order(draft):
    assert [item.position for item in draft.action_items.all()] == [1, 2, 3, 4, 5]


def test_saving_nothing_new_leaves_no_trace(draft, lin):
    before = deeds()
    actions.save_draft(draft, worked.FIELDS, by=lin, seen=draft.revision)
    assert deeds() == before


def test_the_second_of_two_who_save_sees_who_was_first_and_what_changed(draft, grace, lin):
    seen = draft.revision
    actions.save_draft(draft, {"root_cause": "A limit of ten."}, by=grace, seen=seen)
    with pytest.raises(Refused, match=r"Grace saved at 15:40:00 UTC and changed root cause\."):
        actions.save_draft(draft, {"summary": "Mine."}, by=lin, seen=seen)


def test_a_change_of_the_actions_is_a_change(draft, grace, lin):
    seen = draft.revision
    actions.save_draft(draft, {"actions": []}, by=grace, seen=seen)
    with pytest.raises(Refused, match="changed action items"):
        actions.save_draft(draft, {"summary": "Mine."}, by=lin, seen=seen)


def test_an_incomplete_draft_is_not_sent_to_review(freezer, grace):
    opened = worked.resolved(freezer, by=grace)
    with pytest.raises(Refused, match=r"Write the root cause.*Add an action item"):
        actions.submit(opened, by=grace)


def test_what_is_in_review_cannot_be_changed(in_review, lin):
    with pytest.raises(Refused, match="send it back"):
        actions.save_draft(in_review, {"summary": "Other."}, by=lin, seen=in_review.revision)


def test_sending_back_makes_the_next_version(in_review, grace):
    assert actions.send_back(in_review, reason="Name the control.", by=grace).version == 2


def test_sending_back_needs_a_reason(in_review, grace):
    with pytest.raises(Refused, match="Say what should change"):
        actions.send_back(in_review, reason=" ", by=grace)


def test_a_draft_cannot_be_approved(draft, grace):
    with pytest.raises(Refused, match="is draft"):
        actions.approve(draft, by=grace, content_hash=actions.content_hash(draft))


def test_who_wrote_it_cannot_approve_it(in_review, lin):
    with pytest.raises(Refused, match="somebody else has to approve"):
        actions.approve(in_review, by=lin, content_hash=actions.content_hash(in_review))


def test_who_last_changed_it_cannot_approve_it(draft, grace, lin):
    changed = actions.save_draft(draft, {"tracker": "AG-2"}, by=grace, seen=draft.revision)
    review = actions.submit(changed, by=lin)
    with pytest.raises(Refused, match="somebody else has to approve"):
        actions.approve(review, by=grace, content_hash=actions.content_hash(review))


def test_who_wrote_between_two_others_cannot_approve_it(draft, grace, lin):
    grown = actions.save_draft(draft, {"tracker": "AG-2"}, by=grace, seen=draft.revision)
    grown = actions.save_draft(grown, {"tracker": "AG-3"}, by=lin, seen=grown.revision)
    review = actions.submit(grown, by=lin)
    with pytest.raises(Refused, match="somebody else has to approve"):
        actions.approve(review, by=grace, content_hash=actions.content_hash(review))


def test_a_correction_of_the_timeline_after_reading_stops_the_approval(in_review, grace, lin):
    seen = actions.content_hash(in_review)
    entry = in_review.incident.timeline.get(marker="contained")
    lifecycle.correct(entry, text="Restarted at 14:49.", at=worked.at(49), by=lin)
    with pytest.raises(Refused, match="changed after you opened this page"):
        actions.approve(in_review, by=grace, content_hash=seen)


def test_an_approval_keeps_the_hash_of_what_was_seen(freezer, grace, lin):
    approved = worked.approved(freezer, commander=grace, writer=lin)
    entry = Entry.objects.filter(deed="postmortem.approved").get()
    assert json.loads(entry.line)["facts"]["content"] == approved.content_hash == actions.content_hash(approved)


def test_the_database_itself_refuses_an_author_as_approver(in_review, lin):
    with pytest.raises(IntegrityError), transaction.atomic():
        PostMortem.objects.filter(pk=in_review.pk).update(approver=lin)


def test_the_database_itself_refuses_an_approval_by_nobody(in_review):
    with pytest.raises(IntegrityError), transaction.atomic():
        PostMortem.objects.filter(pk=in_review.pk).update(status="approved")
