"""Updates posted to visitors' own programs and chat rooms: begun by a link posted there, and as safe as mail is."""

import itertools
import json
import re
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from standardwebhooks import Webhook

from irportal.ledger.models import Entry
from irportal.outbox import alarms, audiences, endpoints, engine, fan_out
from irportal.outbox.channels import guard
from irportal.outbox.models import Announcement, Delivery, Endpoint
from statuspage import requests
from statuspage.audiences import leave_url, subscribers
from statuspage.models import Subscriber, SubscriptionRequest
from tests import factories as outbox
from tests.receiver import Answer
from tests.statuspage.factories import component, subscriber

pytestmark = pytest.mark.django_db
HOOK = "https://hooks.reader.example/T1/abc"
_visitors = itertools.count(1)
audiences.register("test-everybody", lambda facts: [subscribers(None)], leave_url)


@pytest.fixture
def inside(receiver, settings):
    """The receiver as an address visitors may name; links are on our own pages."""
    settings.WEBHOOK_READERS_INSIDE = True
    return receiver


def visitor() -> str:
    number = next(_visitors)
    return f"198.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def ask(client, url: str, way: str = "webhook", *, page: str = "/subscribe/endpoint", ip: str = "", **fields):
    return client.post(page, {"url": url, "way": way} | fields, REMOTE_ADDR=ip or visitor())


def answer_all() -> None:
    requests.run_due(timezone.now())
    fan_out.fan_out_pending(timezone.now())


def posted(receiver) -> dict:
    return json.loads(receiver.posted[-1].body)


def link(receiver) -> str:
    """The path of the link that was posted last."""
    return re.search(r"http://[^/]+(/(?:confirm|manage)/[^\s\"]+)", receiver.posted[-1].body.decode())[1]


def begin(client, receiver, way: str = "webhook", **fields) -> str:
    """Subscribe the receiver; the page that says so."""
    assert ask(client, receiver.url(), way, **fields).status_code == 200
    engine.run_once()
    return client.post(link(receiver)).content.decode()


def tell(**given) -> Announcement:
    said = {"payload": '{"meta": {"unsubscribe": "{unsubscribe_url}"}}', "public_chat": '{"text": "{unsubscribe_url}"}'}
    return outbox.announcement(audience="test-everybody", **(said | given))


# From the form to the first update


@pytest.mark.parametrize("way", ["webhook", "chat"])
def test_a_link_is_posted_there_and_its_button_begins_the_subscription(client, inside, smtp_relay, way):
    api = component("Agent API")
    ask(client, inside.url(), way, components=[api.code], floor="major")
    assert not inside.posted
    engine.run_once()
    assert not Subscriber.objects.exists()
    assert "You hear about <bdi>Agent API</bdi>" in client.get(link(inside)).content.decode()
    for deed in (client.get, client.head):
        deed(link(inside))
    assert not Subscriber.objects.exists()

    assert "You get updates from now on" in client.post(link(inside)).content.decode()
    reader = Subscriber.objects.get()
    assert (reader.way, reader.host, reader.floor, list(reader.components.all())) == (way, "127.0.0.1", "major", [api])
    tell()
    engine.run_once()
    assert len(inside.posted) == 2
    assert smtp_relay.addresses == []


def test_an_update_is_signed_with_the_secret_that_was_shown_once(client, inside):
    page = begin(client, inside)
    secret = re.search(r"whsec_[A-Za-z0-9+/]+=*", page)[0]
    tell()
    engine.run_once()
    told = inside.posted[-1]
    Webhook(secret).verify(told.body, {name.lower(): value for name, value in told.headers.items()})

    SubscriptionRequest.objects.update(mailed=False)
    ask(client, inside.url(), page="/manage/endpoint")
    engine.run_once()
    assert "whsec_" not in client.get(link(inside)).content.decode()


def test_a_room_has_no_secret(client, inside):
    assert "whsec_" not in begin(client, inside, "chat")


