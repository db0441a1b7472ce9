"""Times in mails: UTC for everybody, and each reader's own beside it, filled into bytes made once."""

from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import SMTP

import pytest

from irportal.outbox import wire
from irportal.outbox.channels import django as any_mailer
from tests.factories import deliveries

pytestmark = pytest.mark.django_db
AT = datetime(2026, 3, 2, 23, 30, 45, tzinfo=UTC)


def body(told: str, time_zone: str, kind: str = "plain") -> str:
    (delivery,) = deliveries("ann@reader.example", text=f"{told}\n", html=f"<p>{told}</p>\n")
    delivery.time_zone = time_zone
    mail = message_from_bytes(wire.Form(delivery.announcement, delivery.language).fill(delivery), policy=SMTP)
    return mail.get_body((kind,)).get_content().strip()


@pytest.mark.parametrize(
    ("time_zone", "said"),
    [
        ("UTC", ""),
        ("", ""),
        ("Europe/Berlin", " (2026-03-03 00:30 Berlin)"),
        ("America/New_York", " (18:30 New York)"),
        ("America/Argentina/Buenos_Aires", " (20:30 Buenos Aires)"),
        ("Asia/Kathmandu", " (2026-03-03 05:15 Kathmandu)"),
        ("Atlantis/Poseidonis", ""),
    ],
)
def test_behind_utc_stands_the_readers_own_time_with_the_date_where_it_is_another(time_zone, said):
    told = f"Next update by 23:30 UTC{wire.local(AT)}, or before."
    for kind in ("plain", "html"):
        assert f"Next update by 23:30 UTC{said}, or before." in body(told, time_zone, kind)


def test_summer_time_is_the_one_of_the_instant_not_of_today():
    summer = datetime(2026, 7, 2, 12, 0, tzinfo=UTC)
    told = f"{wire.local(AT)}{wire.local(summer)}"
    assert body(told, "Europe/London") == "(23:30 London) (13:00 London)"


def test_readers_of_one_announcement_each_get_their_own_time():
    rows = deliveries("ann@r.example", "bob@r.example", text=f"At{wire.local(AT)}.\n", html="")
    form = wire.Form(rows[0].announcement, rows[0].language)
    rows[1].time_zone = "Asia/Tokyo"
    assert [b"Tokyo" in form.fill(row) for row in (*rows, rows[1], rows[0])] == [False, True, True, False]


def test_no_line_is_longer_than_mail_allows_with_times_in_it():
    (row,) = deliveries("ann@r.example", text=f"At{wire.local(AT)}. " * 50 + "\n", html="")
    row.time_zone = "America/Argentina/ComodRivadavia"
    body = wire.Form(row.announcement, row.language).fill(row).partition(b"\r\n\r\n")[2]
    assert max(map(len, body.split(b"\r\n"))) <= 76


def test_a_provider_is_given_the_same_words():
    (row,) = deliveries("ann@r.example", text=f"At{wire.local(AT)}.\n", html=f"<p>At{wire.local(AT)}.</p>")
    row.time_zone = "Asia/Tokyo"
    letter = any_mailer.letter(row)
    assert letter.body == "At (2026-03-03 08:30 Tokyo).\n"
    assert letter.alternatives[0].content == "<p>At (2026-03-03 08:30 Tokyo).</p>"
