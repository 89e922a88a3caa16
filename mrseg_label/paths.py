"""Paths that become other text: the URL of a database, an argument of a command in a message."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from mrseg_label.errors import ConfigurationError


def sqlite_url(file: Path) -> URL:
    """URL of an SQLite database, whatever characters its path has."""
    return URL.create("sqlite", database=str(file))


def configured_url(text: str, password: str | None = None) -> URL:
    """Read DATABASE_URL, and put DATABASE_PASSWORD into it.

    Raises
    ------
    ConfigurationError
        It is not a URL, or names a file of SQLite that is not the same one for every process; or there is a password
        too many.
    """
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise ConfigurationError(f"DATABASE_URL cannot be used: {error}") from error
    if password is not None and (url.password is not None or url.get_backend_name() == "sqlite"):
        why = (
            "SQLite has no passwords" if url.get_backend_name() == "sqlite" else "DATABASE_URL contains a password too"
        )
        raise ConfigurationError(f"DATABASE_PASSWORD cannot be used: {why}; remove one of them")
    if url.get_backend_name() != "sqlite":
        return url if password is None else url.set(password=password)
    if "?" in text:
        raise ConfigurationError(
            f"DATABASE_URL names the file {url.database} with options after a '?', which are not supported; write a '?' "
            "in the path of the file as %3F, and a '%' as %25"
        )
    if not Path(url.database or "").is_absolute():
        raise ConfigurationError(
            f"DATABASE_URL names the file {url.database or ':memory:'}, which is another one in every folder that a "
            "command is started in; write the whole path, with four slashes: sqlite:////data/mrseg.db"
        )
    return url


def check_new_database(file: Path, stored: Sequence[Path]) -> None:
    """Check that a database that does not exist yet may be created.

    Parameters
    ----------
    stored : folders that are empty as long as there is no database.

    Raises
    ------
    ConfigurationError
        A new, empty database would hide the one that the workspace has.
    """
    # Until 0.2 the path was written into the text of a URL, where "%" and "?" mean something else.
    misplaced = make_url(f"sqlite:///{file}").database
    if misplaced and misplaced != str(file) and Path(misplaced).is_file():
        raise ConfigurationError(
            f"the database of {file.parent} lies in {misplaced}: an earlier version misread the '%' or '?' "
            "in the path, and a workspace whose path differs only there may have written into the same database. Stop all "
            f"servers and workers; then move that file, with those beside it that end in -wal and -shm, to {file} if it "
            "holds this workspace alone, and ask for help if it does not"
        )
    for folder in stored:
        if folder.is_dir() and any(folder.iterdir()):
            raise ConfigurationError(
                f"{file} is missing, but {folder} has files; restore the database from a backup, or set DATABASE_URL "
                "if the database of this workspace is elsewhere"
            )


def quoted(path: Path) -> str:
    """Write a path as a shell needs it in a command."""
    return shlex.quote(str(path))


def absolute(folder: Path) -> Path:
    """Resolve the folder of a workspace. Raises :class:`ConfigurationError` if its path is not text."""
    found = folder.resolve()
    try:
        str(found).encode()
    except UnicodeEncodeError as error:
        raise ConfigurationError(
            f"the path {os.fsencode(found)!r} is not valid UTF-8, so that no setting and no report can name it; "
            "rename the folder"
        ) from error
    return found
