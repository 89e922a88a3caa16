"""Masks that somebody should look at."""

from __future__ import annotations

from pydantic import BaseModel, Field

from mrseg_label.catalog.queries.doubts import MaskKind
from mrseg_label.catalog.queries.suspicions import Found, SuspicionKind
from mrseg_label.reports.documents.base import Moment


class ReasonOut(BaseModel):
    """Why somebody should look at a mask."""

    kind: SuspicionKind
    structure: str = Field(description="empty: the whole mask")
    text: str = Field(description="the reason in words, with what it was compared with")
    score: float = Field(0.5, description="how much it says that something is wrong, from 0 to 1")


class DismissalOut(BaseModel):
    """That somebody looked at a suspicious mask and found it in order."""

    by: str
    reason: str
    at: Moment


class SuspiciousMaskOut(BaseModel):
    """An annotation or a draft that somebody should look at."""

    mask: MaskKind
    id: str = Field(description="of the annotation or the draft")
    examination: str | None = Field(description="the channel that readers open")
    participant: str
    station: str
    author: str = Field(description="reader of an annotation, model version of a draft")
    created: Moment
    score: float = Field(
        description="how suspicious it is by all reasons together, from 0 to 1; the list is ranked by it"
    )
    reasons: list[ReasonOut] = Field(description="the one with the highest score first")

    dismissed: DismissalOut | None = Field(
        description="null unless it was dismissed; a new reason or a new mask ends that"
    )

    @classmethod
    def of(cls, found: Found) -> SuspiciousMaskOut:
        """Fill the document from the catalogue's value, with participant loaded."""
        row = found.dismissal
        return cls(
            mask=found.kind,
            id=found.id,
            examination=found.case.primary_examination_id,
            participant=found.case.participant.code,
            station=found.case.station,
            author=found.author,
            created=found.created_at,
            score=found.score,
            reasons=[ReasonOut(**reason) for reason in found.reasons],
            dismissed=None
            if row is None
            else DismissalOut(by=row.dismissed_by, reason=row.comment, at=row.dismissed_at),
        )
