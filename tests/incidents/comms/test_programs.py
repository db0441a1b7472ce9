"""What other programs and chat rooms are told of an incident."""

import json
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from standardwebhooks import Webhook

from incidents import workflow
from incidents.comms import actions
from irportal.outbox import engine
from irportal.outbox.models import Announcement, Delivery
from statuspage import snapshot
from statuspage.models import Component, Notice, NoticeComponent, Subscriber
from tests.factories import endpoint
from tests.receiver import Answer

HOUR = timedelta(hours=1)


def said(receiver, path: str = "/hook") -> list[dict]:
    return [json.loads(posted.body) for posted in receiver.posted if posted.path == path]


@pytest.fixture
def room(receiver, db):
    return endpoint(receiver.url("/room"), kind="chat")


# Webhooks


def test_an_update_to_customers_is_posted_in_the_shape_of_the_public_page(
    declare, update, freezer, receiver, smtp_relay
):
    there = endpoint(receiver.url())
    incident = declare()
    update(incident, customer_text="We found the cause.", status="identified", reason="x")
    engine.run_once()

    told = Webhook(there.secret).verify(receiver.posted[0].body, receiver.posted[0].headers)
    public = json.loads(Client().get("/api/v2/incidents/unresolved.json").content)
    public["incidents"][0]["incident_updates"] = public["incidents"][0]["incident_updates"][:1]
    assert told["incident"] == public["incidents"][0]
    assert told["incident"]["incident_updates"][0]["body"] == "We found the cause."


def test_programs_hear_only_what_is_public(declare, update, freezer, receiver, smtp_relay):
    endpoint(receiver.url())
    incident = declare()
    update(incident, internal_text="The token of Harbour Bank leaked.", customer_text="We are looking.")
    engine.run_once()

    assert len(receiver.posted) == 1
    assert not any(word in str(said(receiver)) for word in ("Harbour", "grace@", "ops@bank"))


def test_each_update_is_posted_with_its_own_text_alone(declare, update, freezer, receiver, smtp_relay):
    endpoint(receiver.url())
    incident = declare()
    for text in ("One.", "Two."):
        update(incident, customer_text=text)
        freezer.shift(timedelta(minutes=3))
    engine.run_once()

    assert [[row["body"] for row in told["incident"]["incident_updates"]] for told in said(receiver)] == [
        ["One."],
        ["Two."],
    ]


@pytest.mark.parametrize("letter", ["é", "字", "🚨", '"', "\\"])
def test_the_longest_text_is_within_twenty_kilobytes_and_keeps_its_beginning(declare, update, letter):
    text = "We are looking. " + letter * 4980
    update(declare(), customer_text=text)
    payload = Announcement.objects.exclude(payload="").get().payload
    (told,) = json.loads(payload)["incident"]["incident_updates"]
    whole = told["body"] == text
    start = told["body"].removesuffix(snapshot.CUT)

    assert len(payload.encode()) <= 20_000
    assert whole or (told["body"] != start and text.startswith(start) and len(payload.encode()) > 19_900)


def test_hundreds_of_components_give_way_to_the_text(declare, update):
    incident = declare()
    update(incident, customer_text="We are looking.")
    notice = Notice.objects.get()
    for number in range(300):
        component = Component.objects.create(name=f"Region {number}")
        NoticeComponent.objects.create(notice=notice, component=component, state="partial_outage")
    payload = snapshot.newest_json(notice, timezone.now())
    told = json.loads(payload)["incident"]

    assert len(payload.encode()) <= 20_000
    assert (told["components"], told["incident_updates"][0]["body"]) == ([], "We are looking.")
    assert told["shortlink"].endswith(f"/{incident.ref}")


# Chat rooms


@pytest.fixture
def public_room(receiver, settings):
    """A room in which a subscriber of the page listens."""
    settings.WEBHOOK_READERS_INSIDE = True
    there = endpoint(receiver.url("/public"), kind="chat", of_reader=True)
    return Subscriber.objects.create(way="chat", host=there.host, endpoint=there, confirmed_at=timezone.now())


def test_the_room_of_a_subscriber_reads_what_the_page_says_and_how_to_leave(
    declare, update, freezer, receiver, smtp_relay, public_room
):
    incident = declare()
    update(incident, internal_text="Harbour Bank is furious.", customer_text="Hello @channel <!here>, we look.")
    engine.run_once()
    update(incident, status="resolved", reason="Stable", customer_text="It is over.")
    engine.run_once()

    first, last = said(receiver, "/public")
    lines = first["text"].splitlines()
    assert lines[0] == "Investigating: Agent API unavailable"
    assert "Affected: Agent API (major outage)" in lines
    assert "Next update by: 2026-03-02 15:00 UTC" in lines
    assert "/i/INC-1 · No more of this: http://127.0.0.1:8000/u/" in lines[-1]
    assert last["text"].startswith("Resolved: Agent API unavailable")
    for word in ("Harbour", "/portal/", "@channel", "<!here>", "{unsubscribe_url}"):
        assert word not in first["text"] + last["text"]


