"""The seeds' worked example (requirements R001-44) through a browser, against the processes of `make run`.

Pool exhaustion on 24 October 2025: detected 14:30, cause found 14:35, fix 14:45, restart 14:50, recovered 15:00,
resolved 15:15. After each step a second browser without a session reads the public page and the JSON.
"""

import re

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.journeys.processes import Portal, until
from tests.journeys.steps import DAY, declare, enter_by_link, sign_in

pytestmark = pytest.mark.browser
STEPS = [
    (
        "Investigating",
        "14:35",
        "All requests to the Agent API have failed since 14:30 UTC. We are looking for the cause.",
    ),
    ("Identified", "14:45", "The API ran out of database connections. We are enlarging the connection pool."),
    ("Monitoring", "15:00", "The larger pool is in place and the service was restarted. First requests succeed again."),
    ("Resolved", "15:15", "The connection pool was exhausted; it is five times as large now. No data was lost."),
]
# Does it name a cause, exposed data, liability or compensation, and who has to approve it then
ASSERTS = {
    "Investigating": (re.compile("^No$"), "Lin, comms lead"),
    "Identified": (re.compile("^Yes, it needs"), "Edith, executive sponsor and Marek, legal lead"),
    "Monitoring": (re.compile("^No$"), "Lin, comms lead"),
    "Resolved": (re.compile("^Yes, it needs"), "Edith, executive sponsor and Marek, legal lead"),
}


def send_update(page: Page, portal: Portal, ref: str, status: str, at: str, text: str) -> None:
    page.goto(f"{portal.base_url}/portal/incidents/{ref}/update")
    page.get_by_role("radio", name=status).check()
    page.get_by_label("Since when? UTC").fill(f"{DAY} {at}")
    page.get_by_label("For customers").fill(text)
    if status == "Resolved":
        page.get_by_label("Reason").fill("No failed request since 14:58; pool at 11 of 50 connections.")
    answer, asked = ASSERTS[status]
    page.get_by_role("radio", name=answer).check()
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("region", name="This would leave")).to_contain_text(text)
    expect(page.get_by_role("region", name="This would leave")).to_contain_text(f"it needs the approval of {asked}")
    page.get_by_label("Nobody else can approve it now").check()
    page.get_by_label("Why can it not wait?").fill("Lin is on a train; customers wait.")
    page.get_by_role("button", name=re.compile("^Send to 44 and the page")).click()
    page.wait_for_url(f"**/portal/incidents/{ref}")


def check_public(public: BrowserContext, portal: Portal, ref: str, status: str, text: str) -> None:
    """Within a second of publishing, a stranger sees the same truth on the page and in the JSON, without a cookie."""
    page = public.new_page()
    page.goto(f"{portal.base_url}/i/{ref}" if status == "Resolved" else portal.base_url)
    expect(page.get_by_role("main")).to_contain_text(text)
    shown = public.request.get(f"{portal.base_url}/api/v2/summary.json").json()
    if status == "Resolved":
        assert (shown["incidents"], shown["status"]["indicator"]) == ([], "none")
    else:
        incident = shown["incidents"][0]
        assert (incident["status"], incident["incident_updates"][0]["body"]) == (status.lower(), text)
        assert shown["status"]["indicator"] == "critical"
        expect(page.get_by_role("main")).to_contain_text(
            re.compile(r"Next update (on \d+ \w+ )?by")
        )  # "on" past midnight
    assert public.cookies() == []
    page.close()


def customer_mails(portal: Portal, ref: str) -> list:
    return [mail for mail in portal.mails() if f"[{ref}]" in mail["Subject"] and "List-Unsubscribe" in mail]


def write_postmortem(page: Page, portal: Portal, ref: str) -> None:
    page.goto(f"{portal.base_url}/portal/incidents/{ref}/postmortem/")
    fields = {
        "Summary": "Every request to the Agent API failed for 45 minutes. The pool was enlarged. No data was lost.",
        "Root cause": "The connection pool was configured with a maximum of ten connections.",
        "What went well": "The alert fired at once.",
        "What went wrong": "The pool was not among the watched resources.",
    }
    for label, text in fields.items():
        page.get_by_label(label, exact=True).fill(text)
    item = page.get_by_role("group", name=re.compile(r"\.1$"))
    item.get_by_label("Action").fill("Alert on waiting connections")
    item.get_by_label("Owner").select_option(label="Tomas")
    item.get_by_label(re.compile("^Due")).fill("2026-12-24")
    page.get_by_role("button", name="Save and send to review").click()
    expect(page.get_by_role("heading", name="In review")).to_be_visible()
    expect(page.get_by_role("main")).to_contain_text("somebody else has to approve it")


def approve_as_another(chromium: Browser, portal: Portal, ref: str) -> bytes:
    """Lin follows her one-time link, chooses a password, approves, and downloads the PDF."""
    context = chromium.new_context()
    page = context.new_page()
    enter_by_link(page, portal, "lin", "publisher")
    page.goto(f"{portal.base_url}/portal/incidents/{ref}/postmortem/")
    page.get_by_role("button", name=re.compile("^Approve")).click()
    expect(page.get_by_role("heading", name="Approved")).to_be_visible()
    with page.expect_download() as waiting:
        page.get_by_role("link", name=re.compile("Download the PDF")).click()
    data = waiting.value.path().read_bytes()
    context.close()
    return data


# covers R001-44
def test_the_worked_example_from_sign_in_to_the_approved_pdf(portal: Portal, chromium: Browser):
    staff, public = chromium.new_context(), chromium.new_context()
    page = staff.new_page()
    violations: list[str] = []
    page.on("console", lambda said: violations.append(said.text) if "Content Security Policy" in said.text else None)
    sign_in(page, portal, portal.email, portal.password)
    ref = declare(page, portal)
    expect(page.get_by_label("Ready to copy")).to_have_value(
        re.compile(rf"Incident: {ref} Agent API unavailable\nSeverity")
    )

    for count, (status, at, text) in enumerate(STEPS, start=1):
        send_update(page, portal, ref, status, at, text)
        check_public(public, portal, ref, status, text)
        until(lambda n=count: len(customer_mails(portal, ref)) >= 44 * n, seconds=30, what=f"44 mails about {status}")
        newest = customer_mails(portal, ref)[-1]
        assert newest["Subject"] == f"[{ref}] {status}: Agent API unavailable"
        assert text.split(".")[0] in " ".join(newest.get_body(("plain",)).get_content().split())

    assert len(customer_mails(portal, ref)) == 44 * 4
    threads = {mail["References"] for mail in customer_mails(portal, ref)}
    assert len(threads) == 1
    page.goto(f"{portal.base_url}/portal/incidents/{ref}")
    expect(page.get_by_role("main")).to_contain_text("44 of 44 accepted")
    expect(page.get_by_role("main")).to_contain_text("Review of what left without approval")

    write_postmortem(page, portal, ref)
    data = approve_as_another(chromium, portal, ref)
    assert data.startswith(b"%PDF-1.7")
    assert violations == []
    assert portal.manage("verify_ledger").startswith("OK")


def test_everything_works_without_javascript(portal: Portal, chromium: Browser):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    sign_in(page, portal, portal.email, portal.password)
    ref = declare(page, portal, "Agent API unavailable once more")
    send_update(page, portal, ref, *STEPS[1])
    expect(page.get_by_role("status")).to_contain_text("Sent.")
    send_update(page, portal, ref, "Resolved", "15:15", "It is over.")
    context.close()
