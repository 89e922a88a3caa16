"""Doubtful masks."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from mrseg_label.catalog.queries.doubts import DoubtfulMask, MaskKind
from mrseg_label.reports.documents.base import Moment


class DoubtOut(BaseModel):
    """One thing that speaks against the left and right, head and foot or front and back of a mask."""

    axis: Literal["left/right", "front/back", "head/foot"] | None = Field(description="null for an image")
    structure: str = Field(
        description="the structure that seems to lie in the wrong place; empty: the whole mask, or an image"
    )
    other: str | None = Field(description="the structure that it was compared with")
    text: str = Field(description="the doubt in words")


class DoubtfulMaskOut(BaseModel):
    """A draft or an annotation with the doubts about it."""

    kind: MaskKind
    id: str = Field(description="of the draft, the annotation or the examination (`channel`)")
    examination: str | None = Field(description="the channel that readers open")
    participant: str
    station: str
    author: str = Field(description="model version of a draft, reader of an annotation, empty for an image")
    created: Moment
    doubts: list[DoubtOut]

    @classmethod
    def of(cls, mask: DoubtfulMask) -> DoubtfulMaskOut:
        """Fill the document from the catalogue's value, with participant loaded."""
        return cls(
            kind=mask.kind,
            id=mask.id,
            examination=mask.case.primary_examination_id,
            participant=mask.case.participant.code,
            station=mask.case.station,
            author=mask.author,
            created=mask.created_at,
            doubts=[DoubtOut(**doubt) for doubt in mask.doubts],
        )
