"""Documents for auditors: a Django template set by WeasyPrint as PDF/A-3a and PDF/UA-1.

Each is set in a process of its own (`python -m irportal.pdf`): it gets the finished HTML on stdin, no
secrets, no database and no way to fetch anything but the project's own css, fonts and marks, and it is killed
when it takes too much memory or time. So what somebody typed can neither read a file, nor call home, nor take
the portal down. Only that process loads WeasyPrint, which takes a second and 40 MiB.
"""

import base64
import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from django.template.loader import render_to_string

from irportal.refused import Refused

BASE_DIR = Path(__file__).resolve().parents[2]
WALL_SECONDS = 90
REACHED_OUT = 3  # the child's exit code when the document asked for something that is not ours
PASSED_ON = (
    "PATH",
    "HOME",
    "XDG_CACHE_HOME",
    "FONTCONFIG_FILE",
    "FONTCONFIG_PATH",
    "DYLD_FALLBACK_LIBRARY_PATH",
)


def render(
    template: str,
    context: dict[str, Any],
    *,
    title: str,
    written_at: datetime,
    attachments: list[tuple[str, bytes, str]] | tuple[()] = (),
) -> bytes:
    """The PDF of a template. Equal input gives equal bytes: the only date in it is `written_at` (aware).

    `attachments` are (file name, bytes, description) and travel inside the file as its data. Raises Refused
    when the text asks for anything outside the project, or needs more than a gibibyte or 60 seconds to set.
    """
    html = render_to_string(template, {**context, "title": title, "written_at": written_at})
    return set_html(html, title=title, written_at=written_at, attachments=attachments)


def set_html(
    html: str, *, title: str, written_at: datetime, attachments: list[tuple[str, bytes, str]] | tuple[()] = ()
) -> bytes:
    """Hand finished HTML to the setting process; see `render`."""
    order = {
        "html": html,
        "title": title,
        "written_at": written_at.isoformat(timespec="seconds"),
        "attachments": [(name, base64.b64encode(data).decode(), about) for name, data, about in attachments],
    }
    try:
        done = subprocess.run(
            [sys.executable, "-m", "irportal.pdf"],
            input=json.dumps(order).encode(),
            capture_output=True,
            cwd=BASE_DIR,
            env={name: os.environ[name] for name in PASSED_ON if name in os.environ},
            timeout=WALL_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise Refused(f"“{title}” could not be set within {WALL_SECONDS} seconds. Shorten it.") from None
    if done.returncode == REACHED_OUT:
        raise Refused(f"“{title}” asks for something outside this portal: {done.stdout.decode()}. It was not made.")
    if done.returncode < 0 or b"MemoryError" in done.stderr:
        raise Refused(f"“{title}” needs more memory or time than a report may take. Shorten it.")
    if done.returncode:
        raise RuntimeError(f"“{title}” could not be set: {done.stderr.decode(errors='replace')[-2000:]}")
    return done.stdout
