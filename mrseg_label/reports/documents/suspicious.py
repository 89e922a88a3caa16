"""Masks that somebody should look at."""

from __future__ import annotations

from pydantic import BaseModel, Field

from mrseg_label.catalog.queries.doubts import DoubtfulMask, MaskKind
from mrseg_label.catalog.queries.suspicions import Found, SuspicionKind
from mrseg_label.reports.documents.base import Moment


class ReasonOut(BaseModel):
    """Why somebody should look at a mask."""

    kind: SuspicionKind
    structure: str = Field(description="empty: the whole mask")
    text: str = Field(description="the reason in words, with what it was compared with")


class SuspiciousMaskOut(BaseModel):
    """An annotation, or a draft that the audit doubts, that somebody should look at."""

    mask: MaskKind
    id: str = Field(description="of the annotation or the draft")
    examination: str | None = Field(description="the channel that readers open")
    participant: str
    station: str
    author: str = Field(description="reader of an annotation, model version of a draft")
    created: Moment
    reasons: list[ReasonOut]

    @classmethod
    def of_annotation(cls, found: Found) -> SuspiciousMaskOut:
        """Fill the document from the catalogue's value, with participant loaded."""
        return cls(
            mask=MaskKind.ANNOTATION,
            id=found.annotation.id,
            examination=found.case.primary_examination_id,
            participant=found.case.participant.code,
            station=found.case.station,
            author=found.annotation.author,
            created=found.annotation.created_at,
            reasons=[ReasonOut(**reason) for reason in found.reasons],
        )

    @classmethod
    def of_draft(cls, found: DoubtfulMask) -> SuspiciousMaskOut:
        """Fill the document from a draft that the audit doubts, with participant loaded."""
        return cls(
            mask=MaskKind.DRAFT,
            id=found.id,
            examination=found.case.primary_examination_id,
            participant=found.case.participant.code,
            station=found.case.station,
            author=found.author,
            created=found.created_at,
            reasons=[
                ReasonOut(kind=SuspicionKind.DOUBT, structure=doubt["structure"], text=doubt["text"])
                for doubt in found.doubts
            ],
        )
