"""People by name. Each is a User in one role; Mallory is a stranger and has no user at all."""

import pytest

from irportal.accounts import actions
from irportal.accounts.models import User

PASSWORD = "correct horse battery staple"


@pytest.fixture
def roles(db) -> None:
    """The five groups, with the permissions of irportal/accounts/roles.py."""
    actions.sync_roles()


def person(name: str, role: str) -> User:
    """A user called `name` in `role`; signs in as name@example.com with PASSWORD."""
    return actions.give_access(f"{name.lower()}@example.com", role=role, name=name, password=PASSWORD)


@pytest.fixture
def ada(roles) -> User:
    """Viewer."""
    return person("Ada", "viewer")


@pytest.fixture
def vera(roles) -> User:
    """Auditor: sees, changes nothing."""
    return person("Vera", "viewer")


@pytest.fixture
def lee(roles) -> User:
    """Responder."""
    return person("Lee", "responder")


@pytest.fixture
def grace(roles) -> User:
    """Commander."""
    return person("Grace", "commander")


@pytest.fixture
def lin(roles) -> User:
    """Comms lead: publisher."""
    return person("Lin", "publisher")


@pytest.fixture
def root(roles) -> User:
    """Admin of the settings."""
    return person("Root", "admin")
