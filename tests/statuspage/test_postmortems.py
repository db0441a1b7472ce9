"""The post-mortem on the incident's public page: published, corrected, withdrawn, and everywhere told the same."""

import json
from datetime import timedelta

import feedparser
import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from irportal.ledger.models import Entry
from irportal.refused import Refused
from statuspage.models import Notice
from statuspage.publish import publish_postmortem, withdraw_postmortem
from tests.statuspage.factories import component, past_incident, publish
from tests.statuspage.test_pages import words

pytestmark = pytest.mark.django_db


@pytest.fixture
def resolved(freezer) -> Notice:
    """INC-42, resolved a day ago."""
    api = component("Agent API")
    start = publish("investigating", (api, "major_outage")).notice.started_at
    notice = publish("resolved", started_at=start).notice
    freezer.shift(timedelta(days=1))
    return notice


def public(client, notice: Notice) -> dict:
    return json.loads(client.get(f"/incidents/{notice.code}.json").content)["incident"]


def test_a_post_mortem_stands_on_the_incidents_page(resolved, client, lin):
    publish_postmortem("INC-42", "A **cable** was cut.", by=lin)
    page = client.get(f"/incidents/{resolved.code}").content.decode()

    assert "<strong>cable</strong>" in page
    assert "Post-mortem Published 14:30 UTC A cable was cut." in words(client.get(f"/incidents/{resolved.code}"))
    assert "#postmortem" in client.get("/").content.decode()


def test_clients_of_statuspage_see_the_status_postmortem_and_its_fields(resolved, client, lin):
    assert public(client, resolved)["postmortem_body"] is None
    publish_postmortem("INC-42", "A cable was cut.", by=lin)
    incident = public(client, resolved)
    listed = json.loads(client.get("/api/v2/incidents.json").content)["incidents"][0]

    assert incident["status"] == listed["status"] == "postmortem"
    assert incident["postmortem_body"] == "A cable was cut."
    assert incident["postmortem_published_at"] == incident["updated_at"] == "2026-03-03T14:30:00.000Z"
    assert [update["status"] for update in listed["incident_updates"]] == ["postmortem", "resolved", "investigating"]
    assert listed["resolved_at"] == "2026-03-02T14:30:00.000Z"


def test_a_corrected_post_mortem_says_so_and_why(resolved, client, lin, freezer):
    publish_postmortem("INC-42", "A cable was cut.", by=lin)
    freezer.shift(timedelta(hours=1))
    publish_postmortem("INC-42", "A cable was unplugged.", by=lin, reason="It was not cut.")
    text, incident = words(client.get(f"/incidents/{resolved.code}")), public(client, resolved)

    assert "Published 14:30 UTC A cable was unplugged. Corrected 15:30 UTC: It was not cut." in text
    assert "A cable was cut." not in text
    assert incident["postmortem_published_at"] == "2026-03-03T14:30:00.000Z"
    assert incident["postmortem_body_last_updated_at"] == "2026-03-03T15:30:00.000Z"


def test_a_withdrawn_post_mortem_is_gone_and_said_to_be(resolved, client, lin):
    publish_postmortem("INC-42", "A cable was cut.", by=lin)
    withdraw_postmortem("INC-42", reason="It named a customer.", by=lin)
    text, incident = words(client.get(f"/incidents/{resolved.code}")), public(client, resolved)

    assert "The post-mortem was withdrawn. Withdrawn 14:30 UTC: It named a customer." in text
    assert "A cable was cut" not in client.get(f"/incidents/{resolved.code}").content.decode()
    assert (incident["status"], incident["postmortem_body"]) == ("resolved", None)
    assert "A cable was cut" not in client.get("/history.atom").content.decode()


def test_one_published_after_a_withdrawal_counts_from_then(resolved, client, lin, freezer):
    publish_postmortem("INC-42", "A cable was cut.", by=lin)
    withdraw_postmortem("INC-42", reason="It named a customer.", by=lin)
    freezer.shift(timedelta(hours=1))
    publish_postmortem("INC-42", "A cable was unplugged.", by=lin, reason="It names nobody now.")

    assert public(client, resolved)["postmortem_published_at"] == "2026-03-03T15:30:00.000Z"


@pytest.mark.parametrize("address", ["/history.atom", "/history.rss"])
def test_feeds_tell_of_it_in_the_entry_of_the_incident(resolved, client, lin, address):
    before = feedparser.parse(client.get(address).content).entries[0]
    publish_postmortem("INC-42", "A cable was cut.", by=lin)
    entry = feedparser.parse(client.get(address).content).entries[0]

    assert entry.id == before.id
    text = entry.get("content", [{"value": entry.get("summary")}])[0]["value"]
    assert text.index("Post-mortem") < text.index("A cable was cut.") < text.index("Resolved")


def test_an_incident_that_is_opened_again_is_not_called_past(resolved, client, lin):
    publish_postmortem("INC-42", "A cable was cut.", by=lin)
    publish("investigating", started_at=resolved.started_at)

    assert public(client, resolved)["status"] == "investigating"


@pytest.mark.parametrize(
    ("deed", "sentence"),
    [
        (lambda lin: publish_postmortem("INC-7", "x", by=lin), "INC-7 is not resolved on the public page"),
        (lambda lin: publish_postmortem("INC-41", "x", by=lin), "INC-41 is not resolved on the public page"),
        (lambda lin: publish_postmortem("INC-42", " \n", by=lin), "has no text"),
        (lambda lin: publish_postmortem("INC-42", "a\0b", by=lin), "cannot be stored"),
        (lambda lin: publish_postmortem("INC-42", "x" * 20_001, by=lin), "20001 characters"),
        (lambda lin: withdraw_postmortem("INC-42", reason="No", by=lin), "has no post-mortem"),
        (lambda lin: publish_postmortem("INC-40", "y", by=lin), "Say what was wrong"),
        (lambda lin: withdraw_postmortem("INC-40", reason=" ", by=lin), "Say what was wrong"),
    ],
)
def test_what_cannot_be_published_is_refused_with_a_reason(resolved, lin, deed, sentence):
    publish("investigating", ref="INC-41")
    past_incident("INC-40", started_at=timezone.now() - timedelta(days=2))
    publish_postmortem("INC-40", "x", by=lin)

    with pytest.raises(Refused, match=sentence):
        deed(lin)


def test_the_database_refuses_a_withdrawal_without_a_reason(resolved):
    with pytest.raises(IntegrityError), transaction.atomic():
        resolved.postmortems.create(created_at=timezone.now())


def test_publishing_and_withdrawing_are_in_the_record_without_the_text(resolved, lin):
    publish_postmortem("INC-42", "A cable was cut.", by=lin)
    withdraw_postmortem("INC-42", reason="Too early.", by=lin)
    lines = list(
        Entry.objects.filter(deed__startswith="notice.postmortem").order_by("n").values_list("line", flat=True)
    )

    assert ["published" in lines[0], "withdrawn" in lines[1], "Too early." in lines[1]] == [True] * 3
    assert "cable" not in "".join(lines)
