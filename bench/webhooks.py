"""What endpoints that hang, drip or never end cost everybody else (reliability, W-T4): `make bench-webhooks`.

One `manage.py engine` and real sockets of 127.0.0.0/8. Rounds with and without such endpoints take turns, so that a
noisy machine is noisy to both; in the bad ones every update meets them as if for the first time. A latency is from the
commit of an update to the arrival of its post, or to the relay's answer to its mail. Prints a table, writes
bench/webhooks-DATABASE.json, and ends with 1 when a p99 is more than 10 % worse.

    python bench/webhooks.py --database postgres [--rounds 6] [--updates 40]
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from mail import ROOT, database, free_port, process, sink

HEALTHY, EVERY = 10, 0.35  # endpoints that answer; seconds between two updates, on average
BAD = {"/silent": 101, "/drip": 102, "/huge": 103, "/silent2": 104}  # by path, on hosts of their own
BOUND = 1.10
HANGS = 20  # seconds, more than anybody waits


class Far(BaseHTTPRequestHandler):
    """Far ends that answer at once, and four that do not."""

    arrived: dict[tuple[str, str], float] = {}  # by thread of the update and path
    bad = 0

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.arrived.setdefault((body["thread"], self.path), time.time())
        if self.path in BAD:
            Far.bad += 1
            return self.misbehave()
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def misbehave(self) -> None:
        until = time.monotonic() + HANGS
        if self.path == "/huge":
            self.send_response(200)
            self.end_headers()
        while time.monotonic() < until:
            if self.path == "/huge":
                self.wfile.write(b"x" * 65536)
            elif self.path == "/drip":
                self.wfile.write(b"H")
            time.sleep(0.5 if self.path != "/huge" else 0)

    def log_message(self, *said: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A sender that hangs up is what this is about."""


@contextmanager
def far_ends(port: int) -> Iterator[None]:
    servers = [Server((f"127.0.0.{n}", port), Far) for n in (*range(2, 2 + HEALTHY), *BAD.values())]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


def endpoints(port: int) -> None:
    from django.utils import timezone

    from irportal.outbox.models import Endpoint

    places = {f"/ok{n}": 2 + n for n in range(HEALTHY)} | BAD
    for path, host in places.items():
        Endpoint.objects.create(url=f"http://127.0.0.{host}:{port}{path}", verified_at=timezone.now())


def one_round(number: int, updates: int, *, bad: bool) -> dict[str, list[float]]:
    """Seconds of every post to a healthy endpoint and of every mail."""
    from irportal.outbox import actions
    from irportal.outbox.models import Delivery, Endpoint

    hosts = [f"127.0.0.{host}" for host in BAD.values()]
    mine = Endpoint.objects.filter(url__regex="/(silent|drip|huge)")
    mine.update(is_active=bad)
    committed = {}
    for n in range(updates):
        mine.update(failing_since=None)
        Delivery.objects.filter(address__in=hosts, lease_until=None, state="pending").update(state="suppressed")
        thread = f"INC-{number}-{n}"
        actions.announce(
            thread,
            topic="update",
            thread=thread,
            audience="addresses",
            facts={"addresses": [f"ann{n}@reader.example"]},
            subject=thread,
            text="Searches are slow.",
            html="",
            payload=json.dumps({"thread": thread}),
        )
        committed[thread] = time.time()
        time.sleep(random.uniform(0, 2 * EVERY))
    told = Delivery.objects.filter(announcement__thread__in=committed).exclude(address__in=hosts)
    end = time.monotonic() + 60
    while told.filter(state="sent").count() < updates * (HEALTHY + 1) and time.monotonic() < end:
        time.sleep(0.2)
    mails = told.filter(channel="smtp").values_list("announcement__thread", "accepted_at")
    posts = [(thread, path) for thread in committed for path in (f"/ok{n}" for n in range(HEALTHY))]
    return {
        "posts": [Far.arrived[post] - committed[post[0]] for post in posts],
        "mails": [at.timestamp() - committed[thread] for thread, at in mails],
    }


def percentile(found: list[float], share: float) -> float:
    return sorted(found)[min(len(found) - 1, int(len(found) * share))]


def report(kept: dict[str, dict[str, list[float]]], name: str) -> bool:
    print(f"\n{name}: seconds from commit to arrival\n{'':8}{'':10}{'n':>7}{'p50':>9}{'p99':>9}{'worst':>9}")
    facts: dict[str, object] = {"database": name, "met_bad": Far.bad}
    good = True
    for what in ("posts", "mails"):
        p99 = {}
        for kind, rounds in kept.items():
            found = rounds[what]
            p99[kind] = percentile(found, 0.99)
            row = (statistics.median(found), p99[kind], max(found))
            facts[f"{what}_{kind}"] = {"n": len(found), "p50": row[0], "p99": row[1], "worst": row[2]}
            print(f"{what:8}{kind:10}{len(found):7}" + "".join(f"{value:9.3f}" for value in row))
        ratio = p99["with bad"] / p99["without"]
        facts[f"{what}_ratio"] = ratio
        good &= ratio <= BOUND
        print(f"{what:8}p99 {ratio:.3f} of what it is without; at most {BOUND} is good")
    print(f"{Far.bad} posts met an endpoint that hung, dripped or never ended")
    (ROOT / "bench" / f"webhooks-{name}.json").write_text(json.dumps(facts, indent=1) + "\n")
    return good and Far.bad > 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--rounds", type=int, default=6, help="of each kind")
    parser.add_argument("--updates", type=int, default=40, help="in a round")
    asked = parser.parse_args()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True))
        named = f"bench_webhooks_{os.getpid()}"
        url = f"sqlite:///{folder}/db" if asked.database == "sqlite" else stack.enter_context(database(named))
        port = free_port()
        os.environ |= {
            "DATABASE_URL": url,
            "VAR_DIR": folder,
            "LOG_LEVEL": "CRITICAL",
            "DJANGO_SETTINGS_MODULE": "irportal.settings",
            "WEBHOOK_ALLOW_CIDRS": "127.0.0.0/8",
            "WEBHOOK_PORTS": str(port),
            "SMTP_URL": f"smtp://127.0.0.1:{stack.enter_context(sink())}",
        }
        for command in ("migrate", "createcachetable"):
            subprocess.run([sys.executable, "manage.py", command, "-v0"], cwd=ROOT, check=True)
        sys.path.insert(0, str(ROOT))
        import django

        import irportal  # noqa: F401  (swaps SQLite before Django imports it)

        django.setup()
        stack.enter_context(far_ends(port))
        endpoints(port)
        stack.enter_context(process([sys.executable, "manage.py", "engine"]))
        time.sleep(3)
        kept: dict[str, dict[str, list[float]]] = {name: {"posts": [], "mails": []} for name in ("without", "with bad")}
        for number in range(2 * asked.rounds):
            kind = "with bad" if number % 2 else "without"
            for what, found in one_round(number, asked.updates, bad=kind == "with bad").items():
                kept[kind][what] += found
        return 0 if report(kept, asked.database) else 1


if __name__ == "__main__":
    sys.exit(main())
