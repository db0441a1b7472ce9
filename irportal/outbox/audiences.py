"""Who an announcement goes to.

Parts above register a function per audience; the outbox knows only its name.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple


class Reader(NamedTuple):
    """One reader of one announcement.

    `key` names the reader across announcements (`subscriber:17`): it is the order lane and what a suppression
    names. `unsubscribe_url` is absolute, or empty for staff. `why` is the sentence that tells the reader why
    they get this.
    """

    key: str
    address: str
    unsubscribe_url: str = ""
    why: str = ""


Resolver = Callable[[dict[str, Any]], Iterable[Reader]]
_resolvers: dict[str, Resolver] = {}


def register(name: str, resolver: Resolver) -> None:
    """Let `resolver(facts)` answer for the audience called `name`."""
    _resolvers[name] = resolver


def resolve(name: str, facts: dict[str, Any]) -> list[Reader]:
    """The readers of audience `name` right now, one per address. Raises KeyError for an unknown name."""
    readers: dict[str, Reader] = {}
    for reader in _resolvers[name](facts):
        reader = reader._replace(address=in_ascii(reader.address))
        readers.setdefault(reader.address.lower(), reader)
    return list(readers.values())


def in_ascii(address: str) -> str:
    """The address with its domain as the wire takes it: `info@bücher.example` becomes `info@xn--bcher-kva.example`."""
    local, at, domain = address.rpartition("@")
    try:
        return f"{local}{at}{domain.encode('idna').decode()}"
    except UnicodeError:  # not a domain at all; whoever sends says so
        return address


def addresses(facts: dict[str, Any]) -> list[Reader]:
    """The audience of mails that already know their addresses (`mailer`)."""
    return [Reader(key=f"address:{address}"[:60], address=address) for address in facts["addresses"]]


register("addresses", addresses)
