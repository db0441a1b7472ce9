"""Who must approve what leaves; what leaves without, and its review."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from incidents import workflow
from incidents.comms import actions, approvals, duties, holding
from incidents.comms.models import Approval, Message
from incidents.lifecycle import actions as lifecycle
from incidents.lifecycle.models import Incident, Role, RoleContact
from irportal.ledger.models import Entry
from irportal.outbox import engine
from irportal.outbox.models import Announcement
from irportal.refused import Refused
from statuspage.models import Notice
from tests import people
from tests.pages import fields

pytestmark = pytest.mark.django_db
INC = "/portal/incidents/INC-1"
HOUR = timedelta(hours=1)


@pytest.fixture
def edith(roles):
    """Executive sponsor by the contact list; may only look."""
    person = people.person("Edith", "viewer")
    RoleContact.objects.create(role=Role.EXECUTIVE_SPONSOR, person=person)
    return person


@pytest.fixture
def marek(roles):
    """Legal lead by the contact list."""
    person = people.person("Marek", "publisher")
    RoleContact.objects.create(role=Role.LEGAL_LEAD, person=person)
    return person


@pytest.fixture
def draft(declare, update, lee):
    """Lee's text to customers on a critical outage; Lin is comms lead."""
    incident = declare()
    update(incident, customer_text="We are looking.", by=lee, send=False)
    return incident.messages.get()


def approve(message, by) -> Message:
    message = Message.objects.get(pk=message.pk)
    return workflow.send_draft(message, by=by, content_hash=message.content_hash)


def without(message, by, reason="Nobody else is awake") -> Message:
    return workflow.send_unapproved(message, by=by, content_hash=message.content_hash, reason=reason)


def asked(message) -> str:
    return " and ".join(seat.who for seat in approvals.missing(message))


# Status updates


def test_a_status_update_needs_the_comms_lead(draft, root):
    assert asked(draft) == "Lin, comms lead"
    with pytest.raises(Refused, match=r"This needs the approval of Lin, comms lead\."):
        approve(draft, root)
    assert not Notice.objects.exists()


def test_the_comms_leads_approval_lets_it_leave_and_names_role_text_and_time(draft, lin, freezer):
    assert approve(draft, lin).status == "sent"
    given = Approval.objects.get()
    assert (given.by, given.role, given.content_hash, given.at) == (
        lin,
        "comms_lead",
        draft.content_hash,
        timezone.now(),
    )


def test_nobody_approves_their_own_text_not_even_the_comms_lead(declare, lin):
    own = actions.write(declare(), audience="customers", text="We are looking.", by=lin)
    with pytest.raises(Refused, match="You wrote this, so it needs the approval of somebody else who may publish"):
        approve(own, lin)


def test_what_the_comms_lead_wrote_anybody_else_who_may_publish_approves(declare, lin, root):
    own = actions.write(declare(), audience="customers", text="We are looking.", by=lin)
    assert approve(own, root).status == "sent"


@pytest.mark.parametrize("gone", ["nobody holds the role", "the holder has left"])
def test_without_a_comms_lead_anybody_else_who_may_publish_stands_in(draft, root, lin, gone):
    if gone == "the holder has left":
        lin.is_active = False
        lin.save()
    else:
        draft.incident.roles.filter(role=Role.COMMS_LEAD).update(ended_at=timezone.now())
    assert asked(draft) == "somebody else who may publish, for the comms lead"
    assert approve(draft, root).status == "sent"


def test_who_stands_in_has_to_be_allowed_to_publish(draft, grace):
    draft.incident.roles.filter(role=Role.COMMS_LEAD).update(ended_at=timezone.now())
    with pytest.raises(Refused, match="This needs the approval of"):
        approve(draft, grace)


def test_a_commander_who_gives_the_role_away_unblocks_the_text(draft, root, grace):
    lifecycle.assign(draft.incident, role=Role.COMMS_LEAD, person=root, by=grace)
    assert approve(draft, root).status == "sent"


def test_a_policy_without_approval_rules_lets_the_author_send(other_policy, declare, update, lee):
    other_policy(approvals={})
    update(declare(), customer_text="We are looking.", by=lee, send=False)
    assert approve(Message.objects.get(), lee).status == "sent"


def test_an_internal_update_needs_nobody(declare, update, grace):
    incident = declare()
    update(incident, internal_text="Pool at its limit.")
    assert incident.messages.get().status == "sent"
    assert not Approval.objects.exists()


def test_the_holding_message_was_approved_with_the_policy(declare, freezer):
    incident = declare()
    freezer.shift(HOUR / 4)
    holding.run_due(timezone.now())
    assert approvals.seats(incident.messages.get()) == []


# The text and its hash


def test_changing_the_text_voids_every_approval(declare, edith, marek, lee):
    notice = actions.write_notice(declare(), kind="incident_notice", text="### What happened\n\nIt broke.", by=lee)
    approve(notice, edith)
    actions.rewrite(notice, text="### What happened\n\nIt broke twice.", by=lee)
    notice.refresh_from_db()
    assert asked(notice) == "Edith, executive sponsor and Marek, legal lead"
    assert approve(notice, marek).status == "draft"


