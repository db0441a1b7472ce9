"""Nothing is ever sent to an address only we can reach, whatever the URL looks like (W-T1, W-T4)."""

import itertools
import shutil
import socket
import ssl
import subprocess
import time

import pytest

from irportal.outbox.channels import guard
from tests import needs
from tests.receiver import Answer

PUBLIC = "93.184.215.14"
INWARD = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "192.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "fc00::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2001:0:7f00:1::",
]
DISGUISED = [
    "2130706433",
    "017700000001",
    "0x7f000001",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "127.1",
    "127.0.1",
    "0",
    "0x0",
    "127.0.0.1.",
    "2852039166",
    "0xa9fea9fe",
    "①②⑦.⓪.⓪.①",
    "１２７.0.0.1",
    "127。0。0。1",
    "127%2e0%2e0%2e1",
    "%31%32%37.0.0.1",
    "[::1%25lo]",
    "[fe80::1%25eth0]",
    "[::ffff:7f00:1]",
    "1.2.3.4.5",
    "a.0x7f",
    "127.0.0.1#@hook.example",
]
MALFORMED = [
    "http://hook.example/",
    "file:///etc/passwd",
    "gopher://hook.example/_x",
    "ftp://hook.example/",
    "dict://hook.example:11211/stat",
    "javascript:alert(1)",
    "//hook.example/",
    "hook.example",
    "",
    "https://",
    "https:///path",
    "https://user@hook.example/",
    "https://user:password@hook.example/",
    "https://hook.example@127.0.0.1/",
    "https://@hook.example/",
    "https://hook.example/#part",
    "https://127.0.0.1\\@hook.example/",
    "https://hook.example:22/",
    "https://hook.example:80/",
    "https://hook.example:6379/",
    "https://hook.example:0/",
    "https://hook.example:65536/",
    "https://hook.example:x/",
    "https://hook.example /",
    " https://hook.example/",
    "https://hook.example/\r\nX: y",
    "https://hook.exa\tmple/",
    "https://hook.example/\x00",
    "https://[::1/",
    "https://hook..example/",
    "https://hook.example/ü",
]


@pytest.fixture
def dialled(monkeypatch):
    """Every address that is dialled, instead of dialling it."""
    seen = []

    def connect(self, address):
        seen.append(address[0])
        raise ConnectionRefusedError("nobody there")

    monkeypatch.setattr(socket.socket, "connect", connect)
    return seen


@pytest.fixture
def resolver(monkeypatch):
    """Says that every name leads to the `answers`, a list for each look-up in turn, and counts the look-ups."""

    class Resolver:
        answers = itertools.repeat([PUBLIC])
        asked = 0

        def look_up(self, host, port, **given):
            self.asked += 1
            families = [(socket.AF_INET6 if ":" in found else socket.AF_INET, found) for found in next(self.answers)]
            return [(family, socket.SOCK_STREAM, 6, "", (found, port)) for family, found in families]

        def say(self, *found):
            self.answers = itertools.repeat(list(found))

    stub = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", stub.look_up)
    return stub


def post(url: str) -> guard.Reply:
    return guard.post(url, b"{}", {"Content-Type": "application/json"})


@pytest.mark.parametrize("address", INWARD)
def test_an_address_that_is_not_public_is_not_reached_by_its_number(address, resolver, dialled):
    resolver.say(address)
    with pytest.raises(guard.Blocked):
        post(f"https://[{address}]/" if ":" in address else f"https://{address}/")
    assert dialled == []


@pytest.mark.parametrize("address", INWARD)
def test_an_address_that_is_not_public_is_not_reached_by_a_name(address, resolver, dialled):
    resolver.say(address)
    with pytest.raises(guard.Blocked):
        post("https://hook.example/")
    assert dialled == []


@pytest.mark.parametrize("address", INWARD)
def test_one_such_address_among_public_ones_spoils_the_name(address, resolver, dialled):
    resolver.say(PUBLIC, address)
    with pytest.raises(guard.Blocked):
        post("https://hook.example/")
    assert dialled == []


@pytest.mark.parametrize("host", DISGUISED)
def test_a_number_in_disguise_is_not_a_host(host, resolver, dialled):
    resolver.say("127.0.0.1")
    with pytest.raises(guard.Blocked):
        post(f"https://{host}/")
    assert dialled == []


@pytest.mark.parametrize("url", MALFORMED)
def test_what_is_not_a_plain_https_address_is_not_looked_up(url, resolver, dialled):
    with pytest.raises(guard.Blocked):
        post(url)
    assert (resolver.asked, dialled) == (0, [])


def test_there_are_enough_of_these_cases():
    assert 3 * len(INWARD) + len(DISGUISED) + len(MALFORMED) >= 120
    assert len(INWARD) == 31


@pytest.mark.parametrize("address", [PUBLIC, "8.8.8.8", "2606:4700:4700::1111", "2a00:1450:4001:80b::200e"])
def test_a_public_address_is_dialled(address, resolver, dialled):
    resolver.say(address)
    with pytest.raises(ConnectionRefusedError):
        post("https://hook.example/")
    assert dialled == [address]


def test_a_name_that_changes_its_answer_is_looked_up_once_and_never_leads_inward(resolver, dialled):
    resolver.answers = itertools.cycle([[PUBLIC], ["127.0.0.1"]])
    for _ in range(20):
        with pytest.raises((ConnectionRefusedError, guard.Blocked)):
            post("https://hook.example/")

    assert resolver.asked == 20
    assert dialled == [PUBLIC] * 10


