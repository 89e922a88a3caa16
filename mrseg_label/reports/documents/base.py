"""What all documents are made of. Times are UTC in ISO 8601; fields that changed their name keep the old one, deprecated."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, Field

from mrseg_label.catalog.types import finite

Item = TypeVar("Item")
Moment = Annotated[datetime, AfterValidator(lambda moment: moment.astimezone(UTC))]
JsonObject = Annotated[dict[str, Any], AfterValidator(finite)]


class Page(BaseModel, Generic[Item]):
    """A page of a list, newest first."""

    items: list[Item]
    next: str | None = Field(description="cursor of the next page; null on the last page")
