"""Back up a workspace while the server runs: to one file, or into a folder in which each file is stored once.

The database is copied first, as it is at one moment, to a file of SQLite whatever database the workspace uses. A row never
points to a file that does not exist, and no stored file ever changes, so every file that the rows of the copy point to
can be packed afterwards.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import mrseg_label
from mrseg_label.catalog import Catalog
from mrseg_label.catalog.copying import copy_to_file
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import audit, contents, deleted, models
from mrseg_label.catalog.types import LOCAL
from mrseg_label.config import CONFIG_FILE
from mrseg_label.errors import Conflict, InvalidInput, StoredFileError
from mrseg_label.files import TEMPORARY_SUFFIX, replacing
from mrseg_label.maintenance.backup_folder import BackupFolder
from mrseg_label.maintenance.backup_values import Added, Source
from mrseg_label.maintenance.deletion.tombstones import BACKUP
from mrseg_label.paths import sqlite_url
from mrseg_label.registry.service import check_files
from mrseg_label.workspace import DATABASE, PSEUDONYM_KEY, Workspace

# Not nnunet/, which a round makes again, nor temporary files.
FOLDERS = ("images", "presegmentations", "annotations", "models", "logs")
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Packed:
    """A backup in one file: ``files`` is how many are in it, ``bytes`` its size."""

    file: Path
    files: int
    bytes: int


def backup(workspace: OpenedWorkspace, target: Path, progress: Progress | None = None) -> Packed:
    """Write the workspace to a tar file, which appears whole or not at all.

    Parameters
    ----------
    progress : called with the number of files that are packed and of all files.

    Raises
    ------
    Conflict
        A file of that name exists, or a deletion of participants is not finished.
    InvalidInput
        The folder for it does not exist.
    StoredFileError
        A file of the database is missing.
    """
    if target.exists():
        raise Conflict(f"{target} exists already; choose another name or remove it")
    if not target.absolute().parent.is_dir():
        raise InvalidInput(f"the folder {target.absolute().parent} does not exist; create it first")
    with _sources(workspace, progress) as sources, replacing(target, durable=True) as temporary:
        count, settings = 0, None
        with tarfile.open(temporary, "w", dereference=True) as archive:
            for source in sources:
                if source.path == CONFIG_FILE:
                    settings = source
                    continue
                # A file without a row may have been removed in the meantime.
                with suppress(FileNotFoundError):
                    archive.add(source.file, source.path, recursive=False)
                    count += 1
            # Last, since a folder with this file counts as a workspace.
            assert settings is not None
            archive.add(settings.file, settings.path)
    packed = Packed(target, count + 1, target.stat().st_size)
    _record(workspace, target, files=packed.files, bytes=packed.bytes)
    return packed


def add_backup(
    workspace: OpenedWorkspace, folder: Path, keep: int | None = None, progress: Progress | None = None
) -> Added:
    """Add a backup to a folder of backups, in which a file that has not changed is not written again.

    Parameters
    ----------
    folder : of earlier backups, or a new or empty one.
    keep : remove the oldest backups, so that this many are left.

    Raises
    ------
    ConfigurationError
        There is something else in the folder.
    Conflict
        Another backup is being written, or a deletion of participants is not finished.
    StoredFileError
        A stored file is missing or damaged; no backup was added, and earlier ones are as they were.
    """
    _check_deletions(workspace)
    backups = BackupFolder.create(folder)
    with _sources(workspace, progress) as sources:
        added = backups.add(sources, mrseg_label.__version__, keep)
    done = added.summary
    _record(workspace, folder / done.name, files=done.files, bytes=done.bytes, written=added.written)
    return added


def _check_deletions(workspace: OpenedWorkspace) -> None:
    with workspace.catalog.read() as session:
        if deleted.unfinished(session):
            raise Conflict(
                "a deletion of participants was interrupted, and the backup would have what is left of them; finish it "
                "first: mrseg-label participants delete --apply"
            )


def _record(workspace: OpenedWorkspace, target: Path, **detail: int) -> None:
    """Write down where the backup is: the list of deleted participants is put beside the backups that are known."""
    with workspace.catalog.begin() as session:
        audit.record(session, LOCAL, BACKUP, str(target.absolute()), **detail)


@contextmanager
def _sources(workspace: OpenedWorkspace, progress: Progress | None) -> Iterator[Iterator[Source]]:
    """Copy the database, then yield all files of a backup, in the order of their paths."""
    _check_deletions(workspace)
    with workspace.scratch("backup-") as scratch:
        database = scratch / DATABASE
        copy_to_file(workspace.catalog, database)
        copy = Catalog(sqlite_url(database))
        try:
            # At whatever migration: only its paths and digests are read.
            with copy.read() as session:
                stored = contents.stored_files_by_path(session)
                yield _with_digests(_files(workspace, database), stored, _count(workspace), progress)
        finally:
            copy.close()


def _with_digests(
    files: Iterator[Source], stored: Iterator[tuple[str, str]], total: int, progress: Progress | None
) -> Iterator[Source]:
    """Join the files of the disk with what the database says of them; both are in the order of their paths.

    Raises
    ------
    StoredFileError
        A file of the database is not on the disk.
    """
    wanted = next(stored, None)
    for done, source in enumerate(files, start=1):
        if wanted is not None and wanted[0] < source.path:
            raise _missing(wanted[0])
        digest = None
        while wanted is not None and wanted[0] == source.path:
            digest, wanted = wanted[1], next(stored, None)
        yield Source(source.path, source.file, digest)
        if progress:
            progress(done, max(done, total))
    if wanted is not None:
        raise _missing(wanted[0])


def _missing(path: str) -> StoredFileError:
    return StoredFileError(
        f"{path} is missing, so that no backup was made. If drafts or participants were deleted in this moment, repeat it; if not, "
        "see mrseg-label doctor --verify"
    )


def _files(workspace: Workspace, database: Path) -> Iterator[Source]:
    """Find the files of a backup, in the order of their paths."""
    single = {DATABASE: database}
    for name in (CONFIG_FILE, "labels.tsv", PSEUDONYM_KEY):
        if (workspace.root / name).is_file():
            single[name] = workspace.root / name
    # As text: "a/b" stands behind "a-b".
    for name in sorted([*single, *(f"{folder}/" for folder in FOLDERS)]):
        if name in single:
            yield Source(name, single[name])
        else:
            yield from _walk(workspace.root / name, name)


def _walk(folder: Path, prefix: str) -> Iterator[Source]:
    try:
        entries = [
            (f"{entry.name}/" if entry.is_dir() else entry.name, entry.is_file()) for entry in os.scandir(folder)
        ]
    except FileNotFoundError:  # removed in the meantime
        return
    for name, is_file in sorted(entries):
        if name.endswith("/"):
            yield from _walk(folder / name, prefix + name)
        elif is_file and not name.endswith(TEMPORARY_SUFFIX):
            yield Source(prefix + name, folder / name)


def _count(workspace: Workspace) -> int:
    return sum(1 for name in FOLDERS for _ in _walk(workspace.root / name, "")) + 4


def verify_files(workspace: OpenedWorkspace, progress: Progress | None = None) -> Iterator[str]:
    """Check every stored file against its digest; yields a message for each that is damaged or missing."""
    with workspace.catalog.read() as session:
        single = contents.stored_files(session)
        versions = models.list_all(session)
    total = len(single) + len(versions)
    checks: list[Callable[[], None]] = [_single(workspace, path, digest) for path, digest in single]
    checks += [_version(workspace, row.version) for row in versions]
    for done, check in enumerate(checks, start=1):
        try:
            check()
        except StoredFileError as error:
            yield str(error)
        if progress:
            progress(done, total)


def _single(workspace: Workspace, path: str, digest: str) -> Callable[[], None]:
    return lambda: workspace.verify(path, digest)


def _version(workspace: OpenedWorkspace, version: str) -> Callable[[], None]:
    def check() -> None:
        with workspace.catalog.read() as session:
            row = models.get(session, version)
        if row is not None:
            check_files(workspace, row)

    return check
