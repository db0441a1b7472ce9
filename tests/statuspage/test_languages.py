"""One document for each language, each at an address of its own."""

import re
from datetime import timedelta

import pytest
from django.conf import settings
from django.urls import resolve
from django.utils import timezone
from django.utils.translation import get_language, override

from statuspage import editions, languages, plain, rhythm
from statuspage.models import Change, Document
from statuspage.site import Copy, Site, Wish
from tests.statuspage.factories import component, past_incident, publish

pytestmark = pytest.mark.usefixtures("new_process")

LANGUAGES = ["en", "de", "fr", "es", "ja", "pt-br"]


def settle() -> None:
    while editions.refresh():
        pass


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", ("en", "/")),
        ("/history", ("en", "/history")),
        ("/de/", ("de", "/")),
        ("/pt-br/incidents/abc", ("pt-br", "/incidents/abc")),
        ("/de", ("en", "/de")),  # a page of ours begins with /de/
        ("/it/history", ("en", "/it/history")),
        ("/en/history", ("en", "/en/history")),  # the page's own language is at the root alone
    ],
)
def test_an_address_names_its_language(path, expected):
    assert languages.split(path) == expected


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_address_leads_there_and_back(language):
    for path in ("/", "/history", "/incidents/abc", "/subscribe"):
        there = languages.at(path, language)
        assert languages.split(there) == (language, path)
        assert resolve(there).kwargs["language"] == language


def test_what_the_page_does_not_speak_it_says_in_its_own_language():
    assert [languages.known(code) for code in ("de", "it", None)] == ["de", "en", "en"]


@pytest.mark.django_db
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_page_says_its_language_and_where_it_is_in_the_others(client, language):
    code = publish("investigating").notice.code
    for path in ("/", "/history", f"/incidents/{code}"):
        page = client.get(languages.at(path, language)).content.decode()
        assert f'<html lang="{language}">' in page
        alternates = dict(re.findall(r'<link rel="alternate" hreflang="(.*?)" href="(.*?)">', page))
        there = {other: settings.PUBLIC_BASE_URL + languages.at(path, other) for other in LANGUAGES}
        assert alternates == there | {"x-default": there["en"]}
        assert f'<link rel="canonical" href="{there[language]}">' in page
        assert set(re.findall(r'<a href="([^"]*)" hreflang', page)) == {languages.at(path, code) for code in LANGUAGES}


@pytest.mark.django_db
@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_links_stay_in_the_language_but_for_programs(client, language):
    publish("investigating")
    page = client.get(f"/{language}/").content.decode()
    links = set(re.findall(r' href="(/[^"]*)"(?! hreflang)', page))

    outside = {link for link in links if not link.startswith(f"/{language}/")}
    assert f"/{language}/history" in links
    assert all(link.startswith(("/static/", "/api/", "/openapi", "/calendar")) for link in outside)


@pytest.mark.django_db
def test_no_answer_depends_on_the_language_a_browser_prefers(client):
    publish("investigating")
    one, other = (client.get("/", headers={"Accept-Language": wanted}) for wanted in ("en", "de"))

    assert one.content == other.content
    assert "Accept-Language" not in one.get("Vary", "")


@pytest.mark.django_db
def test_an_answer_in_german_leaves_the_portal_speaking_english(client):
    client.get("/de/")

    assert get_language() == "en"


@pytest.mark.django_db
@pytest.mark.parametrize("language", LANGUAGES)
def test_programs_read_the_same_whatever_the_pages_language(settings, language, client):
    publish("investigating", (component("Agent API"), "major_outage"))
    expected = client.get("/api/v2/summary.json").content
    with override(language):
        assert client.get("/api/v2/summary.json").content == expected


@pytest.mark.django_db
def test_a_page_of_one_language_has_no_menu_and_no_alternates(client, settings):
    settings.PAGE_LANGUAGES = ["en"]
    page = client.get("/").content.decode()

    assert "hreflang" not in page
    assert client.get("/de/").status_code == 404


@pytest.mark.django_db
def test_a_page_may_be_german_at_the_root(client, settings):
    settings.PAGE_LANGUAGES = ["de", "en"]
    publish("investigating")

    assert '<html lang="de">' in client.get("/").content.decode()
    assert '<html lang="en">' in client.get("/en/").content.decode()


# Written on publish


