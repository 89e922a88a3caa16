"""The stations of one session of a participant."""

from __future__ import annotations

from pydantic import BaseModel, Field

from mrseg_label.catalog.types import AnnotationState, CaseState


class StationOut(BaseModel):
    """A station as it is shown beside the others of its participant."""

    number: int = Field(description="from 1 at the head; acquisitions of one station share it")
    station: str
    examination: str = Field(description="that readers open; of an acquisition without one the first")
    sequences: list[str]
    requested: bool = Field(description="whether it is the case of the requested examination")
    state: CaseState
    reader: str | None = Field(
        description="who has the case now, else who submitted its mask; null where that is nobody, or not for this account"
    )
    annotation_state: AnnotationState | None = Field(
        description="of its mask, or of the newest annotation that awaits review"
    )
    top_mm: float = Field(description="height of its field of view, RAS: upper end")
    bottom_mm: float = Field(description="lower end")
    overlap_mm: float | None = Field(
        description="what it shares from head to foot with the station listed after it; negative: a gap; null for the last"
    )
    may_open: bool = Field(description="whether this account may open its image")
