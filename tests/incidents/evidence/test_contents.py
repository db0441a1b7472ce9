"""What is taken, by its first bytes; the name it is handed out under; what attackers send."""

import gzip
import io
import time
import zipfile

import pytest

from incidents.evidence import contents
from irportal.refused import Refused

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + b"\0" * 17 + b"\0\0\0\0IEND\xaeB`\x82"
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0" + b"\1" * 40 + b"\xff\xd9"
GIF = b"GIF89a\1\0\1\0\0\0\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0;"
WEBP = b"RIFF" + (22).to_bytes(4, "little") + b"WEBPVP8 " + b"\0" * 14
PDF = b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
PCAP = b"\xd4\xc3\xb2\xa1" + b"\0" * 20
SCRIPT = b"<script>alert(1)</script>"


def zipped(name: str = "guard.log", comment: bytes = b"") -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(name, "14:00 BLOCK")
        archive.comment = comment
    return made.getvalue()


@pytest.mark.parametrize(
    ("data", "media"),
    [
        (PNG, "image/png"),
        (JPEG, "image/jpeg"),
        (GIF, "image/gif"),
        (WEBP, "image/webp"),
        (PDF, "application/pdf"),
        (zipped(), "application/zip"),
        (zipped(comment=b"from guard-7"), "application/zip"),
        (gzip.compress(b"14:00 BLOCK", mtime=0), "application/gzip"),
        (PCAP, "application/vnd.tcpdump.pcap"),
        (b"14:00 BLOCK\n", "text/plain"),
        ("Zürich, 東京, \x1b[31mred\x1b[0m".encode(), "text/plain"),
        (b"\xef\xbb\xbfa,b\r\n1,2\r\n", "text/plain"),
        ("Windows log".encode("utf-16"), "text/plain"),
        (b'{"verdict": "block"}', "text/plain"),
        (b"10.0.0.9 GET /?q=" + SCRIPT + b" 403\n", "text/plain"),  # the log of an attack is evidence
        (b"<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'></Event>", "text/plain"),
        (b"<34>Oct 11 22:14:15 host su: failed\n", "text/plain"),
    ],
)
def test_what_is_evidence_is_taken_by_its_bytes(data, media):
    assert contents.media_of(data) == media


POLYGLOTS = {
    "a page": b"<!doctype html><title>x</title>" + SCRIPT,
    "a page after spaces": b"\n\t  <HTML><body onload=alert(1)>",
    "a page after a comment": b"<!-- log --><body>" + SCRIPT,
    "a page after a mark": b"\xef\xbb\xbf<script>alert(1)</script>",
    "a page in UTF-16": "<html><script>alert(1)</script>".encode("utf-16"),
    "a drawing": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
    "a drawing after its declaration": b'<?xml version="1.0"?>\n<svg onload="alert(1)"/>',
    "a drawing in a name space": b'<?xml version="1.0"?><x:y xmlns:x="u"><svg/></x:y>',
    "a style sheet's page": b'<?xml-stylesheet href="x"?><a/>',
    "PHP": b"<?php system($_GET['c']); ?>",
    "PNG and page": PNG + SCRIPT,
    "PNG with a page inside": PNG[:20] + b"<html>" + PNG[20:],
    "PNG and ZIP": PNG + zipped(),
    "JPEG and page": JPEG + b"<html>",
    "JPEG with script in its comment": JPEG[:20] + SCRIPT + JPEG[20:],
    "GIF that is script": b"GIF89a/*" + b"\0" * 20 + b"*/=1;" + SCRIPT + b";",
    "GIF cut short": b"GIF89a",
    "WebP and more": WEBP + b"<html>",
    "PDF with script": PDF.replace(b"/Catalog", b"/Catalog/OpenAction<</S/JavaScript/JS(app.alert(1))>>"),
    "PDF that starts a program": PDF.replace(b"/Catalog", b"/Catalog/OpenAction<</S/Launch/F(cmd.exe)>>"),
    "PDF and page": PDF + SCRIPT,
    "PDF that never ends": PDF[:20],
    "page and PDF": b"<html>" + PDF,
    "ZIP and page": zipped() + b"<html>",
    "a program": b"\x7fELF\x02\x01\x01" + b"\0" * 40,
    "a Windows program": b"MZ\x90\0" + b"\0" * 60,
    "bytes": bytes(range(256)),
    "text with a NUL": b"14:00 BLOCK\0",
}


