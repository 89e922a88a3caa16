"""Locks on folders: one process at a time writes in a folder, or several use what is in it and none removes it."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from mrseg_label.errors import Conflict


@contextlib.contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Lock a folder against other processes. The system releases the lock when this process ends, however it ends.

    Raises
    ------
    Conflict
        Another process has locked it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(f"another process is working in {folder}; wait until it ends") from None
        yield


@contextlib.contextmanager
def shared_lock(folder: Path) -> Iterator[None]:
    """Hold a folder together with others against :func:`folder_lock`; waits for one who has it alone."""
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield
