"""Request pre-segmentations. Loads no torch: the server process imports it."""

from __future__ import annotations

import threading
import time

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.derived_files import is_whole
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import examinations, models, presegmentations
from mrseg_label.catalog.queries import jobs as job_rows
from mrseg_label.catalog.tables import Presegmentation
from mrseg_label.catalog.types import JobState
from mrseg_label.errors import NotFound, Unavailable
from mrseg_label.jobs import queue
from mrseg_label.jobs.draft_jobs import enqueue_presegmentation

POLL_SECONDS = 0.1


def presegmentation_for(
    workspace: OpenedWorkspace,
    examination_id: str,
    *,
    wait_seconds: float,
    stop: threading.Event | None = None,
) -> Presegmentation:
    """Get the current model's pre-segmentation of an examination's acquisition; it is made if there is none.

    If it is not ready within ``wait_seconds``, or when ``stop`` is set, an older model's pre-segmentation is
    returned instead.

    Raises
    ------
    NotFound
        There is no such examination.
    Unavailable
        There is no pre-segmentation, and none could be made in time; the message gives the reason.
    """
    with workspace.catalog.read() as session:
        examination = examinations.get(session, examination_id)
        if examination is None:
            raise NotFound(f"examination {examination_id!r} does not exist")
        version = models.current(session).version
        presegmentation = presegmentations.by_model(session, examination.acquisition_id, version)
    if presegmentation is not None and is_whole(workspace, presegmentation):
        return presegmentation
    if workspace.settings.presegmentation == "off":
        raise Unavailable(f"there is no draft of {examination_id}, and PRESEGMENTATION is off, so none is made")
    with workspace.catalog.begin() as session:
        key = presegmentations.job_key(examination.acquisition_id, version)
        put_aside = job_rows.put_aside(session, queue.PRESEGMENT, key)
        if put_aside is not None and job_rows.active(session, queue.PRESEGMENT, key) is None:
            job_id = put_aside.id  # what failed three times is not begun again because a reader waits for it
        else:
            job_id = enqueue_presegmentation(session, examination.acquisition_id, version, queue.REQUESTED_PRIORITY)
    reason = _wait(workspace.catalog, job_id, wait_seconds, stop or threading.Event())
    with workspace.catalog.read() as session:
        presegmentation = presegmentations.best(session, examination.acquisition_id)
    if presegmentation is None or not is_whole(workspace, presegmentation):
        raise Unavailable(f"there is no draft of {examination_id} by model version {version}: {reason}")
    return presegmentation


def _wait(catalog: Catalog, job_id: str, wait_seconds: float, stop: threading.Event) -> str:
    deadline = time.monotonic() + wait_seconds
    while True:
        with catalog.read() as session:
            job = job_rows.get(session, job_id)
        if job is None or job.state is JobState.DONE:
            return "it was made and then removed"
        if job.state in (JobState.FAILED, JobState.CANCELLED):
            last_line = ((job.error or "").strip().splitlines() or ["no reason given"])[-1]
            ended = "failed" if job.state is JobState.FAILED else "was cancelled"
            again = f"; an admin has it tried again with: mrseg-label jobs retry {job.id}" if job.put_aside else ""
            return f"making it {ended}: {last_line}{again if 'jobs retry' not in last_line else ''}"
        if time.monotonic() >= deadline:
            if job.state is JobState.RUNNING:
                situation = "a worker is making it"
            elif job.deaths:
                situation = f"{job.error}; it is tried again after other work"
            else:
                situation = "no worker has started on it; see mrseg-label status"
            return f"it was not ready within {wait_seconds:.0f} s ({situation}); try again in a moment"
        if stop.wait(POLL_SECONDS):
            return "the server is shutting down; try again when it is back"
