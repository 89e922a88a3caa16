"""Read the state of a workspace, and whether the server can work with it."""

from __future__ import annotations

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import contents, heartbeats, jobs, rounds
from mrseg_label.config import load_settings
from mrseg_label.errors import ConfigurationError, Unavailable
from mrseg_label.jobs.queue import IMPORT_MASK
from mrseg_label.reports.documents.jobs import JobOut
from mrseg_label.reports.documents.status import CountsOut, FailedJobOut, RefusedMaskOut, StatusOut
from mrseg_label.reports.models import read_current_model
from mrseg_label.reports.notifications import read_channels
from mrseg_label.reports.progress import read_progress
from mrseg_label.reports.sources import read_sources_if_configured
from mrseg_label.reports.workers import read_workers

SHOWN_JOBS = 20


def read_status(workspace: OpenedWorkspace) -> StatusOut:
    """Read counts, the current model, progress to the next round, what failed, and when the server was last alive."""
    with workspace.catalog.read() as session:
        counts = contents.row_counts(session)
        refused = jobs.refused_masks(session, IMPORT_MASK)
        failed = jobs.failed(session, SHOWN_JOBS, IMPORT_MASK)
        alive = heartbeats.latest(session)
        done = rounds.newest_done(session)
    return StatusOut(
        workspace=str(workspace.root),
        current_model=read_current_model(workspace.catalog),
        sources=read_sources_if_configured(workspace),
        progress=read_progress(workspace),
        counts=CountsOut(**counts, revisions=counts["annotations"]),
        notifications=read_channels(workspace.catalog, load_settings(workspace.root)),
        workers=read_workers(workspace.catalog),
        masks_refused=[RefusedMaskOut(examination=name, reason=reason) for name, reason in refused],
        jobs_failed=[_failed_job(JobOut.of(row)) for row in failed],
        round_warnings=[]
        if done is None
        else [f"round {done.number}: {text}" for text in done.result.get("warnings", [])],
        server_started=None if alive is None else alive.started_at,
        server_last_alive=None if alive is None else alive.seen_at,
    )


def _failed_job(job: JobOut) -> FailedJobOut:
    lines = (job.error or "").strip().splitlines() or ["no reason was stored"]
    return FailedJobOut(job=job.id, kind=job.kind, subject=job.subject, reason=lines[-1], finished=job.finished)


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