def test_a_room_of_a_subscriber_reads_what_is_public_and_never_what_staff_say(client, inside):
    begin(client, inside, "chat")
    tell(chat='{"text": "Staff only"}', public_chat='{"text": "Public"}')
    tell(chat='{"text": "Staff only"}', public_chat="", payload="")
    engine.run_once()
    assert [json.loads(one.body)["text"] for one in inside.posted[1:]] == ["Public"]


def test_our_own_endpoints_get_no_link_to_leave_and_nothing_twice(client, inside):
    own = outbox.endpoint(inside.url("/own"))
    begin(client, inside)
    tell()
    engine.run_once()
    told = {one.path: json.loads(one.body) for one in inside.posted[1:]}
    assert told["/own"] == {"meta": {"unsubscribe": None}}
    assert told["/hook"]["meta"]["unsubscribe"].startswith("http://127.0.0.1:8000/u/")
    assert [row.announcement.audience for row in Delivery.objects.filter(reader=own.reader)] == ["test-everybody"]


def test_two_endpoints_on_one_host_are_both_told(client, inside):
    begin(client, inside)
    ask(client, inside.url("/other"))
    engine.run_once()
    client.post(link(inside))
    tell()
    engine.run_once()
    assert sorted(inside.paths()[-2:]) == ["/hook", "/other"]


def test_the_beginning_is_on_record_without_the_address(client, inside):
    begin(client, inside)
    entry = Entry.objects.get(deed="subscriber.confirmed")
    assert entry.subject == f"subscriber:{Subscriber.objects.get().pk}"
    assert "127.0.0.1" not in entry.line


def test_word_that_has_nothing_for_programs_does_not_forget_that_they_were_told(client, inside):
    begin(client, inside)
    for said in ({}, {"payload": "", "public_chat": ""}):
        tell(**said)
        fan_out.fan_out_pending(timezone.now())
    told = audiences.told("INC-42", "test-everybody")
    assert [row["reader"] for row in told] == [Endpoint.objects.get().reader]


# Change and leave


def test_the_link_to_change_is_posted_there_and_needs_no_account(client, inside):
    api = component("Agent API")
    begin(client, inside)
    SubscriptionRequest.objects.update(mailed=False)
    assert "a post with the link is on its way" in ask(client, inside.url(), page="/manage/endpoint").content.decode()
    engine.run_once()
    page = client.get(link(inside)).content.decode()
    assert 'name="language"' not in page
    assert "Saved" in client.post(link(inside), {"components": [api.code], "floor": "minor"}).content.decode()

    reader = Subscriber.objects.get()
    assert (list(reader.components.all()), reader.floor, reader.time_zone) == ([api], "minor", "UTC")
    assert Entry.objects.get(deed="subscriber.changed").subject == f"subscriber:{reader.pk}"


def test_asking_again_for_a_subscribed_address_brings_the_link_to_change(client, inside):
    begin(client, inside)
    SubscriptionRequest.objects.update(mailed=False)
    ask(client, inside.url(), "chat")
    engine.run_once()
    assert link(inside).startswith("/manage/")
    assert Subscriber.objects.get().way == "webhook"


def test_a_new_secret_is_shown_once_and_both_sign(client, inside):
    first = re.search(r"whsec_[^<]+", begin(client, inside))[0]
    SubscriptionRequest.objects.update(mailed=False)
    ask(client, inside.url(), page="/manage/endpoint")
    engine.run_once()
    address = link(inside)
    second = re.search(r"whsec_[^<]+", client.post(address, {"secret": "new"}).content.decode())[0]
    assert "whsec_" not in client.get(address).content.decode()

    tell()
    engine.run_once()
    told = inside.posted[-1]
    for secret in (first, second):
        Webhook(secret).verify(told.body, {name.lower(): value for name, value in told.headers.items()})
    assert first != second


