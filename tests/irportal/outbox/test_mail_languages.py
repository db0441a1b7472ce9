"""One announcement in several languages: written once in each, filled in for each reader in theirs."""

from email import message_from_bytes
from email.policy import SMTP

import pytest

from irportal.outbox import audiences
from irportal.outbox.channels import django as any_mailer
from irportal.outbox.models import Words
from tests.factories import deliveries, mail_of

pytestmark = pytest.mark.django_db
GERMAN = Words("[INC-42] Suche\r\nist langsam", "Neues.\n\n{why}\n{unsubscribe_url}\n", "<p>Neues. {why}</p>")


def in_languages(*languages: str, **given):
    rows = deliveries(*(f"{name}@reader.example" for name in languages), **({"letters": {"de": GERMAN}} | given))
    for row, language in zip(rows, languages, strict=True):
        row.language = language
    return rows


def read(delivery) -> tuple[str, str]:
    mail = message_from_bytes(mail_of(delivery), policy=SMTP)
    return mail["Subject"], mail.get_body(("plain",)).get_content().replace("\r\n", "\n")


def test_each_reader_gets_their_language_and_who_reads_another_what_was_written_first():
    german, english, italian = map(read, in_languages("de", "en", "it"))

    assert german[0] == "[INC-42] Suche ist langsam"
    assert german[1].startswith("Neues.\n\nYou asked for updates")
    assert english[0] == italian[0] == "[INC-42] Searches are slow"
    assert english[1].startswith("Update ")


def test_a_retry_sends_the_same_bytes():
    (row,) = in_languages("de")

    assert mail_of(row) == mail_of(row)
    assert b"Message-ID" in mail_of(row)


def test_any_mailer_sends_the_same_words_as_smtp():
    (row,) = in_languages("de")
    letter = any_mailer.letter(row)

    assert (letter.subject, letter.body) == read(row)
    assert "Neues" in letter.alternatives[0].content


def test_whoever_leaves_does_so_on_a_page_in_their_language(monkeypatch):
    monkeypatch.setitem(
        audiences._audiences,
        "test-readers",
        (audiences._audiences["test-readers"][0], "https://s.example/{1}/{0}".format),
    )
    (row,) = in_languages("de")

    assert b"List-Unsubscribe: <https://s.example/de/de@reader.example>" in mail_of(row)
