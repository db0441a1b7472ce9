"""Endpoints in the settings: a secret shown once, a challenge before use, and every deed in the record."""

import json
import re

import pytest
from standardwebhooks import Webhook

from irportal.ledger.models import Entry
from irportal.outbox import engine, fan_out
from irportal.outbox.channels import webhook
from irportal.outbox.models import Delivery, Endpoint
from tests import people
from tests.factories import announcement, endpoint
from tests.receiver import Answer

pytestmark = pytest.mark.django_db
LIST = "/admin/outbox/endpoint/"


@pytest.fixture
def settings_page(client, root):
    client.force_login(root)
    return client


def add(page, url: str, kind: str = "webhook") -> str:
    return page.post(f"{LIST}add/", {"url": url, "kind": kind}, follow=True).content.decode()


def act(page, action: str, *chosen: Endpoint) -> str:
    told = {"action": action, "_selected_action": [row.pk for row in chosen]}
    return page.post(LIST, told, follow=True).content.decode()


def secret_in(page: str) -> str | None:
    found = re.search(r"whsec_[A-Za-z0-9+/]+=*", page)
    return found[0] if found else None


def echo(receiver):
    def answer(handler):
        body = json.loads(receiver.posted[-1].body)["challenge"].encode()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def test_a_secret_is_shown_once_when_its_endpoint_is_made(settings_page, receiver):
    shown = add(settings_page, receiver.url())
    there = Endpoint.objects.get()

    assert secret_in(shown) == there.secret
    assert secret_in(settings_page.get(LIST).content.decode()) is None
    assert secret_in(settings_page.get(f"{LIST}{there.pk}/change/").content.decode()) is None


def test_a_new_endpoint_is_told_nothing_before_it_answers_its_challenge(settings_page, receiver):
    add(settings_page, receiver.url())
    assert not Endpoint.objects.in_use().exists()

    receiver.answers["/hook"] = [echo(receiver)]
    assert "is in use" in act(settings_page, "challenge", Endpoint.objects.get())
    assert Endpoint.objects.in_use().exists()


def test_one_that_answers_something_else_stays_out_of_use(settings_page, receiver):
    add(settings_page, receiver.url())
    page = act(settings_page, "challenge", Endpoint.objects.get())

    assert "did not say the challenge back" in page
    assert not Endpoint.objects.in_use().exists()


@pytest.mark.parametrize(
    "url", ["https://user:x@hook.example/", "https://hook.example:22/", "https://127.1/", "ftp://a.example/"]
)
def test_an_address_nothing_can_be_sent_to_is_not_taken(settings_page, url):
    add(settings_page, url)
    assert not Endpoint.objects.exists()


def test_a_new_secret_is_shown_once_and_the_old_one_signs_for_a_day_more(settings_page, receiver, freezer):
    there = endpoint(receiver.url())
    old = there.secret
    new = secret_in(act(settings_page, "rotate", there))
    there.refresh_from_db()
    headers = webhook.signed(there, "k", b"{}", there.created_at)

    assert new == there.secret != old
    for secret in (new, old):
        Webhook(secret).verify(b"{}", headers)


def test_what_was_switched_off_is_told_again_after_another_challenge(settings_page, receiver):
    there = endpoint(receiver.url())
    receiver.answers["/hook"] = [Answer(410), echo(receiver)]
    announcement(audience="addresses", facts={"addresses": []}, payload="{}")
    engine.run_once()
    act(settings_page, "challenge", there)

    there.refresh_from_db()
    assert (there.is_active, there.disabled_reason, there.failing_since) == (True, "", None)


@pytest.mark.parametrize("how", ["switch_off", "delete"])
def test_what_waits_for_an_endpoint_taken_away_ends_without_alarm(settings_page, receiver, how):
    there = endpoint(receiver.url())
    fan_out.fan_out(announcement(audience="addresses", facts={"addresses": []}, payload="{}").pk)
    if how == "delete":
        settings_page.post(f"{LIST}{there.pk}/delete/", {"post": "yes"})
    else:
        act(settings_page, "switch_off", there)

    assert Delivery.objects.get().state == "suppressed"


def test_every_deed_is_in_the_record_and_no_address_and_no_secret(settings_page, receiver, root):
    add(settings_page, receiver.url("/qqxyz"))
    there = Endpoint.objects.get()
    receiver.answers["/qqxyz"] = [echo(receiver)]
    for action in ("challenge", "rotate", "switch_off"):
        act(settings_page, action, there)
    settings_page.post(f"{LIST}{there.pk}/delete/", {"post": "yes"})
    lines = [entry.line for entry in Entry.objects.filter(subject=there.reader).order_by("n")]

    assert [entry.deed for entry in Entry.objects.filter(subject=there.reader).order_by("n")] == [
        "endpoint.changed",
        "endpoint.changed",
        "endpoint.changed",
        "endpoint.switched_off",
        "endpoint.changed",
    ]
    assert not any("/qqxyz" in str(line) or "whsec_" in str(line) for line in lines)


def test_the_address_of_a_room_is_shown_to_nobody(settings_page, receiver):
    there = endpoint(receiver.url("/T0/B0/qqxyz"), kind="chat")
    pages = [settings_page.get(path).content.decode() for path in (LIST, f"{LIST}{there.pk}/change/")]

    assert not any("qqxyz" in page for page in pages)


@pytest.mark.parametrize("role", ["viewer", "responder", "commander", "publisher"])
def test_only_an_admin_sees_endpoints(client, roles, role):
    client.force_login(people.person("Someone", role))
    assert client.get(LIST).status_code in (302, 403)
