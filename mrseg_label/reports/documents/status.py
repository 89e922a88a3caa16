"""State of a workspace, and whether the server is up."""

from __future__ import annotations

from pydantic import BaseModel, Field

from mrseg_label.reports.documents.learning import ProgressOut
from mrseg_label.reports.documents.models import ModelOut


class Health(BaseModel):
    """The server answers."""

    status: str = "ok"


class CountsOut(BaseModel):
    """What the catalogue holds."""

    participants: int
    acquisitions: int
    examinations: int
    annotations: int
    revisions: int = Field(deprecated="use annotations", description="Deprecated: use `annotations`.")


class RefusedMaskOut(BaseModel):
    """A mask that came with an import and was not accepted as an annotation."""

    examination: str
    reason: str


class StatusOut(BaseModel):
    """State of a workspace."""

    workspace: str = Field(description="its folder")
    current_model: ModelOut
    progress: ProgressOut
    counts: CountsOut
    masks_refused: list[RefusedMaskOut]
