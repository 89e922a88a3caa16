"""What a service function is given when it runs as a job."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy.orm import Session

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.errors import Cancelled, LeaseLost
from mrseg_label.jobs.claim import Claim

PROGRESS_SECONDS = 2.0


class JobContext:
    """The workspace and the claimed job.

    Attributes
    ----------
    state : what handlers keep from job to job within a worker, such as loaded models.
    finished : whether the output is published.
    last_pulse : when watched work last went on, by ``time.monotonic``; None while nothing is watched.
    cancel, lost : set by the worker when the job is to be cancelled or its lease is lost; see :meth:`check`.
    stopping : set when the worker has been told to end; a failure then may come from the processes of the job having
        been told so too, and does not count.
    """

    def __init__(
        self,
        workspace: OpenedWorkspace,
        claim: Claim,
        state: dict[str, Any],
        stopping: threading.Event | None = None,
    ) -> None:
        self.workspace = workspace
        self.claim = claim
        self.state = state
        self.finished = False
        self.cancel = threading.Event()
        self.lost = threading.Event()
        self.last_pulse: float | None = None
        self._advanced: float | None = None
        self.stopping = stopping or threading.Event()

    @property
    def catalog(self) -> Catalog:
        """The catalogue of the workspace."""
        return self.workspace.catalog

    @property
    def payload(self) -> dict[str, Any]:
        """The job's parameters, as they were enqueued."""
        return self.claim.payload

    def check(self) -> None:
        """Return if the work may go on.

        Raises
        ------
        Cancelled
            An admin cancelled the job.
        LeaseLost
            The job is no longer leased to this worker.
        """
        if self.lost.is_set():
            raise LeaseLost(f"job {self.claim.job_id} is no longer leased to this worker; its output is discarded")
        if self.cancel.is_set():
            raise Cancelled(f"job {self.claim.job_id} was cancelled")

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch the work of this block: if :meth:`pulse` is not called for too long, the worker ends it.

        Where one such block is within another, the outer one goes on when the inner one has ended.
        """
        before = self.last_pulse
        self.last_pulse = time.monotonic()
        try:
            yield
        finally:
            self.last_pulse = before and time.monotonic()

    def pulse(self) -> None:
        """Say that the work of :meth:`watched` goes on; raises as :meth:`check` does."""
        self.last_pulse = time.monotonic()
        self.check()

    def progress(self, **progress: Any) -> None:
        """Record the progress of the job; raises as :meth:`check` does."""
        self.check()
        self.claim.record_progress(self.catalog, progress)

    def advance(self, done: int, total: int) -> None:
        """Record how many of a job's many things are done, but not more often than people look; raises as :meth:`check` does."""
        self.check()
        if self._advanced is None or time.monotonic() - self._advanced >= PROGRESS_SECONDS:
            self._advanced = time.monotonic()
            self.progress(done=done, total=total)

    @contextmanager
    def publish(self, result: dict[str, Any] | None = None) -> Iterator[Session]:
        """Open the transaction that publishes the output and finishes the job.

        Raises
        ------
        LeaseLost
            The job is no longer leased to this worker; nothing is published.
        """
        with self.catalog.begin() as session:
            self.claim.finish(self.catalog, session, result or {})
            yield session
        self.finished = True
