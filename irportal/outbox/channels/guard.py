"""Asks only public addresses: whoever names a URL must not be able to reach what only we can reach.

A name is looked up once, every answer is judged, and the very address that was judged is dialled. No redirect is
followed, no proxy of the environment is used, and one deadline holds for everything.
"""

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import SplitResult, urlsplit

from django.conf import settings

CONNECT_SECONDS = 5
TOTAL_SECONDS = 15
READ_BYTES = 64 * 1024
ADDRESSES = 4  # of one name, tried in turn
PORTS = {"https": 443, "http": 80}

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
UNICAST = ipaddress.ip_network("2000::/3")
# Public by the registry, and yet a way to something else: 6to4 relays, Teredo and its kind, 6to4, documentation.
NOT_PUBLIC = [ipaddress.ip_network(name) for name in ("192.88.99.0/24", "2001::/23", "2002::/16", "3fff::/20")]


class Blocked(Exception):
    """The URL leads where nothing may be sent."""


class Reply(NamedTuple):
    """What came back; of the body the beginning at most, and not all of that when time was up."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def post(
    url: str, body: bytes, headers: dict[str, str], *, seconds: float = TOTAL_SECONDS, trusted: bool = True
) -> Reply:
    """Post to a public address and return what came back within `seconds`.

    `trusted`: staff named it, so it may lie in the operator's networks too.
    Raises Blocked, or OSError or HTTPException when no answer came.
    """
    return _ask("POST", url, body, headers, seconds=seconds, most=READ_BYTES, trusted=trusted)


def get(url: str, headers: dict[str, str], *, seconds: float, most: int) -> Reply:
    """As `post`, to read what is there: `most` bytes of the body."""
    return _ask("GET", url, None, headers, seconds=seconds, most=most)


def _ask(
    method: str,
    url: str,
    body: bytes | None,
    headers: dict[str, str],
    *,
    seconds: float,
    most: int,
    trusted: bool = True,
) -> Reply:
    parts = check(url, trusted=trusted)
    host, port = ascii_host(parts), parts.port or PORTS[parts.scheme]
    deadline = time.monotonic() + seconds
    line = (
        http.client.HTTPSConnection(host, port, timeout=CONNECT_SECONDS, context=_certificates())
        if parts.scheme == "https"
        else http.client.HTTPConnection(host, port, timeout=CONNECT_SECONDS)
    )
    dialled = _dial(host, port, deadline, plain=parts.scheme == "http", trusted=trusted)
    with dialled, _cut_at(deadline, dialled):
        line._create_connection = lambda *asked: dialled.dup()  # type: ignore[attr-defined]
        try:
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            line.request(method, target, body, headers)
            if line.sock:
                line.sock.settimeout(max(0.1, deadline - time.monotonic()))
            answer = line.getresponse()
            return Reply(answer.status, dict(answer.headers.items()), _read(answer, most))
        finally:
            line.close()


def check(url: str, *, trusted: bool = True) -> SplitResult:
    """The parts of a URL we may post to, as far as that can be told before its name is looked up. Raises Blocked."""
    if not url.isprintable() or any(sign in " \\" for sign in url):
        raise Blocked("the address has signs that do not belong into one")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Blocked("this is not an address") from error
    if parts.scheme not in PORTS or not parts.hostname:
        raise Blocked("only https addresses")
    if "@" in parts.netloc or "#" in url:
        raise Blocked("no name, no password and no #part in the address")
    if not (parts.path + parts.query).isascii():
        raise Blocked("the path must be written in ASCII")
    if (port if port is not None else PORTS[parts.scheme]) not in settings.WEBHOOK_PORTS:
        raise Blocked("a port the operator has not opened")
    if not (trusted and settings.WEBHOOK_ALLOW_CIDRS) and parts.scheme != "https":
        raise Blocked("only https addresses")
    ascii_host(parts)
    return parts


def ascii_host(parts: SplitResult) -> str:
    """The host as it is looked up. Raises Blocked for a number in disguise: 2130706433, 0x7f.1, 127.1, ①②⑦.⓪.⓪.①"""
    typed = parts.hostname or ""
    if "%" in typed:
        raise Blocked("no zone and no escapes in the host")
    with suppress(ValueError):
        return str(ipaddress.ip_address(typed))
    try:
        host = typed.encode("idna").decode("ascii").rstrip(".")
    except UnicodeError as error:
        raise Blocked("this is not a host name") from error
    last = host.rpartition(".")[2]
    if not last or last.isdigit() or last.startswith("0x"):
        raise Blocked("a number is not a host name")
    return host


def allowed(address: str, *, plain: bool = False, trusted: bool = True) -> bool:
    """Whether we may send to this IP address: a public one, or one the operator named. `plain`: without TLS."""
    judged: Address = ipaddress.ip_address(address.partition("%")[0])
    judged = getattr(judged, "ipv4_mapped", None) or judged
    named = (ipaddress.ip_network(name) for name in settings.WEBHOOK_ALLOW_CIDRS)
    if trusted and _within(judged, named):
        return True
    if plain or not judged.is_global or judged.is_multicast or judged.is_reserved:
        return False
    if judged.version == 6 and judged not in UNICAST:
        return False
    return not _within(judged, iter(NOT_PUBLIC))


def _within(address: Address, networks: Iterator[Network]) -> bool:
    return any(network.version == address.version and address in network for network in networks)


def _dial(host: str, port: int, deadline: float, *, plain: bool, trusted: bool) -> socket.socket:
    """A connection to one of the addresses of a name, all of which must be allowed."""
    answers = _look_up(host, port)
    if not answers or not all(allowed(str(answer[4][0]), plain=plain, trusted=trusted) for answer in answers):
        raise Blocked("the name leads to an address that is not public")
    problem: OSError = TimeoutError("no connection in time")
    for family, kind, protocol, _, address in answers[:ADDRESSES]:
        left = min(CONNECT_SECONDS, deadline - time.monotonic())
        if left <= 0:
            break
        dialled = socket.socket(family, kind, protocol)
        dialled.settimeout(left)
        try:
            dialled.connect(address)
            return dialled
        except OSError as error:
            problem = error
            dialled.close()
    raise problem


def _look_up(host: str, port: int) -> list[Any]:
    """All addresses of a name. The library waits for as long as the resolver likes; we do not."""
    found: list[Any] = []

    def ask() -> None:
        try:
            found.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            found.append(error)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(CONNECT_SECONDS)
    if not found:
        raise TimeoutError("the name was not resolved in time")
    if isinstance(found[0], Exception):
        raise OSError("the name could not be resolved") from found[0]
    return list(found[0])


@contextmanager
def _cut_at(deadline: float, dialled: socket.socket) -> Iterator[None]:
    """Cut the line at the deadline. A timeout for each read would let a far end drip a byte at a time for ever."""

    def cut() -> None:
        with suppress(OSError):
            dialled.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(max(0.0, deadline - time.monotonic()), cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _read(answer: http.client.HTTPResponse, most: int) -> bytes:
    """What came of the body; the status has said already what counts."""
    with suppress(OSError, http.client.HTTPException):
        return answer.read(most)
    return b""


@cache
def _certificates() -> ssl.SSLContext:
    return ssl.create_default_context()
