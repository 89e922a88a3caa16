"""The query parameters of lists."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Query
from pydantic import AfterValidator

Limit = Annotated[int, Query(ge=1, le=500, description="items on a page")]
Cursor = Annotated[str | None, Query(max_length=400, description="`next` of the previous page")]
# A filter is a word or a name, such as O'Brien, and has no characters that only SQL would need.
Filter = Annotated[
    str | None, Query(max_length=255, pattern=r"^[^'\";\\\x00-\x1f\x7f]*(\w'\w[^'\";\\\x00-\x1f\x7f]*)*$")
]
# A date is its first moment; without a time zone it is UTC, as all times here.
Moment = Annotated[
    datetime | None,
    AfterValidator(lambda moment: moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)),
]
LIMIT = 50
