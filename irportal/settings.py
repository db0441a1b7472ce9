"""One settings file. What differs between places comes from the environment; a bad value stops the start.

PORTAL_MODE=embedded (default) needs nothing: SQLite, a file broker and a generated key, all under VAR_DIR.
PORTAL_MODE=production refuses to start without its own key, hosts, database and broker.
"""

import ipaddress
import re
import secrets
import sqlite3
import warnings
import zoneinfo
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured
from django.utils.csp import CSP

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.FileAwareEnv()

MODE = env.str("PORTAL_MODE", "embedded")
if MODE not in ("embedded", "production"):
    raise ImproperlyConfigured(f"PORTAL_MODE is {MODE!r}; it can be embedded or production.")
PRODUCTION = MODE == "production"
VAR_DIR = Path(env.str("VAR_DIR", str(BASE_DIR / "var"))).resolve()
if len(bytes(VAR_DIR)) > 96:
    raise ImproperlyConfigured("VAR_DIR is longer than 96 bytes; a Unix socket lies in it and cannot be named then.")


def _required(name: str) -> str:
    """A value production cannot start without, or a sentence that says so."""
    value = env.str(name, "")
    if PRODUCTION and not value:
        raise ImproperlyConfigured(f"{name} is not set; PORTAL_MODE=production needs it.")
    return value


def _secret_key() -> str:
    """The given key, or in embedded mode one that is drawn once and kept under VAR_DIR."""
    if key := _required("SECRET_KEY"):
        if len(key) < 50:
            raise ImproperlyConfigured("SECRET_KEY is shorter than 50 characters.")
        return key
    file = VAR_DIR / "secret_key"
    if not file.exists():
        VAR_DIR.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(64))
    return file.read_text()


DEBUG = env.bool("DEBUG", False)
if PRODUCTION and DEBUG:
    raise ImproperlyConfigured("DEBUG is on; PORTAL_MODE=production never shows its insides.")
SECRET_KEY = _secret_key()
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])  # older keys: links in old mails keep working
PUBLIC_BASE_URL = (_required("PUBLIC_BASE_URL") or f"http://127.0.0.1:{env.int('PORT', 8000)}").rstrip("/")
_own_hosts = [] if PRODUCTION else ["127.0.0.1", "localhost", "[::1]", "testserver"]
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=_own_hosts)
if PRODUCTION and not ALLOWED_HOSTS:
    raise ImproperlyConfigured("ALLOWED_HOSTS is not set; PORTAL_MODE=production needs it.")
ORGANISATION = env.str("ORGANISATION", "AgentGuard")
ORGANISATION_TIME_ZONE = env.str("ORGANISATION_TIME_ZONE", "UTC")
if ORGANISATION_TIME_ZONE not in zoneinfo.available_timezones():
    raise ImproperlyConfigured(
        f"ORGANISATION_TIME_ZONE is {ORGANISATION_TIME_ZONE!r}; give a name such as Europe/Berlin."
    )
SUPPORT_EMAIL = env.str("SUPPORT_EMAIL", "support@example.com")
METRICS_TOKEN = env.str("METRICS_TOKEN", "")
if METRICS_TOKEN and len(METRICS_TOKEN) < 16:
    raise ImproperlyConfigured("METRICS_TOKEN is shorter than 16 characters.")

INSTALLED_APPS = [
    "irportal",
    "irportal.accounts",
    "irportal.ledger",
    "irportal.outbox",
    "statuspage",
    "incidents",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.forms",
    "django_htmx",
    "allauth",
    "allauth.account",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "irportal.refused.RefusedMiddleware",
]
ROOT_URLCONF = "irportal.urls"
WSGI_APPLICATION = "irportal.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "irportal.views.frame",
            ],
        },
    },
]
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"

