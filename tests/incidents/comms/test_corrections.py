"""What customers were told and was wrong: corrected by another update that says so, on the page and by mail."""

import pytest

from irportal.outbox.models import Announcement
from statuspage.models import NoticeUpdate
from tests.pages import fields
from tests.statuspage.test_pages import words

pytestmark = pytest.mark.django_db

INC = "/portal/incidents/INC-1"


@pytest.fixture
def told(declare, update):
    """INC-1, of which customers were told at once."""
    return update(declare(), customer_text="It began at 14:20.")


def test_a_correction_is_called_one_on_the_page_and_by_mail(told, update, client):
    update(told, customer_text="It began at 14:02.", corrects=True)
    mail = Announcement.objects.filter(topic="correction").get()

    assert "Investigating correction It began at 14:02." in words(client.get("/"))
    assert "It began at 14:20." in words(client.get("/"))
    assert mail.subject == "[INC-1] Investigating, correction: Agent API unavailable"
    assert "CORRECTION\nIt began at 14:02." in mail.text
    assert "Investigating.\nIt began at 14:20." in mail.text


def test_a_correction_is_approved_like_an_update_and_keeps_the_promise(told, update, lin):
    update(told, customer_text="It began at 14:02.", corrects=True)
    message = told.messages.get(kind="correction")

    assert message.approved_by == lin
    assert message.met.filter(message_class="status_update", outcome="kept").exists()


def test_an_approval_of_an_update_is_none_of_a_correction(told, update, lee):
    update(told, customer_text="It began at 14:02.", send=False)
    update(told, customer_text="It began at 14:02.", send=False, corrects=True)
    one, other = told.messages.filter(status="draft")

    assert one.content_hash != other.content_hash


def test_the_form_asks_once_something_was_told_and_shows_it_before_it_leaves(told, client, lin, grace):
    client.force_login(grace)
    form = fields(client.get(f"{INC}/update").content.decode())
    said = form | {"customer_text": "It began at 14:02.", "asserts": "no", "corrects": "on"}
    preview = client.post(f"{INC}/update/preview", said).content.decode()
    assert "Agent API unavailable: Investigating, correction" in preview

    client.post(f"{INC}/update/draft", said)
    assert told.messages.get(status="draft").kind == "correction"
    assert "Investigating, correction" in client.get(INC).content.decode()


def test_before_anything_was_told_there_is_nothing_to_correct(declare, client, grace):
    declare()
    client.force_login(grace)

    assert "corrects" not in client.get(f"{INC}/update").content.decode()


def test_a_correction_after_the_end_stands_where_it_was_resolved(told, update, client):
    update(told, status="resolved", reason="It is over.", customer_text="It works again.")
    update(told, customer_text="It began at 14:02.", corrects=True)
    newest = NoticeUpdate.objects.first()

    assert (newest.kind, newest.status, newest.notice.is_open) == ("correction", "resolved", False)