def test_a_room_of_a_subscriber_is_told_of_the_end_when_the_impact_has_dropped(
    declare, update, freezer, receiver, smtp_relay, public_room, grace
):
    Subscriber.objects.update(floor="critical")
    incident = declare(rank=1)
    update(incident, customer_text="We look.")
    engine.run_once()
    workflow.change_severity(incident, rank=3, reason="Fewer", by=grace)
    update(incident, status="resolved", reason="Stable", customer_text="It is over.")
    engine.run_once()
    assert [told["text"].partition(":")[0] for told in said(receiver, "/public")] == ["Investigating", "Resolved"]


# covers R000-21, R001-36
def test_a_room_reads_the_declaration_in_the_fields_of_the_seeds(declare, freezer, receiver, smtp_relay, room):
    incident = declare()
    engine.run_once()

    (told,) = said(receiver, "/room")
    names = [line.partition(":")[0] for line in told["text"].splitlines() if ": " in line]
    assert told["text"].startswith("🚨 INCIDENT DECLARED 🚨 INC-1\n")
    assert names == ["Severity", "Title", "Impact", "Started", "IC", "Channel"]
    assert f"Channel: {incident.channel_name}" in told["text"]
    assert "All hands on deck. Join the incident channel." in told["text"]


# covers R001-25, R001-37
def test_a_room_reads_an_internal_update_with_its_next_time(declare, update, freezer, receiver, smtp_relay, room):
    incident = declare()
    update(incident, internal_text="Pool exhausted. Raising it.")
    engine.run_once()

    told = said(receiver, "/room")[-1]
    assert told["text"].startswith("📊 INCIDENT UPDATE INC-1\n\nStatus: Investigating\n")
    assert "Findings and action: Pool exhausted. Raising it.\nETA: not known yet\n" in told["text"]
    assert "Next update by 14:45 UTC or when resolved." in told["text"]


# covers R001-28, R001-38
@pytest.mark.parametrize("texts", [{"internal_text": "Pool raised."}, {"customer_text": "Pool raised."}])
def test_a_room_reads_once_that_it_is_resolved(declare, update, freezer, receiver, smtp_relay, room, texts):
    incident = declare()
    freezer.shift(timedelta(minutes=43))
    update(incident, status="monitoring", reason="Stable")
    update(incident, status="resolved", reason="Stable", **texts)
    engine.run_once()

    resolved = [told["text"] for told in said(receiver, "/room") if "INCIDENT RESOLVED" in told["text"]]
    assert len(resolved) == 1
    assert "Duration: 45\N{NO-BREAK SPACE}min\nRoot cause: in the post-mortem\nResolution: Pool raised." in resolved[0]
    assert "Post-mortem within 48 hours. Thank you" in resolved[0]


def test_both_texts_of_a_resolution_say_resolved_once(declare, update, freezer, receiver, smtp_relay, room):
    incident = declare()
    update(incident, status="monitoring", reason="Stable")
    update(incident, status="resolved", reason="Stable", internal_text="Raised.", customer_text="All is well.")
    engine.run_once()

    assert sum("INCIDENT RESOLVED" in told["text"] for told in said(receiver, "/room")) == 1


def test_a_room_hears_nothing_of_an_update_to_customers(declare, update, freezer, receiver, smtp_relay, room):
    update(declare(), customer_text="We are looking.")
    engine.run_once()

    assert len(said(receiver, "/room")) == 1


def test_blocks_are_plain_text_and_say_what_the_text_says(declare, freezer, receiver, smtp_relay, room):
    declare()
    engine.run_once()

    blocks = said(receiver, "/room")[0]["blocks"]
    parts = [part for block in blocks for part in (block.get("elements") or [block["text"]])]
    assert {part["type"] for part in parts} == {"plain_text"}
    assert [block["type"] for block in blocks] == ["header", *["section"] * 6, "context"]


def test_nothing_typed_calls_a_whole_room(declare, freezer, receiver, smtp_relay, room):
    declare(title="<!channel> @here & <https://evil.example|click>")
    engine.run_once()

    text = said(receiver, "/room")[0]["text"]
    assert "<" not in text
    assert "@here" not in text
    assert "&lt;!channel&gt;" in text


def test_a_long_text_is_cut_to_what_a_room_takes(declare, update, freezer, receiver, smtp_relay, room):
    update(declare(), internal_text="x" * 5000)
    engine.run_once()

    blocks = said(receiver, "/room")[-1]["blocks"]
    assert max(len(block["text"]["text"]) for block in blocks if "text" in block) <= 3000


def test_an_alarm_reaches_the_room_while_the_relay_is_down(freezer, receiver, smtp_relay, room, lin):
    smtp_relay.stop()
    actions.tell_of_alarm("outage:smtp", "outage-1", "The mail relay has not worked since 14:30 UTC.")
    engine.run_once()

    assert said(receiver, "/room")[0]["text"].startswith("⚠️ MAIL TROUBLE")
    assert Delivery.objects.get(channel="smtp").state == "pending"


def test_a_room_that_refuses_a_message_is_not_asked_again(freezer, receiver, smtp_relay, room, lin):
    receiver.answers["/room"] = [Answer(400, body=b"invalid_payload")]
    actions.tell_of_alarm("k", "outage-1", "Mail is in trouble.")
    engine.run_once()
    freezer.shift(HOUR)
    engine.run_once()

    assert len(said(receiver, "/room")) == 1
    assert Delivery.objects.get(channel="chat").state == "dead"
