import io
from pathlib import Path

import pytest
from django.core.management import call_command


@pytest.fixture
def take_over(tmp_path, grace):
    """`take_over(data, "--write")` imports this file, or these files of a folder, and returns what was printed."""

    def run(source, *options: str) -> str:
        said = io.StringIO()
        if "--write" in options:
            options = (*options, "--by", grace.email)
        call_command("import_statuspage", str(placed(source, tmp_path)), *options, stdout=said)
        return said.getvalue()

    return run


def placed(source, folder: Path) -> Path | str:
    """Where it is read from: bytes are one file, a dict is a folder of files, a string an address."""
    if isinstance(source, bytes):
        source = {"page.json": source}
    if isinstance(source, dict):
        for name, data in source.items():
            file = folder / "given" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data if isinstance(data, bytes) else data.encode())
        return folder / "given" / name if len(source) == 1 else folder / "given"
    return source
