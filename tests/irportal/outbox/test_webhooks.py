"""Webhooks: signed, with one id over ten tries in 75 hours, and a dead endpoint stops nobody (W-T2, W-T3, W-T4)."""

import json
import random
import time
from datetime import timedelta
from email.utils import format_datetime
from itertools import pairwise

import pytest
from django.utils import timezone
from standardwebhooks import Webhook, WebhookVerificationError

from irportal.ledger.models import Entry
from irportal.outbox import alarms, endpoints, engine, fan_out
from irportal.outbox.channels import guard, webhook
from irportal.outbox.models import Attempt, Delivery, Endpoint
from irportal.refused import Refused
from tests.factories import announcement, endpoint
from tests.receiver import Answer

pytestmark = pytest.mark.django_db
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
PAYLOAD = json.dumps({"incident": {"name": "Suchen dauern länger"}}, ensure_ascii=False)


def tell(**given):
    """Something webhooks are told; nobody gets a mail of it."""
    return announcement(audience="addresses", facts={"addresses": []}, **({"payload": PAYLOAD} | given))


def only() -> Delivery:
    return Delivery.objects.get(channel="webhook")


def run_until_over(freezer, *, days: int = 6) -> list:
    """Let the engine work at every instant something falls due; the instants of all tries."""
    end = timezone.now() + timedelta(days=days)
    while timezone.now() < end:
        engine.run_once()
        due = Delivery.objects.waiting().order_by("due_at").values_list("due_at", flat=True).first()
        if due is None:
            break
        freezer.move_to(max(due, timezone.now() + timedelta(milliseconds=1)), tick=False)
    return list(Attempt.objects.order_by("pk").values_list("started_at", flat=True))


# The signature (W-T2)


def test_an_update_is_posted_with_a_signature_its_owner_can_verify(receiver):
    there = endpoint(receiver.url())
    tell()
    engine.run_once()

    posted = receiver.posted[0]
    assert Webhook(there.secret).verify(posted.body, posted.headers) == json.loads(PAYLOAD)
    assert posted.headers["webhook-id"] == only().key


def test_what_left_is_proven_by_the_status_of_the_answer(receiver):
    receiver.answers["/hook"] = [Answer(202)]
    endpoint(receiver.url())
    tell()
    engine.run_once()

    proof = Attempt.objects.get()
    assert (only().state, proof.outcome, proof.code, proof.answer) == ("sent", "ok", 202, "202")


def test_a_changed_bit_is_noticed_ten_thousand_times(receiver):
    there = endpoint(receiver.url())
    body, chance = PAYLOAD.encode(), random.Random(7)
    headers = webhook.signed(there, "k" * 64, body, timezone.now())
    verifier = Webhook(there.secret)
    accepted = 0
    for _ in range(10_000):
        place, bit = chance.randrange(len(body)), 1 << chance.randrange(8)
        changed = body[:place] + bytes([body[place] ^ bit]) + body[place + 1 :]
        try:
            verifier.verify(changed, headers, json_parse=False)
            accepted += 1
        except (WebhookVerificationError, UnicodeDecodeError):
            pass
    assert accepted == 0


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_changed_header_is_noticed(receiver, name):
    there = endpoint(receiver.url())
    headers = webhook.signed(there, "1" * 64, b"{}", timezone.now())
    value = headers[name]
    headers[name] = value[:-3] + ("1" if value[-3] != "1" else "2") + value[-2:]
    with pytest.raises(WebhookVerificationError):
        Webhook(there.secret).verify(b"{}", headers)


@pytest.mark.parametrize(("after", "accepted"), [(24 * HOUR - SECOND, True), (24 * HOUR, False)])
def test_the_secret_before_a_rotation_signs_for_a_day_more(freezer, receiver, after, accepted):
    there = endpoint(receiver.url())
    old = Webhook(there.secret)
    endpoints.rotate(there)
    freezer.shift(after)
    headers = webhook.signed(there, "k", b"{}", timezone.now())

    Webhook(there.secret).verify(b"{}", headers)
    if accepted:
        old.verify(b"{}", headers)
    else:
        with pytest.raises(WebhookVerificationError):
            old.verify(b"{}", headers)


