"""One parent starts everything, stops everything, and never dies in silence."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.journeys.processes import MANAGE, PARTS, Portal, table, until

pytestmark = pytest.mark.processes
RUN = [*MANAGE, "run"]


class First(NamedTuple):
    """What a first start left behind after Ctrl-C."""

    folder: Path
    sign_in: tuple[str, str]
    processes: set[int]
    exit_code: int
    said: str


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> First:
    portal = Portal(tmp_path_factory.mktemp("first"), RUN)
    try:
        portal.wait_for_banner()
        processes = portal.family()
        exit_code = portal.interrupt()
        return First(portal.folder, portal.sign_in(), processes, exit_code, portal.said())
    finally:
        portal.end()


@pytest.fixture
def again(first: First) -> Iterator[Portal]:
    """The same data, started once more; a torn file lies in the broker's folder."""
    (first.folder / "broker" / "queue" / "1_torn.celery.msg").touch()
    portal = Portal(first.folder, RUN)
    try:
        portal.wait_for_banner()
        yield portal
    finally:
        portal.end()


def test_ctrl_c_is_a_clean_end_that_leaves_nothing_running(first):
    assert first.exit_code == 0
    assert first.said.endswith("Stopped cleanly.\n")
    assert first.processes.isdisjoint(table())


def test_a_first_start_gives_a_sign_in_with_a_password_of_its_own(first):
    email, password = first.sign_in
    assert "@" in email
    assert len(password) >= 12


def test_a_second_start_keeps_the_data_and_says_how_to_get_a_new_sign_in(again):
    assert "Your data were kept" in again.said()
    assert "Sign in as" not in again.said()
    assert "manage.py staff" in again.said()


def test_a_torn_file_left_in_the_broker_stops_nobody(again):
    until(lambda: is_healthy(again), seconds=60, what="a healthy engine")
    assert again.process.poll() is None


@pytest.mark.parametrize("name", PARTS)
def test_a_part_that_is_killed_takes_the_portal_down_by_name(again, name):
    family = again.family()
    os.kill(again.part(name), signal.SIGKILL)
    assert again.process.wait(60) == 1
    assert f"The part “{name}” was killed by SIGKILL" in again.said()
    assert family.isdisjoint(table())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_a_killed_parent_leaves_nobody_behind(again):
    family = again.family()
    os.kill(again.process.pid, signal.SIGKILL)
    until(lambda: family.isdisjoint(table()), seconds=30, what="the end of every part")


def test_a_taken_port_is_said_before_anything_starts(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        port = somebody.getsockname()[1]
        done = start(tmp_path / "var", PORT=str(port))
    assert done.returncode == 1
    assert f"Port {port} is taken. Stop what uses it, or choose another: PORT=8001 make run" in done.stderr
    assert not list(tmp_path.glob("var/*.sqlite3"))


def test_two_runs_never_share_a_folder(tmp_path):
    with (tmp_path / "run.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = start(tmp_path)
    assert done.returncode == 1
    assert f"Another run uses {tmp_path}" in done.stderr


def start(folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run `manage.py run` to its end."""
    env = os.environ | {"VAR_DIR": str(folder), "PORT": "0", "LOG_LEVEL": "WARNING"} | env
    return subprocess.run(RUN, env=env, capture_output=True, text=True, timeout=60)


def is_healthy(portal: Portal) -> bool:
    try:
        with urllib.request.urlopen(f"{portal.base_url}/healthz") as answer:
            return answer.status == 200
    except urllib.error.HTTPError as error:
        error.close()
        return False
