import logging
import signal
import time
from argparse import ArgumentParser
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand
from django.db import DatabaseError, close_old_connections

from irportal.outbox import engine

log = logging.getLogger(__name__)

NO_LIMIT = float("inf")  # nobody cuts a turn short here, as Celery does


class Command(BaseCommand):
    help = "Run the engine without a broker: the stand-by hand that keeps mail going when Redis is gone."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="one turn, then end")

    def handle(self, *args: Any, **options: Any) -> None:
        self.going = True
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.stop)
        while self.going:
            try:
                engine.run_once(seconds=NO_LIMIT, going=lambda: self.going)
            except DatabaseError:
                log.exception("the database does not answer; the engine tries again")
            close_old_connections()
            if options["once"]:
                break
            time.sleep(1)

    def stop(self, number: int, frame: FrameType | None) -> None:
        self.going = False
