"""Progress, the learning curve and the readers' effort."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, Field

from mrseg_label.catalog.queries.performance import VersionSums
from mrseg_label.catalog.tables import BOOTSTRAP, ModelVersion
from mrseg_label.catalog.types import ModelStatus, RoundState
from mrseg_label.reports.documents.base import Moment


class ProgressOut(BaseModel):
    """How far the workspace is, in cases (channels that share a correction count once)."""

    annotated_total: int
    annotated_since_round: int = Field(description="distinct cases annotated since the last snapshot")
    round_size: int = Field(description="newly annotated cases that start a round")
    auto_round: bool
    waiting: int = Field(description="cases that the next reader could be assigned")
    assigned: int = Field(description="cases that readers have now")
    handed_out: int = Field(deprecated="use assigned", description="the same as assigned")
    awaiting_review: int = Field(description="cases with an annotation that awaits review")
    excluded: int
    current_model: str
    round: int | None = Field(description="the round that is queued or runs")
    round_state: RoundState | None
    queues: dict[str, dict[str, int]] = Field(description="queued and running jobs of each queue")


class ScoreOut(BaseModel):
    """DSC over some cases."""

    cases: int
    mean_dsc: float | None
    dsc: dict[str, float] = Field(description="mean per structure")


class LearningPoint(BaseModel):
    """How good one model version is."""

    round: int | None = Field(description="0: the bootstrap; null: imported")
    model_version: str
    status: ModelStatus
    created: Moment
    training_cases: int
    held_out: ScoreOut = Field(description="on cases of participants that no model was trained on")
    presegmentations: ScoreOut = Field(description="its pre-segmentations against what readers made of them")
    drafts: ScoreOut = Field(deprecated="use presegmentations", description="the same as presegmentations")


class StructureEffortOut(BaseModel):
    """One structure's part of the corrections."""

    cases: int
    edited_voxels_per_case: float | None
    mean_dsc: float | None


class EffortPoint(BaseModel):
    """What readers changed in one model version's drafts."""

    round: int | None = Field(description="0: the bootstrap; null: imported")
    model_version: str
    cases: int
    unchanged_cases: int = Field(description="submitted as they were drafted")
    edited_voxels_per_case: float | None
    edited_ml_per_case: float | None
    seconds_per_case: float | None
    structures: dict[str, StructureEffortOut]


def _round_of(row: ModelVersion) -> int | None:
    return 0 if row.version == BOOTSTRAP else row.round_number


def learning_points(rows: Sequence[ModelVersion], sums: Mapping[str, VersionSums]) -> list[LearningPoint]:
    """The learning curve's points in the order of the rows."""
    return [_learning_point(row, sums[row.version]) for row in rows]


def _learning_point(row: ModelVersion, values: VersionSums) -> LearningPoint:
    dsc = {name: part.dsc for name, part in values.structures.items() if part.dsc is not None}
    corrected = ScoreOut(cases=values.drafted_cases, mean_dsc=values.draft_dsc, dsc=dsc)
    return LearningPoint(
        round=_round_of(row),
        model_version=row.version,
        status=row.status,
        created=row.created_at,
        training_cases=values.training_cases,
        held_out=ScoreOut(cases=values.held_out_cases, mean_dsc=values.held_out_dsc, dsc=values.held_out_structures),
        presegmentations=corrected,
        drafts=corrected,
    )


def effort_points(rows: Sequence[ModelVersion], sums: Mapping[str, VersionSums]) -> list[EffortPoint]:
    """What readers changed, in the order of the rows."""
    return [_effort_point(row, sums[row.version]) for row in rows]


def _effort_point(row: ModelVersion, values: VersionSums) -> EffortPoint:
    structures = {
        name: StructureEffortOut(cases=part.cases, edited_voxels_per_case=part.edited_voxels, mean_dsc=part.dsc)
        for name, part in values.structures.items()
    }
    return EffortPoint(
        round=_round_of(row),
        model_version=row.version,
        cases=values.drafted_cases,
        unchanged_cases=values.unchanged_cases,
        edited_voxels_per_case=values.edited_voxels,
        edited_ml_per_case=values.edited_ml,
        seconds_per_case=values.seconds,
        structures=structures,
    )
