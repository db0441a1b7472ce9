"""What a subscriber may choose: groups, components, one incident, how bad it must be, language and time zone."""

import re
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.utils import timezone

from irportal.ledger.models import Entry
from irportal.outbox import engine, fan_out
from irportal.outbox.models import Announcement, Delivery
from statuspage import requests, subscriptions
from statuspage.audiences import subscribers
from statuspage.forms import zones
from statuspage.models import Component, Notice, Subscriber, SubscriptionRequest
from statuspage.subscriptions import leave, manage_token, token_for
from tests.statuspage.factories import component, publish, subscriber

pytestmark = pytest.mark.django_db
ANN = "ann@reader.example"
IMPACTS = ["none", "minor", "major", "critical"]


def addresses(component_ids, **given) -> list[str]:
    return [row["address"] for row in subscribers(component_ids, **given)]


def turn() -> None:
    requests.run_due(timezone.now())
    fan_out.fan_out_pending(timezone.now())


def ask(client, page: str = "/subscribe", email: str = ANN, **fields):
    return client.post(page, {"email": email} | fields)


def link(email: str = ANN) -> str:
    text = Announcement.objects.filter(deliveries__address=email).latest("pk").text
    return re.search(r"http://[^/]+(/\S+)", text)[1]


def begin(client, page: str = "/subscribe", email: str = ANN, **fields) -> Subscriber:
    assert ask(client, page, email, **fields).status_code == 200
    turn()
    assert client.post(link(email)).status_code == 200
    return Subscriber.objects.filter(left_at=None).get(email=email)


def notice(status: str = "investigating", **given) -> Notice:
    return publish(status, **given).notice


# Groups


def test_a_group_is_every_component_in_it_also_what_is_added_later(client):
    api = component("Agent API", group="Platform")
    other = component("Dashboard", group="Console")
    begin(client, groups=[api.group.code])
    assert addresses([api.pk]) == [ANN]
    assert addresses([other.pk]) == []

    later = Component.objects.create(name="Agent memory", group=api.group)
    assert addresses([later.pk]) == [ANN]


def test_groups_and_components_can_be_chosen_together(client):
    api, board = component("Agent API", group="Platform"), component("Dashboard", group="Console")
    component("Billing", group="Console")
    begin(client, groups=[api.group.code], components=[board.code])
    row = subscribers(None)[0]
    assert row["why"] == "You get this because you asked for updates about Platform, Dashboard."
    assert [len(addresses([part.pk])) for part in Component.objects.order_by("pk")] == [1, 1, 0]


def test_a_group_somebody_chose_cannot_be_deleted():
    group = component(group="Platform").group
    subscriber(ANN, group)
    Component.objects.all().delete()
    with pytest.raises(ProtectedError):
        group.delete()


def test_the_form_offers_whole_groups(client):
    group = component("Agent API", group="Platform").group
    page = client.get("/subscribe").content.decode()
    assert f'name="groups" value="{group.code}"' in page
    assert "All of Platform, also what is added later" in page


# How bad it must be


@pytest.mark.parametrize("impact", IMPACTS)
def test_who_chose_an_impact_hears_of_that_and_worse(impact):
    for floor in IMPACTS:
        subscriber(f"{floor}@reader.example", floor=floor)
    heard = [f"{floor}@reader.example" for floor in IMPACTS[: IMPACTS.index(impact) + 1]]
    assert addresses(None, impact=impact) == heard


def test_a_floor_that_is_none_is_refused_by_the_database():
    with pytest.raises(IntegrityError), transaction.atomic():
        subscriber(ANN, floor="dreadful")


# One incident


def test_an_open_incident_offers_updates_about_itself_alone(client):
    made = notice()
    page = client.get(made.get_absolute_url()).content.decode()
    assert "Tell me about this incident only" in page
    assert f'action="/subscribe/{made.code}"' in page

    publish("resolved")
    assert "Tell me about this incident only" not in client.get(made.get_absolute_url()).content.decode()


