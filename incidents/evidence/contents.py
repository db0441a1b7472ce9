"""What a file is by its own bytes, and which name it gets when it is handed out. Pure."""

import codecs
import re
import unicodedata
from collections.abc import Callable
from typing import Any

from irportal.refused import Refused

LONGEST = 100  # characters of a name
TAKEN = "We take text, PNG, JPEG, GIF, WebP, PDF, ZIP, gzip and pcap."
PIECE = 1 << 18  # bytes of a text looked at in one go; what it begins with is in the first
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
PACKED = "Put it into a ZIP file and upload that."
TEXT = "text/plain"

# Media type: the endings a name may have. The first is added where the name has none of them.
ENDINGS = {
    "image/png": "png",
    "image/jpeg": "jpg jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
    "application/pdf": "pdf",
    "application/zip": "zip docx xlsx pptx odt ods odp",
    "application/gzip": "gz tgz",
    "application/vnd.tcpdump.pcap": "pcap pcapng",
    TEXT: "txt log csv tsv json jsonl ndjson har md yaml yml toml ini conf diff patch sql eml xml",
}
ACTIVE = re.compile(rb"<\s*(script|svg|html|iframe|object|embed|!doctype|\?php)\b", re.IGNORECASE)
PDF_ACTS = re.compile(rb"/(JavaScript|JS|Launch|RichMedia|XFA)\b")
# What a browser takes for a page when a text begins with it, after spaces and comments. Nothing is tried twice.
PAGE = re.compile(
    r"(?:(?>\s+|<!--.*?-->|<\?xml[^>]*\?>))*+<(!doctype|html|head|title|body|script|style|svg|iframe|meta|link|img|a|b|p|br"
    r"|div|h\d|table|font|object|embed|form|math|video|audio|xsl:\w+|\?php|\?xml-stylesheet)[\s>/]",
    re.IGNORECASE | re.DOTALL,
)
NOT_TEXT = re.compile(r"[\0-\x08\x0e-\x1a\x1c-\x1f\x7f\ufffe\uffff]")
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)


def media_of(data: Any) -> str:
    """The media type of these bytes (bytes, or a mapped file). Raises Refused when we do not take what they are."""
    for matches, media, is_whole in KNOWN:
        if matches(data[:16]):
            if not is_whole(data):
                raise Refused(f"It begins like {media} and goes on as something else. {PACKED}")
            return media
    return _text(data)


def _text(data: Any) -> str:
    """Read piece by piece: a log is larger as text than as bytes."""
    decoder = codecs.getincrementaldecoder("utf-16" if data[:2] in UTF_16 else "utf-8-sig")()
    begun = ""
    try:
        for at in range(0, len(data), PIECE):
            said = decoder.decode(bytes(data[at : at + PIECE]), final=at + PIECE >= len(data))
            begun = begun or said
            if NOT_TEXT.search(said):
                raise Refused(f"{TAKEN} {PACKED}")
    except UnicodeDecodeError:
        raise Refused(f"{TAKEN} {PACKED}") from None
    if PAGE.match(begun) or "<svg" in begun[:2000].lower():
        raise Refused(f"This is a web page or a drawing that can carry script. {PACKED}")
    return TEXT


def _png(data: Any) -> bool:
    return data[-12:] == b"\0\0\0\0IEND\xaeB`\x82" and not ACTIVE.search(data)


def _jpeg(data: Any) -> bool:
    return bytes(data[-64:]).rstrip(b"\0").endswith(b"\xff\xd9") and not ACTIVE.search(data)


def _gif(data: Any) -> bool:
    return len(data) > 13 and data[-1:] == b";" and not ACTIVE.search(data)


def _webp(data: Any) -> bool:
    length = int.from_bytes(data[4:8], "little") + 8
    return length in (len(data), len(data) - 1) and not ACTIVE.search(data)


def _pdf(data: Any) -> bool:
    return b"%%EOF" in data[-1024:] and not PDF_ACTS.search(data) and not ACTIVE.search(data)


def _zip(data: Any) -> bool:
    """Ends with the record of its directory and that record's own comment; nothing stands after it."""
    at = data.rfind(b"PK\x05\x06")
    return at >= 0 and len(data) == at + 22 + int.from_bytes(data[at + 20 : at + 22], "little")


def _whole(data: Any) -> bool:
    return len(data) > 18


def _starts(*marks: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(marks)


KNOWN: list[tuple[Callable[[bytes], bool], str, Callable[[Any], bool]]] = [
    (_starts(b"\x89PNG\r\n\x1a\n"), "image/png", _png),
    (_starts(b"\xff\xd8\xff"), "image/jpeg", _jpeg),
    (_starts(b"GIF87a", b"GIF89a"), "image/gif", _gif),
    (lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP", "image/webp", _webp),
    (_starts(b"%PDF-"), "application/pdf", _pdf),
    (_starts(b"PK\x03\x04", b"PK\x05\x06"), "application/zip", _zip),
    (_starts(b"\x1f\x8b\x08"), "application/gzip", _whole),
    (
        _starts(b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\x4d\x3c\xb2\xa1", b"\x0a\x0d\x0d\x0a"),
        "application/vnd.tcpdump.pcap",
        _whole,
    ),
]


def clean_name(name: str, media: str) -> str:
    """A name no system stumbles over, with an ending that agrees with what the file is."""
    last = re.split(r"[/\\]", name.replace("\0", ""))[-1]
    kept = "".join(_letter(letter) for letter in unicodedata.normalize("NFC", last))
    kept = re.sub(r"\s+", " ", kept).strip(" .") or "evidence"
    if RESERVED.match(kept):
        kept = f"_{kept}"
    endings = ENDINGS[media].split()
    stem, dot, ending = kept.rpartition(".")
    if not dot or ending.lower() not in endings:
        stem, ending = kept, endings[0]
    return f"{stem[: LONGEST - len(ending)].rstrip(' .')}.{ending}"


def _letter(letter: str) -> str:
    """Letters that steer, reorder or hide text vanish; those a file system forbids become an underscore."""
    if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
        return " " if letter.isspace() else ""
    return "_" if letter in '<>:"|?*%;' else letter


def plain_name(name: str) -> str:
    """The same in ASCII without spaces, for tools that stumble over anything else."""
    flat = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    stem, _, ending = re.sub(r"[^A-Za-z0-9._-]+", "_", flat).rpartition(".")
    return f"{stem.strip('._-') or 'evidence'}.{ending}"
