"""Where a page is read from: files, folders, addresses. Bounded in size, number and time.

Addresses are asked as webhooks are posted: only public ones, unless the operator named the network.
"""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from irportal.outbox.channels import guard
from irportal.refused import Refused
from statuspage.importing.shape import File

MB = 1024 * 1024
LARGEST, ALTOGETHER = 64 * MB, 256 * MB
FILES = 20_000
ENDINGS = (".json", ".jsonl", ".md", ".sql", ".toml", ".yaml", ".yml")
ANSWER, SECONDS, ANSWERS, MINUTES = 16 * MB, 30.0, 5_000, 20


def is_address(source: str) -> bool:
    return source.startswith(("https://", "http://"))


def from_disk(source: str) -> list[File]:
    """A file, or every file of a folder that may be part of a page. Raises Refused."""
    path = Path(source)
    try:
        if not path.is_dir():
            return [File(path.name, _bounded(path))]
        found, total = [], 0
        for file in _files_of(path):
            found.append(File(file.relative_to(path).as_posix(), _bounded(file)))
            total += len(found[-1].data)
            if len(found) > FILES or total > ALTOGETHER:
                raise Refused(f"{source} holds more than {FILES} files or {ALTOGETHER // MB} MB.")
    except OSError as problem:
        raise Refused(f"{source} cannot be read: {problem.strerror or problem}.") from None
    if not found:
        raise Refused(f"{source} holds no file that could be part of a page.")
    return found


def _files_of(folder: Path) -> Iterable[Path]:
    for file in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
        if file.is_file() and file.suffix in ENDINGS and (not hidden or file.name.startswith(".upptimerc")):
            yield file


def _bounded(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise Refused(f"{path} is larger than {LARGEST // MB} MB.")
    return data


@dataclass
class Asked:
    """One far end that is asked for documents. `headers` may hold a token: nothing is asked of another host."""

    headers: dict[str, str] = field(default_factory=dict)
    answers: int = 0
    ends: float = field(default_factory=lambda: time.monotonic() + MINUTES * 60)

    def document(self, url: str) -> Any:
        """What it answers as JSON, or None when it has no such document. Raises Refused."""
        body = self.body(url)
        if body is None:
            return None
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise Refused(f"{url} does not answer with JSON.") from None

    def body(self, url: str) -> bytes | None:
        self.answers += 1
        if self.answers > ANSWERS or time.monotonic() > self.ends:
            raise Refused(f"more than {ANSWERS} documents or {MINUTES} minutes are not asked of one page.")
        try:
            reply = guard.get(url, self.headers | {"Accept": "application/json"}, seconds=SECONDS, most=ANSWER + 1)
        except guard.Blocked as blocked:
            raise Refused(f"{url} is not asked: {blocked}.") from None
        except (OSError, HTTPException) as error:
            raise Refused(
                f"{url} does not answer: {getattr(error, 'strerror', None) or type(error).__name__}."
            ) from None
        if reply.status in (404, 410):
            return None
        if reply.status != 200:
            raise Refused(f"{url} answers {reply.status}.")
        if len(reply.body) > ANSWER:
            raise Refused(f"{url} answers with more than {ANSWER // MB} MB.")
        return reply.body


def base_of(url: str) -> str:
    """The address without path, query and a slash at its end."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def as_file(url: str, document: Any) -> File:
    return File(urlsplit(url).path or "/", json.dumps(document).encode())
