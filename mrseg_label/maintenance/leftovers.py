"""What killed processes leave beside the stored files.

Data is what a row points to; nothing else is ever read. A half file keeps its temporary name (``.part``),
and a process that dies between a rename and its commit leaves a whole file without a row.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import jobs, listings
from mrseg_label.jobs import queue
from mrseg_label.workspace import Workspace

FOLDERS = ("images", "presegmentations", "annotations")
TEMPORARY = ".part"
DAY_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class Leftovers:
    """What there is, paths relative to the workspace.

    Attributes
    ----------
    removed : temporary files that were.
    without_row : whole files that no row points to.
    """

    removed: tuple[str, ...]
    without_row: tuple[str, ...]


def sweep(workspace: OpenedWorkspace, older_than: float = DAY_SECONDS) -> Leftovers:
    """Remove temporary files, and find files without a row; younger ones may belong to somebody at work.

    Parameters
    ----------
    older_than : seconds since a file was written.
    """
    old = dict(_old_files(workspace, older_than))
    # After the listing: a row that was committed since then is known.
    with workspace.catalog.read() as session:
        known = {path for path, _ in listings.stored_files(session)}
        known |= {
            str(job.payload["path"]) for job in jobs.of_kind(session, queue.IMPORT_MASK)
        }  # they wait to be decoded
    removed = sorted(relative for relative, file in old.items() if file.name.endswith(TEMPORARY))
    for relative in removed:
        old[relative].unlink(missing_ok=True)
    return Leftovers(tuple(removed), tuple(sorted(old.keys() - known - set(removed))))


def _old_files(workspace: Workspace, older_than: float) -> Iterator[tuple[str, Path]]:
    before = time.time() - older_than
    for folder in FOLDERS:
        for file in (workspace.root / folder).rglob("*"):
            if (file.is_file() or file.is_symlink()) and file.lstat().st_mtime < before:
                yield file.relative_to(workspace.root).as_posix(), file
