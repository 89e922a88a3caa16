"""Imports that were started from the browser, and what was sent to the archive."""

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
            error=_last_line(row.error),
            created=row.created_at,
            finished=row.finished_at,
        )


class SendingOut(BaseModel):
    """A job that sends annotations to the archive: how far it is, and what it did."""

    job: str
    state: JobState
    by: str
    dry_run: bool = Field(description="it only counts what would be sent")
    done: int | None = Field(description="studies that were looked at; null before the first")
    total: int | None
    sent: int | None = Field(description="null until it has ended")
    present: int = Field(description="annotations that the archive has already")
    refused: int
    refusals: dict[str, str] = Field(description="the first of those that were refused, by annotation, with the reason")
    error: str | None
    created: Moment

    @classmethod
    def of(cls, row: Job) -> SendingOut:
        """Fill the document from its row."""
        result, progress = row.result or {}, row.progress or {}
        return cls(
            job=row.id,
            state=row.state,
            by=row.payload["actor"],
            dry_run=row.payload["dry_run"],
            done=progress.get("done"),
            total=progress.get("total"),
            sent=result.get("sent"),
            present=result.get("present", 0),
            refused=result.get("refused", 0),
            refusals=result.get("refusals", {}),
            error=_last_line(row.error),
            created=row.created_at,
        )


def _last_line(error: str | None) -> str | None:
    """The sentence at the end of what a failed attempt has left."""
    return (error or "").strip().rpartition("\n")[2] or None
