"""Try a model version on one image before it can be promoted: at once, or as the job of a worker."""

from __future__ import annotations

import logging
from collections.abc import Callable

from sqlalchemy.orm import Session

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import audit, examinations
from mrseg_label.catalog.tables import ModelVersion
from mrseg_label.catalog.types import LOCAL, ModelStatus
from mrseg_label.clock import now
from mrseg_label.config import Settings
from mrseg_label.errors import Conflict, StoredFileError
from mrseg_label.jobs import JobContext, enqueue, queue
from mrseg_label.nnunet.trial import TrialReport, try_model
from mrseg_label.registry import service

log = logging.getLogger("mrseg_label.registry")


def try_version(workspace: OpenedWorkspace, version: str, *, actor: str = LOCAL) -> ModelVersion:
    """Try a version in a process of its own, on a stored image if there is one, and record how that ended.

    Raises
    ------
    NotFound
        The version does not exist.
    Conflict
        It is the bootstrap, which has no files.
    StoredFileError
        Its files differ from those that were registered.
    """
    report = _try(workspace, version)
    with workspace.catalog.begin() as session:
        return _record(session, version, report, actor)


def start_trial(workspace: OpenedWorkspace, version: str, *, actor: str = LOCAL) -> None:
    """Have a worker try a version, unless one is about to.

    Raises
    ------
    NotFound
        The version does not exist.
    Conflict
        It is the bootstrap, which has no files.
    """
    with workspace.catalog.begin() as session:
        _check_has_files(service.get(session, version))
        enqueue_trial(session, workspace.settings, version, actor=actor)


def enqueue_trial(session: Session, settings: Settings, version: str, *, actor: str = LOCAL) -> None:
    """Enqueue the trial of a version within an open transaction, before all drafts that no reader waits for."""
    payload = {"version": version, "actor": actor}
    job = enqueue(session, queue.TRY_MODEL, payload, key=version, priority=queue.REQUESTED_PRIORITY)
    job.queue = queue_of_trials(settings)


def queue_of_trials(settings: Settings) -> str:
    """The queue of the workers that make the drafts, since it has to work where they are; of light work where none are made."""
    return queue.LIGHT if settings.presegmentation == "off" else queue.DRAFTS


def run(context: JobContext) -> None:
    """Try ``payload["version"]``, as a ``try_model`` job; what is wrong with its files is recorded as its problem."""
    version, actor = str(context.payload["version"]), str(context.payload["actor"])
    try:
        report = _try(context.workspace, version, context.check)
    except StoredFileError as error:
        log.warning(
            "%s: %s", version, error
        )  # it names folders of the server, and readers see what is wrong with a version
        report = TrialReport(
            "its files are missing or differ from those that were imported; restore them from a backup"
        )
    with context.publish({"problem": report.problem}) as session:
        _record(session, version, report, actor)


def _try(workspace: OpenedWorkspace, version: str, check: Callable[[], None] = lambda: None) -> TrialReport:
    with workspace.catalog.read() as session:
        row = service.get(session, version)
        newest = examinations.newest(session)
    path = _check_has_files(row)
    service.check_files(workspace, row)
    with workspace.scratch("trial-") as folder:
        image = workspace.path(newest.path) if newest is not None else None
        return try_model(workspace.path(path), image, workspace.settings.device, folder, check)


def _check_has_files(row: ModelVersion) -> str:
    """Return the folder of a version's files."""
    if row.path is None:
        raise Conflict(f"model version {row.version} is TotalSegmentator; mrseg-label doctor checks its weights")
    return row.path


def _record(session: Session, version: str, report: TrialReport, actor: str) -> ModelVersion:
    row = service.get(session, version)
    row.tried_at, row.problem = now(), report.problem
    if report.problem is not None and row.status is ModelStatus.CANDIDATE:
        row.status = ModelStatus.FAILED
    elif report.problem is None and row.status is ModelStatus.FAILED:
        row.status = ModelStatus.CANDIDATE
    audit.record(session, actor, "model.try", version, problem=report.problem)
    return row
