"""The statements that a question sends to the database, and which tables their plans read from end to end."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, event

from mrseg_label.catalog import Catalog

_NO_QUESTION = ("BEGIN", "PRAGMA", "EXPLAIN", "SELECT clock_timestamp()")  # SQLite reads the machine's clock
_READS = ("SELECT", "WITH", "UPDATE", "DELETE")
_SCAN = re.compile(r"^SCAN (\w+)(?: USING (?:COVERING )?INDEX (\w+))?$")
# What grows with the study. PostgreSQL reads from end to end what is small, so that it is asked about these only where they are large.
LARGE = {
    "participants",
    "acquisitions",
    "examinations",
    "presegmentations",
    "assignments",
    "annotations",
    "annotation_structures",
    "round_cases",
    "evaluations",
    "jobs",
    "events",
    "audit_events",
}
_ROWS = 10_000


@dataclass
class Statements:
    """What was sent: every statement in its order, each with values to explain it by."""

    catalog: Catalog
    sent: list[tuple[str, Any]] = field(default_factory=list)

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Record what is sent within a block."""

        def record(_connection: Any, _cursor: Any, statement: str, values: Any, _context: Any, many: bool) -> None:
            if not statement.startswith(_NO_QUESTION):
                self.sent.append((statement, values[0] if many else values))

        event.listen(self.catalog.engine, "before_cursor_execute", record)
        try:
            yield
        finally:
            event.remove(self.catalog.engine, "before_cursor_execute", record)

    def scans(self) -> set[str]:
        """Large tables, or their indices, that are read from end to end; the first rows of an order (LIMIT) are not."""
        found: set[str] = set()
        with self.catalog.engine.connect() as connection:
            if not self.catalog.is_sqlite:
                connection.exec_driver_sql("SET random_page_cost = 1.1")  # a disk without moving parts
            for statement, values in {one: values for one, values in self.sent if one.startswith(_READS)}.items():
                explain = _of_sqlite if self.catalog.is_sqlite else _of_postgresql
                found |= explain(connection, statement, values)
        return found


def _of_sqlite(connection: Connection, statement: str, values: Any) -> set[str]:
    steps = [row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)]
    if "LIMIT" in statement and "USE TEMP B-TREE FOR ORDER BY" not in steps:
        return set()
    tables = _large(connection, "SELECT tbl_name, name FROM sqlite_master WHERE type IN ('table', 'index')")
    found = {match[2] or match[1] for step in steps if (match := _SCAN.match(step))}
    # The name of a table in a statement may have a number behind it.
    return {name for name in found if re.sub(r"_\d+$", "", name) in tables or name in tables}


def _of_postgresql(connection: Connection, statement: str, values: Any) -> set[str]:
    plan = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", values).scalar_one()
    tables = _large(
        connection,
        f"""SELECT tablename, indexname FROM pg_indexes JOIN pg_class ON relname = tablename WHERE reltuples > {_ROWS}
            UNION SELECT relname, relname FROM pg_class WHERE reltuples > {_ROWS}""",
    )
    return set(_walk((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"])) & tables


def _large(connection: Connection, query: str) -> set[str]:
    """Names of the tables that grow with the study, and of their indices."""
    return {name for table, name in connection.exec_driver_sql(query) if table in LARGE}


def _walk(node: Mapping[str, Any], *, limited: bool = False) -> Iterator[str]:
    """Names of what a plan reads from end to end. A limit below which rows are sorted spares nothing."""
    kind = node["Node Type"]
    limited = kind == "Limit" or (limited and kind not in ("Sort", "Aggregate", "Hash"))
    if kind == "Seq Scan" and not limited:
        yield node["Relation Name"]
    elif "Index" in kind and "Index Cond" not in node and not limited:
        yield node["Index Name"]
    for inner in node.get("Plans", ()):
        yield from _walk(inner, limited=limited)
