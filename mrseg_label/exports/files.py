"""The files of an export, whether they go to a folder or into a zip."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from mrseg_label.errors import StoredFileError

_CHUNK = 1 << 20
# Of what is made of several things; no file system and no zip knows an earlier time.
FIXED_TIME = 315_532_800  # 1980-01-01


@dataclass(frozen=True)
class File:
    """A file of an export.

    Attributes
    ----------
    path : from the folder of the export, with forward slashes.
    recipe : what it is made of; a file of an earlier export with the same recipe need not be written again.
    seconds : since 1970, the time that the file gets: equal exports have equal files, their times included.
    write : writes it under a name.
    stored : the file of the workspace that it is a copy of, if it is one.
    """

    path: str
    recipe: str
    seconds: int
    write: Callable[[Path], None]
    stored: Path | None = None

    @property
    def suffix(self) -> str:
        """The suffix by which what writes it chooses a format; a temporary name needs it too."""
        return ".nii.gz" if self.path.endswith(".nii.gz") else ""


def copy_of(path: str, stored: Path, digest: str, moment: datetime) -> File:
    """Export a stored file as it is; a damaged one is refused when it is copied."""

    def write(target: Path) -> None:
        found = hashlib.sha256()
        with stored.open("rb") as source, target.open("wb") as sink:
            while chunk := source.read(_CHUNK):
                found.update(chunk)
                sink.write(chunk)
        if found.hexdigest() != digest:
            raise StoredFileError(f"{stored.name} is damaged: its SHA-256 has changed; restore it from a backup")

    return File(path, f"sha256:{digest}", max(FIXED_TIME, int(moment.timestamp())), write, stored)


def text_file(path: str, text: str) -> File:
    """Export a text."""
    data = text.encode()
    return File(path, f"sha256:{hashlib.sha256(data).hexdigest()}", FIXED_TIME, lambda target: _write(target, data))


def json_file(path: str, value: Any) -> File:
    """Export JSON, with its keys in their order."""
    return text_file(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def table_file(path: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> File:
    """Export a tab-separated table. Tabs and line ends within values become blanks; what is not known is ``n/a``."""
    lines = ["\t".join(columns), *("\t".join(map(_cell, row)) for row in rows)]
    return text_file(path, "\n".join(lines) + "\n")


def moved_file(path: str, made: Path, digest: str) -> File:
    """Export a file that was made for this export alone, by moving it."""
    return File(path, f"sha256:{digest}", FIXED_TIME, lambda target: _move(made, target))


def _write(target: Path, data: bytes) -> None:
    target.write_bytes(data)


def _move(made: Path, target: Path) -> None:
    try:
        made.replace(target)
    except OSError:  # another file system
        shutil.copyfile(made, target)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return " ".join(str(value).split()) if value not in (None, "") else "n/a"
