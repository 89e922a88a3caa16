"""Look at processes from outside, for tests that kill some of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

# A shell command with two children that write their ids to a file: one of them has a child of its own.
FAMILY = "echo $$ >> {ids}; sh -c 'echo $$ >> {ids}; exec sleep 300' & sh -c 'echo $$ >> {ids}; sleep 300; true' & wait"


def is_running(pid: int) -> bool:
    """Whether a process of that id runs; one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def any_running(pids: Iterable[int]) -> bool:
    """Whether any of the processes runs."""
    return any(map(is_running, pids))


def children_of(pid: int) -> list[int]:
    """Ids of the running children of a process."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] not in "ZX" and int(fields[1]) == pid:
            found.append(int(status.parent.name))
    return found


def descendants_of(pid: int) -> list[int]:
    """Ids of the running children of a process, and of theirs."""
    children = children_of(pid)
    return children + [other for child in children for other in descendants_of(child)]


def umask_of(pid: int) -> str:
    """The umask of a process, as the system writes it."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith("Umask:"))


def ids_in(path: Path) -> list[int]:
    """Process ids that were written to a file, one a line."""
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for a condition, and fail if it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not happen within {seconds:g} s"
        time.sleep(0.05)