def test_a_new_key_of_the_portal_leaves_secrets_valid_while_the_old_one_is_kept(receiver, settings):
    there = endpoint(receiver.url())
    old = Webhook(there.secret)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "n" * 50, [settings.SECRET_KEY]

    old.verify(b"{}", webhook.signed(there, "k", b"{}", timezone.now()))


def test_two_endpoints_never_share_a_secret_and_no_secret_is_stored(receiver):
    first, second = endpoint(receiver.url("/a")), endpoint(receiver.url("/b"))

    stored = " ".join(str(value) for row in Endpoint.objects.values() for value in row.values())
    assert first.secret != second.secret
    assert first.secret.removeprefix("whsec_") not in stored


# The schedule (W-T3)


def test_an_endpoint_that_never_takes_it_is_tried_ten_times_over_75_hours(freezer, receiver):
    receiver.answers["/hook"] = [Answer(500)] * 20
    endpoint(receiver.url())
    tell()
    tries = run_until_over(freezer)

    waits = [later - earlier for earlier, later in pairwise(tries)]
    wanted = [5 * SECOND, 5 * MINUTE, 30 * MINUTE, *(n * HOUR for n in (2, 5, 10, 14, 20, 24))]
    assert len(tries) == 10
    assert all(0.8 * want <= wait <= 1.2 * want + SECOND for wait, want in zip(waits, wanted, strict=True))
    assert sum(wanted, timedelta()) > 75 * HOUR
    assert only().state == "dead"


def test_every_try_has_the_same_id_and_bytes_and_a_time_of_its_own(freezer, receiver):
    receiver.answers["/hook"] = [Answer(500)] * 3
    there = endpoint(receiver.url())
    tell()
    run_until_over(freezer)

    assert only().state == "sent"
    assert len({(posted.headers["webhook-id"], posted.body) for posted in receiver.posted}) == 1
    assert len({posted.headers["webhook-timestamp"] for posted in receiver.posted}) == 4
    Webhook(there.secret).verify(receiver.posted[-1].body, receiver.posted[-1].headers)


@pytest.mark.parametrize("status", [301, 302, 307, 400, 404, 500, 503])
def test_everything_but_2xx_is_a_failure_and_tried_again(freezer, receiver, status):
    receiver.answers["/hook"] = [Answer(status, {"Location": receiver.url("/elsewhere")})]
    endpoint(receiver.url())
    tell()
    run_until_over(freezer)

    assert receiver.paths() == ["/hook", "/hook"]
    assert list(Attempt.objects.order_by("pk").values_list("outcome", "code")) == [("temp", status), ("ok", 200)]


def test_an_endpoint_that_is_gone_is_switched_off_at_once(freezer, receiver):
    receiver.answers["/hook"] = [Answer(410)]
    there = endpoint(receiver.url())
    tell()
    tell(thread="INC-43")
    run_until_over(freezer)
    tell(thread="INC-44")
    run_until_over(freezer)

    there.refresh_from_db()
    assert len(receiver.posted) == 1
    assert (there.is_active, there.disabled_reason) == (False, "it answered 410, gone")
    assert set(Delivery.objects.values_list("state", flat=True)) == {"suppressed"}
    assert Entry.objects.filter(deed="endpoint.switched_off", subject=there.reader).count() == 1


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("said", "wait"),
    [("3600", HOUR), ("date", HOUR), ("9999999999", 24 * HOUR), ("nonsense", 5 * SECOND), ("-5", 5 * SECOND)],
)
def test_an_endpoint_may_ask_to_be_left_alone_for_up_to_a_day(freezer, receiver, status, said, wait):
    if said == "date":
        said = format_datetime(timezone.now() + HOUR, usegmt=True)
    receiver.answers["/hook"] = [Answer(status, {"Retry-After": said})]
    endpoint(receiver.url())
    tell()
    first, second = run_until_over(freezer)

    assert 0.8 * wait <= second - first <= 1.2 * wait