@pytest.mark.parametrize("way", ["webhook", "chat"])
def test_one_click_ends_it_and_the_address_is_forgotten(client, inside, way):
    begin(client, inside, way)
    tell()
    engine.run_once()
    key = {"webhook": lambda told: told["meta"]["unsubscribe"], "chat": lambda told: told["text"]}[way]
    address = urlsplit(key(posted(inside))).path
    for deed in (client.get, client.head):
        deed(address)
    assert Subscriber.objects.active().exists()

    client.post(address)
    tell()
    engine.run_once()
    assert len(inside.posted) == 2
    assert not Endpoint.objects.exists()
    assert Entry.objects.get(deed="subscriber.left").subject == f"subscriber:{Subscriber.objects.get().pk}"


def test_what_waits_for_an_endpoint_that_left_is_not_sent(client, inside):
    begin(client, inside)
    tell()
    fan_out.fan_out_pending(timezone.now())
    reader = Subscriber.objects.get()
    client.post(urlsplit(leave_url(reader.code, "en")).path)
    assert Delivery.objects.get(announcement__audience="test-everybody").state == "suppressed"


def test_who_left_can_begin_anew(client, inside):
    begin(client, inside)
    client.post(urlsplit(leave_url(Subscriber.objects.get().code, "en")).path)
    SubscriptionRequest.objects.update(mailed=False)
    begin(client, inside)
    tell()
    engine.run_once()
    assert posted(inside)["meta"]["unsubscribe"]


@pytest.mark.parametrize("how", ["gone", "silent"])
def test_an_endpoint_that_is_gone_ends_its_subscription_and_wakes_nobody(client, inside, monkeypatch, freezer, how):
    woken = []
    monkeypatch.setattr(alarms, "_alarms", [lambda *said: woken.append(said)])
    begin(client, inside)
    tell()
    inside.answers["/hook"] = [Answer(410 if how == "gone" else 500)]
    engine.run_once()
    if how == "silent":
        freezer.shift(timedelta(days=5, seconds=1))
        endpoints.give_up(timezone.now())
        alarms.sound(timezone.now())
    assert not Subscriber.objects.active().exists()
    assert woken == []


def test_staff_see_and_end_what_is_posted_but_not_where(client, root, inside):
    begin(client, inside)
    client.force_login(root)
    page = client.get("/admin/statuspage/subscriber/?way__exact=webhook").content.decode()
    assert f"Webhook {Subscriber.objects.get().pk} at 127.0.0.1" in page
    assert "/hook" not in page
    assert "/hook" not in client.get("/admin/outbox/endpoint/").content.decode()

    told = {"action": "put_an_end", "_selected_action": [Subscriber.objects.get().pk]}
    client.post("/admin/statuspage/subscriber/", told)
    assert not Subscriber.objects.active().exists()
    assert not Endpoint.objects.exists()


# One answer for everybody, limits, and what may be named


@pytest.mark.parametrize("page", ["/subscribe/endpoint", "/manage/endpoint"])
def test_the_answer_and_its_cost_are_the_same_for_every_address(client, page):
    made = Endpoint.objects.create(url=HOOK, of_reader=True, verified_at=timezone.now())
    subscriber("", way="webhook", host=made.host, endpoint=made)
    outbox.endpoint("https://hooks.own.example/x")
    found, answers = [], []
    for url in (HOOK, "https://hooks.own.example/x", "https://new.example/", HOOK):
        with CaptureQueriesContext(connection) as asked:
            answers.append(ask(client, url, page=page))
        found.append([re.sub(r"'[^']*'|\b[0-9a-f.:]+\b", "?", query["sql"]) for query in asked.captured_queries])
        answer_all()
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert len(found[0]) == 3  # the third asks how the page is to look
    assert found == [found[0]] * 4


def test_nothing_is_posted_to_an_endpoint_of_our_own(client):
    own = outbox.endpoint("https://hooks.own.example/x")
    ask(client, own.url)
    answer_all()
    assert not Announcement.objects.exists()
    own.refresh_from_db()
    assert own.of_reader is False


def test_the_same_address_is_posted_to_once_in_fifteen_minutes_and_three_times_a_day(client, freezer):
    for _ in range(100):
        ask(client, HOOK)
        answer_all()
        freezer.shift(timedelta(minutes=14))
    assert Announcement.objects.count() == 3


