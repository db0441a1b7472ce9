"""What every test stands on: an environment of its own, one of the two databases, people, a relay, a clock.

TEST_DATABASE=sqlite (default) or postgres chooses the database. The environment is prepared before Django's
settings are read, so nothing a developer keeps under var/ or exports is touched.
"""

import os
import shutil
import tempfile
from pathlib import Path

from tests import needs

VAR_DIR = Path(tempfile.mkdtemp(prefix="portal-tests-"))
TEST_DATABASE = os.environ.get("TEST_DATABASE", "sqlite")
POSTGRES_URL = os.environ.pop("DATABASE_URL", "postgres://postgres@127.0.0.1:5432/portal")
REDIS_URL = os.environ.pop("REDIS_URL", "redis://127.0.0.1:6379/0")
for name in (
    "PORTAL_MODE",
    "SECRET_KEY",
    "PUBLIC_BASE_URL",
    "ALLOWED_HOSTS",
    "ORGANISATION",
    "ORGANISATION_TIME_ZONE",
    "SMTP_URL",
    "MAIL_CONNECTIONS",
    "MAIL_LEASE_SECONDS",
    "MAIL_CHANNEL",
    "MAIL_BACKEND",
    "MAIL_OPTIONS",
    "MAIL_EVENTS",
    "MAIL_EVENTS_SECRET",
    "MAIL_EVENTS_OPTIONS",
    "WEBHOOK_ALLOW_CIDRS",
    "WEBHOOK_PORTS",
    "PAGE_LANGUAGES",
    "EVIDENCE_DIR",
    "EVIDENCE_FILE_MB",
    "EVIDENCE_INCIDENT_MB",
    "PORT",
    "DEBUG",
    "METRICS_TOKEN",
    "DEAD_MAN_URL",
    "LOG_FORMAT",
    "PAGE_RESTRICTED",
    "CUSTOMER_OIDC_ISSUER",
    "CUSTOMER_OIDC_CLIENT_ID",
    "CUSTOMER_OIDC_CLIENT_SECRET",
    "CUSTOMER_OIDC_LABEL",
):
    os.environ.pop(name, None)
os.environ |= {"VAR_DIR": str(VAR_DIR), "DJANGO_SETTINGS_MODULE": "irportal.settings", "LOG_LEVEL": "WARNING"}
if TEST_DATABASE == "postgres":
    os.environ["DATABASE_URL"] = POSTGRES_URL

from django.conf import settings  # noqa: E402
from django.core.cache import caches  # noqa: E402

import irportal  # noqa: E402, F401  (swaps SQLite before Django imports it)

_database = settings.DATABASES["default"]
# A name of our own, so that two runs at once do not share it; a file, so that threads and processes can.
_database["TEST"] = {
    "CHARSET": None,
    "COLLATION": None,
    "MIGRATE": True,
    "MIRROR": None,
    "NAME": f"test_portal_{os.getpid()}" if TEST_DATABASE == "postgres" else str(VAR_DIR / "test.sqlite3"),
}
_mailers = settings.MAILERS
settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
settings.WHITENOISE_AUTOREFRESH = True

import django  # noqa: E402

django.setup()

import pytest  # noqa: E402
from django.utils import timezone  # noqa: E402

from irportal.outbox import sending  # noqa: E402
from tests import database  # noqa: E402

pytest_plugins = ["tests.people", "tests.relay", "tests.receiver", "tests.hands", "tests.statuspage.provider"]


def pytest_configure(config: pytest.Config) -> None:
    if TEST_DATABASE not in ("sqlite", "postgres"):
        raise pytest.UsageError(f"TEST_DATABASE is {TEST_DATABASE!r}; it can be sqlite or postgres.")
    if TEST_DATABASE == "postgres" and (reason := database.unreachable(POSTGRES_URL)):
        what = f"PostgreSQL does not answer ({reason})"
        pytest.exit(needs.line(what, needs.POSTGRES), returncode=1 if needs.REQUIRE_ALL else 0)


def pytest_report_header() -> str:
    return f"database: {TEST_DATABASE}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for sentence in needs.missed:
        terminalreporter.write_line(sentence, red=True, bold=True)


def pytest_unconfigure() -> None:
    shutil.rmtree(VAR_DIR, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def own_mail(django_test_environment) -> None:
    """Django's tests put a stand-in in place of every mailer; ours is a row in the outbox and stays."""
    settings.MAILERS = _mailers


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    caches["process"].clear()


@pytest.fixture
def freezer(time_machine, monkeypatch):
    """The clock stands still at Monday 2 March 2026, 14:30 UTC; `freezer.shift(timedelta)` moves it.

    The database's own clock is the one thing that cannot be moved: claims go by this one instead.
    """
    time_machine.move_to("2026-03-02 14:30 +0000", tick=False)
    monkeypatch.setattr(sending, "database_now", timezone.now)
    return time_machine


@pytest.fixture
def redis_url() -> str:
    """The address of a Redis that answers."""
    import redis

    try:
        with redis.Redis.from_url(REDIS_URL, socket_timeout=2, socket_connect_timeout=2) as client:
            client.ping()
    except redis.RedisError as problem:
        needs.missing(f"Redis does not answer ({problem})", needs.REDIS)
    return REDIS_URL


@pytest.fixture
def process_env(transactional_db, smtp_relay) -> dict[str, str]:
    """The environment of a real process that works on this test's database and hands mail to `smtp_relay`."""
    return os.environ | {
        "DATABASE_URL": database.url(),
        "SECRET_KEY": settings.SECRET_KEY,
        "SMTP_URL": smtp_relay.url,
    }
