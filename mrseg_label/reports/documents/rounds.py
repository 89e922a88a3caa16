"""Retraining rounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field

from mrseg_label.catalog.tables import Round
from mrseg_label.catalog.types import CaseRole, RoundState
from mrseg_label.reports.documents.base import Moment
from mrseg_label.reports.documents.round_values import ProgressValues, ResultValues
from mrseg_label.rounds.left_out import LEFT_OUT_KEY


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
    final: bool = Field(description="whether all folds of the profile are trained")
    parent: str | None = Field(description="model version that it starts from")
    model_version: str | None = Field(description="model version that it registered")
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


class RoundDetail(RoundOut):
    """A retraining round with the cases of its snapshot."""

    cases: list[CaseOut]

    @classmethod
    def of_detail(cls, row: Round, counts: Mapping[CaseRole, int], version: str | None) -> RoundDetail:
        """Fill the document from its row, within the row's session: its cases are read."""
        cases = [
            CaseOut(
                acquisition=case.acquisition_id,
                examination=case.annotation.examination_id,
                annotation=case.annotation_id,
                revision=case.annotation_id,
                number=case.annotation.number,
                role=case.role,
            )
            for case in row.cases
        ]
        return cls(**_round_fields(row, counts, version), cases=cases)


def _round_fields(row: Round, counts: Mapping[CaseRole, int], version: str | None) -> dict[str, Any]:
    return {
        "number": row.number,
        "state": row.state,
        "profile": row.profile,
        "final": row.final,
        "parent": row.parent,
        "model_version": version,
        "attempt": row.attempt,
        "progress": row.progress or {},
        "snapshot": SnapshotOut(
            digest=row.snapshot_digest,
            training=counts.get(CaseRole.TRAINING, 0),
            held_out=counts.get(CaseRole.HELD_OUT, 0),
        ),
        "left_out": [LeftOutOut(**entry) for entry in (row.result or {}).get(LEFT_OUT_KEY, [])],
        "result": {key: value for key, value in (row.result or {}).items() if key != LEFT_OUT_KEY},
        "error": row.error,
        "created": row.created_at,
        "started": row.started_at,
        "finished": row.finished_at,
    }
