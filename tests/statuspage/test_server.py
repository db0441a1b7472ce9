"""The server in front, as a process: HTTP as it is on the wire, with the database stopped all the time."""

import json
import signal
import threading
import time
from contextlib import suppress
from gzip import decompress

import pytest

from tests.journeys.processes import table
from tests.statuspage.serving import PAGE, Server, running, until

pytestmark = pytest.mark.processes
GET = "GET / HTTP/1.1\r\nHost: status.example\r\n\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    yield from running(tmp_path_factory.mktemp("page"), PAGE_STALE_SECONDS="3600")


def test_a_document_is_served_with_its_headers(server):
    status, headers, body = server.get("/")

    assert (status, body) == (200, PAGE)
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Vary"] == "Accept-Encoding"
    assert headers["ETag"] == '"abc123"'
    assert headers["Last-Modified"] == "Tue, 14 Nov 2023 22:13:20 GMT"
    assert "Date" in headers


@pytest.mark.parametrize("path", ["/?", "/?a=1&b=2", "/?/portal/", "/?" + "x" * 3000])
def test_the_query_is_ignored(server, path):
    assert server.get(path)[2] == PAGE


def test_a_packed_document_is_the_same_document(server):
    _, headers, body = server.get("/", Accept_Encoding="gzip, deflate")

    assert headers["Content-Encoding"] == "gzip"
    assert decompress(body) == PAGE


def test_what_the_reader_has_is_not_sent(server):
    status, headers, body = server.get("/", If_None_Match='W/"abc123-gz"')

    assert (status, body) == (304, b"")
    assert "Content-Length" not in headers


def test_head_is_get_without_the_body(server):
    status, headers, body = server.get("/", "HEAD")

    assert (status, headers["Content-Length"], body) == (200, str(len(PAGE)), b"")


def test_what_is_not_in_the_snapshot_does_not_exist(server):
    assert server.get("/incidents/nothing")[::2] == (404, b"There is no such page")


def test_one_connection_serves_many_requests(server):
    with server.connect() as line:
        for _ in range(3):
            line.send(GET)
            assert line.read()[2] == PAGE


def test_requests_sent_ahead_are_answered_in_order(server):
    with server.connect() as line:
        line.send(GET + GET.replace("GET", "HEAD") + GET.replace(" / ", " /incidents/x ") + GET)

        assert line.read()[0] == 200
        assert line.read(body=False)[0] == 200
        assert line.read()[0] == 404
        assert line.read()[2] == PAGE


def test_a_request_may_come_byte_by_byte(server):
    with server.connect() as line:
        for letter in GET:
            line.send(letter)
        assert line.read()[2] == PAGE


