"""Retraining rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

from mrseg_label.catalog.queries.rounds import SnapshotCase
from mrseg_label.catalog.tables import Round, RoundFold
from mrseg_label.catalog.types import CaseRole, FoldState, RoundState
from mrseg_label.jobs.round_jobs import PREPARATION_KEY, SHOWN_OF_FOLD
from mrseg_label.reports.documents.base import JsonObject, Moment
from mrseg_label.reports.documents.round_values import FoldProgressValues, ProgressValues, ResultValues
from mrseg_label.rounds.left_out import LEFT_OUT_KEY

_INTERNAL = (LEFT_OUT_KEY, PREPARATION_KEY)  # of a result: shown elsewhere, or for the program alone


class SnapshotOut(BaseModel):
    """Size of a round's snapshot."""

    digest: str | None = Field(description="SHA-256 of the snapshot; null until it is taken")
    training: int = Field(description="cases that the round trains on")
    held_out: int = Field(description="cases of held-out participants, for evaluation alone")


class CaseOut(BaseModel):
    """A case of a snapshot."""

    acquisition: str
    examination: str
    annotation: str
    revision: str = Field(deprecated="use annotation", description="Deprecated: use `annotation`.")
    number: int = Field(description="revision number of the annotation")
    role: CaseRole

    @classmethod
    def of(cls, case: SnapshotCase) -> CaseOut:
        """Fill the document from what is stored."""
        return cls(
            acquisition=case.acquisition_id,
            examination=case.examination_id,
            annotation=case.annotation_id,
            revision=case.annotation_id,
            number=case.number,
            role=case.role,
        )


class LeftOutOut(BaseModel):
    """A case of a snapshot that could not be used."""

    examination: str
    acquisition: str | None
    role: CaseRole
    reason: str


class RoundOut(BaseModel):
    """A retraining round."""

    number: int
    state: RoundState
    profile: str = Field(description="training profile")
    final: bool = Field(description="whether it trains the ensemble that a project ends with")
    include_held_out: bool = Field(description="whether held-out participants train too")
    pretrain: bool = Field(description="whether it learns from drafts that nobody corrected, instead of annotations")
    parent: str | None = Field(description="model version that it starts from")
    model_version: str | None = Field(description="model version that it registered")
    training: JsonObject = Field(
        description="how it trains, fixed at its start: `kind` (`first`, `continued` or `final`), `epochs`, "
        "`iterations_per_epoch`, `peak_learning_rate`, `target_spacing_mm` (null: by nnU-Net's planner), `folds` and `seed`, "
        "and where they are set `mirror_left_right`, `inversion`, `gamma` and `small_structure_exponent`; empty of rounds of "
        "version 0.1"
    )
    attempt: int
    progress: ProgressValues = Field(description="stage, fold, epoch; empty before the round begins")
    snapshot: SnapshotOut
    left_out: list[LeftOutOut] = Field(description="cases of the snapshot that could not be used, with the reasons")
    result: ResultValues = Field(description="model version, whether it was promoted and why; empty at first")
    error: str | None
    created: Moment
    started: Moment | None
    finished: Moment | None

    @classmethod
    def of(cls, row: Round, counts: Mapping[CaseRole, int], version: str | None) -> RoundOut:
        """Fill the document from its row, the sizes of its snapshot and the version that it registered."""
        return cls(**_round_fields(row, counts, version))


class FoldOut(BaseModel):
    """A fold of a round."""

    fold: int = Field(description="number of the split")
    state: FoldState
    progress: FoldProgressValues = Field(
        description="epoch, loss, pseudo-Dice, learning rate, seconds left; empty at first"
    )
    result: JsonObject = Field(
        description="of one of several folds, `mean_dsc` on the `unseen_cases` that it was not trained on; empty until it ended"
    )
    error: str | None = Field(description="why the last attempt ended")
    started: Moment | None
    finished: Moment | None

    @classmethod
    def of(cls, row: RoundFold) -> FoldOut:
        """Fill the document from its row."""
        return cls(**_fold_fields(row))


class CurvePoint(BaseModel):
    """An epoch of a training; null where a value is no number."""

    epoch: int = Field(description="number of the epoch, from 1")
    train_loss: float | None
    validation_loss: float | None
    pseudo_dice: float | None = Field(description="mean DSC over structures of the epoch's validation patches")
    pseudo_dice_average: float | None = Field(description="nnU-Net's moving average of it")
    learning_rate: float | None
    seconds: float | None = Field(description="time that the epoch took")


class FoldDetail(FoldOut):
    """A fold of a round with its curve."""

    curve: list[CurvePoint] = Field(description="epochs, the first one first; of more than 2,000 only every n-th")

    @classmethod
    def of_detail(cls, row: RoundFold) -> FoldDetail:
        """Fill the document from its row, within the row's session: its curve is read."""
        return cls(**_fold_fields(row), curve=row.curve or [])


class RoundDetail(RoundOut):
    """A retraining round with its folds and the cases of its snapshot."""

    folds: list[FoldOut] = Field(description="folds whose training began or waits, by number")
    cases: list[CaseOut] = Field(
        description="of a large snapshot the first ones; the whole is at `/rounds/{number}/cases`, in pages"
    )

    @classmethod
    def of_detail(
        cls,
        row: Round,
        counts: Mapping[CaseRole, int],
        version: str | None,
        folds: Sequence[RoundFold],
        cases: Sequence[SnapshotCase],
    ) -> RoundDetail:
        """Fill the document from its row, its folds and the first cases of its snapshot."""
        return cls(
            **_round_fields(row, counts, version),
            folds=[FoldOut.of(fold) for fold in folds],
            cases=[CaseOut.of(case) for case in cases],
        )


def _fold_fields(row: RoundFold) -> dict[str, Any]:
    return {
        "fold": row.fold,
        "state": row.state,
        "progress": row.progress or {},
        "result": {key: value for key, value in (row.result or {}).items() if key in SHOWN_OF_FOLD},
        "error": row.error,
        "started": row.started_at,
        "finished": row.finished_at,
    }


def _round_fields(row: Round, counts: Mapping[CaseRole, int], version: str | None) -> dict[str, Any]:
    return {
        "number": row.number,
        "state": row.state,
        "profile": row.profile,
        "final": row.final,
        "include_held_out": row.include_held_out,
        "pretrain": row.pretrain,
        "parent": row.parent,
        "model_version": version,
        "training": row.training or {},
        "attempt": row.attempt,
        "progress": row.progress or {},
        "snapshot": SnapshotOut(
            digest=row.snapshot_digest,
            training=counts.get(CaseRole.TRAINING, 0),
            held_out=counts.get(CaseRole.HELD_OUT, 0),
        ),
        "left_out": [LeftOutOut(**entry) for entry in (row.result or {}).get(LEFT_OUT_KEY, [])],
        "result": {key: value for key, value in (row.result or {}).items() if key not in _INTERNAL},
        "error": row.error,
        "created": row.created_at,
        "started": row.started_at,
        "finished": row.finished_at,
    }
