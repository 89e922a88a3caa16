"""Write many rows into an empty catalogue: past the mapper, while its tables have no indices and no triggers.

Both are made again at the end, as the database itself describes them. What triggers keep must be counted anew afterwards.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, Protocol, cast

import psycopg
from sqlalchemy import Table

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.tables import Base

Rows = Iterable[Sequence[Any]]


class Writer(Protocol):
    """Writes rows into one database."""

    def write(self, of: type[Base], columns: Sequence[str], rows: Rows) -> None:
        """Write rows with these columns; other columns get the default of the table."""


@contextmanager
def bulk(catalog: Catalog) -> Iterator[Writer]:
    """Take indices and triggers away, write in one transaction, and make them again."""
    with _sqlite(catalog) if catalog.is_sqlite else _postgresql(catalog) as writer:
        yield writer


class _Sqlite:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def write(self, of: type[Base], columns: Sequence[str], rows: Rows) -> None:
        table = cast("Table", of.__table__)
        columns, rows = _complete(table, columns, rows)
        names = ", ".join(f'"{column}"' for column in columns)
        marks = ", ".join("?" for _ in columns)
        self._connection.executemany(f"INSERT INTO {table.name} ({names}) VALUES ({marks})", rows)


@contextmanager
def _sqlite(catalog: Catalog) -> Iterator[Writer]:
    catalog.close()
    with closing(sqlite3.connect(str(catalog.engine.url.database), isolation_level=None)) as connection:
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "locking_mode=EXCLUSIVE", "cache_size=-1500000", "temp_store=MEMORY"):  # fmt: skip
            connection.execute(f"PRAGMA {pragma}")
        found = connection.execute(
            "SELECT type, name, sql FROM sqlite_master WHERE type IN ('index', 'trigger') AND sql IS NOT NULL"
        ).fetchall()
        connection.execute("BEGIN")
        for kind, name, _ in found:
            connection.execute(f'DROP {kind} "{name}"')
        yield _Sqlite(connection)
        for _, _, made_by in found:
            connection.execute(made_by)
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode=WAL")


class _Postgresql:
    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def write(self, of: type[Base], columns: Sequence[str], rows: Rows) -> None:
        table = cast("Table", of.__table__)
        columns, rows = _complete(table, columns, rows)
        names = ", ".join(f'"{column}"' for column in columns)
        with self._connection.cursor().copy(f"COPY {table.name} ({names}) FROM STDIN".encode()) as copy:
            for row in rows:
                copy.write_row(row)


@contextmanager
def _postgresql(catalog: Catalog) -> Iterator[Writer]:
    url = catalog.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as connection:
        connection.execute("SET session_replication_role = replica")  # no triggers, no foreign keys; needs a superuser
        connection.execute("SET TIME ZONE 'UTC'")
        connection.execute("SET maintenance_work_mem = '512MB'")
        found = connection.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND indexname NOT IN (SELECT conname FROM pg_constraint)"
        ).fetchall()
        for name, _ in found:
            connection.execute(f'DROP INDEX "{name}"'.encode())
        yield _Postgresql(connection)
        for _, made_by in found:
            connection.execute(made_by.encode())


def _complete(table: Table, columns: Sequence[str], rows: Rows) -> tuple[Sequence[str], Rows]:
    """Add the constants that the mapper would have given columns that nobody named."""
    missing = [
        column
        for column in table.columns
        if column.name not in columns and not column.nullable and column.server_default is None
    ]
    unknown = [column.name for column in missing if column.default is None or not column.default.is_scalar]
    if unknown:
        raise ValueError(f"{table.name}: no value for {', '.join(unknown)}")
    constants = tuple(cast(Any, column.default).arg for column in missing if column.default is not None)
    return [*columns, *(column.name for column in missing)], ((*row, *constants) for row in rows)