def test_only_the_author_changes_a_draft(draft, lin):
    with pytest.raises(Refused, match="Lee wrote this; send it back"):
        actions.rewrite(draft, text="Another text.", by=lin)


def test_an_approval_of_the_text_before_is_refused(draft, lee, lin):
    before = draft.content_hash
    actions.rewrite(draft, text="We are looking hard.", by=lee)
    with pytest.raises(Refused, match="The text changed after you read it"):
        workflow.send_draft(draft, by=lin, content_hash=before)


def test_a_rewritten_update_promises_anew(draft, lee, lin, freezer):
    """A draft that waited past the time it promised could not be sent by anybody."""
    freezer.shift(HOUR)
    actions.rewrite(draft, text="We are still looking.", by=lee)
    assert approve(draft, lin).status == "sent"


def test_whoever_is_asked_gets_the_whole_text_by_mail_once(draft, smtp_relay):
    engine.run_once()
    actions.ask(draft)
    engine.run_once()
    [mail] = [t.message for t in smtp_relay.taken if "Please approve" in t.message["Subject"]]
    assert mail["To"] == "lin@example.com"
    said = mail.get_body(("plain",)).get_content()
    assert "We are looking." in said
    assert f"/portal/incidents/INC-1#message-{draft.pk}" in said


# Without approval


def test_without_approval_it_leaves_and_owes_a_review_within_a_day(draft, grace, freezer):
    sent = without(draft, grace)
    review = sent.incident.duties.open().get(message_class="review")
    assert (sent.status, sent.unapproved_reason, sent.review) == ("sent", "Nobody else is awake", review)
    assert review.due_at == timezone.now() + 24 * HOUR
    assert not Approval.objects.exists()


def test_the_ledger_and_the_timeline_say_what_was_missing_and_why(draft, grace):
    without(draft, grace)
    facts = json.loads(Entry.objects.get(deed="message.left_unapproved").line)["facts"]
    assert (facts["missing"], facts["reason"]) == (["comms_lead"], "Nobody else is awake")
    assert draft.incident.timeline.filter(text__contains="Left without approval: Nobody else is awake").exists()


def test_without_a_reason_nothing_leaves_without_approval(draft, grace):
    with pytest.raises(Refused, match="Say why it cannot wait"):
        without(draft, grace, reason="  ")


def test_a_night_alone_is_one_review(declare, update, lin, freezer):
    incident = declare()
    for text in ("We are looking.", "Found it.", "A fix is in."):
        freezer.shift(HOUR / 6)
        update(incident, customer_text=text, by=lin, unapproved="Alone on duty")
    review = incident.duties.get(message_class="review")
    assert review.reviewed.count() == 3
    assert review.due_at - review.anchor_at == 24 * HOUR


def test_who_wrote_or_sent_it_does_not_review_it(draft, lee, root, lin):
    review = without(draft, root).review
    for person in (lee, root):
        with pytest.raises(Refused, match="You wrote or sent some of it yourself"):
            duties.settle(review, text="Fine by me.", by=person)
    duties.settle(review, text="True, and clear enough.", by=lin)
    review.refresh_from_db()
    assert (review.outcome, review.by) == ("kept", lin)


def test_what_leaves_after_a_review_is_reviewed_anew(declare, update, lin, root, freezer):
    incident = declare()
    update(incident, customer_text="We are looking.", by=lin, unapproved="Alone")
    duties.settle(incident.duties.get(message_class="review"), text="Fine.", by=root)
    update(incident, customer_text="Found it.", by=lin, unapproved="Alone")
    reviews = incident.duties.filter(message_class="review").order_by("seq")
    assert list(reviews.values_list("outcome", flat=True)) == ["kept", "open"]


def test_a_review_is_not_waived(draft, grace, lin):
    with pytest.raises(Refused, match="A review is not waived"):
        duties.waive(without(draft, grace).review, reason="Too busy", by=lin)


@pytest.mark.parametrize("later", ["another severity", "another fact", "the end", "opened again"])
def test_a_review_outlives_whatever_happens_to_the_incident(draft, grace, update, later):
    incident = without(draft, grace).incident
    if later == "another severity":
        workflow.change_severity(incident, rank=4, reason="Looked again", by=grace)
    elif later == "another fact":
        said = {"components": [], "impact": "None", "personal_data": "no", "ai_involved": "no", "estimate": ""}
        workflow.change_impact(incident, by=grace, **said)
    else:
        update(incident, status="resolved", reason="Stable")
    if later == "opened again":
        update(incident, status="investigating", reason="It is back")
    assert incident.duties.open().filter(message_class="review").exists()


