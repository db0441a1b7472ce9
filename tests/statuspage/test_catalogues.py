"""Every word of ours is marked, translated, and translated with the same places for what is filled in."""

import calendar
import html
import re
from datetime import timedelta

import pytest
from babel.messages.catalog import Catalog
from django.test import override_settings
from django.utils import timezone, translation

from statuspage import audiences, documents, letters, maintenance, publish
from statuspage.models import Component
from tests import messages
from tests.statuspage.factories import component, past_incident, planned, subscriber
from tests.statuspage.factories import publish as tell

MARKED = messages.messages()
HOUR = timedelta(hours=1)
PLACES = re.compile(r"%\(\w+\)s|\{\w+\}|</?\w+|href=|class=|style=")


@pytest.mark.parametrize("locale", messages.LOCALES)
def test_every_message_is_translated_and_no_other_is_there(locale):
    catalogue = messages.read(locale)
    there = {(message.id, message.context or "") for message in catalogue if message.id}

    assert there == {(message.id, message.context) for message in MARKED}
    for message in catalogue:
        words = message.string if isinstance(message.string, tuple) else [message.string]
        assert all(words), message.id
        assert not message.fuzzy, message.id


@pytest.mark.parametrize("locale", messages.LOCALES)
def test_a_translation_has_the_places_of_its_message(locale):
    for message in messages.read(locale):
        if not message.id:
            continue
        ids = message.id if isinstance(message.id, tuple) else (message.id,)
        for words in message.string if isinstance(message.string, tuple) else (message.string,):
            assert sorted(PLACES.findall(words)) == sorted(PLACES.findall(ids[-1])), words


@pytest.mark.parametrize("locale", messages.LOCALES)
def test_the_compiled_catalogue_is_the_one_that_was_written(locale):
    """`make messages` compiles; a fresh clone needs no tools for it."""
    file = messages.source_of(locale).with_suffix(".mo")
    assert file.read_bytes() == messages.compiled(messages.read(locale))


@pytest.mark.parametrize("locale", messages.LOCALES)
def test_the_stages_of_an_incident_are_four_different_words(locale):
    catalogue = messages.read(locale)
    stages = [catalogue.get(word).string for word in ("Investigating", "Identified", "Monitoring", "Resolved")]

    assert len(set(stages)) == 4


def test_a_message_is_found_in_code_and_in_templates():
    code = 'x = _("One")\npgettext("here", "Two")\nngettext("%(n)s day", "%(n)s days", n)\n_(city)'
    template = '{% load i18n %}{% translate "Three" context "there" %}'
    template += "{% blocktranslate trimmed %}\n Four {{ x }}\n{% endblocktranslate %}"

    assert {*messages.in_python(code)} == {
        messages.Message("One"),
        messages.Message("Two", context="here"),
        messages.Message("%(n)s day", "%(n)s days"),
    }
    assert {*messages.in_template(template)} == {
        messages.Message("Three", context="there"),
        messages.Message("Four %(x)s"),
    }


# A language that puts every word of ours in brackets shows what is not marked

OURS = re.compile(r"⟦[^⟦⟧]*⟧")
NAMES = {
    "UTC", "JSON", "Feed", "Atom", "RSS", "AgentGuard", "INC", "MNT", "Slack", "https",
    "English", "Fran", "ais", "Deutsch", "Espa", "Portugu", "Brasil", "xx",
}  # fmt: skip
DJANGOS = {*calendar.month_name, *calendar.month_abbr, *calendar.day_name, *calendar.day_abbr}  # of days and months


@pytest.fixture
def bracketed(tmp_path):
    """The page speaks English and `xx`."""
    catalogue = Catalog(locale="en")
    catalogue.mime_headers = [("Plural-Forms", "nplurals=2; plural=(n != 1);")]
    for message in MARKED:
        own = (f"⟦{message.text}⟧", f"⟦{message.plural}⟧") if message.plural else f"⟦{message.text}⟧"
        if message.context.startswith("date format"):
            own = message.text
        catalogue.add(message.id, own, context=message.context or None)
    folder = tmp_path / "xx" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    (folder / "django.mo").write_bytes(messages.compiled(catalogue))
    with override_settings(PAGE_LANGUAGES=["en", "xx"], LOCALE_PATHS=[tmp_path]):
        yield
    translation.trans_real._translations.pop("xx", None)


def unmarked(text: str) -> set[str]:
    """The words of a text that are neither in brackets nor names."""
    while (shorter := OURS.sub(" ", text)) != text:
        text = shorter
    text = re.sub(r"\S+@\S+|https?://\S+|\{[\w:]+\}", " ", text)
    return set(re.findall(r"[A-Za-z]{2,}", text)) - NAMES - DJANGOS


def words_of(page: str) -> str:
    """The text of a page and of the attributes that are read out or shown."""
    page = re.sub(r"<style>.*?</style>", " ", page, flags=re.DOTALL)
    for_machines = r'<meta name="(?:viewport|robots|color|supported|format).*?>'
    shown = re.findall(r'(?:aria-label|title|alt|placeholder|content)="([^"]*)"', re.sub(for_machines, "", page))
    return html.unescape(" ".join([re.sub(r"<[^>]*>", " ", page), *shown]))


