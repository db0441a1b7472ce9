"""The server in front as a real process, and a reader that speaks to it byte by byte."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from gzip import compress
from pathlib import Path

from statuspage.site import Copy, Document, Site
from tests.relay import free_port

ROOT = Path(__file__).resolve().parents[2]
NOWHERE = "postgres://nobody@127.0.0.1:1/none"  # nobody listens: the database is stopped
PAGE = b"<!doctype html><title>Status</title>" + b"<p>All systems operational.</p>" * 600
HEAD = "Content-Type: text/html; charset=utf-8\r\nCache-Control: public, max-age=0\r\n"


def document(path: str, body: bytes = PAGE, *, status: int = 200, head: str = HEAD) -> Document:
    return Document((path, 1, status, head, body, compress(body, mtime=0), None, 20, "abc123", 1_700_000_000))


def a_copy(folder: Path, *more: Document) -> None:
    """The file a page process starts from without a database."""
    site = Site(Copy(folder / "page.sqlite3"))
    site.code, site.version, site.whole, site.right_at = "testtesttest", 1, True, time.time()
    documents = [*more, *(document(path) for path in ("/", "/history", "/api/v2/summary.json"))]
    documents.append(document("/404", b"There is no such page", status=404))
    site.copy.save(site, documents, anew=True)


class Server:
    """Page and web processes over one folder; `commands` may be changed before a start."""

    def __init__(self, folder: Path, *, app: str = "tests.statuspage.echo:application", **env: str) -> None:
        self.folder, self.port = folder, free_port()
        self.env = os.environ | {"VAR_DIR": str(folder), "DATABASE_URL": NOWHERE, "LOG_LEVEL": "WARNING"} | env
        gunicorn = [sys.executable, "-m", "gunicorn", "--log-level", "warning", "-c"]
        self.commands = {
            "page": [*gunicorn, "deploy/page.conf.py", "--bind", f"127.0.0.1:{self.port}"],
            "web": [*gunicorn, "deploy/web.conf.py", "--workers", "1", app],
        }
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.log = (folder / "output.txt").open("ab")

    def start(self, *names: str) -> None:
        for name in names:
            self.running[name] = subprocess.Popen(
                self.commands[name], cwd=ROOT, env=self.env, stdout=self.log, stderr=self.log, start_new_session=True
            )
        if "page" in names:
            until(lambda: self.get("/")[0] == 200, "the page")
        if "web" in names:
            until((self.folder / "web.sock").exists, "the web process")

    def signal(self, name: str, number: int) -> None:
        """To every process of this part."""
        with suppress(ProcessLookupError):
            os.killpg(self.running[name].pid, number)

    def stop(self, *names: str) -> None:
        for name in names:
            self.running[name].terminate()
            self.running[name].wait(30)

    def end(self) -> None:
        for name, process in self.running.items():
            self.signal(name, signal.SIGKILL)
            process.wait()
        self.log.close()

    def said(self) -> str:
        return (self.folder / "output.txt").read_text()

    def get(self, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> tuple[int, dict, bytes]:
        """Status, headers and body of one request on a connection of its own; status 0 without an answer."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as line:
            try:
                line.request(method, path, body, named)
                answer = line.getresponse()
                return answer.status, dict(answer.headers), answer.read()
            except (OSError, http.client.HTTPException):
                return 0, {}, b""

    def connect(self) -> "Line":
        return Line(self.port)


class Line:
    """One connection, on which a test says exactly which bytes go out when."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.file = self.socket.makefile("rb")

    def __enter__(self) -> "Line":
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()
        self.socket.close()

    def send(self, text: str | bytes) -> None:
        self.socket.sendall(text.encode("latin-1") if isinstance(text, str) else text)

    def read(self, *, body: bool = True) -> tuple[int, dict[str, str], bytes]:
        """One answer; status 0 when the connection ended instead."""
        first = self.file.readline()
        if not first:
            return 0, {}, b""
        headers: dict[str, str] = {}
        while (line := self.file.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").strip().partition(": ")
            headers[name.title()] = value
        length = int(headers.get("Content-Length", 0)) if body else 0
        return int(first.split()[1]), headers, self.file.read(length)

    def has_ended(self) -> bool:
        return self.file.read(1) == b""


def until(true, what: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"after {seconds} s still not: {what}"
        time.sleep(0.05)


def running(folder: Path, **given: str) -> Iterator[Server]:
    """For fixtures: a server over a copy, ended whatever happens."""
    a_copy(folder)
    server = Server(folder, **given)
    try:
        server.start("page", "web")
        yield server
    finally:
        server.end()
