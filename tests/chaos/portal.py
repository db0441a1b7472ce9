"""The portal as production runs it: web, two engines, a worker and beat, each to be killed and started again."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.chaos.servers import until
from tests.relay import free_port

ROOT = Path(__file__).resolve().parents[2]
HANDS = ("web", "engine", "second engine", "worker", "beat")
LEASE = 4  # seconds; a sender that died is followed by another that soon
SETUP = """
import io
from django.core.management import call_command
for command in ("migrate", "createcachetable"):
    call_command(command, verbosity=0)
call_command("load_policy", stdout=io.StringIO())
from django.conf import settings
from django.contrib.auth.models import Group
from django.contrib.sessions.backends.db import SessionStore
from django.utils import timezone
from incidents import workflow
from incidents.lifecycle.actions import Declaration
from incidents.lifecycle.models import Incident
from incidents.policy.models import IncidentType
from irportal.accounts import actions as accounts
from irportal.accounts.models import User
from statuspage.models import Component, ComponentGroup, Subscriber
accounts.sync_roles()
root = User.objects.create_user("root@example.com", name="Root")
root.groups.set(Group.objects.filter(name="admin"))
now = timezone.now()
group = ComponentGroup.objects.create(name="Platform", position=0)
api = Component.objects.create(name="API", group=group, position=0)
Subscriber.objects.bulk_create(
    Subscriber(email=f"reader{n}@reader.example", confirmed_at=now) for n in range(READERS))
made = workflow.declare(Declaration(title="Searches are slow", type=IncidentType.objects.get(code="T01"), rank=1,
    components=[(api, Component.State.MAJOR_OUTAGE)], started_at=now, detected_at=now,
    source=Incident.Source.MONITORING, impact="Searches fail.", commander=root), by=root)
session = SessionStore()
session.update({"_auth_user_id": str(root.pk), "_auth_user_backend": settings.AUTHENTICATION_BACKENDS[0],
    "_auth_user_hash": root.get_session_auth_hash()})
session.create()
print(made.ref, session.session_key, api.pk, root.pk)
"""
DUMP = """
import json
from irportal.outbox.models import Announcement, Attempt, Delivery
print(json.dumps({
    "announcements": list(Announcement.objects.order_by("pk").values("id", "text", "audience", "fanned_out_at")),
    "deliveries": list(Delivery.objects.order_by("pk").values(
        "id", "announcement_id", "key", "lane", "state", "last_error", "reader", "address")),
    "ok": list(Attempt.objects.filter(outcome="ok").values_list("delivery_id", flat=True)),
}, default=str))
"""


CLERK = """
import contextlib, io, json, sys
import django
django.setup()
from django.db import connection
for line in sys.stdin:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(json.loads(line), {})
    connection.close()
    print(json.dumps(said.getvalue()), flush=True)
