"""A folder of backups: each file is in it once, named by its SHA-256, however many backups have it.

    DIR/mrseg-backups.json                what this folder is
    DIR/files/3f/3f9c...                  contents of files
    DIR/000007-2026-11-27T021500Z/        a backup: backup.json, and files.jsonl.gz with the path and SHA-256 of each file

A backup gets its name when everything that it names is on the disk, and nothing is ever changed in place. So one that is cut off
leaves those before it as they were, and what it had stored already is not written again by the next.
"""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from mrseg_label.clock import now
from mrseg_label.errors import ConfigurationError, Conflict, InvalidInput, StoredFileError
from mrseg_label.files import make_folder, sync, write_durably
from mrseg_label.maintenance.backup_contents import Contents
from mrseg_label.maintenance.backup_values import Added, Kept, Source, Summary

MARK = "mrseg-backups.json"
FILES, LIST, SUMMARY, LOCK, UNFINISHED = "files", "files.jsonl.gz", "backup.json", ".lock", ".unfinished"
FORMAT = 1
_PARTIAL = ".partial"


class BackupFolder:
    """The backups in ``root``; make one with :meth:`create`, open what is there with :meth:`open`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._contents = Contents(root / FILES)

    @classmethod
    def create(cls, root: Path) -> BackupFolder:
        """Open a folder of backups, or make one of a new or empty folder.

        Raises
        ------
        ConfigurationError
            There is something else in the folder.
        """
        if not (root / MARK).is_file():
            if root.exists() and (not root.is_dir() or any(root.iterdir())):
                raise ConfigurationError(
                    f"{root} has other files and no backups; name a new or empty folder for incremental backups, or a new file"
                )
            make_folder(root.absolute())
            write_durably(root / MARK, json.dumps({"format": FORMAT}).encode())
        return cls.open(root)

    @classmethod
    def open(cls, root: Path) -> BackupFolder:
        """Open a folder of backups.

        Raises
        ------
        InvalidInput
            It is something else, or a newer version made it.
        """
        try:
            found = json.loads((root / MARK).read_text())["format"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InvalidInput(f"{root} is not a folder of backups (it has no readable {MARK}): {error}") from error
        if found != FORMAT:
            raise InvalidInput(f"{root} has backups of format {found}; install the newer version that made them")
        return cls(root)

    def backups(self) -> list[Summary]:
        """Read which backups there are, the oldest first."""
        found = []
        for file in self.root.glob(f"[0-9]*/{SUMMARY}"):
            try:
                found.append(Summary(**{"name": file.parent.name, **json.loads(file.read_text())}))
            except (OSError, ValueError, TypeError) as error:
                raise InvalidInput(f"{file} cannot be read: {error}; move this backup away") from error
        return sorted(found, key=lambda one: one.number)

    def get(self, name: str | None = None) -> Summary:
        """Return a backup by its name, by default the newest.

        Raises
        ------
        InvalidInput
            There is none of that name, or none at all.
        """
        present = self.backups()
        found = next((one for one in reversed(present) if name in (None, one.name)), None)
        if found is None:
            names = ", ".join(one.name for one in present) or "no finished backup"
            raise InvalidInput(f"{self.root} has no backup {name or ''}".rstrip() + f"; it has {names}")
        return found

    def files_of(self, backup: Summary) -> Iterator[Kept]:
        """Read which files a backup has, in the order of their paths.

        Raises
        ------
        InvalidInput
            The list of files is damaged.
        """
        file = self.root / backup.name / LIST
        try:
            with gzip.open(file, "rt", encoding="utf-8") as stream:
                for line in stream:
                    digest, size, changed, path = json.loads(line)
                    yield Kept(path, digest, size, changed)
        except (OSError, ValueError, EOFError) as error:
            raise InvalidInput(f"{file} cannot be read: {error}; restore another backup of {self.root}") from error

    def copy(self, kept: Kept, target: Path) -> None:
        """Write a file of a backup to a new place.

        Raises
        ------
        StoredFileError
            Its content is missing or damaged.
        """
        try:
            self._contents.copy(kept.digest, target)
        except StoredFileError as error:
            raise StoredFileError(f"{kept.path} cannot be restored: {error}") from error

    def add(self, sources: Iterable[Source], version: str, keep: int | None = None) -> Added:
        """Add a backup.

        Parameters
        ----------
        sources : its files, in the order of their paths; one that has disappeared is left out.
        version : of the program.
        keep : remove older backups, so that this many are left.

        Raises
        ------
        Conflict
            Another backup is being written.
        StoredFileError
            A file is not what the database says of it, and no earlier backup has it; no backup was added.
        """
        with self._locked(fcntl.LOCK_EX):
            present = self.backups()
            cut_off = (self.root / UNFINISHED).exists()
            write_durably(self.root / UNFINISHED, b"a backup is being written, or was cut off\n")
            number = max((one.number for one in present), default=0) + 1
            name = f"{number:06d}-{now():%Y-%m-%dT%H%M%SZ}"
            contents = Contents(self.root / FILES)
            files = size = 0
            with self._new(name) as folder:
                earlier = _Earlier(self.files_of(present[-1]) if present else iter(()))
                with gzip.open(folder / LIST, "wt", encoding="utf-8", compresslevel=6) as stream:
                    for source in sources:
                        with suppress(FileNotFoundError):
                            kept = _keep(source, earlier.find(source.path), contents)
                            stream.write(json.dumps([kept.digest, kept.size, kept.changed, kept.path]) + "\n")
                            files, size = files + 1, size + kept.size
                sync(folder / LIST)
                contents.sync()
                summary = Summary(name, number, now().isoformat(timespec="seconds"), version, files, size)
                write_durably(folder / SUMMARY, json.dumps(asdict(summary)).encode())
            removed = self._remove(present[: max(0, len(present) + 1 - keep)] if keep is not None else [])
            if removed or cut_off:
                self._remove_unused()
            (self.root / UNFINISHED).unlink()
        return Added(summary, contents.written, contents.written_bytes, tuple(removed))

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Keep backups from being removed in this block."""
        with self._locked(fcntl.LOCK_SH):
            yield

    @contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        exclusive = how == fcntl.LOCK_EX
        try:
            descriptor = os.open(self.root / LOCK, os.O_RDWR | os.O_CREAT if exclusive else os.O_RDONLY, 0o600)
        except FileNotFoundError:  # a copy without it, which nobody writes
            yield
            return
        try:
            try:
                fcntl.flock(descriptor, how | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Conflict(
                    f"a backup is being written to {self.root}, or restored from it; repeat it when that is done"
                ) from error
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def _new(self, name: str) -> Iterator[Path]:
        for left in self.root.glob(f".*{_PARTIAL}"):
            shutil.rmtree(left)
        partial = self.root / f".{name}{_PARTIAL}"
        make_folder(partial)
        try:
            yield partial
            os.rename(partial, self.root / name)
            sync(self.root)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _remove(self, backups: list[Summary]) -> list[str]:
        for one in backups:
            gone = self.root / f".{one.name}{_PARTIAL}"
            os.rename(self.root / one.name, gone)
            shutil.rmtree(gone)
        return [one.name for one in backups]

    def _remove_unused(self) -> None:
        """Remove contents that no backup has any more, or that one which was cut off had stored."""
        wanted = {bytes.fromhex(kept.digest) for one in self.backups() for kept in self.files_of(one)}
        self._contents.remove_others(wanted)


def _keep(source: Source, before: Kept | None, contents: Contents) -> Kept:
    """Store a file unless it is there; one that has not changed is not even read."""
    found = source.file.stat()
    digest = source.digest
    if digest is None and before is not None and (before.size, before.changed) == (found.st_size, found.st_mtime_ns):
        digest = before.digest
    size = None if digest is None else contents.size_of(digest)
    if digest is not None and size is not None and (before is None or before.digest != digest or before.size == size):
        return Kept(source.path, digest, size, found.st_mtime_ns)
    try:
        digest, size = contents.add(source.file, source.digest)
    except StoredFileError as error:
        raise StoredFileError(
            f"{source.path} is damaged ({error}), and no earlier backup has it as it was; no backup was made. See "
            "mrseg-label doctor --verify"
        ) from error
    return Kept(source.path, digest, size, found.st_mtime_ns)


class _Earlier:
    """The files of the backup before, read along with those of the new one: neither is in memory as a whole."""

    def __init__(self, files: Iterator[Kept]) -> None:
        self._files = files
        self._next = self._advance()

    def _advance(self) -> Kept | None:
        try:
            return next(self._files, None)
        except InvalidInput:  # a damaged list: then every file is read again
            return None

    def find(self, path: str) -> Kept | None:
        """Return the file of a path, which must lie behind those that were asked for before."""
        while self._next is not None and self._next.path < path:
            self._next = self._advance()
        return self._next if self._next is not None and self._next.path == path else None
