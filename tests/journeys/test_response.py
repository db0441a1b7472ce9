"""Whole responses through browsers: a breach that needs two approvals, and an agent that misbehaves.

Everybody works in a browser of their own against the processes of `make run`.
"""

import hashlib
import io
import re
import zipfile
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.journeys.processes import Portal
from tests.journeys.steps import enter_by_link, sign_in

pytestmark = pytest.mark.browser
NOW = "%Y-%m-%d %H:%M"


@pytest.fixture
def enter(portal: Portal, chromium: Browser):
    """A browser for each person of the demo."""

    def make(name: str, access: str = "") -> Page:
        page = chromium.new_context().new_page()
        if name == "grace":
            sign_in(page, portal, portal.email, portal.password)
        else:
            enter_by_link(page, portal, name, access)
        return page

    return make


def declare(page: Page, portal: Portal, title: str, kind: str, **answers: str) -> str:
    """As it is noticed now: the worst severity, on the API. `answers` are radio buttons by the group they stand in."""
    began = datetime.now(UTC) - timedelta(minutes=5)
    page.goto(f"{portal.base_url}/portal/incidents/declare")
    page.get_by_label("What do people see?").fill(title)
    page.get_by_label("What kind of incident is it?").select_option(kind)
    page.get_by_role("radio", name=re.compile("SEV1")).check()
    page.get_by_label("Agent API").select_option("partial_outage")
    page.get_by_label("What do customers notice?").fill(f"{title}. We are looking.")
    page.get_by_label("Started, UTC").fill(began.strftime(NOW))
    page.get_by_label("First noticed, UTC").fill(began.strftime(NOW))
    for name, answer in answers.items():
        page.locator(f"input[name={name}][value={answer}]").check()
    page.get_by_role("button", name="Declare incident").click()
    page.wait_for_url("**/declared")
    return re.search(r"INC-\d+", page.url)[0]


def room(portal: Portal, ref: str) -> str:
    return f"{portal.base_url}/portal/incidents/{ref}"


def test_a_breach_is_told_to_customers_once_sponsor_and_legal_lead_have_approved(portal: Portal, enter):
    grace = enter("grace")
    ref = declare(grace, portal, "Customer records were readable", "T05", personal_data="yes")
    grace.goto(room(portal, ref))
    expect(grace.locator("#runbooks")).to_contain_text("Data breach")
    grace.locator("#runbooks").get_by_role("button", name=re.compile("^Start")).first.click()
    grace.locator("button.tick").first.click()
    expect(grace.locator("#step-1")).to_contain_text("Done")

    lin = enter("lin", "publisher")
    lin.goto(f"{room(portal, ref)}/notices/breach_notice")
    lin.get_by_label("What happened").fill("Records of two customers could be read by a third.")
    lin.get_by_label("What data was affected").fill("Names and e-mail addresses of 212 people.")
    lin.get_by_label("What we have done").fill("The interface is closed; access is being reviewed.")
    lin.get_by_label("What you should do").fill("Nothing for now. Ask us at the address below.")
    lin.get_by_role("button", name="Save and ask for approval").click()
    expect(lin.locator("main")).to_contain_text("Breach notice waits for approval")
    assert not notices(portal, ref)

    edith = enter("edith", "viewer")
    edith.goto(room(portal, ref))
    expect(edith.locator(".asked")).to_contain_text("Approve or send back the text of")
    edith.get_by_role("button", name=re.compile("^Approve")).click()
    expect(edith.locator("main")).to_contain_text("Edith, executive sponsor")
    assert not notices(portal, ref)  # one of two

    marek = enter("marek", "publisher")
    marek.goto(room(portal, ref))
    marek.get_by_role("button", name=re.compile("^Approve and send")).click()
    mail = portal.wait_for_mail(lambda one: f"[{ref}]" in one["Subject"] and "212 people" in text_of(one))
    assert mail["To"]
    expect(marek.locator("main")).to_contain_text("Breach notice")
    public = grace.context.request.get(f"{portal.base_url}/").text()
    assert "212 people" not in public
    assert portal.manage("verify_ledger").startswith("OK")


def notices(portal: Portal, ref: str) -> list:
    return [
        mail
        for mail in portal.mails()
        if f"[{ref}]" in mail["Subject"]
        and "List-Unsubscribe" not in mail
        and "212 people" in text_of(mail)
        and "approv" not in mail["Subject"].lower()
    ]


