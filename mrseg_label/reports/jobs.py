"""Read jobs as documents."""

from __future__ import annotations

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import jobs
from mrseg_label.catalog.types import JobState
from mrseg_label.errors import NotFound
from mrseg_label.reports.documents.base import Page
from mrseg_label.reports.documents.jobs import JobOut
from mrseg_label.reports.paging import decode_position, page_of

UNFINISHED = (JobState.QUEUED, JobState.RUNNING, JobState.FAILED)


def read_jobs(catalog: Catalog, limit: int, cursor: str | None = None, state: JobState | None = None) -> Page[JobOut]:
    """Read a page of jobs, newest first.

    Parameters
    ----------
    cursor : ``next`` of the page before.
    state : only jobs in this state; by default those that are queued or running or have failed.

    Raises
    ------
    InvalidInput
        The cursor does not come from this list.
    """
    with catalog.read() as session:
        rows = jobs.page(session, limit + 1, decode_position(cursor), UNFINISHED if state is None else (state,))
    return page_of([JobOut.of(row) for row in rows], limit, lambda job: (job.created, job.id))


def read_job(catalog: Catalog, job_id: str) -> JobOut:
    """Read a job.

    Raises
    ------
    NotFound
        There is no such job.
    """
    with catalog.read() as session:
        row = jobs.get(session, job_id) if job_id.isprintable() else None
    if row is None:
        raise NotFound(f"job {job_id[:60]!r} does not exist; list the jobs with: mrseg-label jobs list")
    return JobOut.of(row)
