"""Examinations."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, Field

from mrseg_label.catalog.channel_types import Labelled, Misregistration
from mrseg_label.catalog.tables import Examination
from mrseg_label.catalog.types import CaseState, Priority, Role, SwapState
from mrseg_label.reports.documents.base import Moment

if TYPE_CHECKING:
    from mrseg_label.intake.editing import Edit


class ExaminationOut(BaseModel):
    """A stored image."""

    id: str
    participant: str
    station: str
    sequence: str
    acquisition: str = Field(description="the examinations of one acquisition share one annotation")
    group: str = Field(deprecated="use acquisition", description="Deprecated: use `acquisition`.")
    primary: bool = Field(description="whether it is the channel that readers open")
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    affine: list[list[float]] = Field(description="(4, 4), voxel index to RAS mm")
    axcodes: str = Field(description="direction in which each axis runs, such as RAS")
    source: str | None = Field(
        description="path of the imported file, or a reader's own name for the image; for admins alone, otherwise null"
    )
    digest: str = Field(description="SHA-256 of the stored image")
    warnings: list[str] = Field(description="what was converted or repaired at the import")
    swap: SwapState | None = Field(
        description="whether fat and water are exchanged: suspected by the import, confirmed or none; null: not suspected"
    )
    misregistration: Misregistration | None = Field(
        description="whether it lies elsewhere than the other images of its acquisition: suspected by the import, confirmed or "
        "none; null: not suspected"
    )
    propagation: Literal["on", "off"] = Field(
        description="whether a mask that was drawn on one image of its acquisition is used for the others"
    )
    labelled: Labelled | None = Field(
        description="whether it carries the mask of its acquisition: drawn on it, or propagated from another image; null: it has none"
    )
    state: CaseState = Field(
        description="where its case is: excluded, else assigned, else awaiting review, else annotated, else waiting"
    )
    priority: Priority = Field(description="of its case: whether it is assigned and drafted before or after others")
    held_out: bool | None = Field(
        description="whether models are tested on its participant and not trained; null: not yet decided"
    )
    annotated: Moment | None = Field(description="when its first annotation was accepted")
    assigned_until: Moment | None = Field(description="end of its present assignment")
    handed_out_until: Moment | None = Field(
        deprecated="use assigned_until", description="Deprecated: use `assigned_until`."
    )
    excluded: str | None = Field(description="why it is excluded; null where it is not")
    evaluation_only: bool = Field(
        description="whether it is kept for evaluation: no reader gets it and no model learns from it; its state is excluded"
    )
    created: Moment

    def for_role(self, role: Role | None) -> ExaminationOut:
        """Return the document as an account of that role may see it: its source is for admins alone."""
        return self if role in (None, Role.ADMIN) else self.model_copy(update={"source": None})

    @classmethod
    def of(cls, row: Examination, state: CaseState, assigned_until: datetime | None) -> ExaminationOut:
        """Fill the document from its row, with acquisition and participant loaded."""
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
            swap=row.swap,
            misregistration=row.misregistration,
            propagation="on" if acquisition.propagates else "off",
            labelled=row.labelled,
            state=state,
            priority=acquisition.priority,
            held_out=acquisition.participant.held_out,
            annotated=acquisition.annotated_at,
            assigned_until=assigned_until,
            handed_out_until=assigned_until,
            excluded=(acquisition.excluded_reason or "no reason given") if acquisition.excluded_at else None,
            evaluation_only=acquisition.evaluation_only,
            created=row.created_at,
        )


class LeftOut(BaseModel):
    """Cases that an action left as they were, and why."""

    reason: str
    cases: int
    examinations: list[str] = Field(description="that readers open of the first of these cases; at most 10")


class CasesChangedOut(BaseModel):
    """What an action on many cases did. A case is an acquisition, whose images share one annotation."""

    changed: int = Field(description="number of cases")
    left: list[LeftOut] = Field(description="the others, by reason")


class ChangeOut(BaseModel):
    """The value of a field before and after a correction."""

    before: str | float | None
    after: str | float | None


class EditOut(BaseModel):
    """A correction of an examination, and what follows from it."""

    examination: ExaminationOut
    changes: dict[str, ChangeOut] = Field(description="by field; empty where nothing differed")
    notes: list[str] = Field(
        description="channels that changed too, the side of the split, acquisitions that were joined"
    )

    @classmethod
    def of(cls, edit: Edit, examination: ExaminationOut) -> EditOut:
        """Fill the document from a correction."""
        changes = {name: ChangeOut(before=before, after=after) for name, (before, after) in edit.changes.items()}
        return cls(examination=examination, changes=changes, notes=edit.notes)
