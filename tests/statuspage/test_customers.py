"""The private page: who gets in, what they see, and that a customer is no member of staff."""

import re
from datetime import timedelta

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from irportal.ledger.models import Entry
from irportal.outbox.models import Announcement
from statuspage import requests
from statuspage.models import CustomerSession, Notice, SubscriptionRequest
from tests.statuspage.factories import component, publish
from tests.statuspage.test_canary import addresses
from tests.statuspage.test_private import DOWN, SLOW, customer, own

pytestmark = pytest.mark.django_db


@pytest.fixture
def globex(freezer):
    return customer("Globex", "globex.example")


def ask(client: Client, email: str = "ann@globex.example") -> str:
    """The link that was mailed, or nothing."""
    before = set(Announcement.objects.values_list("pk", flat=True))
    answer = client.post("/private/sign-in", {"email": email})
    assert answer.status_code == 200
    requests.run_due(timezone.now())
    [*mails] = Announcement.objects.exclude(pk__in=before)
    return re.search(r"/private/sign-in/\S+", mails[0].text)[0] if mails else ""


@pytest.fixture
def ann(client, globex):
    client.post(ask(client))
    return client


# Signing in


def test_a_link_signs_in_once_and_only_when_the_button_is_pressed(client, globex):
    link = ask(client)
    for _ in range(3):  # a scanner of mails follows links
        assert b"<button>Sign in</button>" in client.get(link).content
    assert client.get("/private/").status_code == 302

    entered = client.post(link)
    assert entered.headers["Location"] == "/private/"
    assert client.get("/private/").status_code == 200
    assert Client().post(link).status_code == 404


def test_a_link_works_for_fifteen_minutes(client, globex, freezer):
    link = ask(client)
    freezer.shift(timedelta(minutes=15))
    assert client.get(link).status_code == client.post(link).status_code == 404
    assert "customer" not in client.cookies


@pytest.mark.parametrize("token", ["x", "x:y", "a" * 500, "%00"])
def test_a_made_up_link_is_none(client, token):
    assert client.post(f"/private/sign-in/{token}").status_code == 404


def test_the_answer_says_nothing_of_the_address_and_only_a_known_one_is_mailed(client, globex):
    known = client.post("/private/sign-in", {"email": "ann@globex.example"})
    unknown = client.post("/private/sign-in", {"email": "eve@evil.example"})
    assert known.content == unknown.content
    requests.run_due(timezone.now())
    assert [row.facts["email"] for row in Announcement.objects.all()] == ["ann@globex.example"]


def test_neither_link_nor_cookie_can_be_read_from_the_database(client, globex):
    link = ask(client)
    client.post(link)
    cookie = client.cookies["customer"].value
    assert SubscriptionRequest.objects.get().secret not in link
    assert CustomerSession.objects.get().secret != cookie


def test_a_mailbox_gets_a_link_every_two_minutes_at_most(client, globex, freezer):
    assert ask(client)
    assert not ask(client, "ann+again@globex.example")
    freezer.shift(timedelta(minutes=3))
    assert ask(client)


def test_the_cookie_goes_to_the_private_page_alone_and_is_new_each_time(client, globex, freezer):
    client.post(ask(client))
    cookie = client.cookies["customer"]
    assert (cookie["path"], cookie["httponly"], cookie["samesite"]) == ("/private/", True, "Lax")
    freezer.shift(timedelta(minutes=3))
    client.post(ask(client))
    assert client.cookies["customer"].value != cookie.value
    assert CustomerSession.objects.count() == 1


def test_another_site_can_sign_nobody_in_or_out(ann, globex, freezer):
    ann.post("/private/sign-out", headers={"Sec-Fetch-Site": "cross-site"})
    ann.cookies["customer"] = ann.cookies["customer"].value
    freezer.shift(timedelta(minutes=3))
    stranger = Client()
    stranger.post(ask(stranger), headers={"Sec-Fetch-Site": "cross-site"})
    assert CustomerSession.objects.count() == 1
    assert stranger.get("/private/").status_code == 302


def test_signing_out_ends_the_session_itself(ann):
    kept = ann.cookies["customer"].value
    ann.post("/private/sign-out")
    ann.cookies["customer"] = kept
    assert ann.get("/private/").status_code == 302


ENDS = {
    "the address is taken off": lambda globex, clock: globex.addresses.all().delete(),
    "the customer goes": lambda globex, clock: type(globex).objects.update(is_active=False),
    "the address becomes another's": lambda globex, clock: customer("Lumen", "ann@globex.example"),
    "nobody comes for 30 days": lambda globex, clock: clock.shift(timedelta(days=30)),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_session_ends_when(end, ann, globex, freezer):
    assert ann.get("/private/").status_code == 200
    ENDS[end](globex, freezer)
    assert ann.get("/private/").status_code == 302


def test_who_comes_again_stays_signed_in(ann, freezer):
    for _ in range(3):
        freezer.shift(timedelta(days=20))
        assert ann.get("/private/").status_code == 200


# What they see


def test_the_private_page_shows_what_is_public_and_what_is_theirs(ann, globex):
    publish("investigating", (component("Agent API"), SLOW), ref="INC-1", title="Slow for all")
    publish("investigating", (own(globex), DOWN), ref="INC-7", title="Own cluster is down")
    publish("investigating", (own(customer("Lumen"), "Lumen cluster"), DOWN), ref="INC-8", title="Lumen is down")

    page = ann.get("/private/").content.decode()
    assert "Slow for all" in page
    assert "Own cluster is down" in page
    assert "Lumen" not in page
    code = Notice.objects.get(ref="INC-7").code
    assert f'href="/private/incidents/{code}"' in page
    assert ann.get(f"/private/incidents/{code}").status_code == 200
    assert ann.get("/private/i/INC-7").headers["Location"] == f"/private/incidents/{code}"
    assert ann.get("/private/history").status_code == ann.get("/private/uptime").status_code == 200
    assert "Own cluster is down" in ann.get("/private/history/2026-03").content.decode()
    summary = ann.get("/private/api/v2/summary.json").json()
    assert {row["name"] for row in summary["components"]} == {"Agent API", "Own cluster"}
    assert {row["shortlink"].rpartition("/private/i/")[2] for row in summary["incidents"]} == {"INC-1", "INC-7"}


def test_links_of_public_pages_stay_public_afterwards(ann, client, globex):
    publish("investigating", (component("Agent API"), SLOW))
    ann.get("/private/")
    assert b"/private/" not in Client().get("/").content


def test_what_is_another_customers_is_answered_like_what_is_not_there(ann, globex):
    publish("investigating", (own(customer("Lumen"), "Lumen cluster"), DOWN), ref="INC-8")
    hidden = ann.get(f"/private/incidents/{Notice.objects.get().code}")
    absent = ann.get("/private/incidents/zzzzzzzzzzzz")
    assert hidden.status_code == absent.status_code == 404
    assert hidden.content == absent.content


def test_nobody_keeps_a_private_answer(ann, globex):
    publish("investigating", (own(globex), DOWN), ref="INC-7")
    for address in ("", "history", "i/INC-7", "api/v2/summary.json", "sign-in"):
        for client in (ann, Client()):
            answer = client.get(f"/private/{address}")
            assert answer.headers["Cache-Control"] == "private, no-store", address
            assert "ETag" not in answer.headers


def test_a_program_without_a_session_is_told_so_in_a_sentence(client):
    answer = client.get("/private/api/v2/summary.json")
    assert answer.status_code == 401
    assert answer.json() == {"error": "Sign in at /private/sign-in first."}


# A customer is no member of staff


@pytest.fixture(params=["mail", "openid"])
def anyhow(request, client, globex):
    """Somebody who signed in, by each way there is."""
    if request.param == "mail":
        return request.getfixturevalue("ann")
    request.getfixturevalue("provider").sign_in(client)
    assert client.get("/private/").status_code == 200
    return client


def test_a_customer_gets_into_no_page_of_staff(anyhow):
    """Asked as a customer and as nobody, every address of staff answers alike."""
    stranger = Client()
    tried = [one for one in addresses() if one.startswith(("/portal/", "/admin/", "/accounts/"))]
    assert len(tried) > 50
    for address in tried:
        theirs, nobodys = anyhow.get(address), stranger.get(address)
        assert theirs.status_code == nobodys.status_code, address
        assert theirs.headers.get("Location") == nobodys.headers.get("Location"), address
        assert not theirs.wsgi_request.user.is_authenticated


def test_the_cookie_of_a_customer_is_no_session_of_staff(anyhow):
    as_staff = Client()
    as_staff.cookies[settings.SESSION_COOKIE_NAME] = anyhow.cookies["customer"].value
    assert as_staff.get("/portal/").status_code == 302


def test_staff_without_a_link_do_not_see_the_private_page(client, django_user_model):
    client.force_login(django_user_model.objects.create_superuser("root@portal.example", "x" * 20))
    assert client.get("/private/").headers["Location"] == "/private/sign-in"


def test_signing_in_is_recorded_by_the_customers_number_and_no_address(ann, globex):
    entry = Entry.objects.get(deed="customer.signed_in")
    assert entry.subject == f"customer:{globex.pk}"
    assert "globex" not in entry.line
