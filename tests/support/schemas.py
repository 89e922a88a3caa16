"""What a database declares, as values that can be compared."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

_POSTGRESQL = """
SELECT 'column', table_name, column_name, data_type, character_maximum_length::text, is_nullable, column_default
    FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL SELECT 'index', tablename, indexname, indexdef, '', '', '' FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid), '', '', ''
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT 'trigger', tgrelid::regclass::text, tgname, pg_get_triggerdef(oid), '', '', ''
    FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT 'function', proname, pg_get_functiondef(oid), '', '', '', ''
    FROM pg_proc WHERE pronamespace = 'public'::regnamespace
"""


def schema_of(connection: Connection) -> set[tuple[Any, ...]]:
    """Columns, indices, constraints and triggers of all tables."""
    if connection.dialect.name == "postgresql":
        return {tuple(row) for row in connection.exec_driver_sql(_POSTGRESQL)}
    found: set[tuple[Any, ...]] = set()
    objects = connection.exec_driver_sql("SELECT type, name, tbl_name, sql FROM sqlite_master").all()
    for kind, name, table, sql in objects:
        if kind == "table":
            columns = connection.exec_driver_sql(f'PRAGMA table_info("{name}")')
            found |= {("column", name, *row[1:]) for row in columns}
            found |= {
                ("key", name, *row[2:]) for row in connection.exec_driver_sql(f'PRAGMA foreign_key_list("{name}")')
            }
        elif not name.startswith("sqlite_"):
            found.add((kind, table, name, " ".join(sql.split())))
    return found


def rows_of(connection: Connection, *, without: frozenset[str] = frozenset()) -> dict[str, list[dict[str, Any]]]:
    """The rows of all tables, in an order of their own."""
    names = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    if connection.dialect.name == "sqlite":
        names = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
    return {
        table: sorted(
            (dict(row) for row in connection.exec_driver_sql(f'SELECT * FROM "{table}"').mappings()), key=repr
        )
        for (table,) in connection.exec_driver_sql(names).all()
        if table not in without
    }
