"""How a line of the log is written: as words on one machine, as JSON in production, with nobody's address in either."""

import logging
import re
from typing import Any

from pythonjsonlogger.json import JsonFormatter

LINE = "%(asctime)s %(levelname)s %(name)s %(message)s"
FIELDS = ["levelname", "name", "message", "process"]
NAMES = {"levelname": "level", "name": "logger", "timestamp": "at"}
# What must not be kept, wherever it stands, tracebacks included: passwords in addresses of servers, mail addresses,
# and the keys by which a reader leaves or a person signs in.
HIDDEN = [
    (re.compile(r"""(://)[^\s/@"'\\]+@"""), r"\1(secret)@"),
    (re.compile(r"""[^\s<>"'\\(),:;@=/]+@[\w-]+(?:\.[\w-]+)+"""), "(address)"),
    (re.compile(r"(/u/|/password/reset/key/)[\w.~-]+"), r"\1(secret)"),
]


def hide(written: str) -> str:
    """The text without mail addresses, passwords of servers and one-time keys."""
    for pattern, instead in HIDDEN:
        written = pattern.sub(instead, written)
    return written


class Line(logging.Formatter):
    """Words for a person at a terminal."""

    def __init__(self) -> None:
        super().__init__(LINE)

    def format(self, record: logging.LogRecord) -> str:
        return hide(super().format(record))


class Json(JsonFormatter):
    """One JSON object a line: at (ISO 8601, UTC), level, logger, message, process, and exc_info where there is one."""

    def __init__(self) -> None:
        super().__init__(FIELDS, rename_fields=NAMES, timestamp=True, json_ensure_ascii=False)

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        return {key: hide(value) if isinstance(value, str) else value for key, value in log_data.items()}
