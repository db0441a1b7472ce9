"""The pages of runbooks: start, tick, skip, undo without a script; two people at once; writing with errors by line."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.context_processors import PermWrapper
from django.template.loader import render_to_string

from incidents.runbooks import actions, queries
from incidents.runbooks.models import Runbook, RunbookRun, ServiceCommand, ServiceLink, StepChange
from irportal.ledger.models import Entry
from tests import people
from tests.incidents.runbooks.conftest import SMALL
from tests.pages import fields

pytestmark = pytest.mark.django_db
RUNS = "/portal/incidents/INC-1/runbooks/"
WRITE, BOOK = "/portal/runbooks/write", "/portal/runbooks/restart-api/"
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def at(run) -> str:
    """The address of the run."""
    return run.get_absolute_url()


@pytest.fixture
def lee_there(client, lee, at):
    client.force_login(lee)
    return client


def words(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


# In an incident


def test_what_is_offered_for_the_type_stands_first_and_starts_with_a_button(client, declare, shipped, lee):
    client.force_login(lee)
    declare(type="T09")
    html = client.get(RUNS).content.decode()
    places = [html.index(name) for name in ("Halt a runaway agent", "Triage checklist", "Roll back a model")]
    assert places == sorted(places)
    answer = client.post(f"{RUNS}start", {"runbook": "card-01-kill-switch"})
    run = RunbookRun.objects.get()
    assert answer["Location"] == run.get_absolute_url()
    html = client.get(RUNS).content.decode()
    assert "0 of 4 steps" in words(html)
    assert 'value="card-01-kill-switch"' not in html


def test_starting_what_runs_already_leads_to_it_and_says_who_was_first(lee_there, at, run):
    page = lee_there.post(f"{RUNS}start", {"runbook": "restart-api"}, follow=True)
    assert page.request["PATH_INFO"] == at
    assert "Grace started it at 14:30:00 UTC" in page.content.decode()
    assert RunbookRun.objects.count() == 1


@pytest.mark.parametrize("code", ["", "nothing", "x\0", "x" * 5000])
def test_starting_what_is_not_there_is_refused_with_a_sentence(lee_there, code):
    answer = lee_there.post(f"{RUNS}start", {"runbook": code})
    assert answer.status_code == 409
    assert "Choose a runbook; this one is not there." in answer.content.decode()


def test_a_step_is_ticked_by_one_button_and_the_page_goes_on_at_the_next(lee_there, at, step):
    answer = lee_there.post(f"{at}/steps/1/done", {"seen": "0"})
    assert answer["Location"] == f"{at}#step-2"
    html = lee_there.get(at).content.decode()
    assert "Done Lee, 14:30:00 UTC" in words(html)
    assert "1 of 3 steps settled" in html
    assert "By 14:31:00 UTC , within 60 s of step 1" in words(html)


def test_a_tick_takes_a_note_evidence_and_another_time(lee_there, at, step):
    said = {"seen": "0", "note": "Two tries\nneeded", "evidence": "https://log.example/1", "at": "14:29"}
    lee_there.post(f"{at}/steps/1/done", said)
    html = lee_there.get(at).content.decode()
    assert "Two tries<br>needed" in html
    assert '<a href="https://log.example/1" rel="noopener noreferrer nofollow">' in html
    assert f"{step(1).settled_at:%H:%M}" == "14:29"


def test_evidence_that_is_no_address_is_text(lee_there, at):
    lee_there.post(f"{at}/steps/1/note", {"seen": "0", "evidence": "javascript:alert(1)"})
    html = lee_there.get(at).content.decode()
    assert "javascript:alert(1)" in html
    assert 'href="javascript' not in html


@pytest.mark.parametrize(
    ("deed", "typed", "sentence"),
    [
        ("skip", {}, "Say why this step is skipped; an auditor will ask."),
        ("done", {"at": "soon", "note": "Mine"}, "That is not a time."),
        ("done", {"at": "2026-03-02 16:00", "note": "Mine"}, "lies ahead"),
        ("done", {"note": "x" * 2001}, "at most 2000 characters"),
        ("done", {"evidence": "x" * 501}, "at most 500 characters"),
        ("done", {"note": "a\0b"}, "Null characters are not allowed."),
        ("done", {"seen": "", "note": "Mine"}, "Load the page again"),
        ("done", {"seen": "x", "note": "Mine"}, "Enter a whole number."),
        ("note", {}, "Write a note, or give the evidence."),
        ("undo", {"note": "Mine"}, "This step is open already."),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_cannot_be_is_refused_and_keeps_every_word(lee_there, at, deed, typed, sentence):
    before = (StepChange.objects.count(), Entry.objects.count())
    answer = lee_there.post(f"{at}/steps/2/{deed}", {"seen": "0"} | typed)
    html = answer.content.decode()
    assert answer.status_code in (400, 409)
    assert sentence in html
    assert "Step 2 of “Steps” is not written down yet" in html
    kept = fields(html[html.index('id="step-2"') : html.index('id="step-3"')])
    assert [name for name, value in typed.items() if kept[name] != value and "\0" not in value] == []
    assert (StepChange.objects.count(), Entry.objects.count()) == before


def test_the_loser_sees_who_was_first_and_keeps_the_note_to_add_it(client, lee_there, lin, at, step):
    typed = {"seen": "0", "note": "I restarted it from the console", "evidence": "ticket 7"}
    actions.settle(step(1), state="done", note="Restarted by script", by=lin)
    answer = lee_there.post(f"{at}/steps/1/done", typed)
    html = answer.content.decode()
    assert answer.status_code == 409
    assert "Lin ticked this step at 14:30:00 UTC and wrote: Restarted by script." in html
    kept = fields(html[html.index('id="step-1"') : html.index('id="step-2"')])
    assert (kept["note"], kept["evidence"]) == (typed["note"], typed["evidence"])
    again = {name: kept[name] for name in ("seen", "note", "evidence")}
    assert lee_there.post(f"{at}/steps/1/note", again).status_code == 302
    assert [change.note for change in step(1).changes.all()] == ["Restarted by script", typed["note"]]


def test_a_tick_is_taken_back_and_both_are_shown(lee_there, at, step):
    lee_there.post(f"{at}/steps/1/done", {"seen": "0"})
    seen = step(1).changes.last().pk
    lee_there.post(f"{at}/steps/1/undo", {"seen": seen, "note": "Too early"})
    text = words(lee_there.get(at).content.decode())
    assert "Done Lee" in text
    assert "Opened again Lee, 14:30:00 UTC Too early" in text
    assert step(1).is_open


def test_a_run_is_stopped_with_a_reason_and_takes_no_more_ticks(lee_there, at):
    assert lee_there.post(f"{at}/stop", {"reason": " "}).status_code == 400
    assert lee_there.post(f"{at}/stop", {"reason": "It is the database"})["Location"] == RUNS
    html = lee_there.get(at).content.decode()
    assert "Stopped by Lee at 14:30:00 UTC: It is the database" in html
    assert "<button" not in html[html.index("<main") :]


def test_commands_are_filled_for_the_affected_service_and_gaps_are_said_in_words(lee_there, at, organisation):
    ServiceCommand.objects.create(name="health", text="https://api.example/health", component=organisation["api"])
    ServiceLink.objects.create(name="errors", url="https://errors.example/agentguard")
    html = lee_there.get(at).content.decode()
    assert "<pre data-copy><code>curl https://api.example/health | jq</code></pre>" in html
    assert "Agent API" in html
    assert '<a href="https://errors.example/agentguard"' in html
    assert "Not set yet: restart." in words(html)
    assert html.count("<pre") == 1
    assert "Set it" not in html


def test_a_page_that_stays_open_says_what_others_did_meanwhile(lee_there, lin, at, step):
    actions.settle(step(1), state="done", by=lin)
    seen = re.search(r"\?seen=(\d+)", lee_there.get(at).content.decode())[1]
    htmx = {"headers": {"HX-Request": "true"}}
    assert "Meanwhile" not in lee_there.get(f"{at}?seen={seen}", **htmx).content.decode()
    actions.settle(step(2), state="skipped", note="It hangs", by=lin)
    part = lee_there.get(f"{at}?seen={seen}", **htmx).content.decode()
    assert "Lin, 14:30:00 UTC: skipped, Confirm it: error tracker." in words(part)
    assert "<html" not in part
    for typed in ("", "x", "9" * 30):
        assert lee_there.get(f"{at}?seen={typed}", **htmx).status_code == 200


def test_every_form_of_a_run_works_without_a_script(lee_there, at):
    html = lee_there.get(at).content.decode()
    assert re.findall(r"<script[^>]*>", html[html.index("<main") :]) == ['<script src="/static/js/copy.js" defer>']
    assert html.count('method="post"') >= 3
    assert "hx-post" not in html


def test_the_library_shows_the_commands_of_every_service_that_has_its_own(client, small, ada, organisation):
    for component in organisation.values():
        ServiceCommand.objects.create(name="restart", text=f"restart {component}", component=component)
    client.force_login(ada)
    html = client.get(BOOK).content.decode()
    assert "<code>restart Agent API</code>" in html
    assert "<code>restart Dashboard</code>" in html


def test_what_runbooks_ask_for_is_listed_with_what_is_not_set(client, small, root):
    ServiceCommand.objects.create(name="restart", text="x")
    client.force_login(root)
    text = words(client.get("/portal/runbooks/commands").content.decode())
    assert "Error tracker errors Asked for by Restart the API Not set" in text
    assert "Set for everything" in text


def test_the_panel_for_the_page_of_an_incident_shows_run_next_steps_and_offers(run, shipped, step, grace, lee):
    actions.settle(step(1), state="done", by=lee)
    html = render_to_string(
        "incidents/runbooks/_panel.html",
        {"incident": run.incident, "panel": queries.panel(run.incident), "user": lee, "perms": PermWrapper(lee)},
    )
    text = words(html)
    assert "Restart the API 1 of 3 steps" in text
    assert "Confirm it: error tracker." in text
    assert "Complete service outage" in text
    assert 'value="complete-outage"' in html


def test_who_may_only_look_is_offered_nothing_to_press(client, at, ada):
    client.force_login(ada)
    for address in (at, RUNS):
        html = client.get(address).content.decode()
        assert "<form" not in html[html.index("<main") :], address


def test_a_step_is_reached_only_through_its_own_incident(lee_there, at, declare, run):
    declare(title="Another")
    for address in (f"/portal/incidents/INC-2/runbooks/{run.pk}", f"{RUNS}{10**30}", f"{RUNS}999"):
        assert lee_there.get(address).status_code == 404
    for address in (f"/portal/incidents/INC-2/runbooks/{run.pk}/steps/1/done", f"{at}/steps/9/done"):
        assert lee_there.post(address, {"seen": "0"}).status_code == 404
    assert not StepChange.objects.exists()


def test_script_in_every_field_is_shown_as_text(lee_there, at, small, grace, client):
    for deed in ("note", "done"):
        lee_there.post(f"{at}/steps/1/{deed}", {"seen": "0", "note": SCRIPT, "evidence": SCRIPT})
    hostile = SMALL.replace("Tell customers.", f"Tell {SCRIPT} [x](javascript:alert(1)).").replace("jq", SCRIPT)
    actions.rewrite(small, hostile.replace("It hangs.", SCRIPT), note=SCRIPT, by=grace, seen=1)
    client.force_login(people.person("Root", "admin"))
    difference = f"{BOOK}difference"
    for address in (at, RUNS, BOOK, difference, "/portal/runbooks/", f"{BOOK}write", "/portal/incidents/INC-1"):
        html = client.get(address).content.decode()
        assert "<script>alert" not in html, address
        assert 'href="javascript' not in html, address


# The library


def test_a_runbook_reads_with_its_audiences_types_and_versions(client, small, grace, ada):
    actions.rewrite(small, SMALL.replace("Tell", "Call"), note="By phone", by=grace, seen=1)
    client.force_login(ada)
    text = words(client.get(BOOK).content.decode())
    assert "It hangs. Restart it." in text
    assert "A service that hangs is restarted within a minute." in text
    assert "T01 Complete service outage" in text
    assert "https://git.example.com/api/runbook.md" in text
    assert "By phone" in text
    assert "Within 60 s of step 1" in text
    old = words(client.get(f"{BOOK}versions/1").content.decode())
    assert "Not in force; version 2 is" in old
    assert "Tell customers." in old


def test_the_difference_of_two_versions_is_shown_in_words_and_signs(client, small, grace, ada):
    actions.rewrite(small, SMALL.replace("Tell", "Call"), note="By phone", by=grace, seen=1)
    client.force_login(ada)
    text = words(client.get(f"{BOOK}difference").content.decode())
    assert "From version 1 to 2" in text
    assert "Removed: 3. Tell customers." in text
    assert "Added: 3. Call customers." in text
    for address in ("?from=9", "?to=0", "?to=99999999999999999999", "?to=999999999999999999", "?from=x"):
        assert client.get(f"{BOOK}difference{address}").status_code in (200, 404)


def test_nothing_is_found_where_nothing_is(client, small, ada):
    client.force_login(ada)
    for address in ("/portal/runbooks/nothing/", f"{BOOK}versions/9", f"{BOOK}difference"):
        assert client.get(address).status_code == 404


def test_writing_one_shows_an_example_that_can_be_saved_as_it_stands(client, organisation, grace):
    client.force_login(grace)
    page = fields(client.get(WRITE).content.decode())
    answer = client.post(WRITE, {"source": page["source"], "note": "First"})
    assert answer["Location"] == Runbook.objects.get().get_absolute_url()


def test_a_text_that_cannot_be_read_is_refused_line_by_line_and_kept(client, organisation, grace):
    client.force_login(grace)
    bad = SMALL.replace("T01", "T77").replace("{{ health }}", "{{ Health }}")
    for address in (WRITE, "/portal/runbooks/preview"):
        answer = client.post(address, {"source": bad, "note": "First"})
        html = answer.content.decode()
        assert answer.status_code == 400
        assert "<li>Line 5: “T77” is no type of incident; write codes like T01, or all.</li>" in html
        assert "<li>Line 21: “{{ Health }}” is no placeholder" in html
        assert fields(html)["source"] == bad
        assert fields(html)["note"] == "First"
    assert not Runbook.objects.exists()


def test_the_preview_reads_as_it_will_names_gaps_and_keeps_what_was_typed(client, organisation, grace):
    client.force_login(grace)
    html = client.post("/portal/runbooks/preview", {"source": SMALL, "note": ""}).content.decode()
    text = words(html)
    assert "Nothing is saved yet" in text
    assert "3 steps. Offered for T01." in text
    assert "Nobody has set yet: restart, error tracker, health check." in text
    assert fields(html)["source"] == SMALL
    assert not Runbook.objects.exists()


def test_two_writers_the_second_is_told_and_loses_nothing(client, small, grace, lin):
    client.force_login(grace)
    page = fields(client.get(f"{BOOK}write").content.decode())
    actions.rewrite(small, SMALL.replace("Tell", "Call"), note="By phone", by=lin, seen=1)
    mine = {"source": SMALL.replace("Tell", "Write to"), "note": "By mail", "seen": page["seen"]}
    html = client.post(f"{BOOK}write", mine).content.decode()
    assert "Lin added version 2 at" in html
    kept = fields(html)
    assert (kept["source"], kept["note"]) == (mine["source"], mine["note"])
    assert client.post(f"{BOOK}write", {name: kept[name] for name in mine}).status_code == 302
    small.refresh_from_db()
    assert small.version_in_force.number == 3


def test_an_old_version_can_be_taken_up_again(client, small, grace):
    actions.rewrite(small, SMALL.replace("Tell", "Call"), note="By phone", by=grace, seen=1)
    client.force_login(grace)
    assert fields(client.get(f"{BOOK}write?from=1").content.decode())["source"] == SMALL


def test_a_withdrawn_runbook_is_named_so_and_offered_no_more(client, small, declare, grace):
    declare()
    client.force_login(grace)
    client.post(f"{BOOK}withdraw", {"reason": "Wrong"})
    assert "Withdrawn on" in client.get(BOOK).content.decode()
    assert "Restart the API" in client.get("/portal/runbooks/").content.decode()
    assert "Restart the API" not in client.get(RUNS).content.decode()


def test_a_text_of_a_hundred_thousand_characters_is_refused(client, organisation, grace):
    client.force_login(grace)
    answer = client.post(WRITE, {"source": "x" * 100_000, "note": "x"})
    assert answer.status_code == 400
    assert not Runbook.objects.exists()


# How much is asked of the database


def test_pages_ask_the_same_few_questions_however_much_there_is(
    client, declare, shipped, small, grace, lin, organisation, django_assert_max_num_queries, freezer
):
    incident = declare()
    long = SMALL + "".join(f"{n}. Step {n}.\n   ```\n   {{{{ health }}}}\n   ```\n" for n in range(4, 120))
    actions.rewrite(small, long, note="Long", by=grace, seen=1)
    for n in range(2, 60):
        text = SMALL.replace("restart-api", f"restart-{n}").replace("Restart the API", f"Restart {n}")
        actions.write(text, note="First", by=grace)
        actions.rewrite(small, long.replace("Tell", f"Tell {n}"), note="Again", by=grace, seen=n)
    run = actions.start(incident, small, by=grace)
    for step in run.steps.all()[:60]:
        actions.settle(step, state="done", note="x", by=lin)
    for code in ("triage", "recovery", "complete-outage"):
        actions.start(incident, Runbook.objects.get(code=code), by=lin)
    for component in organisation.values():
        ServiceCommand.objects.create(name="health", text="x", component=component)
    client.force_login(grace)
    addresses = [RUNS, run.get_absolute_url(), "/portal/runbooks/", BOOK, f"{BOOK}difference", f"{BOOK}write"]
    for address in [*addresses, "/portal/runbooks/commands", WRITE]:
        freezer.shift(timedelta(seconds=30))
        with django_assert_max_num_queries(12):
            assert client.get(address).status_code == 200
