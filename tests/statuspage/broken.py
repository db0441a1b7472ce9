"""The settings of a portal whose URL code raises on every request."""

from irportal.settings import *  # noqa: F403

ROOT_URLCONF = "tests.statuspage.broken_urls"
