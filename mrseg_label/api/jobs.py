"""``/jobs``: the work of the workers."""

from __future__ import annotations

from fastapi import APIRouter, status

from mrseg_label.api import paging
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.types import JobState
from mrseg_label.http.readers import CurrentReader
from mrseg_label.jobs import queue
from mrseg_label.reports.documents.base import Page
from mrseg_label.reports.documents.jobs import JobOut
from mrseg_label.reports.jobs import read_job, read_jobs


def router(workspace: OpenedWorkspace) -> APIRouter:
    """Assemble the routes under ``/jobs``."""
    routes = APIRouter(prefix="/jobs", tags=["jobs"])
    catalog = workspace.catalog

    @routes.get("", summary="List jobs that are queued or running or have failed, newest first (admin)")
    def list_jobs(
        state: JobState | None = None, limit: paging.Limit = paging.LIMIT, cursor: paging.Cursor = None
    ) -> Page[JobOut]:
        return read_jobs(catalog, limit, cursor, state)

    @routes.get("/{job}", summary="Get a job (admin)")
    def get_job(job: str) -> JobOut:
        return read_job(catalog, job)

    @routes.post("/{job}/retry", status_code=status.HTTP_202_ACCEPTED, summary="Have a failed job tried again (admin)")
    def retry_job(job: str, reader: CurrentReader) -> JobOut:
        queue.retry(catalog, job, actor=reader.name)
        return read_job(catalog, job)

    return routes
