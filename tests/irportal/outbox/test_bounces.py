"""What comes back: believed only when it names a message of ours, and then it stops whom it should and nobody else."""

import itertools
import mailbox
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from irportal.outbox import actions, bounces, engine
from irportal.outbox.models import Bounce, Delivery, Suppression
from tests.factories import announcement, deliveries
from tests.irportal.outbox import returned

pytestmark = pytest.mark.django_db
ANN = "ann@reader.example"
KEY = "0123456789abcdef" * 4
_ids = itertools.count(1)


def come_back(text: str, delivery: Delivery | None = None, *, to: str = "") -> bytes:
    """The bytes of a sample about this delivery."""
    facts = {"to": to or bounces.verp(delivery.key if delivery else KEY), "id": next(_ids)}
    return (text % facts).replace("\n", "\r\n").encode()


def take(text: str, delivery: Delivery, **given) -> bool:
    report = bounces.read(come_back(text, delivery, **given))
    return bool(report) and actions.bounced(report, at=timezone.now())


def stopped() -> set[str]:
    return set(Suppression.objects.values_list("target", flat=True))


def maildir(tmp_path, *messages: bytes):
    box = mailbox.Maildir(tmp_path / "bounces", create=True)
    for message in messages:
        box.add(message)
    return tmp_path / "bounces"


# Whose it is


def test_the_envelope_sender_names_the_message_and_the_relay_sees_it(smtp_relay):
    announcement(ANN)
    engine.run_once()
    sender, delivery = smtp_relay.taken[0].sender, Delivery.objects.get()

    assert sender == bounces.verp(delivery.key)
    assert sender.startswith(f"bounce+{delivery.key[:16]}.")
    assert bounces.key_in(f"Status <{sender.upper()}>") == delivery.key[:16]


def test_a_message_keeps_its_envelope_sender_when_it_is_tried_again():
    assert bounces.verp(KEY) == bounces.verp(KEY)


def test_what_comes_back_after_the_key_was_changed_is_still_believed(settings):
    sender = bounces.verp(KEY)
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "n" * 60
    assert (bounces.key_in(sender), bounces.verp(KEY) == sender) == (KEY[:16], False)

    settings.SECRET_KEY_FALLBACKS = []
    assert bounces.key_in(sender) == ""


def test_the_address_bounces_come_to_is_the_operators(settings):
    settings.BOUNCE_ADDRESS = "returns.mail@Bounces.example"
    assert bounces.key_in(f"x@y.example, <{bounces.verp(KEY)}>") == KEY[:16]
    assert bounces.verp(KEY).startswith("returns.mail+0123456789abcdef.")
    assert bounces.key_in(bounces.verp(KEY).replace("returns.mail", "returnsxmail")) == ""


@pytest.mark.parametrize("name", returned.NOTIFICATIONS)
def test_a_mail_server_that_knows_nobody_there_stops_the_address(name):
    assert take(returned.NOTIFICATIONS[name], deliveries(ANN)[0])
    assert stopped() == {ANN}
    assert Bounce.objects.get().kind == "hard"


@pytest.mark.parametrize("name", returned.VACATIONS)
def test_who_is_away_is_not_stopped(name):
    assert not take(returned.VACATIONS[name], deliveries(ANN)[0])
    assert (stopped(), Bounce.objects.count()) == (set(), 0)


@pytest.mark.parametrize("name", returned.FORGED)
def test_what_is_forged_stops_nobody(name):
    delivery, other = deliveries(ANN, "bob@reader.example")
    macs = [bounces.verp(row.key).partition(".")[2].partition("@")[0] for row in (delivery, other)]
    to = returned.FORGED[name] % {"key": delivery.key[:16], "mac": macs[0], "other_mac": macs[1]}
    assert not take(returned.NOTIFICATIONS["Postfix"].replace(returned.ORIGINAL, "To: ann\n\n"), delivery, to=to)
    assert (stopped(), Bounce.objects.count()) == (set(), 0)


def test_there_are_twelve_notifications_eight_replies_and_five_forgeries():
    assert [len(kind) for kind in (returned.NOTIFICATIONS, returned.VACATIONS, returned.FORGED)] == [12, 8, 5]


def test_a_message_that_is_not_there_stops_nobody():
    assert not take(returned.NOTIFICATIONS["Postfix"], Delivery(key=KEY))


