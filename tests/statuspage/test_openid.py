"""Signing in to the private page at a provider of identities: what lets nobody in, and what it asks of the provider."""

import base64
import hashlib
import hmac
import json
from datetime import timedelta
from threading import BoundedSemaphore
from urllib.parse import parse_qsl, urlsplit

import pytest
from cryptography.hazmat.primitives import serialization
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone

from irportal.ledger.models import Entry
from statuspage.customers import openid
from statuspage.models import CustomerSession
from tests.receiver import Answer
from tests.statuspage.provider import DISCOVERY, LABEL, SECRET, START, key
from tests.statuspage.test_private import customer

pytestmark = pytest.mark.django_db

BACK = f"{START}/back"


@pytest.fixture
def globex(freezer):
    return customer("Globex", "globex.example")


def by_hand(claims: dict, alg: str, sign=lambda text: b"") -> str:
    """A token that no library would make."""
    parts = (json.dumps(part).encode() for part in ({"alg": alg, "kid": "one"}, claims))
    text = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    return f"{text.decode()}.{base64.urlsafe_b64encode(sign(text)).rstrip(b'=').decode()}"


def signed_with_the_public_key(claims: dict) -> str:
    form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    secret = key("one").public_key().public_bytes(*form)
    return by_hand(claims, "HS256", lambda text: hmac.digest(secret, text, hashlib.sha256))


# The journey


def test_who_signs_in_at_the_provider_sees_the_private_page(client, globex, provider):
    assert LABEL in client.get("/private/sign-in").content.decode()
    assert provider.sign_in(client).headers["Location"] == "/private/"
    page = client.get("/private/")
    assert page.status_code == 200
    assert b"Ann@globex.example" in page.content
    assert (client.cookies["customer"]["path"], client.cookies["customer"]["httponly"]) == ("/private/", True)


def test_it_is_recorded_by_the_customers_number_and_makes_no_account(client, globex, provider):
    provider.sign_in(client)
    entry = Entry.objects.get(deed="customer.signed_in")
    assert entry.subject == f"customer:{globex.pk}"
    assert "globex" not in entry.line
    assert not get_user_model().objects.exists()


