"""The words of the mails: subjects, the frame of each kind, and what is said before and after the first update."""

import re
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.policy import SMTP

import pytest
from django.utils import timezone

from incidents.comms import holding, letters
from incidents.comms.models import CommsDuty
from irportal.outbox import fan_out
from irportal.outbox.models import Announcement, Delivery
from statuspage.models import Component, Subscriber
from tests.factories import mail_of

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


def told(topic: str) -> Announcement:
    return Announcement.objects.filter(topic=topic).order_by("pk").last()


def flat(text: str) -> str:
    """On one line, as somebody reads it who is told times in UTC alone."""
    return " ".join(re.sub(r"\{local:\d+\}", "", text).split())


# covers R000-20
@pytest.mark.parametrize(
    ("status", "subject"),
    [
        ("investigating", "[INC-1] Investigating: Agent API unavailable"),
        ("identified", "[INC-1] Identified: Agent API unavailable"),
        ("monitoring", "[INC-1] Monitoring: Agent API unavailable"),
        ("resolved", "[INC-1] Resolved: Agent API unavailable"),
    ],
)
def test_the_subject_names_the_incident_its_state_and_its_title(declare, update, freezer, status, subject):
    update(declare(), status=status, customer_text="News.", reason="Stable")
    assert told("update").subject == subject


# covers R001-22
def test_everybody_who_holds_a_role_is_told_of_the_declaration_in_six_fields(declare, freezer):
    declare()
    letter = told("declared")
    assert letter.subject == "[INC-1] Declared, SEV1 Critical: Agent API unavailable"
    names = re.findall(r"^(Incident|Severity|Status|Impact|Started|IC): ", letter.text, re.M)
    assert names == ["Incident", "Severity", "Status", "Impact", "Started", "IC"]
    assert "\nStatus: Investigating\n" in letter.text
    assert "#incident-20260302-1430" in letter.text


def test_the_initial_message_says_tbd_without_a_commander(declare):
    incident = declare()
    incident.roles.all().delete()
    assert dict(letters.initial_fields(incident))["IC"] == "TBD"


# covers R000-20, R001-39
def test_an_update_says_state_promise_and_what_is_affected(declare, update, organisation, freezer):
    update(declare(), status="identified", customer_text="The pool is exhausted.")
    letter = flat(told("update").text)
    assert "MAJOR OUTAGE since 14:28 UTC, 2 March 2026. State: identified." in letter
    assert "NEXT UPDATE BY 15:00 UTC" in letter
    assert "WHAT WE KNOW The pool is exhausted." in letter
    assert "AFFECTED * Agent API: major outage" in letter
    assert "http://127.0.0.1:8000/i/INC-1" in letter


def test_a_later_update_repeats_the_last_three(declare, update, freezer):
    incident = declare()
    for n in range(5):
        freezer.shift(MINUTE)
        update(incident, customer_text=f"News number {n}.")
    letter = told("update").text
    assert [f"News number {n}." in letter for n in range(5)] == [False, True, True, True, True]
    assert letter.index("News number 3.") < letter.index("News number 2.")


# covers R001-28, R001-40, R001-42
@pytest.mark.parametrize(("rank", "promised"), [(1, True), (2, False)])
def test_the_resolved_message_has_a_frame_of_its_own(declare, update, freezer, rank, promised):
    incident = declare(rank=rank)
    freezer.shift(43 * MINUTE)
    update(incident, status="resolved", customer_text="The pool was raised.", reason="Stable")
    letter = flat(told("update").text)
    assert "RESOLVED. It lasted from 14:28 UTC, 2 March 2026, to 15:13 UTC, 2 March 2026." in letter
    assert "WHAT HAPPENED The pool was raised." in letter
    assert "WAS AFFECTED * Agent API" in letter
    assert "NEXT UPDATE" not in letter
    assert ("post-mortem within 48 hours" in letter) is promised


def test_before_the_first_update_the_holding_message_claims_nothing(declare, freezer):
    incident = declare()
    freezer.shift(30 * MINUTE)
    holding.run_due(timezone.now())
    letter = told("holding")
    assert letter.subject == "[INC-1] Still working on it: Agent API unavailable"
    assert "We are investigating a problem with Agent API." in flat(letter.text)
    assert "nothing new since" not in letter.text
    assert "WHAT WE KNOW" not in letter.text
    assert incident.messages.filter(kind="holding").count() == 1


