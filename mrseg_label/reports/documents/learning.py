"""Progress, the learning curve and the readers' effort."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from mrseg_label.catalog.queries.held_out import HeldOutScore
from mrseg_label.catalog.queries.performance import VersionSums
from mrseg_label.catalog.tables import BOOTSTRAP, ModelVersion
from mrseg_label.catalog.types import ModelStatus, RoundState
from mrseg_label.reports.documents.base import Moment
from mrseg_label.scoring import MEAN_OF_CASES, STRUCTURES_THAT_COUNT


class ProgressOut(BaseModel):
    """How far the workspace is, in cases: all channels of an acquisition count once."""

    model_config = {
        "json_schema_extra": {
            "examples": [
                {
                    "annotated_total": 312, "examinations_drawn": 312, "examinations_propagated": 930, "annotated_since_round": 12, "round_size": 50,
                    "round_counts": "corrections", "auto_round": True, "waiting": 1480,
                    "assigned": 4, "handed_out": 4, "awaiting_review": 3, "annotations_awaiting_review": 3, "excluded": 9,
                    "current_model": "r6", "round": 7, "round_state": "training",
                    "queues": {"drafts": {"queued": 38, "running": 1}, "rounds": {"queued": 0, "running": 1}},
                }
            ]
        }
    }  # fmt: skip
    annotated_total: int
    examinations_drawn: int = Field(description="images that carry a mask which was drawn on them")
    examinations_propagated: int = Field(description="images that carry the mask of another image of their acquisition")
    annotated_since_round: int = Field(
        description="cases annotated since the snapshot of the last round, or images, as `round_counts` says"
    )
    round_size: int = Field(description="how many of these start a round")
    round_counts: Literal["corrections", "examinations"] = Field(
        description="what counts: cases that readers corrected, or all their images that carry a mask"
    )
    auto_round: bool = Field(description="whether a round starts by itself after that many cases")
    waiting: int = Field(description="cases that can be assigned to the next reader")
    assigned: int = Field(description="cases that are assigned to readers now")
    handed_out: int = Field(deprecated="use assigned", description="Deprecated: use `assigned`.")
    awaiting_review: int = Field(description="cases with an annotation that awaits review")
    annotations_awaiting_review: int = Field(description="annotations that await review; a case may have several")
    excluded: int
    current_model: str = Field(description="model version that makes the pre-segmentations")
    round: int | None = Field(description="number of the round that is queued or running")
    round_state: RoundState | None
    queues: dict[str, dict[str, int]] = Field(description="number of queued and running jobs by queue")


class FalsePositivesOut(BaseModel):
    """Voxels of a structure that is not there."""

    cases: int = Field(description="cases in which the model found it")
    ml: float | None = Field(description="volume in these cases together; null where it was not measured")


class ScoreOut(BaseModel):
    """DSC over some cases."""

    cases: int
    mean_dsc: float | None
    dsc: dict[str, float] = Field(description="mean by structure")
    structure_cases: dict[str, int] = Field(description="number of cases that the mean of a structure is over")
    rule: str = Field(MEAN_OF_CASES, description="how the means are taken")


class HeldOutOut(ScoreOut):
    """DSC on held-out cases."""

    false_positives: dict[str, FalsePositivesOut] = Field(
        description="structures that are not there, apart from the means"
    )
    remnants: dict[str, int] = Field(
        description="structures of which the reference has too little to count: number of such cases"
    )

    @classmethod
    def of_score(cls, score: HeldOutScore) -> HeldOutOut:
        """Fill the document from what was measured."""
        return cls(
            cases=score.cases,
            mean_dsc=score.mean_dsc,
            dsc={name: found.dsc for name, found in score.structures.items()},
            structure_cases={name: found.cases for name, found in score.structures.items()},
            false_positives={
                name: FalsePositivesOut(cases=found.cases, ml=found.ml) for name, found in score.false_positives.items()
            },
            remnants=score.remnants,
        )


class LearningPoint(BaseModel):
    """How good one model version is."""

    round: int | None = Field(description="0 for the bootstrap, null for an imported version")
    model_version: str
    status: ModelStatus
    created: Moment
    training_cases: int
    held_out: HeldOutOut = Field(
        description="on all cases of participants that no model was trained on and that it was evaluated on"
    )
    held_out_common: HeldOutOut | None = Field(
        description="on those that all evaluated versions have in common, so that versions can be compared; "
        "null for one that was not evaluated"
    )
    presegmentations: ScoreOut = Field(
        description="its pre-segmentations against the annotations made from them; `cases` are those with a mean"
    )
    drafts: ScoreOut = Field(deprecated="use presegmentations", description="Deprecated: use `presegmentations`.")

    @classmethod
    def of(cls, row: ModelVersion, sums: VersionSums, common: HeldOutScore | None) -> LearningPoint:
        """Fill the document from its row and what was measured of it."""
        presegmentations = ScoreOut(
            cases=sums.presegmentation_dsc_cases,
            mean_dsc=sums.presegmentation_dsc,
            dsc={name: part.dsc for name, part in sums.structures.items() if part.dsc is not None},
            structure_cases={name: part.dsc_cases for name, part in sums.structures.items() if part.dsc_cases},
        )
        return cls(
            round=_round_of(row),
            model_version=row.version,
            status=row.status,
            created=row.created_at,
            training_cases=sums.training_cases,
            held_out=HeldOutOut.of_score(sums.held_out),
            held_out_common=None if common is None else HeldOutOut.of_score(common),
            presegmentations=presegmentations,
            drafts=presegmentations,
        )


class StructureEffortOut(BaseModel):
    """What readers changed in one structure."""

    cases: int
    edited_voxels_per_case: float | None
    mean_dsc: float | None = Field(description="of pre-segmentation and annotation, over `dsc_cases`")
    dsc_cases: int = Field(description=f"cases in which it is one of the {STRUCTURES_THAT_COUNT}")


class EffortPoint(BaseModel):
    """What readers changed in the pre-segmentations of one model version."""

    round: int | None = Field(description="0 for the bootstrap, null for an imported version")
    model_version: str
    cases: int
    unchanged_cases: int = Field(description="cases whose pre-segmentation was submitted without a change")
    edited_voxels_per_case: float | None
    edited_ml_per_case: float | None
    seconds_per_case: float | None = Field(description="from assignment to submission")
    structures: dict[str, StructureEffortOut]

    @classmethod
    def of(cls, row: ModelVersion, sums: VersionSums) -> EffortPoint:
        """Fill the document from its row and what was measured of it."""
        structures = {
            name: StructureEffortOut(
                cases=part.cases,
                edited_voxels_per_case=part.edited_voxels,
                mean_dsc=part.dsc,
                dsc_cases=part.dsc_cases,
            )
            for name, part in sums.structures.items()
        }
        return cls(
            round=_round_of(row),
            model_version=row.version,
            cases=sums.presegmented_cases,
            unchanged_cases=sums.unchanged_cases,
            edited_voxels_per_case=sums.edited_voxels,
            edited_ml_per_case=sums.edited_ml,
            seconds_per_case=sums.seconds,
            structures=structures,
        )


class PerformanceOut(BaseModel):
    """All that was measured of one model version."""

    learning: LearningPoint
    effort: EffortPoint


def _round_of(row: ModelVersion) -> int | None:
    return 0 if row.version == BOOTSTRAP else row.round_number
