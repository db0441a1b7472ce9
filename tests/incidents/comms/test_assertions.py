"""An update that names a cause, exposed data, liability or compensation takes a notice's path (requirements C-07)."""

import json

import pytest

from incidents import workflow
from incidents.comms import actions, approvals, wording
from incidents.comms.models import Message
from incidents.lifecycle.models import Role, RoleContact
from irportal.ledger.models import Entry
from irportal.outbox.models import Announcement
from irportal.refused import Refused
from tests import people
from tests.pages import fields

pytestmark = pytest.mark.django_db
INC = "/portal/incidents/INC-1"
BOTH = "Edith, executive sponsor and Marek, legal lead"
QUESTION = "may name a cause, exposed data, liability or compensation. Say whether it does."


@pytest.fixture
def signers(roles):
    """Edith, executive sponsor, and Marek, legal lead."""
    found = [people.person("Edith", "viewer"), people.person("Marek", "publisher")]
    for role, person in zip((Role.EXECUTIVE_SPONSOR, Role.LEGAL_LEAD), found, strict=True):
        RoleContact.objects.create(role=role, person=person)
    return found


def asked(message) -> str:
    return " and ".join(seat.who for seat in approvals.missing(message))


# The words


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The root cause was a full pool.", ["cause"]),
        ("Requests failed because of a bad deployment.", ["because"]),
        ("This was due to\n  a network change.", ["due to"]),
        ("We traced it back to one host; a bug.", ["bug"]),
        ("A misconfigured limit, a human-error.", ["misconfigured", "human-error"]),
        ("An attacker used a vulnerability.", ["attacker", "vulnerability"]),
        ("Some personal data was exposed.", ["data", "exposed"]),
        ("Passwords were not leaked.", ["passwords", "leaked"]),
        ("Unauthorised access, unauthorized access", ["unauthorised", "unauthorized"]),
        ("We take full responsibility and are liable.", ["responsibility", "liable"]),
        ("It was our fault. OUR FAULT.", ["fault"]),
        ("You get a refund, a service credit and SLA credits.", ["refund", "credit", "sla", "credits"]),
        ("We will compensate you, free of charge.", ["compensate", "free of charge"]),
    ],
)
def test_words_that_may_assert_something_are_found_as_they_stand(text, found):
    assert wording.assertions(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "We are looking.",
        "Requests to the Agent API fail since 14:28 UTC. We are restarting it; next update by 15:05 UTC.",
        "Dashboards load slowly in one region. You need do nothing.",
        "A fix is in place and requests succeed again. We are watching.",
        "The database, dataset and metadata services run.",  # whole words only
        "We apologise for the trouble.",
    ],
)
def test_plain_news_raises_no_question(text):
    assert wording.assertions(text) == []


def test_the_engines_own_words_and_the_seeds_states_raise_no_question(declare, freezer):
    from incidents.comms.holding import holding_text

    assert wording.assertions(holding_text(declare())) == []


def test_a_long_text_is_read_at_once():
    assert wording.assertions("trace " * 20_000 + "refund") == ["refund"]


# The path


# covers C-07
def test_what_asserts_something_needs_sponsor_and_legal_lead(declare, update, lee, signers):
    update(declare(), customer_text="The cause is known.", asserts=True, by=lee, send=False)
    assert asked(Message.objects.get()) == BOTH


def test_the_comms_leads_approval_does_not_let_it_leave(declare, update, lee, lin, signers):
    update(declare(), customer_text="The cause is known.", asserts=True, by=lee, send=False)
    message = Message.objects.get()
    with pytest.raises(Refused, match=f"This needs the approval of {BOTH}"):
        workflow.send_draft(message, by=lin, content_hash=message.content_hash)


def test_with_both_approvals_it_leaves_to_page_and_customers_like_any_update(declare, update, lee, signers):
    update(declare(), customer_text="The cause is known.", asserts=True, by=lee, send=False)
    message = Message.objects.get()
    for person in signers:
        message = workflow.send_draft(message, by=person, content_hash=message.content_hash)
    assert (message.status, message.met.count()) == ("sent", 2)
    assert Announcement.objects.get(topic="update").audience == "customers"


def test_whoever_is_alone_can_send_it_without_and_it_is_reviewed(declare, update, grace, signers):
    update(declare(), customer_text="The cause is known.", asserts=True, by=grace, unapproved="Nobody is awake")
    message = Message.objects.get()
    assert (message.status, message.review.outcome) == ("sent", "open")
    missing = json.loads(Entry.objects.get(deed="message.left_unapproved").line)["facts"]["missing"]
    assert missing == ["executive_sponsor", "legal_lead"]


def test_what_words_raise_and_nobody_answers_is_refused(declare, update, lee):
    with pytest.raises(Refused, match=f"“refund” {QUESTION}"):
        update(declare(), customer_text="You get a refund.", asserts=None, by=lee, send=False)
    assert not Message.objects.exists()


