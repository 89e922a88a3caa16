"""Annotations, their reviews, two of them compared, and assignments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, Field

from mrseg_label.annotation.readings import Agreement
from mrseg_label.catalog.tables import Annotation, Review
from mrseg_label.catalog.types import AnnotationState, StructureState, Verdict, finite
from mrseg_label.reports.documents.base import JsonObject, Moment
from mrseg_label.scoring import MIN_REFERENCE_VOXELS
from mrseg_label.worklist.assignments import AssignedCase


class ReviewOut(BaseModel):
    """A decision about an annotation."""

    reviewer: str
    verdict: Verdict
    comment: str
    created: Moment

    @classmethod
    def of(cls, row: Review) -> ReviewOut:
        """Fill the document from its row."""
        return cls(reviewer=row.reviewer, verdict=row.verdict, comment=row.comment, created=row.created_at)


class StructureOut(BaseModel):
    """One structure in an annotation."""

    structure: str
    state: StructureState
    voxels: int
    edited_voxels: int | None
    edits: int | None = Field(description="connected sets of voxels that it lost or gained")
    surface_changed: float | None = Field(
        description="share (0 to 1) of both surfaces that is farther from the other than the tolerance"
    )
    dsc: float | None = Field(description="of pre-segmentation and annotation")


class AnnotationOut(BaseModel):
    """A mask that a reader submitted."""

    id: str
    number: int = Field(description="revision number among the annotations of its acquisition")
    state: AnnotationState
    author: str
    client: str = Field(description="name that the client program gave itself")
    created: Moment
    examination: str = Field(description="the channel that it was drawn on")
    propagated: bool = Field(
        description="whether it was drawn on another channel of the acquisition than the requested examination"
    )
    is_final: bool = Field(
        description="false for a second reading; of the others the newest accepted one is the mask of the acquisition"
    )
    version: int | None = Field(
        description="the N of version_N, where a reviewer saved it in Slicer beside the annotation under review; it counts only once it is accepted"
    )
    model_version: str | None = Field(description="model version whose pre-segmentation the reader started from")
    presegmentation: str | None
    assignment: str | None = Field(description="the assignment under which it was submitted")
    seconds: float | None = Field(description="from assignment to submission")
    effort: JsonObject | None = Field(description="edited voxels and DSC against the pre-segmentation")
    structures: list[StructureOut]
    report: JsonObject = Field(
        description="notes from decoding the submission; for a corrected or restored annotation, the id of the earlier one"
    )
    digest: str = Field(description="SHA-256 of the mask")
    reviews: list[ReviewOut] = Field(description="decisions about it, oldest first")

    @classmethod
    def of(cls, row: Annotation, requested: str | None, reviews: Sequence[Review] = ()) -> AnnotationOut:
        """Fill the document from its rows.

        Parameters
        ----------
        requested : the examination whose annotations were requested, if any.
        """
        structures = [
            StructureOut(
                structure=entry.structure,
                state=entry.state,
                voxels=entry.voxels,
                edited_voxels=entry.edited_voxels,
                edits=entry.edits,
                surface_changed=entry.surface_changed,
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
            version=row.version,
            model_version=row.model_version,
            presegmentation=row.presegmentation_id,
            assignment=row.assignment_id,
            seconds=row.seconds,
            effort=row.effort,
            structures=structures,
            report=row.report or {},
            digest=row.digest,
            reviews=[ReviewOut.of(review) for review in reviews],
        )


class AssignmentOut(BaseModel):
    """A case that is reserved for a reader and comes with their next request for a case."""

    examination: str
    ticket: str = Field(description="stands for the examination, for this reader, until the assignment ends")
    name: str = Field(description="file name of the image")
    checksum: str
    until: Moment = Field(description="end of the assignment")
    annotation: str | None = Field(description="the mask that the reader starts from instead of a pre-segmentation")
    revision: str | None = Field(deprecated="use annotation", description="Deprecated: use `annotation`.")
    comment: str = Field(description="why a reviewer sent that mask back")
    reason: str = Field(description="why the reader gets this case")

    @classmethod
    def of(cls, case: AssignedCase) -> AssignmentOut:
        """Fill the document from the worklist's value."""
        return cls(
            examination=case.examination_id,
            ticket=case.ticket,
            name=case.file_name,
            checksum=f"SHA256:{case.digest}",
            until=case.expires_at,
            annotation=case.annotation_id,
            revision=case.annotation_id,
            comment=case.comment,
            reason=case.reason,
        )


class AgreementOut(BaseModel):
    """How well two readings agree on one structure."""

    dsc: float | None = Field(description="null where it is absent in both")
    hd95_mm: float | None = Field(description="null where it is absent in one of the two, or in both")
    hd95_infinite: bool = Field(description="whether it is in only one of the two, which have no distance then")
    nsd: float | None = Field(
        description="normalised surface Dice at the tolerance of the label scheme; null where it is absent in both"
    )


class ReadingsOut(BaseModel):
    """Two readings of one case compared, structure by structure, where both readers annotated it or marked it absent."""

    first: str
    second: str
    mean_dsc: float | None = Field(
        description=f"over `mean_structures`, those of which a reader drew at least {MIN_REFERENCE_VOXELS} voxels"
    )
    mean_structures: int
    structures: dict[str, AgreementOut]

    @classmethod
    def of(cls, first: str, second: str, found: Mapping[str, Agreement]) -> ReadingsOut:
        """Fill the document from the comparison."""
        structures = {
            name: AgreementOut(
                dsc=finite(item.dsc),
                hd95_mm=finite(item.hd95_mm),
                hd95_infinite=item.hd95_infinite,
                nsd=finite(item.nsd),
            )
            for name, item in found.items()
        }
        values = [item.dsc for item in found.values() if item.dsc is not None and item.counts]
        mean = sum(values) / len(values) if values else None
        return cls(first=first, second=second, mean_dsc=mean, mean_structures=len(values), structures=structures)
