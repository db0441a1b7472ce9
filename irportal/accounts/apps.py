from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "irportal.accounts"
    verbose_name = "People"
