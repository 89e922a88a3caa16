"""The draft of an examination, as the server asks for it. Imports nothing heavy."""

from __future__ import annotations

import threading
import time

from sqlalchemy.orm import Session

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import drafts, models
from mrseg_label.catalog.queries import jobs as job_rows
from mrseg_label.catalog.tables import Presegmentation
from mrseg_label.catalog.types import JobState
from mrseg_label.errors import NotFound, Unavailable
from mrseg_label.jobs import enqueue, queue
from mrseg_label.workspace import Workspace

ASKED_FOR = 100  # priority of a draft that a reader waits for
AHEAD = 0
POLL_SECONDS = 0.1


def draft_key(acquisition_id: str, model_version: str) -> str:
    """What makes a draft job unique."""
    return f"{acquisition_id}:{model_version}"


def enqueue_draft(session: Session, acquisition_id: str, model_version: str, priority: int = AHEAD) -> str:
    """Order a draft in the caller's transaction; returns the job's id."""
    payload = {"acquisition": acquisition_id, "model_version": model_version}
    return enqueue(session, queue.DRAFT, payload, key=draft_key(acquisition_id, model_version), priority=priority).id


def newest_draft(session: Session, acquisition_id: str) -> Presegmentation | None:
    """The best draft there is now: the current model's if it made one, else the last."""
    return drafts.newest(session, acquisition_id)


def draft_for(
    workspace: Workspace,
    catalog: Catalog,
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
    with catalog.read() as session:
        examination = drafts.examination(session, examination_id)
        if examination is None:
            raise NotFound(f"there is no examination {examination_id!r}")
        version = models.current(session).version
        draft = drafts.by(session, examination.acquisition_id, version)
    if draft is not None:
        return draft
    with catalog.begin() as session:
        job_id = enqueue_draft(session, examination.acquisition_id, version, ASKED_FOR)
    reason = _wait(catalog, job_id, wait_seconds, stop or threading.Event())
    with catalog.read() as session:
        draft = newest_draft(session, examination.acquisition_id)
    if draft is None:
        raise Unavailable(f"there is no draft of {examination_id} by model {version}: {reason}")
    return draft


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
