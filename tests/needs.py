"""What a test needs from the machine. What is missing is said once, loudly, with how to get it.

PORTAL_REQUIRE_ALL=1 turns such a skip into a failure.
"""

import os
from typing import NoReturn

import pytest

REQUIRE_ALL = os.environ.get("PORTAL_REQUIRE_ALL") == "1"
POSTGRES = "start PostgreSQL 15 or newer on 127.0.0.1:5432 (apt-get install postgresql), or set DATABASE_URL"
REDIS = "start Redis on 127.0.0.1:6379 (apt-get install redis-server), or set REDIS_URL"
NGINX = "install nginx (apt-get install nginx-light)"
CHROMIUM = "install Chromium (apt-get install chromium) so that `chromium` is on the PATH"
missed: list[str] = []


def line(what: str, how: str) -> str:
    return f"NOT TESTED: {what}. To test it: {how}."


def missing(what: str, how: str) -> NoReturn:
    """Skip this test, or fail it when everything is required; the end of the run says it once."""
    sentence = line(what, how)
    if sentence not in missed:
        missed.append(sentence)
    if REQUIRE_ALL:
        pytest.fail(sentence, pytrace=False)
    pytest.skip(sentence)
