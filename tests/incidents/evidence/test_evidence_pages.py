"""The pages of evidence: who reads what, what attackers send, what is kept of what was typed."""

import io
import socket
import zipfile
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.core.files import uploadhandler
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.template.loader import render_to_string
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from django.utils.html import escape

from incidents.evidence import actions, queries, store
from incidents.evidence.models import CustodyLine, EvidenceItem
from incidents.lifecycle.models import Incident
from irportal.ledger.models import Entry
from irportal.refused import Refused
from tests.incidents.evidence.kept import LOG, files, said
from tests.incidents.evidence.test_contents import NAMES, POLYGLOTS
from tests.pages import fields

pytestmark = pytest.mark.django_db
LIST = "/portal/incidents/INC-1/evidence/"
ADD = {kind: f"{LIST}add/{kind}" for kind in ("file", "text", "link")}
ONE = f"{LIST}E-1"
SCRIPT = "<script>alert(1)</script>"


def typed(**given) -> dict[str, object]:
    facts = {"title": "Guard log", "source": "guard-7", "captured_at": "2026-03-02 14:20", "personal": "yes"}
    return facts | {"topics": ["decisions"], "note": "Uncut."} | given


def upload(data: bytes = LOG, name: str = "guard.log", **given) -> dict[str, object]:
    """What the page sends: every field, then the file, then `whole`."""
    return typed(**given) | {"file": SimpleUploadedFile(name, data), "whole": "yes"}


def nothing_kept(folder) -> bool:
    return files(folder) == [] and not EvidenceItem.objects.exists() and not CustodyLine.objects.exists()


@pytest.fixture
def lees(client, incident, lee):
    client.force_login(lee)
    return client


# Adding


@pytest.mark.parametrize(
    ("kind", "sent"),
    [("file", upload), ("text", lambda: typed(text="14:00 BLOCK")), ("link", lambda: typed(url="https://x.example/"))],
)
def test_a_file_a_text_and_a_link_are_kept_by_a_form(lees, kind, sent):
    page = lees.get(ADD[kind]).content.decode()
    assert ('enctype="multipart/form-data"' in page) == (kind == "file")
    assert lees.post(ADD[kind], sent()).status_code == 302
    item = EvidenceItem.objects.get()
    assert (item.kind, item.topics, item.personal, item.note) == (kind, "decisions", True, "Uncut.")
    assert "Guard log" in lees.get(LIST).content.decode()


def test_the_way_from_a_gap_has_ticked_what_the_item_will_show(lees):
    assert fields(lees.get(f"{ADD['file']}?shows=requests").content.decode())["topics"] == "requests"
    assert "topics" not in fields(lees.get(f"{ADD['file']}?shows=%00<x>").content.decode())


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"title": ""}, "Say in a few words what it is."),
        ({"title": "x" * 121}, "at most 120 characters"),
        ({"title": "a\0b"}, "Null characters are not allowed."),
        ({"source": " "}, "Say which system or person it comes from."),
        ({"captured_at": ""}, "Say when, in UTC."),
        ({"captured_at": "yesterday"}, "That is not a time."),
        ({"captured_at": "2026-03-02 18:00"}, "2026-03-02 18:00 UTC lies ahead"),
        ({"personal": ""}, "Say whether it can; not knowing is a yes."),
        ({"personal": "perhaps"}, "perhaps is not one of the available choices"),
        ({"topics": ["everything"]}, "Choose among what is offered."),
        ({"note": "x" * 2001}, "at most 2000 characters"),
    ],
    ids=lambda value: str(value)[:30],
)
@pytest.mark.parametrize("kind", ["file", "text", "link"])
def test_what_is_said_wrongly_is_refused_beside_its_field_and_the_rest_is_kept(lees, folder, kind, given, sentence):
    content = {
        "file": upload,
        "text": lambda **g: typed(text=" 14:00\n", **g),
        "link": lambda **g: typed(url="https://x.example/", **g),
    }
    sent = content[kind](**given)
    answer = lees.post(ADD[kind], sent)
    html = answer.content.decode()
    assert answer.status_code == 400
    assert escape(sentence) in html
    kept = fields(html)
    expected = {n: str(v) for n, v in sent.items() if n not in (*given, "file", "whole", "topics")}
    assert {name: kept.get(name) for name in expected} == expected
    assert nothing_kept(folder)


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "data:text/html,<script>",
        "ftp://x.example/",
        "file:///etc/passwd",
        "//x.example",
        "x",
        "https://",
        "https://x.example/\r\nX-Evil: 1",
        "https://[::1",
        "https://user:secret@x.example/",
        "https://x.example/" + "a" * 2000,
        "https://x.example/\0",
    ],
)
def test_what_is_no_address_is_refused(lees, folder, url):
    answer = lees.post(ADD["link"], typed(url=url))
    assert answer.status_code == 400
    assert 'id="id_url_error"' in answer.content.decode()
    assert nothing_kept(folder)


