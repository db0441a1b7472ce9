"""Who an announcement goes to.

Parts above register a function per audience; the outbox knows only its name.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from django.db.models import Count, Q, QuerySet, Subquery

from irportal.outbox.models import Announcement, Delivery, Suppression


class Reader(NamedTuple):
    """One reader of one announcement.

    `key` names the reader across announcements (`subscriber:17`): it is the order lane and what a suppression
    names. `leave` names them to the page where they leave, and is empty for staff. `why` is the sentence that
    tells the reader why they get this. Times are told in `time_zone`, an IANA name, beside UTC.
    """

    key: str
    address: str
    leave: str = ""
    why: str = ""
    language: str = "en"
    time_zone: str = "UTC"
    channel: str = "smtp"  # else `webhook` or `chat`: then `key` is `endpoint:17`, and `address` its host


# One reader, or any number as rows with the columns ROW: those are never loaded.
ROW = Reader._fields
Readers = Reader | QuerySet[Any, Any]
Resolver = Callable[[dict[str, Any]], Iterable[Readers]]
LeaveUrl = Callable[[str, str], str]
LEAVE = "{unsubscribe_url}"  # in a text, where a reader's own link belongs
STOPPED = Suppression.objects.values("target")
_audiences: dict[str, tuple[Resolver, LeaveUrl]] = {}
_unheard: set[str] = set()
_leaving: list[Callable[[str], object]] = []


def _nowhere(leave: str, language: str) -> str:
    """Of readers who cannot leave."""
    return ""


def register(name: str, resolver: Resolver, leave_url: LeaveUrl = _nowhere, *, overheard: bool = True) -> None:
    """Let `resolver(facts)` answer for the audience called `name`.

    `leave_url(leave, language)` is the absolute address of the page where the reader so named leaves. What is
    `overheard` our own webhooks and chat rooms are told, too.
    """
    _audiences[name] = resolver, leave_url
    if not overheard:
        _unheard.add(name)


def is_overheard(name: str) -> bool:
    return name not in _unheard


def resolve(name: str, facts: dict[str, Any]) -> tuple[list[Reader], list[QuerySet[Any, Any]]]:
    """The readers of audience `name` right now: the single ones, one per address, and the many as rows.

    Raises KeyError for an unknown name.
    """
    single: dict[str, Reader] = {}
    many = []
    for found in _audiences[name][0](facts):
        if isinstance(found, Reader):
            reader = found._replace(address=in_ascii(found.address))
            single.setdefault(reader.address.lower() if reader.channel == "smtp" else reader.key, reader)
        else:
            many.append(found)
    return list(single.values()), many


def reach(name: str, facts: dict[str, Any]) -> int:
    """How many addresses an announcement would go to right now, those who left or bounce not counted."""
    single, many = resolve(name, facts)
    targets = {target for reader in single for target in (reader.key, reader.address)}
    stopped = set(Suppression.objects.filter(target__in=targets).values_list("target", flat=True))
    told = {reader.address for reader in single if stopped.isdisjoint((reader.key, reader.address))}
    found = len(told)
    for rows in many:
        open_to = rows.order_by().values("key", "address").exclude(Q(key__in=STOPPED) | Q(address__in=STOPPED))
        again = Count("address", filter=Q(address__in=told), distinct=True)
        count = open_to.aggregate(every=Count("key"), again=again)
        found += count["every"] - count["again"]
    return found


def told(thread: str, name: str) -> QuerySet[Delivery, Any]:
    """The keys of all whom audience `name` of this thread had by now.

    They are those of its last announcement, of each channel the last that said something there: a fan-out that finds
    its readers with this goes to whoever was told before, but for those who left, and fan-outs of a thread come one
    after the other.
    """
    fanned_out = Announcement.objects.filter(thread=thread, audience=name, fanned_out_at__isnull=False)
    newest = fanned_out.order_by("-fanned_out_at", "-pk").values("pk")
    last = Q()
    for text in ("text", "payload", "public_chat"):
        last |= Q(announcement=Subquery(newest.exclude(**{text: ""})[:1]))
    return Delivery.objects.filter(last).values("reader")


def leave_url(name: str) -> LeaveUrl:
    """How audience `name` makes the address of its leave page; one that is unknown by now has none."""
    return _audiences[name][1] if name in _audiences else _nowhere


def on_leave(function: Callable[[str], object]) -> None:
    """Have `function(reader key)` called, in the same transaction, when a complaint ends a subscription."""
    if function not in _leaving:
        _leaving.append(function)


def left(reader: str) -> None:
    """Tell the parts above that this reader wants no more."""
    for function in _leaving:
        function(reader)


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
