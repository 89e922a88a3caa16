"""What backups are made of: files, a summary, and what a new one added."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """A file to be backed up.

    Attributes
    ----------
    path : relative to the workspace.
    file : where it lies.
    digest : its SHA-256, where the database has it.
    """

    path: str
    file: Path
    digest: str | None = None


@dataclass(frozen=True)
class Kept:
    """A file of a backup: ``changed`` is its time of modification in ns, by which an unchanged file is known."""

    path: str
    digest: str
    size: int
    changed: int


@dataclass(frozen=True)
class Summary:
    """What a backup has, as ``backup.json`` says it."""

    name: str
    number: int
    made: str
    version: str
    files: int
    bytes: int


@dataclass(frozen=True)
class Added:
    """A backup that was added to a folder.

    Attributes
    ----------
    written, written_bytes : files that the folder did not have yet.
    removed : names of older backups that were removed.
    """

    summary: Summary
    written: int
    written_bytes: int
    removed: tuple[str, ...] = ()
