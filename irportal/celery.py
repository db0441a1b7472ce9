"""Celery: a pair of hands for the engine, never a memory. Nothing in the broker matters."""

import os

from celery import Celery
from kombu.transport import TRANSPORT_ALIASES

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "irportal.settings")

TRANSPORT_ALIASES["filesystem"] = "irportal.broker:Transport"

app = Celery("irportal")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