def test_a_link_is_never_fetched(lees, monkeypatch):
    def refuse(*given, **named):
        raise AssertionError("somebody opened a connection")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert lees.post(ADD["link"], typed(url="https://logs.example/guard")).status_code == 302
    lees.post(f"{ONE}/read")


# Uploads by attackers


@pytest.mark.parametrize("data", POLYGLOTS.values(), ids=POLYGLOTS.keys())
def test_a_polyglot_is_refused_whatever_it_is_called_and_leaves_nothing(lees, folder, data):
    answer = lees.post(ADD["file"], upload(data, "guard.log"))
    assert answer.status_code == 400
    assert "Put it into a ZIP file" in answer.content.decode()
    assert nothing_kept(folder)


@pytest.mark.parametrize(("name", "clean"), NAMES[:-2], ids=range(len(NAMES[:-2])))
def test_a_name_reaches_no_path_and_no_header(lees, folder, name, clean):
    body = upload_by_hand(LOG, name)
    answer = lees.generic("POST", ADD["file"], body, MULTIPART_CONTENT)
    if answer.status_code == 400:  # a name of nothing is no file to a browser
        assert "Choose the file." in answer.content.decode()
        return
    item = EvidenceItem.objects.get()
    assert files(folder) == [f"{item.sha256[:2]}/{item.sha256}"]
    got = lees.post(f"{ONE}/read")
    assert got.getvalue() == LOG
    assert got["Content-Disposition"].startswith("attachment; filename")
    assert "\r" not in got["Content-Disposition"]
    assert got["Content-Disposition"].count(";") == 1
    assert not {*'/\\"'} & {*item.name}


def upload_by_hand(data: bytes, name: str, whole: str = "yes", cut: int | None = None) -> bytes:
    body = encode_multipart(BOUNDARY, typed()).removesuffix(f"--{BOUNDARY}--\r\n".encode())
    quoted = name.encode("utf-8", "surrogatepass").replace(b'"', b"%22")
    body += f"--{BOUNDARY}\r\n".encode()
    body += b'Content-Disposition: form-data; name="file"; filename="' + quoted + b'"\r\n'
    body += b"Content-Type: text/html\r\n\r\n" + data + b"\r\n"
    body += (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="whole"\r\n\r\n{whole}\r\n--{BOUNDARY}--\r\n'.encode()
    )
    return body[:cut]


def test_what_is_too_large_is_refused_with_a_sentence_and_the_rest_is_kept(lees, folder, settings):
    settings.EVIDENCE_FILE_MB = 1
    answer = lees.post(ADD["file"], upload(b"a" * 3_000_000))
    html = answer.content.decode()
    assert answer.status_code == 413
    assert "The file is larger than 1 MB. Cut or pack it, or keep a link to it." in html
    assert "Choose the file." not in html
    assert fields(html)["source"] == "guard-7"
    assert nothing_kept(folder)


def test_what_never_ends_is_broken_off_and_still_gets_its_sentence(lees, folder, settings):
    settings.EVIDENCE_FILE_MB = 1
    answer = lees.post(ADD["file"], upload(b"a" * 8_000_000))
    assert answer.status_code == 413
    assert fields(answer.content.decode())["note"] == "Uncut."
    assert nothing_kept(folder)


def test_twenty_six_megabytes_are_refused_by_the_usual_limit(lees, folder):
    assert lees.post(ADD["file"], upload(b"a" * 26_000_000)).status_code == 413
    assert nothing_kept(folder)


def test_nothing_of_a_refused_upload_stays_among_temporary_files(lees, settings, tmp_path):
    settings.FILE_UPLOAD_TEMP_DIR, settings.EVIDENCE_FILE_MB = tmp_path / "temp", 1
    settings.FILE_UPLOAD_TEMP_DIR.mkdir()
    for size in (3_000_000, 8_000_000):
        lees.post(ADD["file"], upload(b"a" * size))
    assert files(settings.FILE_UPLOAD_TEMP_DIR) == []


def test_no_room_for_temporary_files_gives_a_sentence(lees, folder, settings):
    settings.FILE_UPLOAD_TEMP_DIR = "/nowhere"
    answer = lees.post(ADD["file"], upload(b"a" * 3_000_000))
    assert answer.status_code == 400
    assert "There is no room to receive the file." in answer.content.decode()
    assert nothing_kept(folder)


