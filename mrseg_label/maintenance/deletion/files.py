"""Remove what a deletion left in files: stored files, nnU-Net's folders, the inbox, temporary folders, logs and reports."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.config import CONFIG_FILE
from mrseg_label.files import make_folder, sha256_of
from mrseg_label.intake.inbox import INBOX
from mrseg_label.maintenance.deletion.traces import Traces
from mrseg_label.maintenance.sweep import DAY_SECONDS, remove_dead_scratch
from mrseg_label.nnunet.environment import NnunetFolders
from mrseg_label.nnunet.forgetting import forget_cases
from mrseg_label.rounds.training import dataset_name
from mrseg_label.workspace import DATABASE, EVALUATIONS, PSEUDONYM_KEY, STORED, Workspace

QUIET_SECONDS = (
    900.0  # a temporary folder without a write for so long, while no server and no worker is alive, is nobody's
)
_CHUNK = 64 * 1024 * 1024  # logs are read whole; of larger ones, whole lines at a time
_PICTURES = (".png", ".jpg", ".svg")
_NOT_TEXT = {*STORED, "nnunet", "tmp", INBOX}
_UNCHANGED = {CONFIG_FILE, "labels.tsv", PSEUDONYM_KEY}
log = logging.getLogger("mrseg_label.maintenance")


def remove_files(workspace: OpenedWorkspace, traces: Traces, *, at_work: bool) -> None:
    """Remove all files of the deleted participants and blank what logs say about them; it can be called again.

    Parameters
    ----------
    at_work : whether a server or a worker may be alive, whose temporary folders stay.

    Raises
    ------
    Conflict
        A training works with their cases.
    """
    for relative in traces.files:
        _remove(workspace.path(relative))
    forget_cases(
        NnunetFolders.under(workspace.nnunet),
        traces.cases,
        [dataset_name(number) for number in traces.rounds],
        traces.clean_json,
    )
    # Masks of anybody, and a page with pictures that do not say whom they show: an evaluation makes them again.
    shutil.rmtree(workspace.path(EVALUATIONS), ignore_errors=True)
    make_folder(workspace.path(EVALUATIONS))
    _empty_inbox(workspace, traces)
    _empty_scratch(workspace, traces, at_work=at_work)
    for file in texts_of(workspace):
        _blank(file, traces)


def texts_of(workspace: Workspace) -> Iterator[Path]:
    """Yield the logs, reports and other files of the workspace whose content is text."""
    for entry in sorted(workspace.root.iterdir()):
        if entry.name in _NOT_TEXT or entry.name in _UNCHANGED or entry.name.startswith(DATABASE):
            continue
        files = [entry] if entry.is_file() else sorted(entry.rglob("*")) if not entry.is_symlink() else []
        for file in files:
            if file.is_file() and not file.is_symlink() and file.suffix.lower() not in _PICTURES:
                yield file


def outside_of(workspace: Workspace, sources: list[str]) -> list[str]:
    """Source files of images that are still there, outside the workspace, where nothing is deleted."""
    found = []
    for source in dict.fromkeys(sources):
        path = Path(source)
        with suppress(OSError, ValueError):
            if path.is_absolute() and path.exists() and not path.is_relative_to(workspace.root):
                found.append(source)
    return found


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
        # What was put aside as damaged lies beside it.
        path.with_name(f"{path.name}.damaged").unlink(missing_ok=True)
    with suppress(OSError):  # the folder of the case, once it is empty
        if path.parent.parent.name in STORED:
            path.parent.rmdir()


def _empty_inbox(workspace: Workspace, traces: Traces) -> None:
    """Remove files from the inbox that were imported for the participants, or that are named after them."""
    inbox = workspace.root / INBOX
    if not inbox.is_dir():
        return
    for folder, folders, names in os.walk(inbox, topdown=False):
        for name in names:
            file = Path(folder) / name
            relative = file.relative_to(inbox).as_posix()
            same = (
                file.is_file()
                and not file.is_symlink()
                and relative.startswith("sent-")
                and sha256_of(file) in traces.ids
            )
            if same or traces.in_text(relative) or traces.in_text(str(file)):
                file.unlink()
        if Path(folder) != inbox and (names or folders):
            with suppress(OSError):
                Path(folder).rmdir()


def _empty_scratch(workspace: Workspace, traces: Traces, *, at_work: bool) -> None:
    """Remove what rounds with these participants and dead processes left; sessions end, whose images may be anybody's."""
    tmp = workspace.root / "tmp"
    for number in traces.rounds:
        shutil.rmtree(tmp / f"round-{number}", ignore_errors=True)
    shutil.rmtree(tmp / "sessions", ignore_errors=True)
    for folder in tmp.glob("removed-round-*"):
        shutil.rmtree(folder, ignore_errors=True)
    remove_dead_scratch(workspace, DAY_SECONDS if at_work else QUIET_SECONDS)


def young_scratch(workspace: Workspace) -> list[str]:
    """Temporary folders that stay since a process may work there; they are removed when a day old."""
    now = time.time()
    return sorted(
        folder.relative_to(workspace.root).as_posix()
        for folder in (workspace.root / "tmp").iterdir()
        if folder.is_dir()
        and not folder.name.startswith("totalsegmentator-")
        and folder.stat().st_mtime > now - DAY_SECONDS
    )


def _blank(file: Path, traces: Traces) -> None:
    """Overwrite in place what a text says about the participants: a process may be writing at its end."""
    by_line = file.suffix.lower() != ".json"
    with file.open("r+b") as stream:
        start = 0
        while chunk := stream.read(_CHUNK):
            if len(chunk) == _CHUNK and (end := chunk.rfind(b"\n")) >= 0:
                chunk = chunk[: end + 1]
            cleaned = traces.blank_lines(chunk) if by_line else traces.blank_words(chunk)
            if cleaned != chunk:
                stream.seek(start)
                stream.write(cleaned)
                stream.flush()
                os.fsync(stream.fileno())
            start += len(chunk)
            stream.seek(start)


def remove_pictures(workspace: Workspace) -> int:
    """Remove pictures of cases that the demo drew: a picture does not say whom it shows."""
    pictures = list((workspace.root / "reports").glob("case-*.png"))
    for picture in pictures:
        picture.unlink(missing_ok=True)
    return len(pictures)
