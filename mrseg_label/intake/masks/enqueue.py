"""Store a mask and enqueue the job that makes an annotation of it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import jobs as job_rows
from mrseg_label.catalog.types import JobState
from mrseg_label.ids import new_id
from mrseg_label.intake.images import PreparedMask
from mrseg_label.jobs import queue
from mrseg_label.workspace import Workspace

INCOMING = "annotations/incoming"


def enqueue_mask(
    session: Session,
    workspace: Workspace,
    mask: PreparedMask,
    *,
    examination_id: str,
    acquisition_id: str,
    store: bool = True,
) -> bool:
    """Store a mask and enqueue its job; return False where that was done before.

    Parameters
    ----------
    store : False in a dry run, whose transaction is rolled back.
    """
    labels = hashlib.sha256(json.dumps(mask.labels).encode()).hexdigest()[:16]
    key = f"{acquisition_id}:{mask.digest}:{labels}"
    # A job that failed is enqueued again: its cause may have been corrected outside of the mask.
    before = job_rows.newest(session, queue.IMPORT_MASK, key)
    if before is not None and before.state in (JobState.QUEUED, JobState.RUNNING, JobState.DONE):
        return False
    path = f"{INCOMING}/{new_id('in')}{mask.suffix}"
    if store:
        workspace.put_file(path, mask.file)
    payload: dict[str, Any] = {
        "examination": examination_id,
        "path": path,
        "digest": mask.digest,
        "labels": mask.labels,
        "lenient": mask.lenient,
        "notes": list(mask.notes),
    }
    queue.enqueue(session, queue.IMPORT_MASK, payload, key=key)
    return True