# Database: SQLite embedded, PostgreSQL in production (reliability: IMMEDIATE and FULL are not optional).
_database_url = _required("DATABASE_URL") or f"sqlite:///{VAR_DIR / 'portal.sqlite3'}"
DATABASES = {"default": env.db_url_config(_database_url)}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    if PRODUCTION:
        raise ImproperlyConfigured("DATABASE_URL names SQLite; production needs PostgreSQL 15 or newer.")
    Path(DATABASES["default"]["NAME"]).parent.mkdir(parents=True, exist_ok=True)
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; "
        "PRAGMA foreign_keys=ON; PRAGMA recursive_triggers=ON;",
    }
    if sqlite3.sqlite_version_info < (3, 51, 3):
        warnings.warn(f"SQLite {sqlite3.sqlite_version} can corrupt WAL files; 3.51.3 cannot.", stacklevel=1)
else:
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
    DATABASES["default"].setdefault("OPTIONS", {}).setdefault("connect_timeout", 5)
    DATABASES["default"]["DISABLE_SERVER_SIDE_CURSORS"] = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Rate limits need a cache all web processes share; the database is one that is always there.
# What a process may remember by itself for some seconds needs no database.
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "portal_cache"},
    "process": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
}

# Evidence: a folder no web server looks into, and how much fits in it
EVIDENCE_DIR = Path(env.str("EVIDENCE_DIR", str(VAR_DIR / "evidence"))).resolve()
EVIDENCE_FILE_MB = env.int("EVIDENCE_FILE_MB", 25)
if not 1 <= EVIDENCE_FILE_MB <= 1000:
    raise ImproperlyConfigured(f"EVIDENCE_FILE_MB is {EVIDENCE_FILE_MB}; it can be 1 to 1000.")
EVIDENCE_INCIDENT_MB = env.int("EVIDENCE_INCIDENT_MB", 500)
if EVIDENCE_INCIDENT_MB < EVIDENCE_FILE_MB:
    raise ImproperlyConfigured(
        f"EVIDENCE_INCIDENT_MB is {EVIDENCE_INCIDENT_MB}; it can be EVIDENCE_FILE_MB ({EVIDENCE_FILE_MB}) or more."
    )
if any(EVIDENCE_DIR.is_relative_to(BASE_DIR / name) for name in ("static", "staticfiles")):
    raise ImproperlyConfigured("EVIDENCE_DIR lies among the static files; everybody could read it there.")
FILE_UPLOAD_HANDLERS = [
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "irportal.uploads.BoundedUpload",
]

# The public page: seconds without an answer from the database until pages say how old they are
PAGE_STALE_SECONDS = env.int("PAGE_STALE_SECONDS", 15)
if not 2 <= PAGE_STALE_SECONDS <= 3600:
    raise ImproperlyConfigured(f"PAGE_STALE_SECONDS is {PAGE_STALE_SECONDS}; it can be 2 to 3600.")

# Uptime: which share of an outage each state is. What has no share counts as up; no_data without one is left out.
UPTIME_WEIGHTS = env.dict("UPTIME_WEIGHTS", default={"major_outage": "1", "partial_outage": "0.3"})
for _state, _share in UPTIME_WEIGHTS.items():
    if _state not in ("major_outage", "partial_outage", "degraded_performance", "under_maintenance", "no_data"):
        raise ImproperlyConfigured(f"UPTIME_WEIGHTS names {_state!r}; it can name major_outage, partial_outage, ...")
    if not re.fullmatch(r"1|0|0\.[0-9]{1,4}", _share):
        raise ImproperlyConfigured(f"UPTIME_WEIGHTS gives {_state} {_share!r}; a share is 0 to 1, such as 0.3.")
# Whether time under maintenance leaves the time uptime is measured over; else it counts as up and is shown grey
MAINTENANCE_EXCLUDED_FROM_DOWNTIME = env.bool("MAINTENANCE_EXCLUDED_FROM_DOWNTIME", False)

# Whether the whole page is for signed-in customers: then public addresses show nothing but where to sign in
PAGE_RESTRICTED = env.bool("PAGE_RESTRICTED", False)

