"""Take jobs back from workers that ended: given back in good order, or dead.

A worker that is told to end gives its job back, and that attempt is not counted. A worker that ended without doing so
died: of its job perhaps, which may need more memory than there is, or with the machine. That cannot be told apart, so
each death counts for the job that was running; such a job goes behind all others, and after
:data:`mrseg_label.catalog.queries.jobs.MAX_DEATHS` it is put aside.
"""

from __future__ import annotations

import os
import socket
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import jobs as rows
from mrseg_label.catalog.queries import workers
from mrseg_label.catalog.tables import Job
from mrseg_label.catalog.types import ROUND_JOBS, JobState
from mrseg_label.jobs.round_jobs import end_in_round, wait_in_round
from mrseg_label.processes import start_time

RETRY_SECONDS = 5  # before the second attempt; doubled for each further one
GIVEN_BACK_SECONDS = 2  # until what the worker started has ended with it
_TIMES = {1: "once", 2: "twice", 3: "three times"}


def owner_name() -> str:
    """Name of this process: host, process id and start time, since the system uses process ids again."""
    return f"{socket.gethostname()}:{os.getpid()}:{start_time(os.getpid())}"


def give_back(catalog: Catalog) -> int:
    """Give what this process has claimed back to the queue before it ends; the attempt is not counted.

    Returns
    -------
    Number of jobs that were given back.
    """
    with catalog.begin() as session:
        moment = catalog.now(session)
        held = rows.owned_by(session, owner_name())
        for job in held:
            job.attempt -= 1
            _release(session, job, moment, timedelta(seconds=GIVEN_BACK_SECONDS))
        workers.forget(session, [owner_name()])
        return len(held)


def abandon(catalog: Catalog, job_id: str, reason: str) -> None:
    """End an attempt of this process, before it is ended itself: as cancelled if that was asked for, else as failed.

    Nothing that the attempt started may still run. Should it have ended by itself, nothing happens.

    Parameters
    ----------
    reason : why this attempt failed; there is another one if any is left.
    """
    with catalog.begin() as session:
        moment = catalog.now(session)
        for job in rows.owned_by(session, owner_name()):
            if job.id != job_id:
                continue
            job.error = reason
            if job.cancel_requested:
                _end(session, job, JobState.CANCELLED, moment)
            elif job.attempt < job.max_attempts:
                _release(session, job, moment, timedelta(seconds=RETRY_SECONDS * 2 ** (job.attempt - 1)))
            else:
                job.error = f"{reason}. It was the last of {job.max_attempts} attempts; {_then_retry(job)}"
                job.put_aside = True
                _end(session, job, JobState.FAILED, moment)


def requeue_of_dead_local_workers(catalog: Catalog) -> int:
    """Take the jobs of dead workers of this host back, without waiting for their leases to expire.

    A worker takes its children with it (:mod:`mrseg_label.processes`), so if it is dead, nothing of the attempt still
    runs.

    Returns
    -------
    Number of jobs that were taken back.
    """
    freed = 0
    with catalog.begin() as session:
        moment = catalog.now(session)
        for job in rows.running(session):
            if _is_dead_here(job.owner):
                count_death(session, job, moment)
                freed += 1
        workers.forget(session, [worker.name for worker in workers.all_of(session) if _is_dead_here(worker.name)])
    return freed


def _is_dead_here(owner: str | None) -> bool:
    """Whether the process of that name ran on this machine and runs no more."""
    host, pid, started = (owner or "::").rsplit(":", 2)
    return host == socket.gethostname() and pid.isdigit() and start_time(int(pid)) != started


def end_abandoned(session: Session, job: Job, moment: datetime) -> None:
    """End a queued job that is to be cancelled, and count a death for a running one that lost its worker."""
    if job.state is JobState.QUEUED:
        _end(session, job, JobState.CANCELLED, moment)
    else:
        count_death(session, job, moment)


def count_death(session: Session, job: Job, moment: datetime) -> None:
    """Count a death for a running job, and queue it again behind the others or put it aside."""
    job.deaths += 1
    if job.cancel_requested or (job.deaths < rows.MAX_DEATHS and job.attempt < job.max_attempts):
        job.error = f"its process died in attempt {job.attempt} of {job.max_attempts}"
        _release(session, job, moment, timedelta(seconds=RETRY_SECONDS * 2 ** (job.deaths - 1)))
        return
    job.error = (
        f"its process died {_TIMES.get(job.deaths, f'{job.deaths} times')}, the last time in attempt {job.attempt} of "
        f"{job.max_attempts}, and it is put aside so that other work goes on. Most often memory ran out: "
        f"{_then_retry(job)}"
    )
    job.put_aside = True
    _end(session, job, JobState.FAILED, moment)


def _release(session: Session, job: Job, moment: datetime, delay: timedelta) -> None:
    if job.cancel_requested:
        _end(session, job, JobState.CANCELLED, moment)
        return
    job.state = JobState.QUEUED
    job.lease_token = None
    job.lease_expires_at = None
    job.not_before = moment + delay
    wait_in_round(session, job)


def _end(session: Session, job: Job, state: JobState, moment: datetime) -> None:
    job.state = state
    job.lease_token = None
    job.lease_expires_at = None
    job.finished_at = moment
    end_in_round(session, job, moment)


def _then_retry(job: Job) -> str:
    return f"see the log of the system and those in logs/, then have it tried again with: {_retry_command(job)}"


def _retry_command(job: Job) -> str:
    if job.kind in ROUND_JOBS:
        return f"mrseg-label rounds retry {job.payload['round']}"
    return f"mrseg-label jobs retry {job.id}"
