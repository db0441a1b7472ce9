"""What vendors' own status pages say: read within bounds, never believed for long, shown beside ours."""

import json
import time
from datetime import timedelta

import pytest
from django.utils import timezone

from irportal.ledger.models import Entry
from irportal.outbox import engine
from statuspage import editions, vendors
from statuspage.models import Change, Document, Vendor
from statuspage.publish import set_vendor
from tests.receiver import Answer
from tests.statuspage.factories import component, past_incident, publish
from tests.statuspage.test_pages import words

pytestmark = pytest.mark.django_db
OK, DEGRADED, MAJOR = "operational", "degraded_performance", "major_outage"


def summary(indicator: str = "none", **components: str) -> dict:
    rows = [{"id": name, "name": name, "status": state, "group": False} for name, state in components.items()]
    return {"status": {"indicator": indicator, "description": f"It is {indicator}"}, "components": rows}


GROUPED = {
    "status": {"indicator": "major", "description": "Partial System Outage"},
    "components": [
        {"id": "g1", "name": "Europe", "status": MAJOR, "group": True},
        {"id": "g2", "name": "Asia", "status": OK, "group": True},
        {"id": "c1", "name": "Queue", "status": MAJOR, "group_id": "g1", "group": False},
        {"id": "c2", "name": "Queue", "status": OK, "group_id": "g2", "group": False},
    ],
}


@pytest.mark.parametrize(
    ("document", "watched", "state", "said"),
    [
        (summary("none"), [], OK, "It is none"),
        (summary("minor"), [], DEGRADED, "It is minor"),
        (summary("critical"), [], MAJOR, "It is critical"),
        (summary("maintenance"), [], "under_maintenance", "It is maintenance"),
        (summary("critical", Actions=OK, Git=MAJOR), ["Actions"], OK, ""),
        (summary("none", Actions=DEGRADED, Git=MAJOR), ["actions", "GIT"], MAJOR,
         "actions: degraded performance, GIT: major outage"),
        (GROUPED, ["Asia - Queue"], OK, ""),
        (GROUPED, ["Queue"], MAJOR, "Queue: major outage"),
    ],
)  # fmt: skip
def test_what_matters_of_a_summary(document, watched, state, said):
    assert vendors.understand(document, watched) == (state, said)


@pytest.mark.parametrize(
    ("document", "watched"),
    [
        (None, []), ([], []), ({}, []), ({"status": "fine"}, []), (summary("splendid"), []),
        ({"status": {"indicator": "none", "description": None}}, []),
        (summary("none"), ["Actions"]), (summary("none", Actions="on_fire"), ["Actions"]),
        ({"status": {"indicator": "none", "description": ""}, "components": {"a": 1}}, ["a"]),
    ],
)  # fmt: skip
def test_what_is_no_summary_or_lacks_what_matters_says_nothing(document, watched):
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        vendors.understand(document, watched)


def test_a_vendors_words_are_one_short_line_of_what_can_be_printed():
    document = {"status": {"indicator": "none", "description": "a\n\u202eb\0" + "x" * 500}}

    assert vendors.understand(document, [])[1] == "a b " + "x" * 195 + "…"


@pytest.fixture
def cloud(receiver) -> Vendor:
    """A vendor whose page is the receiver."""
    return Vendor.objects.create(name="Cloudy", address=receiver.url("").rstrip("/"))


def answer(receiver, document: object, status: int = 200, **headers: str) -> None:
    body = json.dumps(document).encode() if status == 200 else b""
    receiver.answers.setdefault("/api/v2/summary.json", []).append(Answer(status, headers, body))


def turn() -> None:
    """One turn begins to read what is due; the next one takes over what came."""
    vendors.run_due(timezone.now())
    for question in vendors._out:
        question.join(20)
    vendors.run_due(timezone.now())


