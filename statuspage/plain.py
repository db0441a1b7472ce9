"""The public site as plain files: the same bytes under the same addresses, for a server that knows nothing of us."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from django.utils.html import format_html

from statuspage.models import Document

LIST = ".published.json"  # what the last run wrote, so that nothing else is ever removed


def write_to(folder: Path) -> tuple[int, int]:
    """Write what changed, remove what is gone; how many files of each. Every file is swapped in whole."""
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / LIST
    before: dict[str, str] = json.loads(record.read_text()) if record.exists() else {}
    now: dict[str, str] = {}
    wrote = 0
    for document in Document.objects.order_by("path").iterator():
        for name, content in files_of(document):
            now[name] = document.etag
            if before.get(name) != document.etag or not (folder / name).exists():
                _put(folder / name, content, document.modified)
                wrote += 1
    gone = before.keys() - now.keys()
    for name in gone:
        (folder / name).unlink(missing_ok=True)
    _put(record, json.dumps(now, indent=0, sort_keys=True).encode(), None)
    return wrote, len(gone)


def files_of(document: Document) -> Iterator[tuple[str, bytes]]:
    """The file of a document and its packed forms. `/de/` is de/index.html, `/history` is history.html."""
    name = file_of(document.path)
    if document.status == 301:
        yield name, _redirect(document)
        return
    for ending, content in (("", document.body), (".gz", document.gzip), (".br", document.brotli)):
        if content is not None:
            yield name + ending, bytes(content)


def file_of(path: str) -> str:
    """Relative to the folder. Raises ValueError for a path that would lead out of it."""
    name = f"{path}index".lstrip("/") if path.endswith("/") else path.strip("/")
    if ".." in name.split("/"):
        raise ValueError(f"{path!r} leads out of the folder.")
    return name if "." in name.rpartition("/")[2] else f"{name}.html"


def _redirect(document: Document) -> bytes:
    """Files cannot redirect; a page that leads on comes closest."""
    to = dict(line.split(": ", 1) for line in document.head.splitlines())["Location"]
    page = '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url={0}"><a href="{0}">{0}</a>'
    return format_html(page, to).encode()


def _put(file: Path, content: bytes, modified: int | None) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    fresh.write_bytes(content)
    if modified is not None:
        os.utime(fresh, (modified, modified))
    fresh.replace(file)
