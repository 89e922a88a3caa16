"""Child processes that never outlive the process that started them.

A child gets the reading end of a pipe as its standard input, and its parent keeps the writing end. However the
parent ends, the operating system closes the pipe; the child sees that and ends itself with everything that it
started. The kernel's death signal (PR_SET_PDEATHSIG) would reach the child alone and leave its children running.

A process that forks while it keeps such a pipe passes the writing end on, and the child then lives as long as the
fork does; start other children with the method ``spawn``.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import IO, NoReturn

_POLL_SECONDS = 0.01
_ENDED = "ZX"  # states of a thread that does not run any more


def start_child(
    command: Sequence[str],
    *,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
    environment: Mapping[str, str] | None = None,
    own_session: bool = True,
    pass_files: Sequence[int] = (),
    pass_on: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a process that ends with this one; it must call :func:`end_with_parent` or watch its standard input.

    Parameters
    ----------
    stdout, stderr, environment : as of :class:`subprocess.Popen`; those of this process by default.
    own_session : let the child lead a session of its own. Otherwise it leads a process group in the session of this
        process, where :func:`kill_session` finds it. Neither gets the signals of a terminal, such as Ctrl-C.
    pass_files : open files that the child inherits.
    pass_on : let it inherit those that this process was given so.
    """
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=stderr,
        env=environment,
        start_new_session=own_session,
        process_group=None if own_session else 0,
        pass_fds=tuple(pass_files),
        close_fds=not pass_on,
    )


@contextmanager
def children_ignore_ctrl_c() -> Iterator[None]:
    """Let the processes that are started in this block never see Ctrl-C, which a terminal sends to all of them.

    They inherit that the signal is blocked, from their first instruction on: one that ignored it later, in Python,
    would answer an early Ctrl-C with a traceback. In this process Ctrl-C takes effect at the end of the block.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_child(child: subprocess.Popen[bytes]) -> None:
    """End a child with everything that it started, by closing the pipe that it watches."""
    if child.stdin is not None:
        child.stdin.close()


def end_with_parent(grace_seconds: float = 0.0) -> None:
    """Watch standard input in a thread, and end this process and its process group when the parent is gone.

    Parameters
    ----------
    grace_seconds : 0 kills at once. Otherwise this process gets SIGTERM first, and is killed if it still runs after
        so many seconds.
    """
    threading.Thread(target=_end_with_parent, args=(grace_seconds,), name="parent-watch", daemon=True).start()


def _end_with_parent(grace_seconds: float) -> None:
    while os.read(0, 1024):
        pass
    if grace_seconds:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(grace_seconds)
    kill_own_group()


@contextmanager
def signals_as_bytes(*numbers: int) -> Iterator[int]:
    """Yield the reading end of a pipe in which each of these signals that comes is a byte, its number.

    A handler written in Python can interrupt anything, another call of itself too, and waits for ever for a lock that
    what it interrupts holds. Here nothing runs in a handler: whoever reads the pipe does the work, where it may take
    locks. Only the main thread may call this; what the signals did before is restored at the end.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    wakeup = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    before = {number: signal.signal(number, _ignore) for number in numbers}
    try:
        yield reading
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakeup)
        os.close(reading)
        os.close(writing)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Do nothing; without a handler in Python the signal would not become a byte."""


def lead_group() -> None:
    """Make this process the leader of a process group, so that it can take its children along when it is killed."""
    if os.getpgrp() != os.getpid():
        os.setpgrp()


def kill_own_group() -> None:
    """Kill this process and its process group."""
    os.killpg(os.getpgrp(), signal.SIGKILL)


def replace_process() -> NoReturn:
    """Have a new process do what this one was started for, under the same process id and with the same standard input."""
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def kill_group(leader: int) -> None:
    """Kill a process group; that it has ended already is no error. The group may outlive its leader."""
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def kill_session(leader: int) -> None:
    """Kill every process of a session, whose leader may have ended, and return when they are gone.

    Only Linux lists the processes of a session; on other systems this does nothing.
    """
    while members := session_members(leader):
        for pid in members:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)


def session_members(leader: int) -> list[int]:
    """Ids of the running processes of a session."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        fields = _stat_fields(int(entry.name))
        if _is_running(fields) and int(fields[3]) == leader:
            found.append(int(entry.name))
    return found


def kill_descendants(ancestor: int) -> None:
    """Kill the children of a process, theirs and so on, and return when they are gone; on Linux only."""
    while found := descendants(ancestor):
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)


def descendants(ancestor: int) -> list[int]:
    """Ids of the running children of a process, of theirs and so on, whatever their sessions."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        fields = _stat_fields(int(entry.name))
        if _is_running(fields):
            parents[int(entry.name)] = int(fields[1])
    found = [ancestor]
    for one in found:  # grows while it is read
        found += [pid for pid, parent in parents.items() if parent == one]
    return found[1:]


def session_cpu_seconds(leader: int) -> float:
    """CPU time that the running processes of a session and their ended children have used; 0 where not on Linux."""
    ticks = 0
    for entry in Path("/proc").glob("[0-9]*"):
        fields = _stat_fields(int(entry.name))
        if fields and int(fields[3]) == leader:
            ticks += sum(int(field) for field in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def start_time(pid: int) -> str:
    """When a running process started, in ticks since boot; empty if none of that id runs.

    With the id it identifies a process, since the system uses ids again.
    """
    fields = _stat_fields(pid)
    return fields[19] if _is_running(fields) else ""


def _is_running(fields: Sequence[str]) -> bool:
    # The first thread of a process that is being killed can be a zombie while another one still ends. Until the last
    # has, the process keeps its open files and the locks on them.
    return bool(fields) and (fields[0] not in _ENDED or int(fields[17]) > 1)


def _stat_fields(pid: int) -> list[str]:
    """Fields of ``/proc/<pid>/stat`` from the third (the state) on; empty if there is no such process."""
    try:
        # The second field is a name in parentheses that may hold blanks and parentheses itself.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return []
