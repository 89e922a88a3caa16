"""Enqueue and cancel jobs within a transaction that is open already."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import audit
from mrseg_label.catalog.queries import jobs as rows
from mrseg_label.catalog.tables import Job
from mrseg_label.catalog.types import LOCAL, ROUND_JOBS, JobKind, JobState
from mrseg_label.clock import now
from mrseg_label.errors import Conflict, NotFound
from mrseg_label.logs import current_request

DRAFTS = "drafts"
ROUNDS = "rounds"
LIGHT = "light"
QUEUES = (DRAFTS, ROUNDS, LIGHT)

# Jobs of a higher priority run first; most have 0.
REQUESTED_PRIORITY = 100  # a draft that a reader waits for
ASSIGNED_PRIORITY = 50  # a draft of a case that was just assigned
AHEAD_PRIORITY = -1  # the draft of the case that is assigned next; those of later ones come behind it
BACKGROUND_PRIORITY = -1_000_000  # after everything else

PRESEGMENT = JobKind.PRESEGMENT
PRESEGMENT_PENDING = JobKind.PRESEGMENT_PENDING
RENEW_PRESEGMENTATIONS = JobKind.RENEW_PRESEGMENTATIONS
MEASURE_EFFORT = JobKind.MEASURE_EFFORT
MEASURE_MISSING_EFFORT = JobKind.MEASURE_MISSING_EFFORT
CHECK_ANNOTATIONS = JobKind.CHECK_ANNOTATIONS
MEASURE_SOURCES = JobKind.MEASURE_SOURCES
AUDIT_ANNOTATIONS = JobKind.AUDIT_ANNOTATIONS
IMPORT_IMAGES = JobKind.IMPORT_IMAGES
SEND_ANNOTATIONS = JobKind.SEND_ANNOTATIONS
IMPORT_MASK = JobKind.IMPORT_MASK
TRY_MODEL = JobKind.TRY_MODEL
TRAIN_ROUND = JobKind.TRAIN_ROUND
PRUNE_ROUNDS = JobKind.PRUNE_ROUNDS
TRAIN_FOLD = JobKind.TRAIN_FOLD
FINISH_ROUND = JobKind.FINISH_ROUND
COMPARE_SCANS = JobKind.COMPARE_SCANS
QUEUE_OF: dict[str, str] = {
    PRESEGMENT: DRAFTS,
    PRESEGMENT_PENDING: LIGHT,
    RENEW_PRESEGMENTATIONS: LIGHT,
    MEASURE_EFFORT: LIGHT,
    MEASURE_MISSING_EFFORT: LIGHT,
    CHECK_ANNOTATIONS: LIGHT,
    MEASURE_SOURCES: DRAFTS,
    AUDIT_ANNOTATIONS: DRAFTS,
    IMPORT_IMAGES: LIGHT,
    SEND_ANNOTATIONS: LIGHT,
    IMPORT_MASK: LIGHT,
    TRY_MODEL: DRAFTS,
    TRAIN_ROUND: ROUNDS,
    PRUNE_ROUNDS: LIGHT,
    TRAIN_FOLD: ROUNDS,
    FINISH_ROUND: ROUNDS,
    COMPARE_SCANS: LIGHT,
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
        request_id=current_request(),
    )
    session.add(job)
    session.flush()
    return job


def retry(catalog: Catalog, job_id: str, *, actor: str = LOCAL) -> None:
    """Queue a job that failed or was cancelled again; its attempts and deaths are counted anew.

    Raises
    ------
    NotFound, Conflict
        There is no such job, it has not failed, the same work is queued already, or it belongs to a round.
    """
    with catalog.begin() as session:
        job = rows.get(session, job_id)
        if job is None:
            raise NotFound(f"job {job_id!r} does not exist; list the jobs with: mrseg-label jobs list")
        if job.kind in ROUND_JOBS:
            raise Conflict(
                f"job {job_id} belongs to a round; retry the round instead: mrseg-label rounds retry {job.payload['round']}"
            )
        if job.state not in (JobState.FAILED, JobState.CANCELLED):
            raise Conflict(f"job {job_id} is {job.state}; only a failed or cancelled job can be retried")
        if (present := rows.active(session, job.kind, job.key)) is not None:
            raise Conflict(f"the work of job {job_id} is {present.state} already, as job {present.id}")
        job.state = JobState.QUEUED
        job.attempt = job.deaths = 0
        job.cancel_requested = job.put_aside = False
        job.error = job.not_before = job.finished_at = None
        audit.record(session, actor, "job.retry", job_id, kind=job.kind)


def request_cancel(job: Job) -> None:
    """Cancel a queued job at once, and ask the worker of a running one to end it.

    A running job keeps its key and its worker until its processes have ended.
    """
    job.cancel_requested = True
    if job.state is JobState.QUEUED:
        job.state = JobState.CANCELLED
        job.finished_at = now()
