"""Model versions."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, Field

from mrseg_label.catalog.queries.held_out import HeldOutScore
from mrseg_label.catalog.tables import ModelVersion
from mrseg_label.catalog.types import ModelStatus
from mrseg_label.registry.scores import held_out_metrics
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
    being_tried: bool = Field(description="whether a worker tries it or is about to")
    metrics: JsonObject = Field(
        description="DSC on held-out cases: `mean_dsc` over `held_out_cases`, taken by `rule`; `dsc` by structure, over `cases`; "
        "apart from these `false_positives` (structures that are not in the reference) and `remnants` (of which it has too little)"
    )
    dataset_digest: str | None = Field(description="SHA-256 of the snapshot that it was trained on")
    weights_digest: str | None = Field(description="SHA-256 over all files of the version")
    licence: str | None = Field(description="of its weights, as their source states it; null for what a round trained")
    licences: list[str] = Field(
        description="in its lineage: of its weights, and of those that its training started from"
    )
    record: JsonObject = Field(
        description="how it was trained: `profile`, `settings`, `seed`, `programs`, `machines`, `seconds` by stage, and "
        "`first_weights` with their `source`; empty for imported versions and those of earlier releases"
    )

    @classmethod
    def of(
        cls,
        row: ModelVersion,
        score: HeldOutScore | None = None,
        licences: Sequence[str] = (),
        being_tried: bool = False,
    ) -> ModelOut:
        """Fill the document from its row, its present score, which replaces that of its round, and its licences."""
        metrics = row.metrics or {}
        if score is not None and score.cases:
            measured = held_out_metrics(score)
            dsc = dict.fromkeys(metrics.get("dsc") or {}) | measured["dsc"]
            metrics = metrics | measured | {"dsc": dsc}
        return cls(
            version=row.version,
            round=row.round_number,
            parent=row.parent,
            created=row.created_at,
            promoted=row.promoted_at,
            status=row.status,
            tried=row.tried_at,
            problem=row.problem,
            being_tried=being_tried,
            metrics=metrics,
            dataset_digest=row.dataset_digest,
            weights_digest=row.weights_digest,
            licence=row.licence,
            licences=list(licences),
            record=row.record or {},
        )


class ModelDetail(ModelOut):
    """A model version with what it expects of its images and what its labels mean."""

    orientation: str | None = Field(
        description="axis codes of the images that it was trained on, to which every image is turned; null where its files do "
        "not say it, and for the bootstrap where its sources differ (`GET /api/v1/sources`)"
    )
    labels_from: str = Field(description="where the meaning of its labels comes from, or why it is not known")
    labels: dict[str, str | None] = Field(
        description="structure that each label of the network means, null for one that is left out; empty where every label is "
        "named as its structure"
    )


class CardOut(BaseModel):
    """The card of the data set that a version was trained on; it names nobody."""

    version: str
    card: JsonObject = Field(
        description="`training` and `held_out` in numbers (participants, stations, sequences, readers, licences ...), and by "
        "structure how its masks came about"
    )
    text: str = Field(description="the same as Markdown")