# Where customers may sign in to the private page besides by mail, by OpenID Connect
CUSTOMER_OIDC_ISSUER = env.str("CUSTOMER_OIDC_ISSUER", "")
CUSTOMER_OIDC_CLIENT_ID = env.str("CUSTOMER_OIDC_CLIENT_ID", "")
CUSTOMER_OIDC_CLIENT_SECRET = env.str("CUSTOMER_OIDC_CLIENT_SECRET", "")
CUSTOMER_OIDC_LABEL = env.str("CUSTOMER_OIDC_LABEL", "")
_openid = {
    "CUSTOMER_OIDC_ISSUER": CUSTOMER_OIDC_ISSUER,
    "CUSTOMER_OIDC_CLIENT_ID": CUSTOMER_OIDC_CLIENT_ID,
    "CUSTOMER_OIDC_CLIENT_SECRET": CUSTOMER_OIDC_CLIENT_SECRET,
    "CUSTOMER_OIDC_LABEL": CUSTOMER_OIDC_LABEL,
}
if any(_openid.values()) and not all(_openid.values()):
    _missing = ", ".join(name for name, value in _openid.items() if not value)
    raise ImproperlyConfigured(f"CUSTOMER_OIDC_... is half set: give {_missing} too, or none of them.")
if CUSTOMER_OIDC_ISSUER and not re.fullmatch(r"https?://[^\s?#@\\]+", CUSTOMER_OIDC_ISSUER, re.ASCII):
    raise ImproperlyConfigured(
        f"CUSTOMER_OIDC_ISSUER is {CUSTOMER_OIDC_ISSUER!r}; give an address such as https://login.example.com."
    )
if PRODUCTION and CUSTOMER_OIDC_ISSUER.startswith("http://"):
    raise ImproperlyConfigured("CUSTOMER_OIDC_ISSUER is http://; production needs https:// for that.")

