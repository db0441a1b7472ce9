"""django-post_office as its documents set it up: Celery on Redis, its own defaults for batches and threads."""

import os
from urllib.parse import urlsplit

_url = urlsplit(os.environ["BENCH_DATABASE_URL"])
SECRET_KEY = "only for the benchmark"
INSTALLED_APPS = ["django.contrib.contenttypes", "post_office"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _url.path.strip("/"),
        "USER": _url.username or "",
        "PASSWORD": _url.password or "",
        "HOST": _url.hostname,
        "PORT": _url.port or 5432,
    }
}
MAILERS = {
    "default": {"BACKEND": "post_office.EmailBackend"},
    "post_office_delivery": {
        "BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "OPTIONS": {"host": "127.0.0.1", "port": int(os.environ["BENCH_SMTP_PORT"])},
    },
}
POST_OFFICE = {"CELERY_ENABLED": "BENCH_NO_CELERY" not in os.environ, "DEFAULT_MAILER": "post_office_delivery"}
CELERY_BROKER_URL = os.environ["BENCH_REDIS_URL"]
CELERY_BROKER_TRANSPORT_OPTIONS = {"global_keyprefix": "bench-post-office:"}
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates"}]
USE_TZ = True
