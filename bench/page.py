"""How fast the public page is served, beside nginx and Django on the same machine in the same run: `make bench-page`.

`wrk -t1 -c32` asks our server as shipped, nginx with the same bytes as static files (same headers, same compression, as
many workers) and Django without the snapshot, in turns; then again with PostgreSQL and Redis stopped, and with both
frozen. PostgreSQL and Redis are our own. Then 500 components and 2,000 past incidents: how soon a publish is visible.
Prints a table, writes bench/page.json.

    python bench/page.py [--rounds 5] [--seconds 3]

A ratio is the median of the rounds' ratios in requests per second; µs is the servers' processor time a request.
"""

import argparse
import http.client
import json
import multiprocessing
import os
import re
import secrets
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.chaos.servers import Postgres, Redis  # noqa: E402
from tests.relay import free_port  # noqa: E402

WORKERS = 2
CASES = {  # name: path, header, changing query
    "page": ("/", None, False),
    "page_gzip": ("/", "Accept-Encoding: gzip", False),
    "summary": ("/api/v2/summary.json", None, False),
    "summary_gzip": ("/api/v2/summary.json", "Accept-Encoding: gzip", False),
    "not_modified": ("/", "If-None-Match: {etag}", False),
    "summary_not_modified": ("/api/v2/summary.json", "If-None-Match: {etag}", False),
    "page_query": ("/", None, True),
}
QUERY = """local n = 0
request = function() n = n + 1; return wrk.format("GET", wrk.path .. "?visit=" .. n) end
"""
NGINX = """daemon off; worker_processes {workers}; worker_rlimit_nofile 8192;
pid {folder}/nginx.pid; error_log stderr error;
events {{ worker_connections 1024; }}
http {{
    access_log off; server_tokens off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; gzip_static on;
    open_file_cache max=100; open_file_cache_valid 1s; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    server {{
        listen 127.0.0.1:{port} reuseport; root {www}; charset utf-8; default_type text/html; charset_types *;
        types {{ text/html html; application/json json; }}
        location / {{ {page} try_files $uri $uri.html $uri/index.html =404; index index.html; }}
        location /api/ {{ {summary} }}
    }}
}}
"""
Sample = dict[str, float]


@contextmanager
def process(command: list[str], env: dict[str, str] | None = None, log: Path | None = None) -> Iterator[int]:
    with (log or Path(os.devnull)).open("ab") as output:
        started = subprocess.Popen(command, cwd=ROOT, env=env, stdout=output, stderr=output, start_new_session=True)
    try:
        yield started.pid
    finally:
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGTERM)
        try:
            started.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)
            started.wait()


