"""State of a workspace, and whether the server is up."""

from __future__ import annotations

from pydantic import BaseModel, Field

from mrseg_label.catalog.types import JobKind
from mrseg_label.reports.documents.base import JsonObject, Moment
from mrseg_label.reports.documents.jobs import WorkerOut
from mrseg_label.reports.documents.learning import ProgressOut
from mrseg_label.reports.documents.models import ModelOut
from mrseg_label.reports.documents.notifications import ChannelOut
from mrseg_label.reports.documents.sources import SourceOut


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


class FailedJobOut(BaseModel):
    """Work that failed, and that is not tried again by itself."""

    job: str
    kind: JobKind
    subject: JsonObject = Field(description="what it worked on, such as an acquisition and a model version")
    reason: str
    finished: Moment | None


class StatusOut(BaseModel):
    """State of a workspace."""

    workspace: str = Field(description="its folder")
    current_model: ModelOut
    sources: list[SourceOut] = Field(
        description="of the drafts, as `GET /api/v1/sources` lists them; empty where none are made, or BOOTSTRAP_SOURCES is malformed"
    )
    progress: ProgressOut
    counts: CountsOut
    workers: list[WorkerOut] = Field(description="by machine: alive, or lost without a word")
    notifications: list[ChannelOut] = Field(description="where notifications are sent, and how that goes")
    masks_refused: list[RefusedMaskOut]
    jobs_failed: list[FailedJobOut] = Field(
        description="the newest drafts and other jobs that failed, with the reasons"
    )
    round_warnings: list[str] = Field(
        description="what an administrator should know of the training of the newest round that is done"
    )
    server_started: Moment | None = Field(description="when the server that was alive last started")
    server_last_alive: Moment | None = Field(description="when a server was last alive, to the minute; null: never")
