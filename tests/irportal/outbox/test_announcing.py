"""What is announced, to whom it fans out, and what a mail looks like on the wire."""

import os
from concurrent.futures import ThreadPoolExecutor
from email import policy
from email.parser import BytesParser

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st

from irportal.outbox import actions, audiences, bounces, engine, fan_out, wire
from irportal.outbox.models import Announcement, Delivery
from tests.factories import announcement, deliveries, mail_of

HEADERS = {
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "Auto-Submitted",
    "X-Auto-Response-Suppress",
    "List-Id",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "MIME-Version",
    "Content-Type",
}


def parsed(delivery: Delivery):
    return BytesParser(policy=policy.SMTP).parsebytes(mail_of(delivery))


@transaction.atomic
def announce_and_fail() -> None:
    announcement("ann@reader.example")
    raise ZeroDivisionError


@pytest.mark.django_db
def test_what_is_rolled_back_is_told_to_nobody(smtp_relay):
    with pytest.raises(ZeroDivisionError):
        announce_and_fail()
    engine.run_once()

    assert smtp_relay.taken == []
    assert not Announcement.objects.exists()


@pytest.mark.django_db
def test_the_same_thing_is_announced_once():
    first = announcement(dedupe_key="INC-42:3", subject="first")

    assert announcement(dedupe_key="INC-42:3", subject="second") == first
    assert Announcement.objects.get().subject == "first"


@pytest.mark.django_db
def test_each_address_of_an_audience_gets_one_delivery():
    made = deliveries("ann@reader.example", "bob@reader.example", "Ann@reader.example")

    assert [one.address for one in made] == ["ann@reader.example", "bob@reader.example"]


@pytest.mark.django_db
def test_an_announcement_is_fanned_out_once():
    made = announcement("ann@reader.example")

    assert [fan_out.fan_out(made.pk), fan_out.fan_out(made.pk)] == [1, 0]


@pytest.mark.django_db(transaction=True)
def test_two_engines_at_once_fan_out_to_exactly_the_audience():
    made = announcement(*[f"reader{n}@reader.example" for n in range(200)])

    def hand(_: int) -> int:
        try:
            return fan_out.fan_out(made.pk)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(hand, range(4)))

    assert sorted(counts) == [0, 0, 0, 200]
    assert Delivery.objects.count() == 200


@pytest.mark.django_db
@pytest.mark.parametrize("bad", ["no address", "a@b.example, evil@x.example", "a@b.example\nBcc: evil@x.example"])
def test_one_bad_address_stops_nobody_else_and_is_reported(bad, caplog):
    made = deliveries("ann@reader.example", bad, "bob@reader.example")

    assert [one.address for one in made] == ["ann@reader.example", "bob@reader.example"]
    assert "has an address no mail can be sent to" in caplog.text


@pytest.mark.django_db
def test_a_broken_announcement_holds_up_no_other(smtp_relay, caplog):
    announcement("ann@reader.example", audience="nobody registered this")
    announcement("bob@reader.example")
    engine.run_once()

    assert smtp_relay.addresses == ["bob@reader.example"]
    assert "could not be fanned out" in caplog.text


@pytest.mark.django_db
def test_a_reader_who_left_before_the_fan_out_is_written_down_as_suppressed():
    actions.suppress("subscriber:ann@reader.example", reason="unsubscribed")

    assert [one.state for one in deliveries("ann@reader.example", "bob@reader.example")] == ["suppressed", "pending"]


@pytest.mark.django_db
def test_the_audience_of_a_librarys_mail_is_known_to_every_process():
    assert [reader.address for reader in audiences.resolve("addresses", {"addresses": ["a@b.example"]})[0]] == [
        "a@b.example"
    ]


@pytest.mark.django_db
def test_both_parts_of_a_mail_say_why_it_came_and_how_to_stop_it():
    mail = parsed(deliveries("ann@reader.example")[0])

    for part in ("plain", "html"):
        body = mail.get_body((part,)).get_content()
        assert "You asked for updates about all components." in body
        assert "https://status.example/u/ann@reader.example" in body


@pytest.mark.django_db
def test_the_mails_of_one_incident_are_one_thread():
    first, second = deliveries()[0], deliveries()[0]

    assert parsed(first)["References"] == parsed(second)["References"] == "<inc-42.thread@portal.example>"
    assert parsed(first)["Message-ID"] != parsed(second)["Message-ID"]


@pytest.mark.django_db
def test_bytes_are_the_same_however_often_they_are_built():
    delivery = deliveries()[0]

    assert mail_of(delivery) == mail_of(Delivery.objects.get(pk=delivery.pk))


@pytest.mark.django_db
def test_a_message_id_has_one_at_sign_even_for_a_reader_known_by_address():
    made = announcement(audience="addresses", facts={"addresses": ["o'neil+x@reader.example"]})
    fan_out.fan_out(made.pk)

    assert wire.message_id(made.deliveries.get()).count("@") == 1


@pytest.mark.django_db
def test_a_long_unsubscribe_address_stays_in_one_piece():
    delivery = deliveries()[0]
    delivery.leave = "Tok3n-_" * 30

    by_mail = bounces.leave_address(delivery.key)
    line = (
        f"\r\nList-Unsubscribe: <https://status.example/u/{delivery.leave}>, <mailto:{by_mail}?subject=unsubscribe>\r\n"
    )
    assert line.encode() in mail_of(delivery)


@pytest.mark.django_db
def test_a_mail_is_seven_bits_with_short_lines_whatever_was_written():
    delivery = deliveries(text="Größe\n" + "ü" * 5_000 + "\n.\n", html="<p>日本語</p>", subject="件名" * 100)[0]
    data = mail_of(delivery)

    assert data.isascii()
    assert max(len(line) for line in data.split(b"\r\n")) <= 998


MAILS = int(os.environ.get("MAILS", "150"))  # `make fuzz-mail` makes 20,000
TYPED = st.text(max_size=80) | st.sampled_from(
    [
        "a\r\nBcc: evil@x.example",
        "a\nX-Evil: 1",
        "\r\n\r\nbody",
        "a\u2028b",
        "a\x00b",
        "a\x85b",
        "=?utf-8?q?=0D=0ABcc:_e@x?=",
        "x" * 10_000,
    ]
)


@pytest.mark.django_db
@effort(
    max_examples=MAILS,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(subject=TYPED, why=TYPED, text=TYPED)
def test_nothing_typed_ever_becomes_a_second_header(subject, why, text):
    made = Announcement(
        subject=actions.one_line(subject)[:300], text=text + "{why}", html="<p>{why}</p>", thread="INC-42"
    )
    made.audience = "test-readers"
    made.made_at = made.expires_at = engine.timezone.now()
    delivery = Delivery(
        announcement=made, key="0" * 64, lane="INC-42:subscriber:1", address="ann@reader.example", why=why
    )
    delivery.leave = "1"
    mail = parsed(delivery)

    assert set(mail.keys()) == HEADERS
    assert mail["To"] == "ann@reader.example"