def test_another_answer_may_not_ask_for_that(freezer, receiver):
    receiver.answers["/hook"] = [Answer(500, {"Retry-After": "86400"})]
    endpoint(receiver.url())
    tell()
    first, second = run_until_over(freezer)

    assert second - first < 10 * SECOND


def test_five_days_without_success_switch_it_off_and_staff_hear_of_it_once(freezer, receiver, monkeypatch):
    heard = []
    monkeypatch.setattr(alarms, "_alarms", [lambda key, thread, sentence: heard.append(sentence)])
    receiver.answers["/hook"] = [Answer(500)] * 50
    there = endpoint(receiver.url())
    tell()
    run_until_over(freezer, days=4)
    freezer.move_to("2026-03-07 14:29 +0000", tick=False)
    engine.run_once()
    assert Endpoint.objects.get().is_active

    freezer.shift(2 * MINUTE)
    for _ in range(3):
        engine.run_once()
    there.refresh_from_db()
    assert not there.is_active
    assert [
        sentence for sentence in heard if "switched off: nothing got through since 2026-03-02 14:30" in sentence
    ] == [heard[-1]]


def test_one_success_forgets_the_failures_before(freezer, receiver):
    receiver.answers["/hook"] = [Answer(500)] * 3
    endpoint(receiver.url())
    tell()
    run_until_over(freezer)

    assert Endpoint.objects.get().failing_since is None


# Who is told


@pytest.mark.parametrize("given", [{"is_active": False}, {"verified_at": None}, {"kind": "chat"}])
def test_only_a_webhook_in_use_that_answered_its_challenge_is_told(receiver, given):
    endpoint(receiver.url(), **given)
    tell()
    engine.run_once()

    assert not Delivery.objects.exists()


def test_an_announcement_without_a_payload_is_none_of_its_business(receiver):
    endpoint(receiver.url())
    tell(payload="")
    engine.run_once()

    assert not Delivery.objects.exists()


def test_two_endpoints_on_one_host_are_both_told_once(receiver):
    for path in ("/a", "/b"):
        endpoint(receiver.url(path))
    told = tell()
    engine.run_once()
    fan_out.fan_out(told.pk)
    engine.run_once()

    assert sorted(receiver.paths()) == ["/a", "/b"]
    assert set(Delivery.objects.values_list("address", flat=True)) == {"127.0.0.1"}


def test_word_of_one_incident_arrives_in_order(freezer, receiver):
    receiver.answers["/hook"] = [Answer(500)]
    endpoint(receiver.url())
    for number in range(3):
        tell(payload=json.dumps({"n": number}))
    run_until_over(freezer)

    assert [json.loads(posted.body)["n"] for posted in receiver.posted] == [0, 0, 1, 2]


def test_a_program_is_told_what_a_reader_need_not_read_any_more(freezer, receiver):
    receiver.answers["/hook"] = [Answer(500)] * 3
    endpoint(receiver.url())
    tell(dedupe_key="old")
    engine.run_once()
    freezer.shift(5 * SECOND)
    engine.run_once()
    freezer.shift(20 * MINUTE)
    tell(dedupe_key="new", retells=["old"])
    fan_out.fan_out_pending(timezone.now())

    assert fan_out.supersede(timezone.now()) == 0


def test_what_a_dying_receiver_had_read_arrives_again_under_the_same_id(freezer, receiver):
    dies = lambda handler: handler.connection.shutdown(2)  # noqa: E731
    for n in range(40):
        receiver.answers[f"/{n}"] = [dies] * (1 + n % 4)
        endpoint(receiver.url(f"/{n}"))
    tell()
    for _ in range(6):
        engine.run_once()
        freezer.shift(3 * HOUR)

    ids = {(posted.path, posted.headers["webhook-id"]) for posted in receiver.posted}
    assert set(Delivery.objects.values_list("state", flat=True)) == {"sent"}
    assert len(ids) == 40
    assert len(receiver.posted) == 40 + 100  # it died a hundred times (W-T6)


