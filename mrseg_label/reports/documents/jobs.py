"""Jobs: the work of the workers."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, Field

from mrseg_label.catalog.tables import Job
from mrseg_label.catalog.types import JobKind, JobState
from mrseg_label.reports.documents.base import JsonObject, Moment


class JobOut(BaseModel):
    """A piece of work."""

    id: str
    kind: JobKind
    queue: str
    state: JobState
    subject: JsonObject = Field(
        description="what it works on: an acquisition and a model version, an annotation, a round"
    )
    attempt: int = Field(description="attempts that began; one that a worker gave back in good order does not count")
    max_attempts: int
    deaths: int = Field(description="attempts in which the process of the worker died")
    put_aside: bool = Field(
        description="it failed, or its process died, so often that only an admin has it tried again"
    )
    machine: str | None = Field(description="where the worker that has it runs; null unless it is running")
    lease_expires: Moment | None = Field(
        description="when it goes to another worker unless its own one says that it is alive"
    )
    progress: JsonObject = Field(description="how far it is; empty where it does not say")
    result: JsonObject = Field(
        {}, description="what came of it, such as numbers; empty until it is done. Lists of files are left out"
    )
    error: str | None = Field(description="why the last attempt ended")
    request_id: str | None = Field(None, description="id of the request that led to it, as the logs have it")
    created: Moment
    started: Moment | None
    finished: Moment | None

    @classmethod
    def of(cls, row: Job) -> JobOut:
        """Fill the document from its row."""
        return cls(
            id=row.id,
            kind=JobKind(row.kind),
            queue=row.queue,
            state=row.state,
            subject={name: value for name, value in row.payload.items() if isinstance(value, str | int)},
            attempt=row.attempt,
            max_attempts=row.max_attempts,
            deaths=row.deaths,
            put_aside=row.state is JobState.FAILED and row.put_aside,
            machine=row.owner.rsplit(":", 2)[0] if row.owner and row.state is JobState.RUNNING else None,
            lease_expires=row.lease_expires_at if row.state is JobState.RUNNING else None,
            progress=row.progress or {},
            result={name: value for name, value in (row.result or {}).items() if not isinstance(value, list)},
            error=row.error,
            request_id=row.request_id,
            created=row.created_at,
            started=row.started_at,
            finished=row.finished_at,
        )


class WorkerState(StrEnum):
    """Whether a worker works."""

    WORKING = "working"
    IDLE = "idle"  # alive, and there is nothing for it to do
    LOST = "lost"  # it no longer says that it is alive; another one takes over what it did


class WorkerOut(BaseModel):
    """A worker process."""

    machine: str
    process: int | None = Field(description="its id on that machine")
    state: WorkerState
    queues: list[str] = Field(description="that it takes work from")
    job: JobOut | None = Field(description="what it does now")
    started: Moment | None
    seen: Moment | None = Field(description="when it last said that it is alive; null: not yet")