def test_a_vendors_state_is_read_on_a_tick_and_stands_on_the_page(cloud, receiver, client):
    cloud.components.add(component("Agent API"))
    answer(receiver, summary("major"))
    turn()
    text = words(client.get("/"))

    assert "What we depend on Cloudy Partial outage It is major · used by Agent API" in text
    assert [asked.path for asked in receiver.posted] == ["/api/v2/summary.json"]


def test_a_vendor_is_asked_once_a_minute_with_what_it_said_last(cloud, receiver, freezer):
    answer(receiver, summary("minor"), ETag='"abc"')
    turn()
    turn()
    assert len(receiver.posted) == 1

    freezer.shift(timedelta(seconds=61))
    answer(receiver, None, 304)
    turn()
    cloud.refresh_from_db()
    assert receiver.posted[1].headers["If-None-Match"] == '"abc"'
    assert (cloud.state, cloud.read_at, cloud.problem) == (DEGRADED, timezone.now(), "")


def test_what_was_read_too_long_ago_is_unknown_and_never_fine(cloud, receiver, client, freezer):
    answer(receiver, summary("none"))
    turn()
    assert "Cloudy Operational" in words(client.get("/"))

    for _ in range(16):
        freezer.shift(timedelta(minutes=1))
        answer(receiver, None, 503)
        turn()
    cloud.refresh_from_db()
    assert "Cloudy Unknown We cannot read their status page now." in words(client.get("/"))
    assert cloud.problem == "it answered 503"


def test_a_vendor_that_was_never_read_is_unknown(cloud, client):
    assert "Cloudy Unknown" in words(client.get("/"))


def test_the_page_is_written_anew_when_a_vendor_becomes_unknown(cloud, receiver, freezer):
    answer(receiver, summary("none"))
    turn()
    editions.rebuild()
    while editions.refresh():
        pass
    assert Document.objects.get(path="/").due == int((timezone.now() + Vendor.STALE).timestamp())

    freezer.shift(Vendor.STALE + timedelta(seconds=1))
    editions.run_due(timezone.now())
    assert b"Unknown" in bytes(Document.objects.get(path="/").body)


def test_readers_hear_of_a_change_and_only_of_a_change(cloud, receiver, freezer):
    answer(receiver, summary("none"))
    turn()
    Change.objects.all().delete()
    freezer.shift(timedelta(seconds=61))
    answer(receiver, summary("none"))
    turn()
    assert not Change.objects.exists()

    freezer.shift(timedelta(seconds=61))
    answer(receiver, summary("critical"))
    turn()
    assert Change.objects.exists()
    assert Entry.objects.filter(deed="vendor.read").count() == 2


def test_an_answer_about_another_address_says_nothing(cloud, receiver):
    answer(receiver, summary("none"))
    vendors.run_due(timezone.now())
    Vendor.objects.update(address="https://status.other.example")
    for question in vendors._out:
        question.join(20)
    vendors.run_due(timezone.now() - vendors.EVERY)

    assert Vendor.objects.get().state == ""


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("https://127.0.0.1", "the name leads to an address that is not public"),
        ("https://169.254.169.254", "the name leads to an address that is not public"),
        ("https://[::1]", "the name leads to an address that is not public"),
        ("https://10.0.0.1", "the name leads to an address that is not public"),
        ("http://127.0.0.1", "a port the operator has not opened"),
        ("https://user@status.example.com", "no name, no password and no #part in the address"),
    ],
)
def test_only_public_addresses_are_asked(address, problem):
    assert vendors.ask(Vendor(name="Mallory", address=address)).problem == problem


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"<!doctype html>", {}),
        (b"[" * 100_000, {}),
        (json.dumps(summary("none")).encode()[:-5], {}),
        (b'{"pad":"' + b"x" * 2_000_000 + b'","status":{"indicator":"none","description":""}}', {}),
        (b"", {"Location": "https://status.example.com/api/v2/summary.json"}),
    ],
    ids=["a page", "deep", "half", "too long", "empty"],
)
def test_what_cannot_be_understood_is_a_problem(cloud, receiver, body, headers):
    receiver.answers["/api/v2/summary.json"] = [Answer(200, headers, body)]

    assert vendors.ask(cloud).problem == "this is no summary of Statuspage's API v2"


