"""Who is in charge reads that mail is in trouble, with the reason and the way to mend it."""

from datetime import timedelta

from irportal.outbox import engine


def test_who_is_in_charge_is_told_what_was_given_up_and_why(declare, update, freezer, smtp_relay, lee):
    smtp_relay.at_data["ops@bank.example"] = ["554 5.7.1 we dislike it"]
    incident = declare()
    update(incident, customer_text="We are looking.")
    for _ in range(2):
        engine.run_once()

    found = {
        taken.recipients[0]: taken.message.get_body(("plain",)).get_content()
        for taken in smtp_relay.taken
        if taken.message["Subject"] == f"[{incident.ref}] Mail trouble"
    }
    assert set(found) == {"grace@example.com", "lin@example.com"}
    assert "One message was given up, the first because: 5.7.1 we dislike it" in found["lin@example.com"]
    assert "/portal/mail/undelivered" in found["lin@example.com"]


def test_an_outage_is_told_as_soon_as_the_relay_is_back(declare, update, freezer, smtp_relay):
    smtp_relay.stop()
    update(declare(), customer_text="We are looking.")
    for _ in range(20):
        engine.run_once()
        freezer.shift(timedelta(seconds=10))
    smtp_relay.start()
    freezer.shift(timedelta(seconds=30))
    engine.run_once()

    assert any("Mail trouble" in taken.message["Subject"] for taken in smtp_relay.taken)