def text_of(mail) -> str:
    return " ".join(mail.get_body(("plain",)).get_content().split())


def test_an_agent_that_misbehaves_is_halted_recorded_and_resolved_through_its_gate(portal: Portal, enter):
    grace = enter("grace")
    ref = declare(grace, portal, "The billing agent refunds twice", "T09", ai_involved="yes")
    grace.goto(room(portal, ref))
    expect(grace.locator("#runbooks")).to_contain_text("Halt a runaway agent")

    # The kill switch, measured against its minute
    pressed = datetime.now(UTC) - timedelta(seconds=100)
    grace.get_by_role("link", name="Kill switch pressed").click()
    grace.get_by_label("Of what?").fill("Billing agent, build 481")
    grace.get_by_label("When, UTC").fill(pressed.strftime("%Y-%m-%d %H:%M:%S"))
    grace.get_by_label("By whom?").select_option(label="Ines")
    grace.get_by_role("main").get_by_role("button").last.click()
    grace.locator("#controls").get_by_role("link", name=re.compile("^Confirm")).click()
    grace.get_by_label("Confirmed at, UTC").fill((pressed + timedelta(seconds=41)).strftime("%Y-%m-%d %H:%M:%S"))
    grace.get_by_label("How was it seen?").fill("New requests get 503.")
    grace.get_by_role("main").get_by_role("button").last.click()
    expect(grace.locator("#controls")).to_contain_text("41 s, within the 1 min allowed")
    expect(grace.locator("#hour li", has_text="First containment")).to_contain_text(re.compile("Reached|Late"))

    # Evidence and the AI's context, by somebody else
    ines = enter("ines", "responder")
    ines.goto(f"{room(portal, ref)}/evidence/add/text")
    ines.get_by_label("What is it?").fill("Decisions of the guard")
    ines.get_by_label("Where does it come from?").fill("guard-7")
    ines.get_by_label("Taken there at, UTC").fill(datetime.now(UTC).strftime(NOW))
    ines.get_by_label("No, somebody looked").check()
    ines.get_by_label("Text", exact=True).fill("14:30 BLOCK refund 2 of order 77")
    ines.get_by_role("button", name="Keep it").click()
    ines.goto(f"{room(portal, ref)}/ai")
    ines.locator("[name=model_before]").fill("assistant-4, 2026-10")
    ines.locator("[name=model_after]").fill("assistant-4, 2026-11")
    ines.get_by_role("main").get_by_role("button", name=re.compile("Save|Keep")).first.click()
    grace.goto(room(portal, ref))
    expect(grace.locator("#evidence")).to_contain_text("Decisions of the guard")
    expect(grace.locator("#evidence")).to_contain_text("assistant-4, 2026-11")

    # The pack, which a stranger's tools verify
    grace.goto(f"{room(portal, ref)}/evidence/")
    with grace.expect_download() as waiting:
        grace.get_by_role("button", name=re.compile("Export|Download|Take")).first.click()
    with zipfile.ZipFile(io.BytesIO(waiting.value.path().read_bytes())) as pack:
        assert pack.testzip() is None
        sums = next(name for name in pack.namelist() if name.lower().endswith("sha256sums"))
        for line in pack.read(sums).decode().splitlines():
            digest, _, name = line.partition("  ")
            inside = next(one for one in pack.namelist() if one.endswith(name))
            assert hashlib.sha256(pack.read(inside)).hexdigest() == digest

    # The gate asks for what is missing, and lets nobody pass without it or a reason
    grace.goto(f"{room(portal, ref)}/update")
    grace.get_by_role("radio", name="Resolved").check()
    grace.get_by_label("For internal readers").fill("Refunds are right again.")
    grace.get_by_role("button", name="Preview").click()
    expect(grace.get_by_role("main")).to_contain_text("Missing: Error rate below 1 percent")
    grace.get_by_label("Reason").fill("The agent is off; nothing can recur.")
    grace.get_by_role("button", name="Preview").click()
    grace.get_by_role("button", name=re.compile("^Send")).click()
    grace.wait_for_url(f"**/portal/incidents/{ref}")
    expect(grace.locator("#gate")).to_contain_text("The agent is off; nothing can recur.")
    grace.goto(f"{room(portal, ref)}/postmortem/")
    expect(grace.get_by_role("main")).to_contain_text("Decisions of the guard")
    assert portal.manage("verify_ledger").startswith("OK")