# Accounts
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["irportal.accounts.backend.RoleBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
ACCOUNT_ADAPTER = "irportal.accounts.adapter.ClosedAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"  # staff are created by `manage.py staff`, nobody signs up
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = True
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False  # nobody is mailed who has no account
ACCOUNT_SESSION_REMEMBER = False
ACCOUNT_LOGIN_ON_PASSWORD_RESET = True  # the one-time link of `manage.py staff` ends signed in
ALLAUTH_TRUSTED_PROXY_COUNT = env.int("TRUSTED_PROXY_COUNT", 0)
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "portal:home"
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
SESSION_COOKIE_AGE = int(timedelta(hours=24).total_seconds())
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_HTTPONLY = True
CSRF_FAILURE_VIEW = "irportal.views.csrf_failure"

# Browser walls
SECURE_CSP = {
    "default-src": [CSP.NONE],
    "script-src": [CSP.SELF],
    "style-src": [CSP.SELF],
    "img-src": [CSP.SELF, "data:"],
    "font-src": [CSP.SELF],
    "connect-src": [CSP.SELF],
    "form-action": [CSP.SELF],
    "base-uri": [CSP.NONE],
    "frame-ancestors": [CSP.NONE],
    "object-src": [CSP.NONE],
}
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
if PRODUCTION:
    SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", True)
    SECURE_REDIRECT_EXEMPT = [r"^healthz$"]
    SECURE_HSTS_SECONDS = 31_536_000
    SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = True
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"
    if env.bool("BEHIND_PROXY", False):
        SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

DEAD_MAN_URL = env.str("DEAD_MAN_URL", "")
if DEAD_MAN_URL and not DEAD_MAN_URL.startswith(("https://", "http://")):  # it may hold a token: it is not shown
    raise ImproperlyConfigured("DEAD_MAN_URL begins with neither https:// nor http://.")

# Mail. Everything leaves through the outbox; even allauth's mails become rows first.
MAIL_CHANNEL = env.str("MAIL_CHANNEL", "smtp")
if MAIL_CHANNEL not in ("smtp", "django"):
    raise ImproperlyConfigured(f"MAIL_CHANNEL is {MAIL_CHANNEL!r}; it can be smtp or django.")
SMTP_URL = (_required("SMTP_URL") if MAIL_CHANNEL == "smtp" else env.str("SMTP_URL", "")) or "smtp://127.0.0.1:1025"
if not SMTP_URL.startswith(("smtp://", "smtp+starttls://")):  # the value holds a password: it is not shown
    raise ImproperlyConfigured("SMTP_URL begins with neither smtp:// nor smtp+starttls://.")
_relay = urlsplit(SMTP_URL)
if PRODUCTION and _relay.scheme == "smtp" and _relay.hostname not in ("127.0.0.1", "::1", "localhost"):
    raise ImproperlyConfigured("SMTP_URL is smtp:// to another machine; production needs smtp+starttls:// for that.")
MAIL_DOMAIN = env.str("MAIL_DOMAIN", "portal.example")
MAIL_FROM = env.str("MAIL_FROM", f"{ORGANISATION} status <status@{MAIL_DOMAIN}>")
MAIL_CONNECTIONS = env.int("MAIL_CONNECTIONS", 8 if PRODUCTION else 1)
if not 1 <= MAIL_CONNECTIONS <= 64:
    raise ImproperlyConfigured(f"MAIL_CONNECTIONS is {MAIL_CONNECTIONS}; it can be 1 to 64.")
MAIL_LEASE_SECONDS = env.int("MAIL_LEASE_SECONDS", 90)  # tests of dying senders shorten it
if not 3 <= MAIL_LEASE_SECONDS <= 3600:
    raise ImproperlyConfigured(f"MAIL_LEASE_SECONDS is {MAIL_LEASE_SECONDS}; it can be 3 to 3600.")
BOUNCE_ADDRESS = env.str("BOUNCE_ADDRESS", f"bounce@{MAIL_DOMAIN}")
if not BOUNCE_ADDRESS.isascii() or BOUNCE_ADDRESS.count("@") != 1:
    raise ImproperlyConfigured(f"BOUNCE_ADDRESS is {BOUNCE_ADDRESS!r}; give one address such as bounce@example.com.")
DEFAULT_FROM_EMAIL = MAIL_FROM
_OUTBOX = "irportal.outbox.mailer.OutboxBackend"
MAILERS: dict[str, dict[str, Any]] = {"default": {"BACKEND": _OUTBOX}}
if MAIL_CHANNEL == "django":
    _backend, _options = env.str("MAIL_BACKEND", ""), env.json("MAIL_OPTIONS", {})
    if not _backend or _backend == _OUTBOX:
        raise ImproperlyConfigured("MAIL_BACKEND names no mailer that delivers; MAIL_CHANNEL=django needs one.")
    if not isinstance(_options, dict):  # the value holds a key: it is not shown
        raise ImproperlyConfigured("MAIL_OPTIONS is not a JSON object.")
    MAILERS["delivery"] = {"BACKEND": _backend, "OPTIONS": _options}

# What the mail provider's webhook says of bounces and complaints, by django-anymail's views.
MAIL_EVENTS = env.str("MAIL_EVENTS", "")
if MAIL_EVENTS not in ("", "amazon_ses", "brevo", "mailgun", "mailjet", "postmark", "sparkpost"):
    raise ImproperlyConfigured(
        f"MAIL_EVENTS is {MAIL_EVENTS!r}; it can be amazon_ses, brevo, mailgun, mailjet, postmark or sparkpost."
    )
if MAIL_EVENTS == "amazon_ses" and not find_spec("boto3"):
    raise ImproperlyConfigured("MAIL_EVENTS is amazon_ses; that needs the package boto3.")
MAIL_EVENTS_SECRET = env.str("MAIL_EVENTS_SECRET", "")
if MAIL_EVENTS and (len(MAIL_EVENTS_SECRET) < 24 or ":" not in MAIL_EVENTS_SECRET):  # it is not shown
    raise ImproperlyConfigured(
        "MAIL_EVENTS_SECRET is not name:password of 24 characters or more; MAIL_EVENTS needs it."
    )
MAIL_EVENTS_OPTIONS = env.json("MAIL_EVENTS_OPTIONS", {})
if not isinstance(MAIL_EVENTS_OPTIONS, dict):  # the value holds a key: it is not shown
    raise ImproperlyConfigured("MAIL_EVENTS_OPTIONS is not a JSON object.")
if MAIL_EVENTS == "mailgun" and not MAIL_EVENTS_OPTIONS.get("webhook_signing_key"):
    raise ImproperlyConfigured("MAIL_EVENTS_OPTIONS has no webhook_signing_key; MAIL_EVENTS=mailgun needs it.")

# Webhooks go to public addresses; an operator may name networks and ports of their own besides.
WEBHOOK_ALLOW_CIDRS = env.list("WEBHOOK_ALLOW_CIDRS", default=[])
for _name in WEBHOOK_ALLOW_CIDRS:
    try:
        ipaddress.ip_network(_name)
    except ValueError:
        raise ImproperlyConfigured(f"WEBHOOK_ALLOW_CIDRS has {_name!r}; give networks such as 10.1.0.0/16.") from None
WEBHOOK_READERS_INSIDE = env.bool("WEBHOOK_READERS_INSIDE", False)  # whether visitors may name those networks, too
_ports = env.list("WEBHOOK_PORTS", default=["443"])
if not all(port.isdecimal() and 0 < int(port) < 65536 for port in _ports):
    raise ImproperlyConfigured(f"WEBHOOK_PORTS is {','.join(_ports)!r}; give ports such as 443,8443.")
WEBHOOK_PORTS = [int(port) for port in _ports]

# Celery: interval ticks only, nothing remembered (reliability 1.7)
CELERY_BROKER_URL = _required("REDIS_URL") or "filesystem://localhost"
CELERY_TASK_IGNORE_RESULT = True
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SERIALIZER = "json"
CELERY_TASK_ACKS_LATE = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_TIME_LIMIT, CELERY_TASK_SOFT_TIME_LIMIT = 60, 50
CELERY_WORKER_MAX_TASKS_PER_CHILD = 500
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BEAT_SCHEDULER = "celery.beat:Scheduler"  # in memory: there is nothing to remember
CELERY_BEAT_SCHEDULE = {"tick": {"task": "outbox.tick", "schedule": 2.0, "options": {"expires": 2}}}
if CELERY_BROKER_URL.startswith("filesystem:"):
    BROKER_DIR = VAR_DIR / "broker"
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(BROKER_DIR / "queue"),
        "data_folder_out": str(BROKER_DIR / "queue"),
        "control_folder": str(BROKER_DIR / "control"),
        "processed_folder": str(BROKER_DIR / "processed"),
        "polling_interval": 0.1,
    }
