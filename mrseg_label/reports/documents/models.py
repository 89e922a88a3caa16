"""Model versions."""

from __future__ import annotations

from pydantic import BaseModel, Field

from mrseg_label.catalog.tables import ModelVersion
from mrseg_label.catalog.types import ModelStatus
from mrseg_label.registry.compare import Comparison
from mrseg_label.reports.documents.base import JsonObject, Moment


class ModelOut(BaseModel):
    """A model version; ``bootstrap``, which is TotalSegmentator, has no files of its own."""

    version: str
    round: int | None = Field(description="round that trained it; null for the bootstrap and imported versions")
    parent: str | None = Field(description="version that its training started from")
    created: Moment
    promoted: Moment | None
    status: ModelStatus
    tried: Moment | None = Field(description="when it was shown that it works here; before that it cannot be promoted")
    problem: str | None = Field(description="why it does not work here")
    metrics: JsonObject = Field(description="what its round measured, such as DSC by structure")
    dataset_digest: str | None = Field(description="SHA-256 of the snapshot that it was trained on")
    weights_digest: str | None = Field(description="SHA-256 over all files of the version")

    @classmethod
    def of(cls, row: ModelVersion) -> ModelOut:
        """Fill the document from its row."""
        return cls(
            version=row.version,
            round=row.round_number,
            parent=row.parent,
            created=row.created_at,
            promoted=row.promoted_at,
            status=row.status,
            tried=row.tried_at,
            problem=row.problem,
            metrics=row.metrics or {},
            dataset_digest=row.dataset_digest,
            weights_digest=row.weights_digest,
        )


class ComparisonOut(BaseModel):
    """Two model versions compared on the held-out cases that both were evaluated on."""

    versions: tuple[str, str]
    cases: int
    mean_dsc: tuple[float | None, float | None]
    structures: dict[str, tuple[float, float]] = Field(description="mean DSC of the two versions by structure")

    @classmethod
    def of(cls, found: Comparison) -> ComparisonOut:
        """Fill the document from a comparison."""
        return cls(versions=found.versions, cases=found.cases, mean_dsc=found.mean_dsc, structures=found.structures)