def test_one_host_gets_twenty_posts_an_hour_whoever_asks(client, freezer):
    for number in range(40):
        ask(client, f"https://victim.example/{number}")
    ask(client, HOOK)
    answer_all()
    assert Delivery.objects.filter(address="victim.example").count() == 20
    assert Delivery.objects.exclude(address="victim.example").count() == 1

    freezer.shift(timedelta(hours=1))
    ask(client, "https://victim.example/again")
    answer_all()
    assert Delivery.objects.filter(address="victim.example").count() == 21


def test_one_visitor_is_heard_ten_times_an_hour(client):
    for number in range(30):
        ask(client, f"https://h{number}.example/", ip="203.0.113.9")
    answer_all()
    assert Delivery.objects.count() == 10


def test_who_does_not_answer_is_asked_for_an_hour_at_most(client, inside, freezer):
    ask(client, inside.url())
    inside.answers["/hook"] = [Answer(500)] * 20
    for _ in range(200):
        engine.run_once()
        freezer.shift(timedelta(minutes=2))
    assert 1 < len(inside.posted) <= 4
    assert Delivery.objects.get().state == "dead"


def test_an_endpoint_nobody_confirmed_is_forgotten_after_a_week(client, freezer):
    ask(client, HOOK)
    answer_all()
    freezer.shift(timedelta(days=7))
    answer_all()
    assert not Endpoint.objects.exists()


@pytest.mark.parametrize(
    "url",
    [
        *("http://hooks.reader.example/x", "https://127.1/x", "https://user:x@hook.example/", "ftp://a.example/"),
        *("https://hook.example:22/", "hook.example", "https://", "https://a.example/é"),
        *("https://2130706433/", "https://a.example/#x", "https://a b.example/", "https://[::1%25eth0]/"),
    ],
)
def test_an_address_nothing_can_be_posted_to_is_said_so_and_the_rest_is_kept(client, url):
    api = component("Agent API")
    answer = ask(client, url, "chat", components=[api.code])
    page = answer.content.decode()
    assert answer.status_code == 400
    assert "Nothing can be posted there" in page
    assert f'value="{api.code}" checked' in page
    assert re.search(r'value="chat" checked', page)
    assert not SubscriptionRequest.objects.exists()


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"url": ""}, "Give the address updates should be posted to."),
        ({"url": f"https://a.example/{'x' * 500}"}, "500 characters at most"),
        ({"way": ""}, "Say who listens there"),
        ({"way": "smtp"}, "Say who listens there"),
    ],
)
def test_what_is_missing_is_said_so(client, fields, sentence):
    answer = ask(client, **({"url": HOOK} | fields))
    assert (answer.status_code, sentence in answer.content.decode()) == (400, True)


def test_visitors_cannot_name_networks_that_only_staff_may(client, receiver):
    """The receiver's network is opened for webhooks of our own."""
    guard.check(receiver.url())
    assert ask(client, receiver.url()).status_code == 400

    reached = f"https://localhost:{receiver.port}/"
    assert ask(client, reached).status_code == 200
    engine.run_once()
    assert not receiver.posted
    assert "not public" in Delivery.objects.get().last_error


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("https://Hooks.Reader.EXAMPLE:443/T1/abc?x=Y", "https://hooks.reader.example/T1/abc?x=Y"),
        ("https://bücher.example", "https://xn--bcher-kva.example/"),
        ("https://[2606:4700::1111]/x", "https://[2606:4700::1111]/x"),
    ],
)
def test_an_address_is_kept_as_it_is_posted_to(client, typed, kept):
    assert ask(client, typed).status_code == 200
    assert SubscriptionRequest.objects.get().url == kept


def test_the_forms_lead_to_each_other(client):
    assert 'href="/subscribe/endpoint"' in client.get("/subscribe").content.decode()
    assert 'href="/manage/endpoint"' in client.get("/subscribe/endpoint").content.decode()
    assert 'href="/manage/endpoint"' in client.get("/manage").content.decode()
