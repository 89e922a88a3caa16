"""Lists in pages: ``{"items": [...], "next": cursor or null}``, newest first."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import BaseModel

from mrseg_label.catalog.types import Position
from mrseg_label.errors import InvalidInput
from mrseg_label.reports.documents.base import Page

Row = TypeVar("Row")
Document = TypeVar("Document", bound=BaseModel)


def page_of(
    documents: Sequence[Document], limit: int, position: Callable[[Document], tuple[object, ...]]
) -> Page[Document]:
    """Make a page of ``limit`` documents from a list that was read with a limit of one more.

    Parameters
    ----------
    position : gives the place of a document in the list, which becomes the cursor of the next page.
    """
    shown, last = split_page(documents, limit)
    return Page(items=list(shown), next=None if last is None else encode_cursor(*position(last)))


def split_page(rows: Sequence[Row], limit: int) -> tuple[Sequence[Row], Row | None]:
    """Split ``limit + 1`` rows into a page and its last row, which is None where no page follows."""
    shown = rows[:limit]
    return shown, shown[-1] if len(rows) > limit else None


def encode_cursor(*position: object) -> str:
    """Encode a place in a list as an opaque cursor."""
    parts = [part.isoformat() if isinstance(part, datetime) else part for part in position]
    return base64.urlsafe_b64encode(json.dumps(parts, separators=(",", ":")).encode()).decode().rstrip("=")


def decode_position(cursor: str | None) -> Position | None:
    """Decode a cursor that holds a moment and an id; None stays None.

    Raises
    ------
    InvalidInput
        The cursor does not come from such a list.
    """
    found = decode_place(cursor)
    return None if found is None else (found[1], found[2])


def decode_place(cursor: str | None, *, named: bool = False) -> tuple[str, datetime, str] | None:
    """Decode a cursor that holds a moment and an id and, if ``named``, a name before them; None stays None.

    Raises
    ------
    InvalidInput
        The cursor does not come from such a list.
    """
    if cursor is None:
        return None
    content = _decode(cursor)
    match [*([] if named else [""]), *content] if isinstance(content, list) else None:
        case [str(name), str(moment), str(identifier)] if identifier.isprintable() and "\0" not in name:
            try:
                parsed = datetime.fromisoformat(moment)
                if parsed.tzinfo is not None:
                    return name, parsed.astimezone(UTC), identifier
            except (ValueError, OverflowError):
                raise _unknown_cursor(cursor) from None
    raise _unknown_cursor(cursor)


def decode_score(cursor: str | None) -> tuple[float, str] | None:
    """Decode a cursor that holds a score and an id; None stays None.

    Raises
    ------
    InvalidInput
        The cursor does not come from such a list.
    """
    if cursor is None:
        return None
    match _decode(cursor):
        case [float(score) | int(score), str(identifier)] if identifier.isprintable() and 0 <= score <= 1:
            return float(score), identifier
    raise _unknown_cursor(cursor)


def decode_number(cursor: str | None) -> int | None:
    """Decode a cursor that holds a number; None stays None.

    Raises
    ------
    InvalidInput
        The cursor does not come from such a list.
    """
    if cursor is None:
        return None
    match _decode(cursor):
        case [int(number)] if not isinstance(number, bool) and 0 <= number < 2**31:
            return number
    raise _unknown_cursor(cursor)


def decode_name(cursor: str | None) -> str | None:
    """Decode a cursor that holds a name; None stays None.

    Raises
    ------
    InvalidInput
        The cursor does not come from such a list.
    """
    if cursor is None:
        return None
    match _decode(cursor):
        case [str(name)] if name.isprintable():
            return name
    raise _unknown_cursor(cursor)


def _decode(cursor: str) -> Any:
    try:
        return json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        raise _unknown_cursor(cursor) from None


def _unknown_cursor(cursor: str) -> InvalidInput:
    return InvalidInput(
        f"cursor {cursor[:40]!r} does not belong to this list; start again without a cursor, then pass on `next`"
    )