def test_a_name_with_many_addresses_is_tried_a_few_times_only(resolver, dialled):
    resolver.say(*[f"93.184.215.{n}" for n in range(1, 30)])
    with pytest.raises(ConnectionRefusedError):
        post("https://hook.example/")
    assert len(dialled) == guard.ADDRESSES


def test_a_name_nobody_knows_is_an_error_of_the_network(monkeypatch):
    def unknown(*asked, **given):
        raise socket.gaierror("unknown")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(OSError, match="could not be resolved"):
        post("https://hook.example/")


def test_a_resolver_that_never_answers_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(guard, "CONNECT_SECONDS", 0.1)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *asked, **given: time.sleep(1))
    with pytest.raises(TimeoutError):
        post("https://hook.example/")


def test_what_the_operator_names_is_reached_without_tls(receiver):
    reply = post(receiver.url())

    assert (reply.status, reply.body) == (200, b"ok")
    assert receiver.posted[0].body == b"{}"


def test_without_tls_nothing_else_is_reached(settings, resolver, dialled):
    settings.WEBHOOK_ALLOW_CIDRS, settings.WEBHOOK_PORTS = ["10.1.0.0/16"], [80]
    with pytest.raises(guard.Blocked):
        post("http://hook.example/")
    assert dialled == []


def test_a_port_the_operator_has_not_opened_is_not_reached(receiver, settings):
    settings.WEBHOOK_PORTS = [443]
    with pytest.raises(guard.Blocked):
        post(receiver.url())
    assert receiver.posted == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(receiver, status):
    receiver.answers["/hook"] = [Answer(status, {"Location": receiver.url("/inside")})]

    assert post(receiver.url()).status == status
    assert receiver.paths() == ["/hook"]


def test_a_proxy_of_the_environment_is_not_used(receiver, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")

    assert post(receiver.url()).status == 200


def test_no_more_than_64_kilobytes_of_an_answer_are_read(receiver):
    receiver.answers["/hook"] = [Answer(body=b"x" * 5_000_000)]

    assert len(post(receiver.url()).body) == 64 * 1024


def drip(part: bytes, *, head: bytes = b""):
    """Say `head`, then `part` every 50 ms until the other side is gone."""

    def answer(handler):
        handler.wfile.write(head)
        while True:
            handler.wfile.write(part)
            handler.wfile.flush()
            time.sleep(0.05)

    return answer


@pytest.mark.parametrize("answer", [drip(b"x"), lambda handler: time.sleep(3)], ids=["drips", "says nothing"])
def test_a_far_end_that_is_slow_to_answer_is_cut_off_in_time(receiver, answer):
    receiver.answers["/hook"] = [answer]
    began = time.monotonic()
    with pytest.raises((OSError, guard.http.client.HTTPException)):
        guard.post(receiver.url(), b"{}", {}, seconds=0.6)
    assert time.monotonic() - began < 1.5


@pytest.mark.parametrize(
    "answer",
    [
        drip(b"X-A: b\r\n", head=b"HTTP/1.1 202 Accepted\r\n"),
        drip(b"x", head=b"HTTP/1.1 202 Accepted\r\n\r\n"),
    ],
    ids=["headers", "body"],
)
def test_what_drips_after_the_status_is_cut_off_and_the_status_counts(receiver, answer):
    receiver.answers["/hook"] = [answer]
    began = time.monotonic()

    assert guard.post(receiver.url(), b"{}", {}, seconds=0.6).status == 202
    assert time.monotonic() - began < 1.5


# With TLS: the certificate is the named host's, though the address was dialled


@pytest.fixture
def secure(receiver, monkeypatch, tmp_path, settings, resolver) -> list[str]:
    """The receiver speaks TLS as hook.example, whose name leads to it; we trust its certificate and no other."""
    if not shutil.which("openssl"):
        needs.missing("openssl is not installed", "apt-get install openssl")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=hook.example -days 2"
    names = ["-addext", "subjectAltName=DNS:hook.example", "-addext", "keyUsage=critical,digitalSignature,keyCertSign"]
    subprocess.run([*command.split(), *names, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(certificate, key)
    own.sni_callback = lambda line, name, context: asked.append(name)
    asked: list[str] = []
    receiver.server.socket = own.wrap_socket(receiver.server.socket, server_side=True, do_handshake_on_connect=False)
    trusted = ssl.create_default_context(cafile=certificate)
    monkeypatch.setattr(guard, "_certificates", lambda: trusted)
    resolver.say("127.0.0.1")
    return asked


def test_the_host_keeps_its_name_in_tls_and_in_the_request(secure, receiver, resolver):
    reply = post(f"https://hook.example:{receiver.port}/hook?a=b")

    assert (reply.status, resolver.asked, secure) == (200, 1, ["hook.example"])
    assert receiver.posted[0].headers["Host"] == f"hook.example:{receiver.port}"
    assert receiver.posted[0].path == "/hook?a=b"


def test_a_certificate_of_another_host_is_not_accepted(secure, receiver):
    with pytest.raises(ssl.SSLCertVerificationError):
        post(f"https://other.example:{receiver.port}/")
    assert receiver.posted == []


def test_a_handshake_that_never_ends_is_cut_off_in_time(settings, resolver):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.WEBHOOK_ALLOW_CIDRS, settings.WEBHOOK_PORTS = ["127.0.0.0/8"], [silent.getsockname()[1]]
        resolver.say("127.0.0.1")
        began = time.monotonic()
        with pytest.raises(OSError):
            guard.post(f"https://hook.example:{silent.getsockname()[1]}/", b"{}", {}, seconds=0.5)
    assert time.monotonic() - began < 1.5
