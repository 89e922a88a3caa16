"""The whole workspace in one file, consistent while the server runs.

The database is copied first, by SQLite's own online backup; a row never points to a file that is not
there, and no stored file ever changes, so every file that the copy's rows point to can be packed afterwards.
"""

from __future__ import annotations

import os
import sqlite3
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import make_url

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import listings, models
from mrseg_label.config import CONFIG_FILE
from mrseg_label.errors import ConfigurationError, Conflict, InvalidInput, StoredFileError
from mrseg_label.registry.service import check_files
from mrseg_label.workspace import PSEUDONYM_KEY, Workspace

DATABASE = "mrseg.db"
# What a round makes again by itself, and what is of no use elsewhere, stays out.
FOLDERS = ("images", "presegmentations", "annotations", "models", "logs")
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Packed:
    """What a backup holds."""

    file: Path
    files: int
    bytes: int


def backup(workspace: OpenedWorkspace, target: Path, progress: Progress | None = None) -> Packed:
    """Write the workspace to a tar file, which appears whole or not at all.

    Raises
    ------
    ConfigurationError
        The database is not SQLite: dump it with its own tool and copy the folder.
    Conflict
        There is a file of that name.
    """
    if not workspace.catalog.is_sqlite:
        raise ConfigurationError(
            "backup packs workspaces with SQLite; with PostgreSQL run pg_dump first and then copy the folder "
            f"{workspace.root} (in this order, so that no row of the dump lacks its file)"
        )
    database = Path(make_url(workspace.database_url).database or "")
    if database != workspace.root / DATABASE:
        raise ConfigurationError(
            f"DATABASE_URL leads out of the workspace, to {database}: copy that file with sqlite3's .backup, then the folder"
        )
    if target.exists():
        raise Conflict(f"{target} is there already; choose another name or remove it")
    if not target.absolute().parent.is_dir():
        raise InvalidInput(f"the folder {target.absolute().parent} does not exist; make it first")
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    count = 3
    try:
        with workspace.scratch("backup-") as scratch, tarfile.open(temporary, "w", dereference=True) as archive:
            _copy_database(database, scratch / DATABASE)
            archive.add(scratch / DATABASE, DATABASE)
            archive.add(workspace.root / "labels.tsv", "labels.tsv")
            if (workspace.root / PSEUDONYM_KEY).is_file():
                archive.add(workspace.root / PSEUDONYM_KEY, PSEUDONYM_KEY)
                count += 1
            files = list(_files(workspace, target, temporary))
            for done, file in enumerate(files, start=1):
                # A file that no row came to point to may have been taken away again.
                with suppress(FileNotFoundError):
                    archive.add(file, file.relative_to(workspace.root).as_posix(), recursive=False)
                    count += 1
                if progress:
                    progress(done, len(files))
            # Last: a folder with this file counts as a workspace.
            archive.add(workspace.root / CONFIG_FILE, CONFIG_FILE)
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return Packed(target, count, target.stat().st_size)


def restore(file: Path, root: Path, progress: Progress | None = None) -> Packed:
    """Unpack a backup into a new or empty folder, and check every stored file against its digest.

    Raises
    ------
    ConfigurationError
        The folder is not empty.
    InvalidInput
        The file is not a whole backup.
    StoredFileError
        A file in it is damaged; the folder stays as it was.
    """
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise ConfigurationError(f"{root} is not an empty folder; restore into another")
    root.absolute().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".restore-", dir=root.absolute().parent) as scratch:
        unpacked = Path(scratch) / "workspace"
        unpacked.mkdir()
        try:
            with tarfile.open(file, "r:") as archive:
                archive.extractall(unpacked, filter="data")
        except (tarfile.TarError, OSError, EOFError) as error:
            raise InvalidInput(f"{file} cannot be unpacked as a backup: {error}") from error
        if not (unpacked / CONFIG_FILE).is_file() or not (unpacked / DATABASE).is_file():
            raise InvalidInput(f"{file} is not a whole backup of a workspace: {CONFIG_FILE} or {DATABASE} is missing")
        count = _verify(unpacked, progress)
        _move_into(unpacked, root)
    return Packed(file, count, file.stat().st_size)


def verify_files(workspace: OpenedWorkspace, progress: Progress | None = None) -> Iterator[str]:
    """Recheck every stored file against its digest; yields what is wrong with each that fails."""
    with workspace.catalog.read() as session:
        single = listings.stored_files(session)
        versions = models.listing(session)
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


def _verify(root: Path, progress: Progress | None) -> int:
    # The settings of the old place must not lead the check to another database.
    workspace = Workspace.open(root)
    catalog = Catalog(f"sqlite:///{root / DATABASE}")
    try:
        catalog.upgrade()
        damaged = list(verify_files(OpenedWorkspace.of(workspace, catalog), progress))
        if damaged:
            raise StoredFileError(f"{len(damaged)} files of the backup are damaged or missing, the first: {damaged[0]}")
        with catalog.read() as session:
            return len(listings.stored_files(session)) + len(models.listing(session))
    finally:
        catalog.close()


def _move_into(unpacked: Path, root: Path) -> None:
    root.mkdir(exist_ok=True)
    # The settings last: a folder with them counts as a workspace.
    for entry in sorted(unpacked.iterdir(), key=lambda entry: entry.name == CONFIG_FILE):
        entry.rename(root / entry.name)


def _copy_database(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as present, closing(sqlite3.connect(target)) as copy:
        present.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")


def _files(workspace: Workspace, *left_out: Path) -> Iterator[Path]:
    skipped = {path.absolute() for path in left_out}
    for folder in FOLDERS:
        for file in sorted((workspace.root / folder).rglob("*")):
            if file.is_file() and not file.name.endswith(".part") and file.absolute() not in skipped:
                yield file
