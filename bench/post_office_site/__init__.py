"""A Django project that only sends mail with django-post_office, for bench/mail.py."""

from celery import Celery

app = Celery("bench.post_office_site")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
