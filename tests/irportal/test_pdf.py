"""Documents: valid for archives and for readers, always the same bytes, and shut off from everything."""

import hashlib
import io
import json
import subprocess
import sys
import zlib
from datetime import UTC, datetime

import page
import pikepdf
import pytest
from weasyprint.urls import FatalURLFetchingError

from irportal import pdf
from irportal.pdf import __main__ as setter
from irportal.refused import Refused
from tests import needs

WRITTEN_AT = datetime(2025, 10, 30, 11, 5, tzinfo=UTC)
EVIDENCE = json.dumps({"ledger": ["{}", "Zürich"]}, ensure_ascii=False).encode()
SCRIPTS = {
    "latin": "Everything works again. Zażółć gęślą jaźń, naïve façade.",
    "arabic": "عادت الخدمة إلى العمل",
    "cjk": "服务已恢复。サービスは復旧しました。",
    "long word": "x" * 400,
}


def document(body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>A report</title>'
        f'<link rel="stylesheet" href="asset:css/print.css"></head><body><main>{body}</main></body></html>'
    )


def set_report(body: str = "<h1>A report</h1><p>Text.</p>", **given) -> bytes:
    facts = {"title": "A report", "written_at": WRITTEN_AT, "attachments": [("evidence.json", EVIDENCE, "Data")]}
    return pdf.set_html(document(body), **(facts | given))


def failures(data: bytes) -> list[str]:
    return [
        f"{profile}: {failure.message}"
        for profile in ("3a", "ua1")
        for failure in page.validate_pdf_bytes(data, profile=profile).failures
    ]


def has_font_for(language: str) -> bool:
    listed = subprocess.run(["fc-list", f":lang={language}", "family"], capture_output=True, text=True, check=False)
    return bool(listed.stdout.strip())


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_document_in_any_script_is_pdf_a_3a_and_pdf_ua_1(script):
    text, language = SCRIPTS[script], {"arabic": "ar", "cjk": "ja"}.get(script)
    table = f"<table><thead><tr><th scope='col'>Event</th></tr></thead><tr><td class='text'>{text}</td></tr></table>"
    data = set_report(f"<h1>{text}</h1><p>{text}</p>{table}")
    if language and not has_font_for(language):
        needs.missing(f"no font here has {script} letters", "apt-get install fonts-noto-core fonts-noto-cjk")
    assert failures(data) == []


def test_a_stream_that_ends_in_a_carriage_return_does_not_break_the_file():
    unlucky = next(data for n in range(100_000) if zlib.compress(data := b"%d" % n).endswith(b"\r"))
    assert failures(set_report(attachments=[("evidence.json", unlucky, "Data")])) == []


def test_two_processes_set_the_same_bytes():
    assert len({hashlib.sha256(set_report()).hexdigest() for _ in range(2)}) == 1


def test_another_text_has_another_identifier():
    ids = {bytes(pikepdf.open(io.BytesIO(set_report(f"<h1>{text}</h1>"))).trailer.ID[0]) for text in ("One", "Two")}
    assert len(ids) == 2


def test_the_only_date_in_the_file_is_the_one_given():
    with pikepdf.open(io.BytesIO(set_report())) as file:
        assert str(file.docinfo["/CreationDate"]).startswith("D:20251030110500")


def test_what_is_attached_comes_out_byte_for_byte():
    with pikepdf.open(io.BytesIO(set_report())) as file:
        assert file.attachments["evidence.json"].get_file().read_bytes() == EVIDENCE


def test_what_is_attached_is_declared_as_data():
    with pikepdf.open(io.BytesIO(set_report())) as file:
        assert {str(spec.AFRelationship) for spec in file.Root.AF} == {"/Data"}


ADDRESSES = [
    "file:///etc/passwd",
    "http://127.0.0.1:9/x",
    "//127.0.0.1:9/x",
    "data:text/css,a",
    "asset:../../etc/passwd",
]
HOSTILE = [
    *(f'<img alt="" src="{address}">' for address in ADDRESSES),
    '<link rel="stylesheet" href="http://127.0.0.1:9/x.css">',
    '<link rel="attachment" href="file:///etc/passwd">',
    '<a rel="attachment" href="file:///etc/passwd">here</a>',
    "<style>@import url(http://127.0.0.1:9/x.css);</style>",
    "<style>@font-face { font-family: x; src: url(file:///etc/passwd) } p { font-family: x }</style><p>x",
    "<p style='background: url(file:///etc/passwd)'>x",
    '<svg viewBox="0 0 1 1"><image href="file:///etc/passwd" width="1" height="1"/></svg>',
    '<object data="file:///etc/passwd"></object>',
    '<embed src="file:///etc/passwd">',
]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # WeasyPrint's half-closed generators
@pytest.mark.parametrize("body", HOSTILE)
def test_setting_a_document_that_reaches_outside_stops(body):
    order = {
        "html": f"<html lang=en><title>x</title>{body}",
        "title": "x",
        "written_at": "2025-10-30",
        "attachments": [],
    }
    with pytest.raises(FatalURLFetchingError):
        setter.write(order, setter.Sealed(setter.assets()))


def test_who_asks_for_a_document_that_reaches_outside_is_told_what_it_reached_for():
    with pytest.raises(Refused, match="outside this portal: file:///etc/passwd"):
        set_report(HOSTILE[0])


def test_a_document_that_takes_too_much_is_refused(monkeypatch):
    monkeypatch.setattr(pdf, "WALL_SECONDS", 5)
    with pytest.raises(Refused, match="Shorten it"):
        set_report("<table>" + ("<tr>" + "<td>x" * 300) * 300 + "</table>")


def test_the_setting_process_gets_no_secrets():
    assert not {"SECRET_KEY", "DATABASE_URL", "SMTP_URL"} & set(pdf.PASSED_ON)


def test_only_the_setting_process_loads_the_library():
    asks = "import django, sys; django.setup(); import irportal.urls; sys.exit('weasyprint' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", asks], check=False).returncode == 0
