from django.apps import AppConfig


class OutboxConfig(AppConfig):
    name = "irportal.outbox"
    verbose_name = "Outbox"
