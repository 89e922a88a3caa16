"""Enqueue drafts: the jobs of kind ``presegment``."""

from __future__ import annotations

from contextlib import suppress

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import presegmentations
from mrseg_label.jobs import queue


def enqueue_presegmentation(
    session: Session, acquisition_id: str, model_version: str, priority: int = queue.AHEAD_PRIORITY
) -> str:
    """Enqueue a pre-segmentation within a transaction and return the id of the job."""
    payload = {"acquisition": acquisition_id, "model_version": model_version}
    key = presegmentations.job_key(acquisition_id, model_version)
    return queue.enqueue(session, queue.PRESEGMENT, payload, key=key, priority=priority).id


def begin_draft_of_assigned(workspace: OpenedWorkspace, acquisition_id: str) -> None:
    """Have the current model's draft of an assigned case made before those of waiting cases, if it is not there yet.

    In a transaction of its own: one that has locked the case must not wait for the job, whose worker may wait for the case.
    """
    if workspace.settings.presegmentation == "off":
        return
    with workspace.catalog.read() as session:
        version = presegmentations.lacking_version(session, acquisition_id)
    if version is None:
        return
    # Another process may enqueue it at the same moment.
    with suppress(IntegrityError), workspace.catalog.begin() as session:
        enqueue_presegmentation(session, acquisition_id, version, queue.ASSIGNED_PRIORITY)
