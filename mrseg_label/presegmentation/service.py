"""The draft of an examination, as the server asks for it. Imports nothing heavy."""

from __future__ import annotations

import threading
import time

from sqlalchemy.orm import Session

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import examinations, models, presegmentations
from mrseg_label.catalog.queries import jobs as job_rows
from mrseg_label.catalog.tables import Presegmentation
from mrseg_label.catalog.types import JobState
from mrseg_label.errors import NotFound, Unavailable
from mrseg_label.jobs import enqueue, queue

ASKED_FOR = 100  # priority of a draft that a reader waits for
AHEAD = 0
POLL_SECONDS = 0.1


def enqueue_presegmentation(session: Session, acquisition_id: str, model_version: str, priority: int = AHEAD) -> str:
    """Order a draft in the caller's transaction; returns the job's id."""
    payload = {"acquisition": acquisition_id, "model_version": model_version}
    key = presegmentations.job_key(acquisition_id, model_version)
    return enqueue(session, queue.PRESEGMENT, payload, key=key, priority=priority).id


def presegmentation_for(
    workspace: OpenedWorkspace,
    examination_id: str,
    *,
    wait_seconds: float,
    stop: threading.Event | None = None,
) -> Presegmentation:
    """The current model's draft of an examination's acquisition, made now if there is none.

    An older model's draft is the answer where the current one's does not come within ``wait_seconds`` or before
    ``stop`` is set.

    Raises
    ------
    NotFound
        There is no such examination.
    Unavailable
        No draft could be made in time; the message says why.
    """
    with workspace.catalog.read() as session:
        examination = examinations.get(session, examination_id)
        if examination is None:
            raise NotFound(f"there is no examination {examination_id!r}")
        version = models.current(session).version
        presegmentation = presegmentations.by_model(session, examination.acquisition_id, version)
    if presegmentation is not None:
        return presegmentation
    with workspace.catalog.begin() as session:
        job_id = enqueue_presegmentation(session, examination.acquisition_id, version, ASKED_FOR)
    reason = _wait(workspace.catalog, job_id, wait_seconds, stop or threading.Event())
    with workspace.catalog.read() as session:
        presegmentation = presegmentations.best(session, examination.acquisition_id)
    if presegmentation is None:
        raise Unavailable(f"there is no draft of {examination_id} by model {version}: {reason}")
    return presegmentation


def _wait(catalog: Catalog, job_id: str, wait_seconds: float, stop: threading.Event) -> str:
    deadline = time.monotonic() + wait_seconds
    while True:
        with catalog.read() as session:
            job = job_rows.get(session, job_id)
        if job is None or job.state is JobState.DONE:
            return "it was made and removed"
        if job.state in (JobState.FAILED, JobState.CANCELLED):
            return f"making it ended as {job.state}: {(job.error or '').strip().splitlines()[-1:] or ''}"
        if time.monotonic() >= deadline:
            doing = (
                "a worker is at it" if job.state is JobState.RUNNING else "no worker has begun; see mrseg-label status"
            )
            return f"it did not come within {wait_seconds:.0f} s ({doing}); ask again in a moment"
        if stop.wait(POLL_SECONDS):
            return "the server is being stopped; ask again when it is back"
