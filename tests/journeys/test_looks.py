"""Every public page as people meet it: narrow and wide, light and dark, large text, by keyboard, read aloud, without
script. axe-core and the Nu checker judge; pages are found by following links, so that a new one is judged by itself."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from shutil import which
from urllib.parse import urljoin, urlsplit

import pytest
from playwright.sync_api import Browser, Page

from statuspage import colours
from tests import needs
from tests.journeys.processes import MANAGE, ROOT, Portal, until

pytestmark = pytest.mark.browser

CHECKERS = ROOT / ".ci" / "checkers" / "node_modules"
AXE, NU = CHECKERS / "axe-core" / "axe.min.js", CHECKERS / "vnu-jar" / "build" / "dist" / "vnu.jar"
WIDTHS = [320, 390, 768, 1280, 1920]
NOT_PUBLIC = ("/portal", "/accounts", "/admin", "/static")
LINKS = "[...document.querySelectorAll('a[href]')].map(a => a.href)"
TOO_WIDE = """() => [...document.querySelectorAll('body *')]
    .filter(e => e.getBoundingClientRect().right > innerWidth + 1 && getComputedStyle(e).position !== 'absolute')
    .map(e => e.outerHTML.slice(0, 120))
    .concat(document.documentElement.scrollWidth > innerWidth ? ['the page itself'] : [])"""
REACHABLE = """() => [...document.querySelectorAll('a[href], button, input, select, textarea, summary')]
    .filter(e => e.checkVisibility() && !e.disabled && e.tabIndex >= 0)
    .filter(e => e.type !== 'hidden' && !(e.type === 'radio' && !e.checked)).length"""
FOCUSED = """() => { const e = document.activeElement; if (!e || e === document.body) return null;
    if (!('seen' in e.dataset)) { window.seen = (window.seen || 0) + 1; e.dataset.seen = window.seen; }
    const s = getComputedStyle(e), box = e.getBoundingClientRect();
    return {n: e.dataset.seen, what: e.outerHTML.slice(0, 120), on: box.bottom > 0 && box.top < innerHeight,
            shown: (s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) > 0) || s.boxShadow !== 'none'}; }"""
LINK_SEEN = "() => getComputedStyle(document.documentElement).getPropertyValue('--link').trim()"
HEAD_SEEN = """() => {
    const hex = s => '#' + s.match(/\\d+/g).slice(0, 3).map(n => Number(n).toString(16).padStart(2, '0')).join('');
    const top = document.querySelector('.top'), logo = document.querySelector('.top img.brand');
    return top && logo && [hex(getComputedStyle(top).borderBottomColor), logo.complete && logo.naturalWidth > 0]; }"""
BUSY = """
from datetime import timedelta
from django.utils import timezone
from statuspage.models import Component
from tests.statuspage.factories import announced, component, past_incident, publish
now = timezone.now()
parts = [component(f"Service {n}", group=f"Region {n // 8}" if n < 56 else "") for n in range(60)]
Component.objects.filter(pk=parts[3].pk).update(name="W" * 70, description="d" * 190)
states = Component.State.values
for n in range(3):
    publish("investigating", (parts[n], states[n + 1]), (parts[30 + n], states[4]), ref=f"INC-{900 + n}",
            impact=["minor", "major", "critical"][n], title="Requests fail in one region " + "very" * 30 * (n == 1),
            next_update_by=now + timedelta(minutes=20 - 30 * n))
    publish("identified", (parts[n], states[n + 1]), ref=f"INC-{900 + n}", impact="minor",
            body="# Heading\\n\\n* one\\n* two `code`\\n\\n> quote\\n\\n[link](https://example.com) " + "x" * 300)
publish("identified", (parts[0], states[1]), ref="INC-900", kind="correction", body="It began at 14:02, not 14:20.")
publish("monitoring", ref="INC-903", impact="none", title="\u05e9\u05dc\u05d5\u05dd API \u05dc\u05d0")
announced(*parts[40:46], title="Larger database " + "very" * 30)
announced(parts[46], title="Cables are laid", starts_at=now)
for n in range(40):
    past_incident(f"INC-{800 + n}", started_at=now - timedelta(days=2 * n + 1))
"""

# Colours as close to what is refused as they may be, and pictures.
BRANDED = """
from statuspage import colours, editions, looks
from statuspage.models import Brand
svg = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 360 40"><path d="M0 0h360v40H0z" fill="%s"/></svg>'
pictures = {"logo": svg % "#7a4a00", "logo_dark": svg % "#ffe9a8", "icon": svg % "#7a4a00"}
pictures = {use: content.encode() for use, content in pictures.items()}
chosen = {f"{part}_{scheme}": colours.nearest("#ffcc00" if scheme == "light" else "#3a2a00", scheme, needed)
          for part, needed in (("link", colours.TEXT), ("mark", colours.MARK)) for scheme in ("light", "dark")}
Brand.objects.create(**chosen, **pictures, name_beside_logo=True,
                     pictures={use: looks.facts_of(content, use) for use, content in pictures.items()})
editions.touch_looks([])
while editions.refresh():
    pass
"""
PLAIN = """
from statuspage import editions, looks
from statuspage.models import Brand
were = list(looks.names())
Brand.objects.all().delete()
editions.touch_looks(were)
while editions.refresh():
    pass
"""


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    """A portal with 60 components and 4 open incidents more than the demo has, and somebody who wants mail."""
    portal = Portal(tmp_path_factory.mktemp("busy"), [*MANAGE, "run"])
    try:
        portal.wait_for_banner()
        portal.manage("shell", "-v0", "--no-imports", "-c", BUSY)
        yield portal
    finally:
        portal.end()


@pytest.fixture(scope="module")
def pages(busy: Portal, chromium: Browser) -> list[str]:
    """The address of every page a stranger finds, and of those a subscriber is mailed; one of each kind."""
    page = chromium.new_context().new_page()
    page.goto(f"{busy.base_url}/subscribe")
    page.get_by_label("e-mail address").fill("reader@reader.example")
    page.get_by_role("button").last.click()
    mail = busy.wait_for_mail(lambda mail: mail["To"] == "reader@reader.example").get_body(("plain",)).get_content()
    confirm = next(link for link in re.findall(r"http\S+", mail) if "/confirm/" in link)
    found, left = {}, [f"{busy.base_url}/", confirm, f"{busy.base_url}/nothing-here"]
    while left:
        address = left.pop(0)
        kind = re.sub(r"/\d{4}-\d\d$|/[0-9a-z]{12}\b|/INC-\d+", "/…", urlsplit(address).path)
        if kind in found:
            continue
        answer = page.goto(address) if not address.endswith((".ics", ".atom", ".rss")) else None
        if answer and "text/html" in (answer.header_value("content-type") or ""):
            found[kind] = address
            links = [urljoin(address, link).partition("#")[0] for link in page.evaluate(LINKS)]
            left += [link for link in links if ours(link, busy)]
    page.context.close()
    assert {"/", "/history", "/incidents/…", "/maintenance/…", "/subscribe", "/manage", "/nothing-here"} <= found.keys()
    return sorted(found.values())


def ours(link: str, portal: Portal) -> bool:
    return link.startswith(f"{portal.base_url}/") and not urlsplit(link).path.startswith(NOT_PUBLIC)


def needed(checker: Path) -> Path:
    if not checker.exists():
        needs.missing(f"there is no {checker.name}", "npm ci --ignore-scripts in .ci/checkers")
    return checker


def opened(page: Page, address: str, *, text: int = 100) -> Page:
    page.goto(address)
    page.evaluate(f"document.documentElement.style.fontSize = '{text}%'")
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("text", [100, 200])
def test_axe_finds_nothing(pages, chromium, scheme, text):
    axe = needed(AXE).read_text()
    page = chromium.new_context(color_scheme=scheme, viewport={"width": 1280, "height": 900}).new_page()
    wrong = {}
    for address in pages:
        opened(page, address, text=text).evaluate(axe)
        for found in page.evaluate("axe.run()")["violations"]:
            wrong[urlsplit(address).path, found["id"]] = [node["html"][:160] for node in found["nodes"][:3]]
    page.context.close()
    assert wrong == {}


@pytest.fixture
def branded(busy, pages, chromium) -> Iterator[list[str]]:
    """The same pages with colours and pictures of somebody's own; afterwards they look as before."""
    context = chromium.new_context()

    def shown() -> set[bool]:
        return {"/brand/style-" in context.request.get(address).text() for address in pages}

    busy.manage("shell", "-v0", "--no-imports", "-c", BRANDED)
    try:
        until(lambda: shown() == {True}, seconds=20, what="the brand is on every page")
        yield pages
    finally:
        busy.manage("shell", "-v0", "--no-imports", "-c", PLAIN)
        until(lambda: shown() == {False}, seconds=20, what="the brand has gone from every page")
        context.close()