else:
    CELERY_WORKER_DISABLE_PREFETCH = True
    CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 20
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "visibility_timeout": 600,
        "socket_timeout": 2,
        "socket_connect_timeout": 2,
        "socket_keepalive": True,
        "health_check_interval": 10,
        "unacked_restore_interval": 10,
        "unacked_restore_throttle": 1,
        "global_keyprefix": env.str("REDIS_PREFIX", "portal:"),
    }

# Static files
STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = BASE_DIR / "staticfiles" if PRODUCTION else None  # embedded serves static/ itself
WHITENOISE_USE_FINDERS = not PRODUCTION
if PRODUCTION:
    STORAGES = {
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
        "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
    }

# Languages. The portal speaks English; the public page and its mails speak PAGE_LANGUAGES, the first at the root.
LANGUAGE_CODE = "en"
LOCALE_PATHS = [BASE_DIR / "locale"]
FORMAT_MODULE_PATH = ["irportal.formats"]
PAGE_LANGUAGES = env.list("PAGE_LANGUAGES", default=["en", "de", "fr", "es", "ja", "pt-br"])
_spoken = {"en", *(folder.name.lower().replace("_", "-") for folder in LOCALE_PATHS[0].iterdir())}
if not PAGE_LANGUAGES or len({*PAGE_LANGUAGES}) < len(PAGE_LANGUAGES) or not _spoken.issuperset(PAGE_LANGUAGES):
    raise ImproperlyConfigured(
        f"PAGE_LANGUAGES is {','.join(PAGE_LANGUAGES)!r}; give some of {', '.join(sorted(_spoken))}, each once."
    )
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = True

LOG_FORMAT = env.str("LOG_FORMAT", "json" if PRODUCTION else "line")
if LOG_FORMAT not in ("json", "line"):
    raise ImproperlyConfigured(f"LOG_FORMAT is {LOG_FORMAT!r}; it can be json or line.")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "irportal.logs.Line"}, "json": {"()": "irportal.logs.Json"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT}},
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", "INFO")},
    "loggers": {"weasyprint": {"level": "WARNING"}, "fontTools": {"level": "WARNING"}},  # a line per step
}
