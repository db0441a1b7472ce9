"""What people do again and again on a journey."""

import re

from playwright.sync_api import Page, expect

from tests.journeys.processes import Portal

DAY = "2025-10-24"


def enter_by_link(page: Page, portal: Portal, name: str, access: str) -> None:
    """Somebody of the demo other than Grace follows the one-time link an admin gives them, and chooses a password."""
    page.goto(re.search(r"http\S+", portal.manage("staff", f"{name}@agentguard.example", "--role", access))[0])
    for field in page.locator("input[type=password]").all():
        field.fill("a long enough pass phrase 42")
    page.get_by_role("main").get_by_role("button").first.click()
    expect(page.get_by_role("navigation", name="Main")).to_be_visible()


def sign_in(page: Page, portal: Portal, email: str, password: str) -> None:
    page.goto(f"{portal.base_url}/portal/")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("navigation", name="Main")).to_be_visible()


def declare(page: Page, portal: Portal, title: str = "Agent API unavailable") -> str:
    page.goto(f"{portal.base_url}/portal/incidents/declare")
    page.get_by_label("What do people see?").fill(title)
    page.get_by_label("What kind of incident is it?").select_option("T01")
    page.get_by_role("radio", name=re.compile("SEV1")).check()
    page.get_by_label("Agent API").select_option("major_outage")
    page.get_by_label("Detection results").select_option("partial_outage")
    page.get_by_label("What do customers notice?").fill("Every request to the Agent API fails.")
    page.get_by_label("Started, UTC").fill(f"{DAY} 14:30")
    page.get_by_label("First noticed, UTC").fill(f"{DAY} 14:30")
    page.get_by_role("button", name="Declare incident").click()
    page.wait_for_url("**/declared")
    return re.search(r"INC-\d+", page.url)[0]