@pytest.fixture
def built(freezer, monkeypatch):
    monkeypatch.setattr(editions, "_built", set())
    publish("investigating", (component("Agent API"), "major_outage"))
    editions.rebuild()
    settle()


@pytest.mark.django_db
def test_every_language_is_written(built):
    paths = {*Document.objects.values_list("path", flat=True)}

    assert {
        languages.at(path, code) for path in ("/", "/history", "/history.atom", "/404") for code in LANGUAGES
    } <= paths


@pytest.mark.django_db
def test_news_is_committed_in_the_pages_own_language_before_the_others_are_begun(built):
    publish("identified", body="A cable was cut.")
    editions.refresh()

    assert b"A cable was cut." in bytes(Document.objects.get(path="/").body)
    assert b"A cable was cut." in bytes(Document.objects.get(path="/api/v2/summary.json").body)
    assert b"A cable was cut." not in bytes(Document.objects.get(path="/de/").body)
    settle()
    assert b"A cable was cut." in bytes(Document.objects.get(path="/de/").body)


@pytest.mark.django_db
def test_a_language_that_is_no_longer_spoken_waits_for_nothing(built, settings):
    publish("identified")
    settings.PAGE_LANGUAGES = ["en"]
    settle()

    assert not Change.objects.exists()


@pytest.mark.django_db
def test_what_is_not_there_is_said_in_the_language_of_the_address(built, tmp_path, client):
    here = Site(Copy(tmp_path / "page.sqlite3"))
    here.catch_up()

    for path in ("/de/incidents/nothing", "/de/history/1999-01"):
        assert here.find(path).path == "/de/404"
        assert b'<html lang="de">' in here.find(path).answer(Wish()).body
    assert b'<html lang="de">' in client.get("/de/nothing").content


@pytest.mark.django_db
def test_an_old_copy_says_so_in_each_language(built, tmp_path, freezer):
    here = Site(Copy(tmp_path / "page.sqlite3"))
    here.catch_up()
    freezer.shift(timedelta(minutes=5))
    here.look_at_clock()
    said = {here.find(languages.at("/", code)).answer(Wish()).body.decode() for code in LANGUAGES}

    assert all('role="status"' in page for page in said)


@pytest.mark.django_db
def test_news_that_waits_in_one_language_makes_no_other_page_old(built, tmp_path, freezer):
    publish("identified", body="A cable was cut.")
    for _ in range(2):
        editions.refresh()  # the page's own language: how things stand, then lists
    freezer.shift(timedelta(minutes=3))
    here = Site(Copy(tmp_path / "page.sqlite3"))
    here.catch_up()
    here.look_at_clock()
    own, other = (here.find(path).answer(Wish()).body for path in ("/", "/de/"))

    assert b'role="status"' not in own
    assert b'role="status"' in other
    settle()
    here.catch_up()
    here.look_at_clock()
    assert b'role="status"' not in here.find("/de/").answer(Wish()).body


@pytest.mark.django_db
def test_plain_files_keep_every_language_apart(built, tmp_path):
    plain.write_to(tmp_path)

    assert b'lang="en"' in (tmp_path / "index.html").read_bytes()
    assert b'lang="de"' in (tmp_path / "de" / "index.html").read_bytes()
    assert (tmp_path / "pt-br" / "history.html").exists()


# Dates


@pytest.mark.parametrize(
    ("language", "moment", "month"),
    [
        ("en", "24 October 2025, 14:45 UTC", "October 2025"),
        ("de", "24. Oktober 2025, 14:45 UTC", "Oktober 2025"),
        ("fr", "24 octobre 2025, 14:45 UTC", "Octobre 2025"),
        ("es", "24 de octubre de 2025, 14:45 UTC", "Octubre de 2025"),
        ("ja", "2025年10月24日", "2025年10月"),
        ("pt-br", "24 de Outubro de 2025, 14:45 UTC", "Outubro de 2025"),
    ],
)
def test_dates_are_written_as_the_language_writes_them(language, moment, month, freezer):
    freezer.move_to("2025-10-24 14:45 +0000")
    with override(language):
        assert rhythm.moment(timezone.now()).startswith(moment)
        assert rhythm.month(timezone.now()) == month


@pytest.mark.django_db
def test_past_incidents_have_the_dates_of_the_language(client, freezer):
    past_incident("INC-40", title="Slow answers", started_at=timezone.now() - timedelta(days=40))

    assert "Januar 2026" in client.get("/de/history/2026-01").content.decode()
