"""How fast mail leaves, beside what others do on the same machine in the same run: `make bench-mail`.

Every message goes to Postfix's `smtp-sink` on 127.0.0.1, and every engine commits every delivery by itself to
PostgreSQL (DATABASE_URL; a database of its own there, dropped afterwards). Prints a table, writes bench/mail.json.

    python bench/mail.py [--messages 20000] [--rounds 3] [--million]

Rates are messages per second from the first try's start to the last acceptance; of several rounds the median.
Without `--million` the memory is compared at 10,000 and 100,000 readers instead of 1,000,000; of the larger number the
engine sends for two minutes.
"""

import argparse
import asyncio
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from pathlib import Path

import psycopg

ROOT = Path(__file__).resolve().parent.parent
BASE_URL = os.environ.get("DATABASE_URL", "postgres://postgres@127.0.0.1:5432/postgres").rpartition("/")[0]
REDIS_URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")
RELAY_PAUSE = 0.020  # seconds from a command's arrival to its answer, in the slow relay
SLOW_CONNECTIONS = 32
SENDERS = [  # how many engines with how many connections each; the last is as shipped, an engine for each core
    ("1 sender", 1, 1),
    ("2 senders", 2, 1),
    ("4 senders, 2 engines", 2, 2),
    ("16 senders, 2 engines", 2, 8),
]
MEMORY_SECONDS = 120  # of sending to the most readers: memory that grows with what waits is seen by then
PATIENCE = 1800  # seconds until a run counts as hung
results: list[dict[str, object]] = []
Rates = dict[str, list[float]]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise SystemExit(f"nothing answers on port {port}")


@contextmanager
def process(command: list[str], **given: object) -> Iterator[subprocess.Popen[bytes]]:
    started = subprocess.Popen(command, cwd=ROOT, start_new_session=True, **given)  # type: ignore[call-overload]
    try:
        yield started
    finally:
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGTERM)
        started.wait(60)


@contextmanager
def sink() -> Iterator[int]:
    """Postfix's smtp-sink, which takes everything."""
    port = free_port()
    user = ["-u", "nobody"] if os.getuid() == 0 else []
    with process(["smtp-sink", *user, f"127.0.0.1:{port}", "1000"]):
        wait_for_port(port)
        yield port


@contextmanager
def database(name: str) -> Iterator[str]:
    """A database of our own; its address."""
    with psycopg.connect(f"{BASE_URL}/postgres", autocommit=True) as server:
        server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")  # type: ignore[arg-type]
        server.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
    try:
        yield f"{BASE_URL}/{name}"
    finally:
        with psycopg.connect(f"{BASE_URL}/postgres", autocommit=True) as server:
            server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")  # type: ignore[arg-type]


# Ours