@pytest.mark.parametrize("data", POLYGLOTS.values(), ids=POLYGLOTS.keys())
def test_what_a_browser_could_run_or_is_two_things_at_once_is_refused_with_a_way_out(data):
    with pytest.raises(Refused, match="Put it into a ZIP file and upload that"):
        contents.media_of(data)


@pytest.mark.parametrize("filler", [b"<!-- -->", b" ", b"<?xml ?>", b"<!--", b"< ", b"<?xml "])
def test_a_text_made_to_be_hard_to_read_costs_no_time(filler):
    data = filler * (100_000 // len(filler)) + b"x"
    began = time.perf_counter()
    assert contents.media_of(data) == "text/plain"
    assert contents.ACTIVE.search(data) is None
    assert time.perf_counter() - began < 0.5


def test_a_letter_cut_in_two_between_pieces_is_still_a_letter():
    assert contents.media_of(b"a" * (contents.PIECE - 1) + "ü".encode() + b"a" * 10) == "text/plain"
    with pytest.raises(Refused, match="We take text"):
        contents.media_of(b"a" * contents.PIECE + b"\xc3")


def test_what_was_refused_is_taken_in_a_zip():
    assert contents.media_of(zipped("phishing.html")) == "application/zip"


NAMES = [
    ("guard.log", "guard.log"),
    ("../../etc/passwd", "passwd.txt"),
    ("..\\..\\windows\\system32\\cmd.exe", "cmd.exe.txt"),
    ("/etc/cron.d/x.log", "x.log"),
    ("C:\\logs\\guard.log", "guard.log"),
    ("page.html", "page.html.txt"),
    ("drawing.svg", "drawing.svg.txt"),
    ("guard.LOG", "guard.LOG"),
    (".htaccess", "htaccess.txt"),
    ("...", "evidence.txt"),
    ("", "evidence.txt"),
    ("   ", "evidence.txt"),
    ("a\0b.log", "ab.log"),
    ("invoice\u202egol.exe", "invoicegol.exe.txt"),  # shown as invoiceexe.log where it still turns the text around
    ("\u2066x\u2069\u200b\ufeff.log", "x.log"),
    ('a"b;c\r\nX-Evil: 1.log', "a_b_c X-Evil_ 1.log"),
    ("CON.log", "_CON.log"),
    ("nul", "_nul.txt"),
    ("COM1.txt", "_COM1.txt"),
    ("guard.log.", "guard.log"),
    ("Übersicht 東京.log", "Übersicht 東京.log"),
    ("U\u0308bersicht.log", "Übersicht.log"),
    ("%2e%2e%2fpasswd", "_2e_2e_2fpasswd.txt"),
    ("~/.ssh/id", "id.txt"),
    ("a:b|c?d*e<f>.log", "a_b_c_d_e_f_.log"),
    ("\ud800x.log", "x.log"),
    ("x" * 500 + ".log", "x" * 97 + ".log"),
    ("-rf.log", "-rf.log"),
    ("$(reboot).log", "$(reboot).log"),
]


@pytest.mark.parametrize(("typed", "name"), NAMES)
def test_a_name_is_made_harmless_and_says_what_the_file_is(typed, name):
    assert contents.clean_name(typed, "text/plain") == name


@pytest.mark.parametrize(("typed", "name"), NAMES)
def test_a_name_in_a_pack_is_plain(typed, name):
    plain = contents.plain_name(name)
    assert plain.isascii()
    assert not {*"/\\ \n\r\0:"} & {*plain}
    assert not plain.startswith((".", "-"))


def test_an_ending_that_lies_gets_the_true_one_behind_it():
    assert contents.clean_name("statement.pdf", "application/zip") == "statement.pdf.zip"
    assert contents.clean_name("photo.exe", "image/png") == "photo.exe.png"
    assert contents.clean_name("report.docx", "application/zip") == "report.docx"
