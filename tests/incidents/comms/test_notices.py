"""Formal notices: written here, approved by two roles, mailed to the contacts of affected customers alone."""

from datetime import timedelta

import pytest
from django.utils import timezone

from incidents import workflow
from incidents.comms import actions, duties
from incidents.comms.forms import NoticeForm
from incidents.comms.models import Message
from incidents.lifecycle.models import Role, RoleContact
from irportal.outbox import engine
from irportal.outbox.models import Announcement
from irportal.refused import Refused
from statuspage.models import Customer, Notice
from statuspage.subscriptions import leave
from tests import people
from tests.factories import link_of
from tests.pages import fields

pytestmark = pytest.mark.django_db
INC = "/portal/incidents/INC-1"
TEXT = "### What happened\n\nRequests failed.\n\n### What we have done\n\nRestarted it."


@pytest.fixture
def signers(roles):
    """Edith, executive sponsor, and Marek, legal lead."""
    found = [people.person("Edith", "viewer"), people.person("Marek", "publisher")]
    for role, person in zip((Role.EXECUTIVE_SPONSOR, Role.LEGAL_LEAD), found, strict=True):
        RoleContact.objects.create(role=role, person=person)
    return found


def give(incident, signers, lee, kind="incident_notice", text=TEXT) -> Message:
    """Written by Lee, approved by both."""
    notice = actions.write_notice(incident, kind=kind, text=text, by=lee)
    for person in signers:
        notice = workflow.send_draft(notice, by=person, content_hash=notice.content_hash)
    return notice


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_notice_leaves_with_the_second_approval_and_not_before(declare, signers, lee, order):
    notice = actions.write_notice(declare(), kind="incident_notice", text=TEXT, by=lee)
    first, second = (signers[n] for n in order)
    assert workflow.send_draft(notice, by=first, content_hash=notice.content_hash).status == "draft"
    assert not Announcement.objects.filter(topic="incident_notice").exists()
    assert workflow.send_draft(notice, by=second, content_hash=notice.content_hash).status == "sent"


def test_approving_twice_is_one_approval(declare, signers, lee):
    notice = actions.write_notice(declare(), kind="incident_notice", text=TEXT, by=lee)
    workflow.send_draft(notice, by=signers[0], content_hash=notice.content_hash)
    with pytest.raises(Refused, match="This needs the approval of Marek, legal lead"):
        workflow.send_draft(notice, by=signers[0], content_hash=notice.content_hash)


def test_who_holds_both_roles_gives_both_approvals_with_one_click(declare, lee, roles):
    boss = people.person("Boss", "viewer")
    for role in (Role.EXECUTIVE_SPONSOR, Role.LEGAL_LEAD):
        RoleContact.objects.create(role=role, person=boss)
    notice = actions.write_notice(declare(), kind="incident_notice", text=TEXT, by=lee)
    assert workflow.send_draft(notice, by=boss, content_hash=notice.content_hash).status == "sent"
    assert notice.approvals.count() == 2


# covers R003-07, C-07
def test_nobody_stands_in_for_a_sponsor(declare, root, lee):
    notice = actions.write_notice(declare(), kind="incident_notice", text=TEXT, by=lee)
    with pytest.raises(Refused, match="the approval of the executive sponsor and the legal lead"):
        workflow.send_draft(notice, by=root, content_hash=notice.content_hash)


# covers C-06
@pytest.mark.parametrize(("kind", "facts"), [("incident_notice", {}), ("breach_notice", {"personal_data": "yes"})])
def test_a_notice_meets_its_own_duty_and_no_other(declare, signers, lee, kind, facts):
    incident = declare(type="T05", **facts)
    before = set(incident.duties.open().values_list("message_class", flat=True))
    give(incident, signers, lee, kind=kind)
    assert before - set(incident.duties.open().values_list("message_class", flat=True)) == {kind}
    assert incident.duties.get(message_class=kind).outcome == "kept"


def test_a_notice_goes_to_customers_contacts_and_to_no_subscriber_and_no_page(declare, signers, lee, smtp_relay):
    give(declare(), signers, lee)
    engine.run_once()
    outside = [address for address in smtp_relay.addresses if not address.endswith("example.com")]
    assert outside == ["ops@bank.example"]
    assert not Notice.objects.exists()


def test_below_critical_only_customers_of_affected_parts_get_it(declare, signers, lee, organisation, smtp_relay):
    other = Customer.objects.create(name="Lumen", contact_email="ops@lumen.example")
    other.components.set([organisation["dashboard"]])
    give(declare(rank=2), signers, lee)
    engine.run_once()
    assert "ops@bank.example" in smtp_relay.addresses
    assert "ops@lumen.example" not in smtp_relay.addresses


def test_who_left_the_updates_is_given_notice_all_the_same(declare, update, signers, lee, smtp_relay):
    incident = declare()
    update(incident, customer_text="We look.")
    engine.run_once()
    leave(link_of("ops@bank.example").rpartition("/u/")[2])
    smtp_relay.taken.clear()
    give(incident, signers, lee)
    engine.run_once()
    assert "ops@bank.example" in smtp_relay.addresses


def test_with_nobody_to_tell_it_says_so_and_nothing_leaves(declare, signers, lee):
    Customer.objects.all().delete()
    with pytest.raises(Refused, match="nobody would get it; record how it was given"):
        give(declare(), signers, lee)
    assert not Message.objects.filter(status="sent").exists()


