"""Write a database anew, so that nothing that was deleted is left in its free pages, its statistics or its log."""

from __future__ import annotations

import time
from contextlib import suppress

from sqlalchemy import text
from sqlalchemy.exc import OperationalError, ProgrammingError

from mrseg_label.catalog.database import Catalog
from mrseg_label.errors import Conflict

BUSY_SECONDS = 60.0  # until others have ended what they read
_IN_USE = (
    "the database is in use, so that its {what} cannot be written anew; nothing else is missing. Call the same command again, "
    "on a large database while server and workers are stopped"
)


def rewrite(catalog: Catalog) -> None:
    """Write the database anew, and empty SQLite's write-ahead log.

    It takes as long as copying the database and needs as much room; meanwhile others wait.

    Raises
    ------
    Conflict
        Others use the database all the time; nothing was changed.
    """
    if catalog.is_sqlite:
        _rewrite_sqlite(catalog)
    else:
        _rewrite_postgresql(catalog)


def _rewrite_sqlite(catalog: Catalog) -> None:
    connection = catalog.engine.raw_connection()
    try:
        cursor = connection.cursor()
        cursor.execute("PRAGMA secure_delete=ON")
        deadline = time.monotonic() + BUSY_SECONDS
        for command, what in (("VACUUM", "pages"), ("PRAGMA wal_checkpoint(TRUNCATE)", "write-ahead log")):
            while not _done(cursor, command):
                if time.monotonic() > deadline:
                    raise Conflict(_IN_USE.format(what=what))
                time.sleep(0.2)
        cursor.close()
    finally:
        connection.close()


def _done(cursor: object, command: str) -> bool:
    """Run a command; False if others were in the way."""
    import sqlite3

    assert isinstance(cursor, sqlite3.Cursor)
    try:
        row = cursor.execute(command).fetchone()
    except sqlite3.OperationalError as error:
        if "locked" in str(error) or "busy" in str(error):
            return False
        raise
    return row is None or row[0] == 0


def _rewrite_postgresql(catalog: Catalog) -> None:
    with catalog.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"SET lock_timeout = '{int(BUSY_SECONDS)}s'"))
        try:
            # Statistics have values of columns, and are rows themselves: first those, then all tables with them.
            connection.execute(text("ANALYZE"))
            connection.execute(text("VACUUM FULL"))
        except OperationalError as error:
            raise Conflict(_IN_USE.format(what="tables")) from error
        finally:
            connection.execute(text("RESET lock_timeout"))
        with suppress(ProgrammingError, OperationalError):  # not every role may; the server does it within minutes
            connection.execute(text("CHECKPOINT"))
