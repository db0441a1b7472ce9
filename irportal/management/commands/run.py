"""Everything on one machine under one parent: mail catcher, worker, clock, web and page.

Each part runs in a session of its own: Ctrl-C reaches only the parent, which decides the order. The parent
asks the parts whether they live instead of reading their output: a worker killed with -9 leaves children that
hold its output open for ever.
"""

import ctypes
import fcntl
import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from contextlib import suppress
from types import FrameType
from typing import Any, TextIO

import environ
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from irportal.accounts import actions as accounts
from irportal.accounts.models import User

KILL_WAIT = 10  # seconds a part has to end by itself (a worker takes 5); what it had in hand falls due again
PR_SET_PDEATHSIG = 1  # of Linux's prctl(2)
PAGE_WAIT = 60  # seconds until the first page must have answered
BANNER = """
  Status page   http://127.0.0.1:{port}/
  Portal        http://127.0.0.1:{port}/portal/

{sign_in}

  Mails land in {mail}; nothing leaves this machine.
  Stop with Ctrl-C. The data stay in {var}.
"""
KEPT = """  Your data were kept. A new sign-in, if you need one:
  .venv/bin/python manage.py staff you@example.com --role admin"""


class Part:
    """One child process and whatever it starts itself."""

    def __init__(self, name: str, *command: str, env: dict[str, str]) -> None:
        self.name = name
        self.process = subprocess.Popen(  # noqa: S603  (our own commands)
            [sys.executable, *command],
            cwd=settings.BASE_DIR,
            env=env,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=end_with_parent,
        )

    def death(self) -> str:
        """How it ended, as the rest of a sentence; empty while it lives."""
        code = self.process.poll()
        if code is None:
            return ""
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"

    def stop(self) -> None:
        """Ask it to end, wait KILL_WAIT, then end it and everything it started."""
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(KILL_WAIT)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Command(BaseCommand):
    help = "Run the whole portal on this machine, with demo data on the first start. Not for production."
    stopping = False
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.PRODUCTION:
            raise CommandError("run is for one machine and demo data; docs/operations.md says how production runs.")
        port, mail_port = environ.Env().int("PORT", 8000), environ.Env().int("MAIL_PORT", 1025)
        if taken(port):
            raise CommandError(f"Port {port} is taken. Stop what uses it, or choose another: PORT=8001 make run")
        with only_one():
            self.stdout.write("Preparing the database…")
            sign_in = self.prepare()
            empty_broker()
            self.run_parts(port, free_port() if taken(mail_port) else mail_port, sign_in)

    def prepare(self) -> str:
        """Bring database and policy up to date; make the demo on the first start and return its sign-in."""
        call_command("migrate", verbosity=0, interactive=False)
        call_command("createcachetable", verbosity=0)
        accounts.sync_roles()
        call_command("load_policy", stdout=io.StringIO())
        if User.objects.exists():
            call_command("publish", stdout=io.StringIO())
            return ""
        said = io.StringIO()
        call_command("demo", stdout=said, no_color=True)
        call_command("publish", stdout=io.StringIO())
        return textwrap.indent(said.getvalue().strip(), "  ")

    def run_parts(self, port: int, mail_port: int, sign_in: str) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self.stop)
        parts: list[Part] = []
        try:
            for name, command in commands(port, mail_port).items():
                parts.append(Part(name, *command, env=environment(port, mail_port)))
            self.wait_for_page(parts, port)
            self.say(port, sign_in)
            self.watch(parts)
        finally:
            for part in reversed(parts):  # the mail catcher last, so that a message in flight still gets its answer
                part.stop()
        self.stdout.write("Stopped cleanly.")

    def stop(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True

    def wait_for_page(self, parts: list[Part], port: int) -> None:
        """Until page and portal answer or somebody asks to stop. Raises CommandError after PAGE_WAIT."""
        patience = time.monotonic() + PAGE_WAIT
        addresses = [f"http://127.0.0.1:{port}{path}" for path in ("/", "/accounts/login/")]
        while not self.stopping and not all(answers(address) for address in addresses):
            if time.monotonic() > patience:
                raise CommandError(f"The page did not answer within {PAGE_WAIT} s; everything was stopped.")
            check_alive(parts)
            time.sleep(0.2)

    def watch(self, parts: list[Part]) -> None:
        """Until somebody asks to stop. Raises CommandError naming the part that died."""
        while not self.stopping:
            check_alive(parts)
            time.sleep(0.2)

    def say(self, port: int, sign_in: str) -> None:
        if self.stopping:
            return
        mail = settings.VAR_DIR / "mail"
        self.stdout.write(BANNER.format(port=port, sign_in=sign_in or KEPT, mail=mail, var=settings.VAR_DIR))
        self.stdout.flush()


def commands(port: int, mail_port: int) -> dict[str, list[str]]:
    """The parts in the order they start. The clock is a part of its own so that its death is seen."""
    celery = ["-m", "celery", "-A", "irportal"]
    gunicorn = ["-m", "gunicorn", "--log-level", "warning", "--workers", "1", "-c"]
    return {
        "mail": [
            "manage.py",
            "catch_mail",
            "--port",
            str(mail_port),
            "--maildir",
            str(settings.VAR_DIR / "mail"),
        ],
        "worker": [
            *celery,
            "--quiet",
            "worker",
            "--concurrency",
            "2",
            "--without-gossip",
            "--without-mingle",
        ],
        "beat": [*celery, "--quiet", "beat", "--pidfile", ""],
        "web": [*gunicorn, "deploy/web.conf.py"],
        "page": [*gunicorn, "deploy/page.conf.py", "--bind", f"127.0.0.1:{port}"],
    }


def environment(port: int, mail_port: int) -> dict[str, str]:
    """What the parts agree on. SMTP_URL always names the catcher: demo mail must never leave the machine."""
    return {
        "LOG_LEVEL": "WARNING",
        **os.environ,
        "PORT": str(port),
        "SMTP_URL": f"smtp://127.0.0.1:{mail_port}",
        "VAR_DIR": str(settings.VAR_DIR),
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "ignore:You're running the worker with superuser",
    }


def end_with_parent() -> None:
    """Have the kernel end this part when the parent dies without a word, so that nothing goes on unseen.

    Linux only; elsewhere parts that were left behind hold the port, and the next run says so.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def check_alive(parts: list[Part]) -> None:
    """Raises CommandError naming the part that died."""
    for part in parts:
        if how := part.death():
            raise CommandError(f"The part “{part.name}” {how}; everything was stopped.")


def only_one() -> TextIO:
    """Hold VAR_DIR for this run. Raises CommandError when another run has it."""
    settings.VAR_DIR.mkdir(parents=True, exist_ok=True)
    lock = open(settings.VAR_DIR / "run.lock", "w")  # noqa: SIM115  (closed by the caller's with)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise CommandError(f"Another run uses {settings.VAR_DIR}; stop it, or set VAR_DIR to another folder.") from None
    return lock


def empty_broker() -> None:
    """Fresh folders for the file broker: nothing in them matters, and one torn file stops every worker."""
    if broker := getattr(settings, "BROKER_DIR", None):
        shutil.rmtree(broker, ignore_errors=True)
        for folder in ("queue", "control", "processed"):
            (broker / folder).mkdir(parents=True)


def taken(port: int) -> bool:
    """Whether somebody listens on the port of this machine, or we may not."""
    with socket.socket() as caller, socket.socket() as listener:
        if caller.connect_ex(("127.0.0.1", port)) == 0:
            return True
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return True
        return False


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def answers(url: str) -> bool:
    """Whether the server says anything that is not its own failure."""
    try:
        with urllib.request.urlopen(url, timeout=2):  # noqa: S310  (our own page)
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return error.code < 500
    except OSError:
        return False
