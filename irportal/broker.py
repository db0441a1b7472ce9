"""kombu's broker of files, for a machine without Redis: here no reader ever meets a half-written message.

The library writes a message under its final name. Who reads in between finds an empty file, and the worker ends.
"""

import os
from pathlib import Path
from time import monotonic_ns
from typing import Any
from uuid import uuid4

from kombu.transport import filesystem
from kombu.utils.json import dumps


class Channel(filesystem.Channel):
    def _put(self, queue: str, message: Any, **given: Any) -> None:  # type: ignore[override]
        """Put a message into the queue: written aside, then renamed, so in order and all at once."""
        name = f"{monotonic_ns():020}_{uuid4()}.{queue}.msg"  # read in the order of names
        aside = Path(self.data_folder_out, f"{name}.part")
        aside.write_text(dumps(message))
        os.replace(aside, aside.with_name(name))


class Transport(filesystem.Transport):
    Channel = Channel