def test_who_follows_an_incident_hears_of_that_one_alone(client):
    made = notice()
    reader = begin(client, f"/subscribe/{made.code}")
    other = component()
    assert addresses([], incident=made.ref) == [ANN]
    assert addresses([other.pk], incident="INC-77") == []
    assert addresses(None) == []
    why = subscribers([], incident=made.ref)[0]["why"]
    assert why == "You get this because you asked for updates about this incident."
    assert Entry.objects.get(deed="subscriber.confirmed").subject == f"subscriber:{reader.pk}"


def test_the_page_to_confirm_names_the_incident(client):
    made = notice()
    ask(client, f"/subscribe/{made.code}")
    turn()
    assert "You hear about “Agent API unavailable” until it is over." in client.get(link()).content.decode()


def test_a_subscriber_who_follows_an_incident_keeps_everything_else(client):
    api = component("Agent API")
    reader = subscriber(ANN, api, floor="critical")
    made = notice(impact="minor")
    begin(client, f"/subscribe/{made.code}")
    assert addresses([api.pk], impact="minor", incident=made.ref) == [ANN]
    assert addresses([api.pk], impact="minor") == []
    assert addresses([api.pk], impact="critical") == [ANN]
    assert list(reader.components.all()) == [api]


def test_who_follows_an_incident_may_ask_for_all_of_them_later(client, freezer):
    made = notice()
    reader = begin(client, f"/subscribe/{made.code}")
    freezer.shift(timedelta(minutes=16))
    assert begin(client, floor="major") == reader
    reader.refresh_from_db()
    assert (reader.is_standing, reader.floor, list(reader.followed.all())) == (True, "major", [made])


def test_a_subscription_to_one_incident_ends_by_itself_a_day_after_it(client, freezer):
    made = notice()
    reader = begin(client, f"/subscribe/{made.code}")
    subscriptions.end_followers(timezone.now())
    publish("resolved")
    freezer.shift(timedelta(hours=23, minutes=59))
    subscriptions.end_followers(timezone.now())
    assert addresses([], incident=made.ref) == [ANN]

    freezer.shift(timedelta(minutes=2))
    subscriptions.end_followers(timezone.now())
    assert addresses([], incident=made.ref) == []
    assert Entry.objects.get(deed="subscriber.ended").subject == f"subscriber:{reader.pk}"


def test_it_does_not_end_before_the_closing_message_is_on_its_way(client, freezer):
    made = notice()
    begin(client, f"/subscribe/{made.code}")
    publish("resolved")
    Announcement.objects.create(
        dedupe_key="close", thread=made.ref, audience="x", made_at=timezone.now(), expires_at=timezone.now()
    )
    freezer.shift(timedelta(days=2))
    subscriptions.end_followers(timezone.now())
    assert addresses([], incident=made.ref) == [ANN]


def test_a_standing_subscription_does_not_end_with_an_incident_it_follows(client, freezer):
    subscriber(ANN)
    made = notice()
    begin(client, f"/subscribe/{made.code}")
    publish("resolved")
    freezer.shift(timedelta(days=2))
    subscriptions.end_followers(timezone.now())
    assert addresses(None) == [ANN]


def test_the_end_of_an_incident_is_said_and_nothing_typed_is_lost(client):
    made = notice()
    publish("resolved")
    answer = ask(client, f"/subscribe/{made.code}")
    page = answer.content.decode()
    assert answer.status_code == 409
    assert "is over, so there is nothing more to hear about it" in " ".join(page.split())
    assert f'value="{ANN}"' in page
    assert 'action="/subscribe"' in page
    assert not SubscriptionRequest.objects.exists()


def test_a_link_to_follow_an_incident_no_longer_works_when_that_is_over(client):
    made = notice()
    ask(client, f"/subscribe/{made.code}")
    turn()
    publish("resolved")
    assert (client.get(link()).status_code, client.post(link()).status_code) == (404, 404)
    assert not Subscriber.objects.exists()


@pytest.mark.parametrize("code", ["nothing", "a%00b", "x" * 500, "a:b"])
def test_an_incident_nobody_published_cannot_be_followed(client, code):
    for deed in (client.get, client.post):
        assert deed(f"/subscribe/{code}").status_code == 404


