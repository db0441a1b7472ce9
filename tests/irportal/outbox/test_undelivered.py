"""What was given up: seen with its reason, found, and sent after all."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from irportal.ledger.models import Entry
from irportal.outbox import actions, alarms, engine, fan_out, sending
from irportal.outbox.models import LEASE, Attempt, Delivery, Progress, Suppression
from tests import people
from tests.factories import announcement, deliveries, mail_of

pytestmark = pytest.mark.django_db
ANN, BOB = "ann@reader.example", "bob@reader.example"
PAGE = "/portal/mail/undelivered"


@pytest.fixture(autouse=True)
def silence(monkeypatch):
    """Staff get no mail about what is given up here."""
    monkeypatch.setattr(alarms, "_alarms", [])


@pytest.fixture
def refused(smtp_relay):
    """Ann's message was refused for its content, Bob's mailbox does not exist."""
    smtp_relay.at_data[ANN] = ["554 5.7.1 policy"]
    smtp_relay.at_rcpt[BOB] = ["550 5.1.1 no such user"]
    announcement(ANN, BOB)
    engine.run_once()
    return smtp_relay


def told(address: str) -> Delivery:
    return Delivery.objects.get(address=address)


def send(client, url_name: str, **fields):
    return client.post(reverse(f"outbox:{url_name}"), fields)


@pytest.fixture
def lin_reads(client, lin):
    client.force_login(lin)
    return client


def test_the_page_says_who_was_not_reached_and_why(refused, lin_reads):
    page = lin_reads.get(PAGE).content.decode()
    assert "2 given up" in page
    assert (ANN in page, "5.7.1 policy" in page, BOB in page, "5.1.1 no such user" in page) == (True,) * 4


@pytest.mark.parametrize(
    ("words", "found"), [("no such", {BOB}), ("ann@", {ANN}), ("inc-42", {ANN, BOB}), ("nobody", set())]
)
def test_it_is_found_by_incident_address_or_reason(refused, lin_reads, words, found):
    page = lin_reads.get(PAGE, {"q": words})
    assert {delivery.address for delivery in page.context["page"]} == found


def test_what_is_sent_again_arrives_with_the_bytes_it_had(refused, lin_reads):
    before = mail_of(told(ANN))
    assert send(lin_reads, "send-chosen", delivery=told(ANN).pk).status_code == 302
    engine.run_once()

    assert [taken.data for taken in refused.taken] == [before]
    assert (told(ANN).state, told(BOB).state) == ("sent", "dead")
    assert Entry.objects.filter(deed="delivery.sent_again", subject="INC-42").count() == 1


def test_all_that_match_are_sent_again_and_no_other(refused, lin_reads):
    send(lin_reads, "send-all", q="no such user")
    engine.run_once()
    assert refused.addresses == [BOB]


def test_sending_again_tries_an_address_that_bounced(refused, lin_reads):
    assert Suppression.objects.get().target == BOB
    send(lin_reads, "send-all")
    engine.run_once()
    assert sorted(refused.addresses) == [ANN, BOB]


def test_who_left_is_not_told_again(refused, lin_reads):
    actions.suppress(told(BOB).reader, reason="unsubscribed")
    answer = send(lin_reads, "send-chosen", delivery=told(BOB).pk)
    engine.run_once()

    assert (answer.status_code, refused.taken) == (409, [])


def test_a_reader_who_leaves_after_a_bounce_has_left_for_good(refused, lin_reads):
    actions.suppress(BOB, reason="unsubscribed")
    send(lin_reads, "send-all")
    assert (told(BOB).state, Suppression.objects.get().bounced) == ("dead", False)


def test_what_expired_gets_a_new_day(freezer, smtp_relay, lin):
    announcement(ANN, life=timedelta(minutes=1))
    fan_out.fan_out_pending(timezone.now())
    freezer.shift(timedelta(hours=1))
    engine.run_once()
    assert told(ANN).state == "dead"

    actions.send_again(Delivery.objects.dead(), by=lin)
    engine.run_once()
    assert smtp_relay.addresses == [ANN]


def test_poison_sent_again_is_begun_three_times_more_and_no_oftener(freezer, smtp_relay, lin):
    poison = deliveries(ANN)[0]
    for _ in range(2):
        for _ in range(sending.POISON_STARTS):
            begun = Delivery.objects.claim(timezone.now())[0]
            Delivery.objects.progress([Progress(timezone.now(), "dead", begin=begun)])
            freezer.shift(LEASE + timedelta(seconds=1))
        engine.run_once()
        poison.refresh_from_db()
        assert "quarantined" in poison.last_error
        actions.send_again(Delivery.objects.dead(), by=lin)

    engine.run_once()
    assert smtp_relay.addresses == [ANN]
    assert Attempt.objects.filter(finished_at=None).count() == 2 * sending.POISON_STARTS


def test_the_page_warns_of_a_message_that_later_word_has_overtaken(refused, lin_reads):
    announcement(ANN)
    engine.run_once()
    shown = {delivery.address: delivery.overtaken for delivery in lin_reads.get(PAGE).context["page"]}
    assert shown == {ANN: True, BOB: False}


def test_a_second_person_who_sends_the_same_again_sends_nothing(refused, lin_reads):
    pk = told(ANN).pk
    send(lin_reads, "send-chosen", delivery=pk)
    assert send(lin_reads, "send-chosen", delivery=pk).status_code == 409


@pytest.mark.parametrize("typed", ["", "x", "-1", "9" * 40, "²"])
def test_a_choice_that_is_none_is_refused_in_words(lin_reads, typed):
    answer = send(lin_reads, "send-chosen", delivery=typed)
    assert (answer.status_code, b"Choose at least one" in answer.content) == (409, True)


@pytest.mark.parametrize("role", ["viewer", "responder", "commander"])
def test_only_publishers_and_admins_see_addresses_and_send(client, roles, role):
    client.force_login(people.person("Someone", role))
    assert client.get(PAGE).status_code == 403
    assert [send(client, name).status_code for name in ("send-chosen", "send-all")] == [403, 403]


def test_a_stranger_is_asked_to_sign_in(client):
    assert client.get(PAGE)["Location"].startswith("/accounts/login/")


def test_a_full_page_asks_as_few_questions_as_a_short_one(lin_reads, django_assert_max_num_queries):
    deliveries(*[f"r{number}@reader.example" for number in range(120)])
    Delivery.objects.update(state="dead", last_error="450 later")
    with django_assert_max_num_queries(9):
        page = lin_reads.get(PAGE)
    assert len(page.context["page"]) == 50