"""


class Portal:
    """`hands` are the processes by name, ours alone; `more` is what their environment says besides."""

    def __init__(
        self,
        folder: Path,
        *,
        database_url: str,
        redis_url: str,
        smtp_url: str,
        readers: int,
        hands: tuple[str, ...] = HANDS,
        **more: str,
    ) -> None:
        self.folder, self.port = folder, free_port()
        # Bytecode is kept, as production does: everything here is started again and again.
        foreign = ("DJANGO_", "PORTAL_", "PYTHONDONTWRITEBYTECODE")
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(foreign)} | {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "SMTP_URL": smtp_url,
            "VAR_DIR": str(folder / "var"),
            "LOG_LEVEL": "WARNING",
            "MAIL_LEASE_SECONDS": str(LEASE),
            "PYTHONWARNINGS": "ignore:You're running the worker with superuser",
        }
        self.env |= more
        (folder / "var").mkdir()
        self.log = (folder / "output.txt").open("ab")
        self.clerk = self._clerk()
        self.ref, self.session, self.api, self.root = self.shell(f"READERS = {readers}\n{SETUP}").split()[-4:]
        celery = [sys.executable, "-m", "celery", "-A", "irportal", "-q"]
        manage = [sys.executable, "manage.py"]
        gunicorn = "gunicorn irportal.wsgi:application --threads 2 --no-control-socket --log-level error --bind"
        self.commands = {
            "web": [sys.executable, "-m", *gunicorn.split(), f"127.0.0.1:{self.port}"],
            "engine": [*manage, "engine"],
            "second engine": [*manage, "engine"],
            "worker": [*celery, "worker", "--concurrency", "1", "--without-gossip", "--without-mingle"],
            "beat": [*celery, "beat", "--pidfile", ""],
        }
        self.hands: dict[str, subprocess.Popen[bytes]] = {}
        for name in hands:
            self.start(name)
        if "web" in hands:
            self.wait_for_web()

    def start(self, name: str) -> None:
        self.hands[name] = self._start(name)

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.commands[name], cwd=ROOT, env=self.env, stdout=self.log, stderr=self.log, start_new_session=True
        )

    def _clerk(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", CLERK],
            cwd=ROOT,
            env=self.env | {"DJANGO_SETTINGS_MODULE": "irportal.settings"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            start_new_session=True,
        )

    def shell(self, code: str) -> str:
        """What `code` prints, run beside the portal on the same data by a process that no fault touches."""
        assert self.clerk.stdin
        assert self.clerk.stdout
        self.clerk.stdin.write(json.dumps(code) + "\n")
        self.clerk.stdin.flush()
        said = self.clerk.stdout.readline()
        assert said, (self.folder / "output.txt").read_text()[-3000:]
        return json.loads(said)

    def shell_json(self, code: str) -> Any:
        """What `code` prints last, read as JSON."""
        return json.loads(self.shell(code).strip().splitlines()[-1])

    def dump(self) -> dict[str, list]:
        return self.shell_json(DUMP)

    def kill(self, name: str) -> None:
        """End it and start it again."""
        self.end(name)
        self.start(name)

    def end(self, name: str) -> None:
        """With -9, the whole group."""
        hand = self.hands.pop(name)
        with suppress(ProcessLookupError):
            os.killpg(hand.pid, signal.SIGKILL)
        hand.wait()

    def freeze(self, name: str, seconds: float) -> None:
        """It stands still for so long while everything else goes on; killed meanwhile, it stays dead."""
        group = self.hands[name].pid
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGSTOP)
        thaw = threading.Timer(seconds, self._thaw, [name, group])
        thaw.daemon = True
        thaw.start()

    def _thaw(self, name: str, group: int) -> None:
        if name in self.hands and self.hands[name].pid == group:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGCONT)

    def revive(self) -> None:
        """Start again whatever ended by itself."""
        for name, hand in list(self.hands.items()):
            if hand.poll() is not None:
                self.start(name)

    def stop(self) -> None:
        for name in list(self.hands):
            self.end(name)
        self.clerk.kill()
        self.clerk.communicate()
        self.log.close()

    def wait_for_web(self) -> None:
        until(lambda: self.get("/healthz")[0], seconds=90, what="an answer from the web process")

    def get(self, path: str) -> tuple[int, str, str]:
        return self._ask("GET", path)

    def _ask(self, method: str, path: str, body: str = "", cookie: str = "") -> tuple[int, str, str]:
        """Status, body (of a redirect where it leads) and the CSRF cookie; status 0 when there was no answer."""
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)
        headers = {"Cookie": f"sessionid={self.session}{cookie}"}
        if body:
            headers |= {"Content-Type": "application/x-www-form-urlencoded"}
        try:
            line.request(method, path, body or None, headers)
            answer = line.getresponse()
            said = answer.read().decode("utf-8", "replace")
            found = re.search(r"csrftoken=([^;]+)", answer.headers.get("Set-Cookie", ""))
            return answer.status, answer.headers.get("Location", said), found[1] if found else ""
        except (OSError, http.client.HTTPException):
            return 0, "", ""
        finally:
            line.close()

    def say(self, text: str) -> bool:
        """Look at one update as it would leave, then send it, at `posted_at`. True: the portal said that it left."""
        start = f"/portal/incidents/{self.ref}/update"
        status, page, csrf = self.get(start)
        for step in ("preview", "send"):
            if status != 200:
                return False
            fields = {name: unescape(value) for name, value in INPUT.findall(page)}
            fields |= {"status": "investigating", "customer_text": text}
            fields |= {"without": "on", "unapproved": "Nobody else is awake."}
            self.posted_at = time.monotonic()
            status, page, _ = self._ask("POST", f"{start}/{step}", urlencode(fields), f"; csrftoken={csrf}")
        return status == 302

    def declaring(self) -> Callable[[str], str]:
        """Open the form to declare; what is returned sends it with a title and gives the new incident's reference,
        empty when the portal did not take it."""
        _, page, csrf = self.get("/portal/incidents/declare")
        now = f"{datetime.now(UTC):%Y-%m-%d %H:%M}"
        facts = {name: unescape(value) for name, value in INPUT.findall(page)} | {
            "type": "T01",
            "severity": "1",
            f"component_{self.api}": "major_outage",
            "impact": "Every request fails.",
            "started_at": now,
            "detected_at": now,
            "source": "monitoring",
            "commander": self.root,
            "personal_data": "no",
            "ai_involved": "unknown",
        }

        def send(title: str) -> str:
            body = urlencode(facts | {"title": title})
            status, leads, _ = self._ask("POST", "/portal/incidents/declare", body, f"; csrftoken={csrf}")
            found = re.search(r"/incidents/(INC-\d+)", leads) if status == 302 else None
            return found[1] if found else ""

        return send


INPUT = re.compile(r'<input(?=[^>]*type="(?:hidden|text|datetime-local)")[^>]*name="(\w+)"[^>]*value="([^"]*)"')
