"""A whole portal with servers of its own, on free ports of 127.0.0.1; nothing is left of it afterwards."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.chaos.portal import HANDS, Portal
from tests.chaos.servers import Postgres, Redis
from tests.chaos.sink import Sink


class Stage(NamedTuple):
    portal: Portal
    sink: Sink
    redis: Redis
    postgres: Postgres | None


@contextmanager
def stage(database: str, sink: Sink, *, readers: int, hands: tuple[str, ...] = HANDS, **more: str) -> Iterator[Stage]:
    """`database` is sqlite or postgres; `readers` subscribe to everything; `hands` are started, `more` is their
    environment besides."""
    with ExitStack() as stack:
        stack.callback(sink.stop)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="portal-", ignore_cleanup_errors=True)))
        postgres = Postgres(folder) if database == "postgres" else None
        if postgres:
            stack.callback(postgres.stop)
        redis = Redis(folder)
        stack.callback(redis.stop)
        url = postgres.url if postgres else f"sqlite:///{folder / 'portal.sqlite3'}"
        portal = Portal(
            folder,
            database_url=url,
            redis_url=redis.url,
            smtp_url=sink.url,
            readers=readers,
            hands=hands,
            **more,
        )
        stack.callback(portal.stop)
        yield Stage(portal, sink, redis, postgres)
