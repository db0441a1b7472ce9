"""The project. Importing it first swaps in a SQLite that is free of the WAL-reset bug, where one is installed."""

import sys

try:
    import pysqlite3
except ImportError:  # platforms without a wheel: settings warn at start when the system's SQLite is too old
    pass
else:
    sys.modules["sqlite3"] = pysqlite3
    sys.modules["sqlite3.dbapi2"] = pysqlite3.dbapi2

from irportal.celery import app as celery_app  # noqa: E402

__all__ = ["celery_app"]