def test_a_provider_that_wants_the_secret_in_the_form_gets_it_there(client, globex, provider):
    provider.discovery["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    provider.publish()
    assert provider.sign_in(client).status_code == 302


def test_what_the_browser_keeps_meanwhile_goes_to_the_way_back_alone(client, globex, provider):
    client.get(START)
    cookie = client.cookies["customer-begun"]
    assert (cookie["path"], cookie["httponly"], cookie["samesite"]) == (BACK, True, "Lax")
    assert cookie["max-age"] == 600


def test_a_session_before_is_replaced(client, globex, provider):
    provider.sign_in(client)
    before = client.cookies["customer"].value
    provider.receiver.answers.clear()
    provider.sign_in(client)
    assert client.cookies["customer"].value != before
    assert CustomerSession.objects.count() == 1


@pytest.mark.parametrize("more", ["&next=https://evil.example/", "&redirect_uri=//evil.example", "&iss=evil"])
def test_the_way_back_leads_to_the_private_page_alone(more, client, globex, provider):
    back = provider.allow(client.get(START)["Location"]) + more
    assert client.get(back).headers["Location"] == "/private/"


# Who does not get in


REFUSED = {
    "the nonce is another's": ({"nonce": "another"}, openid.UNTRUE),
    "there is no nonce": ({"nonce": None}, openid.UNTRUE),
    "the issuer is another": ({"iss": "https://evil.example"}, openid.UNTRUE),
    "it is for another client": ({"aud": "another"}, openid.UNTRUE),
    "it is for others, too": ({"aud": ["portal", "another"]}, openid.UNTRUE),
    "it was asked for by another": ({"azp": "another"}, openid.UNTRUE),
    "it expired": ({"exp": 1772461740}, openid.UNTRUE),  # a minute ago, which is the leeway
    "it never expires": ({"exp": None}, openid.UNTRUE),
    "it is from tomorrow": ({"iat": 1772548200}, openid.UNTRUE),
    "the address is not verified": ({"email_verified": False}, openid.UNVERIFIED),
    "the address is called verified in a text": ({"email_verified": "true"}, openid.UNVERIFIED),
    "nothing is said of verifying": ({"email_verified": None}, openid.UNVERIFIED),
    "there is no address": ({"email": None}, openid.UNVERIFIED),
    "the address is nobody's": ({"email": "eve@evil.example"}, openid.NOBODY),
    "the address is a customer's domain": ({"email": "globex.example"}, openid.NOBODY),
    "the address has two domains": ({"email": "eve@globex.example@evil.example"}, openid.NOBODY),
}
FORGED = {
    "alg none": lambda claims: by_hand(claims, "none"),
    "HS256 with the public key": signed_with_the_public_key,
    "no signature": lambda claims: by_hand(claims, "RS256"),
    "no token": lambda claims: "",
    "nested without end": lambda claims: f"{base64.urlsafe_b64encode(b'[' * 30_000).decode()}.e30.e30",
}


@pytest.fixture
def nobody(client, provider, globex, caplog):
    """Asserts that an answer lets nobody in, for this reason, and that neither it nor the log says too much."""

    def refused(answer, sentence) -> None:
        assert answer.status_code == 403
        assert str(sentence) in answer.content.decode()
        assert answer.headers["Cache-Control"] == "private, no-store"
        assert not CustomerSession.objects.exists()
        assert not Entry.objects.exists()
        assert not get_user_model().objects.exists()
        assert client.get("/private/").status_code == 302
        told = caplog.text + answer.content.decode()
        assert not [one for one in ("@globex", "@evil", SECRET, "c0de", "s3cret", "eyJ") if one in told]

    return refused


@pytest.mark.parametrize("why", REFUSED)
def test_nobody_gets_in_when(why, client, provider, nobody):
    provider.claims, sentence = REFUSED[why]
    nobody(provider.sign_in(client), sentence)


@pytest.mark.parametrize("how", FORGED)
def test_a_forged_token_lets_nobody_in(how, client, provider, nobody):
    provider.token = FORGED[how]
    nobody(provider.sign_in(client), openid.UNTRUE)


def test_a_key_of_the_same_name_is_not_the_key(client, provider, nobody):
    provider.token = lambda claims: by_hand(claims, "RS256", lambda text: b"x" * 256)
    nobody(provider.sign_in(client), openid.UNTRUE)


@pytest.mark.parametrize("state", ["", "another"])
def test_a_wrong_state_lets_nobody_in_and_asks_the_provider_nothing(state, client, provider, nobody):
    provider.allow(client.get(START)["Location"])
    nobody(client.get(BACK, {"code": "c0de", "state": state}), openid.OVER)
    assert not provider.asked("/token")


def test_another_browser_cannot_finish_what_one_began(client, provider, nobody):
    back = provider.allow(client.get(START)["Location"])
    nobody(Client().get(back), openid.OVER)


def test_who_comes_back_after_ten_minutes_begins_again(client, provider, nobody, freezer):
    back = provider.allow(client.get(START)["Location"])
    freezer.shift(timedelta(minutes=10, seconds=1))
    nobody(client.get(back), openid.OVER)


def test_a_way_back_is_gone_once_even_with_the_cookie_put_back(client, globex, provider):
    back = provider.allow(client.get(START)["Location"])
    kept = client.cookies["customer-begun"].value
    assert client.get(back).status_code == 302
    assert client.cookies["customer-begun"].value == ""

    again = Client()
    again.cookies["customer-begun"] = kept
    assert again.get(back).status_code == 403
    assert provider.asked("/token") == CustomerSession.objects.count() == 1


@pytest.mark.parametrize("error", ["access_denied", "<script>ann@globex.example"])
def test_a_provider_that_says_no_is_not_repeated_word_for_word(error, client, provider, nobody):
    state = dict(parse_qsl(urlsplit(client.get(START)["Location"]).query))["state"]
    answer = client.get(BACK, {"error": error, "error_description": "ann@globex.example", "state": state})
    nobody(answer, openid.DENIED)
    assert b"<script>ann" not in answer.content


# A provider that does not do as it should


def large(provider, path: str) -> None:
    told = json.loads(provider.receiver.found[path].body) | {"padding": "x" * openid.BYTES}
    provider.receiver.found[path] = Answer(body=json.dumps(told).encode())


def hang(handler) -> None:
    """Say nothing until the other side hangs up."""
    handler.rfile.read(1)


TROUBLE = {
    "it is down": lambda provider: provider.receiver.stop(),
    "it has no discovery document": lambda provider: provider.receiver.found.clear(),
    "its discovery document is too large": lambda provider: large(provider, DISCOVERY),
    "its keys are too large": lambda provider: large(provider, "/keys"),
    "its keys are gone": lambda provider: provider.receiver.found.pop("/keys"),
    "it refuses the code": lambda provider: provider.receiver.answers.update({"/token": [Answer(400)]}),
    "it hangs": lambda provider: provider.receiver.answers.update({"/token": [hang]}),
    "its token is too large": lambda provider: setattr(provider, "token", lambda claims: "x" * 70_000),
    "its answer is nested without end": lambda provider: provider.receiver.answers.update(
        {"/token": [Answer(body=b"[" * 30_000)]}
    ),
    "its answer is a list": lambda provider: provider.receiver.answers.update({"/token": [Answer(body=b"[]")]}),
    "it leads elsewhere": lambda provider: provider.receiver.answers.update(
        {"/token": [Answer(302, {"Location": provider.issuer + "/elsewhere"})]}
    ),
}


@pytest.mark.parametrize("trouble", TROUBLE)
def test_nobody_gets_in_and_the_page_says_so_when(trouble, client, provider, nobody, monkeypatch, caplog):
    monkeypatch.setattr(openid, "SECONDS", 0.5)
    TROUBLE[trouble](provider)
    nobody(provider.sign_in(client), openid.DOWN)
    assert "Customers cannot sign in at their provider" in caplog.text


@pytest.mark.parametrize(
    "wrong",
    [
        {"issuer": "https://evil.example"},
        {"token_endpoint": None},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"jwks_uri": "https://login.example/\nkeys"},
    ],
)
def test_a_discovery_document_that_is_wrong_is_not_used(wrong, client, provider, nobody):
    provider.discovery |= wrong
    provider.publish()
    nobody(client.get(START), openid.DOWN)


