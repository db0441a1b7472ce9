from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest


class ClosedAdapter(DefaultAccountAdapter):
    """Nobody signs up: staff are created by `manage.py staff` or in the settings."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False
