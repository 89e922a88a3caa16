"""Contents of files by their SHA-256: each is stored once, durably, and never changed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection
from pathlib import Path

from mrseg_label.errors import StoredFileError
from mrseg_label.files import TEMPORARY_SUFFIX, make_folder, sync

_CHUNK = 1024 * 1024


class Contents:
    """A folder of contents, as ``3f/3f9c...``.

    Attributes
    ----------
    written, written_bytes : contents that this object has added.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.written = 0
        self.written_bytes = 0
        self._folders: set[Path] = set()

    def place_of(self, digest: str) -> Path:
        """Path of a content, whether it is there or not."""
        return self.root / digest[:2] / digest

    def size_of(self, digest: str) -> int | None:
        """Size of a content in bytes; None if it is not there."""
        try:
            return self.place_of(digest).stat().st_size
        except FileNotFoundError:
            return None

    def add(self, file: Path, expected: str | None = None) -> tuple[str, int]:
        """Store the content of a file unless it is there; returns its SHA-256 and its size.

        Raises
        ------
        StoredFileError
            The content is not the expected one; it was not stored.
        """
        read, size = hashlib.sha256(), 0
        make_folder(self.root)
        temporary = self.root / f".{os.getpid()}.{os.urandom(4).hex()}{TEMPORARY_SUFFIX}"
        try:
            with file.open("rb") as stream, temporary.open("xb") as output:
                while chunk := stream.read(_CHUNK):
                    read.update(chunk)
                    size += len(chunk)
                    output.write(chunk)
            digest = read.hexdigest()
            if expected not in (None, digest):
                raise StoredFileError(f"its SHA-256 is {digest} instead of {expected}")
            if self.size_of(digest) != size:
                target = self.place_of(digest)
                make_folder(target.parent)
                sync(temporary)
                os.replace(temporary, target)
                self._folders.add(target.parent)
                self.written += 1
                self.written_bytes += size
        finally:
            temporary.unlink(missing_ok=True)
        return digest, size

    def sync(self) -> None:
        """Wait until the names of what was added are on the disk."""
        for folder in sorted(self._folders):
            sync(folder)

    def copy(self, digest: str, target: Path) -> None:
        """Write a content to a new file.

        Raises
        ------
        StoredFileError
            It is missing or damaged.
        """
        place, found = self.place_of(digest), hashlib.sha256()
        try:
            with place.open("rb") as stream, target.open("xb") as output:
                while chunk := stream.read(_CHUNK):
                    found.update(chunk)
                    output.write(chunk)
        except FileNotFoundError as error:
            raise StoredFileError(f"{place} is missing; use another copy of the backups") from error
        if found.hexdigest() != digest:
            raise StoredFileError(f"{place} is damaged; use another copy of the backups")

    def remove_others(self, wanted: Collection[bytes]) -> None:
        """Remove every content whose SHA-256 is not wanted, and what killed processes left."""
        for folder in sorted(self.root.iterdir()) if self.root.is_dir() else []:
            if not folder.is_dir():
                folder.unlink()
                continue
            for file in folder.iterdir():
                if bytes.fromhex(file.name) not in wanted:
                    file.unlink()
