"""Import from the browser: files that an administrator sends, or that lie in the folder ``inbox`` of the workspace, as a job.

A study of terabytes does not go through a browser: it is copied, or linked, into the inbox by whoever may write there, and the
browser starts the import.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import audit
from mrseg_label.errors import InvalidInput, NotFound
from mrseg_label.files import make_folder, receive
from mrseg_label.ids import new_id
from mrseg_label.intake.job_results import result_of
from mrseg_label.intake.options import ImportOptions
from mrseg_label.intake.service import check_options, import_paths
from mrseg_label.jobs import JobContext, queue
from mrseg_label.workspace import Workspace

INBOX = "inbox"
MAX_COUNTED = 20_000  # files of an entry; more are only said to be more
_SENT = "sent-"  # begins the names of entries that came through a browser; they are removed once they are imported
_OPTIONS = ("pattern", "participant", "orientation", "masks", "licence", "cohort", "evaluation_only", "propagate")


@dataclass(frozen=True)
class Waiting:
    """A file or a folder in the inbox.

    Attributes
    ----------
    files : number of files, MAX_COUNTED at most.
    """

    name: str
    files: int


def waiting(workspace: Workspace) -> list[Waiting]:
    """List what lies in the inbox, by name; the inbox is made where it is missing."""
    folder = _inbox(workspace)
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith((".", _SENT)))
    return [Waiting(entry.name, _count(entry)) for entry in entries]


def store_sent(workspace: Workspace, files: Iterable[tuple[str, BinaryIO]]) -> str:
    """Store files that a browser sent; returns the name of their entry in the inbox.

    Parameters
    ----------
    files : names, with the folders that a browser states where a folder was chosen, and contents. A folder that all of
        them are in is left out, so that patterns begin below it, as in an import of that folder.

    Raises
    ------
    InvalidInput
        There are no files, one is empty, or two have the same name.
    """
    name = f"{_SENT}{new_id('im').partition('-')[2]}"
    folder = _inbox(workspace) / name
    try:
        named = [(_safe_path(sent), stream) for sent, stream in files]
        chosen = {path.parts[0] for path, _ in named} if all(len(path.parts) > 1 for path, _ in named) else set()
        for path, stream in named:
            target = folder / (PurePosixPath(*path.parts[1:]) if len(chosen) == 1 else path)
            make_folder(target.parent)
            if target.exists():
                raise InvalidInput(f"two of the files are named {target.name!r}; choose their folder instead")
            receive(stream, target)
        if not folder.exists():
            raise InvalidInput("no file was sent; choose files or a folder first")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return name


def start_import(workspace: OpenedWorkspace, name: str, options: ImportOptions) -> str:
    """Enqueue the import of an entry of the inbox; returns the id of the job.

    Raises
    ------
    NotFound
        There is no such entry.
    InvalidInput
        An option cannot be used.
    """
    check_options(options)
    if name not in {entry.name for entry in _inbox(workspace).iterdir()}:
        raise NotFound(f"{name[:80]!r} is not in the folder {INBOX} of the workspace")
    usual = ImportOptions()
    chosen = {key: getattr(options, key) for key in _OPTIONS if getattr(options, key) != getattr(usual, key)}
    with workspace.catalog.begin() as session:
        payload = {"entry": name, "options": chosen, "actor": options.actor}
        job = queue.enqueue(session, queue.IMPORT_IMAGES, payload, key=name, max_attempts=1)
        audit.record(session, options.actor, "import.start", name)
        return job.id


def discard_sent(workspace: Workspace, name: str) -> None:
    """Remove files that a browser sent and whose import was refused."""
    if name.startswith(_SENT):
        shutil.rmtree(_inbox(workspace) / PurePosixPath(name).name, ignore_errors=True)


def run(context: JobContext) -> None:
    """Import an entry of the inbox, or studies of an archive, as an ``import_images`` job; what was imported before is left out.

    The result has numbers (``accepted``, ``unchanged``, ``masks``, ``refused``, ``passed_over``) and, in ``refusals`` and
    ``remarks``, the first files with reasons. Files that a browser sent are removed, unless some were refused.

    Raises
    ------
    NotFound
        The entry is not in the inbox any more.
    """
    if "query" in context.payload:
        from mrseg_label.intake import archive_jobs

        archive_jobs.run(context)
        return
    workspace, name = context.workspace, str(context.payload["entry"])
    entry = _inbox(workspace) / name
    if not entry.exists():
        raise NotFound(f"{name!r} is not in the folder {INBOX} of the workspace any more")
    options = ImportOptions(**context.payload["options"], actor=context.payload["actor"])
    report = import_paths(workspace, [entry], options, context.advance)
    result = result_of(report, f"{entry}{os.sep}")
    with context.publish(result):
        pass
    if not report.refused:
        discard_sent(workspace, name)


def _inbox(workspace: Workspace) -> Path:
    folder = workspace.root / INBOX
    make_folder(folder)
    return folder


def _count(entry: Path) -> int:
    if not entry.is_dir():
        return 1
    count = 0
    for _, _, files in os.walk(entry):
        count += len(files)
        if count >= MAX_COUNTED:
            return MAX_COUNTED
    return count


def _safe_path(sent: str) -> PurePosixPath:
    """Turn a name that a browser states into a path below the entry: without drives, roots and ways up."""
    parts = [part for part in PurePosixPath(sent.replace("\\", "/")).parts if part not in ("/", ".", "..")]
    kept = [
        "".join(letter for letter in part if letter.isprintable() and letter != ":")[-200:].lstrip(".")
        for part in parts
    ]
    path = PurePosixPath(*(part for part in kept if part))
    if not path.name:
        raise InvalidInput(f"a file named {sent[:80]!r} cannot be stored; rename it")
    return path