@pytest.mark.parametrize(
    ("sample", "kind"),
    [
        (returned.report("4.4.7", said="delivery time expired"), "soft"),
        (returned.report("5.2.2", said="552 5.2.2 mailbox full"), "soft"),
        (returned.report("5.7.1", said="550 5.7.1 policy"), "soft"),
        (returned.report("5.1.8", said="550 5.1.8 bad sender"), "soft"),
        (returned.report("no code at all"), "soft"),
        (returned.report("4.4.1", action="delayed"), None),
        (returned.report("2.1.5", action="delivered"), None),
        (returned.complaint(), "complaint"),
        (returned.complaint("not-spam"), None),
    ],
)
def test_a_report_is_as_bad_as_it_says(sample, kind):
    report = bounces.read(come_back(sample))
    assert (report and report.kind) == kind


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"\x00\xff" * 500,
        b"Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n",
        b"Content-Type: multipart/report\r\n\r\nno boundary",
        b"To: =?utf-8?b?//8=?=\r\nContent-Type: multipart/report; boundary=b\r\n\r\n--b\r\n\r\n--b--",
    ],
)
def test_what_is_no_report_is_none(junk):
    assert bounces.read(junk) is None


# What follows


@pytest.mark.parametrize("answer", ["550 5.1.8 sender domain not found", "550 5.1.7 bad sender"])
def test_a_relay_that_dislikes_our_own_address_stops_no_reader(smtp_relay, answer):
    smtp_relay.at_rcpt[ANN] = [answer]
    announcement(ANN)
    engine.run_once()
    assert stopped() == set()


def test_the_same_report_counts_once():
    delivery = deliveries(ANN)[0]
    report = bounces.read(come_back(returned.report("5.2.2"), delivery))
    assert [actions.bounced(report, at=timezone.now()) for _ in range(2)] == [True, False]


def test_five_days_of_full_mailbox_stop_the_address_and_more_in_one_day_do_not(freezer):
    delivery = deliveries(ANN)[0]
    for _ in range(4):
        for _ in range(3):
            take(returned.report("5.2.2"), delivery)
        freezer.shift(timedelta(days=1))
    assert stopped() == set()

    take(returned.report("5.2.2"), delivery)
    assert stopped() == {ANN}


def test_failures_more_than_thirty_days_apart_do_not_add_up(freezer):
    delivery = deliveries(ANN)[0]
    for days in (1, 1, 1, 27, 30):
        take(returned.report("5.2.2"), delivery)
        freezer.shift(timedelta(days=days))
    assert stopped() == set()


def test_staff_are_never_stopped_by_what_comes_back():
    delivery = deliveries(ANN)[0]
    Delivery.objects.update(leave="")
    for sample in (returned.NOTIFICATIONS["Postfix"], returned.complaint()):
        assert take(sample, delivery)
    assert (stopped(), Bounce.objects.count()) == (set(), 2)


def test_a_complaint_stops_reader_and_address_for_good():
    delivery = deliveries(ANN)[0]
    take(returned.NOTIFICATIONS["Postfix"], delivery)
    take(returned.complaint(), delivery)

    assert stopped() == {ANN, delivery.reader}
    assert not Suppression.objects.filter(bounced=True).exists()
    assert Delivery.objects.get().state == "suppressed"


def test_after_staff_lift_it_an_address_begins_anew(freezer, lin):
    delivery = deliveries(ANN)[0]
    for _ in range(5):
        take(returned.report("5.2.2"), delivery)
        freezer.shift(timedelta(days=1))
    actions.lift(Suppression.objects.get(), reason="The mailbox was emptied", by=lin)
    take(returned.report("5.2.2"), delivery)
    assert stopped() == set()


# Leaving by mail (RFC 2369), for mail programs that post nothing


def letter_to(address: str, head: str = "") -> bytes:
    return f"From: ann@reader.example\r\nTo: <{address}>\r\n{head}Subject: unsubscribe\r\n\r\n".encode()


def test_a_mail_to_the_address_to_leave_by_ends_what_the_reader_gets(tmp_path, capsys):
    ann, bob = deliveries(ANN, "bob@reader.example")
    address = bounces.leave_address(ann.key)
    call_command("ingest_bounces", str(maildir(tmp_path, *[letter_to(address)] * 2)))

    assert "2 left, 0 known, 0 other" in capsys.readouterr().out
    assert {row.target: (row.reason, row.bounced) for row in Suppression.objects.all()} == {
        ann.reader: ("unsubscribed", False)
    }
    assert list(Delivery.objects.claim(timezone.now() + timedelta(seconds=1))) == [bob]


