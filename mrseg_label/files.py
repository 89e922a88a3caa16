"""Write files so that a name that exists always stands for a whole file, and tell files apart by SHA-256.

Whatever is written gets a temporary name beside its target first, and the target's name by one rename: a reader
sees the file of before or the new one, never a part of it. From its first byte on only its owner can read it. Where the content must survive a loss of power too, the
file is fsynced before the rename and its folder afterwards.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from mrseg_label.errors import InvalidInput, StoredFileError
from mrseg_label.private import create, folder_mode

TEMPORARY_SUFFIX = ".part"
_CHUNK = 1024 * 1024


@contextmanager
def replacing(target: Path, *, durable: bool, one_writer: bool = False, suffix: str = "") -> Iterator[Path]:
    """Yield a temporary name beside ``target``; the file written there takes the target's place at the end.

    If the block raises, the temporary file is removed and the target stays as it was. It is there already, empty, so
    that no writer makes it with the permissions of its own.

    Parameters
    ----------
    durable : wait until the new file is on the disk, for what must survive a loss of power.
    one_writer : nothing else writes this file, so that the temporary name can always be the same and the file that
        a killed process left is overwritten by the next. For large files that are written again and again.
    suffix : of the temporary name, for libraries that choose a format by it.
    """
    unique = "" if one_writer else f".{os.getpid()}.{os.urandom(4).hex()}"
    temporary = target.with_name(f".{target.name}{unique}{TEMPORARY_SUFFIX}{suffix}")
    try:
        create(temporary)
        os.utime(temporary, (0, 0))
        yield temporary
        left = temporary.stat()
        if left.st_size == 0 and left.st_mtime == 0:
            raise FileNotFoundError(errno.ENOENT, "nothing was written", str(target))
        if durable:
            sync(temporary)
        os.replace(temporary, target)
        if durable:
            sync(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``target``, which must not exist; it gets the target's name at the end.

    If the block raises, the folder is removed.
    """
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    make_folder(partial)
    try:
        yield partial
        os.rename(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_durably(target: Path, data: bytes) -> None:
    """Write or replace a file that must survive a loss of power."""
    with replacing(target, durable=True) as temporary:
        temporary.write_bytes(data)


def write_atomically(target: Path, data: bytes) -> None:
    """Write or replace a small working file (progress, plans) that need not survive a loss of power."""
    with replacing(target, durable=False) as temporary:
        temporary.write_bytes(data)


def receive(stream: BinaryIO, target: Path) -> Path:
    """Write an upload to a file before anything reads it.

    Raises
    ------
    InvalidInput
        The upload is empty.
    """
    with target.open("wb") as output:
        shutil.copyfileobj(stream, output, _CHUNK)
    if target.stat().st_size == 0:
        raise InvalidInput("the uploaded file is empty; save the image or the segmentation again, then send it again")
    return target


def make_folder(folder: Path) -> None:
    """Make a folder with its parents, each on the disk before anything is put into it."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(mode=folder_mode(), exist_ok=True)
    sync(folder.parent)


def sync(path: Path) -> None:
    """Wait until a file or a folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def link_or_copy(source: Path, target: Path) -> None:
    """Hard-link a file that is never changed in place; copy it where the file system has no hard links."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)


def require_digest(path: Path, digest: str | None) -> None:
    """Raise :class:`StoredFileError` if a stored file is not what it was when it was stored."""
    if not path.is_file():
        raise StoredFileError(f"{path.name} is missing; restore it from a backup")
    if digest is not None and sha256_of(path) != digest:
        raise StoredFileError(f"{path.name} is damaged: its SHA-256 has changed; restore it from a backup")
