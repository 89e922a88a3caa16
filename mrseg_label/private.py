"""Files that only their owner can read, or on purpose a group, whatever the umask was that a process was started with."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_OTHERS, _GROUP_AND_OTHERS = 0o007, 0o077
_shared = False


def keep_private() -> int:
    """Let this process and its children write files for their owner alone; returns the umask of before."""
    return os.umask(_GROUP_AND_OTHERS)


def share_with_group() -> None:
    """Let this process and its children write files for the group of the workspace's folder too."""
    global _shared
    _shared = True
    os.umask(_OTHERS)


@contextmanager
def access_of_this_process() -> Iterator[None]:
    """Be private within the block, and restore afterwards what this process had."""
    global _shared
    before, shared = keep_private(), _shared
    try:
        yield
    finally:
        os.umask(before)
        _shared = shared


def folder_mode() -> int:
    """Return the permissions of a new folder; what is made in a shared one gets its group."""
    return 0o2770 if _shared else 0o700


def file_mode() -> int:
    """Return the permissions of a new file."""
    return 0o660 if _shared else 0o600


def create(file: Path) -> None:
    """Create an empty file with its permissions unless it is there, so that no byte is written before it has them."""
    with suppress(FileExistsError):
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, file_mode()))


def close_folder(folder: Path) -> None:
    """Give a folder its permissions; one that belongs to somebody else stays as it is, and ``doctor`` names it."""
    with suppress(PermissionError):
        folder.chmod(folder_mode())


@dataclass(frozen=True)
class Loose:
    """What in a workspace has other permissions or another owner than it should.

    Attributes
    ----------
    modes : entries that others can read or, if the workspace is shared, that its group cannot.
    owners : entries that belong to another user than the folder of the workspace.
    """

    modes: tuple[Path, ...]
    owners: tuple[Path, ...]

    def __bool__(self) -> bool:
        return bool(self.modes or self.owners)


def is_open(root: Path, shared: bool) -> bool:
    """Whether others than the owner (and the group, if it is shared) can enter the folder of a workspace."""
    return _wanted(root.stat(), shared) != stat.S_IMODE(root.stat().st_mode)


def find_loose(root: Path, shared: bool) -> Loose:
    """Look at every folder and file of a workspace; links are not followed."""
    owner = root.stat().st_uid
    modes, owners = [], []
    for path in _entries(root):
        with suppress(FileNotFoundError):  # temporary files come and go
            found = path.lstat()
            if found.st_uid != owner:
                owners.append(path)
            if not stat.S_ISLNK(found.st_mode) and _wanted(found, shared) != stat.S_IMODE(found.st_mode):
                modes.append(path)
    return Loose(tuple(modes), tuple(owners))


def mend(root: Path, shared: bool) -> Loose:
    """Set permissions, and as the superuser owners too; returns what this user cannot change."""
    found = find_loose(root, shared)
    owner = root.stat()
    for path in found.owners:
        with suppress(PermissionError, FileNotFoundError):
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
    for path in found.modes:
        with suppress(PermissionError, FileNotFoundError):
            path.chmod(_wanted(path.lstat(), shared))
    return find_loose(root, shared) if found else found


def _entries(root: Path) -> Iterator[Path]:
    yield root
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            yield Path(folder, name)


def _wanted(found: os.stat_result, shared: bool) -> int:
    mode = stat.S_IMODE(found.st_mode)
    if not shared:
        return mode & ~_GROUP_AND_OTHERS
    return (mode | (0o2070 if stat.S_ISDIR(found.st_mode) else 0o060)) & ~_OTHERS
