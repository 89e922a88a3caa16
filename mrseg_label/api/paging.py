"""Lists in pages: ``{"items": [...], "next": cursor or null}``, newest first."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from fastapi import Query

from mrseg_label.catalog.queries.reports import Position
from mrseg_label.errors import InvalidInput

Limit = Annotated[int, Query(ge=1, le=500, description="items on a page")]
Cursor = Annotated[str | None, Query(max_length=400, description="`next` of the page before")]
# A filter is a word or a name, O'Brien's too, and nothing that only SQL has.
Filter = Annotated[
    str | None, Query(max_length=255, pattern=r"^[^'\";\\\x00-\x1f\x7f]*(\w'\w[^'\";\\\x00-\x1f\x7f]*)*$")
]
LIMIT = 50
Row = TypeVar("Row")


def page(rows: Sequence[Row], limit: int) -> tuple[Sequence[Row], Row | None]:
    """Split ``limit + 1`` rows into a page and its last row, which is None where no page follows."""
    shown = rows[:limit]
    return shown, shown[-1] if len(rows) > limit else None


def encode(*position: Any) -> str:
    """An opaque cursor for a position in a list."""
    parts = [part.isoformat() if isinstance(part, datetime) else part for part in position]
    return base64.urlsafe_b64encode(json.dumps(parts, separators=(",", ":")).encode()).decode().rstrip("=")


def decode_position(cursor: str | None) -> Position | None:
    """The moment and id in a cursor."""
    if cursor is None:
        return None
    match _decode(cursor):
        case [str(moment), str(identifier)] if identifier.isprintable():
            try:
                parsed = datetime.fromisoformat(moment)
                if parsed.tzinfo is not None:
                    return parsed.astimezone(UTC), identifier
            except (ValueError, OverflowError):
                raise _not_ours(cursor) from None
    raise _not_ours(cursor)


def decode_number(cursor: str | None) -> int | None:
    """The number in a cursor."""
    if cursor is None:
        return None
    match _decode(cursor):
        case [int(number)] if not isinstance(number, bool) and 0 <= number < 2**31:
            return number
    raise _not_ours(cursor)


def _decode(cursor: str) -> Any:
    try:
        return json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        raise _not_ours(cursor) from None


def _not_ours(cursor: str) -> InvalidInput:
    return InvalidInput(f"cursor {cursor[:40]!r} is not one that a page gave out; begin again without a cursor")
