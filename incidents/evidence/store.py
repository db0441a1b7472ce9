"""Files on disk, under EVIDENCE_DIR, each by the SHA-256 of its bytes. No name anybody chose is ever a path."""

import errno
import hashlib
import io
import logging
import mmap
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile

from incidents.evidence import contents
from incidents.evidence.models import EvidenceItem
from irportal.refused import Refused

CHUNK = 1 << 18
DAY = 86_400
log = logging.getLogger(__name__)


class Damaged(Exception):
    """What is kept of an item is not what was received. The message says how, as the end of a sentence."""


@dataclass(frozen=True)
class Content:
    """What an item holds, before it is an item. `part` is the file while it is being received."""

    kind: str
    size: int
    sha256: str
    name: str = ""
    media: str = ""
    text: str = ""
    url: str = ""
    part: Path | None = None


def of_text(text: str) -> Content:
    data = text.encode()
    return Content(kind="text", size=len(data), sha256=hashlib.sha256(data).hexdigest(), text=text)


def of_link(url: str) -> Content:
    data = url.encode()
    return Content(kind="link", size=len(data), sha256=hashlib.sha256(data).hexdigest(), url=url)


def of_item(item: EvidenceItem) -> Content:
    """The same again, for an item that only says something else about it."""
    names = ("kind", "size", "sha256", "name", "media", "text", "url")
    return Content(**{name: getattr(item, name) for name in names})


@contextmanager
def received(upload: UploadedFile) -> Iterator[Content]:
    """The upload as a file in the folder for what comes in, gone again at the end unless it was settled.

    Raises Refused when it is of a kind we do not take, or when the disk does not.
    """
    part = _folder("incoming") / f"{secrets.token_hex(16)}.part"
    try:
        with _clear():
            _sweep(part.parent)
            size, sha256 = _copy(upload, part)
        if not size:
            raise Refused("The file is empty.")
        media = _media(part)
        name = contents.clean_name(upload.name or "", media)
        yield Content("file", size, sha256, name=name, media=media, part=part)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def settle(content: Content) -> None:
    """Give the received file its place. The last step of the transaction that writes its row."""
    if content.part is None:
        return
    place = path_of(content.sha256)
    _folder(place.parent.name)
    with _clear():
        content.part.chmod(0o400)
        content.part.replace(place)
        _sync(place.parent)


def path_of(sha256: str) -> Path:
    return settings.EVIDENCE_DIR / sha256[:2] / sha256


def open_whole(item: EvidenceItem) -> BinaryIO:
    """The bytes of an item, from the beginning, after all of them were found to match its hash. Raises Damaged."""
    handle: BinaryIO
    if item.kind != EvidenceItem.Kind.FILE:
        handle = io.BytesIO((item.text or item.url).encode())
    else:
        try:
            handle = path_of(item.sha256).open("rb")
        except FileNotFoundError:
            raise Damaged("its file is missing") from None
        except OSError:
            log.exception("evidence cannot be opened")
            raise Damaged("its file cannot be read") from None
    try:
        _check(handle, item)
    except BaseException:
        handle.close()
        raise
    return handle


def _check(handle: BinaryIO, item: EvidenceItem) -> None:
    try:
        found = hashlib.file_digest(handle, "sha256").hexdigest()  # type: ignore[arg-type]
        handle.seek(0)
    except OSError:
        log.exception("evidence cannot be read")
        raise Damaged("its file cannot be read") from None
    if found != item.sha256:
        raise Damaged("it was changed after it was received")


def pieces(handle: BinaryIO, sha256: str) -> Iterator[bytes]:
    """The bytes, piece by piece. The last one is held back until all of them match: a file changed while it is
    handed out breaks off, and its reader has nothing whole. Closes the handle."""
    digest, held = hashlib.sha256(), b""
    with handle:
        while piece := handle.read(CHUNK):
            digest.update(piece)
            if held:
                yield held
            held = piece
    if digest.hexdigest() != sha256:
        raise Damaged("it changed while it was handed out")
    yield held


def _copy(upload: UploadedFile, part: Path) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        for chunk in upload.chunks():
            size += len(chunk)
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return size, digest.hexdigest()


def _sweep(folder: Path) -> None:
    """Take away what a process that was killed left behind a day ago or longer."""
    for left in folder.glob("*.part"):
        with suppress(FileNotFoundError):
            if left.stat().st_mtime < time.time() - DAY:
                left.unlink()


def _media(part: Path) -> str:
    with part.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return contents.media_of(data)


def _folder(name: str) -> Path:
    folder: Path = settings.EVIDENCE_DIR / name
    with _clear():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _clear() -> Iterator[None]:
    """What the disk says, as a sentence for the person and a line in the log."""
    try:
        yield
    except OSError as error:
        log.exception("evidence cannot be kept")
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        why = "The disk for evidence is full" if full else "The folder for evidence cannot be written to"
        raise Refused(f"{why}. Nothing was kept; tell whoever runs the portal, and keep your file.") from error