# covers R001-41, R003-25
def test_the_mail_is_signed_by_the_sponsor_and_says_when_and_where(declare, signers, lee, smtp_relay):
    give(declare(), signers, lee)
    engine.run_once()
    [mail] = [t.message for t in smtp_relay.taken if t.recipients == ["ops@bank.example"]]
    said = mail.get_body(("plain",)).get_content()
    assert mail["Subject"] == "[Incident notice] Agent API unavailable - " + timezone.now().strftime("%-d %B %Y")
    assert "#" not in said
    for words in (
        "WHEN",
        "ongoing",
        "WHAT HAPPENED",
        "Requests failed.",
        "WHAT WE HAVE DONE",
        "FURTHER UPDATES",
        "Thank you",
        "Edith, executive sponsor",
        "/i/INC-1",
        "support@example.com",
    ):
        assert words in said
    assert "List-Unsubscribe" not in mail


def test_a_notice_lives_five_days_in_the_outbox(declare, signers, lee):
    give(declare(), signers, lee)
    found = Announcement.objects.get(topic="incident_notice")
    assert found.expires_at - found.made_at == timedelta(days=5)


def test_a_notice_is_given_after_the_incident_moved_on(declare, update, signers, lee):
    incident = declare()
    notice = actions.write_notice(incident, kind="incident_notice", text=TEXT, by=lee)
    update(incident, status="resolved", reason="Stable")
    for person in signers:
        notice = workflow.send_draft(notice, by=person, content_hash=notice.content_hash)
    assert notice.status == "sent"


def test_a_notice_without_the_second_approval_leaves_with_a_reason_and_owes_a_review(declare, signers, lee, lin):
    notice = actions.write_notice(declare(), kind="incident_notice", text=TEXT, by=lee)
    workflow.send_draft(notice, by=signers[0], content_hash=notice.content_hash)
    sent = workflow.send_unapproved(
        notice, by=lin, content_hash=notice.content_hash, reason="Legal cannot be reached and 24 h are nearly over"
    )
    assert (sent.status, sent.review.message_class) == ("sent", "review")


def test_a_notice_given_another_way_is_recorded_instead(declare, lin):
    incident = declare()
    duty = incident.duties.get(message_class="incident_notice")
    duties.settle(duty, text="By registered letter on 3 March, filed under L-7.", by=lin)
    duty.refresh_from_db()
    assert duty.outcome == "kept"


# The form


def test_the_sections_become_one_text_and_come_apart_again():
    said = {"happened": "It broke.\r\n\r\nTwice.", "done": "Repaired.", "should": "Nothing."}
    form = NoticeForm(said, kind="incident_notice")
    assert form.is_valid()
    again = NoticeForm(kind="incident_notice", text=form.text())
    assert again.initial == {"happened": "It broke.\n\nTwice.", "done": "Repaired.", "should": "Nothing."}


# covers R001-41, R003-25
@pytest.mark.parametrize(
    ("kind", "sections"),
    [
        ("incident_notice", ["What happened", "What we have done", "What you should do"]),
        ("breach_notice", ["What happened", "What data was affected", "What we have done", "What you should do"]),
    ],
)
def test_a_notice_has_the_sections_of_its_kind_in_their_order_and_none_may_be_empty(kind, sections):
    fields = NoticeForm(kind=kind).fields.values()
    assert [field.label for field in fields] == sections
    assert all(field.required for field in fields)


def test_a_breach_notice_says_which_data(client, declare, lee):
    declare(type="T05", personal_data="yes")
    client.force_login(lee)
    assert "What data was affected" in client.get(f"{INC}/notices/breach_notice").content.decode()
    assert "What data was affected" not in client.get(f"{INC}/notices/incident_notice").content.decode()


def test_a_notice_is_written_through_the_page_and_waits(client, declare, signers, lee):
    declare()
    client.force_login(lee)
    html = client.get(f"{INC}/notices/incident_notice").content.decode()
    assert "Goes by mail to 1 contact of affected customers" in html
    sent = fields(html) | {"done": "Restarted it.", "should": "Nothing."}
    assert client.post(f"{INC}/notices/incident_notice", sent).status_code == 302
    page = client.get(INC).content.decode()
    assert "Incident notice waits for approval" in page
    assert "Leaves by mail to 1 contact of affected customers." in " ".join(page.split())


def test_a_section_left_empty_is_named(client, declare, lee):
    declare()
    client.force_login(lee)
    sent = fields(client.get(f"{INC}/notices/incident_notice").content.decode())
    answer = client.post(f"{INC}/notices/incident_notice", sent)
    assert answer.status_code == 400
    assert "What you should do" in answer.content.decode()


def test_there_is_no_third_kind_of_notice(client, declare, lee):
    declare()
    client.force_login(lee)
    assert client.get(f"{INC}/notices/update").status_code == 404


def test_the_duty_leads_to_the_form_and_to_recording_it(client, declare, lin):
    incident = declare()
    client.force_login(lin)
    html = client.get(INC).content.decode()
    duty = incident.duties.get(message_class="incident_notice")
    assert f'href="{INC}/notices/incident_notice"' in html
    assert f'href="{INC}/duties/{duty.pk}/settle">Given another way' in html