@pytest.mark.parametrize(
    "request_", [GET.replace("1.1", "1.0"), GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")]
)
def test_who_wants_the_connection_closed_is_told_that_it_is(server, request_):
    with server.connect() as line:
        line.send(request_)
        status, headers, _ = line.read()

        assert (status, headers["Connection"]) == (200, "close")
        assert line.has_ended()


# What goes on to Django


def echo(answer) -> dict:
    status, _, body = answer
    assert status == 200
    return json.loads(body)


def test_everything_else_reaches_django_with_the_readers_address(server):
    with server.connect() as line:
        line.send("GET /portal/?a=1 HTTP/1.1\r\nHost: x\r\nAccept-Language: de\r\n\r\n")
        own = str(line.socket.getsockname()[1])
        said = echo(line.read())

    assert said == {"method": "GET", "path": "/portal/", "query": "a=1", "body": "", "language": "de"} | {
        "from": "127.0.0.1",
        "port": own,
    }


def test_a_connection_is_handed_over_after_documents_were_read_on_it(server):
    with server.connect() as line:
        line.send(GET)
        line.read()
        line.send("GET /portal/ HTTP/1.1\r\nHost: x\r\n\r\n")

        assert echo(line.read())["path"] == "/portal/"
        assert line.has_ended()


def test_documents_sent_ahead_are_answered_before_the_connection_is_handed_over(server):
    with server.connect() as line:
        line.send(GET * 40 + "GET /portal/ HTTP/1.1\r\nHost: x\r\n\r\n")
        for _ in range(40):
            assert line.read()[2] == PAGE
        assert echo(line.read())["path"] == "/portal/"


@pytest.mark.parametrize("size", [5, 60_000, 70_000, 3_000_000])
def test_a_body_arrives_whole_however_it_comes(server, size):
    with server.connect() as line:
        line.send(f"POST /subscribe HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\nab")
        time.sleep(0.05)
        line.send(b"c" * (size - 2))

        assert echo(line.read())["body"] == "ab" + "c" * (size - 2)


def test_a_body_in_chunks_arrives(server):
    with server.connect() as line:
        line.send("POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        line.send("2\r\nde\r\n0\r\n\r\n")

        assert echo(line.read())["body"] == "abcde"


def test_who_waits_to_be_asked_for_the_body_is_asked(server):
    with server.connect() as line:
        line.send("POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert line.file.readline().startswith(b"HTTP/1.1 100")
        line.file.readline()
        line.send("abc")

        assert echo(line.read())["body"] == "abc"


@pytest.mark.parametrize(
    "lines",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 6",
        "Content-Length: -5",
        "Content-Length: +5",
        "Content-Length: 0x5",
        "Content-Length : 5",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding : chunked",
        " Transfer-Encoding: chunked",
        "Transfer-Encoding:\tchunked\r\nTransfer-Encoding: identity",
    ],
)
def test_a_request_that_can_be_read_in_two_ways_is_refused_and_the_connection_ends(server, lines):
    with server.connect() as line:
        line.send(f"GET / HTTP/1.1\r\nHost: x\r\n{lines}\r\n\r\nabcdeGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
        status, _, body = line.read()

        assert status in (400, 501)
        assert PAGE not in body
        assert line.has_ended()


@pytest.mark.parametrize(
    "request_",
    [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nBad Name: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
        "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "get / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://other.example/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: " + "y" * 20_000 + "\r\n\r\n",
        "GET /" + "y" * 20_000 + " HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
    ],
)
def test_what_is_not_a_plain_request_is_never_answered_from_memory(server, request_):
    with server.connect() as line:
        line.send(request_)
        assert line.read()[2] != PAGE
    assert server.get("/")[0] == 200


# When others fail


def test_while_django_is_frozen_or_gone_documents_are_served_and_the_rest_says_so(server):
    server.signal("web", signal.SIGSTOP)
    try:
        began = time.monotonic()
        for _ in range(50):
            assert server.get("/history")[0] == 200
        assert time.monotonic() - began < 5
    finally:
        server.signal("web", signal.SIGCONT)
    server.stop("web")
    status, headers, body = server.get("/portal/")
    assert (status, headers["Retry-After"]) == (503, "10")
    assert b"status page</a> is up" in body
    server.start("web")
    until(lambda: server.get("/portal/")[0] == 200, "Django after a restart")


def test_five_hundred_slow_readers_hold_up_nobody(server):
    lines = [server.connect() for _ in range(500)]
    try:
        for number, line in enumerate(lines):
            line.send(GET[: number % 30 + 1])
        began = time.monotonic()
        for _ in range(20):
            assert server.get("/")[0] == 200
        assert time.monotonic() - began < 20  # 1 s each
    finally:
        for line in lines:
            line.__exit__()


def test_a_reader_that_takes_nothing_is_not_written_to_without_end(server):
    with server.connect() as line:
        line.socket.setblocking(False)
        sent = 0
        with suppress(BlockingIOError):
            while sent < 200_000_000:
                sent += line.socket.send(GET.encode() * 500)
        assert sent < 200_000_000
    assert server.get("/")[0] == 200


def test_a_change_of_processes_fails_no_request(tmp_path):
    for server in running(tmp_path, PAGE_STALE_SECONDS="3600"):
        failed, over = [], threading.Event()
        reader = threading.Thread(target=read_all_the_time, args=(server, over, failed))
        reader.start()
        page = server.running["page"]
        old = workers_of(page.pid)
        page.send_signal(signal.SIGHUP)
        until(lambda: len(workers_of(page.pid)) == len(old) and not old & workers_of(page.pid), "other processes")
        over.set()
        reader.join()
        assert failed == []


def workers_of(pid: int) -> set[int]:
    return {child for child, (parent, _) in table().items() if parent == pid}


def read_all_the_time(server: Server, over: threading.Event, failed: list) -> None:
    while not over.is_set():
        for path in ("/", "/portal/"):
            status, _, body = server.get(path)
            if status != 200:
                failed.append((path, status, body))
