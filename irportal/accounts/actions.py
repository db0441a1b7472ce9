"""Create people and give them roles."""

from allauth.account.forms import default_token_generator
from allauth.account.utils import user_pk_to_url_str
from django.conf import settings
from django.contrib.auth.models import Group, Permission
from django.db import transaction
from django.urls import reverse

from irportal.accounts.models import User
from irportal.accounts.roles import ROLES
from irportal.ledger import actions as ledger
from irportal.refused import Refused


@transaction.atomic
def sync_roles() -> None:
    """Make the five groups hold exactly the permissions of `roles.ROLES`."""
    ids = {f"{p.content_type.app_label}.{p.codename}": p.pk for p in Permission.objects.select_related("content_type")}
    for role, wanted in ROLES.items():
        group, _ = Group.objects.get_or_create(name=role)
        group.permissions.set(ids[name] for name in wanted)


@transaction.atomic
def give_access(email: str, *, role: str, name: str = "", password: str | None = None, by: User | None = None) -> User:
    """Create the person, or renew a known one, and put them into one role.

    Without a password nobody can sign in until one is chosen through `sign_in_link`. Raises Refused on an
    unknown role and ValidationError on a bad address.
    """
    if role not in ROLES:
        raise Refused(f"{role} is not a role. Roles are {', '.join(ROLES)}.")
    email = User.objects.normalize_email(email.strip())
    user = User.objects.filter(email__iexact=email).first() or User(email=email)
    user.name = name or user.name or email.partition("@")[0].title()
    user.is_staff = role == "admin"
    user.is_active = True
    user.set_password(password)
    user.full_clean(exclude=["password"])
    user.save()
    user.groups.set([Group.objects.get(name=role)])
    ledger.append("person.access_given", subject=f"user:{user.pk}", by=by, role=role)
    return user


def sign_in_link(user: User) -> str:
    """An absolute address that works once: choose a password and be signed in.

    It ends after PASSWORD_RESET_TIMEOUT seconds.
    """
    key = f"{user_pk_to_url_str(user)}-{default_token_generator.make_token(user)}"
    return settings.PUBLIC_BASE_URL + reverse("account_reset_password_from_key", args=key.split("-", 1))