class Portal:
    """Our engine on a database of its own."""

    def __init__(self, url: str, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.env = os.environ | {"DATABASE_URL": url, "VAR_DIR": str(folder), "LOG_LEVEL": "ERROR"}
        self.db = psycopg.connect(url, autocommit=True)
        self.size = 0
        self.run("migrate", "-v0")
        self.run("createcachetable", "-v0")

    def run(self, *args: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *args], cwd=ROOT, env=self.env, capture_output=True, text=True, check=True
        )
        return done.stdout

    def readers(self, count: int) -> None:
        """Exactly `count` confirmed subscribers."""
        self.db.execute("TRUNCATE statuspage_subscriber CASCADE")
        self.db.execute(
            "INSERT INTO statuspage_subscriber "
            "(code, way, email, host, is_standing, floor, language, time_zone, confirmed_at, created_at) SELECT "
            "lpad(n::text, 12, '0'), 'smtp', 'reader' || n || '@reader.example', '', true, 'none', 'en', 'UTC', "
            "now(), now() FROM generate_series(1, %s) n",
            [count],
        )

    def announce(self) -> tuple[int, float, int]:
        """One update to all of them, fanned out: its id, seconds of the fan-out, growth of memory in MiB."""
        code = (
            "import resource, time; from django.template.loader import render_to_string; "
            "from irportal.outbox import actions, fan_out; "
            "thread = f'INC-{time.time_ns()}'; facts = {'components': None, 'incident': thread, 'impact': 'critical'}; "
            "made = actions.announce(f'bench:{thread}', topic='update', thread=thread, audience='customers', "
            "facts=facts, subject='[INC-42] Investigating: Searches are slow', "
            "text=TEXT, html=HTML); before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; "
            "start = time.perf_counter(); fan_out.fan_out(made.pk); took = time.perf_counter() - start; "
            "grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024; print(made.pk, took, grown)"
        )
        said = self.run("shell", "-v0", "--no-imports", "-c", f"TEXT = {text()!r}\nHTML = {html()!r}\n{code}").split()
        self.db.execute("ANALYZE outbox_delivery")
        return int(said[0]), float(said[1]), int(said[2])

    def drain(
        self, announcement: int, *, engines: int, connections: int, port: int, seconds: float = PATIENCE
    ) -> tuple[float, int]:
        """Let so many engine processes send it all, or for so long.

        The rate, and the highest resident memory of one of them in kB.
        """
        env = self.env | {"SMTP_URL": f"smtp://127.0.0.1:{port}", "MAIL_CONNECTIONS": str(connections)}
        running, peak = [], 0
        try:
            for _ in range(engines):
                running.append(
                    subprocess.Popen([sys.executable, "manage.py", "engine"], cwd=ROOT, env=env, start_new_session=True)
                )
            start = time.monotonic()
            while self.waiting(announcement) and time.monotonic() < start + seconds:
                peak = max(peak, *(peak_memory(one.pid) for one in running))
                if time.monotonic() > start + PATIENCE or any(one.poll() is not None for one in running):
                    raise SystemExit("the engine hung or ended")
                time.sleep(0.2)
            peak = max(peak, *(peak_memory(one.pid) for one in running))
        finally:
            for one in running:
                with suppress(ProcessLookupError):
                    os.killpg(one.pid, signal.SIGTERM)
                one.wait(60)
        return self.rate(announcement), peak

    def waiting(self, announcement: int) -> bool:
        found = self.db.execute(
            "SELECT EXISTS (SELECT 1 FROM outbox_delivery WHERE announcement_id = %s AND state = 'pending')",
            [announcement],
        ).fetchone()
        return bool(found and found[0])

    def rate(self, announcement: int) -> float:
        found = self.db.execute(
            "SELECT count(*), extract(epoch FROM max(t.finished_at) - min(t.started_at)) FROM outbox_attempt t "
            "JOIN outbox_delivery d ON d.id = t.delivery_id WHERE d.announcement_id = %s AND t.outcome = 'ok'",
            [announcement],
        ).fetchone()
        assert found
        return float(found[0]) / float(found[1])


def peak_memory(pid: int) -> int:
    """VmHWM of a process in kB; 0 when it is gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1])
    return 0


def text() -> str:
    return "Searches are slow since 14:05 UTC. We are looking at it.\n\n" * 12 + "{why}\n{unsubscribe_url}\n"


def html() -> str:
    body = "<p>Searches are slow since 14:05 UTC. We are looking at it.</p>\n" * 40
    return (
        f"<!doctype html>\n<html lang='en'><body>\n{body}<p>{{why}} <a href='{{unsubscribe_url}}'>Stop</a></p></body>"
    )


# The others


def smtp_source(port: int, count: int, size: int) -> float:
    """Postfix's own generator with four sessions, messages of our size."""
    start = time.perf_counter()
    command = f"smtp-source -s 4 -m {count} -l {size} -f a@bench.example -t b@reader.example 127.0.0.1:{port}"
    subprocess.run(command.split(), check=True, timeout=PATIENCE)
    return count / (time.perf_counter() - start)


