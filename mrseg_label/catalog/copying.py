"""Copy a whole catalogue into another database, row by row: how a backup of PostgreSQL becomes one file, and back.

The copy is SQLite, which every Python has, whatever database the workspace uses. So no program of PostgreSQL is needed, a
backup of either database restores into either, and what is checked and deleted at a restore is the same for both.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    Integer,
    Table,
    Text,
    bindparam,
    cast,
    func,
    insert,
    inspect,
    literal,
    select,
    text,
)

from mrseg_label.catalog.database import WRITES, Catalog, translated_errors
from mrseg_label.catalog.tables import Account, AuditEvent, Base, Participant, Round
from mrseg_label.errors import ConfigurationError
from mrseg_label.paths import sqlite_url

ROWS = 1000  # that are in memory at a time


def copy_to_file(catalog: Catalog, target: Path) -> None:
    """Write what the catalogue holds at one moment to a new file of SQLite, while others go on writing.

    Raises
    ------
    ConfigurationError
        The database is not at the newest migration.
    MachineFailure
        The database does not answer.
    """
    with translated_errors():
        if catalog.is_sqlite:
            _copy_file(Path(catalog.engine.url.database or ""), target)
            return
        catalog.check_current()
        copy = Catalog(sqlite_url(target))
        try:
            copy.upgrade()
            # One snapshot for all tables: nothing that is committed meanwhile is in it.
            snapshot = catalog.engine.connect().execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
            with snapshot, _writing(copy) as writer:
                _copy_rows(snapshot, writer)
        finally:
            copy.close()
        with closing(sqlite3.connect(target)) as connection:
            connection.execute("PRAGMA journal_mode=DELETE")  # one file, without those beside it


def copy_from_file(source: Path, catalog: Catalog) -> None:
    """Fill an empty PostgreSQL database with the rows of a file of SQLite at the newest migration; all of them or none.

    Raises
    ------
    ConfigurationError
        The database has rows already; nothing was changed.
    InvalidInput
        PostgreSQL cannot store a value.
    """
    with translated_errors():
        catalog.upgrade()
        copy = Catalog(sqlite_url(source))
        try:
            copy.check_current()
            with copy.engine.connect() as reader, _writing(catalog) as writer:
                _copy_rows(reader, writer)
                _continue_numbers(writer)
        finally:
            copy.close()


def require_empty(catalog: Catalog) -> None:
    """Raise :class:`ConfigurationError` unless the database has no rows of a workspace; tables may be there."""
    with translated_errors(), catalog.engine.connect() as connection:
        present = set(inspect(connection).get_table_names())
        # Any workspace that was ever worked with has rows in one of them; migrations put none there.
        tables = [Base.metadata.tables[table.__tablename__] for table in (Participant, Account, Round, AuditEvent)]
        filled = [table.name for table in tables if table.name in present and _has_rows(connection, table)]
    if filled:
        raise ConfigurationError(
            f"the database {catalog.engine.url.render_as_string()} has a workspace already (the table {filled[0]} has rows); "
            "name an empty one with --database, or --database sqlite for a database in the folder of the workspace"
        )


def _has_rows(connection: Connection, table: Table) -> bool:
    return connection.scalar(select(literal(1)).select_from(table).limit(1)) is not None


def _copy_file(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as present, closing(sqlite3.connect(target)) as copy:
        present.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")


@contextmanager
def _writing(catalog: Catalog) -> Iterator[Connection]:
    """Open a transaction in which rows come as they are: no trigger counts them again, and in any order."""
    with catalog.engine.execution_options(**{WRITES: True}).connect() as connection:
        if catalog.is_sqlite:
            # It cannot be switched off within a transaction.
            connection.connection.cursor().execute("PRAGMA foreign_keys=OFF")
        with connection.begin():
            restore = _without_rules_of_sqlite(connection) if catalog.is_sqlite else _without_rules(connection)
            yield connection
            for statement in restore:
                connection.exec_driver_sql(statement, execution_options={"no_parameters": True})


def _without_rules_of_sqlite(connection: Connection) -> list[str]:
    """Drop triggers; returns the statements that bring them back."""
    found = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")).all()
    for name, _ in found:
        connection.execute(text(f'DROP TRIGGER "{name}"'))
    return [sql for _, sql in found]


def _without_rules(connection: Connection) -> list[str]:
    """Switch off triggers and foreign keys on PostgreSQL, as the owner of the tables may; returns how they come back."""
    present = connection.execute(
        text(
            "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
            "WHERE contype = 'f' AND connamespace = current_schema()::regnamespace"
        )
    ).all()
    restore = []
    for table in Base.metadata.sorted_tables:
        connection.execute(text(f'ALTER TABLE "{table.name}" DISABLE TRIGGER USER'))
        restore.append(f'ALTER TABLE "{table.name}" ENABLE TRIGGER USER')
    for table, name, definition in present:
        connection.execute(text(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"'))
        restore.append(f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {definition}')
    return restore


def _copy_rows(reader: Connection, writer: Connection) -> None:
    for table in Base.metadata.sorted_tables:
        # The migrations have put rows into an empty database, too.
        writer.execute(table.delete())
        columns = [_as_text(column) for column in table.columns]
        values = {column.name: _value(column, on_sqlite=writer.dialect.name == "sqlite") for column in table.columns}
        rows = reader.execution_options(yield_per=ROWS).execute(select(*columns)).mappings()
        for part in rows.partitions(ROWS):
            writer.execute(insert(table).values(values), [{f"_{name}": row[name] for name in values} for row in part])


def _as_text(column: Column[Any]) -> Any:
    """A column as it is stored: JSON as its text, since Python's None is both of SQL's NULL and of null in JSON."""
    return cast(column, Text).label(column.name) if isinstance(column.type, JSON) else column


def _value(column: Column[Any], *, on_sqlite: bool) -> Any:
    if not isinstance(column.type, JSON):
        return bindparam(f"_{column.name}", type_=column.type)
    stored = bindparam(f"_{column.name}", type_=Text)
    return stored if on_sqlite else cast(stored, JSON)


def _continue_numbers(connection: Connection) -> None:
    """Have PostgreSQL's own numbering go on behind the rows that came with their numbers."""
    for table in Base.metadata.sorted_tables:
        column = table.autoincrement_column
        if column is None or not isinstance(column.type, Integer):
            continue
        sequence = connection.scalar(select(func.pg_get_serial_sequence(table.name, column.name)))
        newest = connection.scalar(select(func.max(column)))
        if sequence is not None and newest is not None:
            connection.execute(select(func.setval(sequence, newest)))
