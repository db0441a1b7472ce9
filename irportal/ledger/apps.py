from django.apps import AppConfig


class LedgerConfig(AppConfig):
    name = "irportal.ledger"
    verbose_name = "Ledger"