def ask(port: int, path: str, headers: dict[str, str] | None = None) -> tuple[int, dict[str, str], bytes]:
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        line.request("GET", path, headers=headers or {})
        answer = line.getresponse()
        return answer.status, {name.title(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        line.close()


def wait_for(port: int, path: str = "/") -> None:
    end = time.monotonic() + 90
    while time.monotonic() < end:
        with suppress(OSError, http.client.HTTPException):
            if ask(port, path)[0] == 200:
                return
        time.sleep(0.1)
    raise SystemExit(f"nothing answers on port {port}")


# Measuring


def family(pid: int) -> list[int]:
    children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True).stdout.split()
    return [pid, *(one for child in children for one in family(int(child)))]


def processor_seconds(pids: list[int]) -> float:
    total = 0
    for pid in pids:
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def wrk(port: int, case: str, seconds: int, pid: int, folder: Path) -> Sample:
    """One turn of wrk: requests/s, p99 in ms, processor time in µs a request."""
    path, header, changing = CASES[case]
    command = ["wrk", "-t1", "-c32", f"-d{seconds}", "--latency"]
    if header:
        command += ["-H", header.format(etag=ask(port, path)[1]["Etag"])]
    if changing:
        script = folder / "query.lua"
        script.write_text(QUERY)
        command += ["-s", str(script)]
    pids = family(pid)
    before = processor_seconds(pids)
    said = subprocess.run(
        [*command, f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True, check=True
    ).stdout
    used = processor_seconds(pids) - before
    done, rate = re.search(r"(\d+) requests in", said), re.search(r"Requests/sec:\s+([\d.]+)", said)
    slow = re.search(r"99%\s+([\d.]+)(us|ms|s)", said)
    assert done, said
    assert rate, said
    assert slow, said
    wrong = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    assert not wrong, said
    return {
        "rate": float(rate[1]),
        "p99": float(slow[1]) * {"us": 0.001, "ms": 1, "s": 1000}[slow[2]],
        "cpu": used / max(int(done[1]), 1) * 1e6,
    }


class Bench:
    def __init__(self, rounds: int, seconds: int) -> None:
        self.rounds, self.seconds = rounds, seconds
        self.results: list[dict[str, object]] = []
        self.ratios: dict[str, float] = {}

    def note(self, name: str, value: float, unit: str) -> None:
        self.results.append({"name": name, "value": round(value, 2), "unit": unit})
        print(f"{name:58} {value:12.2f} {unit}", flush=True)

    def compare(self, servers: dict[str, tuple[int, int]], cases: list[str], state: str, folder: Path) -> None:
        """Every server in turn, round by round, for each case. `state` names what is broken behind them."""
        after = f", {state}" if state else ""
        for case in cases:
            samples: dict[str, list[Sample]] = {name: [] for name in servers}
            for number in range(self.rounds):
                for name in list(servers)[:: 1 if number % 2 else -1]:
                    port, pid = servers[name]
                    samples[name].append(wrk(port, case, self.seconds, pid, folder))
            for name, found in samples.items():
                for what, unit in (("rate", "requests/s"), ("p99", "ms p99"), ("cpu", "us/request")):
                    self.note(f"{case}, {name}{after}", statistics.median(one[what] for one in found), unit)
            if {"portal", "nginx"} <= samples.keys():
                pairs = zip(samples["portal"], samples["nginx"], strict=True)
                key = f"{case}_vs_nginx" + (f"_{state.replace(' ', '_')}" if state else "")
                self.ratios[key] = round(statistics.median(one["rate"] / other["rate"] for one, other in pairs), 3)
                print(f"{key:58} {self.ratios[key]:12.3f}", flush=True)

    def save(self) -> None:
        text = json.dumps({"results": self.results, "ratios": self.ratios}, indent=1)
        (ROOT / "bench" / "page.json").write_text(text + "\n")


# The servers


def headers_for_nginx(port: int, path: str) -> str:
    """The headers we send and nginx would not, so that both send the same."""
    own = {"Content-Type", "Content-Length", "Etag", "Last-Modified", "Date", "Connection"}
    given = ask(port, path, {"Accept-Encoding": "gzip"})[1]
    kept = {name: value for name, value in given.items() if name not in own | {"Content-Encoding"}}
    return " ".join(f'add_header {name} "{value}";' for name, value in kept.items())


def nginx(stack: ExitStack, folder: Path, ours: int) -> tuple[int, int]:
    port = free_port()
    text = NGINX.format(
        workers=WORKERS,
        folder=folder,
        port=port,
        www=folder / "www",
        page=headers_for_nginx(ours, "/"),
        summary=headers_for_nginx(ours, "/api/v2/summary.json"),
    )
    (folder / "nginx.conf").write_text(text)
    folder.chmod(0o755)
    pid = stack.enter_context(process(["nginx", "-c", str(folder / "nginx.conf")], log=folder / "nginx.log"))
    wait_for(port)
    for path in ("/", "/api/v2/summary.json"):
        for wanted in ({}, {"Accept-Encoding": "gzip"}):
            mine, other = ask(ours, path, wanted), ask(port, path, wanted)
            assert mine[2] == other[2], f"nginx serves other bytes for {path}"
            assert mine[1].get("Content-Encoding") == other[1].get("Content-Encoding"), other[1]
    return port, pid


def gunicorn(stack: ExitStack, env: dict[str, str], log: Path, *args: str) -> int:
    command = [sys.executable, "-m", "gunicorn", "--log-level", "warning", "--workers", str(WORKERS), *args]
    return stack.enter_context(process(command, env, log))


# What is published


def fill(components: int, past: int) -> None:
    """Grow the site: so many components, so many resolved incidents, one a day back from yesterday; and one open."""
    from django.utils import timezone

    from statuspage import editions
    from statuspage.models import Component, ComponentGroup, Notice, NoticeComponent, NoticeUpdate, StateSpan

    now = timezone.now()
    for number in range(Component.objects.count(), components):
        group, _ = ComponentGroup.objects.get_or_create(name=f"Region {number // 10}", defaults={"position": number})
        Component.objects.create(
            name=f"Service {number}", group=group, position=number, description="What customers use"
        )
    parts = list(Component.objects.all())
    begun = {
        n: now - timedelta(days=n, minutes=n % 600)
        for n in range(Notice.objects.filter(impact="minor").count() + 1, past + 1)
    }
    notices = Notice.objects.bulk_create(
        Notice(
            ref=f"INC-{number}", title=f"Slow answers in case {number}", status="resolved", impact="minor",
            started_at=began, created_at=began, resolved_at=began + timedelta(minutes=40),
        )
        for number, began in begun.items()
    )  # fmt: skip
    NoticeComponent.objects.bulk_create(
        NoticeComponent(notice=notice, component=parts[notice.pk % len(parts)], state="partial_outage")
        for notice in notices
    )
    StateSpan.objects.bulk_create(
        StateSpan(
            notice=notice,
            component=parts[notice.pk % len(parts)],
            state="partial_outage",
            began_at=notice.started_at,
            ended_at=notice.resolved_at,
        )
        for notice in notices
    )
    NoticeUpdate.objects.bulk_create(
        NoticeUpdate(
            notice=notice,
            status=status,
            body="Some requests took longer than usual. We are looking into it.",
            display_at=notice.started_at + after,
            created_at=notice.started_at + after,
        )
        for notice in notices
        for status, after in (("investigating", timedelta(minutes=5)), ("resolved", timedelta(minutes=40)))
    )
    editions.rebuild()
    say("investigating", "Every request fails.")


def say(status: str, body: str) -> None:
    from django.utils import timezone

    from statuspage import publish
    from statuspage.models import Component

    now = timezone.now()
    publish.publish(
        "INC-9000000", title="Agent API unavailable", status=status, impact="critical", body=body, by=None,
        affected=[(Component.objects.first(), "major_outage")], started_at=now - timedelta(minutes=30), said_at=now,
        next_update_by=now + timedelta(minutes=30),
    )  # fmt: skip


def write_all() -> None:
    from django.core.management import call_command

    call_command("publish", verbosity=0, stdout=open(os.devnull, "w"))  # noqa: SIM115


def visible_after(port: int, times: int, *, rested: bool) -> list[float]:
    """Seconds from the beginning of a publish until eight connections, spread over all processes, read it.

    Another process publishes, as a web process does, and the readers look while it is at it. It publishes once all
    languages of the news before are written (`rested`), or right when that was read.
    """
    from statuspage.models import Change

    lines = [http.client.HTTPConnection("127.0.0.1", port, timeout=10) for _ in range(8)]
    etags = ["" for _ in lines]
    found, run = [], secrets.token_hex(4)
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork"), initializer=without_connections) as publisher:
        for number in range(times + 1):
            mark = f"Publication {number} of run {run}"
            published = publisher.submit(say_at, "identified", mark)
            for place, line in enumerate(lines):
                while True:
                    etags[place], body = body_of(line, etags[place])
                    if mark.encode() in body:
                        break
                    time.sleep(0.005)
            seen = time.monotonic()
            found.append(seen - published.result())
            while rested and Change.objects.exists():
                time.sleep(0.05)
    for line in lines:
        line.close()
    return found[1:]  # the first one starts the process


def without_connections() -> None:
    from django.db import connection

    connection.close()


def say_at(status: str, body: str) -> float:
    began = time.monotonic()
    say(status, body)
    return began


def body_of(line: http.client.HTTPConnection, etag: str) -> tuple[str, bytes]:
    """The page and its ETag; no body while it is the same."""
    line.request("GET", "/", headers={"If-None-Match": etag} if etag else {})
    answer = line.getresponse()
    return answer.headers["ETag"], answer.read()


def writing_takes(times: int) -> tuple[float, int]:
    """Median milliseconds of processor time for writing what one publish changes, and how many documents that is."""
    from django.db import connection, transaction

    from statuspage import editions
    from statuspage.models import Document, Edition

    took, wrote = [], 0
    for number in range(times):
        with transaction.atomic():
            say("identified", f"Looking at part {number}")
            before = Edition.objects.get().version
            connection.run_on_commit.clear()  # written below, with a watch on it
        began = time.process_time()
        while editions.refresh():
            pass
        took.append((time.process_time() - began) * 1000)
        wrote = Document.objects.filter(version__gt=before).count()
    return statistics.median(took), wrote


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=int, default=3)
    options.add_argument("--publishes", type=int, default=40)
    given = options.parse_args()
    for program in ("wrk", "nginx", "redis-server"):
        if not shutil.which(program):
            raise SystemExit(f"{program} is missing: .ci/setup bench installs it (as root, on Debian)")
    folder = Path(tempfile.mkdtemp(prefix="bench-page-"))
    postgres, redis = Postgres(folder), Redis(folder)
    bench = Bench(given.rounds, given.seconds)
    try:
        run(bench, folder, postgres, redis, given.publishes)
        bench.save()
    finally:
        for number in (signal.SIGCONT,):
            with suppress(OSError):
                postgres.signal(number)
            redis.process.send_signal(number)
        postgres.stop()
        redis.stop()
        shutil.rmtree(folder, ignore_errors=True)


def run(bench: Bench, folder: Path, postgres: Postgres, redis: Redis, publishes: int) -> None:
    var = folder / "var"
    env = {name: value for name, value in os.environ.items() if not name.startswith(("DJANGO_", "PORTAL_"))} | {
        "VAR_DIR": str(var), "DATABASE_URL": postgres.url, "REDIS_URL": redis.url, "LOG_LEVEL": "ERROR",
    }  # fmt: skip
    os.environ |= env | {"DJANGO_SETTINGS_MODULE": "irportal.settings"}
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    fill(components=8, past=20)
    write_all()
    call_command("publish", to=folder / "www", stdout=open(os.devnull, "w"))  # noqa: SIM115
    ports = {"portal": free_port(), "django": free_port()}
    with ExitStack() as stack:
        page = gunicorn(
            stack, env, folder / "page.log", "-c", "deploy/page.conf.py", "-b", f"127.0.0.1:{ports['portal']}"
        )
        gunicorn(stack, env, folder / "web.log", "-c", "deploy/web.conf.py")
        stack.enter_context(process([sys.executable, "manage.py", "engine"], env, folder / "engine.log"))
        alone = ["irportal.wsgi:application", "-k", "gthread", "--threads", "4", "--no-control-socket"]
        django_alone = gunicorn(stack, env, folder / "django.log", *alone, "-b", f"127.0.0.1:{ports['django']}")
        wait_for(ports["portal"])
        wait_for(ports["django"])
        pair = {"portal": (ports["portal"], page), "nginx": nginx(stack, folder, ports["portal"])}
        for path in ("/", "/api/v2/summary.json"):
            bench.note(f"size of {path}", len(ask(ports["portal"], path)[2]), "bytes")
        bench.compare(pair, list(CASES), "", folder)
        bench.compare({"django": (ports["django"], django_alone)}, ["page", "summary"], "", folder)
        broken(bench, pair, postgres, redis, folder)
        grown(bench, ports["portal"], publishes)


def broken(bench: Bench, pair: dict[str, tuple[int, int]], postgres: Postgres, redis: Redis, folder: Path) -> None:
    """The same with both stopped, and with both frozen."""
    states: list[tuple[str, Callable[[], None], Callable[[], None]]] = [
        ("backends down", lambda: (postgres.stop(), redis.stop()), lambda: (postgres.start(), redis.start())),  # type: ignore[list-item, return-value]
        (
            "backends frozen",
            lambda: (postgres.signal(signal.SIGSTOP), redis.process.send_signal(signal.SIGSTOP)),  # type: ignore[list-item, return-value]
            lambda: (postgres.signal(signal.SIGCONT), redis.process.send_signal(signal.SIGCONT)),  # type: ignore[list-item, return-value]
        ),
    ]
    for state, break_, heal in states:
        break_()
        try:
            bench.compare(pair, list(CASES), state, folder)
        finally:
            heal()
        time.sleep(2)


def grown(bench: Bench, port: int, publishes: int) -> None:
    from django.db import connection

    connection.close()
    fill(components=500, past=100)
    write_all()
    took, wrote = writing_takes(9)
    bench.note("writing one publish, 500 components, 100 past incidents", took, "ms of processor")
    bench.note("documents written then", wrote, "documents")
    fill(components=500, past=2000)
    began = time.monotonic()
    write_all()
    bench.note("writing everything, 500 components, 2,000 past incidents", time.monotonic() - began, "s")
    took, wrote = writing_takes(9)
    bench.note("writing one publish, 500 components, 2,000 past incidents", took, "ms of processor")
    bench.note("documents written then", wrote, "documents")
    for rested, name in ((True, ""), (False, ", one right behind another")):
        connection.close()
        seen = sorted(visible_after(port, publishes, rested=rested))
        bench.note(f"publish to visible in every process{name}, median", statistics.median(seen) * 1000, "ms")
        bench.note(f"publish to visible in every process{name}, p95", seen[int(len(seen) * 0.95) - 1] * 1000, "ms")
    bench.note("size of / with 500 components", len(ask(port, "/")[2]), "bytes")


if __name__ == "__main__":
    main()
