from datetime import timedelta

import pytest
from django.core.signing import Signer
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.test import Client
from django.utils import timezone

from irportal.ledger.models import Entry
from irportal.outbox import audiences as outbox_audiences
from irportal.outbox import fan_out
from irportal.outbox.models import Delivery, Suppression
from statuspage.audiences import leave_url, subscribers
from statuspage.models import Subscriber
from statuspage.subscriptions import leave, token_for
from tests import factories as outbox
from tests.statuspage.factories import component, subscriber

pytestmark = pytest.mark.django_db


def addresses(component_ids) -> list[str]:
    return [reader["address"] for reader in subscribers(component_ids)]


def test_an_update_reaches_those_who_chose_the_component_or_the_whole_page():
    api, board = component("Agent API"), component("Dashboard")
    subscriber("page@reader.example")
    subscriber("api@reader.example", api)
    subscriber("board@reader.example", board)

    assert addresses([api.pk]) == ["page@reader.example", "api@reader.example"]
    assert addresses([]) == ["page@reader.example"]
    assert len(addresses(None)) == 3


def test_who_chose_two_hit_components_is_told_once():
    api, board = component("Agent API"), component("Dashboard")
    subscriber("both@reader.example", api, board)

    assert addresses([api.pk, board.pk]) == ["both@reader.example"]


def test_nobody_is_told_who_has_not_confirmed_or_has_left():
    subscriber("new@reader.example", confirmed_at=None)
    subscriber("gone@reader.example", left_at=timezone.now())

    assert addresses(None) == []


def test_a_reader_learns_why_and_how_to_leave(settings):
    settings.PUBLIC_BASE_URL = "https://status.example"
    whole = subscriber("page@reader.example")
    subscriber("api@reader.example", component("Agent API"), component("Dashboard"))
    first, second = subscribers(None)

    assert first["key"] == f"subscriber:{whole.pk}"
    assert first["why"] == "You get this because you asked for updates about AgentGuard."
    assert second["why"] == "You get this because you asked for updates about Agent API, Dashboard."
    assert leave_url(first["leave"], "en") == f"https://status.example/u/{token_for(whole)}"


def test_finding_readers_takes_as_many_queries_for_thirty_as_for_one(django_assert_num_queries):
    api = component()
    for n in range(30):
        subscriber(f"reader{n}@reader.example", api)

    with django_assert_num_queries(2):  # one of them looks whether any component is private
        assert len(subscribers([api.pk])) == 30


def test_an_address_subscribes_once_and_again_after_it_left():
    left = subscriber("Ann@reader.example")
    with pytest.raises(IntegrityError), transaction.atomic():
        subscriber("ann@READER.example")
    leave(token_for(left))

    assert subscriber("ann@reader.example").left_at is None


def test_a_component_somebody_chose_cannot_be_deleted():
    api = component()
    subscriber("api@reader.example", api)
    with pytest.raises(ProtectedError):
        api.delete()


def test_looking_at_the_link_changes_nothing(client):
    reader = subscriber("ann@reader.example")
    for ask in (client.get, client.head):
        answer = ask(f"/u/{token_for(reader)}")

    assert answer.status_code == 200
    assert Subscriber.objects.get().left_at is None
    assert not Entry.objects.exists()


def test_one_click_ends_the_subscription_and_a_second_one_changes_nothing(client):
    reader = subscriber("ann@reader.example")
    for _ in range(2):
        answer = client.post(f"/u/{token_for(reader)}", {"List-Unsubscribe": "One-Click"})
        assert answer.status_code == 200

    entry = Entry.objects.get(deed="subscriber.left")
    assert entry.subject == f"subscriber:{reader.pk}"
    assert "ann@" not in entry.line
    assert addresses(None) == []


def test_scanners_that_fetch_links_end_nothing_and_one_post_ends_it_in_the_next_claim(client):
    reader = subscriber("ann@reader.example")
    outbox_audiences.register("test-subscribers", lambda facts: [subscribers(None)])
    fan_out.fan_out(outbox.announcement(audience="test-subscribers").pk)
    address = f"/u/{token_for(reader)}"
    for ask in (*[client.get] * 100, client.head, client.options):
        ask(address)
    assert (Delivery.objects.waiting().count(), Entry.objects.count()) == (1, 0)

    client.post(address, {"List-Unsubscribe": "One-Click"})
    assert Delivery.objects.claim(timezone.now() + timedelta(seconds=1)) == []


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_stranger_cannot_tell_a_known_link_from_another(client, method):
    known = token_for(subscriber("ann@reader.example"))
    answers = [getattr(client, method)(f"/u/{token}") for token in (known, known[:-1] + "x", "mallory")]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert len({answer.content for answer in answers}) == 1


def test_leaving_needs_neither_cookie_nor_csrf_token_and_sends_no_referrer():
    answer = Client(enforce_csrf_checks=True).post(f"/u/{token_for(subscriber('ann@reader.example'))}")

    assert answer.status_code == 200
    assert not answer.cookies
    assert answer["Referrer-Policy"] == "no-referrer"
    assert "no-store" in answer["Cache-Control"]


def test_a_reader_of_another_part_leaves_by_the_same_kind_of_link(client):
    token = Signer(salt="statuspage.subscriber").sign("customer:17")
    for _ in range(2):
        client.post(f"/u/{token}")

    assert Suppression.objects.get().target == "customer:17"
    assert Entry.objects.get().deed == "customer.left"


def test_a_link_works_after_the_key_was_changed(settings):
    token = token_for(subscriber("ann@reader.example"))
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "n" * 60

    assert leave(token)


def test_who_leaves_gets_not_even_what_was_already_waiting():
    reader = subscriber("ann@reader.example")
    outbox_audiences.register("test-subscribers", lambda facts: [subscribers(None)])
    fan_out.fan_out(outbox.announcement(audience="test-subscribers").pk)
    leave(token_for(reader))

    assert Delivery.objects.get().state == Delivery.State.SUPPRESSED
    assert Delivery.objects.claim(timezone.now() + timedelta(minutes=1)) == []
