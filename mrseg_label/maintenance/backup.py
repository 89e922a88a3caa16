"""Back up a workspace to one file, while the server runs, and restore it.

The database is copied first, by SQLite's own online backup. A row never points to a file that does not exist, and no
stored file ever changes, so every file that the rows of the copy point to can be packed afterwards.
"""

from __future__ import annotations

import sqlite3
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import audit, contents, deleted, models
from mrseg_label.catalog.types import LOCAL
from mrseg_label.config import CONFIG_FILE, load_settings
from mrseg_label.errors import ConfigurationError, Conflict, InvalidInput, StoredFileError
from mrseg_label.files import TEMPORARY_SUFFIX, make_folder, replacing
from mrseg_label.maintenance.deletion.tombstones import BACKUP, Entry, read_entries
from mrseg_label.maintenance.deletion.tombstones import FILE as DELETIONS
from mrseg_label.paths import sqlite_url
from mrseg_label.private import close_folder, mend
from mrseg_label.registry.service import check_files
from mrseg_label.workspace import DATABASE, PSEUDONYM_KEY, Workspace

# Not nnunet/, which a round makes again, nor temporary files.
FOLDERS = ("images", "presegmentations", "annotations", "models", "logs")
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Packed:
    """A backup or a restored workspace.

    Attributes
    ----------
    file : the tar file.
    files : number of files in a backup; of a restored workspace, of stored files and models that were verified.
    bytes : size of the tar file.
    deleted : participants that were deleted from the restored workspace, since they had been deleted after the backup.
    """

    file: Path
    files: int
    bytes: int
    deleted: int = 0


def backup(workspace: OpenedWorkspace, target: Path, progress: Progress | None = None) -> Packed:
    """Write the workspace to a tar file, which appears whole or not at all.

    Parameters
    ----------
    progress : called with the number of files that are packed and of all files.

    Raises
    ------
    ConfigurationError
        The database is not SQLite, or lies outside the workspace.
    Conflict
        A file of that name exists, or a deletion of participants is not finished.
    InvalidInput
        The folder for it does not exist.
    """
    if not workspace.catalog.is_sqlite:
        raise ConfigurationError(
            "backup works with SQLite only; with PostgreSQL run pg_dump first and then copy the folder "
            f"{workspace.root} (in this order, so that every row of the dump has its file)"
        )
    database = Path(workspace.database_url.database or "")
    if database != workspace.root / DATABASE:
        raise ConfigurationError(
            f"DATABASE_URL names a database outside the workspace, {database}; copy it with .backup of sqlite3, and then "
            f"the folder {workspace.root}"
        )
    if target.exists():
        raise Conflict(f"{target} exists already; choose another name or remove it")
    if not target.absolute().parent.is_dir():
        raise InvalidInput(f"the folder {target.absolute().parent} does not exist; create it first")
    with workspace.catalog.read() as session:
        if deleted.unfinished(session):
            raise Conflict(
                "a deletion of participants was interrupted, and the backup would have what is left of them; finish it "
                "first: mrseg-label participants delete --apply"
            )
    with replacing(target, durable=True) as temporary:
        count = _pack(workspace, database, temporary, progress)
    packed = Packed(target, count, target.stat().st_size)
    # The list of deleted participants is put beside the backups that are known.
    with workspace.catalog.begin() as session:
        audit.record(session, LOCAL, BACKUP, str(target.absolute()), files=count, bytes=packed.bytes)
    return packed


