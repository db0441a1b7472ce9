"""What a provider's webhook says: believed for its secret and for the mark of one message, never for an address."""

import base64
import hashlib
import hmac
import json
from datetime import timedelta

import pytest
from django.core import mail
from django.urls import reverse

from irportal.outbox import bounces, engine, events
from irportal.outbox.channels.django import letter
from irportal.outbox.models import Bounce, Delivery, Suppression
from tests.factories import announcement, deliveries

pytestmark = pytest.mark.django_db
ANN, BOB = "ann@reader.example", "bob@reader.example"
SECRET, SIGNING_KEY = "events:0123456789abcdef0123456789", "key-of-mailgun"
ADDRESS = "/mail-events"


@pytest.fixture(params=["postmark", "mailgun", "amazon_ses"])
def provider(request, settings, monkeypatch):
    listen_to(settings, request.param)
    # Only to confirm a subscription and to fetch mail does the view of Amazon need its client, which is not here.
    monkeypatch.setattr("anymail.webhooks.amazon_ses._get_anymail_boto3_params", lambda kwargs: ({}, {}))
    return request.param


@pytest.fixture
def postmark(settings):
    listen_to(settings, "postmark")


def listen_to(settings, name: str) -> None:
    settings.MAIL_EVENTS, settings.MAIL_EVENTS_SECRET = name, SECRET
    settings.MAIL_EVENTS_OPTIONS = {"webhook_signing_key": SIGNING_KEY} if name == "mailgun" else {}


def postmark_says(mark: str, *, number: int = 42, kind: str = "HardBounce", said: str = "", **more) -> dict:
    return {
        "RecordType": "Bounce",
        "ID": number,
        "Type": kind,
        "TypeCode": 1,
        "Name": "Hard bounce",
        "MessageID": "883953f4-6105-42a2-a16a-77a8eac79483",
        "Metadata": {"delivery": mark},
        "Tag": "",
        "Description": "The server was unable to deliver your message",
        "Details": said,
        "Email": ANN,
        "From": "status@portal.example",
        "BouncedAt": "2026-03-02T14:31:00Z",
        "DumpAvailable": True,
        "Inactive": True,
        "CanActivate": True,
        "Subject": "[INC-42] Searches are slow",
        **more,
    }


def mailgun_says(
    mark: str, *, number: int = 42, kind: str = "failed", said: str = "5.1.1 no such user", **more
) -> dict:
    token, moment = f"token{number}", "1772461860"
    signature = hmac.new(SIGNING_KEY.encode(), f"{moment}{token}".encode(), hashlib.sha256).hexdigest()
    data = {
        "id": f"G9Bn5sl1TC6nu79C8C0bw{number}",
        "timestamp": 1772461860.5,
        "event": kind,
        "severity": "permanent",
        "reason": "bounce",
        "recipient": ANN,
        "envelope": {"sender": "bounces@mg.portal.example", "transport": "smtp", "targets": ANN},
        "delivery-status": {"code": 550, "message": said, "description": "", "attempt-no": 1},
        "message": {"headers": {"message-id": "x@portal.example", "to": ANN, "from": "status@portal.example"}},
        "user-variables": {"delivery": mark},
        "tags": [],
    }
    return {
        "signature": {"timestamp": moment, "token": token, "signature": signature},
        "event-data": data | more,
    }


def amazon_says(
    mark: str, *, number: int = 42, kind: str = "Bounce", said: str = "smtp; 550 5.1.1 unknown", source: str = ""
) -> dict:
    event = {
        "notificationType": kind,
        "mail": {
            "timestamp": "2026-03-02T14:30:00.000Z",
            "source": source or "status@portal.example",
            "messageId": "00000138111222aa",
            "destination": [ANN],
            "headersTruncated": False,
            "headers": [
                {"name": "From", "value": "status@portal.example"},
                {"name": "To", "value": ANN},
                {"name": "X-Metadata", "value": json.dumps({"delivery": mark})},
            ],
        },
        "bounce": {
            "bounceType": "Permanent",
            "bounceSubType": "General",
            "feedbackId": "00000138",
            "bouncedRecipients": [{"emailAddress": ANN, "action": "failed", "status": "5.1.1", "diagnosticCode": said}],
        },
        "complaint": {"complaintFeedbackType": "abuse", "complainedRecipients": [{"emailAddress": ANN}]},
    }
    return {
        "Type": "Notification",
        "MessageId": f"sns-{number}",
        "TopicArn": "arn:aws:sns:eu-west-1:1:events",
        "Message": json.dumps(event),
        "Timestamp": "2026-03-02T14:31:00.000Z",
    }


SAYS = {"postmark": postmark_says, "mailgun": mailgun_says, "amazon_ses": amazon_says}
COMPLAINTS = {
    "postmark": lambda mark: postmark_says(mark, kind="SpamComplaint") | {"RecordType": "SpamComplaint"},
    "mailgun": lambda mark: mailgun_says(mark, kind="complained", severity=None),
    "amazon_ses": lambda mark: amazon_says(mark, kind="Complaint"),
}


