"""Two people in the room of one incident at once, each in a browser of their own."""

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.journeys.processes import Portal
from tests.journeys.steps import declare, enter_by_link, sign_in

pytestmark = pytest.mark.browser


@pytest.fixture
def grace(portal: Portal, chromium: Browser) -> Page:
    """Her page's clock is ours, so that nobody waits ten seconds for the room to be asked for again."""
    page = chromium.new_context().new_page()
    sign_in(page, portal, portal.email, portal.password)
    page.clock.install()
    return page


@pytest.fixture
def lin(portal: Portal, chromium: Browser) -> Page:
    page = chromium.new_context().new_page()
    enter_by_link(page, portal, "lin", "publisher")
    return page


def test_the_room_follows_what_others_do_and_leaves_alone_what_is_typed(portal: Portal, grace: Page, lin: Page):
    ref = declare(grace, portal, "Agent API unavailable for two")
    room = f"{portal.base_url}/portal/incidents/{ref}"
    grace.goto(room)
    mine = grace.get_by_label("What happened?")
    mine.press_sequentially("The pool is dra")
    mine.evaluate("field => field.setSelectionRange(4, 8)")

    lin.goto(room)
    lin.get_by_label("What happened?").fill("Lin restarted the workers.")
    lin.get_by_role("button", name="Add to the timeline").click()
    expect(lin.locator("#timeline")).to_contain_text("Lin restarted the workers.")
    expect(grace.locator("#timeline")).not_to_contain_text("Lin restarted the workers.")

    grace.clock.fast_forward(10_000)
    expect(grace.locator("#timeline")).to_contain_text("Lin restarted the workers.")
    expect(mine).to_have_value("The pool is dra")
    expect(mine).to_be_focused()
    assert mine.evaluate("field => [field.selectionStart, field.selectionEnd]") == [4, 8]

    mine.press("End")
    mine.press_sequentially("ined.")
    grace.get_by_role("button", name="Add to the timeline").click()
    expect(grace.locator("#timeline")).to_contain_text("The pool is drained.")
    expect(grace.locator("#timeline")).to_contain_text("Lin restarted the workers.")


def test_what_somebody_folded_stays_folded_and_the_page_goes_on_asking(portal: Portal, grace: Page, lin: Page):
    ref = declare(grace, portal, "Agent API unavailable, told twice")
    room = f"{portal.base_url}/portal/incidents/{ref}"
    lin.goto(f"{room}/update")
    lin.get_by_label("For internal readers").fill("The pool is drained.")
    lin.get_by_role("button", name=re.compile("Preview")).click()
    lin.get_by_role("button", name=re.compile("Send")).click()
    grace.goto(room)
    ended = grace.locator("details.ended")
    expect(ended).to_have_attribute("open", "")
    ended.locator("summary").click()
    expect(ended).not_to_have_attribute("open", "")

    for words in ("First line.", "Second line."):
        lin.goto(room)
        lin.get_by_label("What happened?").fill(words)
        lin.get_by_role("button", name="Add to the timeline").click()
        grace.clock.fast_forward(10_000)
        expect(grace.locator("#timeline")).to_contain_text(words)
    expect(ended).not_to_have_attribute("open", "")