def test_the_answer_about_one_incident_is_the_same_for_every_address(client):
    made = notice()
    subscriber(ANN)
    answers = [ask(client, f"/subscribe/{made.code}", email) for email in (ANN, "new@reader.example")]
    assert len({answer.content for answer in answers}) == 1


# Language and time zone


def test_language_and_time_zone_go_into_every_delivery(client):
    begin(client, language="pt-br", time_zone="America/Sao_Paulo")
    row = subscribers(None)[0]
    assert (row["language"], row["time_zone"]) == ("pt-br", "America/Sao_Paulo")


def test_the_form_suggests_the_language_of_the_page(client):
    page = client.get("/de/subscribe").content.decode()
    assert re.search(r'<option value="de"\s+selected', page)


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("language", "xx", "We do not write in this language"),
        ("time_zone", "Mars/Olympus", "not a time zone we know"),
        ("time_zone", "../../etc/passwd", "not a time zone we know"),
        ("floor", "dreadful", "Choose one of these four"),
        ("groups", "nothing", "no longer there"),
        ("groups", "a\x00b", "no longer there"),
    ],
)
def test_a_choice_that_is_not_there_is_said_so_and_the_rest_is_kept(client, field, value, sentence):
    api = component("Agent API", group="Platform")
    answer = ask(client, components=[api.code], **{"floor": "major", field: value})
    page = answer.content.decode()
    assert answer.status_code == 400
    assert sentence in page
    assert f'value="{ANN}"' in page
    assert f'value="{api.code}" checked' in page
    assert not SubscriptionRequest.objects.exists()


def test_every_zone_that_is_offered_is_one_that_can_be_told():
    from zoneinfo import ZoneInfo

    names = ["UTC", *(name for _, group in zones()[1:] for name, _ in group)]
    assert len(names) > 400
    assert all(ZoneInfo(name) for name in names)


# Change


def test_everything_chosen_can_be_changed_by_the_link_without_an_account(client):
    api = component("Agent API", group="Platform")
    reader = subscriber(ANN)
    page = f"/manage/{manage_token(reader)}"
    chosen = {"groups": [api.group.code], "floor": "major", "language": "ja", "time_zone": "Asia/Tokyo"}
    assert "Saved" in client.post(page, chosen).content.decode()

    reader.refresh_from_db()
    assert (reader.floor, reader.language, reader.time_zone) == ("major", "ja", "Asia/Tokyo")
    assert list(reader.groups.all()) == [api.group]
    shown = client.get(page).content.decode()
    assert f'name="groups" value="{api.group.code}" checked' in shown
    for value in ("major", "ja", "Asia/Tokyo"):
        assert re.search(rf'<option value="{value}"\s+selected', shown)
    assert ANN not in Entry.objects.get(deed="subscriber.changed").line


def test_a_choice_that_cannot_be_saved_changes_nothing(client):
    reader = subscriber(ANN, floor="minor")
    answer = client.post(f"/manage/{manage_token(reader)}", {"floor": "none", "time_zone": "Mars/Olympus"})
    reader.refresh_from_db()
    assert (answer.status_code, reader.floor) == (400, "minor")
    assert "Nothing was saved" in answer.content.decode()


def test_who_follows_one_incident_manages_language_and_end_alone(client):
    made = notice()
    component()
    reader = begin(client, f"/subscribe/{made.code}")
    page = client.get(f"/manage/{manage_token(reader)}").content.decode()
    assert "Agent API unavailable" in page
    assert 'name="components"' not in page
    client.post(f"/manage/{manage_token(reader)}", {"language": "fr"})
    reader.refresh_from_db()
    assert (reader.language, reader.is_standing) == ("fr", False)


def test_one_click_ends_what_follows_one_incident(client, smtp_relay):
    made = notice()
    reader = begin(client, f"/subscribe/{made.code}")
    assert leave(token_for(reader))
    assert addresses([], incident=made.ref) == []
    engine.run_once()
    assert Delivery.objects.filter(reader=f"subscriber:{reader.pk}").count() == 0
