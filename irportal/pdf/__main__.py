"""The process that sets one document: an order as JSON on stdin, the PDF on stdout."""

import base64
import contextlib
import hashlib
import json
import resource
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pydyf  # type: ignore[import-untyped]
from weasyprint import HTML, Attachment
from weasyprint.document import Document
from weasyprint.urls import FatalURLFetchingError, URLFetcher, URLFetcherResponse

from irportal.pdf import BASE_DIR, REACHED_OUT

MEMORY_BYTES, CPU_SECONDS = 1 << 30, 60

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
