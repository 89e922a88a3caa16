"""Errors of the operating system and of databases as sentences."""

from __future__ import annotations

import errno
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from psycopg import errors as postgresql
from sqlalchemy.exc import OperationalError

from mrseg_label.catalog import Catalog
from mrseg_label.errors import InvalidInput, MachineFailure, MrsegError, NoPermission, StorageFull, StoredFileError
from mrseg_label.failures import explain, explain_in
from mrseg_label.paths import sqlite_url

CASES = [
    (OSError(errno.ENOSPC, "No space left", "f"), StorageFull, 507, "the disk is full; nothing was stored"),
    (OSError(errno.EDQUOT, "Quota", "f"), StorageFull, 507, "the disk quota of the user is used up"),
    (OSError(errno.EFBIG, "Too large", "f"), StorageFull, 507, "the limit of file sizes"),
    (OSError(errno.EROFS, "Read-only", "f"), MachineFailure, 503, "the file system is read-only"),
    (OSError(errno.EMFILE, "Too many", "f"), MachineFailure, 503, "too many files are open"),
    (OSError(errno.ENFILE, "Too many", "f"), MachineFailure, 503, "too many files are open"),
    (OSError(errno.EIO, "Input/output", "f"), MachineFailure, 503, "the disk reports an error"),
    (OSError(errno.ESTALE, "Stale", "f"), MachineFailure, 503, "the network share lost the file"),
    (OSError(errno.ENOTCONN, "Not connected", "f"), MachineFailure, 503, "the network share is not connected"),
    (PermissionError(errno.EACCES, "Denied", "f"), NoPermission, 503, "does not permit"),
    (MemoryError(), MachineFailure, 503, "no memory left"),
    (postgresql.DiskFull(), StorageFull, 507, "the disk of the database is full"),
    (postgresql.TooManyConnections(), MachineFailure, 503, "the database does not answer"),
    (postgresql.AdminShutdown(), MachineFailure, 503, "the database does not answer"),
    (postgresql.UndefinedTable("relation jobs does not exist\nLINE 1"), MachineFailure, 503, "run mrseg-label upgrade"),
    (postgresql.ReadOnlySqlTransaction(), MachineFailure, 503, "the database cannot be written"),
]


@pytest.mark.parametrize(("error", "kind", "status", "text"), CASES, ids=lambda value: type(value).__name__)
def test_each_is_a_sentence_of_its_own(error: Exception, kind: type[MrsegError], status: int, text: str) -> None:
    for raised in (error, OperationalError("", {}, error)):
        found = explain(raised)
        assert type(found) is kind
        assert found is not None and (found.http_status, text in str(found)) == (status, True)


def test_what_the_machine_did_not_do_stays_as_it_is(tmp_path: Path) -> None:
    assert explain(FileNotFoundError(errno.ENOENT, "No such file", "f")) is None
    assert explain(ValueError("x")) is None
    assert explain_in(tmp_path, ValueError("x")) is None
    assert explain(postgresql.UniqueViolation()) is None


def test_a_full_disk_behind_an_error_of_ours_is_found_and_a_missing_permission_is_not() -> None:
    def refused(cause: OSError) -> InvalidInput:
        error = InvalidInput("the image is damaged")
        error.__cause__ = cause
        return error

    assert type(explain(refused(OSError(errno.EMFILE, "Too many")))) is MachineFailure
    assert explain(refused(PermissionError(errno.EACCES, "Denied"))) is None


def test_sqlite(tmp_path: Path) -> None:
    catalog = Catalog(sqlite_url(tmp_path / "a.db"))
    with pytest.raises(StorageFull, match="the disk of the database is full"), catalog.begin() as session:
        session.connection().exec_driver_sql("PRAGMA max_page_count = 1")
        session.connection().exec_driver_sql("CREATE TABLE t (x)")
    catalog.close()
    (tmp_path / "b.db").write_bytes(b"this is no database, it is a text that is long enough to be read as one " * 20)
    damaged = pytest.raises(StoredFileError, match="the database is damaged .*restore it from a backup")
    with damaged, Catalog(sqlite_url(tmp_path / "b.db")).read() as session:
        session.connection()
    (tmp_path / "c.db").mkdir()
    with (
        pytest.raises(MachineFailure, match="cannot be opened"),
        Catalog(sqlite_url(tmp_path / "c.db")).read() as session,
    ):
        session.connection()
    first, second = (sqlite3.connect(tmp_path / "a.db", timeout=0) for _ in range(2))
    with closing(first), closing(second):
        first.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError) as locked:
            second.execute("BEGIN IMMEDIATE")
    assert "stayed locked" in str(explain(locked.value))
