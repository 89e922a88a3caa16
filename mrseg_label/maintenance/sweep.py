"""Clear away what killed processes left behind.

Only what a row of the database points to is ever read. A process that is killed may leave a temporary folder, a file
under its temporary name (``.part``), or, between the rename of a file and the commit of its row, a whole file without
a row. Anything younger than a day may belong to a process at work.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import contents, jobs
from mrseg_label.files import TEMPORARY_SUFFIX
from mrseg_label.jobs import queue
from mrseg_label.workspace import Workspace

FOLDERS = ("images", "presegmentations", "annotations")
# Folders in tmp/ that outlive a process: a round resumes in its own, image sessions have an expiry of their own, and
# a worker may have written nothing for days into the folder of its TotalSegmentator.
KEPT_PREFIXES = ("round-", "sessions", "totalsegmentator-")
DAY_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class Leftovers:
    """What was found; paths are relative to the workspace.

    Attributes
    ----------
    removed : temporary files and folders, which were removed.
    without_row : whole files that no row points to, which stay.
    """

    removed: tuple[str, ...]
    without_row: tuple[str, ...]


def remove_dead_scratch(
    workspace: Workspace, older_than: float = DAY_SECONDS, *, dry_run: bool = False
) -> tuple[str, ...]:
    """Remove the temporary folders of requests and jobs that were killed.

    Parameters
    ----------
    older_than : seconds since anything was written into a folder; a process at work writes all the time.
    dry_run : only list them.

    Returns
    -------
    The folders, relative to the workspace.
    """
    before = time.time() - older_than
    removed = []
    for folder in (workspace.root / "tmp").iterdir():
        is_kept = folder.name.startswith(KEPT_PREFIXES) or not folder.is_dir()
        if not is_kept and folder.stat().st_mtime < before:
            if not dry_run:
                shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder.relative_to(workspace.root).as_posix())
    return tuple(sorted(removed))


def sweep(workspace: OpenedWorkspace, older_than: float = DAY_SECONDS, *, dry_run: bool = False) -> Leftovers:
    """Remove temporary folders and files, and find files without a row.

    Parameters
    ----------
    older_than : seconds since a file or folder was written.
    dry_run : only list what would be removed.
    """
    folders = remove_dead_scratch(workspace, older_than, dry_run=dry_run)
    old = dict(_old_files(workspace, older_than))
    # After the listing, so that a row that was committed in the meantime is known.
    with workspace.catalog.read() as session:
        known = {path for path, _ in contents.stored_files(session)}
        # Imported masks that are not decoded yet.
        known |= {str(job.payload["path"]) for job in jobs.of_kind(session, queue.IMPORT_MASK)}
    temporary = sorted(relative for relative, file in old.items() if file.name.endswith(TEMPORARY_SUFFIX))
    for relative in () if dry_run else temporary:
        old[relative].unlink(missing_ok=True)
    return Leftovers((*folders, *temporary), tuple(sorted(old.keys() - known - set(temporary))))


def _old_files(workspace: Workspace, older_than: float) -> Iterator[tuple[str, Path]]:
    before = time.time() - older_than
    for folder in FOLDERS:
        for file in (workspace.root / folder).rglob("*"):
            if (file.is_file() or file.is_symlink()) and file.lstat().st_mtime < before:
                yield file.relative_to(workspace.root).as_posix(), file
