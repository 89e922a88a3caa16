"""Remove what can be made again and what nothing needs any more; never an image, an annotation or a model.

A row goes before its file: killed in between, a file without a row is left, which nothing reads and the next call removes.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy.exc import IntegrityError

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import audit, jobs, models, obsolete, participants
from mrseg_label.catalog.types import LOCAL, ModelStatus
from mrseg_label.errors import InvalidInput
from mrseg_label.jobs import queue
from mrseg_label.maintenance.sweep import sweep
from mrseg_label.nnunet.pruning import freed_bytes
from mrseg_label.rounds.housekeeping import folders_to_remove, prune_rounds
from mrseg_label.rounds.service import run_folder

OLDER_THAN_DAYS = 30.0
ACTION = "prune"
_DRAFTS_AT_ONCE = 200
_LOG_DAYS = 7.0
_DRAFTS = "presegmentations/"


@dataclass(frozen=True)
class Removed:
    """What of one kind is removed, or would be.

    Attributes
    ----------
    kind : what it is.
    count : number of files, folders or rows.
    bytes : room that it takes; rows of the database count as nothing.
    rule : which of that kind go.
    """

    kind: str
    count: int
    bytes: int
    rule: str


def prune(
    workspace: OpenedWorkspace, *, apply: bool = False, older_than_days: float = OLDER_THAN_DAYS, actor: str = LOCAL
) -> list[Removed]:
    """Remove, or only list, what can be made again; killed at any moment, it can be called again.

    Parameters
    ----------
    apply : remove it.
    older_than_days : of pre-segmentations, jobs and logs, only those that are older.

    Raises
    ------
    InvalidInput
        The number of days is negative.
    """
    if older_than_days < 0:
        raise InvalidInput(f"{older_than_days:g} days is a negative age; give 0 or more")
    done = [
        _prune_drafts(workspace, apply, older_than_days),
        _prune_training(workspace, apply),
        _prune_archives(workspace, apply, older_than_days),
        _prune_jobs(workspace, apply, older_than_days),
        _prune_logs(workspace, apply, older_than_days),
        *_prune_leftovers(workspace, apply),
    ]
    if apply:
        removed = {one.kind.replace(" ", "_"): one.count for one in done if one.count}
        with workspace.catalog.begin() as session:
            total = sum(one.bytes for one in done)
            audit.record(session, actor, ACTION, "workspace", **removed, bytes=total, older_than_days=older_than_days)
    return done


def _prune_drafts(workspace: OpenedWorkspace, apply: bool, days: float) -> Removed:
    rule = (
        f"made more than {days:g} days ago by another model than the current one, of a case that has a newer one, is annotated or "
        "excluded; nobody has the case, and no annotation, assignment, round or measurement refers to it"
    )
    with workspace.catalog.read() as session:
        moment = workspace.catalog.now(session)
        before = moment - timedelta(days=days)
        drafts = obsolete.old_drafts(session, before, moment)
    size, count = 0, 0
    for start in range(0, len(drafts), _DRAFTS_AT_ONCE):
        part = drafts[start : start + _DRAFTS_AT_ONCE]
        if apply:
            part = _delete_drafts(workspace, [draft.id for draft in part], days)
        paths = [workspace.path(draft.path) for draft in part]
        size += freed_bytes(paths)
        count += len(part)
        if apply:
            for path in paths:
                path.unlink(missing_ok=True)
    return Removed("pre-segmentations", count, size, rule)


def _delete_drafts(workspace: OpenedWorkspace, identifiers: Sequence[str], days: float) -> list[obsolete.OldDraft]:
    """Delete rows of drafts that are still not needed; returns what was deleted."""
    try:
        with workspace.catalog.begin() as session:
            participants.lock_imports(session)  # as whoever stores a snapshot does, which refers to drafts
            moment = workspace.catalog.now(session)
            still = obsolete.old_drafts(session, moment - timedelta(days=days), moment, identifiers)
            obsolete.delete_drafts(session, [draft.id for draft in still])
            return still
    except IntegrityError:  # PostgreSQL: one was just sent to a reader; the next call finds the others
        return []


def _prune_training(workspace: OpenedWorkspace, apply: bool) -> Removed:
    rule = (
        "data sets, preprocessed cases, checkpoints and results of ended rounds, of which nothing is taken over by a later round "
        "or a retry; the trained models are kept"
    )
    folders = folders_to_remove(workspace)
    removed = Removed("training folders", len(folders), freed_bytes(folders), rule)
    if apply:
        prune_rounds(workspace)
        left = [folder for folder in folders if folder.is_dir()]
        removed = Removed(removed.kind, removed.count - len(left), removed.bytes - freed_bytes(left), rule)
    return removed


def _prune_archives(workspace: OpenedWorkspace, apply: bool, days: float) -> Removed:
    rule = f"zip files of versions other than the current one, made more than {days:g} days ago; a download makes them again"
    with workspace.catalog.read() as session:
        versions = [row.version for row in models.list_all(session) if row.status is not ModelStatus.CURRENT]
    archives = _older((workspace.models / f"{version}.zip" for version in versions), days)
    return Removed("model archives", len(archives), _remove(archives, apply), rule)


def _prune_jobs(workspace: OpenedWorkspace, apply: bool, days: float) -> Removed:
    rule = f"records of jobs that were done or cancelled more than {days:g} days ago; those of rounds, masks and failures are kept"
    with workspace.catalog.read() as session:
        found = obsolete.old_jobs(session, workspace.catalog.now(session) - timedelta(days=days))
    if apply and found:
        with workspace.catalog.begin() as session:
            obsolete.delete_jobs(session, found)
    return Removed("job records", len(found), 0, rule)


def _prune_logs(workspace: OpenedWorkspace, apply: bool, days: float) -> Removed:
    rule = (
        f"files in logs/ without a line for more than {max(days, _LOG_DAYS):g} days, and folders of rounds that ended before that, whose logs are "
        "in the database"
    )
    with workspace.catalog.read() as session:
        ended = obsolete.rounds_with_stored_log(session, workspace.catalog.now(session) - timedelta(days=days))
    # A process may have one open that it writes to seldom.
    found = _older(workspace.logs.glob("*.log*"), max(days, _LOG_DAYS))
    found += [folder for number in ended if (folder := run_folder(workspace, number)).is_dir()]
    return Removed("logs", len(found), _remove(found, apply), rule)


def _prune_leftovers(workspace: OpenedWorkspace, apply: bool) -> list[Removed]:
    left = sweep(workspace, dry_run=True)
    temporary = [workspace.path(relative) for relative in left.removed]
    with workspace.catalog.read() as session:
        waiting = {str(job.payload.get("path")) for job in jobs.of_kind(session, queue.IMPORT_MASK)}
    orphans = [
        workspace.path(relative)
        for relative in left.without_row
        if relative.startswith(_DRAFTS) and relative not in waiting
    ]
    return [
        Removed(
            "temporary files", len(temporary), _remove(temporary, apply), "left by killed processes, older than a day"
        ),
        Removed(
            "files of no pre-segmentation",
            len(orphans),
            _remove(orphans, apply),
            f"in {_DRAFTS}, without a row in the database, older than a day",
        ),
    ]


def _older(files: Iterable[Path], days: float) -> list[Path]:
    before = time.time() - days * 24 * 3600
    return sorted(file for file in files if file.is_file() and file.stat().st_mtime < before)


def _remove(paths: Sequence[Path], apply: bool) -> int:
    """Return the room that files and folders take, and remove them if that is wanted."""
    size = freed_bytes(paths)
    for path in paths if apply else ():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return size
