"""Imports that were started from the browser."""

from __future__ import annotations

from pydantic import BaseModel, Field

from mrseg_label.catalog.tables import Job
from mrseg_label.catalog.types import JobState
from mrseg_label.reports.documents.base import Moment


class FileRemarkOut(BaseModel):
    """A file that was not imported, or that the import remarks on, and why."""

    source: str
    reason: str


class ImportOut(BaseModel):
    """An import from the inbox: how far it is, and what it did."""

    job: str
    entry: str = Field(description="of the inbox")
    state: JobState
    by: str
    done: int | None = Field(description="images that were looked at; null before the first")
    total: int | None
    accepted: int | None = Field(description="new examinations; null until it has ended")
    unchanged: int
    masks: int
    refused: int
    refusals: list[FileRemarkOut] = Field(description="the first of those that were refused")
    passed_over: int
    remarks: list[FileRemarkOut] = Field(description="the first of those that were passed over")
    error: str | None
    created: Moment
    finished: Moment | None

    @classmethod
    def of(cls, row: Job) -> ImportOut:
        """Fill the document from its row."""
        result, progress = row.result or {}, row.progress or {}
        return cls(
            job=row.id,
            entry=row.payload["entry"],
            state=row.state,
            by=row.payload["actor"],
            done=progress.get("done"),
            total=progress.get("total"),
            accepted=result.get("accepted"),
            unchanged=result.get("unchanged", 0),
            masks=result.get("masks", 0),
            refused=result.get("refused", 0),
            refusals=[FileRemarkOut(source=source, reason=reason) for source, reason in result.get("refusals", ())],
            passed_over=result.get("passed_over", 0),
            remarks=[FileRemarkOut(source=source, reason=reason) for source, reason in result.get("remarks", ())],
            error=(row.error or "").strip().rpartition("\n")[2] or None,
            created=row.created_at,
            finished=row.finished_at,
        )
