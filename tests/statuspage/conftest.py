"""What tests of the public page share."""

import pytest

from statuspage import editions


@pytest.fixture
def new_process(monkeypatch):
    """A process that has not looked yet what code the documents were made from."""
    monkeypatch.setattr(editions, "_built", set())
