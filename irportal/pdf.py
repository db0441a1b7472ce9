"""Documents for auditors: a Django template set by WeasyPrint as PDF/A-3a and PDF/UA-1.

Each is set in a process of its own (`python -m irportal.pdf`): it gets the finished HTML on stdin, no
secrets, no database and no way to fetch anything but the project's own css, fonts and marks, and it is killed
when it takes too much memory or time. So what somebody typed can neither read a file, nor call home, nor take
the portal down.
"""

import base64
import contextlib
import hashlib
import json
import os
import resource
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pydyf  # type: ignore[import-untyped]
from django.template.loader import render_to_string
from weasyprint import HTML, Attachment
from weasyprint.document import Document
from weasyprint.urls import FatalURLFetchingError, URLFetcher, URLFetcherResponse

from irportal.refused import Refused

BASE_DIR = Path(__file__).resolve().parent.parent
MEMORY_BYTES, CPU_SECONDS, WALL_SECONDS = 1 << 30, 60, 90
REACHED_OUT = 3  # the child's exit code when the document asked for something that is not ours
PASSED_ON = (
    "PATH",
    "HOME",
    "XDG_CACHE_HOME",
    "FONTCONFIG_FILE",
    "FONTCONFIG_PATH",
    "DYLD_FALLBACK_LIBRARY_PATH",
)

# WeasyPrint writes one standard's mark into the file; these lines add PDF/UA-1 and declare its vocabulary.
PDFUA = (
    b'<rdf:Description rdf:about="" xmlns:pdfuaid="http://www.aiim.org/pdfua/ns/id/">'
    b"<pdfuaid:part>1</pdfuaid:part></rdf:Description>"
    b'<rdf:Description rdf:about="" xmlns:pdfaExtension="http://www.aiim.org/pdfa/ns/extension/"'
    b' xmlns:pdfaSchema="http://www.aiim.org/pdfa/ns/schema#"'
    b' xmlns:pdfaProperty="http://www.aiim.org/pdfa/ns/property#">'
    b'<pdfaExtension:schemas><rdf:Bag><rdf:li rdf:parseType="Resource">'
    b"<pdfaSchema:schema>PDF/UA identification schema</pdfaSchema:schema>"
    b"<pdfaSchema:namespaceURI>http://www.aiim.org/pdfua/ns/id/</pdfaSchema:namespaceURI>"
    b"<pdfaSchema:prefix>pdfuaid</pdfaSchema:prefix>"
    b'<pdfaSchema:property><rdf:Seq><rdf:li rdf:parseType="Resource">'
    b"<pdfaProperty:name>part</pdfaProperty:name><pdfaProperty:valueType>Integer</pdfaProperty:valueType>"
    b"<pdfaProperty:category>internal</pdfaProperty:category>"
    b"<pdfaProperty:description>Part of PDF/UA</pdfaProperty:description>"
    b"</rdf:li></rdf:Seq></pdfaSchema:property></rdf:li></rdf:Bag></pdfaExtension:schemas></rdf:Description>"
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


class Sealed(URLFetcher):
    """Serve `asset:` names from memory; note and refuse everything else."""

    def __init__(self, assets: dict[str, tuple[bytes, str]]) -> None:
        super().__init__(allowed_protocols=(), allow_redirects=False)
        self.assets = assets
        self.refused: list[str] = []

    def fetch(self, url: str, headers: dict[str, str] | None = None) -> URLFetcherResponse:
        if url in self.assets:
            data, kind = self.assets[url]
            return URLFetcherResponse(url, data, {"Content-Type": kind})
        self.refused.append(url)
        raise FatalURLFetchingError(url)


def assets(static: Path = BASE_DIR / "static") -> dict[str, tuple[bytes, str]]:
    """What a document may use, by `asset:` name. In a browser print.css finds the same files by `../`."""
    css = (static / "css" / "print.css").read_bytes().replace(b"url(../", b"url(asset:")
    found = {"asset:css/print.css": (css, "text/css")}
    for folder, ending, kind in (("fonts", "woff2", "font/woff2"), ("marks", "svg", "image/svg+xml")):
        for file in sorted((static / folder).glob(f"*.{ending}")):
            found[f"asset:{folder}/{file.name}"] = (file.read_bytes(), kind)
    return found


def finish(document: Document, pdf: Any) -> None:
    """Pack the file, but leave its metadata readable, as a strict reader of ISO 19005 asks, and add PDF/UA-1.

    A packed stream whose last byte is a carriage return stays unpacked: with the line feed that follows, a
    strict reader takes it for the end of the line and finds the stream one byte short.
    """
    for part in pdf.objects:
        if isinstance(part, pydyf.Stream) and "Filter" not in part.extra:
            part.compress = True
            part.compress = not part.data.endswith(b"\r\nendstream")
    metadata = pdf.objects[int(pdf.catalog["Metadata"].split()[0])]
    metadata.compress = False
    metadata.stream = [metadata.stream[0].replace(b"</rdf:RDF>", PDFUA + b"</rdf:RDF>")]


def write(order: dict[str, Any], fetcher: Sealed) -> bytes:
    """Set one document in this process. Raises FatalURLFetchingError when it reaches out."""
    written_at = datetime.fromisoformat(order["written_at"])
    files = [
        Attachment(
            string=base64.b64decode(data),
            name=name,
            description=about,
            relationship="Data",
            created=written_at,
            modified=written_at,
        )
        for name, data, about in order["attachments"]
    ]
    variant = {"pdf_variant": "pdf/a-3a", "presentational_hints": False, "uncompressed_pdf": True}
    document = HTML(string=order["html"], base_url="asset:", url_fetcher=fetcher).render(**variant)
    document.metadata.title = order["title"]
    document.metadata.created = document.metadata.modified = order["written_at"]
    identifier = hashlib.sha256(json.dumps(order, sort_keys=True).encode()).digest()[:16]
    data = document.write_pdf(attachments=files, finisher=finish, pdf_identifier=identifier, **variant)
    if fetcher.refused:  # drawing an inline SVG swallows even the fatal error
        raise FatalURLFetchingError(fetcher.refused[0])
    return data


def main() -> int:
    """Read an order on stdin and write the PDF to stdout, within the limits."""
    with contextlib.suppress(ValueError, OSError):  # macOS knows no limit on address space
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    order = json.load(sys.stdin)
    fetcher = Sealed(assets())
    try:
        sys.stdout.buffer.write(write(order, fetcher))
    except FatalURLFetchingError:
        sys.stdout.write(", ".join(sorted(set(fetcher.refused)))[:300])
        return REACHED_OUT
    return 0


if __name__ == "__main__":
    sys.exit(main())