def test_a_provider_inside_is_asked_only_where_the_operator_allows_it(client, provider, nobody, settings):
    settings.WEBHOOK_ALLOW_CIDRS = []
    nobody(client.get(START), openid.DOWN)
    assert not provider.receiver.posted


def test_with_two_threads_waiting_for_it_the_others_stay_free(client, provider, nobody, monkeypatch):
    turns = BoundedSemaphore(2)
    monkeypatch.setattr(openid, "_turns", turns)
    with turns, turns:
        nobody(client.get(START), openid.BUSY)
    assert client.get(START).status_code == 302


# Its keys


def test_what_it_publishes_is_read_once_an_hour(client, globex, provider, freezer):
    for reads in (1, 1, 2):
        provider.receiver.answers.clear()
        assert provider.sign_in(client).status_code == 302
        assert (provider.asked(DISCOVERY), provider.asked("/keys")) == (reads, reads)
        freezer.shift(timedelta(minutes=30))


def test_a_new_key_is_looked_for_at_most_once_a_minute(client, globex, provider, freezer):
    provider.sign_in(client)
    provider.kid = "two"
    provider.publish()
    for after, status, reads in ((59, 403, 1), (1, 302, 2)):
        freezer.shift(timedelta(seconds=after))
        provider.receiver.answers.clear()
        assert provider.sign_in(client).status_code == status
        assert provider.asked("/keys") == reads


# Where it begins


def test_without_a_provider_there_is_no_such_way(client, globex):
    assert "/private/sign-in/openid" not in client.get("/private/sign-in").content.decode()
    assert client.get(START).status_code == client.get(BACK).status_code == 404


def test_another_site_can_begin_no_sign_in(client, globex, provider):
    answer = client.get(START, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.headers["Location"] == "/private/sign-in"
    assert "customer-begun" not in client.cookies


def test_the_table_is_about_this_moment(freezer):
    """Instants in the table are a minute ago and tomorrow, as the clock of these tests stands."""
    now = int(timezone.now().timestamp())
    assert (REFUSED["it expired"][0]["exp"], REFUSED["it is from tomorrow"][0]["iat"]) == (now - 60, now + 86400)
