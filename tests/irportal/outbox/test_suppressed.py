"""Who gets no more mail: seen with the reason, found, and lifted where a mail server said so."""

import pytest
from django.urls import get_resolver, reverse

from irportal.ledger.models import Entry
from irportal.outbox import actions, engine
from irportal.outbox.models import Suppression
from irportal.refused import Refused
from tests import people
from tests.factories import announcement, deliveries

pytestmark = pytest.mark.django_db
ANN, BOB = "ann@reader.example", "bob@reader.example"
PAGE = "/portal/mail/suppressed"
EVERYBODY = {"viewer", "responder", "commander", "publisher", "admin"}
PUBLISHERS, NOBODY = {"publisher", "admin"}, set()
MAY = {  # who reads and who sends each address of the outbox
    "undelivered": (PUBLISHERS, NOBODY),
    "send-chosen": (NOBODY, PUBLISHERS),
    "send-all": (NOBODY, PUBLISHERS),
    "suppressed": (PUBLISHERS, NOBODY),
    "lift": (NOBODY, PUBLISHERS),
}


@pytest.fixture
def stopped():
    """Ann's mailbox does not exist, Bob asked for no more."""
    deliveries(ANN, BOB)
    actions.suppress(ANN, reason="bounced: 5.1.1", bounced=True)
    actions.suppress(BOB, reason="unsubscribed")


@pytest.fixture
def lin_reads(client, lin):
    client.force_login(lin)
    return client


def pk(address: str) -> int:
    return Suppression.objects.get(target=address).pk


def lift(client, address: str, **fields):
    return client.post(reverse("outbox:lift", args=[pk(address)]), fields)


def test_the_page_says_who_gets_no_mail_and_why_and_offers_to_lift_only_bounces(stopped, lin_reads):
    page = lin_reads.get(PAGE).content.decode()
    for word in ("2 suppressed", ANN, "bounced: 5.1.1", BOB, "unsubscribed"):
        assert word in page
    assert (f"{PAGE}/{pk(ANN)}/lift" in page, f"{PAGE}/{pk(BOB)}/lift" in page) == (True, False)


@pytest.mark.parametrize(("words", "found"), [("ANN@", {ANN}), ("unsub", {BOB}), ("reader", {ANN, BOB}), ("%", set())])
def test_it_is_found_by_address_or_reason(stopped, lin_reads, words, found):
    assert {row.target for row in lin_reads.get(PAGE, {"q": words}).context["page"]} == found


def test_the_page_of_undelivered_mail_leads_there(lin_reads):
    assert f'href="{PAGE}"' in lin_reads.get("/portal/mail/undelivered").content.decode()


def test_a_lifted_address_gets_the_next_message_and_the_record_says_who_and_why(stopped, lin_reads, lin, smtp_relay):
    answer = lift(lin_reads, ANN, reason="Ann wrote\nfrom there", q="reader")
    announcement(ANN, BOB)
    engine.run_once()

    assert answer["Location"] == f"{PAGE}?q=reader"
    assert smtp_relay.addresses == [ANN]
    entry = Entry.objects.get(deed="suppression.lifted")
    assert entry.subject == f"subscriber:{ANN}"  # the reader key of these tests; a real one is a number
    assert '"reason":"Ann wrote from there"' in entry.line
    assert lin.email in entry.line


@pytest.mark.parametrize("reason", ["", " \n "])
def test_nothing_is_lifted_without_a_reason(stopped, lin_reads, reason):
    assert lift(lin_reads, ANN, reason=reason).status_code == 409
    assert Suppression.objects.filter(target=ANN).exists()


def test_a_readers_own_wish_cannot_be_lifted(stopped, lin_reads):
    answer = lift(lin_reads, BOB, reason="please")
    assert (answer.status_code, b"Only the reader" in answer.content) == (409, True)
    assert Suppression.objects.filter(target=BOB).exists()
    assert not Entry.objects.filter(deed="suppression.lifted").exists()


def test_two_people_lift_it_once(stopped, lin):
    row = Suppression.objects.get(target=ANN)
    actions.lift(row, reason="back", by=lin)
    with pytest.raises(Refused, match="already"):
        actions.lift(row, reason="back", by=lin)
    assert Entry.objects.filter(deed="suppression.lifted").count() == 1


def test_the_table_names_every_address_of_the_outbox():
    names = {key for key in get_resolver().namespace_dict["outbox"][1].reverse_dict if isinstance(key, str)}
    assert names == set(MAY)


@pytest.mark.parametrize("role", sorted(EVERYBODY))
def test_each_role_reads_and_sends_exactly_what_the_table_says(stopped, client, roles, role):
    client.force_login(people.person("Someone", role))
    for name, (readers, senders) in MAY.items():
        address = reverse(f"outbox:{name}", args=[pk(ANN)] if name == "lift" else [])
        wants_read = 200 if role in readers else 403 if readers else 405
        wants_sent = 409 if role in senders else 403 if senders else 405
        assert (client.get(address).status_code, client.post(address).status_code) == (wants_read, wants_sent), name


def test_a_stranger_is_asked_to_sign_in_and_lifts_nothing(stopped, client):
    answers = [client.get(PAGE), lift(client, ANN, reason="mine")]
    assert all(answer["Location"].startswith("/accounts/login/") for answer in answers)
    assert Suppression.objects.count() == 2


def test_a_full_page_asks_as_few_questions_as_a_short_one(lin_reads, django_assert_max_num_queries):
    for number in range(120):
        actions.suppress(f"r{number}@reader.example", reason="bounced: 5.1.1", bounced=True)
    with django_assert_max_num_queries(9):
        page = lin_reads.get(PAGE)
    assert len(page.context["page"]) == 50
