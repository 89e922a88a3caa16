"""Checks of the database: whether it answers, is at the newest migration, and is safe where it lies."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.migrate import migration_state
from mrseg_label.errors import MrsegError
from mrseg_label.maintenance.checks.check import Check, State
from mrseg_label.workspace import Workspace

SAFE_SQLITE = (3, 51, 3)  # before it, a rare race when the write-ahead log is reset can lose a commit
NETWORK_FILE_SYSTEMS = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "lustre", "ceph", "glusterfs", "9p")


def check_database(workspace: Workspace) -> Iterator[Check]:
    """Check that the database answers, is at the newest migration, and is safe where it lies."""
    try:
        url = workspace.database_url
        if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
            yield Check(
                "database",
                State.WARNING,
                f"{url.database} does not exist yet",
                "the first command that needs it creates it",
            )
            return
        catalog = Catalog(url)
        try:
            with catalog.read() as session:
                session.connection()
            present, head = migration_state(catalog.engine)
        finally:
            catalog.close()
    except MrsegError as error:
        yield Check("database", State.FAILED, str(error), "check DATABASE_URL, and that the database server is running")
        return
    sqlite = url.get_backend_name() == "sqlite"
    shown = f"SQLite {url.database}" if sqlite else url.render_as_string(hide_password=True)
    if present != head:
        detail = f"{shown} is at migration {present} instead of {head}"
        yield Check("database", State.FAILED, detail, "run: mrseg-label upgrade")
    else:
        yield Check("database", State.OK, f"{shown} at migration {present}")
    if sqlite:
        yield from _check_sqlite(Path(url.database or ""))


def _check_sqlite(file: Path) -> Iterator[Check]:
    version = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info < SAFE_SQLITE:
        needed = ".".join(map(str, SAFE_SQLITE))
        yield Check(
            "sqlite",
            State.WARNING,
            f"{version} is older than {needed}; before it, a rare race when the write-ahead log is reset can lose a commit",
            "use a Python with a newer SQLite, or PostgreSQL (DATABASE_URL), and keep backups (mrseg-label backup)",
        )
    else:
        yield Check("sqlite", State.OK, version)
    kind = file_system(file)
    if kind in NETWORK_FILE_SYSTEMS:
        yield Check(
            "sqlite file",
            State.FAILED,
            f"{file} is on {kind}, where SQLite's locks do not work",
            "use PostgreSQL (DATABASE_URL)",
        )


def file_system(path: Path, mounts: Path = Path("/proc/mounts")) -> str | None:
    """Return the kind of file system that a file is on; None where the operating system does not list them."""
    try:
        lines = mounts.read_bytes().splitlines()
    except OSError:
        return None
    best: tuple[int, str | None] = (-1, None)
    real = path.resolve()
    for line in lines:
        fields = line.split(b" ")
        # The kernel writes blanks, tabs, newlines and backslashes as three octal digits.
        mount = os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), fields[1]))
        if real.is_relative_to(mount) and len(mount) > best[0]:
            best = (len(mount), os.fsdecode(fields[2]))
    return best[1]
