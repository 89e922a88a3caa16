"""Read the state of a workspace, and whether the server can work with it."""

from __future__ import annotations

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import contents, jobs
from mrseg_label.errors import ConfigurationError, Unavailable
from mrseg_label.jobs.queue import IMPORT_MASK
from mrseg_label.reports.documents.status import CountsOut, RefusedMaskOut, StatusOut
from mrseg_label.reports.models import read_current_model
from mrseg_label.reports.progress import read_progress


def read_status(workspace: OpenedWorkspace) -> StatusOut:
    """Read counts, the current model, progress to the next round, and imported masks that were refused."""
    with workspace.catalog.read() as session:
        counts = contents.row_counts(session)
        refused = jobs.refused_masks(session, IMPORT_MASK)
    return StatusOut(
        workspace=str(workspace.root),
        current_model=read_current_model(workspace.catalog),
        progress=read_progress(workspace),
        counts=CountsOut(**counts, revisions=counts["annotations"]),
        masks_refused=[RefusedMaskOut(examination=name, reason=reason) for name, reason in refused],
    )


def check_ready(workspace: OpenedWorkspace) -> None:
    """Check that the database answers at the newest migration and that the workspace is writable.

    Raises
    ------
    Unavailable
        The database or the workspace cannot be used; the message names it.
    """
    with workspace.catalog.read() as session:
        session.connection()
    try:
        workspace.catalog.check_current()
    except ConfigurationError as error:
        raise Unavailable(str(error)) from error
    try:
        with workspace.scratch("ready-") as folder:
            (folder / "probe").write_bytes(b"ready")
    except OSError as error:
        raise Unavailable(f"the workspace {workspace.root} is not writable: {error.strerror}") from error
