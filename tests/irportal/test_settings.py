"""A bad value stops the start with one clear sentence; production never starts half-protected."""

import os
import subprocess
import sys

import pytest

PRODUCTION = {
    "PORTAL_MODE": "production",
    "SECRET_KEY": "k" * 50,
    "PUBLIC_BASE_URL": "https://status.example.com",
    "ALLOWED_HOSTS": "status.example.com",
    "DATABASE_URL": "postgres://nobody@127.0.0.1:1/none",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "SMTP_URL": "smtp+starttls://portal:hunter2@relay.example.com:587",
}
OPENID = {
    "CUSTOMER_OIDC_ISSUER": "https://login.example",
    "CUSTOMER_OIDC_CLIENT_ID": "portal",
    "CUSTOMER_OIDC_CLIENT_SECRET": "hunter2",
    "CUSTOMER_OIDC_LABEL": "Sign in with Example",
}


def start(show: str = "''", **given: str) -> subprocess.CompletedProcess[str]:
    """A process of its own that reads the settings with these variables, and prints `show`."""
    code = f"import irportal.settings as settings; print({show})"
    return subprocess.run(
        [sys.executable, "-c", code], env=os.environ | given, capture_output=True, text=True, check=False
    )


def test_production_starts_with_what_it_needs_and_logs_as_json():
    assert start("settings.LOG_FORMAT", **PRODUCTION, **OPENID).stdout.strip() == "json"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"PORTAL_MODE": "staging"}, "it can be embedded or production"),
        (PRODUCTION | {"SECRET_KEY": ""}, "SECRET_KEY is not set"),
        (PRODUCTION | {"DEBUG": "1"}, "never shows its insides"),
        (PRODUCTION | {"SMTP_URL": "smtp://relay.example.com"}, "production needs smtp+starttls://"),
        ({"SMTP_URL": "relay.example.com"}, "neither smtp:// nor smtp+starttls://"),
        ({"BOUNCE_ADDRESS": "bounces"}, "give one address such as"),
        ({"WEBHOOK_ALLOW_CIDRS": "10.0.0.0/16,inside"}, "give networks such as 10.1.0.0/16"),
        ({"WEBHOOK_ALLOW_CIDRS": "10.1.2.3/16"}, "give networks such as 10.1.0.0/16"),
        ({"WEBHOOK_PORTS": "https"}, "give ports such as 443,8443"),
        ({"WEBHOOK_PORTS": "443,65536"}, "give ports such as 443,8443"),
        ({"EVIDENCE_FILE_MB": "0"}, "it can be 1 to 1000"),
        ({"EVIDENCE_INCIDENT_MB": "24"}, "it can be EVIDENCE_FILE_MB (25) or more"),
        ({"EVIDENCE_DIR": "static/evidence"}, "lies among the static files"),
        ({"MAIL_CHANNEL": "pigeon"}, "it can be smtp or django"),
        ({"MAIL_CHANNEL": "django"}, "MAIL_BACKEND names no mailer"),
        ({"MAIL_CHANNEL": "django", "MAIL_BACKEND": "irportal.outbox.mailer.OutboxBackend"}, "names no mailer"),
        ({"MAIL_CHANNEL": "django", "MAIL_BACKEND": "a.B", "MAIL_OPTIONS": '["key"]'}, "is not a JSON object"),
        ({"MAIL_EVENTS": "pigeon"}, "it can be amazon_ses, brevo,"),
        ({"MAIL_EVENTS": "postmark"}, "MAIL_EVENTS_SECRET is not name:password"),
        ({"MAIL_EVENTS": "postmark", "MAIL_EVENTS_SECRET": "events:short"}, "of 24 characters or more"),
        ({"MAIL_EVENTS": "postmark", "MAIL_EVENTS_SECRET": "x" * 50}, "is not name:password"),
        ({"MAIL_EVENTS": "mailgun", "MAIL_EVENTS_SECRET": "events:" + "s" * 32}, "no webhook_signing_key"),
        ({"MAIL_EVENTS_OPTIONS": "[]"}, "MAIL_EVENTS_OPTIONS is not a JSON object"),
        ({"METRICS_TOKEN": "short"}, "shorter than 16 characters"),
        ({"ORGANISATION_TIME_ZONE": "Mars/Olympus"}, "give a name such as Europe/Berlin"),
        ({"ORGANISATION_TIME_ZONE": "+02:00"}, "give a name such as Europe/Berlin"),
        ({"CUSTOMER_OIDC_ISSUER": "https://login.example"}, "CLIENT_SECRET, CUSTOMER_OIDC_LABEL too, or none of them"),
        (OPENID | {"CUSTOMER_OIDC_ISSUER": "login.example"}, "give an address such as https://login.example.com"),
        (OPENID | {"CUSTOMER_OIDC_ISSUER": "https://login.example?x=1"}, "give an address such as"),
        (PRODUCTION | OPENID | {"CUSTOMER_OIDC_ISSUER": "http://login.example"}, "production needs https://"),
        ({"LOG_FORMAT": "xml"}, "it can be json or line"),
    ],
)
def test_a_bad_value_stops_the_start_with_a_sentence(given, sentence):
    ended = start(**given)
    assert ended.returncode == 1
    assert sentence in ended.stderr.splitlines()[-1]


@pytest.mark.parametrize("relay", ["smtp://127.0.0.1:25", "smtp://localhost", "smtp+starttls://relay.example.com"])
def test_a_relay_on_this_machine_needs_no_encryption_any_other_has_it(relay):
    assert start(**PRODUCTION | {"SMTP_URL": relay}).returncode == 0


def test_production_needs_no_relay_when_another_mailer_delivers():
    given = PRODUCTION | {
        "SMTP_URL": "",
        "MAIL_CHANNEL": "django",
        "MAIL_BACKEND": "a.B",
        "MAIL_OPTIONS": '{"api_key": "k"}',
    }
    ended = start("settings.MAILERS['delivery']", **given)

    assert ended.stdout.strip() == "{'BACKEND': 'a.B', 'OPTIONS': {'api_key': 'k'}}"
