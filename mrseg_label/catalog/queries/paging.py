"""Pages of a table: the newest rows first, from a position on."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, and_, or_

from mrseg_label.catalog.types import Position


def newest_first(query: Select[Any], created: Any, identifier: Any, after: Position | None) -> Select[Any]:
    """Order by the time of creation, newest first, and begin behind the last row of the page before."""
    if after is not None:
        moment, last = after
        query = query.where(or_(created < moment, and_(created == moment, identifier < last)))
    return query.order_by(created.desc(), identifier.desc())
