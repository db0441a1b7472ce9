"""An update that is given in other languages too: on their pages, in their mails, under one approval, in the record."""

import pytest

from incidents.comms import actions
from incidents.comms.models import Message
from irportal.outbox.models import Announcement
from irportal.refused import Refused
from statuspage.models import Notice, NoticeUpdate
from tests.pages import fields

pytestmark = pytest.mark.django_db
INC = "/portal/incidents/INC-1"
GERMAN = {"titles": {"de": "Agent-API nicht erreichbar"}, "bodies": {"de": "Jede Anfrage schlägt fehl."}}


@pytest.fixture(autouse=True)
def two_languages(settings) -> None:
    """One the incident is told in besides its own, and one it is not."""
    settings.PAGE_LANGUAGES = ["en", "de", "fr"]


@pytest.fixture
def told(declare, update):
    return update(declare(), customer_text="Every request fails.", **GERMAN)


def test_the_page_of_a_language_shows_its_words_and_the_others_those_of_the_page(told, client):
    german, french, english = (client.get(path).content.decode() for path in ("/de/", "/fr/", "/"))

    assert "<bdi>Agent-API nicht erreichbar</bdi>" in german
    assert '<div class="said" dir="auto"><p>Jede Anfrage schlägt fehl.</p>' in german
    assert '<bdi lang="en">Agent API unavailable</bdi>' in french
    assert '<div class="said" dir="auto" lang="en"><p>Every request fails.</p>' in french
    assert '<div class="said" dir="auto"><p>Every request fails.</p>' in english


def test_programs_and_feeds_of_the_page_keep_its_own_words(told, client):
    assert "Jede Anfrage" not in client.get("/api/v2/summary.json").content.decode()
    assert "Jede Anfrage" not in client.get("/history.atom").content.decode()
    assert "Jede Anfrage" in client.get("/de/history.atom").content.decode()


def test_mails_have_the_words_and_the_frame_of_the_readers_language(told):
    mail = Announcement.objects.get(topic="update")

    assert mail.subject == "[INC-1] Investigating: Agent API unavailable"
    german = mail.words("de")
    assert german.subject == "[INC-1] Wird untersucht: Agent-API nicht erreichbar"
    assert "Jede Anfrage schlägt fehl." in german.text
    assert "WAS WIR WISSEN" in german.text
    assert '<html lang="de" dir="ltr">' in german.html
    assert 'lang="en"' in mail.words("fr").html


def test_a_title_lasts_with_the_title_it_translates(told, update):
    update(told, customer_text="Still.")
    assert Notice.objects.get().titles == GERMAN["titles"]

    told.title = "Agent API slow"
    told.save(update_fields=["title"])
    update(told, customer_text="Slow now.")
    assert Notice.objects.get().titles == {}


def test_an_approval_covers_every_language(told):
    message = told.messages.get(kind="update")
    other = Message(
        **{name: getattr(message, name) for name in ("text", "audience", "kind", "public_status", "asserts")}
    )
    other.titles, other.bodies = message.titles, {"de": "Alles ist gut."}
    other.next_update_by = message.next_update_by

    assert actions.hash_of(other) != actions.hash_of(message)


def test_the_form_takes_shows_and_keeps_every_language(declare, client, grace, lin):
    declare()
    client.force_login(grace)
    form = fields(client.get(f"{INC}/update").content.decode())
    said = form | {"customer_text": "Every request fails.", "asserts": "no", "text_de": "Jede Anfrage schlägt fehl."}
    preview = client.post(f"{INC}/update/preview", said).content.decode()
    assert "In Deutsch" in preview
    assert "<p>Jede Anfrage schlägt fehl.</p>" in preview

    client.post(f"{INC}/update/draft", said)
    draft = Message.objects.get(status="draft")
    assert draft.bodies == {"de": "Jede Anfrage schlägt fehl."}
    assert "Jede Anfrage schlägt fehl." in client.get(INC).content.decode()
    rewrite = fields(client.get(f"{INC}/messages/{draft.pk}/rewrite").content.decode())
    assert rewrite["text_de"] == "Jede Anfrage schlägt fehl."


def test_a_rewritten_text_loses_the_languages_that_were_not_given_again(declare, update, grace):
    incident = update(declare(), customer_text="Every request fails.", send=False, **GERMAN)
    draft = incident.messages.get(status="draft")
    actions.rewrite(draft, text="Some requests fail.", by=draft.author)

    draft.refresh_from_db()
    assert (draft.titles, draft.bodies) == ({}, {})


def test_what_is_told_in_a_language_without_pages_is_refused(declare, update, settings):
    settings.PAGE_LANGUAGES = ["en", "fr"]
    with pytest.raises(Refused, match="no pages in 'de'"):
        update(declare(), customer_text="Every request fails.", **GERMAN)


def test_the_record_names_the_languages_and_keeps_the_words(told):
    assert "Also in Deutsch." in told.timeline.filter(kind="message").latest("pk").text
    assert NoticeUpdate.objects.get().bodies == GERMAN["bodies"]


def test_a_holding_message_is_in_every_language(told, client, freezer):
    from incidents.comms import holding

    texts = {}
    for language in ("en", "de", "ja"):
        from django.utils.translation import override

        with override(language):
            texts[language] = holding.holding_text(told)

    assert texts["de"].startswith("Wir arbeiten weiter daran")
    assert len(set(texts.values())) == 3
