"""Uploads while they come in: what is too large, or finds no room, ends there and leaves nothing behind."""

import logging
from typing import Any

from django.conf import settings
from django.core.files.uploadhandler import SkipFile, StopUpload, TemporaryFileUploadHandler

MEGABYTE = 1_000_000
PATIENCE = 4  # so many times the limit is read to the end, so that the answer reaches a browser that is still sending
log = logging.getLogger(__name__)


class BoundedUpload(TemporaryFileUploadHandler):
    """A file on disk up to EVIDENCE_FILE_MB, the largest any form takes.

    `stopped_upload` on the request then says why there is none: `large` or `room`. The other fields are kept.
    """

    def handle_raw_input(self, input_data: Any, META: Any, content_length: int, *rest: Any) -> None:
        self.limit = settings.EVIDENCE_FILE_MB * MEGABYTE
        self.is_endless = content_length > PATIENCE * self.limit
        self.so_far = 0

    def new_file(self, *args: Any, **options: Any) -> None:
        try:
            super().new_file(*args, **options)
        except OSError:
            self._no_room()

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes | None:
        self.so_far += len(raw_data)
        if self.so_far > self.limit:
            self.request.stopped_upload = "large"  # type: ignore[union-attr]
            raise StopUpload(connection_reset=True) if self.is_endless else SkipFile
        try:
            self.file.write(raw_data)
        except OSError:
            self._no_room()
        return None

    def _no_room(self) -> None:
        log.exception("an upload finds no room")
        self.request.stopped_upload = "room"  # type: ignore[union-attr]
        raise SkipFile
