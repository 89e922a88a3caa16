"""Model versions."""

from __future__ import annotations

from pydantic import BaseModel, Field

from mrseg_label.catalog.tables import ModelVersion
from mrseg_label.catalog.types import ModelStatus
from mrseg_label.registry.compare import Comparison
from mrseg_label.reports.documents.base import JsonObject, Moment


class ModelOut(BaseModel):
    """A model version. ``bootstrap`` stands for TotalSegmentator and has no files of its own."""

    version: str
    round: int | None = Field(description="round that trained it")
    parent: str | None = Field(description="version it started from")
    created: Moment
    promoted: Moment | None
    status: ModelStatus
    metrics: JsonObject = Field(description="what its round measured, DSC per structure among it")
    dataset_digest: str | None = Field(description="SHA-256 of the data-set snapshot")
    weights_digest: str | None = Field(description="SHA-256 over all files of the version")

    @classmethod
    def of(cls, row: ModelVersion) -> ModelOut:
        """From its row."""
        return cls(
            version=row.version,
            round=row.round_number,
            parent=row.parent,
            created=row.created_at,
            promoted=row.promoted_at,
            status=row.status,
            metrics=row.metrics or {},
            dataset_digest=row.dataset_digest,
            weights_digest=row.weights_digest,
        )


class ComparisonOut(BaseModel):
    """Two versions on the held-out cases that both were evaluated on."""

    versions: tuple[str, str]
    cases: int
    mean_dsc: tuple[float | None, float | None]
    structures: dict[str, tuple[float, float]]

    @classmethod
    def of(cls, found: Comparison) -> ComparisonOut:
        """From a comparison."""
        return cls(versions=found.versions, cases=found.cases, mean_dsc=found.mean_dsc, structures=found.structures)