def plain_django(port: int, count: int) -> float:
    """A loop that builds each mail with Django and sends it over one connection; nothing is remembered."""
    code = (
        "from django.conf import settings; settings.configure(); from django.core.mail import EmailMultiAlternatives; "
        "from django.core.mail.backends.smtp import EmailBackend\n"
        f"TEXT, HTML = {text()!r}, {html()!r}\n"
        f"import time; start = time.perf_counter()\n"
        f"with EmailBackend(host='127.0.0.1', port={port}) as line:\n"
        f"  for n in range({count}):\n"
        "    to = [f'reader{n}@reader.example']\n"
        "    mail = EmailMultiAlternatives('Searches are slow', TEXT, 'a@bench.example', to)\n"
        "    mail.attach_alternative(HTML, 'text/html'); line.send_messages([mail])\n"
        "print(time.perf_counter() - start)"
    )
    said = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return count / float(said.stdout)


def post_office(port: int, count: int, url: str) -> float:
    """django-post_office with its Celery task, as its own documents say, on the same PostgreSQL."""
    env = os.environ | {
        "BENCH_DATABASE_URL": url,
        "BENCH_REDIS_URL": REDIS_URL,
        "BENCH_SMTP_PORT": str(port),
        "DJANGO_SETTINGS_MODULE": "bench.post_office_site.settings",
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "ignore",
    }
    fill = (
        "import django; django.setup(); from post_office import mail; "
        f"TEXT, HTML = {text()!r}, {html()!r}\n"
        "mail.send_many([{'sender': 'a@bench.example', 'recipients': [f'reader{n}@reader.example'], "
        f"'subject': 'Searches are slow', 'message': TEXT, 'html_message': HTML}} for n in range({count})])"
    )
    subprocess.run([sys.executable, "-m", "django", "migrate", "-v0"], cwd=ROOT, env=env, check=True)
    celery = [sys.executable, "-m", "celery", "-A", "bench.post_office_site", "worker", "--concurrency", "2"]
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("TRUNCATE post_office_email CASCADE")
        subprocess.run([sys.executable, "-c", fill], cwd=ROOT, env=env | {"BENCH_NO_CELERY": "1"}, check=True)
        with process(celery, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as worker:
            time.sleep(4)
            if worker.poll() is not None:
                raise SystemExit("the worker of django-post_office ended")
            start = time.perf_counter()
            ring = "import django; django.setup(); from post_office import tasks; tasks.send_queued_mail.delay()"
            subprocess.run([sys.executable, "-c", ring], cwd=ROOT, env=env, check=True)
            started = time.perf_counter()
            until(lambda: not db.execute("SELECT 1 FROM post_office_email WHERE status <> 0 LIMIT 1").fetchone())
            return count / (time.perf_counter() - (start + started) / 2)


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > end:
            raise SystemExit("a run hung")
        time.sleep(0.1)


# The slow relay


def slow_relay(port: int) -> None:
    """A relay in this process whose every answer leaves RELAY_PAUSE after its command came, as over a long line."""

    class Session(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport, self.buffer, self.in_data = transport, b"", False
            self.say(b"220 slow ESMTP")

        def say(self, answer: bytes) -> None:
            asyncio.get_running_loop().call_later(RELAY_PAUSE, self.write, answer + b"\r\n")

        def write(self, data: bytes) -> None:
            if not self.transport.is_closing():
                self.transport.write(data)  # type: ignore[attr-defined]

        def data_received(self, data: bytes) -> None:
            self.buffer += data
            while True:
                end = b"\r\n.\r\n" if self.in_data else b"\r\n"
                taken, found, rest = self.buffer.partition(end)
                if not found:
                    return
                self.buffer = rest
                if self.in_data:
                    self.in_data = False
                    self.say(b"250 2.0.0 taken")
                else:
                    self.command(taken.upper())

        def command(self, line: bytes) -> None:
            if line.startswith(b"EHLO"):
                self.say(b"250-slow\r\n250 PIPELINING")
            elif line == b"DATA":
                self.in_data = True
                self.say(b"354 go on")
            elif line == b"QUIT":
                self.say(b"221 bye")
            else:
                self.say(b"250 ok")

    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(Session, "127.0.0.1", port, backlog=256)
        await server.serve_forever()

    asyncio.run(serve())


# The run


def say(name: str, value: float, unit: str) -> None:
    results.append({"name": name, "value": round(value, 2), "unit": unit})
    print(f"{name:<58}{value:>12,.1f} {unit}", flush=True)


def medians(rates: Rates) -> dict[str, float]:
    for name, found in rates.items():
        say(name, statistics.median(found), "messages/s")
    return {name: statistics.median(found) for name, found in rates.items()}


def throughput(portal: Portal, port: int, office_url: str, messages: int, rounds: int) -> dict[str, float]:
    """Rounds interleaved, so that a noisy minute hits everybody."""
    rates: Rates = {}
    size = wire_size()
    for _ in range(rounds):
        for name, engines, connections in SENDERS:
            made, _, _ = portal.announce()
            rate, _ = portal.drain(made, engines=engines, connections=connections, port=port)
            rates.setdefault(f"our engine, {name}", []).append(rate)
        rates.setdefault("smtp-source -s 4", []).append(smtp_source(port, messages, size))
        rates.setdefault("Django, one connection, nothing kept", []).append(plain_django(port, messages // 5))
        rates.setdefault("django-post_office with Celery", []).append(post_office(port, messages // 5, office_url))
    return medians(rates)


def wire_size() -> int:
    """About the bytes of one of our mails."""
    mail = EmailMessage()
    mail.set_content(text())
    mail.add_alternative(html(), subtype="html")
    return len(mail.as_bytes()) + 700


def memory(portal: Portal, port: int, large: int) -> float:
    peaks = {}
    for count in (10_000, large):
        portal.readers(count)
        made, seconds, grown = portal.announce()
        if count == large:
            say(f"fan-out to {count:,} readers", seconds, "s")
            say("memory grown by that fan-out", grown, "MiB")
        rate, peak = portal.drain(made, engines=1, connections=8, port=port, seconds=MEMORY_SECONDS)
        say(f"our engine, 8 senders, {count:,} readers", rate, "messages/s")
        say(f"peak memory of the engine, {count:,} readers", peak / 1024, "MiB")
        peaks[count] = peak
    return peaks[large] / peaks[10_000]


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure how fast mail leaves.")
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--million", action="store_true")
    parser.add_argument("--slow-relay", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.slow_relay:
        slow_relay(given.slow_relay)
        return
    large = 1_000_000 if given.million else 100_000
    with database("bench_mail") as url, database("bench_post_office") as office, sink() as port:
        portal = Portal(url, ROOT / "var" / "bench")
        portal.readers(given.messages)
        found = throughput(portal, port, office, given.messages, given.rounds)
        slow = slow_rate(portal)
        flat = memory(portal, port, large)
        portal.db.close()
    best = max(rate for name, rate in found.items() if name.startswith("our engine"))
    ratios = {
        "engine_vs_smtp_source": best / found["smtp-source -s 4"],
        "engine_vs_plain_django": best / found["Django, one connection, nothing kept"],
        "engine_vs_post_office": best / found["django-post_office with Celery"],
        "slow_relay_per_second": slow,
        f"peak_memory_{'1m' if given.million else '100k'}_vs_10k": flat,
    }
    for name, value in ratios.items():
        print(f"{name:<58}{value:>12,.2f}")
    written = {"results": results, "ratios": {name: round(value, 3) for name, value in ratios.items()}}
    (ROOT / "bench" / "mail.json").write_text(json.dumps(written, indent=2) + "\n")


def slow_rate(portal: Portal) -> float:
    """Our engine with 32 connections to a relay that answers each command after 20 ms."""
    port = free_port()
    portal.readers(10_000)
    with process([sys.executable, "bench/mail.py", "--slow-relay", str(port)]):
        wait_for_port(port)
        made, _, _ = portal.announce()
        rate, _ = portal.drain(made, engines=1, connections=SLOW_CONNECTIONS, port=port)
    say(f"our engine, {SLOW_CONNECTIONS} connections, relay answers after 20 ms", rate, "messages/s")
    return rate


if __name__ == "__main__":
    main()
