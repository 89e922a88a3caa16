"""Examinations and their annotations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel, Field

from mrseg_label.catalog.tables import Annotation, Examination, Review
from mrseg_label.catalog.types import AnnotationState, Role, StructureState, finite
from mrseg_label.reports.documents.annotations import ReviewOut
from mrseg_label.reports.documents.base import JsonObject, Moment


class ExaminationOut(BaseModel):
    """One stored image."""

    id: str
    participant: str
    station: str
    sequence: str
    acquisition: str = Field(description="examinations with the same share pre-segmentation and annotation")
    group: str = Field(deprecated="use acquisition", description="the same as acquisition")
    primary: bool = Field(description="whether it is the channel of its acquisition that readers open")
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    affine: list[list[float]] = Field(description="voxel index to RAS mm")
    axcodes: str
    source: str | None = Field(description="where it came from; null unless an admin asks")
    digest: str = Field(description="SHA-256 of the stored image")
    warnings: list[str]
    held_out: bool | None = Field(
        description="whether models are tested, not trained, on its participant; null: undecided"
    )
    annotated: Moment | None = Field(description="first accepted annotation")
    assigned_until: Moment | None = Field(description="end of the assignment of the reader who has it now")
    handed_out_until: Moment | None = Field(deprecated="use assigned_until", description="the same as assigned_until")
    excluded: str | None = Field(description="reason, where it is excluded")
    created: Moment

    def for_role(self, role: Role | None) -> ExaminationOut:
        """What that role may see: paths of the server and names of a reader's files are for admins."""
        return self if role in (None, Role.ADMIN) else self.model_copy(update={"source": None})

    @classmethod
    def of(cls, row: Examination, assigned_until: datetime | None) -> ExaminationOut:
        """From its row, with acquisition and participant loaded."""
        acquisition = row.acquisition
        return cls(
            id=row.id,
            participant=acquisition.participant.code,
            station=acquisition.station,
            sequence=row.sequence,
            acquisition=acquisition.id,
            group=acquisition.id,
            primary=acquisition.primary_examination_id == row.id,
            shape=row.geometry["shape"],
            spacing_mm=row.geometry["spacing_mm"],
            affine=row.geometry["affine"],
            axcodes=row.geometry["axcodes"],
            source=row.source,
            digest=row.digest,
            warnings=[str(warning) for warning in row.warnings],
            held_out=acquisition.participant.held_out,
            annotated=acquisition.annotated_at,
            assigned_until=assigned_until,
            handed_out_until=assigned_until,
            excluded=(acquisition.excluded_reason or "no reason given") if acquisition.excluded_at else None,
            created=row.created_at,
        )


class StructureOut(BaseModel):
    """What an annotation says about one structure."""

    structure: str
    state: StructureState
    voxels: int
    edited_voxels: int | None
    dsc: float | None = Field(description="of pre-segmentation and annotation")


class AnnotationOut(BaseModel):
    """A mask that a reader submitted."""

    id: str
    number: int
    state: AnnotationState
    author: str
    client: str
    created: Moment
    examination: str = Field(description="the channel that it was drawn on")
    propagated: bool = Field(description="drawn on another channel of the acquisition than the requested one")
    is_final: bool = Field(
        description="counts as the mask where it is the newest accepted one; false: a further reading"
    )
    model_version: str | None = Field(description="model whose pre-segmentation the reader began from")
    presegmentation: str | None
    seconds: float | None = Field(description="from assignment to submission")
    effort: JsonObject | None = Field(description="edited voxels and DSC against the pre-segmentation")
    structures: list[StructureOut]
    report: JsonObject = Field(description="what was noticed while reading it; the annotation that it started from")
    digest: str
    reviews: list[ReviewOut] = Field(description="decisions about it, oldest first")

    @classmethod
    def of(cls, row: Annotation, requested: str | None, reviews: Sequence[Review] = ()) -> AnnotationOut:
        """From its rows; ``asked_for`` is the examination in the request, if there is one."""
        structures = [
            StructureOut(
                structure=entry.structure,
                state=entry.state,
                voxels=entry.voxels,
                edited_voxels=entry.edited_voxels,
                dsc=finite(entry.dsc),
            )
            for entry in sorted(row.structures, key=lambda entry: entry.structure)
        ]
        return cls(
            id=row.id,
            number=row.number,
            state=row.state,
            author=row.author,
            client=row.client,
            created=row.created_at,
            examination=row.examination_id,
            propagated=requested is not None and row.examination_id != requested,
            is_final=row.is_final,
            model_version=row.model_version,
            presegmentation=row.presegmentation_id,
            seconds=row.seconds,
            effort=row.effort,
            structures=structures,
            report=row.report or {},
            digest=row.digest,
            reviews=[ReviewOut.of(review) for review in reviews],
        )
