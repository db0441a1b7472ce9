"""Pages are read from disk and from addresses within bounds, and only from where webhooks may go."""

import json

import pytest
from django.core.management import CommandError

from statuspage.importing import sources
from statuspage.models import Notice
from tests.receiver import Answer
from tests.statuspage.importing import pages

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("freezer")]
ENDED = ("investigating", "resolved")


def answers(receiver, **documents) -> None:
    receiver.found = {path: Answer(body=json.dumps(document).encode()) for path, document in documents.items()}


def test_a_page_is_asked_for_everything_in_its_history(take_over, receiver):
    recent, older = pages.one(*ENDED), pages.one(*ENDED)
    history = {
        "months": [{"name": "March", "year": 2026, "incidents": [{"code": row["id"]} for row in (recent, older)]}]
    }
    answers(
        receiver,
        **{
            "/api/v2/components.json": {"components": [pages.component(0)]},
            "/api/v2/incidents.json": {"incidents": [recent]},
            "/history.json?page=1": history,
            f"/incidents/{older['id']}.json": older,
        },
    )
    take_over(receiver.url("/"), "--write")

    assert {notice.code for notice in Notice.objects.all()} == {recent["id"], older["id"]}
    assert f"/incidents/{recent['id']}.json" not in [asked.path for asked in receiver.posted]


def test_one_document_can_be_asked_for_alone(take_over, receiver):
    answers(receiver, **{"/old/api/v2/incidents.json": {"incidents": [pages.one(*ENDED)]}})
    take_over(receiver.url("/old/api/v2/incidents.json"), "--write")

    assert Notice.objects.count() == len(receiver.posted) == 1


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(404), "is not there"),
        (Answer(500), "answers 500"),
        (Answer(302, {"Location": "/"}), "answers 302"),
        (Answer(body=b"<html>"), "does not answer with JSON"),
        (Answer(body=b"[" * 100_000), "does not answer with JSON"),
        (Answer(body=b'{"incidents": []}' + b" " * 100), "answers with more than"),
    ],
)
def test_an_answer_that_is_no_page_is_refused(take_over, receiver, monkeypatch, answer, reason):
    monkeypatch.setattr(sources, "ANSWER", 100 if reason.startswith("answers with") else sources.ANSWER)
    receiver.found = {"/incidents.json": answer}

    with pytest.raises(CommandError, match=reason):
        take_over(receiver.url("/incidents.json"))


def test_no_more_is_asked_than_the_bound_allows(take_over, receiver, monkeypatch):
    monkeypatch.setattr(sources, "ANSWERS", 2)
    answers(receiver, **{"/api/v2/components.json": {"components": []}, "/api/v2/incidents.json": {"incidents": []}})

    with pytest.raises(CommandError, match="more than 2 documents"):
        take_over(receiver.url("/"))


@pytest.mark.parametrize(
    "address", ["https://127.0.0.1/", "https://10.0.0.1/incidents.json", "http://status.example.org/"]
)
def test_nothing_is_asked_for_inside_the_house(take_over, address):
    with pytest.raises(CommandError, match="is not asked"):
        take_over(address)


@pytest.mark.parametrize(
    ("source", "options", "reason"),
    [
        ("/nowhere/at/all.json", (), "cannot be read: No such file"),
        (b"{}", (), "nothing we can read"),
        ({"page.txt": "x", "more/page.txt": "y"}, (), "holds no file"),
        (b"{}", ("--time-zone=Mars/Olympus",), "is not a time zone"),
        ("https://status.example.org/", ("--from=upptime",), "is read from files"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_sentence(take_over, source, options, reason):
    with pytest.raises(CommandError, match=reason):
        take_over(source, *options)


def test_files_and_folders_have_a_largest_size(take_over, monkeypatch):
    monkeypatch.setattr(sources, "LARGEST", 10)
    with pytest.raises(CommandError, match="larger than"):
        take_over(pages.document(pages.one(*ENDED)))
    monkeypatch.undo()
    monkeypatch.setattr(sources, "FILES", 1)
    with pytest.raises(CommandError, match="more than 1 files"):
        take_over({"a.json": b"{}", "b.json": b"{}"})