# A dead endpoint stops nobody (W-T4)


def test_a_dead_endpoint_stops_neither_mail_nor_the_others(freezer, receiver, smtp_relay):
    for n in range(12):
        receiver.answers[f"/dead{n}"] = [Answer(500)] * 9
        endpoint(receiver.url(f"/dead{n}"))
    endpoint(receiver.url("/alive"))
    announcement("ann@reader.example", payload=PAYLOAD)
    engine.run_once()

    assert smtp_relay.addresses == ["ann@reader.example"]
    assert receiver.paths().count("/alive") == 1
    assert not Delivery.objects.exclude(lease_until=None).exists()


def test_whoever_answers_is_told_before_an_endpoint_that_does_not(freezer, receiver):
    receiver.answers["/dead"] = [Answer(500)] * 9
    dead = endpoint(receiver.url("/dead"))
    for n in range(8):
        endpoint(receiver.url(f"/{n}"))
    tell()
    engine.run_once()
    freezer.shift(HOUR)
    tell(thread="INC-43")
    engine.run_once()

    begun = list(Attempt.objects.order_by("pk").values_list("delivery__reader", flat=True))
    assert len(receiver.posted) == len(begun) == 18
    assert begun[0] == dead.reader
    assert begun[9:].index(dead.reader) == 8


def test_an_endpoint_that_is_down_is_tried_once_a_minute_however_much_waits_for_it(freezer, receiver):
    receiver.answers["/dead"] = [Answer(500)] * 99
    endpoint(receiver.url("/dead"))
    for n in range(20):
        tell(thread=f"INC-{n}")
    engine.run_once()

    assert len(receiver.posted) == 1


def test_a_silent_endpoint_costs_at_most_its_time(receiver, monkeypatch):
    monkeypatch.setattr(guard.post, "__kwdefaults__", {"seconds": 0.3})
    receiver.answers["/hook"] = [lambda handler: time.sleep(2)]
    endpoint(receiver.url())
    tell()
    began = time.monotonic()
    engine.run_once()

    assert time.monotonic() - began < 1.5
    assert (only().state, only().last_error[:10]) == ("pending", "no answer:")


def test_what_it_says_is_shown_to_nobody(receiver):
    receiver.answers["/hook"] = [Answer(500, body=b"<b>secret of an inner machine</b>")]
    endpoint(receiver.url())
    tell()
    engine.run_once()

    assert Attempt.objects.get().answer == "it answered 500"


def test_an_endpoint_that_leads_inward_by_now_is_not_reached(receiver, settings):
    endpoint(receiver.url())
    settings.WEBHOOK_ALLOW_CIDRS = []
    tell()
    engine.run_once()

    assert receiver.posted == []
    assert only().last_error == "not sent: only https addresses"


# The challenge


@pytest.mark.parametrize("shape", ["{word}", '{{"challenge": "{word}"}}'])
def test_an_endpoint_that_says_the_challenge_back_is_verified(receiver, shape):
    def echo(handler):
        word = json.loads(receiver.posted[-1].body)["challenge"]
        body = shape.format(word=word).encode()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    receiver.answers["/hook"] = [echo]
    there = endpoint(receiver.url(), verified_at=None)
    webhook.challenge(there)
    Webhook(there.secret).verify(receiver.posted[0].body, receiver.posted[0].headers)


@pytest.mark.parametrize(
    "answer", [Answer(), Answer(404), Answer(302), Answer(body=b"[1]"), Answer(body=b'{"challenge": 1}')]
)
def test_one_that_does_not_is_refused(receiver, answer):
    receiver.answers["/hook"] = [answer]
    with pytest.raises(Refused):
        webhook.challenge(endpoint(receiver.url(), verified_at=None))


def test_one_that_merely_repeats_what_it_gets_is_refused(receiver):
    def mirror(handler):
        body = receiver.posted[-1].body
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    receiver.answers["/hook"] = [mirror]
    with pytest.raises(Refused):
        webhook.challenge(endpoint(receiver.url(), verified_at=None))
