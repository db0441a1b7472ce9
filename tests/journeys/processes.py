"""The portal as a person starts it, for tests: real processes, watched from outside."""

import mailbox
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MANAGE = [sys.executable, "manage.py"]
PARTS = {"mail": "catch_mail", "worker": "celery -A irportal --quiet worker", "beat": "quiet beat"}
PARTS |= {"web": "deploy/web.conf.py", "page": "deploy/page.conf.py"}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def until(true: Callable[[], object], *, seconds: float, what: str) -> None:
    """Wait until `true()` is; fail saying what never came."""
    patience = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < patience, f"after {seconds} s still not: {what}"
        time.sleep(0.1)


def table() -> dict[int, tuple[int, str]]:
    """Every living process: its parent and its command line."""
    lines = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,ppid=,state=,command="], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    rows = [line.split(None, 3) for line in lines]
    return {int(row[0]): (int(row[1]), row[3] if len(row) > 3 else "") for row in rows if row[2][0] != "Z"}


class Portal:
    """One `make run` (or `manage.py run`) in a folder of its own."""

    def __init__(self, folder: Path, command: list[str]) -> None:
        self.folder, self.port, self.mail_port = folder, free_port(), free_port()
        ours = {"VAR_DIR": str(folder), "PORT": str(self.port), "MAIL_PORT": str(self.mail_port)}
        foreign = ("MAKE", "MFLAGS", "DATABASE_URL", "REDIS_URL", "SMTP_URL", "PORTAL_", "LOG_LEVEL")
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(foreign)} | ours
        self.output = folder / "output.txt"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=self.env, stdout=output, stderr=output, start_new_session=True
            )

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def said(self) -> str:
        return self.output.read_text()

    def wait_for_banner(self, seconds: float = 180) -> None:
        ready = "Stop with Ctrl-C"
        until(
            lambda: ready in self.said() or self.process.poll() is not None,
            seconds=seconds,
            what=f"a banner from the portal\n{self.said()}",
        )
        assert ready in self.said(), self.said()

    def sign_in(self) -> tuple[str, str]:
        """E-mail and password from the banner of a first start."""
        found = re.search(r"Sign in as (\S+) with (\S+)", self.said())
        assert found, self.said()
        return found[1], found[2]

    @property
    def email(self) -> str:
        return self.sign_in()[0]

    @property
    def password(self) -> str:
        return self.sign_in()[1]

    def mails(self) -> list[EmailMessage]:
        """What the catcher holds, newest last."""
        box = mailbox.Maildir(self.folder / "mail", create=True)
        files = sorted((self.folder / "mail" / "new").iterdir(), key=lambda file: file.stat().st_mtime_ns)
        return [message_from_bytes(box.get_bytes(file.name), policy=policy.default) for file in files]

    def wait_for_mail(self, wanted: Callable[[EmailMessage], object], *, seconds: float = 30) -> EmailMessage:
        """The newest mail that is wanted, as soon as the worker has sent it."""
        found: list[EmailMessage] = []

        def arrived() -> bool:
            found[:] = [mail for mail in self.mails() if wanted(mail)]
            return bool(found)

        until(arrived, seconds=seconds, what="that mail")
        return found[-1]

    def manage(self, *args: str) -> str:
        """What `manage.py` with these arguments prints, run beside the portal on the same data."""
        done = subprocess.run(
            [*MANAGE, *args], cwd=ROOT, env=self.env | {"LOG_LEVEL": "WARNING"}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def family(self) -> set[int]:
        """Every process the portal consists of now."""
        everybody, found = table(), {self.process.pid}
        while more := {pid for pid, (parent, _) in everybody.items() if parent in found} - found:
            found |= more
        return found

    def part(self, name: str) -> int:
        """The process id of mail, worker, beat or web itself, not of what it started."""
        everybody, family = table(), self.family()
        matching = {pid for pid in family if pid in everybody and PARTS[name] in everybody[pid][1]}
        return next(pid for pid in matching if everybody[pid][0] not in matching)

    def interrupt(self) -> int:
        """Press Ctrl-C: SIGINT to the foreground group. Returns the exit code."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(60)

    def stop_cleanly(self) -> None:
        family = self.family()
        code = self.interrupt()
        assert code in (0, 2, 130, -signal.SIGINT), f"exit code {code}\n{self.said()}"
        assert "Stopped cleanly." in self.said(), self.said()
        assert family.isdisjoint(table()), [table()[pid][1] for pid in family if pid in table()]

    def end(self) -> None:
        """Whatever state it is in, leave nothing behind."""
        family = self.family() - {self.process.pid} if self.process.poll() is None else set()
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(60)
        for pid in family & set(table()):
            os.kill(pid, signal.SIGKILL)
