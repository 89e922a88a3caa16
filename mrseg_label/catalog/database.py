"""Engine and unit of work for SQLite (WAL) and PostgreSQL."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, func, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    NoSuchModuleError,
    OperationalError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session, sessionmaker

from mrseg_label.catalog import tables
from mrseg_label.catalog.changes import tell_changes
from mrseg_label.catalog.types import json_text
from mrseg_label.clock import now
from mrseg_label.errors import ConfigurationError, InvalidInput, MachineFailure
from mrseg_label.failures import explain
from mrseg_label.files import make_folder
from mrseg_label.private import create

WRITES = "mrseg_writes"
BUSY_SECONDS = 30
CACHE_KIB = 16_000  # of SQLite, for each connection, as far as it is filled
_CLOCK = select(func.clock_timestamp())
# Where the network is cut, the system alone would let a question wait for a quarter of an hour (parameters of libpq).
_watchers: list[Callable[[], None]] = []
NETWORK_PATIENCE = {
    "connect_timeout": 10,  # seconds
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,  # milliseconds
}


class Catalog:
    """The database of a workspace.

    ``with catalog.begin() as session`` is a unit of work that writes, and commits at its end;
    ``with catalog.read() as session`` only reads. On SQLite a writer takes the write lock at once
    (BEGIN IMMEDIATE), so that what it has read is still true when it writes.
    """

    def __init__(self, url: str | URL) -> None:
        try:
            parsed = make_url(url)
            with translated_errors():
                self.engine = _engine(url)
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
            raise ConfigurationError(f"cannot connect to DATABASE_URL: {error}") from error
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        self._reader = sessionmaker(self.engine, expire_on_commit=False)
        self._writer = sessionmaker(self.engine.execution_options(**{WRITES: True}), expire_on_commit=False)
        tell_changes(self._writer)
        # One writer at a time within a process: SQLite's own waiting is unfair and stalls for seconds.
        self._lock = threading.Lock() if self.is_sqlite else None

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """Open a unit of work that writes; it commits at the end, and rolls back on an exception.

        Raises
        ------
        StorageFull, MachineFailure
            The disk is full; the database does not answer, cannot be written or stayed locked for 30 seconds.
        InvalidInput
            The database cannot store a value.
        """
        with self._lock or nullcontext(), translated_errors(), self._writer.begin() as session:
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a unit of work that only reads. Raises as :meth:`begin`."""
        with translated_errors(), self._reader() as session:
            yield session

    def now(self, session: Session) -> datetime:
        """Read the database's clock, so that several machines agree; on SQLite it is the machine's own."""
        if self.is_sqlite:
            return now()
        moment: datetime = session.scalars(_CLOCK).one()
        return moment

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def upgrade(self) -> None:
        """Upgrade the database to the newest migration."""
        from mrseg_label.catalog.migrate import upgrade

        with translated_errors():
            upgrade(self.engine)

    def downgrade(self, migration: str) -> None:
        """Undo the migrations after one, all or none; raises as :func:`mrseg_label.catalog.migrate.downgrade`."""
        from mrseg_label.catalog.migrate import downgrade

        with translated_errors():
            downgrade(self.engine, migration)

    def is_current(self) -> bool:
        """Whether the database is at the newest migration."""
        from mrseg_label.catalog.migrate import migration_state

        with translated_errors():
            present, head = migration_state(self.engine)
        return present == head

    def check_current(self) -> None:
        """Raise :class:`ConfigurationError` unless the database is at the newest migration."""
        from mrseg_label.catalog.migrate import check_current

        with translated_errors():
            check_current(self.engine)


def watch_troubles(watcher: Callable[[], None]) -> None:
    """Have a function called whenever a transaction fails because the database or its disk does not work."""
    _watchers.append(watcher)


def open_catalog(url: str | URL) -> Catalog:
    """Open the catalogue and upgrade it to the newest migration."""
    catalog = Catalog(url)
    catalog.upgrade()
    return catalog


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raise errors of the driver as errors of ours."""
    try:
        yield
    except IntegrityError:  # for those who know which rule they may have broken
        raise
    except DataError as error:  # for example a NUL character on PostgreSQL
        raise InvalidInput(f"the database cannot store this value: {error.orig}") from error
    except PoolTimeout as error:
        raise MachineFailure("the database is busy with many requests; try again in a moment") from error
    except (OSError, DBAPIError, sqlite3.Error) as error:
        explained = explain(error)
        if explained is None and isinstance(error, OperationalError | InterfaceError):
            reason = " ".join(str(error.orig).split())
            explained = MachineFailure(f"the database did not answer: {reason}; check that it runs, then try again")
        if explained is None:
            raise
        for watcher in _watchers:
            watcher()
        raise explained from error


def _engine(url: str | URL) -> Engine:
    parsed = make_url(url)
    # Errors of the database are logged, and a participant's code must not be in a log.
    common: dict[str, Any] = {"json_serializer": json_text, "hide_parameters": True}
    if parsed.get_backend_name() != "sqlite":
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        patience = {key: value for key, value in NETWORK_PATIENCE.items() if key not in parsed.query}
        engine = create_engine(
            parsed, pool_pre_ping=True, pool_size=10, max_overflow=20, connect_args=patience, **common
        )
        event.listen(engine, "connect", _prepare_postgresql)
        return engine
    if parsed.database and parsed.database != ":memory:":
        make_folder(Path(parsed.database).parent)
        create(Path(parsed.database))  # SQLite gives the files beside it the permissions of this one
    engine = create_engine(parsed, connect_args={"timeout": BUSY_SECONDS}, pool_size=10, max_overflow=30, **common)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_postgresql(connection: Any, _record: Any) -> None:
    """Have statements planned for a catalogue whose pages are in memory or on an SSD, and sent by readers who wait.

    By PostgreSQL's own figures a table is read from end to end rather than by an index for the few hundred cases that readers
    have; and to compile a plan takes longer than any of our statements does.
    """
    connection.autocommit = True
    for setting in ("random_page_cost = 1.1", "jit = off"):
        connection.execute(f"SET {setting}")
    connection.autocommit = False


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun by _begin_sqlite, not by the driver
    cursor = connection.cursor()
    settings = {"journal_mode": "WAL", "busy_timeout": BUSY_SECONDS * 1000, "foreign_keys": "ON", "synchronous": "FULL"}
    # In kibibytes, where it is negative. The cases that hundreds of readers have lie anywhere among a million, and with SQLite's
    # own 2 MB each of their pages would be read again for each next case.
    settings["cache_size"] = -CACHE_KIB
    for name, value in settings.items():
        cursor.execute(f"PRAGMA {name}={value}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get(WRITES) else "BEGIN")


__all__ = ["Catalog", "Session", "open_catalog", "tables"]
