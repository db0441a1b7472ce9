"""Signing in as the library does it; what somebody may do follows from their roles alone."""

from allauth.account.auth_backends import AuthenticationBackend
from django.contrib.auth.models import Permission
from django.db.models import QuerySet

from irportal.accounts.models import User


class RoleBackend(AuthenticationBackend):
    def _get_user_permissions(self, user_obj: User) -> QuerySet[Permission]:
        """None of one's own: rights are given to roles, so nobody asks the database for others on each request."""
        return Permission.objects.none()