def test_a_redirect_is_not_followed(cloud, receiver):
    answer(receiver, None, 302, Location=receiver.url("/elsewhere"))

    assert vendors.ask(cloud).problem == "it answered 302"
    assert receiver.paths() == ["/api/v2/summary.json"]


def test_a_page_that_says_nothing_holds_up_nobody_and_is_left_after_a_while(cloud, receiver, monkeypatch):
    monkeypatch.setattr(vendors, "SECONDS", 0.3)
    receiver.answers["/api/v2/summary.json"] = [lambda handler: time.sleep(1)]
    began = time.monotonic()
    vendors.run_due(timezone.now())
    assert time.monotonic() - began < 0.3

    turn()
    cloud.refresh_from_db()
    assert cloud.problem.startswith("no answer")


def test_the_engine_reads_vendors_in_every_turn():
    assert vendors.run_due in engine._turns


def test_two_hands_of_the_engine_ask_once(cloud, receiver):
    answer(receiver, summary("none"))
    seen = Vendor.objects.get()
    turn()
    assert not Vendor.objects.filter(pk=seen.pk, asked_at=seen.asked_at).exists()
    turn()

    assert len(receiver.posted) == 1


def test_an_incident_says_which_vendor_caused_it(cloud, client, lin):
    code = publish("investigating").notice.code
    past_incident("INC-7", started_at=timezone.now() - timedelta(hours=3))
    set_vendor("INC-42", cloud, by=lin)
    set_vendor("INC-7", cloud, by=lin)

    for address in ("/", f"/incidents/{code}"):
        assert "Caused by a vendor: Cloudy." in words(client.get(address))
    assert "Caused by Cloudy" in words(client.get("/history"))
    assert Entry.objects.filter(deed="notice.vendor_set").count() == 2


def test_script_in_a_vendors_words_stays_text(cloud, receiver, client):
    answer(receiver, {"status": {"indicator": "minor", "description": "<script>alert(1)</script>"}})
    turn()

    assert "<script>alert" not in client.get("/").content.decode()


def admin_form(client, root, **given):
    client.force_login(root)
    facts = {"name": "Cloudy", "address": "https://status.cloudy.example/", "watched": "", "components": []}
    return client.post("/admin/statuspage/vendor/add/", facts | given)


def test_an_admin_enters_a_vendor(client, root):
    assert admin_form(client, root).status_code == 302
    assert Vendor.objects.get().address == "https://status.cloudy.example"
    assert Entry.objects.filter(deed="vendor.changed").exists()
    assert Change.objects.filter(topic="now:-").exists()


@pytest.mark.parametrize("address", ["ftp://x.example", "status.example", "https://127.1", "https://a.example/?x=1"])
def test_an_address_that_cannot_be_read_is_refused_with_a_reason(client, root, address):
    answered = admin_form(client, root, address=address)

    assert answered.status_code == 200
    assert "Nothing can be read there" in answered.content.decode() or "without a query" in answered.content.decode()


def test_another_address_forgets_what_the_old_one_said(client, root, cloud):
    Vendor.objects.update(state=OK, read_at=timezone.now(), etag='"a"', words="fine")
    client.force_login(root)
    facts = {"name": "Cloudy", "address": "https://status.other.example", "watched": "", "components": []}
    client.post(f"/admin/statuspage/vendor/{cloud.pk}/change/", facts)
    cloud.refresh_from_db()

    assert (cloud.state, cloud.read_at, cloud.etag, cloud.words) == ("", None, "", "")


def test_a_vendor_an_incident_names_cannot_be_deleted(client, root, cloud, lin):
    publish("investigating")
    set_vendor("INC-42", cloud, by=lin)
    client.force_login(root)
    client.post(f"/admin/statuspage/vendor/{cloud.pk}/delete/", {"post": "yes"})

    assert Vendor.objects.exists()
