"""What a web process keeps in memory, what it answers, and how it keeps up."""

import threading
from datetime import timedelta
from gzip import decompress

import brotli
import pytest
from django.utils import timezone

from statuspage import editions, site, wsgi
from statuspage.models import Document, Edition, Notice
from statuspage.site import Copy, Site, Wish, age_words, best_coding
from tests.statuspage.factories import component, past_incident, publish
from tests.statuspage.test_editions import settle

pytestmark = pytest.mark.django_db


@pytest.fixture
def here(tmp_path, monkeypatch, freezer) -> Site:
    """The site of this process, filled from a database with one open and one past incident; nobody follows."""
    api = component("Agent API", group="Platform")
    past_incident("INC-41", started_at=timezone.now() - timedelta(days=3))
    publish("investigating", (api, "major_outage"))
    editions.rebuild()
    settle()
    made = Site(Copy(tmp_path / "page.sqlite3"))
    made.catch_up()
    monkeypatch.setattr(site, "here", lambda: made)
    monkeypatch.setattr(wsgi, "_looked_at", 0.0)
    return made


class Asked:
    """One request put to the WSGI application."""

    def __init__(self, path: str = "/", method: str = "GET", query: str = "", **headers: str) -> None:
        environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query}
        environ |= {f"HTTP_{name.upper()}": value for name, value in headers.items()}
        self.body = b"".join(wsgi.application(environ, self.start))

    def start(self, status: str, fields: list[tuple[str, str]], *rest) -> None:
        self.status, self.headers = int(status[:3]), dict(fields)


def test_a_document_is_answered_without_django(here, monkeypatch):
    monkeypatch.setattr(wsgi, "_django", lambda: pytest.fail("Django was asked"))
    answer = Asked()

    assert answer.status == 200
    assert b"Agent API unavailable" in answer.body
    assert answer.headers["Content-Length"] == str(len(answer.body))
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_every_query_gets_the_same_bytes(here):
    assert Asked(query="utm_source=x&page=2").body == Asked().body


def test_the_smallest_form_the_reader_takes_is_sent(here):
    plain, packed, smallest = Asked(), Asked(accept_encoding="gzip"), Asked(accept_encoding="gzip, br")

    assert decompress(packed.body) == brotli.decompress(smallest.body) == plain.body
    assert packed.headers["Content-Encoding"] == "gzip"
    assert smallest.headers["Content-Encoding"] == "br"
    assert {one.headers["Vary"] for one in (plain, packed, smallest)} == {"Accept-Encoding"}
    assert len({one.headers["ETag"] for one in (plain, packed, smallest)}) == 3


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("", ""),
        ("gzip", "gzip"),
        ("gzip, deflate, br, zstd", "br"),
        ("GZIP;q=0.5", "gzip"),
        ("br;q=0, gzip;q=1.0", "gzip"),
        ("gzip;q=0", ""),
        ("gzip;q=0.000, br;q=0.0", ""),
        ("*", "gzip"),
        ("identity", ""),
        ("gzip;q=nonsense", "gzip"),
        ("brotli", ""),
        (",,;;,", ""),
    ],
)
def test_what_accept_encoding_means(accepted, coding):
    assert best_coding(accepted) == coding


@pytest.mark.parametrize("known", ['"{}"', 'W/"{}"', '"other", "{}"', "*", '"{}-gz"', '"{}-br"'])
def test_what_the_reader_has_is_not_sent_again(here, known):
    etag = Asked().headers["ETag"].strip('"')
    answer = Asked(if_none_match=known.format(etag), if_modified_since="Thu, 01 Jan 1970 00:00:00 GMT")

    assert answer.status == 304
    assert answer.body == b""
    assert "ETag" in answer.headers
    assert answer.headers["Cache-Control"] == Asked().headers["Cache-Control"]
    assert "Content-Length" not in answer.headers


@pytest.mark.parametrize("other", ['"other"', "", "garbage", '""'])
def test_an_etag_that_is_not_known_is_answered_in_full(here, other):
    assert Asked(if_none_match=other, if_modified_since="Fri, 01 Jan 2100 00:00:00 GMT").status == 200


@pytest.mark.parametrize(
    ("since", "status"),
    [
        ("Mon, 02 Mar 2026 14:30:00 GMT", 304),
        ("Mon, 02 Mar 2026 14:29:59 GMT", 200),
        ("yesterday", 200),
        ("Mon, 02 Mar 99999999 14:29:59 GMT", 200),
    ],
)
def test_a_date_is_enough_to_know(here, since, status):
    assert Asked(if_modified_since=since).status == status


def test_head_has_the_headers_of_get_and_no_body(here):
    head = Asked(method="HEAD")

    assert head.headers == Asked().headers
    assert head.body == b""


def test_a_short_address_leads_to_the_incident(here):
    code = Notice.objects.get(ref="INC-42").code

    assert (Asked("/i/INC-42").status, Asked("/i/INC-42").headers["Location"]) == (301, f"/incidents/{code}")


@pytest.mark.parametrize("path", ["/incidents/nothing", "/i/INC-9", "/history/1999-01", "/api/v2/nothing.json"])
def test_what_a_whole_snapshot_does_not_have_does_not_exist(here, path, monkeypatch):
    monkeypatch.setattr(wsgi, "_django", lambda: pytest.fail("Django was asked"))

    assert Asked(path).status == 404
    assert b"There is no such page" in Asked(path).body


