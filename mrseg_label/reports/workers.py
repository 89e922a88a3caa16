"""Read which workers are alive, on which machine, and what they do."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import jobs, workers
from mrseg_label.catalog.tables import Job
from mrseg_label.catalog.types import JobState
from mrseg_label.reports.documents.jobs import JobOut, WorkerOut, WorkerState

LOST_AFTER = timedelta(seconds=65)  # three signs of life are missing


def read_workers(catalog: Catalog) -> list[WorkerOut]:
    """Read all workers, by machine: those that are alive, and those that ended without a word."""
    with catalog.read() as session:
        return workers_at(session, catalog.now(session))


def workers_at(session: Session, moment: datetime) -> list[WorkerOut]:
    """The same within a transaction, by the clock of its database."""
    at_work = {job.owner or "": job for job in jobs.list_in_states(session, (JobState.RUNNING,))}
    found = []
    for row in workers.all_of(session):
        job = at_work.pop(row.name, None)
        worker = _document(row.name, job, is_lost=row.seen_at < moment - LOST_AFTER)
        worker.queues, worker.started, worker.seen = row.queues.split(","), row.started_at, row.seen_at
        found.append(worker)
    # Those whose first sign of life is still on its way.
    found += [_document(name, job, is_lost=_has_expired(job, moment)) for name, job in at_work.items()]
    return sorted(found, key=lambda item: (item.machine, item.process or 0))


def is_served(catalog: Catalog, queue: str) -> bool:
    """Whether a worker that is alive takes the jobs of a queue."""
    return any(queue in one.queues for one in read_workers(catalog) if one.state is not WorkerState.LOST)


def _document(name: str, job: Job | None, *, is_lost: bool) -> WorkerOut:
    machine, process, _ = name.rsplit(":", 2) if name.count(":") >= 2 else (name, "", "")
    return WorkerOut(
        machine=machine or "unknown",
        process=int(process) if process.isdigit() else None,
        state=WorkerState.LOST if is_lost else WorkerState.IDLE if job is None else WorkerState.WORKING,
        queues=[] if job is None else [job.queue],
        job=None if job is None else JobOut.of(job),
        started=None,
        seen=None,
    )


def _has_expired(job: Job, moment: datetime) -> bool:
    return job.lease_expires_at is not None and job.lease_expires_at < moment
