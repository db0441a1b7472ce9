"""The portal's own processes and a browser, for whole journeys."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests import needs
from tests.journeys.processes import Portal

QUIET = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    """`make run` on a fresh folder. Ends with Ctrl-C, which must leave nothing running."""
    running = Portal(tmp_path_factory.mktemp("portal"), ["make", "run"])
    try:
        running.wait_for_banner()
        yield running
        running.stop_cleanly()
    finally:
        running.end()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium. One module long: while Playwright runs, Django refuses its database to this thread."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not path or not Path(path).exists():
        needs.missing("there is no Chromium", needs.CHROMIUM)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield browser
        browser.close()
