"""The folder of an export: written once, brought up to date by the next export, and continued after a kill.

Beside the files lies a list of them (:data:`LIST`), with what each was made of. A later export of the same form writes only what
has changed, and removes what is in its list and not in the data set any more; files of others stay. While an export runs, each
finished file is noted in :data:`JOURNAL`, so that the next one goes on where a killed one stopped.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from mrseg_label.errors import Conflict, InvalidInput
from mrseg_label.exports.files import File
from mrseg_label.files import make_folder, replacing

LIST = ".mrseg-export.jsonl"
JOURNAL = ".mrseg-export.journal"
_VERSION = 1
Entry = tuple[str, int, int]  # recipe, size, seconds since 1970


@dataclass
class ExportFolder:
    """A folder that an export writes to; see :func:`export_folder`.

    Attributes
    ----------
    written, unchanged, removed : numbers of files.
    """

    root: Path
    form: str
    journal: IO[str]
    before: dict[str, Entry]
    now: dict[str, Entry] = field(default_factory=dict)
    written: int = 0
    unchanged: int = 0
    removed: int = 0

    def put(self, file: File) -> None:
        """Write a file, unless an earlier export wrote the same and nobody changed it since."""
        if file.path in self.now:
            raise InvalidInput(f"two images would be exported as {file.path}; give them other stations or sequences")
        target = self.root / file.path
        known = self.before.get(file.path)
        if known is not None and known[0] == file.recipe and _is_as_written(target, known):
            self.unchanged += 1
            self.now[file.path] = known
            return
        make_folder(target.parent)
        with replacing(target, durable=False, one_writer=True, suffix=file.suffix) as temporary:
            file.write(temporary)
            os.utime(temporary, (file.seconds, file.seconds))
        self.written += 1
        self.now[file.path] = (file.recipe, target.stat().st_size, file.seconds)
        self.journal.write(_line(file.path, self.now[file.path]))
        self.journal.flush()

    def finish(self) -> None:
        """Remove what the data set has no more, and write the list."""
        for path in sorted(self.before.keys() - self.now.keys()):
            target = self.root / path
            if target.is_file() or target.is_symlink():
                target.unlink()
                self.removed += 1
            folder = target.parent
            while folder != self.root and folder.is_relative_to(self.root):
                try:
                    folder.rmdir()
                except OSError:  # it is not empty, or gone
                    break
                folder = folder.parent
        header = json.dumps({"format": self.form, "version": _VERSION})
        lines = [_line(path, entry) for path, entry in sorted(self.now.items())]
        with replacing(self.root / LIST, durable=True) as temporary:
            temporary.write_text(header + "\n" + "".join(lines), encoding="utf-8")
        (self.root / JOURNAL).unlink()


@contextlib.contextmanager
def export_folder(root: Path, form: str) -> Iterator[ExportFolder]:
    """Open a folder to export to: a new or empty one, or one that holds an earlier export of the same form.

    If the block raises, what was written stays, and the next export goes on from there.

    Raises
    ------
    Conflict
        The folder holds other files, an export of another form, or another export writes there now.
    """
    if root.exists() and not root.is_dir():
        raise Conflict(f"{root} is a file; export to a folder")
    content = {entry.name for entry in root.iterdir()} if root.exists() else set()
    if content and not content & {LIST, JOURNAL}:
        raise Conflict(
            f"{root} is not empty and holds no earlier export; export to an empty or new folder, or to that of an earlier export"
        )
    make_folder(root)
    with (root / JOURNAL).open("a+", encoding="utf-8") as journal:
        try:
            fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(f"another export writes to {root} now; wait until it ends") from None
        for left in root.glob(".export-*"):  # of a killed one
            shutil.rmtree(left, ignore_errors=True)
        journal.seek(0)
        before = _read(root / LIST, form) | _entries(journal.read().splitlines(), form, root)
        if not journal.tell():
            journal.write(json.dumps({"format": form, "version": _VERSION}) + "\n")
        folder = ExportFolder(root, form, journal, before)
        yield folder
        folder.finish()


def _read(path: Path, form: str) -> dict[str, Entry]:
    return _entries(path.read_text(encoding="utf-8").splitlines(), form, path.parent) if path.is_file() else {}


def _entries(lines: list[str], form: str, root: Path) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    for number, line in enumerate(lines):
        try:
            value = json.loads(line)
            if number == 0:
                if value["format"] != form or value["version"] != _VERSION:
                    raise Conflict(
                        f"{root} holds an export of the form {value['format']}, not {form}; export to another folder"
                    )
                continue
            path, recipe, size, seconds = value
            if Path(path).is_absolute() or ".." in Path(path).parts:
                continue  # nobody but us writes the list, but files are removed by it
            found[str(path)] = (str(recipe), int(size), int(seconds))
        except (ValueError, TypeError, KeyError):
            continue  # the last line of a journal that a kill cut off
    return found


def _line(path: str, entry: Entry) -> str:
    return json.dumps([path, *entry], ensure_ascii=False) + "\n"


def _is_as_written(target: Path, known: Entry) -> bool:
    try:
        found = target.lstat()
    except OSError:
        return False
    return (found.st_size, int(found.st_mtime)) == known[1:]
