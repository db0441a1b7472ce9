"""The page while everything behind it is stopped or frozen, and Django's URL code raises on every request (S-T6)."""

import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tests import needs
from tests.chaos.servers import Postgres, Redis, postgres_programs
from tests.relay import free_port
from tests.statuspage.serving import ROOT, Server, until

pytestmark = pytest.mark.processes
AGE = b'class="wrap age"'
PUBLISH = """
from django.utils import timezone
from statuspage import publish
from statuspage.models import Component
api, _ = Component.objects.get_or_create(name="Agent API")
now = timezone.now()
publish.publish("INC-42", title="Agent API unavailable", status="investigating", impact="critical", body={text!r},
    affected=[(api, "major_outage")], started_at=now, said_at=now, next_update_by=None, by=None)
"""


class Outlived:
    """A portal on servers of our own, with its page in front."""

    def __init__(self, folder: Path) -> None:
        self.postgres, self.redis = Postgres(folder), Redis(folder)
        (folder / "var").mkdir()
        urls = {"DATABASE_URL": self.postgres.url, "REDIS_URL": self.redis.url}
        broken = {"DJANGO_SETTINGS_MODULE": "tests.statuspage.broken", "PAGE_STALE_SECONDS": "3"}
        self.page = Server(folder / "var", app="statuspage.wsgi:with_django()", **urls, **broken)
        self.manage("migrate", "-v0")
        self.publish("Every request fails.")
        self.manage("publish")
        self.wsgi_port = free_port()
        plain = ["statuspage.wsgi:application", "--threads", "4", "--no-control-socket", "--log-level", "error"]
        self.page.commands["wsgi"] = [sys.executable, "-m", "gunicorn", *plain, "--bind", f"127.0.0.1:{self.wsgi_port}"]
        self.page.commands["page"] += ["--workers", "1"]  # of two, one may still be catching up when the other has
        self.page.start("page", "web", "wsgi")
        self.paths = self.published()

    def manage(self, *args: str) -> None:
        env = self.page.env | {"DJANGO_SETTINGS_MODULE": "irportal.settings"}
        done = subprocess.run([sys.executable, "manage.py", *args], cwd=ROOT, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def publish(self, text: str) -> None:
        self.manage("shell", "-v0", "--no-imports", "-c", PUBLISH.format(text=text))

    def published(self) -> dict[str, int]:
        with psycopg.connect(self.postgres.url) as database:
            return dict(database.execute("SELECT path, status FROM statuspage_document").fetchall())

    def both(self, number: int) -> None:
        self.postgres.signal(number)
        self.redis.process.send_signal(number)

    def stop(self) -> None:
        self.postgres.signal(signal.SIGKILL)
        self.redis.stop()

    def start(self) -> None:
        self.postgres.start()
        self.redis.start()

    def end(self) -> None:
        self.page.end()
        self.postgres.stop()
        self.redis.stop()


@pytest.fixture(scope="module")
def portal() -> Iterator[Outlived]:
    if not postgres_programs():
        needs.missing("PostgreSQL is not installed", needs.POSTGRES)
    folder = Path(tempfile.mkdtemp(prefix="portal-outlived-"))  # pytest closes its own to PostgreSQL's user
    made = Outlived(folder)
    try:
        yield made
    finally:
        made.end()
        shutil.rmtree(folder)


def asked(portal: Outlived) -> list[float]:
    """Ask for every document, at the page and at the WSGI application; each must be as published. Seconds of each."""
    took = []
    for port in (portal.page.port, portal.wsgi_port):
        server = portal.page
        own, server.port = server.port, port
        try:
            for path, status in portal.paths.items():
                began = time.monotonic()
                assert server.get(path)[0] == status, path
                took.append(time.monotonic() - began)
        finally:
            server.port = own
    return took


@pytest.mark.parametrize(
    ("break_", "heal"),
    [
        (Outlived.stop, Outlived.start),
        (lambda one: one.both(signal.SIGSTOP), lambda one: one.both(signal.SIGCONT)),
    ],
    ids=["stopped", "frozen"],
)
def test_every_document_outlives_what_is_behind_it(
    portal: Outlived, break_: Callable[[Outlived], None], heal: Callable[[Outlived], None]
):
    page = portal.page
    until(lambda: AGE not in page.get("/")[2], "a page that is up to date")
    break_(portal)
    try:
        assert statistics.median(asked(portal)) < 0.05
        assert page.get("/nothing")[0] >= 500  # Django itself cannot answer
        until(lambda: AGE in page.get("/")[2], "a page that says how old it is")

        page.stop("page")
        page.start("page")
        assert statistics.median(asked(portal)) < 0.05
        assert AGE in page.get("/")[2], page.said()
    finally:
        heal(portal)
    until(lambda: AGE not in page.get("/")[2], "a page that is up to date again")


def test_a_publish_is_visible_within_a_second(portal):
    before = version(portal)
    publishing = subprocess.Popen(
        [sys.executable, "manage.py", "shell", "-v0", "--no-imports", "-c", PUBLISH.format(text="A cable was cut.")],
        cwd=ROOT,
        env=portal.page.env | {"DJANGO_SETTINGS_MODULE": "irportal.settings"},
    )
    until(lambda: version(portal) > before, "the publish")
    began = time.monotonic()
    until(lambda: b"A cable was cut." in portal.page.get("/")[2], "what was published", seconds=10)
    assert time.monotonic() - began < max(1, os.getloadavg()[0] / 4)  # other tests may keep the machine busy
    assert publishing.wait(60) == 0


def version(portal: Outlived) -> int:
    with psycopg.connect(portal.postgres.url) as database:
        found = database.execute("SELECT version FROM statuspage_edition").fetchone()
        assert found
        return found[0]
