"""Pages of roles, calls, gate, controls, contacts and shifts: what they show, to whom, and at what cost."""

import re
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.html import escape

from incidents import workflow
from incidents.comms import escalations
from incidents.lifecycle.models import ControlRun, GateTick, Handover, Incident, Reading, Role, RoleContact, ShiftSheet
from incidents.lifecycle.passing import contacts
from incidents.lifecycle.recovery import actions
from irportal.ledger.models import Entry
from irportal.outbox import engine
from tests import people
from tests.incidents.test_bad_input import at_once
from tests.pages import fields

pytestmark = [pytest.mark.django_db]
MINUTE = timedelta(minutes=1)
INC = "/portal/incidents/INC-1"
LONG = "x" * 100_000


@pytest.fixture
def signed_in(client, roles, freezer):
    """Somebody who may do everything."""
    client.force_login(people.person("Root", "admin"))
    return client


def text(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def section(html: str, name: str) -> str:
    """The words of one card of the incident page."""
    return text(html.partition(f'id="{name}"')[2].partition("</section>")[0].partition(">")[2])


def read(client, address) -> str:
    return client.get(address).content.decode()


def queries(client, address: str) -> int:
    client.get(address)
    with CaptureQueriesContext(connection) as asked:
        client.get(address)
    return len(asked)


# The incident page


# covers R001-17, C-13
def test_the_page_names_who_holds_what_and_calls_gaps_by_words(signed_in, declare):
    declare()
    said = section(read(signed_in, INC), "people")
    assert "Incident commander Grace since 14:30" in said
    assert "Technical lead TBD: nobody" in said


def test_the_page_shows_a_hand_over_and_lets_only_the_taker_take_it(client, declare, grace, lee, freezer):
    incident = declare()
    term = incident.roles.get(role="incident_commander").pk
    client.force_login(grace)
    sent = {"terms": [term], "to": lee.pk, "still_open": "Vendor is asked."}
    assert client.post(f"{INC}/hand-over", sent).status_code == 302
    html = read(client, INC)
    assert "from Grace, not taken yet. Open: Vendor is asked." in section(html, "people")
    assert "I have it: Incident commander" not in text(html)
    client.force_login(lee)
    assert "I have it : Incident commander" in section(read(client, INC), "people")
    assert client.post(f"{INC}/hand-overs/{Handover.objects.get().pk}/take").status_code == 302
    assert "from Grace, taken 14:30" in section(read(client, INC), "people")


def test_the_form_offers_ones_own_roles_and_a_commander_every_role(client, declare, lin, grace, ada, freezer):
    declare()
    client.force_login(lin)
    assert re.findall(r"(\w[\w ]+), held by (\w+)", text(read(client, f"{INC}/hand-over"))) == [("Comms lead", "Lin")]
    client.force_login(grace)
    assert len(re.findall(r"held by", read(client, f"{INC}/hand-over"))) == 2
    client.force_login(ada)
    assert "You hold no role on this incident." in text(read(client, f"{INC}/hand-over"))


def test_the_page_shows_who_was_called_and_what_became_of_it(signed_in, declare, lee, freezer, smtp_relay):
    RoleContact.objects.create(role=Role.BACKUP_ON_CALL, person=people.person("Bo", "viewer"))
    declare(by=lee)
    engine.run_once()
    freezer.shift(5 * MINUTE)
    escalations.run_due(timezone.now())
    said = section(read(signed_in, INC), "calls")
    assert "Nobody has acknowledged it yet. Due by 14:43, the target of SEV1 Critical" in said
    assert "First page accepted after 0 s Met of 1 min from declaring" in said
    assert "14:35:00 Nobody had acknowledged it, 1 called" in said
    assert "Bo, backup on call, by e-mail being addressed" in said
    assert "Grace, incident commander, by e-mail accepted 14:30:00 UTC" in said
    assert "TBD Technical lead nobody fills that role" in said


def test_who_was_called_answers_on_the_page_and_everybody_sees_who(client, declare, lee, freezer):
    bo = people.person("Bo", "viewer")
    RoleContact.objects.create(role=Role.BACKUP_ON_CALL, person=bo)
    incident = declare(by=lee)
    freezer.shift(5 * MINUTE)
    escalations.run_due(timezone.now())
    client.force_login(bo)
    assert "I have it : the call as backup on call" in section(read(client, INC), "calls")
    call = incident.calls.get(person=bo)
    assert client.post(f"{INC}/calls/{call.pk}/acknowledge").status_code == 302
    said = section(read(client, INC), "calls")
    assert "Acknowledged by Bo at 14:35 UTC, 7 min after detection. Met by 14:43" in said
    assert "Bo has it, 14:35 UTC" in said


# covers R000-22, R001-27
def test_the_gate_says_what_is_missing_and_how_each_is_known(signed_in, declare, update, grace, freezer):
    incident = declare()
    update(incident, status="monitoring")
    freezer.shift(5 * MINUTE)
    actions.read(incident, numbers={"error_rate": Decimal("0.4")}, source="Grafana", at=timezone.now(), by=grace)
    actions.tick(incident, key="fix_verified", given=True, note_text="Canary", by=grace)
    said = section(read(signed_in, INC), "gate")
    assert "8 of 10 missing; the time is up at 15:00 UTC. Resolved before then needs a reason." in said
    assert "30 min in Monitoring : 5 min so far" in said
    assert "Error rate below 1 percent : there 0.4 percent, Grafana, 14:35 · Grace" in said
    assert "Latency back to baseline : nobody entered it" in said
    assert "Fix verified : there Take back : Fix verified Canary · Grace, 14:35" in said


# covers R001-18, R001-20
def test_declaring_asks_how_it_was_noticed_how_bad_it_is_and_what_it_touches(signed_in, organisation):
    html = read(signed_in, "/portal/incidents/declare")
    for source in (
        "Monitoring alert",
        "Customer report",
        "Somebody here noticed",
        "Security scan",
        "Health check failed",
    ):
        assert source in html
    assert "How bad is it? The worst line that fits decides." in html
    assert "What do customers notice?" in html
    assert "Agent API" in html


def test_a_refused_end_says_what_is_missing_beside_the_reason(signed_in, declare, freezer):
    declare()
    page = fields(read(signed_in, f"{INC}/update"))
    html = signed_in.post(f"{INC}/update/preview", page | {"status": "resolved"}).content.decode()
    assert "say why not to wait. Missing: Error rate below 1 percent (nobody entered it);" in text(html)


def test_an_override_stands_in_the_panel_with_what_was_missing(signed_in, declare, update, freezer):
    update(declare(), status="resolved", reason="False alarm")
    said = section(read(signed_in, INC), "gate")
    assert "Overridden: False alarm Missing then: 30 min in Monitoring; Error rate below 1 percent" in said


def test_numbers_are_entered_and_ticks_given_and_taken_back_by_form(signed_in, declare, update, freezer):
    update(declare(), status="monitoring")
    page = fields(read(signed_in, f"{INC}/gate/numbers"))
    sent = page | {"error_rate": "0.4", "latency": "184", "baseline": "190", "new_alerts": "0", "source": "Grafana"}
    assert signed_in.post(f"{INC}/gate/numbers", sent)["Location"] == f"{INC}#gate"
    assert Reading.objects.count() == 3
    page = fields(read(signed_in, f"{INC}/gate/fix_verified"))
    assert signed_in.post(f"{INC}/gate/fix_verified", page | {"note": "Canary"}).status_code == 302
    page = fields(read(signed_in, f"{INC}/gate/fix_verified"))
    assert page["given"] == "no"
    assert signed_in.post(f"{INC}/gate/fix_verified", page).status_code == 400
    assert signed_in.post(f"{INC}/gate/fix_verified", page | {"note": "Wrong"}).status_code == 302
    assert [tick.given for tick in GateTick.objects.all()] == [True, False]


# covers R004-03, R004-11
def test_kill_switch_and_rollback_are_shown_for_ai_and_where_somebody_recorded_one(signed_in, declare, grace, freezer):
    declare(ai_involved="no")
    declare(ai_involved="yes", title="Agent loops")
    assert 'id="controls"' not in read(signed_in, INC)
    assert "Nobody has recorded one." in section(read(signed_in, "/portal/incidents/INC-2"), "controls")
    page = fields(read(signed_in, f"{INC}/controls/kill_switch"))
    sent = page | {"target": "Agent billing", "at": "14:29:30", "who": grace.pk}
    assert signed_in.post(f"{INC}/controls/kill_switch", sent)["Location"] == f"{INC}#controls"
    assert "to be confirmed by 14:30:30 UTC" in section(read(signed_in, INC), "controls")
    freezer.shift(10)
    run = ControlRun.objects.get()
    sent = {"at": "14:30:10", "proof": "503"}
    assert signed_in.post(f"{INC}/controls/{run.pk}/confirm", sent).status_code == 302
    said = section(read(signed_in, INC), "controls")
    assert "Kill switch , Agent billing pressed 14:29:30 by Grace confirmed 14:30:10 by Root: 503 40 s, within" in said


def test_an_unconfirmed_halt_is_overdue_after_a_minute(signed_in, declare, grace, freezer):
    said = {"kind": "kill_switch", "target": "Agent", "at": timezone.now(), "started_by": grace}
    actions.start_control(declare(), **said, by=grace)
    freezer.shift(61)
    assert "not confirmed, overdue since 14:31:00" in section(read(signed_in, INC), "controls")


def test_all_of_it_costs_the_same_queries_for_little_and_for_much(signed_in, declare, grace, lee, freezer):
    RoleContact.objects.create(role=Role.BACKUP_ON_CALL, person=people.person("Bo", "viewer"))
    incident = declare(by=lee, ai_involved="yes")
    holders = [grace, lee]

    def live(n: int) -> None:
        freezer.shift(6 * MINUTE)
        escalations.run_due(timezone.now())
        term = incident.roles.get(role="incident_commander", ended_at=None)
        to = next(person for person in holders if person.pk != term.person_id)
        workflow.hand_over(incident, terms=[term.pk], to=to, still_open="Nothing", by=grace)
        numbers = {"error_rate": Decimal(n)}
        actions.read(incident, numbers=numbers, source="Grafana", at=timezone.now(), by=grace)
        actions.tick(incident, key="fix_verified", given=n % 2 == 0, note_text="So", by=grace)
        said = {"kind": "rollback", "target": f"Model {n}", "at": timezone.now(), "started_by": grace}
        actions.start_control(incident, **said, by=grace)

    live(0)
    few = queries(signed_in, INC)
    for n in range(1, 6):
        live(n)
    assert queries(signed_in, INC) == few


# Contacts and shifts


@pytest.mark.parametrize("address", ["/portal/contacts/", "/portal/shifts/", "/portal/shifts/new"])
def test_each_page_asks_twelve_questions_at_most_however_much_there_is(
    signed_in, declare, grace, lee, freezer, address
):
    def live(n: int) -> None:
        declare(title=f"Trouble {n}")
        freezer.shift(2 * MINUTE)
        workflow.hand_over_shift(to=lee, questions="None", by=grace)
        contacts.change("legal_lead", person=grace, phone=str(n), pager="", by=grace)
        contacts.review(by=grace)

    live(0)
    few = queries(signed_in, address)
    for n in range(1, 5):
        live(n)
    assert queries(signed_in, address) == few
    assert few <= 12


# covers R001-17, R001-16
def test_the_contact_list_shows_name_mail_phone_and_pager_and_gaps_in_words(signed_in, organisation, lin):
    RoleContact.objects.filter(role="comms_lead").update(phone="+49 30 1", pager="PD-7")
    said = text(read(signed_in, "/portal/contacts/"))
    assert "Comms lead Change : Comms lead Lin E-mail: lin@example.com Phone: +49 30 1 Pager id: PD-7" in said
    assert f"{len(Role) - 1} roles without a person" in said
    assert "Management Change : Management TBD: nobody is named E-mail: TBD Phone: TBD Pager id: TBD" in said
    assert "Nobody has reviewed it yet." in said


def test_a_commander_changes_and_reviews_the_list_there(client, organisation, grace, lee, freezer):
    client.force_login(grace)
    page = fields(read(client, "/portal/contacts/legal_lead"))
    sent = page | {"person": lee.pk, "phone": "+49 30 2", "pager": "PD-8"}
    assert client.post("/portal/contacts/legal_lead", sent).status_code == 302
    html = read(client, "/portal/contacts/")
    assert "Legal lead: pager, person, phone by grace@example.com" in text(html)
    assert client.post("/portal/contacts/reviewed", {"seen": fields(html)["seen"]}).status_code == 302
    said = text(read(client, "/portal/contacts/"))
    assert "2 March 2026, 14:30 UTC by Grace, with 12 gaps. Next by 1 June 2026." in said
    freezer.shift(timedelta(days=92))
    client.force_login(grace)
    assert "The next was due by 1 June 2026" in text(read(client, "/portal/contacts/"))


def test_what_another_commander_changed_meanwhile_is_shown_and_nothing_typed_is_lost(client, organisation, grace, lee):
    client.force_login(grace)
    page = fields(read(client, "/portal/contacts/legal_lead")) | {"person": lee.pk, "phone": "+49 30 2"}
    contacts.change("legal_lead", person=grace, phone="", pager="", by=people.person("Tomas", "commander"))
    answer = client.post("/portal/contacts/legal_lead", page)
    html = answer.content.decode()
    assert answer.status_code == 400
    assert "Meanwhile this changed." in text(html)
    assert "tomas@example.com: Legal lead, person" in text(html)
    again = fields(html)
    assert (again["person"], again["phone"]) == (str(lee.pk), "+49 30 2")
    assert client.post("/portal/contacts/legal_lead", again).status_code == 302


def test_a_viewer_reads_the_list_and_is_offered_no_change(client, organisation, ada):
    client.force_login(ada)
    html = read(client, "/portal/contacts/")
    assert "/portal/contacts/legal_lead" not in html
    assert "I have reviewed it today" not in html


def test_a_shift_is_handed_over_and_taken_on_pages(client, declare, grace, lee, freezer):
    declare()
    client.force_login(grace)
    said = text(read(client, "/portal/shifts/new"))
    assert "SEV1 Critical INC-1 Agent API unavailable Investigating, 2 min since detected 2026-03-02 14:28 UTC" in said
    assert "Technical lead TBD: nobody" in said
    answer = client.post("/portal/shifts/new", {"to": lee.pk, "questions": "Is the vendor awake?"})
    made = ShiftSheet.objects.get()
    assert answer["Location"] == f"/portal/shifts/{made.pk}"
    assert "I have read it and take the shift" not in read(client, answer["Location"])
    client.force_login(lee)
    assert "I have read it and take the shift" in read(client, answer["Location"])
    assert client.post(f"/portal/shifts/{made.pk}/take").status_code == 302
    said = text(read(client, answer["Location"]))
    assert "Is the vendor awake?" in said
    assert "Taken Lee, 2 March 2026, 14:30:00 UTC" in said
    assert "Grace to Lee Signed by both" in text(read(client, "/portal/shifts/"))


def test_the_sheet_is_a_pdf_too(client, declare, grace, lee, freezer):
    declare()
    made = workflow.hand_over_shift(to=lee, questions="Is the vendor awake?", by=grace)
    client.force_login(grace)
    answer = client.get(f"/portal/shifts/{made.pk}/pdf")
    assert answer.content.startswith(b"%PDF-")
    assert answer["Content-Disposition"] == 'attachment; filename="shift-20260302-1430.pdf"'
    assert client.get(f"/portal/shifts/{made.pk}/pdf").content == answer.content


def test_many_sheets_are_paged(client, organisation, grace, lee, freezer):
    for _ in range(51):
        freezer.shift(2 * MINUTE)
        workflow.hand_over_shift(to=lee, questions="None", by=grace)
    client.force_login(grace)
    assert read(client, "/portal/shifts/").count("Not taken yet") == 50
    assert read(client, "/portal/shifts/?page=2").count("Not taken yet") == 1
    assert client.get("/portal/shifts/?page=nine").status_code == 200


# Bad input


@pytest.mark.parametrize(
    ("part", "typed", "sentence"),
    [
        ("hand-over", {"terms": ["999"], "to": "", "still_open": "x"}, "that role was passed on"),
        ("hand-over", {"still_open": "x"}, "Choose the role that is handed over."),
        ("hand-over", {"to": "9999", "still_open": "x"}, "Choose a person from the list"),
        ("hand-over", {"still_open": ""}, "Say what is open, or that nothing is."),
        ("hand-over", {"still_open": LONG}, "at most 2000 characters"),
        ("gate/numbers", {"error_rate": "low", "source": "x"}, "Write a number such as 0.4."),
        ("gate/numbers", {"error_rate": "-1", "source": "x"}, "That is below zero."),
        ("gate/numbers", {"error_rate": "NaN", "source": "x"}, "Write a number such as 0.4."),
        ("gate/numbers", {"error_rate": "1e999", "source": "x"}, "digits"),
        ("gate/numbers", {"source": "x", "at": "14:30"}, "Enter at least one number."),
        ("gate/numbers", {"latency": "5", "source": "x"}, "Say what the latency is on a quiet day"),
        ("gate/numbers", {"error_rate": "1", "source": ""}, "Say where the numbers come from."),
        ("gate/numbers", {"error_rate": "1", "source": "x", "at": "9999-12-31 23:59"}, "lies ahead"),
        ("gate/fix_verified", {"given": "yes", "note": LONG}, "at most 300 characters"),
        ("gate/fix_verified", {"given": "no", "note": "x"}, "is not ticked"),
        ("controls/kill_switch", {"target": "", "at": "14:30:00"}, "Say which agent, model or service."),
        ("controls/kill_switch", {"target": "x", "at": "14:30:99"}, "That is not a time."),
        ("controls/kill_switch", {"target": "x", "at": "soon"}, "That is not a time."),
        ("controls/rollback", {"target": "x", "who": "9999"}, "Choose a person from the list"),
        ("controls/rollback", {"target": "a\0b"}, "Null characters are not allowed."),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_is_refused_with_a_sentence_and_keeps_every_word(signed_in, declare, part, typed, sentence):
    declare()
    before = Entry.objects.count()
    answer = signed_in.post(f"{INC}/{part}", typed)
    html = answer.content.decode()
    assert answer.status_code == 400
    assert 'class="refusal" role="alert"' in html
    assert escape(sentence) in html or sentence in html
    kept = fields(html)
    choices = ("terms", "to", "who")
    lost = {n: v for n, v in typed.items() if n not in choices and "\0" not in v and kept.get(n, "") != v}
    assert lost == {}
    assert Entry.objects.count() == before


@pytest.mark.parametrize("part", ["gate/coffee", "controls/laser", "controls/999/confirm", "hand-overs/999/take"])
def test_what_there_is_not_is_not_found(signed_in, declare, part):
    declare()
    assert signed_in.post(f"{INC}/{part}").status_code == 404


@pytest.mark.parametrize("seen", ["", "x", "1.5"])
def test_nobody_reviews_a_list_they_have_not_seen(client, organisation, grace, seen):
    client.force_login(grace)
    answer = client.post("/portal/contacts/reviewed", {"seen": seen})
    assert answer.status_code == 409
    assert "Look through the list below first" in answer.content.decode()


SCRIPT = "<script>alert(1)</script>"


def test_script_in_every_text_field_is_shown_as_text_everywhere(signed_in, declare, grace, lee, lin, smtp_relay):
    incident = declare(ai_involved="yes")
    term = incident.roles.get(role="incident_commander").pk
    signed_in.post(f"{INC}/hand-over", {"terms": [term], "to": lee.pk, "still_open": SCRIPT})
    numbers = {"error_rate": "1", "source": SCRIPT, "at": "14:30"}
    signed_in.post(f"{INC}/gate/numbers", numbers)
    signed_in.post(f"{INC}/gate/fix_verified", {"given": "yes", "note": SCRIPT})
    signed_in.post(f"{INC}/controls/kill_switch", {"target": SCRIPT, "at": "14:30:00", "who": grace.pk})
    signed_in.post(f"{INC}/controls/{ControlRun.objects.get().pk}/confirm", {"at": "14:30:00", "proof": SCRIPT})
    signed_in.post("/portal/contacts/legal_lead", {"person": lin.pk, "phone": SCRIPT, "pager": SCRIPT, "seen": "-1"})
    signed_in.post("/portal/shifts/new", {"to": lin.pk, "questions": SCRIPT})
    engine.run_once()
    shift = f"/portal/shifts/{ShiftSheet.objects.get().pk}"
    for address in (
        INC,
        f"{INC}/hand-over",
        "/portal/contacts/",
        "/portal/contacts/legal_lead",
        "/portal/shifts/new",
        shift,
    ):
        html = read(signed_in, address)
        assert "<script>alert" not in html, address
        assert "&lt;script&gt;alert(1)" in html or address.endswith("hand-over"), address
    assert len([mail for mail in smtp_relay.taken if "alert(1)" in str(mail.message.get_body(("plain",)))]) == 2
    for taken in smtp_relay.taken:
        assert "<script" not in taken.message.get_body(("html",)).get_content().lower()


# Two at once


@pytest.mark.django_db(transaction=True)
def test_who_resolves_while_another_ticks_is_told_or_the_tick_comes_later(client, declare, grace, lee):
    incident = declare()

    def resolve():
        change = workflow.Update(status="resolved", at=timezone.now(), reason="Stable")
        return workflow.update(incident, change, by=grace, send=True)

    at_once(resolve, lambda: actions.tick(incident, key="fix_verified", given=True, by=lee))
    incident = Incident.objects.get()
    lines = list(incident.timeline.order_by("pk").values_list("text", flat=True))
    ticked = next(n for n, line in enumerate(lines) if line.startswith("Fix verified, ticked"))
    over = next(n for n, line in enumerate(lines) if line.startswith("Status changed"))
    assert ("Fix verified" in incident.gate_lacked) == (over < ticked)
    assert GateTick.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_tick_given_by_two_at_once_is_given_once(client, declare, grace, lee):
    incident = declare()
    by = [lambda who=who: actions.tick(incident, key="fix_verified", given=True, by=who) for who in (grace, lee)]
    at_once(*by)
    assert GateTick.objects.count() == 1
