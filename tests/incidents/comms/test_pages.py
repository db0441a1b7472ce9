"""What the pages show: the list, the incident, the declaration that follows itself, the preview, the parts for htmx."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from incidents.comms import duties, holding
from incidents.comms.models import Message
from incidents.lifecycle import actions
from irportal.outbox import engine
from tests import people
from tests.pages import fields

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)
INC = "/portal/incidents/INC-1"


@pytest.fixture
def page(client, organisation):
    """Read a page as an admin, who sees everything there is to be seen."""
    client.force_login(people.person("Root", "admin"))
    return lambda address: client.get(address).content.decode()


def queries(page, address: str) -> int:
    page(address)  # content types and permissions are asked for once
    with CaptureQueriesContext(
        connection,
    ) as asked:
        page(address)
    return len(asked)


def text(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


# Number of queries


def test_the_list_costs_the_same_queries_for_one_incident_and_for_many(page, declare, update):
    update(declare(), status="resolved", reason="False alarm")
    declare()
    few = queries(page, "/portal/")
    for _ in range(6):
        declare()
        update(declare(), status="resolved", reason="False alarm")
    assert queries(page, "/portal/") == few
    assert few <= 15


def test_an_incident_costs_the_same_queries_for_a_short_and_a_long_record(page, declare, update, grace, lee, freezer):
    incident = declare()
    update(incident, customer_text="Update.", internal_text="Inside.")
    engine.run_once()

    def live() -> None:
        """Ten minutes of an incident: a note, a correction, messages, a draft that waits."""
        freezer.shift(10 * MINUTE)
        line = actions.add_note(incident, text="Restarted.", at=timezone.now(), by=grace)
        actions.correct(line, text="Restarted twice.", at=timezone.now(), by=grace)
        update(incident, customer_text="Update.", internal_text="Inside.")
        update(incident, customer_text="Draft.", by=lee, send=False)
        engine.run_once()

    live()
    few = queries(page, INC)
    for _ in range(9):
        live()
    assert queries(page, INC) == few
    assert few <= 40


@pytest.mark.parametrize("part", ["declared", "update", "severity", "roles", "impact"])
def test_the_small_pages_cost_the_same_queries_however_long_the_record_is(page, declare, update, grace, part):
    incident = declare()
    update(incident, customer_text="Update.")
    few = queries(page, f"{INC}/{part}")
    for n in range(5):
        actions.add_note(incident, text=f"Line {n}", at=timezone.now(), by=grace)
        update(incident, customer_text="Update.")
    assert queries(page, f"{INC}/{part}") == few


# The list


def test_the_list_names_what_is_open_with_its_next_promise(page, declare, freezer):
    declare()
    declare(rank=2, title="Dashboard slow")
    said = text(page("/portal/"))
    assert "2 open, the worst first." in said
    assert "INC-1 Agent API unavailable Investigating since 2 March, 14:28 UTC · Agent API 14:45 next promise" in said


def test_an_overdue_promise_is_called_overdue_in_the_list(page, declare, freezer):
    declare()
    freezer.shift(20 * MINUTE)
    assert "14:45 overdue" in text(page("/portal/"))


def test_with_nothing_open_the_list_says_so(page):
    assert "No incident is open" in page("/portal/")


# Declaring


# covers R001-22
def test_declaring_ends_on_the_initial_message_in_six_fields(client, page, grace, organisation, freezer):
    facts = {
        "title": "Agent API unavailable",
        "type": "T01",
        "severity": "1",
        f"component_{organisation['api'].pk}": "major_outage",
        "impact": "Every request\r\nfails.",
        "started_at": "14:20",
        "detected_at": "14:22",
        "source": "monitoring",
        "commander": grace.pk,
        "personal_data": "no",
        "ai_involved": "no",
    }
    answer = client.post("/portal/incidents/declare", facts)
    assert (answer.status_code, answer["Location"]) == (302, f"{INC}/declared")
    html = page(answer["Location"])
    message = re.search(r'<textarea[^>]*id="initial"[^>]*>(.*?)</textarea>', html, re.S).group(1)
    assert message.strip().splitlines() == [
        "Incident: INC-1 Agent API unavailable",
        "Severity: SEV1 Critical",
        "Status: Investigating",
        "Impact: Every request fails.",
        "Started: 2026-03-02 14:20 UTC",
        "IC: Grace",
    ]
    assert "#incident-20260302-1430" in html


def test_the_kind_suggests_a_severity_and_says_why(page):
    assert text(page("/portal/incidents/declare/suggestion?type=T01")) == (
        "Suggests SEV1: The service is down for everybody."
    )


@pytest.mark.parametrize(("rank", "first"), [(1, "15 min"), (2, "30 min")])
def test_a_severity_says_what_it_sets_going(page, freezer, rank, first):
    said = text(page(f"/portal/incidents/declare/outlook?severity={rank}"))
    assert f"If you declare SEV{rank}" in said
    assert f"First text on the status page, then every {30 * rank} min" in said
    assert first in text(page("/portal/incidents/declare"))


def test_who_declares_sees_what_is_open_already(page, declare):
    declare()
    assert "INC-1 Agent API unavailable" in page("/portal/incidents/declare")


# The incident


def test_the_next_promise_stands_first_with_its_owner_and_what_happens_otherwise(page, declare, freezer):
    declare()
    said = text(page(INC))
    assert "Next promise 14:45 UTC" in said
    assert "At 14:45 the holding message leaves by itself." in said


def test_an_overdue_promise_says_so_in_the_slab_and_in_the_table(page, declare, freezer):
    incident = declare()
    incident.duties.update(holding=False)
    freezer.shift(20 * MINUTE)
    said = text(page(INC))
    assert "Overdue since 14:45 UTC" in said
    assert "Overdue Waive Status page update" in said


def test_every_outcome_is_named(page, declare, update, freezer, lin):
    incident = declare()
    update(incident, customer_text="We look.")
    freezer.shift(30 * MINUTE)
    holding.run_due(timezone.now())
    duties.waive(incident.duties.open().get(message_class="status_update"), reason="Phoned everybody", by=lin)
    said = text(page(INC))
    for outcome in ("Kept", "Holding message", "Waived", "Phoned everybody", "Due"):
        assert outcome in said


def test_a_late_message_says_by_how_much(page, declare, update, freezer):
    incident = declare()
    incident.duties.update(holding=False)
    freezer.shift(47 * MINUTE)
    update(incident, customer_text="We look.")
    assert re.search(r"Late by 17.minutes", text(page(INC)))


def test_times_and_targets_are_judged_by_the_policy(page, declare, update, freezer):
    incident = declare()
    freezer.shift(30 * MINUTE)
    update(incident, status="monitoring")
    said = text(page(INC))
    assert "Acknowledged 14:30 Met" in said
    assert "Resolved open by 18:28" in said


def test_a_corrected_line_stays_to_be_read(page, declare, grace, freezer):
    incident = declare()
    was = incident.timeline.get(marker="detected")
    actions.correct(was, text="Alert 4711 in Grafana.", at=was.occurred_at, by=grace)
    html = page(INC)
    assert re.search(r"<del>.*Monitoring alert\..*</del>", html)
    assert "corrects an earlier line" in html


def test_the_page_says_how_many_mails_were_accepted(page, declare, update, smtp_relay, freezer):
    update(declare(), customer_text="We look.")
    assert "the mails are being addressed" in page(INC)
    smtp_relay.at_rcpt["api@r.example"] = ["550 5.1.1 unknown"]
    engine.run_once()
    assert "3 of 4 accepted, 1 not sent" in text(page(INC))


def test_what_the_public_page_says_is_said_inside_too(page, declare, update, freezer):
    incident = declare()
    assert "The public page says nothing about this incident." in page(INC)
    update(incident, customer_text="We look.")
    assert "The public page says Investigating, next update by 15:00 UTC." in text(page(INC))


def test_the_moving_part_comes_alone_for_htmx_and_says_the_same(client, page, declare, freezer):
    declare()
    part = client.get(INC, headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part
    assert text(part) in text(page(INC))


def test_a_resolved_incident_offers_its_post_mortem(page, declare, update):
    update(declare(), status="resolved", reason="False alarm")
    assert f'href="{INC}/postmortem/">Post-mortem</a>' in page(INC)


# Writing


def test_the_preview_shows_the_mail_the_page_and_the_number_of_readers_and_keeps_nothing(client, page, declare):
    declare()
    sent = fields(page(f"{INC}/update")) | {"customer_text": "The **pool** is full.", "internal_text": "Pool at 10."}
    html = client.post(f"{INC}/update/preview", sent).content.decode()
    assert "By mail to 4 addresses" in html
    assert "<strong>pool</strong>" in html
    assert "Subject: [INC-1] Investigating: Agent API unavailable" in html
    assert "Internal mail to 2 addresses" in html
    assert "Send to 4 and the page" in html
    assert "(this reader&#x27;s own link)" in html
    assert not re.search(r"{(why|unsubscribe_url)}", html)
    assert not Message.objects.exists()


def test_a_responder_is_offered_to_ask_for_approval_and_not_to_send(client, organisation, declare, lee):
    declare()
    client.force_login(lee)
    html = client.get(f"{INC}/update").content.decode()
    assert "Save and ask for approval" in html
    sent = fields(html) | {"customer_text": "We look."}
    preview = client.post(f"{INC}/update/preview", sent).content.decode()
    assert "Send to" not in preview
    assert client.post(f"{INC}/update/draft", sent).status_code == 302
    assert "Waits for approval" in client.get(INC).content.decode()


def test_a_draft_is_approved_with_its_number_of_readers_on_the_button(client, declare, update, lee, lin):
    update(declare(), customer_text="We look.", by=lee, send=False)
    client.force_login(lin)
    html = client.get(INC).content.decode()
    assert "Approve and send to 4" in html
    draft = Message.objects.get()
    answer = client.post(f"{INC}/messages/{draft.pk}/approve", {"content_hash": fields(html)["content_hash"]})
    assert answer.status_code == 302
    draft.refresh_from_db()
    assert (draft.status, str(draft.approved_by)) == ("sent", "Lin")


def test_a_draft_is_sent_back_with_a_reason(client, page, declare, update, lee):
    update(declare(), customer_text="We look.", by=lee, send=False)
    draft = Message.objects.get()
    client.post(f"{INC}/messages/{draft.pk}/send-back", {"reason": "Too vague"})
    assert "Draft sent back: Too vague" in page(INC)
    assert "Waits for approval" not in page(INC)


def test_with_nothing_owed_the_form_asks_for_no_next_promise(page, declare):
    declare(rank=4)
    assert "next_update_by" not in page(f"{INC}/update")


def test_a_state_in_the_address_is_chosen_in_the_form(page, declare):
    declare()
    assert fields(page(f"{INC}/update?status=monitoring"))["status"] == "monitoring"
    assert page(f"{INC}/update?status=<script>")
