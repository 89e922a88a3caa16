"""What a service function gets when it runs as a job."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy.orm import Session

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.errors import Cancelled, LeaseLost
from mrseg_label.jobs.claim import Claim


class JobContext:
    """Workspace, catalogue and the held job. ``state`` survives from job to job within a worker (loaded models)."""

    def __init__(self, workspace: OpenedWorkspace, claim: Claim, state: dict[str, Any]) -> None:
        self.workspace = workspace
        self.catalog = workspace.catalog
        self.claim = claim
        self.state = state
        self.finished = False
        self.cancel = threading.Event()
        self.lost = threading.Event()

    @property
    def payload(self) -> dict[str, Any]:
        """What the job is about."""
        return self.claim.payload

    def check(self) -> None:
        """Raise where the work must end: :class:`Cancelled` or :class:`LeaseLost`."""
        if self.lost.is_set():
            raise LeaseLost(f"job {self.claim.job_id} is no longer held by this worker")
        if self.cancel.is_set():
            raise Cancelled(f"job {self.claim.job_id} was cancelled")

    def progress(self, **progress: Any) -> None:
        """Say how far the job is; also a point where it can be cancelled."""
        self.check()
        self.claim.progress(self.catalog, progress)

    @contextmanager
    def publish(self, result: dict[str, Any] | None = None) -> Iterator[Session]:
        """The transaction that publishes the output and finishes the job; a stale attempt publishes nothing."""
        with self.catalog.begin() as session:
            self.claim.finish(self.catalog, session, result or {})
            yield session
        self.finished = True