def test_a_disk_that_fills_while_the_file_comes_in_gives_a_sentence(lees, folder, monkeypatch):
    class Full(uploadhandler.TemporaryUploadedFile):
        def write(self, data):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(uploadhandler, "TemporaryUploadedFile", Full)
    answer = lees.post(ADD["file"], upload(b"a" * 3_000_000))
    assert answer.status_code == 400
    assert "There is no room to receive the file." in answer.content.decode()
    assert nothing_kept(folder)


def test_an_empty_file_is_refused(lees, folder):
    answer = lees.post(ADD["file"], upload(b""))
    assert (answer.status_code, "The file is empty." in answer.content.decode()) == (400, True)
    assert nothing_kept(folder)


@pytest.mark.parametrize("size", [200, 3_000_000])
def test_what_broke_off_on_the_way_is_not_taken_for_a_file(lees, folder, size):
    whole = upload_by_hand(b"a" * size, "guard.log")
    for cut in (len(whole) - size // 2 - 200, len(whole) - 150, len(whole) - 100):
        answer = lees.generic("POST", ADD["file"], whole[:cut], MULTIPART_CONTENT)
        assert answer.status_code == 400
        assert "The file broke off on the way and nothing was kept." in answer.content.decode()
        assert fields(answer.content.decode())["source"] == "guard-7"
    assert nothing_kept(folder)


@pytest.mark.parametrize("length", ["300", "0", "-1", "x"])
def test_a_length_that_lies_keeps_nothing(lees, folder, length):
    answer = lees.generic("POST", ADD["file"], upload_by_hand(LOG, "x.log"), MULTIPART_CONTENT, CONTENT_LENGTH=length)
    assert answer.status_code == 400
    assert nothing_kept(folder)


def test_a_reader_that_hangs_up_leaves_nothing(lees, folder, settings, tmp_path):
    class HungUp(io.BytesIO):
        def read(self, *given):
            if self.tell() > 2_000_000:
                raise OSError("connection reset")
            return super().read(*given)

    settings.FILE_UPLOAD_TEMP_DIR = tmp_path / "temp"
    settings.FILE_UPLOAD_TEMP_DIR.mkdir()
    body = upload_by_hand(b"a" * 3_000_000, "x.log")
    lees.raise_request_exception = False
    lees.generic("POST", ADD["file"], b"", MULTIPART_CONTENT, **{"wsgi.input": HungUp(body)}, CONTENT_LENGTH=len(body))
    assert nothing_kept(folder)
    assert files(settings.FILE_UPLOAD_TEMP_DIR) == []


# Reading


def test_a_file_leaves_as_a_download_that_runs_nowhere(lees, keep):
    # covers R002-06
    keep(b"10.0.0.9 GET /?q=<script>alert(1)</script>\n", name="page.html")
    answer = lees.post(f"{ONE}/read", {"purpose": "Root cause"})
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["Content-Disposition"] == 'attachment; filename="page.html.txt"'
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert answer["Cache-Control"] == "no-store"
    assert b"".join(answer.streaming_content) == b"10.0.0.9 GET /?q=<script>alert(1)</script>\n"
    assert CustodyLine.objects.last().detail == "Root cause"


def test_a_text_is_shown_as_text_and_only_after_it_was_written_down(lees, keep):
    keep(SCRIPT)
    assert escape(SCRIPT) not in lees.get(ONE).content.decode()
    html = lees.post(f"{ONE}/read").content.decode()
    assert escape(SCRIPT) in html
    assert SCRIPT not in html
    assert [line.deed for line in CustodyLine.objects.all()] == ["received", "read"]


def test_an_address_is_shown_only_after_it_was_written_down(lees, keep):
    keep(url="https://logs.example/?a=1&b=2")
    assert "logs.example" not in lees.get(ONE).content.decode()
    assert 'href="https://logs.example/?a=1&amp;b=2" rel="noopener' in lees.post(f"{ONE}/read").content.decode()


def test_looking_at_pages_touches_nothing(lees, keep):
    keep()
    before = (Entry.objects.count(), CustodyLine.objects.count())
    for address in (LIST, ONE, f"{ONE}/correct", *ADD.values(), "/portal/incidents/INC-1/ai"):
        assert lees.get(address).status_code == 200
    assert lees.get(f"{ONE}/read").status_code == 405
    assert (Entry.objects.count(), CustodyLine.objects.count()) == before


def test_who_may_only_look_reads_what_holds_no_personal_data_and_nothing_else(client, keep, ada):
    keep(personal=True)
    keep("14:00 BLOCK", personal=False)
    client.force_login(ada)
    assert [client.get(f"{LIST}E-{number}").status_code for number in (1, 2)] == [200, 200]
    assert [client.post(f"{LIST}E-{number}/read").status_code for number in (1, 2)] == [403, 200]
    assert "responders and above can read it" in client.get(ONE).content.decode()
    assert CustodyLine.objects.filter(deed="read").count() == 1


def test_what_turned_out_to_hold_personal_data_is_shut_by_putting_it_right(client, keep, ada):
    wrong = keep("Northwind", personal=False)
    keep("Northwind", personal=True, instead_of=wrong, reason="A name is in it")
    client.force_login(ada)
    assert [client.post(f"{LIST}E-{number}/read").status_code for number in (1, 2)] == [403, 403]


def test_a_purpose_that_is_too_long_is_refused_and_nothing_is_shown(lees, keep):
    keep()
    answer = lees.post(f"{ONE}/read", {"purpose": "x" * 301})
    assert (answer.status_code, CustodyLine.objects.count()) == (400, 1)


def test_a_damaged_item_says_so_in_words_everywhere(lees, keep, folder):
    item = keep()
    store.path_of(item.sha256).unlink()
    answer = lees.post(f"{ONE}/read")
    assert answer.status_code == 409
    assert "E-1 cannot be shown: its file is missing. That was written down." in answer.content.decode()
    for address in (LIST, ONE):
        html = lees.get(address).content.decode()
        assert "Damaged" in html
        assert "its file is missing" in html


@pytest.mark.parametrize("number", [2, 0, 10**12, 10**30])
def test_an_item_is_reached_only_through_its_own_incident(lees, keep, declare, number):
    keep()
    other = declare(title="Another", impact="Something else.")
    keep(incident=other)
    keep("Of the other one", incident=other, title="Of the other one")
    for path in (f"E-{number}", f"E-{number}/correct"):
        assert lees.get(f"{LIST}{path}").status_code == 404
    assert lees.post(f"{LIST}E-{number}/read").status_code == 404
    assert "Of the other one" not in lees.get(LIST).content.decode()


def test_a_hold_is_reached_only_through_its_own_incident(client, keep, declare, grace):
    other = declare(title="Another", impact="Something else.")
    placed = actions.hold(other, reason="Litigation", by=grace)
    client.force_login(grace)
    for pk in (placed.pk, 10**12, 10**30):
        assert client.post(f"{LIST}holds/{pk}/lift", {"reason": "x"}).status_code == 404


# Putting right, holds, packs, checks


def test_putting_right_keeps_the_content_when_none_is_given(lees, keep):
    before = keep()
    page = fields(lees.get(f"{ONE}/correct").content.decode())
    page.pop("csrfmiddlewaretoken")
    page.pop("file", None)
    assert lees.post(f"{ONE}/correct", page | {"title": "Guard log, cut"}).status_code == 400  # a reason is missing
    sent = page | {"title": "Guard log, cut", "reason": "It was cut"}
    assert lees.post(f"{ONE}/correct", sent).status_code == 302
    after = EvidenceItem.objects.get(supersedes=before)
    assert (after.sha256, after.title, after.reason) == (before.sha256, "Guard log, cut", "It was cut")
    html = lees.get(ONE).content.decode()
    assert "Put right by" in html
    assert f"{ONE}/correct" not in html


@pytest.mark.parametrize(("address", "sentence"), [(f"{LIST}hold", "Everything"), (f"{ONE}/hold", "E-1")])
def test_a_hold_is_placed_and_lifted_by_forms(client, keep, grace, address, sentence):
    keep()
    client.force_login(grace)
    assert client.post(address, {"reason": " "}).status_code == 400
    assert client.post(address, {"reason": "Litigation"}).status_code == 302
    html = client.get(LIST).content.decode()
    assert f"<b>{sentence}</b> since 2 Mar 2026, 14:30 UTC" in html
    assert "On hold" in html
    again = client.post(address, {"reason": "Once more"})
    assert again.status_code == 400
    assert "placed this hold on 2026-03-02, 14:30 UTC already" in again.content.decode()
    lift = f"{LIST}holds/{actions.Hold.objects.get().pk}/lift"
    assert lift in html
    assert "Litigation" in client.get(lift).content.decode()
    assert client.post(lift, {"reason": "Settled"}).status_code == 302
    assert "On hold" not in client.get(LIST).content.decode()


def test_everything_is_taken_out_as_a_zip(client, keep, grace):
    keep()
    client.force_login(grace)
    answer = client.post(f"{LIST}export", {"purpose": "For the auditor"})
    assert answer["Content-Disposition"] == 'attachment; filename="INC-1-evidence.zip"'
    assert answer["Content-Security-Policy"] == "sandbox; default-src 'none'"
    names = zipfile.ZipFile(io.BytesIO(answer.getvalue())).namelist()
    assert "INC-1-evidence/SHA256SUMS" in names


def test_checking_says_what_it_found(lees, keep):
    item = keep()
    assert "Every item matches" in lees.post(f"{LIST}verify", follow=True).content.decode()
    store.path_of(item.sha256).unlink()
    assert "Damaged: E-1, its file is missing." in lees.post(f"{LIST}verify", follow=True).content.decode()


# The minimum, on the page


def test_gaps_stand_on_the_page_in_words_with_the_way_to_close_them(lees):
    # covers R002-08, R002-06
    html = lees.get(LIST).content.decode()
    assert html.count("Missing") == 10
    assert "Nothing shows what was asked and answered." in html
    assert f"{ADD['file']}?shows=requests" in html
    assert "/portal/incidents/INC-1/ai" in html
    lees.post(ADD["file"], upload(topics=["requests", "decisions"]))
    after = lees.get(LIST).content.decode()
    assert after.count("Missing") == 7
    assert "Nothing shows what was asked and answered." not in after


# Two at once, and many


def at_once(*deeds):
    start = Barrier(len(deeds))

    def run(deed):
        try:
            start.wait(10)
            return deed()
        except Refused as refusal:
            return refusal
        finally:
            connection.close()

    with ThreadPoolExecutor(len(deeds)) as pool:
        return list(pool.map(run, deeds))


@pytest.mark.django_db(transaction=True)
def test_uploads_at_once_get_a_number_each_and_the_same_bytes_one_file(keep, folder):
    answers = at_once(*[lambda: keep(LOG) for _ in range(4)])
    assert sorted(item.number for item in answers) == [1, 2, 3, 4]
    assert len(files(folder)) == 1


@pytest.mark.django_db(transaction=True)
def test_two_who_put_the_same_item_right_or_hold_it_are_told_of_each_other(keep, incident, lee, grace):
    item = keep("Northwind")

    def put_right(by):
        content = store.of_text(f"By {by}")
        return lambda: actions.receive(incident, content, said(), by=by, instead_of=item, reason="Cut")

    for answers in (
        at_once(put_right(lee), put_right(grace)),
        at_once(*[lambda by=by: actions.hold(incident, reason="x", by=by, item=item) for by in (lee, grace)]),
    ):
        [loser] = [answer for answer in answers if isinstance(answer, Refused)]
        assert "already" in str(loser)


def asked(client, address, django_assert_max_num_queries) -> None:
    with django_assert_max_num_queries(12):
        assert client.get(address).status_code == 200


def test_no_page_asks_more_with_more_rows(client, keep, incident, grace, django_assert_max_num_queries):
    first = keep()
    client.force_login(grace)
    for number in range(60):
        keep(f"Line {number}", topics=["requests"])
        actions.read(first, by=grace).close()
    actions.hold(incident, reason="Litigation", by=grace)
    for address in (LIST, f"{LIST}?page=2", ONE, f"{ONE}?page=2", f"{ONE}/correct", ADD["file"], f"{LIST}hold"):
        asked(client, address, django_assert_max_num_queries)
    html = client.get(LIST).content.decode()
    assert "Page 1 of 2" in html
    assert html.count("<h3 class=") == 50


def test_the_panel_asks_three_questions(keep, incident, django_assert_num_queries):
    for number in range(5):
        keep(f"Line {number}", topics=["requests"])
    shown = Incident.objects.select_related("type").prefetch_related("policy_version__severities").get()
    with django_assert_num_queries(3):
        panel = queries.panel(shown)
        assert [str(item.received_by) for item in panel["newest"]] == ["Lee"] * 3
    assert (panel["count"], len(panel["gaps"])) == (5, 9)


def test_the_panel_says_what_is_missing_and_what_is_newest(keep, incident, lee):
    item = keep()
    store.path_of(item.sha256).unlink()
    actions.verify(incident, by=lee)
    html = render_to_string(
        "incidents/evidence/_panel.html", {"incident": incident, "evidence": queries.panel(incident)}
    )
    assert "1 item kept." in html
    assert "of the minimum missing" in html
    assert "damaged" in html
    assert "AI context" in html


def test_the_incident_page_leads_to_the_evidence(lees):
    assert f'href="{LIST}"' in lees.get("/portal/incidents/INC-1").content.decode()
