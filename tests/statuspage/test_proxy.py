"""The shipped nginx site with its cache in front: nothing one reader sends reaches another (S-T5)."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import needs
from tests.relay import free_port
from tests.statuspage.serving import PAGE, ROOT, Server, a_copy, document, until

pytestmark = pytest.mark.processes
EVIL = "evil.example"
PROBES = [
    *({"headers": {name: EVIL}} for name in (
        "Host", "X-Forwarded-Host", "X-Host", "X-Forwarded-Server", "X-Original-Host", "X-HTTP-Host-Override",
        "X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix", "X-Forwarded-Path", "Origin", "Referer",
        "Accept-Language", "Cookie", "User-Agent", "Via", "X-Real-IP", "X-Client-IP", "True-Client-IP",
    )),
    {"headers": {"Forwarded": f"host={EVIL};proto=http;for={EVIL}"}},
    {"headers": {"X-Forwarded-Scheme": "nothttps"}},
    {"headers": {"X-Forwarded-Proto": "http"}},
    {"headers": {"X-Forwarded-Port": "1337"}},
    {"headers": {"X-Forwarded-For": f"{EVIL}, 127.0.0.1"}},
    {"headers": {"X-HTTP-Method-Override": "POST"}},
    {"headers": {"X-HTTP-Method": "DELETE"}},
    {"headers": {"Authorization": f"Bearer {EVIL}"}},
    {"headers": {"Accept": "application/json"}},
    {"headers": {"Accept-Encoding": "gzip;q=0, identity"}},
    {"headers": {"Accept-Encoding": EVIL}},
    {"headers": {"Range": "bytes=0-3"}},
    {"headers": {"If-None-Match": "*"}},
    {"headers": {"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"}},
    {"headers": {"Transfer-Encoding": "chunked"}, "body": b"0\r\n\r\n"},
    {"headers": {"Upgrade": "h2c", "Connection": "Upgrade, HTTP2-Settings", "HTTP2-Settings": "AAMAAABk"}},
    {"headers": {"Connection": "close, X-Forwarded-Proto"}},
    {"headers": {"X-Long": "y" * 7000}},
    {"query": f"?utm_source={EVIL}"},
    {"query": f"?callback={EVIL}&_method=DELETE"},
    {"query": "?page=2;next=3&__proto__[x]=1"},
    {"query": "?" + "a=1&" * 900},
    {"body": f"host={EVIL}".encode()},
    {"method": "HEAD"},
    {"method": "POST"},
    {"method": "OPTIONS"},
]  # fmt: skip


@pytest.fixture(scope="module")
def nginx(tmp_path_factory) -> Iterator[Server]:
    """A server whose port is that of nginx, with the shipped site for plain HTTP and a cache that forgets nothing."""
    if not shutil.which("nginx"):
        needs.missing("there is no nginx", needs.NGINX)
    folder = tmp_path_factory.mktemp("proxy")
    a_copy(folder, *(document(f"/incidents/probe{number}") for number in range(len(PROBES))))
    server = Server(folder, PAGE_STALE_SECONDS="3600")
    process = None
    try:
        server.start("page", "web")
        port = free_port()
        (folder / "nginx.conf").write_text(for_tests(folder, port, server.port))
        process = subprocess.Popen(["nginx", "-c", str(folder / "nginx.conf")], stdout=server.log, stderr=server.log)
        server.port = port
        until(lambda: server.get("/")[0] == 200, "nginx")
        yield server
    finally:
        if process:
            process.terminate()
            process.wait(30)
        server.end()


def for_tests(folder: Path, port: int, behind: int) -> str:
    """deploy/nginx.conf, without TLS and the server that leads to it."""
    site = (ROOT / "deploy" / "nginx.conf").read_text()
    site = site[: site.rindex("server {")]
    site = re.sub(r"\n    (ssl_certificate\S* .*|listen \[::\]:443 ssl);", "", site)
    for old, new in {
        "listen 443 ssl;": f"listen 127.0.0.1:{port};",
        "/var/cache/nginx/portal": f"{folder}/cache",
        "127.0.0.1:8000": f"127.0.0.1:{behind}",
        "200 301 1s;": "200 301 1h;\n        add_header X-Cache $upstream_cache_status;",
    }.items():
        assert old in site, old
        site = site.replace(old, new)
    temps = " ".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    top = f"daemon off; user root; pid {folder}/nginx.pid; error_log stderr error;\nevents {{}}\n"
    return f"{top}http {{ access_log off; {temps}\n{site}\n}}\n"


def clean(answer: tuple[int, dict, bytes]) -> tuple[int, dict, bytes]:
    status, headers, body = answer
    return status, {name: value for name, value in headers.items() if name not in ("Date", "X-Cache")}, body


@pytest.mark.parametrize("number", range(len(PROBES)))
def test_whatever_was_asked_before_the_next_reader_gets_the_document(nginx, number):
    probe, path = PROBES[number], f"/incidents/probe{number}"
    given = {name.replace("-", "_"): value for name, value in probe.get("headers", {}).items()}
    nginx.get(path + probe.get("query", ""), probe.get("method", "GET"), probe.get("body"), **given)

    expected = clean(nginx.get("/"))
    for answer in (nginx.get(path), nginx.get(path)):
        assert clean(answer) == expected
        assert answer[2] == PAGE
    assert nginx.get(path)[1]["X-Cache"] == "HIT"
    assert EVIL not in repr(nginx.get(path))


def test_one_copy_serves_every_query(nginx):
    nginx.get("/history?a=1")

    assert nginx.get("/history?b=2")[1]["X-Cache"] == "HIT"


def test_there_is_one_copy_for_each_packing_however_it_is_asked_for(nginx):
    nginx.get("/api/v2/summary.json", Accept_Encoding="gzip, deflate, zstd")
    again = nginx.get("/api/v2/summary.json", Accept_Encoding="deflate;q=0.3, gzip;q=0.8")

    assert again[1]["X-Cache"] == "HIT"
    assert again[1]["Content-Encoding"] == "gzip"
    assert nginx.get("/api/v2/summary.json", Accept_Encoding="gzip;q=0")[2] == PAGE


@pytest.mark.parametrize(
    "path", ["/portal/", "/subscribe", "/u/secret", "/manage/secret", "/healthz", "/incidents/%2e%2e/portal/"]
)
def test_nothing_private_is_ever_in_the_cache(nginx, path):
    for _ in range(2):
        status, headers, _ = nginx.get(path, Cookie="private-marker", Accept_Language="private-marker")
        assert status in (200, 404)
        assert headers.get("X-Cache") != "HIT"
    for file in (nginx.folder / "cache").rglob("*"):
        assert not file.is_file() or b"private-marker" not in file.read_bytes()