@pytest.mark.parametrize(
    ("path", "method"), [("/portal/", "GET"), ("/subscribe", "GET"), ("/", "POST"), ("/", "DELETE")]
)
def test_everything_else_is_for_django(here, path, method, monkeypatch):
    monkeypatch.setattr(wsgi, "_django", lambda: lambda environ, start: start("204 No Content", []) or [])

    assert Asked(path, method).status == 204


def test_while_the_site_is_being_built_django_answers_for_what_is_not_there_yet(here, monkeypatch):
    monkeypatch.setattr(wsgi, "_django", lambda: lambda environ, start: start("204 No Content", []) or [])
    editions.rebuild()
    here.catch_up()

    assert Asked("/incidents/nothing").status == 204


def test_a_publish_is_taken_over_and_only_what_changed_is_read(here):
    before = dict(here.documents)
    publish("identified", body="A cable was cut.")
    settle()
    here.catch_up()
    other = f"/incidents/{Notice.objects.get(ref='INC-41').code}"

    assert b"A cable was cut." in Asked().body
    assert here.documents[other] is before[other]


def test_another_database_replaces_everything(here):
    Edition.objects.update(code="another00000")
    Document.objects.exclude(path="/").delete()
    here.catch_up()

    assert set(here.documents) == {"/"}


# How old a page is


def test_a_page_says_how_old_it_is_when_it_cannot_be_refreshed(here, freezer):
    fresh = Asked()
    freezer.shift(timedelta(minutes=23, seconds=5))
    here.look_at_clock()
    old = Asked()

    assert b'class="wrap age"' not in fresh.body
    assert b"2 March 2026, 14:30 UTC</time>, 23 minutes ago" in old.body
    assert old.body.replace(here.age.encode(), b"") == fresh.body
    assert decompress(Asked(accept_encoding="br, gzip").body) == old.body
    assert Asked(if_none_match=fresh.headers["ETag"]).status == 200
    assert Asked(if_none_match=old.headers["ETag"]).status == 304


def test_programs_get_the_same_bytes_however_old(here, freezer):
    before = Asked("/api/v2/summary.json").body
    freezer.shift(timedelta(hours=3))
    here.look_at_clock()

    assert Asked("/api/v2/summary.json").body == before


def test_a_page_that_can_be_refreshed_again_says_nothing(here, freezer):
    fresh = Asked().headers["ETag"]
    freezer.shift(timedelta(minutes=5))
    here.look_at_clock()
    here.catch_up()
    here.look_at_clock()

    assert Asked().headers["ETag"] == fresh


def test_news_that_is_not_written_makes_the_page_old(here, freezer):
    publish("identified")
    freezer.shift(timedelta(minutes=3))
    here.catch_up()
    here.look_at_clock()

    assert b"3 minutes ago" in Asked().body


def test_a_promise_that_nobody_calls_late_makes_the_page_old(here, freezer):
    publish("identified", next_update_by=timezone.now() + timedelta(minutes=10))
    settle()
    freezer.shift(timedelta(minutes=12, seconds=1))
    here.catch_up()
    here.look_at_clock()

    assert b"2 minutes ago" in Asked().body


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (14, ""),
        (20, "less than a minute ago"),
        (61, "1 minute ago"),
        (7199, "119 minutes ago"),
        (7200, "2 hours ago"),
        (172_800, "2 days ago"),
    ],
)
def test_how_an_age_is_said(seconds, said):
    assert said in age_words(1_000_000, 1_000_000 + seconds, "en")


# The copy in a file


def test_a_start_without_a_database_serves_the_last_copy(here, tmp_path, freezer):
    expected = Asked().body
    freezer.shift(timedelta(minutes=5))
    again = Site(Copy(tmp_path / "page.sqlite3"))
    again.load_copy()

    assert again.documents["/"].body == expected
    assert "5 minutes ago" in again.age
    assert again.find("/incidents/nothing").status == 404


def test_the_copy_follows_each_publish(here, tmp_path):
    publish("identified", body="A cable was cut.")
    settle()
    here.catch_up()
    again = Site(Copy(tmp_path / "page.sqlite3"))
    again.load_copy()

    assert b"A cable was cut." in again.documents["/"].body
    assert set(again.documents) == set(here.documents)
    assert again.version == here.version


def test_a_copy_that_cannot_be_read_is_made_anew(here, tmp_path, caplog):
    (tmp_path / "page.sqlite3").write_bytes(b"not a database" * 100)
    again = Site(Copy(tmp_path / "page.sqlite3"))
    again.load_copy()
    again.catch_up()

    third = Site(Copy(tmp_path / "page.sqlite3"))
    third.load_copy()
    assert set(third.documents) == set(here.documents)


def test_a_disk_that_is_full_stops_nothing(here, monkeypatch, caplog):
    def full(*args, **given):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(here.copy, "save", full)
    publish("identified", body="A cable was cut.")
    settle()
    here.catch_up()

    assert b"A cable was cut." in Asked().body
    assert "cannot be written" in caplog.text


def test_readers_and_a_writer_never_see_half_a_site(here):
    """While the site is swapped, whatever a reader gets is whole."""
    wrong, over = [], threading.Event()

    def read() -> None:
        while not over.is_set():
            found = here.find("/").answer(Wish())
            if int(dict(found.fields)["Content-Length"]) != len(found.body):
                wrong.append(found)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(5):
        publish("identified", body=f"News {number}.")
        settle()
        here.catch_up()
    over.set()
    for reader in readers:
        reader.join()
    assert wrong == []
