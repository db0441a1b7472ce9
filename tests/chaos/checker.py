"""Reads the whole history afterwards and says for every rule whether it held."""

import re
from collections import Counter, defaultdict
from typing import NamedTuple

from tests.chaos.sink import Taken

ENDED = {"sent", "suppressed", "superseded"}


class Rule(NamedTuple):
    name: str
    broken: int
    of: int

    def __str__(self) -> str:
        return f"{'ok    ' if not self.broken else 'BROKEN'} {self.name}: {self.broken} of {self.of}"


class Verdict(NamedTuple):
    rules: list[Rule]
    duplicates: int
    dead: int

    @property
    def broken(self) -> list[str]:
        return [str(rule) for rule in self.rules if rule.broken]


def check(
    acknowledged: list[int],
    written: int,
    readers: int,
    dump: dict[str, list],
    taken: list[Taken],
    under_fire: int,
    allowed: int,
) -> Verdict:
    """`acknowledged` are the numbers of the updates that the web process said yes to; `under_fire` is how much the
    relay had taken when the last fault was over; `allowed` are the repeats that the injected faults explain."""
    deliveries = dump["deliveries"]
    by_key = {row["key"][:16]: row for row in deliveries}
    digests: dict[str, set[str]] = defaultdict(set)
    for one in taken:
        digests[one.key].add(one.digest)
    audience: Counter[int] = Counter()
    for row in deliveries:
        audience[row["announcement_id"]] += row["reader"].startswith("subscriber:")
    told = {
        int(found[1]): audience[row["id"]]
        for row in dump["announcements"]
        if (found := re.search(r"Update number (\d+)\.", row["text"])) and row["audience"] == "customers"
    }
    sent = [row for row in deliveries if row["state"] == "sent"]
    unsaid = [
        row for row in deliveries if row["state"] not in ENDED and not (row["state"] == "dead" and row["last_error"])
    ]
    duplicates = len(taken) - len(digests)
    rules = [
        Rule("fewer than half of the updates were acknowledged", int(len(acknowledged) < written / 2), written),
        Rule("less than a quarter of the mail left while things broke", int(under_fire < len(taken) / 4), len(taken)),
        Rule(
            "acknowledged updates that were not announced to everybody",
            sum(told.get(number) != readers for number in acknowledged),
            len(acknowledged),
        ),
        Rule(
            "announcements not fanned out",
            sum(not row["fanned_out_at"] for row in dump["announcements"]),
            len(dump["announcements"]),
        ),
        Rule("deliveries without an end", len(unsaid), len(deliveries)),
        Rule(
            "marked as sent and never taken by the relay",
            sum(row["key"][:16] not in digests for row in sent),
            len(sent),
        ),
        Rule("sent without a proof", len({row["id"] for row in sent} - set(dump["ok"])), len(sent)),
        Rule(
            "taken for somebody else",
            sum(one.reader != by_key[one.key]["address"] for one in taken if one.key in by_key),
            len(taken),
        ),
        Rule("taken by the relay and unknown to us", sum(key not in by_key for key in digests), len(digests)),
        Rule("repeats with other bytes", sum(len(found) > 1 for found in digests.values()), duplicates),
        Rule("order inversions", inversions(taken, by_key), len(digests)),
        Rule(f"repeats beyond the {allowed} explained", max(0, duplicates - allowed), duplicates),
    ]
    return Verdict(rules, duplicates, sum(row["state"] == "dead" for row in deliveries))


def inversions(taken: list[Taken], by_key: dict[str, dict]) -> int:
    """How often a reader got word of an incident after a later one; a repeat does not count, its first copy does."""
    newest: dict[str, int] = {}
    seen: set[str] = set()
    count = 0
    for one in taken:
        row = by_key.get(one.key)
        if row is None or one.key in seen:
            continue
        seen.add(one.key)
        count += row["id"] < newest.get(row["lane"], 0)
        newest[row["lane"]] = max(row["id"], newest.get(row["lane"], 0))
    return count
