"""Read the state of a workspace as one document."""

from __future__ import annotations

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import jobs, models
from mrseg_label.jobs.queue import IMPORT_MASK
from mrseg_label.reports.documents.models import ModelOut
from mrseg_label.reports.documents.status import RefusedMaskOut, RowCountsOut, StatusOut
from mrseg_label.reports.progress import read_progress, read_row_counts


def read_status(workspace: OpenedWorkspace) -> StatusOut:
    """Read counts, progress, the current model version and the imported masks that were refused."""
    with workspace.catalog.read() as session:
        model = ModelOut.of(models.current(session))
        refused = jobs.refused_masks(session, IMPORT_MASK)
    return StatusOut(
        workspace=str(workspace.root),
        current_model=model,
        progress=read_progress(workspace),
        counts=RowCountsOut.of(read_row_counts(workspace.catalog)),
        masks_refused=[RefusedMaskOut(examination=name, reason=reason) for name, reason in refused],
    )
