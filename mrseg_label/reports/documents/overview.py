"""Where a study stands, on one page."""

from __future__ import annotations

from pydantic import BaseModel, Field

from mrseg_label.catalog.types import AttentionKind
from mrseg_label.reports.documents.jobs import JobOut, WorkerOut
from mrseg_label.reports.documents.learning import PerformanceOut, ProgressOut
from mrseg_label.reports.documents.models import ModelOut
from mrseg_label.reports.documents.rounds import RoundOut
from mrseg_label.reports.documents.worklist import ReservationOut


class CoverageOut(BaseModel):
    """Cases of one station whose readers open one sequence; without those that are excluded."""

    station: str
    sequence: str = Field(description="of the channel that readers open")
    cases: int
    annotated: int = Field(description="cases with an accepted annotation")


class ParticipantsOut(BaseModel):
    """Participants with a case that is not excluded."""

    total: int
    annotated: int = Field(description="those with an annotated case")


class AttentionOut(BaseModel):
    """Something that an administrator should look at."""

    kind: AttentionKind
    message: str
    round: int | None = Field(None, description="number of the round that it is about")


class OverviewOut(BaseModel):
    """Where a study stands."""

    progress: ProgressOut
    participants: ParticipantsOut
    coverage: list[CoverageOut] = Field(description="by station and sequence")
    assignments: list[ReservationOut] = Field(description="open ones, newest first; at most 50")
    assignments_open: int
    running: list[JobOut] = Field(description="what workers are doing now; at most 50")
    workers: list[WorkerOut] = Field(description="by machine: alive, or lost without a word")
    current_model: ModelOut
    newest_round: RoundOut | None
    performance: list[PerformanceOut] = Field(description="of the newest model versions, newest first")
    attention: list[AttentionOut]
