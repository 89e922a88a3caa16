"""Drafts: the pre-segmentations that readers start from."""

from __future__ import annotations

from pydantic import BaseModel, Field

from mrseg_label.catalog.draft_details import details_of, mixture_text, source_of
from mrseg_label.catalog.tables import Job, Presegmentation
from mrseg_label.reports.documents.base import JsonObject, Moment
from mrseg_label.reports.documents.examinations import ExaminationOut


class DraftOut(BaseModel):
    """The draft that a reader of a case gets."""

    id: str
    model_version: str = Field(description="the version that made the drafts when it was made")
    source: str = Field(description="how that version made it: inverted, equalized, raw, nnunet")
    mixture: str | None = Field(
        description="of which sources its structures are, such as `liver: r2; spleen: TotalSegmentator inverted`; null: all of one"
    )
    structures: dict[str, str] = Field(
        description="source of each structure that it has; empty where one source made it all"
    )
    details: JsonObject = Field(
        description="what is stored with the mask: `mixture` (with the reason where another source was chosen), `clean_up`, "
        "`uncertainty`, `sparing` (made with less than the settings say), `doubts`; each only where there is any"
    )
    seconds: float = Field(description="how long it took to make")
    created: Moment

    @classmethod
    def of(cls, row: Presegmentation) -> DraftOut:
        """Fill the document from its row."""
        details = details_of(row)
        return cls(
            id=row.id,
            model_version=row.model_version,
            source=row.source,
            mixture=mixture_text(row),
            structures={name: source_of(row, name) for name in details.get("mixture", {}).get("present", ())},
            details=dict(details),
            seconds=row.seconds,
            created=row.created_at,
        )


class DraftPutAsideOut(BaseModel):
    """A draft that failed too often to be tried again by itself."""

    job: str = Field(description="an admin has it tried again with `POST /api/v1/jobs/{job}/retry`")
    reason: str
    since: Moment | None

    @classmethod
    def of(cls, row: Job) -> DraftPutAsideOut:
        """Fill the document from the row of the job."""
        lines = (row.error or "").strip().splitlines() or ["no reason was stored"]
        return cls(job=row.id, reason=lines[-1], since=row.finished_at)


class ExaminationDetail(ExaminationOut):
    """A stored image with the draft of its case."""

    not_labelled: str | None = Field(
        description="why it does not carry the mask that its acquisition has; null where it does, or where there is none"
    )

    draft_put_aside: DraftPutAsideOut | None = Field(
        description="why the current model makes no draft of its case any more; null where nothing failed"
    )
    draft: DraftOut | None = Field(description="the draft that a reader gets now; null where none has been made")