def post(client, facts: dict | list | bytes, *, secret: str | None = SECRET):
    headers = {}
    if secret is not None:
        headers["Authorization"] = "Basic " + base64.b64encode(secret.encode()).decode()
    if isinstance(facts, dict) and "MessageId" in facts:
        headers |= {"x-amz-sns-message-type": facts["Type"], "x-amz-sns-message-id": facts["MessageId"]}
    body = facts if isinstance(facts, bytes) else json.dumps(facts).encode()
    return client.post(ADDRESS, body, content_type="application/json", headers=headers)


def mark_of(delivery: Delivery) -> str:
    return bounces.mark(delivery.key)


def stopped() -> set[str]:
    return set(Suppression.objects.values_list("target", flat=True))


# The mark goes out with the mail


def test_every_message_takes_its_mark_to_the_provider(settings, monkeypatch, postmark):
    settings.MAIL_CHANNEL = "django"
    settings.MAILERS = settings.MAILERS | {"delivery": {"BACKEND": "anymail.backends.test.EmailBackend"}}
    monkeypatch.setattr(mail, "outbox", [], raising=False)
    announcement(ANN, BOB)
    engine.run_once()

    marks = [message.anymail_test_params["metadata"]["delivery"] for message in mail.outbox]
    assert marks == [mark_of(delivery) for delivery in Delivery.objects.order_by("pk")]
    assert [bounces.marked(mark) for mark in marks] == [mark[:16] for mark in marks]


def test_a_provider_that_is_not_listened_to_is_told_no_mark():
    assert not hasattr(letter(deliveries(ANN)[0]), "metadata")


# What is believed


def test_a_mailbox_that_is_not_there_gets_nothing_more(client, provider):
    delivery = deliveries(ANN)[0]
    answer = post(client, SAYS[provider](mark_of(delivery)))

    assert (answer.status_code, answer.content) == (200, b"")
    assert stopped() == {ANN}
    assert Bounce.objects.get().kind == "hard"


def test_a_complaint_stops_reader_and_address_for_good(client, provider):
    delivery = deliveries(ANN)[0]
    post(client, COMPLAINTS[provider](mark_of(delivery)))

    assert stopped() == {ANN, delivery.reader}
    assert Bounce.objects.get().kind == "complaint"


def test_what_is_sent_again_counts_once(client, provider, freezer):
    delivery = deliveries(ANN)[0]
    facts = SAYS[provider](mark_of(delivery), said="5.7.1 we do not like you")
    for _ in range(6):
        assert post(client, facts).status_code == 200
        freezer.shift(timedelta(days=1))

    assert Bounce.objects.get().kind == "soft"
    assert stopped() == set()


def test_a_signature_drawn_anew_does_not_make_an_event_a_second_one(client, settings, freezer):
    listen_to(settings, "mailgun")
    delivery = deliveries(ANN)[0]
    first, second = (mailgun_says(mark_of(delivery), number=n, id="one", said="5.2.2 full") for n in (1, 2))
    post(client, first)
    post(client, second)

    assert Bounce.objects.count() == 1


def test_five_days_of_refusals_stop_the_address(client, provider, freezer):
    delivery = deliveries(ANN)[0]
    for number in range(5):
        assert stopped() == set()
        post(client, SAYS[provider](mark_of(delivery), number=number, said="4.2.2 mailbox full"))
        freezer.shift(timedelta(days=1))

    assert stopped() == {ANN}


@pytest.mark.parametrize(
    ("facts", "kind"),
    [
        ({"kind": "HardBounce", "said": "smtp;550 5.1.1 unknown"}, "hard"),
        ({"kind": "HardBounce"}, "hard"),  # no code: Postmark calls so what leads nowhere
        ({"kind": "HardBounce", "said": "smtp;554 5.7.1 policy"}, "soft"),
        ({"kind": "HardBounce", "said": "smtp;550 5.1.8 bad sender"}, "soft"),
        ({"kind": "SoftBounce"}, "soft"),
        ({"kind": "Blocked"}, "soft"),
        ({"kind": "BadEmailAddress"}, "soft"),
        ({"kind": "SMTPApiError"}, "soft"),
        ({"kind": "SpamNotification"}, "complaint"),
        ({"kind": "Unsubscribe"}, "complaint"),
        ({"kind": "Transient"}, None),
        ({"kind": "AutoResponder"}, None),
        ({"kind": "AddressChange"}, None),
        ({"kind": "ChallengeVerification"}, None),
        ({"kind": "HardBounce", "RecordType": "Delivery"}, None),
        ({"kind": "HardBounce", "RecordType": "Open"}, None),
        ({"kind": "HardBounce", "RecordType": "Click"}, None),
        ({"kind": "HardBounce", "RecordType": "Something new"}, None),
    ],
    ids=str,
)
def test_an_event_is_as_bad_as_it_says(client, postmark, facts, kind):
    post(client, postmark_says(mark_of(deliveries(ANN)[0]), **facts))

    assert [bounce.kind for bounce in Bounce.objects.all()] == ([kind] if kind else [])