def test_a_review_nobody_holds_is_escalated_once(draft, grace, freezer):
    review = without(draft, grace).review
    for _ in range(3):
        freezer.shift(25 * HOUR)
        holding.run_due(timezone.now())
    said = f"internal review {review.seq}"
    assert Entry.objects.filter(deed="duty.escalated", line__contains=said).count() == 1


def test_what_has_every_approval_owes_no_review(draft, lin):
    assert approve(draft, lin).review is None


# The pages


def test_the_form_says_whose_approval_is_needed_and_offers_to_send_without(client, declare, lin):
    declare()
    client.force_login(lin)
    sent = fields(client.get(f"{INC}/update").content.decode()) | {"customer_text": "We look."}
    html = client.post(f"{INC}/update/preview", sent).content.decode()
    assert "somebody else who may publish, for the comms lead" in html
    assert "Send to 4 and the page without approval" in html


@pytest.mark.parametrize("said", [{}, {"without": "on"}, {"unapproved": "Alone"}])
def test_sending_without_approval_takes_the_tick_and_the_reason(client, declare, lin, said):
    declare()
    client.force_login(lin)
    sent = fields(client.get(f"{INC}/update").content.decode()) | {"customer_text": "We look."}
    sent = fields(client.post(f"{INC}/update/preview", sent).content.decode()) | said
    answer = client.post(f"{INC}/update/send", sent)
    assert answer.status_code == 409
    assert "To send it without, tick the box and say why." in answer.content.decode()
    assert not Message.objects.exists()


def test_one_tick_and_one_sentence_send_at_once_at_three_in_the_morning(client, declare, lin):
    declare()
    client.force_login(lin)
    sent = fields(client.get(f"{INC}/update").content.decode()) | {"customer_text": "We look."}
    sent = fields(client.post(f"{INC}/update/preview", sent).content.decode())
    sent |= {"without": "on", "unapproved": "Alone on duty"}
    assert client.post(f"{INC}/update/send", sent).status_code == 302
    html = client.get(INC).content.decode()
    assert "without approval" in html
    assert "Alone on duty" in html
    assert "Review of what left without approval" in html


def test_the_draft_shows_who_has_approved_and_who_is_missing(client, declare, edith, marek, lee):
    notice = actions.write_notice(declare(), kind="incident_notice", text="### What happened\n\nIt broke.", by=lee)
    approve(notice, edith)
    client.force_login(marek)
    html = " ".join(client.get(INC).content.decode().split())
    assert "Given</span> <span>Edith, executive sponsor" in html
    assert "Marek, legal lead" in html
    assert "Approve and send to 1" in html


def test_a_sponsor_who_may_only_look_approves_through_the_page(client, declare, edith, marek, lee):
    notice = actions.write_notice(declare(), kind="incident_notice", text="### What happened\n\nIt broke.", by=lee)
    client.force_login(edith)
    html = client.get(INC).content.decode()
    assert "Send without approval" not in html
    sent = {"content_hash": fields(html)["content_hash"]}
    answer = client.post(f"{INC}/messages/{notice.pk}/approve", sent, follow=True)
    assert "It leaves once the others have approved it." in answer.content.decode()
    assert Approval.objects.get().by == edith


def test_the_author_sees_no_button_to_approve_and_one_to_change_the_text(client, draft, lee):
    client.force_login(lee)
    html = client.get(INC).content.decode()
    assert "Approve" not in html.replace("Approvals", "")
    assert f"{INC}/messages/{draft.pk}/rewrite" in html


def test_the_text_is_changed_through_the_page(client, draft, lee):
    client.force_login(lee)
    address = f"{INC}/messages/{draft.pk}/rewrite"
    sent = fields(client.get(address).content.decode())
    assert sent["said"] == "We are looking."
    assert client.post(address, sent | {"said": "We look hard."}).status_code == 302
    draft.refresh_from_db()
    assert draft.text == "We look hard."


def test_a_waiting_draft_is_sent_without_approval_through_the_page(client, draft, root):
    client.force_login(root)
    address = f"{INC}/messages/{draft.pk}/without-approval"
    sent = fields(client.get(address).content.decode())
    assert client.post(address, sent).status_code == 400
    assert client.post(address, sent | {"reason": "Lin sleeps"}).status_code == 302
    assert Notice.objects.get().updates.get().body == "We are looking."


def test_the_review_is_on_the_due_screen_and_recorded_there(client, draft, grace, lin):
    without(draft, grace)
    client.force_login(lin)
    assert "Review of what left without approval" in client.get("/portal/due").content.decode()
    review = Incident.objects.get().duties.get(message_class="review")
    said = {"text": "True, and clear enough."}
    assert client.post(f"{INC}/duties/{review.pk}/settle", said).status_code == 302
    assert "reviewed by Lin: True, and clear enough." in client.get(INC).content.decode()


def test_a_draft_sent_back_leaves_no_approval_to_ask_for(draft, lin):
    actions.send_back(draft, reason="Too vague", by=lin)
    with pytest.raises(Refused, match="sent or returned already"):
        approve(draft, lin)
    assert Announcement.objects.filter(topic="update").count() == 0