def test_after_the_first_update_the_holding_message_says_since_when_and_repeats_what_is_known(declare, update, freezer):
    incident = declare()
    freezer.shift(5 * MINUTE)
    update(incident, status="identified", customer_text="The pool is exhausted.")
    freezer.shift(30 * MINUTE)
    holding.run_due(timezone.now())
    letter = flat(told("holding").text)
    assert "We are still working on it; there is nothing new since 14:35 UTC." in letter
    assert "NEXT UPDATE BY 15:35 UTC" in letter
    assert "WHAT WE KNOW, FROM 14:35 UTC The pool is exhausted." in letter
    assert "sent automatically" in letter


def test_a_holding_message_brings_no_news_of_the_state(declare, update, freezer):
    incident = declare()
    update(incident, customer_text="We look.")
    update(incident, status="monitoring")  # nobody outside was told
    freezer.shift(30 * MINUTE)
    holding.run_due(timezone.now())
    assert incident.messages.get(kind="holding").public_status == "investigating"


def test_holding_with_no_component_named_speaks_of_the_organisation(declare, settings):
    settings.ORGANISATION = "AgentGuard"
    assert holding.holding_text(declare(components=[])).startswith("We are investigating a problem with AgentGuard.")


@pytest.mark.parametrize(
    ("holdings", "next_due", "subject", "words"),
    [
        (
            0,
            None,
            "[INC-1] Overdue, customer update: Agent API unavailable",
            "Customer update, due at 15:00 UTC, 2 March 2026 It counts as late until somebody does.",
        ),
        (
            2,
            None,
            "[INC-1] Overdue, customer update: Agent API unavailable",
            "2 holding messages in a row have left before it.",
        ),
        (
            2,
            datetime(2026, 3, 2, 16, 0, tzinfo=UTC),
            "[INC-1] Write before 16:00 UTC, customer update: Agent API unavailable",
            "Nothing leaves by itself at 16:00 UTC: somebody has to write before then.",
        ),
    ],
)
def test_an_escalation_says_what_is_broken_and_what_has_to_be_done(
    declare, freezer, holdings, next_due, subject, words
):
    duty = CommsDuty.objects.select_related("incident").get(incident=declare(), message_class="status_update")
    used = letters.Used(duty, holdings, next_due) if next_due else None
    letter = letters.escalation_letter(duty.incident, [] if used else [duty], used, holdings=holdings)
    assert letter.subject == subject
    assert words in flat(letter.text)
    assert words in flat(re.sub(r"<[^>]+>", " ", letter.html))


def test_an_internal_update_says_who_wrote_it_and_not_to_forward_it(declare, update, freezer):
    incident = declare()
    incident.estimate = "15:30 UTC"
    incident.save(update_fields=["estimate"])
    update(incident, internal_text="Pool at its limit.")
    letter = told("internal") or told("update")
    assert letter.subject == "[INC-1] Internal, investigating: Agent API unavailable"
    assert "Written by Grace. Internal: do not forward." in flat(letter.text)
    assert "Expected to be over: 15:30 UTC" in letter.text


def test_other_zones_name_the_day_when_it_is_another():
    late = letters.elsewhere(datetime(2026, 3, 2, 22, 30, tzinfo=UTC))
    assert late == [
        ("14:30", "San Francisco"),
        ("17:30", "New York"),
        ("23:30", "Berlin"),
        ("04:00", "Bengaluru (Tuesday)"),
    ]


def test_a_reader_is_told_times_in_their_own_zone_beside_utc(declare, update, freezer):
    Subscriber.objects.filter(email="all@r.example").update(time_zone="Asia/Tokyo")
    update(declare(), customer_text="We look.")
    fan_out.fan_out_pending(timezone.now())
    mail = mail_of(Delivery.objects.get(address="all@r.example"))
    text = flat(message_from_bytes(mail, policy=SMTP).get_body(("plain",)).get_content())
    assert "since 14:28 UTC, 2 March 2026 (23:28 Tokyo)." in text
    assert "NEXT UPDATE BY 15:00 UTC 2 March 2026 (2026-03-03 00:00 Tokyo)" in text


def test_summer_time_is_each_citys_own():
    between = {city: clock for clock, city in letters.elsewhere(datetime(2026, 3, 20, 12, 0, tzinfo=UTC))}
    assert (between["New York"], between["Berlin"]) == ("08:00", "13:00")


def test_no_mail_holds_markup_of_its_text_part_or_a_remote_image(declare, update, freezer):
    Component.objects.update(name="A & B <API>")
    update(declare(), customer_text="Fine & <well>.")
    letter = told("update")
    assert "A & B <API>" in letter.text
    assert "A &amp; B &lt;API&gt;" in letter.html
    assert "Fine &amp; &lt;well&gt;." in letter.html
    assert not re.search(r"<img|<script|url\(", letter.html)
    assert len(letter.html) < 20_000
