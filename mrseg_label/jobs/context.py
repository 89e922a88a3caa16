"""What a service function is given when it runs as a job."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy.orm import Session

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.errors import Cancelled, LeaseLost
from mrseg_label.jobs.claim import Claim


class JobContext:
    """The workspace and the claimed job.

    Attributes
    ----------
    state : what handlers keep from job to job within a worker, such as loaded models.
    finished : whether the output is published.
    cancel, lost : set by the worker when the job is to be cancelled or its lease is lost; see :meth:`check`.
    """

    def __init__(self, workspace: OpenedWorkspace, claim: Claim, state: dict[str, Any]) -> None:
        self.workspace = workspace
        self.claim = claim
        self.state = state
        self.finished = False
        self.cancel = threading.Event()
        self.lost = threading.Event()

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

    def progress(self, **progress: Any) -> None:
        """Record the progress of the job; raises as :meth:`check` does."""
        self.check()
        self.claim.record_progress(self.catalog, progress)

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
