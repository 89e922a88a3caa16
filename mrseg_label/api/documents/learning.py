"""Progress, the learning curve and the readers' effort."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, Field

from mrseg_label.api.documents.base import Moment
from mrseg_label.catalog.queries.performance import VersionSums
from mrseg_label.catalog.tables import BOOTSTRAP, ModelVersion
from mrseg_label.catalog.types import ModelStatus, RoundState


class ProgressOut(BaseModel):
    """How far the workspace is, in cases (channels that share a correction count once)."""

    annotated_total: int
    annotated_since_round: int = Field(description="distinct cases annotated since the last snapshot")
    round_size: int = Field(description="newly annotated cases that start a round")
    auto_round: bool
    waiting: int
    handed_out: int
    excluded: int
    current_model: str
    round: int | None = Field(description="the round that waits or runs")
    round_state: RoundState | None
    queues: dict[str, dict[str, int]] = Field(description="jobs of each queue that wait and run")


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
    drafts: ScoreOut = Field(description="its drafts against what readers made of them")


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
    return LearningPoint(
        round=_round_of(row),
        model_version=row.version,
        status=row.status,
        created=row.created_at,
        training_cases=values.training_cases,
        held_out=ScoreOut(cases=values.held_out_cases, mean_dsc=values.held_out_dsc, dsc=values.held_out_structures),
        drafts=ScoreOut(cases=values.drafted_cases, mean_dsc=values.draft_dsc, dsc=dsc),
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
