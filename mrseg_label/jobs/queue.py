"""Enqueue and cancel, in the caller's transaction."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import jobs as rows
from mrseg_label.catalog.tables import Job
from mrseg_label.catalog.types import JobKind, JobState
from mrseg_label.clock import now

DRAFTS = "drafts"
ROUNDS = "rounds"
LIGHT = "light"
QUEUES = (DRAFTS, ROUNDS, LIGHT)

PRESEGMENT = JobKind.PRESEGMENT
PRESEGMENT_PENDING = JobKind.PRESEGMENT_PENDING
RENEW_PRESEGMENTATIONS = JobKind.RENEW_PRESEGMENTATIONS
MEASURE_EFFORT = JobKind.MEASURE_EFFORT
IMPORT_MASK = JobKind.IMPORT_MASK
TRAIN_ROUND = JobKind.TRAIN_ROUND
QUEUE_OF: dict[str, str] = {
    PRESEGMENT: DRAFTS,
    PRESEGMENT_PENDING: LIGHT,
    RENEW_PRESEGMENTATIONS: LIGHT,
    MEASURE_EFFORT: LIGHT,
    IMPORT_MASK: LIGHT,
    TRAIN_ROUND: ROUNDS,
}


def enqueue(
    session: Session, kind: str, payload: dict[str, Any], *, key: str, priority: int = 0, max_attempts: int = 3
) -> Job:
    """Add a job, or return the active one of the same kind and key (its priority raised if need be)."""
    # Locked: a job that looked for work before this transaction commits must not pass for one that will find it.
    present = rows.active(session, kind, key, lock=True)
    if present is not None:
        present.priority = max(present.priority, priority)
        return present
    job = Job(
        kind=kind,
        queue=QUEUE_OF[kind],
        key=key,
        payload=payload,
        priority=priority,
        state=JobState.QUEUED,
        max_attempts=max_attempts,
    )
    session.add(job)
    session.flush()
    return job


def request_cancel(session: Session, job: Job) -> None:
    """Ask for the end of a job: at once if it waits, else by its worker, which holds key and slot until it is dead."""
    job.cancel_requested = True
    if job.state is JobState.QUEUED:
        job.state = JobState.CANCELLED
        job.finished_at = now()
