"""What errors of the operating system and of a database mean: the one place that says it in a sentence.

The request or the command is not to blame for them, and nothing that was stored before is lost. Everything that a
user sees (HTTP replies, commands, jobs) translates them here.
"""

from __future__ import annotations

import errno
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from mrseg_label.errors import MachineFailure, MrsegError, NoPermission, StorageFull, StoredFileError

_NOTHING_LOST = "nothing was stored, and what was stored before is safe"
_ROOM = f"{_NOTHING_LOST}; make room (see mrseg-label doctor), then repeat it"
_FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota of the user is used up",
    errno.EFBIG: "a file would be larger than the file system or the limit of file sizes (ulimit -f) permits",
}
_MANY_FILES = (
    "too many files are open; repeat it in a moment, and raise the limit of open files (ulimit -n, or LimitNOFILE of a "
    "service) if it happens again"
)
_BROKEN = {
    errno.EROFS: "the file system is read-only, as systems make it after errors of the disk; check the disk, mount it "
    "writable again, then repeat it",
    errno.EMFILE: _MANY_FILES,
    errno.ENFILE: _MANY_FILES,
    errno.EIO: "the disk reports an error of input or output; check it, then repeat it",
    errno.ESTALE: "the network share lost the file; check the connection to it, then repeat it",
    errno.ENOTCONN: "the network share is not connected; check the connection to it, then repeat it",
    errno.EREMOTEIO: "the network share reports an error of input or output; check it, then repeat it",
    errno.ENOMEM: "the machine has no memory left; repeat it when less runs on it",
}
_DENIED = (errno.EACCES, errno.EPERM)
_ADMIN = "tell an administrator of this server"
_CANNOT_OPEN = (
    "the file of the database cannot be opened: its file system is read-only, its permissions are wrong or too many files "
    "are open; see mrseg-label doctor"
)
_SQLITE = {
    sqlite3.SQLITE_READONLY: f"the database cannot be written; {_NOTHING_LOST}; see mrseg-label doctor",
    sqlite3.SQLITE_IOERR: f"the disk of the database reports an error; {_NOTHING_LOST}; check the disk and its free space",
    sqlite3.SQLITE_CANTOPEN: _CANNOT_OPEN,
    sqlite3.SQLITE_PERM: _CANNOT_OPEN,
    sqlite3.SQLITE_NOMEM: "the machine has no memory left; repeat it when less runs on it",
    sqlite3.SQLITE_BUSY: "the database stayed locked by another process; repeat it in a moment",
    sqlite3.SQLITE_LOCKED: "the database stayed locked by another process; repeat it in a moment",
}
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
# SQLite calls a quota or a limit of file sizes that is reached an error of writing.
_SQLITE_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR | 3 << 8)
# Classes of SQLSTATE: connection, resources, operator's intervention, error of the system.
_SQLSTATE_CLASSES = ("08", "53", "57", "58")
_DISK_FULL, _READ_ONLY = "53100", "25006"
_OTHER_TABLES = ("42P01", "42703")  # a table or a column is missing
_NEARLY_FULL_BYTES = 64 * 1024**2


def explain(error: BaseException) -> MrsegError | None:
    """Translate an error of the operating system or of a database, or one that was caused by it.

    Returns
    -------
    :class:`StorageFull`, another :class:`MachineFailure`, :class:`NoPermission` or, for a database that is damaged,
    :class:`StoredFileError`; None for anything else.
    """
    if isinstance(error, MachineFailure):
        return error
    for cause in _causes(error):
        # An error of ours that names a file which must not be read says more than that permission is missing.
        found = _explain(cause, denied=not isinstance(error, MrsegError))
        if found is not None:
            return found
    return None


def explain_in(folder: Path, error: BaseException) -> MrsegError | None:
    """Translate as :func:`explain`; also an error of a library that hides its cause, when the disk is full.

    Parameters
    ----------
    folder : on the disk that was written.
    """
    found = explain(error)
    if found is None and not isinstance(error, MrsegError) and shutil.disk_usage(folder).free < _NEARLY_FULL_BYTES:
        return StorageFull(f"the disk of {folder} is full; {_ROOM}")
    return found


def require_mounted(settings: Path) -> None:
    """Check that a workspace is there as a whole, which is not the fault of a single file.

    Parameters
    ----------
    settings : its file of settings.

    Raises
    ------
    MachineFailure
        It is not.
    """
    if not settings.is_file():
        raise MachineFailure(
            f"the folder of the workspace is not there: its disk or network share is not mounted; {_NOTHING_LOST}; mount it, then "
            "repeat it",
            str(settings.parent),
        )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        original = getattr(error, "orig", None)  # of SQLAlchemy's errors
        error = original if isinstance(original, BaseException) else error.__cause__


def _explain(error: BaseException, *, denied: bool) -> MrsegError | None:
    if isinstance(error, sqlite3.Error):
        return _of_sqlite(error)
    state = getattr(error, "sqlstate", None)
    if isinstance(state, str):
        return _of_postgresql(state, error)
    if isinstance(error, MemoryError):
        return MachineFailure(_BROKEN[errno.ENOMEM])
    if not isinstance(error, OSError) or error.errno is None:
        return None
    file = error.filename if isinstance(error.filename, str) else None
    if error.errno in _FULL:
        return StorageFull(f"{_FULL[error.errno]}; {_ROOM}", file)
    if error.errno in _BROKEN:
        return MachineFailure(_BROKEN[error.errno], file)
    if denied and error.errno in _DENIED:
        return NoPermission(
            f"the system does not permit to read or write a file; see mrseg-label doctor, or {_ADMIN}", file
        )
    return None


def _of_sqlite(error: sqlite3.Error) -> MrsegError | None:
    code = getattr(error, "sqlite_errorcode", None)
    if not isinstance(code, int):
        return None
    if code in _SQLITE_FULL:
        return StorageFull(f"the disk of the database is full; {_ROOM}")
    if code & 0xFF in _DAMAGED:
        return StoredFileError(f"the database is damaged ({error}); restore it from a backup")
    text = _SQLITE.get(code & 0xFF)
    return MachineFailure(f"{text} ({error})") if text else None


def _of_postgresql(state: str, error: BaseException) -> MrsegError | None:
    if state == _DISK_FULL:
        return StorageFull(f"the disk of the database is full; {_ROOM}")
    if state == _READ_ONLY:
        return MachineFailure(_SQLITE[sqlite3.SQLITE_READONLY])
    if state in _OTHER_TABLES:
        return MachineFailure(
            f"the tables of the database are not those of this version of mrseg-label ({str(error).splitlines()[0]}); stop "
            "everything that uses it, run mrseg-label upgrade, then start it again"
        )
    if state[:2] in _SQLSTATE_CLASSES:
        return MachineFailure(f"the database does not answer: {' '.join(str(error).split())}; repeat it in a moment")
    return None