def test_axe_finds_nothing_on_branded_pages_and_their_colours_are_the_ones_that_were_chosen(branded, chromium):
    axe = needed(AXE).read_text()
    wrong, seen = {}, {}
    for scheme, colour in (("light", "#ffcc00"), ("dark", "#3a2a00")):
        link, mark = (colours.nearest(colour, scheme, contrast) for contrast in (colours.TEXT, colours.MARK))
        page = chromium.new_context(color_scheme=scheme, viewport={"width": 390, "height": 900}).new_page()
        for address in branded:
            path = urlsplit(address).path
            opened(page, address).evaluate(axe)
            for found in page.evaluate("axe.run()")["violations"]:
                wrong[scheme, path, found["id"]] = [node["html"][:160] for node in found["nodes"][:3]]
            seen[scheme, path] = page.evaluate(LINK_SEEN) == link
            if not path.endswith("/widget"):  # which has no head
                seen[scheme, path] &= page.evaluate(HEAD_SEEN) == [mark, True]
            if too_wide := page.evaluate(TOO_WIDE):
                wrong[scheme, path] = too_wide[:3]
        page.context.close()
    assert wrong == {}
    assert [where for where, as_chosen in seen.items() if not as_chosen] == []


@pytest.mark.parametrize("scripts", [True, False], ids=["with script", "without script"])
def test_nothing_is_wider_than_the_screen(pages, chromium, scripts):
    context = chromium.new_context(java_script_enabled=scripts)
    page, wrong = context.new_page(), {}
    for address in pages:
        page.goto(address)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 800})
            if found := page.evaluate(TOO_WIDE):
                wrong[urlsplit(address).path, width] = found[:3]
    context.close()
    assert wrong == {}


def test_large_text_stays_on_a_phone(pages, chromium):
    page = chromium.new_context(viewport={"width": 640, "height": 800}).new_page()
    wrong = {address: found for address in pages if (found := opened(page, address, text=200).evaluate(TOO_WIDE))}
    page.context.close()
    assert wrong == {}


def test_a_page_says_the_same_without_script(pages, chromium):
    said = {}
    for scripts in (True, False):
        context = chromium.new_context(java_script_enabled=scripts)
        page = context.new_page()
        for address in pages:
            page.goto(address)
            said.setdefault(address, []).append(re.sub(r"\s+", " ", page.locator("main").inner_text()))
        context.close()
    for address, (with_script, without) in said.items():
        assert set(without.split()) <= set(with_script.split()), address  # a script may add, never be needed


def test_everything_is_reached_by_keyboard_and_shows_that_it_is(pages, chromium):
    page = chromium.new_context(viewport={"width": 1280, "height": 900}).new_page()
    for address in pages:
        page.goto(address)
        wanted, seen = page.evaluate(REACHABLE), {}
        for _ in range(wanted + 3):
            page.keyboard.press("Tab")
            if focused := page.evaluate(FOCUSED):
                seen[focused["n"]] = focused
        assert len(seen) >= wanted > 0, address
        assert [one["what"] for one in seen.values() if not (one["shown"] and one["on"])] == [], address
    page.context.close()


def test_the_nu_checker_finds_nothing(pages, chromium, tmp_path):
    if not which("java"):
        needs.missing("there is no Java", "apt-get install openjdk-17-jre-headless")
    context = chromium.new_context()
    for number, address in enumerate(pages):
        (tmp_path / f"{number}.html").write_bytes(context.request.get(address).body())
    context.close()
    command = ["java", "-Xss4m", "-jar", str(needed(NU)), "--format", "json", "--exit-zero-always", *tmp_path.iterdir()]
    said = json.loads(subprocess.run(command, capture_output=True, check=True).stderr)["messages"]
    assert [
        (pages[int(Path(urlsplit(one["url"]).path).stem)], one["message"], one.get("extract")) for one in said
    ] == []


@pytest.mark.parametrize(("zone", "word"), [("Asia/Tokyo", "GMT+9"), ("America/New_York", "E"), ("Etc/UTC", "")])
def test_where_scripts_run_a_readers_own_time_stands_beside_utc(busy, chromium, zone, word):
    page = chromium.new_context(timezone_id=zone).new_page()
    for path in ("/", "/history"):
        page.goto(busy.base_url + path)
        times, local = page.locator("time[datetime]"), page.locator("time[datetime] .local")
        assert times.count() > 10 if path == "/" else page.locator(".past-one time").count() > 0
        assert local.count() == (times.count() if word else 0)
        assert all("UTC" in text and word in text for text in times.all_inner_texts())
    page.context.close()


def test_what_is_over_is_told_from_when_to_when_on_the_readers_clock(busy, chromium):
    page = chromium.new_context(timezone_id="Asia/Tokyo").new_page()
    page.goto(busy.base_url)
    for shown in page.locator(".past-one time[data-until]").all():
        local = shown.locator(".local").inner_text()
        hours = [(int(hour) + 9) % 24 for hour in re.findall(r"(\d\d):\d\d", shown.inner_text().partition("UTC")[0])]
        assert [int(hour) for hour in re.findall(r"(\d\d):\d\d", local)] == hours
    assert page.locator(".past-one time[data-until]").count() > 10
    page.context.close()
