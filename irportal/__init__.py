"""The project. Importing it first swaps in a SQLite free of the WAL-reset bug, where one is installed."""

import sys
from functools import partial

try:
    import pysqlite3
except ImportError:  # platforms without a wheel: settings warn at start when the system's SQLite is too old
    pass
else:

    class Connection(pysqlite3.dbapi2.Connection):
        """Django 6.1 asks a connection for its limits and pysqlite3 does not tell: SQLite's own defaults."""

        def getlimit(self, category: int) -> int:
            return {2: 2_000, 9: 32_766}[category]

    pysqlite3.SQLITE_LIMIT_COLUMN, pysqlite3.SQLITE_LIMIT_VARIABLE_NUMBER = 2, 9
    pysqlite3.dbapi2.connect = partial(pysqlite3.dbapi2.connect, factory=Connection)
    sys.modules["sqlite3"] = pysqlite3
    sys.modules["sqlite3.dbapi2"] = pysqlite3.dbapi2

from irportal.celery import app as celery_app

__all__ = ["celery_app"]