def _pack(workspace: Workspace, database: Path, target: Path, progress: Progress | None) -> int:
    """Write the tar file; returns the number of files in it."""
    count = 3
    with workspace.scratch("backup-") as scratch, tarfile.open(target, "w", dereference=True) as archive:
        _copy_database(database, scratch / DATABASE)
        archive.add(scratch / DATABASE, DATABASE)
        archive.add(workspace.root / "labels.tsv", "labels.tsv")
        if (workspace.root / PSEUDONYM_KEY).is_file():
            archive.add(workspace.root / PSEUDONYM_KEY, PSEUDONYM_KEY)
            count += 1
        files = list(_files(workspace))
        for done, file in enumerate(files, start=1):
            # A file without a row may have been removed in the meantime.
            with suppress(FileNotFoundError):
                archive.add(file, file.relative_to(workspace.root).as_posix(), recursive=False)
                count += 1
            if progress:
                progress(done, len(files))
        # Last, since a folder with this file counts as a workspace.
        archive.add(workspace.root / CONFIG_FILE, CONFIG_FILE)
    return count


def restore(file: Path, root: Path, progress: Progress | None = None, deletions: Path | None = None) -> Packed:
    """Unpack a backup into a new or empty folder, and check every stored file against its digest.

    Participants who were deleted after the backup was made are deleted from what is restored, before it gets its name.

    Parameters
    ----------
    progress : called with the number of files that are verified and of all files.
    deletions : the list of deleted participants, or the workspace or folder with it; the one beside the backup is used too.

    Raises
    ------
    ConfigurationError
        The folder is not empty.
    InvalidInput
        The file is not a complete backup.
    StoredFileError
        A file in it is damaged; the folder stays as it was.
    """
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise ConfigurationError(f"{root} is not an empty folder; choose another")
    make_folder(root.absolute().parent)
    with tempfile.TemporaryDirectory(prefix=".restore-", dir=root.absolute().parent) as scratch:
        unpacked = Path(scratch) / "workspace"
        unpacked.mkdir()
        try:
            with tarfile.open(file, "r:") as archive:
                archive.extractall(unpacked, filter="data")
        except (tarfile.TarError, OSError, EOFError) as error:
            raise InvalidInput(f"{file} cannot be unpacked as a backup: {error}; use another copy of it") from error
        if not (unpacked / CONFIG_FILE).is_file() or not (unpacked / DATABASE).is_file():
            raise InvalidInput(
                f"{file} is not a complete backup of a workspace: {CONFIG_FILE} or {DATABASE} is missing"
            )
        mend(unpacked, load_settings(unpacked).shared_with_group)
        entries = read_entries(deletions) if deletions is not None else []
        if (file.absolute().parent / DELETIONS).is_file():
            entries += read_entries(file.absolute().parent)
        count, gone = _verify(unpacked, entries, progress)
        _move_into(unpacked, root)
    return Packed(file, count, file.stat().st_size, gone)


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


def _verify(root: Path, entries: Sequence[Entry], progress: Progress | None) -> tuple[int, int]:
    # Imported here: it reads images, and a backup is made without.
    from mrseg_label.maintenance.deletion.service import delete_again

    workspace = Workspace.open(root)
    # Not the workspace's own URL: the settings may name the database of another place.
    catalog = Catalog(sqlite_url(root / DATABASE))
    try:
        catalog.upgrade()
        damaged = list(verify_files(OpenedWorkspace.of(workspace, catalog), progress))
        if damaged:
            raise StoredFileError(f"{len(damaged)} files of the backup are damaged or missing, the first: {damaged[0]}")
        with catalog.read() as session:
            count = len(contents.stored_files(session)) + len(models.list_all(session))
        return count, delete_again(OpenedWorkspace.of(workspace, catalog), entries)
    finally:
        catalog.close()


def _move_into(unpacked: Path, root: Path) -> None:
    make_folder(root.absolute())
    close_folder(root)
    # The settings last, since a folder with them counts as a workspace.
    for entry in sorted(unpacked.iterdir(), key=lambda entry: entry.name == CONFIG_FILE):
        entry.rename(root / entry.name)


def _copy_database(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as present, closing(sqlite3.connect(target)) as copy:
        present.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")


def _files(workspace: Workspace) -> Iterator[Path]:
    for folder in FOLDERS:
        for file in sorted((workspace.root / folder).rglob("*")):
            if file.is_file() and not file.name.endswith(TEMPORARY_SUFFIX):
                yield file
