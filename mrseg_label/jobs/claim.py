"""Claim a job and keep it: a lease of 60 s by the database's clock, renewed every 15 s.

A worker changes its job's row only as long as the row has the token of its claim; so an attempt that lost its lease
publishes nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy.orm import Session

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import jobs as rows
from mrseg_label.catalog.types import ROUND_JOBS, JobState
from mrseg_label.errors import LeaseLost
from mrseg_label.jobs.deaths import RETRY_SECONDS, end_abandoned, owner_name
from mrseg_label.jobs.round_jobs import end_in_round

LEASE_SECONDS = 60
RENEW_SECONDS = 15
MACHINE_SECONDS = 60  # before a job is tried again that failed because a disk is full, for example
GIVE_UP_SECONDS = 40  # without a renewal, a worker ends before its lease does


@dataclass(frozen=True)
class Claim:
    """A job that is leased to this worker.

    Attributes
    ----------
    attempt : number of this attempt, from 1.
    last_attempt : whether a failure of this attempt is final.
    token : identifies this attempt in the job's row.
    deaths : attempts in which the process died before this one.
    request_id : of the request that led to the job.
    """

    job_id: str
    kind: str
    payload: dict[str, Any]
    attempt: int
    last_attempt: bool
    token: str
    deaths: int = 0
    request_id: str | None = None

    def renew(self, catalog: Catalog) -> bool:
        """Extend the lease.

        Returns
        -------
        Whether an admin asked to cancel the job.

        Raises
        ------
        LeaseLost
            Another worker has the job, or it has ended. So do the other methods.
        """
        with catalog.begin() as session:
            expires = catalog.now(session) + timedelta(seconds=LEASE_SECONDS)
            self._update(session, lease_expires_at=expires)
            return rows.cancel_requested(session, self.job_id)

    def record_progress(self, catalog: Catalog, progress: dict[str, Any]) -> None:
        """Record the progress of the job."""
        with catalog.begin() as session:
            self._update(session, progress=progress)

    def finish(self, catalog: Catalog, session: Session, result: dict[str, Any]) -> None:
        """End the job in the transaction that publishes its output."""
        self._end(catalog, session, JobState.DONE, result=result)

    def end_cancelled(self, catalog: Catalog, session: Session) -> None:
        """End the job as cancelled; its processes must have ended."""
        self._end(catalog, session, JobState.CANCELLED)

    def fail(self, catalog: Catalog, session: Session, error: str, *, retry: bool, put_aside: bool = False) -> bool:
        """End the attempt.

        Parameters
        ----------
        error : shown with the job.
        retry : whether another attempt may succeed.
        put_aside : whether, after the last attempt, only an admin has it tried again.

        Returns
        -------
        Whether there will be another attempt.
        """
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
            self._end(catalog, session, JobState.FAILED, error=error, put_aside=put_aside)
        return again

    def put_back(
        self, catalog: Catalog, session: Session, error: str | None, delay_seconds: int = MACHINE_SECONDS
    ) -> None:
        """Queue the job again for later without counting the attempt: the machine failed or ends, and not the job.

        Parameters
        ----------
        error : shown with the job while it waits.
        delay_seconds : until it may be claimed.
        """
        self._update(
            session,
            state=JobState.QUEUED,
            attempt=self.attempt - 1,
            not_before=catalog.now(session) + timedelta(seconds=delay_seconds),
            error=error,
            lease_token=None,
            lease_expires_at=None,
        )

    def _end(self, catalog: Catalog, session: Session, state: JobState, **values: Any) -> None:
        self._update(
            session, state=state, finished_at=catalog.now(session), lease_token=None, lease_expires_at=None, **values
        )
        if (
            state is not JobState.DONE
            and self.kind in ROUND_JOBS
            and (job := rows.get(session, self.job_id)) is not None
        ):
            session.refresh(job)
            end_in_round(session, job, catalog.now(session))

    def _update(self, session: Session, **values: Any) -> None:
        if not rows.guarded_update(session, self.job_id, self.token, **values):
            raise LeaseLost(
                f"job {self.job_id} ({self.kind}) is no longer leased to this worker; its output is discarded"
            )


def claim(catalog: Catalog, queues: Sequence[str]) -> Claim | None:
    """Claim the next job of these queues, if there is one."""
    with catalog.begin() as session:
        moment = catalog.now(session)
        for abandoned in rows.abandoned(session, moment):
            end_abandoned(session, abandoned, moment)
        job = rows.next_claimable(session, queues, moment)
        if job is None:
            return None
        job.state = JobState.RUNNING
        job.attempt += 1
        job.lease_token = secrets.token_hex(16)
        job.lease_expires_at = moment + timedelta(seconds=LEASE_SECONDS)
        job.owner = owner_name()
        job.not_before = None
        job.started_at = moment
        job.progress = {}
        last = job.attempt >= job.max_attempts
        return Claim(
            job.id, job.kind, dict(job.payload), job.attempt, last, job.lease_token, job.deaths, job.request_id
        )
