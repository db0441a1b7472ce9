"""R-T3: from the commit of an update to the relay's 250, with everything healthy."""

import time

from tests.chaos.portal import HANDS
from tests.chaos.servers import until
from tests.chaos.sink import Sink
from tests.chaos.stage import stage
from tests.promises.figures import Figure, percentile
from tests.promises.soak import CONNECTIONS

READERS, EVERY = 200, 12.0  # five updates a minute


def prove(database: str, *, updates: int = 15, every: float = EVERY, readers: int = READERS) -> list[Figure]:
    """Counted from before the update is posted, which is before its commit, to the instant the 250 is written."""
    sink = Sink(0, temporary=0, slow=0)
    posted: dict[str, float] = {}
    hands = tuple(name for name in HANDS if name != "second engine")
    with stage(database, sink, readers=readers, hands=hands, MAIL_CONNECTIONS=str(CONNECTIONS[database])) as here:
        until(lambda: sink.taken, seconds=60, what="the mail of the declaration")
        start = time.monotonic()
        for number in range(1, updates + 1):
            time.sleep(max(0.0, start + (number - 1) * every - time.monotonic()))
            text = f"Update number {number}."
            assert here.portal.say(text), "the portal refused an update"
            posted[text] = here.portal.posted_at
        until(lambda: len(to_readers(sink)) >= readers * updates, seconds=60, what="the mail of every update")
        told = {key[:16]: text for key, text in here.portal.shell_json(TEXTS).items()}
    waited = [taken.at + sink.answer_after - posted[told[taken.key]] for taken in to_readers(sink)]
    return [
        Figure("updates and readers without their mail", readers * updates - len(waited), 0, "mails"),
        Figure("commit to 250, median", percentile(waited, 0.5), 2, "s"),
        Figure("commit to 250, 99 of 100", percentile(waited, 0.99), 5, "s"),
    ]


def to_readers(sink: Sink) -> list:
    return [taken for taken in sink.taken if taken.reader.endswith("@reader.example")]


TEXTS = """
import json, re
from irportal.outbox.models import Delivery
rows = Delivery.objects.filter(reader__startswith="subscriber:").values_list("key", "announcement__text")
print(json.dumps({key: re.search(r"Update number \\d+\\.", text)[0] for key, text in rows}))
"""
