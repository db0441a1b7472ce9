"""Whatever is typed: a clear sentence beside the field or on top, nothing typed is lost, nothing is half-done."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from email import policy
from email.parser import BytesParser
from threading import Barrier

import pytest
from django.db import connection
from django.utils import timezone
from django.utils.html import escape

from incidents import workflow
from incidents.comms.models import CommsDuty, Message
from incidents.lifecycle import actions
from incidents.lifecycle.models import Incident, TimelineEntry
from incidents.policy.models import PolicyProfile
from irportal.ledger.models import Entry
from irportal.outbox import engine
from irportal.outbox.models import Announcement
from irportal.refused import Refused
from statuspage.models import Choice, Component, Customer, Notice
from tests import people
from tests.pages import fields

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)
LONG = "x" * 100_000
SCRIPT = "<script>alert(1)</script>"
INC = "/portal/incidents/INC-1"


def counts() -> list[int]:
    tables = (Entry, Incident, TimelineEntry, Message, CommsDuty, Announcement, Notice)
    return [table.objects.count() for table in tables]


def refused(client, address, sent, sentence, *, gone=()):
    """Send it; it is refused with the sentence, everything typed is still there and nothing was written."""
    before = counts()
    answer = client.post(address, sent)
    html = answer.content.decode()
    assert answer.status_code in (400, 409), answer.status_code
    assert 'class="refusal" role="alert"' in html
    assert escape(sentence) in html or sentence in html
    kept = fields(html)
    lost = {name: value for name, value in sent.items() if name not in gone and kept.get(name, "") != str(value)}
    assert lost == {}
    assert counts() == before
    return html


@pytest.fixture
def signed_in(client, organisation, grace, lin, roles, freezer):
    """Somebody who may do everything."""
    client.force_login(people.person("Root", "admin"))
    return client


@pytest.fixture
def incident(signed_in, declare) -> Incident:
    return declare()


def change(client, part, **given) -> dict[str, object]:
    """What the page of `part` would send, with some fields typed over."""
    page = fields(client.get(f"{INC}/{part}").content.decode())
    page.pop("csrfmiddlewaretoken", None)
    return page | {name: str(value) for name, value in given.items()}


def deleted(component: Component) -> int:
    """Somebody deletes it in the settings, now that nobody asks for it any more; its id."""
    pk = component.pk
    Choice.objects.filter(component=component).delete()
    component.delete()
    return pk


# Declaring


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ({"severity": "9"}, "That is not a severity of the policy in force."),
        ({"severity": ""}, "suggests SEV1:"),
        ({"type": "T77"}, "Choose a kind from the list"),
        ({"type": ""}, "Choose the kind that fits best"),
        ({"title": ""}, "Say in a few words what people see"),
        ({"title": "   "}, "Say in a few words what people see"),
        ({"title": LONG}, "at most 120 characters"),
        ({"impact": LONG}, "at most 2000 characters"),
        ({"impact": ""}, "Say what customers notice"),  # covers T99
        ({"started_at": "yesterday"}, "That is not a time. Write 14:30"),
        ({"started_at": "25:61"}, "That is not a time. Write 14:30"),
        ({"started_at": ""}, "Say when, in UTC."),
        ({"detected_at": "2026-13-02 14:22"}, "That is not a time. Write 14:30"),
        ({"detected_at": "2026-03-02 18:00"}, "2026-03-02 18:00 lies ahead; it is 2026-03-02 14:30 UTC now."),
        ({"started_at": "9999-12-31 23:59"}, "9999-12-31 23:59 lies ahead"),
        ({"started_at": "2026-03-02 14:25"}, "It cannot be noticed before it started"),
        ({"source": "rumour"}, "rumour is not one of the available choices"),
        ({"commander": "99999"}, "Choose a commander from the list"),
        ({"commander": ""}, "Somebody has to command"),
        ({"personal_data": "perhaps"}, "perhaps is not one of the available choices"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_declaration_that_cannot_be_is_refused_beside_the_field(signed_in, declaration, typed, sentence):
    never_offered = {name for name in typed if name in ("severity", "type", "source", "commander", "personal_data")}
    html = refused(signed_in, "/portal/incidents/declare", declaration | typed, sentence, gone=never_offered)
    assert '<p class="error"' in html


@pytest.mark.parametrize(
    "name", ["title", "type", "severity", "impact", "started_at", "source", "commander", "personal_data"]
)
def test_a_nul_character_is_refused_wherever_it_is_typed(signed_in, declaration, name):
    before = counts()
    answer = signed_in.post("/portal/incidents/declare", declaration | {name: f"{declaration[name]}\0"})
    assert (answer.status_code, counts()) == (400, before)
    error = f'<p class="error" id="id_{name}_error">'
    assert error in answer.content.decode()


@pytest.mark.parametrize(("part", "name"), [("suggestion", "type"), ("outlook", "severity")])
@pytest.mark.parametrize("typed", ["", "%00", "T99' OR 1=1", "9", "-1", "x" * 5000])
def test_advice_while_declaring_copes_with_anything(signed_in, part, name, typed):
    assert signed_in.get(f"/portal/incidents/declare/{part}?{name}={typed}").status_code == 200


def test_a_component_deleted_while_declaring_is_named_and_the_rest_is_kept(signed_in, declaration, organisation):
    gone = f"component_{deleted(organisation['dashboard'])}"
    sent = declaration | {gone: "partial_outage"}
    refused(signed_in, "/portal/incidents/declare", sent, "was deleted meanwhile", gone={gone})
    del sent[gone]
    assert signed_in.post("/portal/incidents/declare", sent).status_code == 302


@pytest.mark.parametrize("name", ["component_99999", "component_", "component_x", "component_1\0", "component_-1"])
def test_an_unknown_component_is_refused(signed_in, declaration, name):
    refused(
        signed_in, "/portal/incidents/declare", declaration | {name: "major_outage"}, "deleted meanwhile", gone={name}
    )


def test_an_unknown_state_of_a_component_is_refused(signed_in, declaration, organisation):
    name = f"component_{organisation['api'].pk}"
    refused(signed_in, "/portal/incidents/declare", declaration | {name: "on fire"}, "on fire", gone={name})


def test_who_left_cannot_be_made_commander(signed_in, declaration, grace):
    grace.is_active = False
    grace.save(update_fields=["is_active"])
    refused(signed_in, "/portal/incidents/declare", declaration, "Choose a commander from the list", gone={"commander"})


def test_without_a_policy_in_force_nothing_is_declared_and_the_sentence_says_what_to_do(signed_in, declaration):
    PolicyProfile.objects.update(is_default=False)
    answer = signed_in.post("/portal/incidents/declare", declaration)
    assert answer.status_code == 400
    assert "No approved policy is in force" in answer.content.decode()
    assert fields(answer.content.decode())["impact"] == declaration["impact"]


def test_a_clock_time_means_the_last_one(signed_in, declaration):
    signed_in.post("/portal/incidents/declare", declaration | {"started_at": "23:50", "detected_at": "14:22"})
    assert f"{Incident.objects.get().started_at:%Y-%m-%d %H:%M}" == "2026-03-01 23:50"


# Updates


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ({"status": "resolved", "at": "2026-03-02 14:00", "reason": "x"}, "Resolved before it started"),
        ({"status": "identified", "at": "2026-03-02 14:00"}, "Identified before it started"),
        ({"status": "identified", "at": "2026-03-02 16:00"}, "lies ahead; it is 2026-03-02 14:30 UTC now."),
        ({"status": "identified", "at": "soon"}, "That is not a time."),
        ({"status": "closed"}, "The incident cannot go there from its state now"),
        ({"status": "resolved"}, "The policy asks for 30 min in Monitoring before Resolved"),
        ({}, "Nothing changes: choose another state or write something."),
        ({"customer_text": "   \n"}, "Nothing changes: choose another state or write something."),
        ({"customer_text": LONG}, "at most 5000 characters"),
        ({"internal_text": LONG}, "at most 5000 characters"),
        ({"customer_text": "We look.", "reason": LONG}, "at most 300 characters"),
        (
            {"customer_text": "We look.", "next_update_by": "2026-03-02 15:30"},
            "The policy asks for the next update by 15:00 UTC; promise that or sooner.",
        ),
        ({"customer_text": "We look.", "next_update_by": "2026-03-02 14:00"}, "has passed; promise a time ahead."),
        ({"customer_text": "We look.", "next_update_by": "later"}, "That is not a time."),
        ({"customer_text": "We\0look."}, "Null characters are not allowed."),
        ({"customer_text": "We look.", "seen": "abc"}, "Enter a whole number."),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_update_that_cannot_be_is_refused_and_keeps_every_word(signed_in, incident, update, typed, sentence):
    update(incident, customer_text="We are looking.", at=timezone.now())
    sent = change(signed_in, "update", **({"at": "2026-03-02 14:30"} | typed))
    gone = {name for name, value in typed.items() if value == "closed" or value.isspace() or "\0" in value}
    for button in ("preview", "send", "draft"):
        refused(signed_in, f"{INC}/update/{button}", sent, sentence, gone=gone)


def test_going_back_needs_a_reason(signed_in, incident, update):
    update(incident, status="monitoring")
    sent = change(signed_in, "update", status="investigating", customer_text="It is back.")
    refused(signed_in, f"{INC}/update/send", sent, "Going back from Monitoring needs a reason.")


def previewed(client, **given) -> dict[str, object]:
    page = client.post(f"{INC}/update/preview", change(client, "update", **given))
    assert page.status_code == 200
    return fields(page.content.decode())


UNAPPROVED = {"without": "on", "unapproved": "Nobody else is awake"}


def test_what_was_not_previewed_does_not_leave(signed_in, incident):
    before = counts()
    sent = change(signed_in, "update", customer_text="We look.")
    answer = signed_in.post(f"{INC}/update/send", sent)
    assert (answer.status_code, counts()) == (409, before)
    assert "This is not what you looked at before" in answer.content.decode()


@pytest.mark.parametrize(
    "typed",
    [
        {"customer_text": "Give us your money."},
        {"internal_text": "Give us your password."},
        {"status": "monitoring"},
        {"next_update_by": "2026-03-02 14:45"},
    ],
)
def test_what_differs_from_the_preview_is_shown_before_it_leaves(signed_in, incident, typed):
    before = counts()
    answer = signed_in.post(f"{INC}/update/send", previewed(signed_in, customer_text="We look.") | typed)
    assert (answer.status_code, counts()) == (409, before)
    kept = fields(answer.content.decode())
    assert kept.items() >= typed.items()
    assert signed_in.post(f"{INC}/update/send", kept | UNAPPROVED).status_code == 302


def test_what_was_previewed_leaves(signed_in, incident):
    answer = signed_in.post(f"{INC}/update/send", previewed(signed_in, customer_text="We look.") | UNAPPROVED)
    assert answer.status_code == 302
    assert Notice.objects.get().updates.get().body == "We look."


def test_a_draft_whose_incident_moved_on_is_not_sent(signed_in, incident, update, lee):
    update(incident, customer_text="We look.", by=lee, send=False)
    draft = Message.objects.get()
    update(incident, status="identified")
    before = counts()
    answer = signed_in.post(f"{INC}/messages/{draft.pk}/approve", {"content_hash": draft.content_hash})
    assert (answer.status_code, counts()) == (409, before)
    sentence = "The incident is Identified now; this text says Investigating. Write it again."
    assert sentence in answer.content.decode()


@pytest.mark.parametrize("content_hash", ["", "0" * 64, "\0", LONG])
def test_an_approval_of_another_text_is_refused(signed_in, incident, update, lee, content_hash):
    update(incident, customer_text="We look.", by=lee, send=False)
    before = counts()
    answer = signed_in.post(f"{INC}/messages/{Message.objects.get().pk}/approve", {"content_hash": content_hash})
    assert (answer.status_code, counts()) == (409, before)
    assert "The text changed after you read it" in answer.content.decode()


# The small forms


@pytest.mark.parametrize(
    ("part", "typed", "sentence"),
    [
        ("severity", {"severity": "9", "reason": "x"}, "That is not a severity of the policy"),
        ("severity", {"severity": "1", "reason": "x"}, "It is SEV1 Critical already."),
        ("severity", {"severity": "2", "reason": ""}, "Say why; an auditor will ask."),
        ("severity", {"severity": "2", "reason": LONG}, "at most 300 characters"),
        ("severity", {"severity": "2\0", "reason": "x"}, "That is not a severity of the policy"),
        ("roles", {"role": "king", "person": "", "reason": "x"}, "king is not one of the available choices"),
        ("roles", {"role": "scribe", "person": "9999"}, "Choose a person from the list"),
        ("roles", {"role": "scribe", "person": ""}, "Choose who takes the role."),
        ("impact", {"impact": ""}, "Say what customers notice"),
        ("impact", {"impact": LONG}, "at most 2000 characters"),
        ("impact", {"estimate": LONG}, "at most 120 characters"),
        ("impact", {"impact": "a\0b"}, "Null characters are not allowed."),
        ("impact", {"personal_data": "perhaps"}, "perhaps is not one of the available choices"),
        ("impact", {"component_9999": "major_outage"}, "was deleted meanwhile"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_small_form_that_cannot_be_is_refused_and_keeps_every_word(signed_in, incident, part, typed, sentence):
    never_offered = {
        name
        for name, value in typed.items()
        if value in ("9", "2\0", "king", "9999", "perhaps", "major_outage") or "\0" in value
    }
    refused(signed_in, f"{INC}/{part}", change(signed_in, part, **typed), sentence, gone=never_offered)


def test_a_component_deleted_while_changing_impact_is_named(signed_in, incident, organisation):
    gone = f"component_{organisation['dashboard'].pk}"
    sent = change(signed_in, "impact", **{gone: "partial_outage", "impact": "Both fail."})
    deleted(organisation["dashboard"])
    refused(signed_in, f"{INC}/impact", sent, "was deleted meanwhile", gone={gone})


def test_a_component_an_incident_touches_cannot_be_deleted(signed_in, incident, organisation):
    page = signed_in.post(f"/admin/statuspage/component/{organisation['api'].pk}/delete/", {"post": "yes"})
    assert page.status_code == 200
    assert Component.objects.filter(pk=organisation["api"].pk).exists()


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ({"text": "", "at": "14:20"}, "Write what happened."),
        ({"text": LONG, "at": "14:20"}, "at most 4000 characters"),
        ({"text": "Restarted.", "at": "half past"}, "That is not a time."),
        ({"text": "Restarted.", "at": "2026-03-02 17:00"}, "lies ahead"),
        ({"text": "Restarted.", "at": "14:20", "marker": "solved"}, "solved is not one of the available choices"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_note_that_cannot_be_is_refused_and_keeps_every_word(signed_in, incident, typed, sentence):
    refused(signed_in, f"{INC}/notes", typed, sentence, gone={"marker"})


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ({"text": "", "at": "14:20"}, "Write what happened."),
        ({"text": "Later.", "at": "2026-03-02 17:00"}, "lies ahead"),
        ({"text": "Later.", "at": "2026-03-02 14:29"}, "An incident cannot be noticed before it started."),
    ],
)
def test_a_correction_that_cannot_be_is_refused_and_keeps_every_word(signed_in, incident, typed, sentence):
    began = incident.timeline.get(marker="started")
    refused(signed_in, f"{INC}/timeline/{began.pk}/correct", typed, sentence)


@pytest.mark.parametrize(("deed", "name"), [("waive", "reason"), ("settle", "text")])
@pytest.mark.parametrize("typed", ["", "  ", LONG, "a\0b"])
def test_a_promise_ends_only_with_words(signed_in, incident, deed, name, typed):
    duty = incident.duties.get(message_class="regulator_decision")
    before = counts()
    answer = signed_in.post(f"{INC}/duties/{duty.pk}/{deed}", {name: typed})
    assert (answer.status_code, counts()) == (400, before)
    assert 'class="error"' in answer.content.decode()


def test_a_promise_that_ended_is_not_ended_again(signed_in, incident):
    duty = incident.duties.get(message_class="regulator_decision")
    signed_in.post(f"{INC}/duties/{duty.pk}/settle", {"text": "No clock applies."})
    refused(signed_in, f"{INC}/duties/{duty.pk}/waive", {"reason": "Too late"}, "This ended already: kept.")


def test_a_message_is_not_replaced_by_a_note(signed_in, incident):
    duty = incident.duties.get(message_class="status_update")
    refused(signed_in, f"{INC}/duties/{duty.pk}/settle", {"text": "Phoned."}, "This is met by writing the message")


# Two people at once


@pytest.mark.parametrize(
    ("part", "address", "typed"),
    [
        ("severity", "severity", {"severity": "3", "reason": "Only one route"}),
        ("impact", "impact", {"impact": "Only the second region.", "estimate": "15:30 UTC"}),
        ("update", "update/preview", {"customer_text": "We look.", "internal_text": "Pool at 10."}),
        ("update", "update/send", {"customer_text": "We look.", "reason": "x"}),
        ("update", "update/draft", {"customer_text": "We look.", "status": "identified"}),
    ],
)
@pytest.mark.parametrize("meanwhile", ["severity", "status", "role"])
def test_the_second_sees_what_changed_and_who_did_it_and_loses_nothing(
    signed_in, incident, grace, lin, part, address, typed, meanwhile
):
    sent = change(signed_in, part, **typed)
    if meanwhile == "severity":
        workflow.change_severity(incident, rank=2, reason="Half works", by=grace)
    elif meanwhile == "status":
        workflow.update(incident, workflow.Update(status="monitoring", at=timezone.now()), by=grace, send=True)
    else:
        actions.assign(incident, role="scribe", person=lin, by=grace)
    html = refused(signed_in, f"{INC}/{address}", sent, "Meanwhile this changed.", gone={"seen"})
    assert "14:30:00 UTC, Grace:" in html

    again = fields(html)
    if "status" in again:
        again |= {"status": Incident.objects.get().status}
    answer = signed_in.post(f"{INC}/{address}", again)
    assert "Meanwhile this changed." not in answer.content.decode()


def test_a_role_taken_meanwhile_is_shown(signed_in, incident, grace, lin):
    sent = change(signed_in, "roles", role="scribe", person=grace.pk)
    actions.assign(incident, role="scribe", person=lin, by=grace)
    html = refused(signed_in, f"{INC}/roles", sent, "Meanwhile this changed.", gone={"seen"})
    assert "Scribe: Lin." in html
    again = fields(html)
    html = signed_in.post(f"{INC}/roles", again).content.decode()
    assert "Lin is scribe. Say what is open" in html
    assert signed_in.post(f"{INC}/roles", again | {"still_open": "Nothing."}).status_code == 302
    assert incident.handovers.get().still_open == "Nothing."


def test_an_update_written_while_another_resolved_it_keeps_its_words_and_its_promise(signed_in, incident, grace):
    sent = change(signed_in, "update", status="monitoring", customer_text="Nearly.", next_update_by="2026-03-02 14:45")
    over = workflow.Update(status="resolved", at=timezone.now(), reason="False alarm")
    workflow.update(incident, over, by=grace, send=True)
    html = refused(signed_in, f"{INC}/update/send", sent, "Status changed from", gone={"seen", "status"})
    assert "The incident cannot go there from its state now" in html


def test_a_note_by_somebody_else_stops_nobody(signed_in, incident, grace):
    sent = change(signed_in, "severity", severity="2", reason="Half works")
    actions.add_note(incident, text="Restarted.", at=timezone.now(), by=grace)
    assert signed_in.post(f"{INC}/severity", sent).status_code == 302


def at_once(*deeds):
    """Run the deeds at the same moment, each in a thread with a connection of its own; what each said or raised."""
    start = Barrier(len(deeds))

    def run(deed):
        try:
            start.wait(10)
            return deed()
        except Refused as refusal:
            return refusal
        finally:
            connection.close()

    with ThreadPoolExecutor(len(deeds)) as pool:
        return list(pool.map(run, deeds))


@pytest.mark.django_db(transaction=True)
def test_two_commanders_clicking_at_once_overwrite_nothing(client, declare, grace, lin):
    """Really at once, on the real database: one deed is done, the other is told what happened and does it again."""
    incident = declare()
    tomas, seen = people.person("Tomas", "commander"), incident.timeline.last().pk

    def judge(rank, by):
        return lambda: workflow.change_severity(incident, rank=rank, reason="As I see it", by=by, seen=seen)

    answers = at_once(judge(2, grace), judge(3, tomas))
    [loser] = [answer for answer in answers if isinstance(answer, Refused)]
    assert "Severity changed from SEV1 Critical" in str(loser)
    assert Entry.objects.filter(deed="incident.severity_changed").count() == 1

    said = {"customer_text": "Found.", "internal_text": "Pool.", "unapproved": "Nobody else is awake"}
    said["reason"] = "Customers notice it"  # SEV3, where the second was first, stays off the page without one
    change = workflow.Update(status="identified", at=timezone.now(), **said)
    newest = incident.timeline.order_by("pk").last().pk

    def tell(by):
        return lambda: workflow.update(incident, change, by=by, send=True, seen=newest)

    answers = at_once(tell(lin), tell(people.person("Marek", "publisher")))
    assert sum(isinstance(answer, Refused) for answer in answers) == 1, answers
    assert Notice.objects.get().updates.count() == 1
    assert Announcement.objects.filter(topic="update").count() == 2


@pytest.mark.django_db(transaction=True)
def test_what_does_not_exclude_each_other_is_all_kept(client, declare, grace):
    incident = declare()
    tomas = people.person("Tomas", "commander")
    notes = [lambda n=n: actions.add_note(incident, text=f"Line {n}", at=timezone.now(), by=tomas) for n in range(6)]
    at_once(*notes)
    assert incident.timeline.filter(kind="note").count() == 6


@pytest.mark.django_db(transaction=True)
def test_two_incidents_declared_at_once_get_two_numbers_and_two_channels(declare, grace):
    at_once(declare, declare, declare)
    assert sorted(Incident.objects.values_list("number", flat=True)) == [1, 2, 3]
    assert Incident.objects.values("channel_name").distinct().count() == 3


@pytest.mark.django_db(transaction=True)
def test_approving_at_once_sends_once(declare, update, lee, lin):
    update(declare(), customer_text="We look.", by=lee, send=False)
    draft = Message.objects.get()

    def approve():
        return workflow.send_draft(draft, by=lin, content_hash=draft.content_hash)

    answers = at_once(approve, approve, approve)
    assert sum(isinstance(answer, Refused) for answer in answers) == 2
    assert Notice.objects.get().updates.count() == 1


# What reaches a mail


FORGED = "Down\r\nBcc: mallory@evil.example\r\n\r\nHello"
HEADERS = {
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "Auto-Submitted",
    "X-Auto-Response-Suppress",
    "List-Id",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "MIME-Version",
    "Content-Type",
}


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\u2028", "\x85", "\x0b", "\x1c"])
def test_no_line_break_in_a_title_or_a_name_becomes_a_header(
    signed_in, declaration, update, organisation, grace, lin, smtp_relay, end
):
    forged = FORGED.replace("\r\n", end)
    for person in (grace, lin):
        person.name = forged[:80]
        person.save(update_fields=["name"])
    Component.objects.update(name=forged)
    Customer.objects.update(name=forged)
    assert signed_in.post("/portal/incidents/declare", declaration | {"title": forged}).status_code == 302
    incident = Incident.objects.get()
    update(incident, status="identified", customer_text=forged, internal_text=forged)
    engine.run_once()

    known = {"grace@example.com", "lin@example.com", "api@r.example", "all@r.example", "dash@r.example"}
    assert {to for taken in smtp_relay.taken for to in taken.recipients} <= known | {"ops@bank.example"}
    assert len(smtp_relay.taken) == 9
    for taken in smtp_relay.taken:
        mail = BytesParser(policy=policy.default).parsebytes(taken.data)
        assert set(mail.keys()) <= HEADERS
        assert len(mail.keys()) == len(set(mail.keys()))
        assert mail["Subject"].startswith("[INC-1] ")
        assert not re.search(r"[\r\n]", mail["Subject"])
        assert mail["To"].addresses[0].addr_spec == taken.recipients[0]
        assert len(mail["To"].addresses) == 1


def test_a_lone_dot_ends_no_mail(incident, update, smtp_relay):
    update(incident, customer_text="First\n.\n\nRCPT TO:<mallory@evil.example>\n\nLast")
    engine.run_once()
    mails = [taken for taken in smtp_relay.taken if taken.recipients == ["api@r.example"]]
    assert len(mails) == 1
    assert "Last" in mails[0].message.get_body(("plain",)).get_content()


# Script in every text field


def test_script_in_every_text_field_is_shown_as_text_everywhere(signed_in, declaration, organisation, lin, smtp_relay):
    Component.objects.update(name=f"{SCRIPT} API"[:80])
    signed_in.post("/portal/incidents/declare", declaration | {"title": SCRIPT, "impact": SCRIPT})
    signed_in.post(f"{INC}/notes", {"text": SCRIPT, "at": "14:25"})
    signed_in.post(f"{INC}/roles", change(signed_in, "roles", role="scribe", person=lin.pk, reason=SCRIPT))
    signed_in.post(f"{INC}/impact", change(signed_in, "impact", impact=SCRIPT, estimate=SCRIPT))
    signed_in.post(f"{INC}/severity", change(signed_in, "severity", severity="2", reason=SCRIPT))
    facts = {"status": "resolved", "reason": SCRIPT, "customer_text": SCRIPT, "internal_text": SCRIPT}
    preview = signed_in.post(f"{INC}/update/preview", change(signed_in, "update", **facts)).content.decode()
    sent = fields(preview) | {"without": "on", "unapproved": SCRIPT}
    assert signed_in.post(f"{INC}/update/send", sent).status_code == 302
    duty = CommsDuty.objects.filter(outcome="open").first()
    signed_in.post(f"{INC}/duties/{duty.pk}/waive", {"reason": SCRIPT})
    line = TimelineEntry.objects.get(kind="note", marker="")
    signed_in.post(f"{INC}/timeline/{line.pk}/correct", {"text": SCRIPT, "at": "14:25"})
    engine.run_once()

    code = Notice.objects.get().code
    portal = ["/portal/", "/portal/incidents/declare", *(f"{INC}{part}" for part in PARTS), f"{INC}/postmortem/"]
    for address in [*portal, "/", f"/incidents/{code}", "/history"]:
        html = signed_in.get(address).content.decode()
        assert "<script>alert" not in html, address
        assert "&lt;script&gt;alert(1)" in html or address == "/portal/incidents/declare", address
    assert "<script>alert" not in preview
    summary = signed_in.get("/api/v2/incidents.json")
    assert summary["Content-Type"].startswith("application/json")
    assert summary["X-Content-Type-Options"] == "nosniff"
    told = json.loads(summary.content)["incidents"][0]
    assert told["name"] == SCRIPT
    for taken in smtp_relay.taken:
        assert "<script" not in taken.message.get_body(("html",)).get_content().lower()
    assert {"update", "declared"} <= set(Announcement.objects.values_list("topic", flat=True))


PARTS = ("", "/declared", "/severity", "/roles", "/impact", "/update")


@pytest.mark.parametrize(
    "text",
    [
        "[click](javascript:alert(1))",
        "![x](http://evil.example/x.png)",
        '<img src=x onerror="alert(1)">',
        "<a href='data:text/html,<script>'>x</a>",
        "<style>body{display:none}</style>",
    ],
)
def test_markdown_in_an_update_runs_nothing_and_loads_nothing(signed_in, incident, update, text, smtp_relay):
    update(incident, customer_text=f"Hello {text}")
    engine.run_once()
    pages = [signed_in.get("/").content.decode(), signed_in.get(f"{INC}/update").content.decode()]
    pages += [taken.message.get_body(("html",)).get_content() for taken in smtp_relay.taken]
    for html in pages:
        tags = re.findall(r"<[^>]*>", re.sub(r"<style>.*?</style>", "", html, count=1, flags=re.S))
        assert not [tag for tag in tags if re.search(r"<img|<style|onerror|javascript:|data:", tag)]


# More than anybody types


def test_a_request_with_thousands_of_fields_is_refused_whole(signed_in, declaration):
    before = counts()
    many = {f"component_{n}": "major_outage" for n in range(1200)}
    assert signed_in.post("/portal/incidents/declare", declaration | many).status_code == 400
    assert counts() == before


def test_three_megabytes_in_a_field_are_refused(signed_in, declaration):
    before = counts()
    answer = signed_in.post("/portal/incidents/declare", declaration | {"impact": "x" * 3_000_000})
    assert answer.status_code in (400, 413)
    assert counts() == before
