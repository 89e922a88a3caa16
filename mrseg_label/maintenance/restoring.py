"""Restore a workspace from a backup: whole, checked, and without whoever was deleted since."""

from __future__ import annotations

import json
import re
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sqlalchemy.engine import URL

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.copying import copy_from_file, require_empty
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import contents, models
from mrseg_label.config import CONFIG_FILE, load_settings
from mrseg_label.errors import ConfigurationError, InvalidInput, StoredFileError
from mrseg_label.files import make_folder, write_durably
from mrseg_label.maintenance.backup import Progress, verify_files
from mrseg_label.maintenance.backup_folder import MARK, SUMMARY, BackupFolder
from mrseg_label.maintenance.deletion.tombstones import FILE as DELETIONS
from mrseg_label.maintenance.deletion.tombstones import Entry, read_entries
from mrseg_label.paths import configured_url, sqlite_url
from mrseg_label.private import close_folder, mend
from mrseg_label.workspace import DATABASE, Workspace

SQLITE = "sqlite"  # for --database: the database lies in the folder of the workspace
_LINE = re.compile(r"^\s*DATABASE_URL\s*=.*\n?", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True)
class Restored:
    """A restored workspace.

    Attributes
    ----------
    files : number of stored files and models that were verified.
    deleted : participants that were deleted from it, since they had been deleted after the backup.
    database : where its database is, without a password.
    """

    files: int
    deleted: int
    database: str


def restore(
    source: Path,
    root: Path,
    progress: Progress | None = None,
    deletions: Path | None = None,
    database: str | None = None,
) -> Restored:
    """Unpack a backup into a new or empty folder, and check every stored file against its digest.

    Participants who were deleted after the backup was made are deleted from what is restored, before it gets its name.

    Parameters
    ----------
    source : a tar file, a folder of backups (for the newest), or one backup in such a folder.
    progress : called with the number of files that are verified and of all files.
    deletions : the list of deleted participants, or the workspace or folder with it; the one beside the backup is used too.
    database : URL of an empty PostgreSQL database for the rows, or ``sqlite``; by default what the settings say.

    Raises
    ------
    ConfigurationError
        The folder or the database is not empty.
    InvalidInput
        The source is not a complete backup.
    StoredFileError
        A file in it is damaged; the folder stays as it was.
    """
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise ConfigurationError(f"{root} is not an empty folder; choose another")
    make_folder(root.absolute().parent)
    with tempfile.TemporaryDirectory(prefix=".restore-", dir=root.absolute().parent) as scratch:
        unpacked = Path(scratch) / "workspace"
        unpacked.mkdir()
        beside = _unpack(source, unpacked)
        if not (unpacked / CONFIG_FILE).is_file() or not (unpacked / DATABASE).is_file():
            raise InvalidInput(
                f"{source} is not a complete backup of a workspace: {CONFIG_FILE} or {DATABASE} is missing"
            )
        target = _choose_database(unpacked, database)
        mend(unpacked, load_settings(unpacked).shared_with_group)
        entries = read_entries(deletions) if deletions is not None else []
        for folder in beside:
            if (folder / DELETIONS).is_file():
                entries += read_entries(folder)
        count, gone = _verify(unpacked, entries, progress)
        if target is not None:
            _fill(target, unpacked / DATABASE)
        _move_into(unpacked, root)
    where = f"SQLite in {root}" if target is None else target.render_as_string()
    return Restored(count, gone, where)


def _unpack(source: Path, target: Path) -> tuple[Path, ...]:
    """Unpack any form of a backup; returns the folders in which a list of deleted participants may lie."""
    if (source / MARK).is_file():
        folder, name = source, None
    elif (source / SUMMARY).is_file():
        folder, name = source.absolute().parent, source.name
    elif source.is_dir():
        raise InvalidInput(f"{source} is neither a folder of backups nor a backup in one; name one that `backup` wrote")
    else:
        _unpack_file(source, target)
        return (source.absolute().parent,)
    backups = BackupFolder.open(folder)
    with backups.reading():
        for kept in backups.files_of(backups.get(name)):
            place = PurePosixPath(kept.path)
            if place.is_absolute() or ".." in place.parts:
                raise InvalidInput(
                    f"{folder} names {kept.path}, which is outside of a workspace; it was not made by `backup`"
                )
            (target / place).parent.mkdir(parents=True, exist_ok=True)
            backups.copy(kept, target / place)
    return (folder, folder.absolute().parent)


def _unpack_file(file: Path, target: Path) -> None:
    try:
        with tarfile.open(file, "r:") as archive:
            archive.extractall(target, filter="data")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise InvalidInput(f"{file} cannot be unpacked as a backup: {error}; use another copy of it") from error


def _choose_database(unpacked: Path, wanted: str | None) -> URL | None:
    """Decide where the rows go, and write it into the settings; returns the URL, or None for a file in the workspace.

    The settings of a backup may name the database of the workspace that it was made of, which must not be touched.
    """
    named = load_settings(unpacked).database_url if wanted is None else wanted
    url = None if named in (None, SQLITE) else named
    if url is not None and configured_url(url).get_backend_name() == "sqlite":
        if wanted is not None:
            raise ConfigurationError(f"--database {wanted} is neither `sqlite` nor the URL of a PostgreSQL database")
        url = None
    if wanted is not None or url is None:
        _write_setting(unpacked / CONFIG_FILE, url)
    settings = load_settings(unpacked)
    if settings.database_url != url:
        raise ConfigurationError(
            "MRSEG_DATABASE_URL is set and names another database than the restored workspace would have; unset it, or give "
            "that database as --database"
        )
    if url is None:
        return None
    target = Workspace(unpacked, settings).database_url
    catalog = Catalog(target)
    try:
        require_empty(catalog)
    finally:
        catalog.close()
    return target


def _write_setting(file: Path, url: str | None) -> None:
    text = file.read_text(encoding="utf-8")
    others = _LINE.sub("", text)
    # Before the first table, to which it would belong.
    new = others if url is None else f"DATABASE_URL = {json.dumps(url)}\n{others}"
    if new != text:
        write_durably(file, new.encode())


def _fill(url: URL, database: Path) -> None:
    """Move the rows to PostgreSQL."""
    catalog = Catalog(url)
    try:
        copy_from_file(database, catalog)
    finally:
        catalog.close()
    database.unlink()


@contextmanager
def _opened(root: Path) -> Iterator[OpenedWorkspace]:
    # Not the workspace's own URL: its rows are in the file still.
    catalog = Catalog(sqlite_url(root / DATABASE))
    try:
        catalog.upgrade()
        yield OpenedWorkspace.of(Workspace.open(root), catalog)
    finally:
        catalog.close()


def _verify(root: Path, entries: Sequence[Entry], progress: Progress | None) -> tuple[int, int]:
    # Imported here: it reads images, and a backup is made without.
    from mrseg_label.maintenance.deletion.service import delete_again

    with _opened(root) as workspace:
        damaged = list(verify_files(workspace, progress))
        if damaged:
            raise StoredFileError(f"{len(damaged)} files of the backup are damaged or missing, the first: {damaged[0]}")
        with workspace.catalog.read() as session:
            count = len(contents.stored_files(session)) + len(models.list_all(session))
        return count, delete_again(workspace, entries)


def _move_into(unpacked: Path, root: Path) -> None:
    make_folder(root.absolute())
    close_folder(root)
    # The settings last, since a folder with them counts as a workspace.
    for entry in sorted(unpacked.iterdir(), key=lambda entry: entry.name == CONFIG_FILE):
        entry.rename(root / entry.name)