@pytest.fixture
def everything(db, freezer):
    """One of everything the page can show, named in letters that are not Latin."""
    now = timezone.now()
    api = component("Αλφα", group="Ομάδα")
    component("Βήτα")
    Component.objects.update(description="Περιγραφή", created_at=now - timedelta(days=40))
    past_incident("INC-1", title="Παλιό", body="Τέλος", started_at=now - timedelta(days=3))
    learned = past_incident("INC-2", title="Άλλο", body="Τέλος", started_at=now - timedelta(days=35)).notice
    publish.publish_postmortem(learned.ref, "Μάθαμε", by=None)
    publish.publish_postmortem(learned.ref, "Μάθαμε πιο πολλά", by=None, reason="Λάθος")
    hit, words = (api, "major_outage"), {"title": "Τώρα", "body": "Νέα"}
    for kind in ("update", "holding", "correction"):
        tell("identified", hit, ref="INC-3", kind=kind, next_update_by=now + timedelta(hours=20), **words)
    late = tell("monitoring", hit, ref="INC-4", next_update_by=now + timedelta(minutes=1), **words)
    plans = {
        title: planned(api, title=title, starts_at=now + begins, ends_at=now + begins + timedelta(hours=1))
        for title, begins in (
            ("Εργασίες", timedelta(hours=30)),
            ("Αργές", timedelta(minutes=1)),
            ("Όχι", timedelta(hours=3)),
        )
    }
    works = [maintenance.announce(plan, text="Κείμενο", by=None).maintenance for plan in plans.values()]
    maintenance.cancel(works[-1], by=None)
    freezer.shift(timedelta(minutes=5))
    return api, learned, late.notice


def test_every_document_has_its_own_words_marked(bracketed, everything, client):
    kinds = [kind for kind in documents.KINDS if kind.worded]
    assert {"page", "history", "incident", "uptime", "maintenance", "not-found"} <= {kind.name for kind in kinds}
    with translation.override("xx"):
        paths = {
            kind.path(subject): kind
            for kind in kinds
            for key in documents.TOPICS[kind.topic].every()
            if (subject := documents.TOPICS[kind.topic].load(key)) is not None
        }
    for path, kind in paths.items():
        answer = client.get(path)
        if answer.status_code == 301:
            continue
        text = answer.content.decode()
        shown = words_of(html.unescape(text)) if "html" in kind.media or "svg" in kind.media else None
        if shown is not None:
            assert unmarked(shown) == set(), path
        assert "⟦" in text, path


@pytest.mark.parametrize(
    "address",
    ["subscribe", "manage", "subscribe/endpoint", "manage/endpoint", "confirm/nothing", "u/nothing", "nothing"],
)
@pytest.mark.parametrize("method", ["get", "post"])
def test_every_form_has_its_own_words_marked(bracketed, everything, client, address, method):
    answer = getattr(client, method)(f"/xx/{address}", *([{"email": "x"}] if method == "post" else []))

    without_zones = re.sub(r"<select.*?</select>", "", answer.content.decode(), flags=re.DOTALL)
    assert unmarked(words_of(without_zones)) == set()


def test_a_subscribers_pages_have_their_own_words_marked(bracketed, everything, client):
    from statuspage.subscriptions import manage_token

    api, *_ = everything
    page = client.get(f"/xx/manage/{manage_token(subscriber('ann@reader.example', api))}").content.decode()

    assert unmarked(words_of(re.sub(r"<select.*?</select>", "", page, flags=re.DOTALL))) == set()


@pytest.mark.parametrize("topic", ["confirm", "manage"])
def test_mails_to_who_asks_have_their_own_words_marked(bracketed, topic):
    with translation.override("xx"):
        letter = letters.letter(topic, "token")
        assert unmarked(letter.subject) == unmarked(letter.text) == unmarked(words_of(letter.html)) == set()


def test_the_reason_for_a_mail_is_told_in_the_readers_language(db, monkeypatch):
    subscriber("ann@reader.example", language="de")
    row = audiences.subscribers(None).get()

    assert row["why"] == "Sie erhalten dies, weil Sie Meldungen zu AgentGuard angefordert haben."


# The direction of writing


def test_a_page_from_right_to_left_says_so(everything, client):
    with override_settings(PAGE_LANGUAGES=["en", "he"]):
        assert '<html lang="he" dir="rtl">' in client.get("/he/").content.decode()
        assert "dir=" not in client.get("/").content.decode().partition("<body")[0]


def test_no_title_turns_the_text_behind_it(db, client):
    tell("investigating", title="\u202eevil\u202c \u2067title\u2069")

    page = client.get("/").content.decode()
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", page)
    assert "evil title" in page


def test_the_stylesheet_names_no_side():
    text = (messages.ROOT / "static" / "css" / "status.css").read_text()
    sided = r"(?:margin|padding|border)-(?:left|right)|text-align:\s*(?:left|right)|[;{\s](?:left|right):"

    assert re.findall(sided, text) == []
