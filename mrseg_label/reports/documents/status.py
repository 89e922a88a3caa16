"""The state of a workspace in one document."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, Field

from mrseg_label.reports.documents.learning import ProgressOut
from mrseg_label.reports.documents.models import ModelOut


class RowCountsOut(BaseModel):
    """How many rows of each kind the catalogue holds."""

    participants: int
    acquisitions: int
    examinations: int
    annotations: int
    revisions: int = Field(deprecated="use annotations", description="the same as annotations")

    @classmethod
    def of(cls, counts: Mapping[str, int]) -> RowCountsOut:
        """Build it from the counts by name."""
        return cls(**counts, revisions=counts["annotations"])


class RefusedMaskOut(BaseModel):
    """An imported mask that could not become an annotation."""

    examination: str
    reason: str


class StatusOut(BaseModel):
    """What ``mrseg-label status`` shows."""

    workspace: str = Field(description="folder of the workspace")
    current_model: ModelOut
    progress: ProgressOut
    counts: RowCountsOut
    masks_refused: list[RefusedMaskOut]
