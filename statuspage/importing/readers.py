"""The formats there are, and which one a source is of."""

from types import ModuleType

from irportal.refused import Refused
from statuspage.importing import cachet, cstate, sources, statuspage_v2, upptime
from statuspage.importing.shape import File

READERS: dict[str, ModuleType] = {reader.NAME: reader for reader in (cachet, cstate, upptime, statuspage_v2)}
BY_ADDRESS = (statuspage_v2.NAME, cachet.NAME)  # formats that can be asked for by address


def files_of(given: list[str], format: str | None, headers: dict[str, str]) -> tuple[list[File], str]:
    """The files of these sources and their format; an address is Statuspage's unless `format` says otherwise.

    `headers` go to an address with every question. Raises Refused.
    """
    if not any(sources.is_address(source) for source in given):
        files = [file for source in given for file in sources.from_disk(source)]
        return files, format or _found_out(files)
    format = format or statuspage_v2.NAME
    if len(given) > 1:
        raise Refused("Give one address alone.")
    if format not in BY_ADDRESS:
        raise Refused(f"{format} is read from files; give a file or a folder.")
    return READERS[format].fetch(given[0], sources.Asked(headers)), format


def _found_out(files: list[File]) -> str:
    for name, reader in READERS.items():
        if any(reader.knows(file) for file in files):
            return name
    raise Refused(f"This is nothing we can read. Say what it is: --from {' or '.join(READERS)}.")