def test_no_is_an_answer_and_stays_on_record_before_whoever_approves(declare, update, lee, lin, client):
    update(declare(), customer_text="The cause is not known yet.", asserts=False, by=lee, send=False)
    message = Message.objects.get()
    assert asked(message) == "Lin, comms lead"
    said = json.loads(Entry.objects.get(deed="message.drafted").line)["facts"]
    assert (said["asserts"], said["words"]) == (False, ["cause"])
    sentence = "Lee says it names no cause, exposed data, liability or compensation. Look at: cause."
    assert sentence in " ".join(Announcement.objects.get(topic="approval").text.split())
    client.force_login(lin)
    assert sentence in client.get(INC).content.decode()


def test_another_answer_is_another_text_to_approve(declare, update, lee, lin, signers):
    update(declare(), customer_text="We look at the cause.", asserts=False, by=lee, send=False)
    message = Message.objects.get()
    before = message.content_hash
    message = actions.rewrite(message, text=message.text, asserts=True, by=lee)
    assert message.content_hash != before
    assert asked(message) == BOTH
    with pytest.raises(Refused, match="The text changed after you read it"):
        workflow.send_draft(message, by=lin, content_hash=before)


def test_a_rewrite_that_says_nothing_never_lowers_it(declare, update, lee, signers):
    update(declare(), customer_text="The cause is known.", asserts=True, by=lee, send=False)
    message = actions.rewrite(Message.objects.get(), text="All is well.", by=lee)
    assert (message.asserts, asked(message)) == (True, BOTH)


def test_a_rewrite_that_brings_such_words_is_asked_too(declare, update, lee):
    update(declare(), customer_text="We look.", by=lee, send=False)
    with pytest.raises(Refused, match="“refund” may name"):
        actions.rewrite(Message.objects.get(), text="You get a refund.", by=lee)


def test_internal_words_and_notices_are_not_asked(declare, update, lee):
    incident = declare()
    update(incident, internal_text="The cause is a bug.", asserts=None)
    actions.write_notice(incident, kind="incident_notice", text="The cause was a bug.", by=lee)
    assert Message.objects.count() == 2


# The forms


@pytest.fixture
def change(client, organisation, lee):
    """What Lee's form to write an update would send, with some fields typed over."""
    client.force_login(lee)
    return lambda **given: fields(client.get(f"{INC}/update").content.decode()) | given


@pytest.mark.parametrize("button", ["preview", "draft"])
def test_the_form_proposes_beside_the_question_and_keeps_the_text(declare, client, change, button, freezer):
    declare()
    answer = client.post(f"{INC}/update/{button}", change(customer_text="The cause is known."))
    html = answer.content.decode()
    assert answer.status_code == 400
    assert f'<p class="error" id="id_asserts_error">“cause” {QUESTION}</p>' in html
    assert fields(html)["customer_text"] == "The cause is known."
    assert not Message.objects.exists()


def test_yes_asks_the_signers_and_says_so_before_it_leaves(declare, client, change, signers, freezer):
    declare()
    html = client.post(f"{INC}/update/preview", change(customer_text="All well.", asserts="yes")).content.decode()
    assert BOTH in html
    client.post(f"{INC}/update/draft", change(customer_text="All well.", asserts="yes"))
    assert Message.objects.get().asserts


def test_an_answer_changed_after_the_preview_is_shown_before_it_leaves(declare, client, change, lin, freezer):
    declare()
    client.force_login(lin)
    seen = fields(client.post(f"{INC}/update/preview", change(customer_text="Well.", asserts="yes")).content.decode())
    sent = seen | {"asserts": "no", "without": "on", "unapproved": "Alone"}
    answer = client.post(f"{INC}/update/send", sent)
    assert (answer.status_code, Message.objects.count()) == (409, 0)


def test_the_rewrite_form_keeps_the_answer_until_it_is_changed(declare, update, client, lee, freezer):
    update(declare(), customer_text="The cause is known.", asserts=True, by=lee, send=False)
    message = Message.objects.get()
    client.force_login(lee)
    address = f"{INC}/messages/{message.pk}/rewrite"
    assert fields(client.get(address).content.decode())["asserts"] == "yes"
    client.post(address, {"said": "We look.", "asserts": "no"})
    message.refresh_from_db()
    assert (message.text, message.asserts) == ("We look.", False)


def test_the_rewrite_form_asks_again(declare, update, client, lee, freezer):
    update(declare(), customer_text="We look.", by=lee, send=False)
    client.force_login(lee)
    answer = client.post(f"{INC}/messages/{Message.objects.get().pk}/rewrite", {"said": "You get a refund."})
    assert answer.status_code == 400
    assert f"“refund” {QUESTION}" in answer.content.decode()