@pytest.mark.parametrize("name", ["mailgun", "amazon_ses"])
def test_mail_that_went_to_its_relay_is_named_by_the_envelope_sender(client, settings, monkeypatch, name):
    listen_to(settings, name)
    monkeypatch.setattr("anymail.webhooks.amazon_ses._get_anymail_boto3_params", lambda kwargs: ({}, {}))
    sender = bounces.verp(deliveries(ANN)[0].key)
    post(client, mailgun_says("", envelope={"sender": sender}) if name == "mailgun" else amazon_says("", source=sender))

    assert stopped() == {ANN}


def test_what_comes_back_after_the_key_was_changed_is_still_believed(client, postmark, settings):
    facts = postmark_says(mark_of(deliveries(ANN)[0]))
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "n" * 50, [settings.SECRET_KEY]
    post(client, facts)

    assert stopped() == {ANN}


def test_staff_are_never_stopped_by_what_comes_back(client, postmark):
    delivery = deliveries(ANN)[0]
    Delivery.objects.update(leave="")
    post(client, postmark_says(mark_of(delivery)))

    assert stopped() == set()
    assert Bounce.objects.count() == 1


# What is not


def test_an_event_without_a_valid_mark_is_taken_counts_for_nothing_and_is_logged_without_address(
    client, provider, caplog
):
    ann, bob = deliveries(ANN, BOB)
    forged = [
        "",
        "x",
        ANN,
        ann.key,
        f"{ann.key[:16]}.00000000",
        f"{ann.key[:16]}.{mark_of(bob)[17:]}",
        f"{mark_of(ann)} {mark_of(bob)}",
        f"<{mark_of(ann)}>",
        f"{mark_of(ann)}0",
        "0123456789abcdef.٠١٢٣٤٥٦٧",
    ]
    for number, mark in enumerate(forged):
        assert post(client, SAYS[provider](mark, number=number)).status_code == 200

    assert not Bounce.objects.exists()
    assert stopped() == set()
    assert len(caplog.records) == len(forged)
    assert "@" not in caplog.text


def test_a_mark_stops_the_reader_of_its_own_message_whomever_the_event_names(client, postmark):
    _, bob = deliveries(ANN, BOB)
    post(client, postmark_says(mark_of(bob), Email=ANN))

    assert stopped() == {BOB}


def test_the_mark_of_a_message_that_is_not_there_stops_nobody(client, postmark):
    assert post(client, postmark_says(bounces.mark("f" * 64))).status_code == 200
    assert not Bounce.objects.exists()


@pytest.mark.parametrize(
    ("secret", "status"), [(None, 401), ("", 403), ("events:", 403), (SECRET[:-1], 403), (f"{SECRET}x", 403)]
)
def test_who_does_not_know_the_secret_says_nothing(client, provider, secret, status):
    answer = post(client, SAYS[provider](mark_of(deliveries(ANN)[0])), secret=secret)

    assert answer.status_code == status
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)
    assert not Bounce.objects.exists()


def test_the_providers_own_signature_counts_too(client, settings):
    listen_to(settings, "mailgun")
    facts = mailgun_says(mark_of(deliveries(ANN)[0]))
    facts["signature"]["token"] = "another"

    assert post(client, facts).status_code == 403
    assert not Bounce.objects.exists()


def test_a_body_that_is_too_long_is_not_read(client, provider):
    facts = SAYS[provider](mark_of(deliveries(ANN)[0]))
    facts["more"] = "x" * events.LONGEST

    assert post(client, facts).status_code == 413
    assert not Bounce.objects.exists()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'"ann@reader.example"',
        b'{"RecordType": "Bounce", "Type": [], "Email": "ann@reader.example"}',
        b'{"RecordType": "Bounce", "Type": "HardBounce", "Metadata": "x", "Email": "ann@reader.example"}',
    ],
)
def test_what_has_another_form_is_refused_and_logged_without_its_words(client, postmark, body, caplog):
    assert post(client, body).status_code == 400
    assert not Bounce.objects.exists()
    assert "@" not in caplog.text


@pytest.mark.parametrize("method", ["get", "head", "put", "delete", "options"])
def test_only_a_post_is_an_event(client, postmark, method):
    assert getattr(client, method)(ADDRESS).status_code == 405


def test_without_a_provider_there_is_no_such_page(client):
    assert post(client, postmark_says(mark_of(deliveries(ANN)[0]))).status_code == 404
    assert reverse("mail-events") == ADDRESS


@pytest.mark.parametrize("name", sorted(set(events.PROVIDERS) - {"amazon_ses"}))
def test_every_provider_that_can_be_named_is_listened_to_with_the_secret_alone(client, settings, name):
    listen_to(settings, name)

    assert post(client, b"{}", secret="events:wrong").status_code == 403
    assert post(client, b"nonsense").status_code in (400, 403)
