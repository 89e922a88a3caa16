"""Enqueue and cancel, in the caller's transaction."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import jobs as rows
from mrseg_label.catalog.tables import Job
from mrseg_label.catalog.types import JobState
from mrseg_label.clock import now

DRAFTS = "drafts"
ROUNDS = "rounds"
LIGHT = "light"
QUEUES = (DRAFTS, ROUNDS, LIGHT)

# Kinds of work, with the queue that each stands in.
DRAFT = "draft"  # one draft of one acquisition
IMPORTED = "imported"  # acquisitions came in: drafts ahead
PROMOTED = "promoted"  # another model is current: new drafts
SUBMITTED = "submitted"  # a revision came in: effort, trigger of a round
MASKS = "masks"  # a mask came with an import: a revision
ROUND = "round"  # a retraining round
QUEUE_OF = {DRAFT: DRAFTS, IMPORTED: LIGHT, PROMOTED: LIGHT, SUBMITTED: LIGHT, MASKS: LIGHT, ROUND: ROUNDS}


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
