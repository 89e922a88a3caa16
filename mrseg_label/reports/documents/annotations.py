"""Reviews, comparisons of two readings, assigned cases."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, Field

from mrseg_label.annotation.readings import Agreement
from mrseg_label.catalog.tables import Review
from mrseg_label.catalog.types import Verdict, finite
from mrseg_label.reports.documents.base import Moment
from mrseg_label.worklist.assignments import AssignedCase


class ReviewOut(BaseModel):
    """A decision about an annotation."""

    reviewer: str
    verdict: Verdict
    comment: str
    created: Moment

    @classmethod
    def of(cls, row: Review) -> ReviewOut:
        """From its row."""
        return cls(reviewer=row.reviewer, verdict=row.verdict, comment=row.comment, created=row.created_at)


class AssignmentOut(BaseModel):
    """A case reserved for a reader, who gets it with the next request for a case."""

    examination: str
    ticket: str = Field(description="stands for the examination, for this reader and until the assignment ends")
    name: str = Field(description="file name of the image")
    checksum: str
    until: Moment = Field(description="end of the assignment")
    annotation: str | None = Field(description="mask that infer sends instead of a pre-segmentation")
    revision: str | None = Field(deprecated="use annotation", description="the same as annotation")
    comment: str = Field(description="why that mask was sent back")

    @classmethod
    def of(cls, case: AssignedCase) -> AssignmentOut:
        """From what the worklist says."""
        return cls(
            examination=case.examination_id,
            ticket=case.ticket,
            name=case.file_name,
            checksum=f"SHA256:{case.digest}",
            until=case.expires_at,
            annotation=case.annotation_id,
            revision=case.annotation_id,
            comment=case.comment,
        )


class AgreementOut(BaseModel):
    """How alike two readings are of one structure."""

    dsc: float | None = Field(description="null where both say that it is absent")
    hd95_mm: float | None = Field(description="null where it is absent in one of the two")


class ReadingsOut(BaseModel):
    """Two readings of one case, structure by structure, where both readers judged."""

    first: str
    second: str
    mean_dsc: float | None
    structures: dict[str, AgreementOut]

    @classmethod
    def of(cls, first: str, second: str, found: Mapping[str, Agreement]) -> ReadingsOut:
        """From the comparison."""
        structures = {
            name: AgreementOut(dsc=finite(item.dsc), hd95_mm=finite(item.hd95_mm)) for name, item in found.items()
        }
        values = [item.dsc for item in structures.values() if item.dsc is not None]
        mean = sum(values) / len(values) if values else None
        return cls(first=first, second=second, mean_dsc=mean, structures=structures)
