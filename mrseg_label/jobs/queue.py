"""Enqueue and cancel jobs within a transaction that is open already."""

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
    """Add a job, or return the active one of the same kind and key, with the higher of both priorities.

    Parameters
    ----------
    kind : one of the kinds of this module.
    payload : parameters of the job, as JSON.
    key : of the jobs of one kind, only one of a key is queued or running at a time.
    priority : jobs of a higher one run first.
    max_attempts : attempts until a failure is final.
    """
    # Locked, so that it cannot end before this transaction commits: it would not see what is committed with it.
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


def request_cancel(job: Job) -> None:
    """Cancel a queued job at once, and ask the worker of a running one to end it.

    A running job keeps its key and its worker until its processes have ended.
    """
    job.cancel_requested = True
    if job.state is JobState.QUEUED:
        job.state = JobState.CANCELLED
        job.finished_at = now()
