"""Parts of all documents. Moments are UTC in ISO 8601."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, Field

Item = TypeVar("Item")
Moment = Annotated[datetime, AfterValidator(lambda moment: moment.astimezone(UTC))]


def finite(value: Any) -> Any:
    """JSON has no NaN and no infinity; both say that there is no number."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(entry) for key, entry in value.items()}
    return [finite(entry) for entry in value] if isinstance(value, list) else value


JsonObject = Annotated[dict[str, Any], AfterValidator(finite)]


class Page(BaseModel, Generic[Item]):
    """A page of a list, newest first."""

    items: list[Item]
    next: str | None = Field(description="cursor of the next page; null on the last")
