"""Query parameters of lists."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

Limit = Annotated[int, Query(ge=1, le=500, description="items on a page")]
Cursor = Annotated[str | None, Query(max_length=400, description="`next` of the page before")]
# A filter is a word or a name, O'Brien's too, and nothing that only SQL has.
Filter = Annotated[
    str | None, Query(max_length=255, pattern=r"^[^'\";\\\x00-\x1f\x7f]*(\w'\w[^'\";\\\x00-\x1f\x7f]*)*$")
]
LIMIT = 50