@pytest.mark.parametrize(
    ("wrong", "head"),
    [
        (lambda key: bounces.verp(key), ""),  # what comes back by itself comes here
        (lambda key: bounces.leave_address(key).replace("leave.", ""), ""),
        (lambda key: bounces.verp(key).replace("+", "+leave."), ""),
        (lambda key: bounces.leave_address("f" * 64), ""),
        (lambda key: f"x{bounces.leave_address(key)}", ""),
        (lambda key: f"{bounces.leave_address(key)}.mallory.example", ""),
        (bounces.leave_address, "Auto-Submitted: auto-replied\r\n"),
        (bounces.leave_address, "X-Autoreply: yes\r\n"),
    ],
)
def test_a_mail_to_another_address_or_by_a_program_ends_nothing(tmp_path, capsys, wrong, head):
    address = wrong(deliveries(ANN)[0].key)
    call_command("ingest_bounces", str(maildir(tmp_path, letter_to(address, head))))

    assert "0 left, 0 known, 1 other" in capsys.readouterr().out
    assert stopped() == set()


def test_staff_have_nothing_to_leave(tmp_path, capsys):
    delivery = deliveries(ANN)[0]
    Delivery.objects.update(leave="")
    call_command("ingest_bounces", str(maildir(tmp_path, letter_to(bounces.leave_address(delivery.key)))))

    assert "0 left" in capsys.readouterr().out
    assert stopped() == set()


# The command


def test_a_maildir_is_read_once_and_marked_as_seen(tmp_path, capsys):
    ann, bob = deliveries(ANN, "bob@reader.example")
    box = maildir(
        tmp_path,
        come_back(returned.NOTIFICATIONS["Postfix"], ann),
        come_back(returned.report("4.4.7"), bob),
        come_back(returned.VACATIONS["Sieve"], bob),
    )
    for _ in range(2):
        call_command("ingest_bounces", str(box))

    assert capsys.readouterr().out.splitlines() == [
        "1 hard, 1 soft, 0 complaint, 0 left, 0 known, 1 other, 0 broken",
        "0 hard, 0 soft, 0 complaint, 0 left, 0 known, 0 other, 0 broken",
    ]
    assert not list((box / "new").iterdir())
    assert all(file.name.endswith(":2,S") for file in (box / "cur").iterdir())


def test_an_mbox_is_left_as_it_is_and_what_was_counted_is_known(tmp_path, capsys):
    delivery, box = deliveries(ANN)[0], mailbox.mbox(tmp_path / "mbox")
    box.add(come_back(returned.complaint(), delivery).replace(b"\r\n", b"\n"))
    box.close()
    before = (tmp_path / "mbox").read_bytes()
    for _ in range(2):
        call_command("ingest_bounces", str(tmp_path / "mbox"))

    said = capsys.readouterr().out.splitlines()
    assert [line.split(", ")[2:5:2] for line in said] == [["1 complaint", "0 known"], ["0 complaint", "1 known"]]
    assert (tmp_path / "mbox").read_bytes() == before


def test_a_broken_message_stops_no_other(tmp_path, capsys, monkeypatch, caplog):
    read = bounces.read

    def fragile(message: bytes):
        return read(message) if b"Ann" not in message else 1 / 0

    monkeypatch.setattr(bounces, "read", fragile)
    delivery = deliveries(ANN)[0]
    samples = [returned.VACATIONS["Sieve"], returned.NOTIFICATIONS["Postfix"], returned.VACATIONS["Zimbra"]]
    call_command("ingest_bounces", str(maildir(tmp_path, *[come_back(sample, delivery) for sample in samples])))

    assert "1 hard" in (said := capsys.readouterr().out)
    assert "2 broken" in said
    assert caplog.text.count("could not be read") == 2


def test_a_file_that_cannot_be_opened_stops_no_other(tmp_path, capsys, caplog):
    box = maildir(tmp_path, come_back(returned.NOTIFICATIONS["Postfix"], deliveries(ANN)[0]))
    (box / "new" / "0").mkdir()
    call_command("ingest_bounces", str(box))
    assert capsys.readouterr().out.startswith("1 hard")
    assert "could not be opened" in caplog.text


def test_a_path_that_is_no_mailbox_is_said_so(tmp_path):
    with pytest.raises(CommandError, match="neither an mbox file nor a Maildir"):
        call_command("ingest_bounces", str(tmp_path))
