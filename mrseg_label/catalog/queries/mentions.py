"""Remove mentions of deleted participants from the rows of others: texts, JSON, subjects of events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from sqlalchemy import JSON, ColumnElement, String, Table, Text, and_, cast, delete, select, tuple_, update

from mrseg_label.catalog.database import Catalog
from mrseg_label.catalog.queries.erasure import GONE, LEFT_ALONE, Key
from mrseg_label.catalog.tables import Base

_PER_PAGE = 2000
# Columns of short text in which a code may be mentioned; all Text and JSON is looked through in any case. A station or a reader
# may have the name that is somebody's code.
_MENTIONING = frozenset({"subject", "key", "occurrence", "source"})
_UNIQUE = frozenset({"key", "occurrence"})
# They identify what another participant was imported from, who may have a code or a folder that contains this one's.
_OF_OTHERS = {("acquisitions", "key"), ("examinations", "source"), ("participants", "code")}


class Cleaner(Protocol):
    """Knows what is looked for, and what a value says without it."""

    def has_id(self, text: str) -> bool:
        """Whether a whole text is the id of something that was deleted."""

    def in_text(self, text: str) -> bool:
        """Whether a text mentions one of the participants."""

    def may_mention(self, text: str) -> bool:
        """Whether the text of a JSON value may mention one of them; False is certain, and much faster than to clean it."""

    def clean_text(self, text: str) -> str:
        """What a text says without them."""

    def clean_json(self, value: Any) -> Any:
        """What a JSON value says without them."""


def clean_mentions(catalog: Catalog, cleaner: Cleaner) -> int:
    """Remove mentions of the participants from the rows of others; returns the number of rows that were changed.

    A row whose key is the id or the digest of something that was deleted is deleted: what was measured of a mask. All tables are read without a lock; each page of rows that mention somebody is changed in a transaction of its own.
    """
    changed = 0
    for table in Base.metadata.sorted_tables:
        if table.name not in LEFT_ALONE:
            changed += _clean_table(catalog, table, cleaner)
    return changed


def _clean_table(catalog: Catalog, table: Table, cleaner: Cleaner) -> int:
    keys = list(table.primary_key.columns)
    columns = [column for column in table.columns if _may_mention(column)]
    if not columns and not any(isinstance(key.type, String) for key in keys):
        return 0
    changed, after = 0, None
    while True:
        # JSON as text: it is parsed only where it may mention somebody.
        texts = [cast(column, Text) if isinstance(column.type, JSON) else column for column in columns]
        query = select(*keys, *texts).order_by(*keys).limit(_PER_PAGE)
        if after is not None:
            query = query.where(tuple_(*keys) > tuple_(*after))
        with catalog.read() as session:
            page = [tuple(row) for row in session.execute(query)]
        if not page:
            return changed
        after = page[-1][: len(keys)]
        mentioning = [
            row[: len(keys)]
            for row in page
            if _is_of(row[: len(keys)], cleaner) or _mentions(columns, row[len(keys) :], cleaner)
        ]
        if mentioning:
            changed += _clean_rows(catalog, table, columns, mentioning, cleaner)


def _clean_rows(
    catalog: Catalog, table: Table, columns: Sequence[ColumnElement[Any]], rows: Sequence[Key], cleaner: Cleaner
) -> int:
    """Change rows, after they were read again: others may have changed them in the meantime."""
    keys = list(table.primary_key.columns)
    changed = 0
    with catalog.begin() as session:
        for key in rows:
            this = and_(*(column == value for column, value in zip(keys, key, strict=True)))
            if _is_of(key, cleaner):
                session.execute(delete(table).where(this))
                changed += 1
                continue
            row = session.execute(select(*columns).where(this).with_for_update()).one_or_none()
            values = {} if row is None else _cleaned(columns, key, tuple(row), cleaner)
            if values:
                session.execute(update(table).where(this).values(**values))
                changed += 1
    return changed


def _is_of(key: Key, cleaner: Cleaner) -> bool:
    return any(isinstance(part, str) and cleaner.has_id(part) for part in key)


def _mentions(columns: Sequence[Any], row: Key, cleaner: Cleaner) -> bool:
    """Whether a row may have to be changed; JSON is there as text."""
    for column, value in zip(columns, row, strict=True):
        if not isinstance(value, str):
            continue
        is_json = isinstance(column.type, JSON)
        if cleaner.may_mention(value) if is_json else _clean_text(column, (), value, cleaner) != value:
            return True
    return False


def _clean_text(column: Any, key: Key, value: str, cleaner: Cleaner) -> str:
    """What a column of text says without the participants."""
    if isinstance(column.type, Text):
        return cleaner.clean_text(value)
    if cleaner.has_id(value) or (column.name in _MENTIONING and cleaner.in_text(value)):
        # A key has to be one of a kind.
        return " ".join((GONE, *map(str, key))) if column.name in _UNIQUE else GONE
    return value


def _cleaned(columns: Sequence[Any], key: Key, row: Key, cleaner: Cleaner) -> dict[str, Any]:
    """What has to be changed in a row, by column."""
    values: dict[str, Any] = {}
    for column, value in zip(columns, row, strict=True):
        clean: Any = value
        if isinstance(column.type, JSON):
            clean = cleaner.clean_json(value)
        elif isinstance(value, str):
            clean = _clean_text(column, key, value, cleaner)
        if clean != value:
            values[column.name] = clean
    if "subject" in values and any(column.name == "detail" for column in columns):
        values["detail"] = {}  # of the audit trail: what was done to them says who they are
    return values


def _may_mention(column: Any) -> bool:
    if column.primary_key or column.foreign_keys or (column.table.name, column.name) in _OF_OTHERS:
        return False
    return isinstance(column.type, JSON | Text) or type(column.type) is String
