"""Claim a job and keep it: a lease of 60 s by the database's clock, renewed every 15 s."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import jobs as rows
from mrseg_label.catalog.types import JobState
from mrseg_label.errors import LeaseLost

LEASE_SECONDS = 60
RENEW_SECONDS = 15
GIVE_UP_SECONDS = 40
RETRY_SECONDS = 5


@dataclass(frozen=True)
class Claim:
    """A job that this worker holds."""

    job_id: str
    kind: str
    payload: dict[str, Any]
    attempt: int
    last_attempt: bool
    token: str

    def renew(self, catalog: Catalog) -> bool:
        """Extend the lease; returns whether the job is to be cancelled.

        Raises
        ------
        LeaseLost
            Another worker has the job, or it has ended.
        """
        with catalog.begin() as session:
            expires = catalog.now(session) + timedelta(seconds=LEASE_SECONDS)
            self._update(session, lease_expires_at=expires)
            return rows.cancel_requested(session, self.job_id)

    def progress(self, catalog: Catalog, progress: dict[str, Any]) -> None:
        """Say how far the job is."""
        with catalog.begin() as session:
            self._update(session, progress=progress)

    def finish(self, catalog: Catalog, session: Session, result: dict[str, Any]) -> None:
        """End the job in the transaction that publishes its output."""
        self._end(catalog, session, JobState.DONE, result=result)

    def cancelled(self, catalog: Catalog, session: Session) -> None:
        """End the job as cancelled; its processes must be dead."""
        self._end(catalog, session, JobState.CANCELLED)

    def fail(self, catalog: Catalog, session: Session, error: str, *, retry: bool) -> bool:
        """End the attempt; returns whether there will be another."""
        again = retry and not self.last_attempt
        if again:
            delay = timedelta(seconds=RETRY_SECONDS * 2 ** (self.attempt - 1))
            self._update(
                session,
                state=JobState.QUEUED,
                not_before=catalog.now(session) + delay,
                error=error,
                lease_token=None,
                lease_expires_at=None,
            )
        else:
            self._end(catalog, session, JobState.FAILED, error=error)
        return again

    def _end(self, catalog: Catalog, session: Session, state: JobState, **values: Any) -> None:
        self._update(
            session, state=state, finished_at=catalog.now(session), lease_token=None, lease_expires_at=None, **values
        )

    def _update(self, session: Session, **values: Any) -> None:
        if not rows.guarded_update(session, self.job_id, self.token, **values):
            raise LeaseLost(f"job {self.job_id} ({self.kind}) is no longer held by this worker")


def claim(catalog: Catalog, queues: Sequence[str]) -> Claim | None:
    """Take the next job of these queues, if there is one."""
    with catalog.begin() as session:
        moment = catalog.now(session)
        rows.settle_dead(session, moment)
        job = rows.next_claimable(session, queues, moment)
        if job is None:
            return None
        job.state = JobState.RUNNING
        job.attempt += 1
        job.lease_token = secrets.token_hex(16)
        job.lease_expires_at = moment + timedelta(seconds=LEASE_SECONDS)
        job.owner = owner_name()
        job.started_at = moment
        return Claim(job.id, job.kind, dict(job.payload), job.attempt, job.attempt >= job.max_attempts, job.lease_token)


def owner_name() -> str:
    """This process: host, process id and its start time, so that a recycled id is not taken for it."""
    return f"{socket.gethostname()}:{os.getpid()}:{_start_time(os.getpid())}"


def recover_local(catalog: Catalog) -> int:
    """Free the jobs of workers of this host that are dead, instead of waiting for their leases to end.

    A worker takes its children with it (the supervisor of a training process kills its group as soon as
    the pipe to the worker closes), so a dead owner means that nothing of the attempt still runs. The
    attempt does not count: it was the machine that failed, not the work.
    """
    freed = 0
    host = socket.gethostname()
    with catalog.begin() as session:
        moment = catalog.now(session)
        for job in rows.running(session):
            owner_host, pid, started = (job.owner or "::").rsplit(":", 2)
            if owner_host != host or not pid.isdigit() or _start_time(int(pid)) == started:
                continue
            job.lease_token = None
            job.lease_expires_at = None
            job.attempt -= 1
            job.state = JobState.CANCELLED if job.cancel_requested else JobState.QUEUED
            job.finished_at = moment if job.cancel_requested else None
            freed += 1
    return freed


def _start_time(pid: int) -> str:
    try:
        # Field 22 of stat; the second field is a name in parentheses that may hold blanks.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]
