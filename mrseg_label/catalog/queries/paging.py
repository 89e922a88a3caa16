"""Pages of a table: the newest rows first, from a position on."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, literal, tuple_

from mrseg_label.catalog.types import Position


def newest_first(query: Select[Any], created: Any, identifier: Any, after: Position | None) -> Select[Any]:
    """Order by the time of creation, newest first, and begin behind the last row of the page before."""
    if after is not None:
        # Compared as a pair, which an index of both is entered by; with OR it would be read from its beginning.
        moment, last = after
        query = query.where(tuple_(created, identifier) < tuple_(literal(moment, created.type), literal(last)))
    return query.order_by(created.desc(), identifier.desc())
