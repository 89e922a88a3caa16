"""A reader's own work, on one page."""

from __future__ import annotations

from pydantic import BaseModel, Field

from mrseg_label.reports.documents.agreement import OwnAgreementOut
from mrseg_label.reports.documents.annotations import AnnotationOut
from mrseg_label.reports.documents.base import Moment, Page
from mrseg_label.reports.documents.worklist import ReservationOut


class OpenCaseOut(ReservationOut):
    """A case that the reader has."""

    opened: bool = Field(
        description="whether 3D Slicer has fetched it; otherwise it comes with the next request for a case"
    )
    comment: str = Field(
        description="why a reviewer rejected the mask that the reader starts from; empty where none did"
    )


class SentBackOut(BaseModel):
    """A rejected annotation of the reader's, which comes with a next request for a case."""

    annotation: str
    examination: str | None
    participant: str
    station: str
    reviewer: str
    comment: str
    rejected: Moment


class MineOut(BaseModel):
    """A reader's own work: what is open, what came back, and what is finished."""

    reader: str
    open: list[OpenCaseOut] = Field(description="oldest first")
    sent_back: list[SentBackOut] = Field(description="the oldest rejection first")
    finished: Page[AnnotationOut]
    agreement: OwnAgreementOut | None = Field(description="with other readers; null where none was measured")
