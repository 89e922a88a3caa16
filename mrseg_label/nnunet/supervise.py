"""Run a training as a process that never outlives its parent.

nnU-Net starts processes of its own. Between it and us stands a small supervisor (this module, run as a
program) that holds the reading end of a pipe: when the pipe closes, because the parent closed it or was
killed, the supervisor kills the whole process group of the training. Death signals of the kernel
(PR_SET_PDEATHSIG) reach the child only and leave its children running.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from mrseg_label import errors
from mrseg_label.nnunet.run import ERROR_FILE, LOG_FILE, TrainingProgress, TrainingReport, TrainingRun


class SupervisedProcess:
    """A command under a supervisor.

    Whoever forks after this was started (a pool with the method ``fork``) keeps the pipe open as long as that
    child lives; start such children with ``spawn``.
    """

    def __init__(self, command: Sequence[str], log: Path, environment: dict[str, str] | None = None) -> None:
        with log.open("ab") as output:
            self._supervisor = subprocess.Popen(
                [sys.executable, "-m", __name__, *command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Process id of the supervisor."""
        return self._supervisor.pid

    def poll(self) -> int | None:
        """Exit code of the command, or None while it runs."""
        return self._supervisor.poll()

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for the end; exit code, or None if ``timeout`` seconds have passed before."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._supervisor.wait(timeout)
        return None

    def kill(self) -> None:
        """End the command and everything that it started; returns when they are gone."""
        if self._supervisor.stdin is not None:
            self._supervisor.stdin.close()
        self._supervisor.wait()


def start_training(run: TrainingRun) -> SupervisedProcess:
    """Start a training in processes of its own; follow it by :meth:`TrainingProgress.read`."""
    command = [sys.executable, "-m", "mrseg_label.nnunet.train", str(run.write())]
    return SupervisedProcess(command, run.folder / LOG_FILE)


def train(
    run: TrainingRun,
    on_progress: Callable[[TrainingProgress], None] = lambda _: None,
    poll_seconds: float = 1.0,
) -> TrainingReport:
    """Train and wait for the end.

    Parameters
    ----------
    on_progress : called every ``poll_seconds``; what it raises (a cancel, a lost lease) ends the training and
        is raised again once its processes are dead.

    Raises
    ------
    MrsegError
        The training failed; the message is its own, or names its log.
    """
    process = start_training(run)
    try:
        while (code := process.wait(poll_seconds)) is None:
            on_progress(TrainingProgress.read(run.folder))
    finally:
        process.kill()
    if code != 0:
        raise _failure(run.folder, code)
    return TrainingReport.read(run.folder)


def _failure(folder: Path, code: int) -> errors.MrsegError:
    try:
        told = json.loads((folder / ERROR_FILE).read_text())
    except (OSError, ValueError):
        how = f"by signal {code - 128}" if code > 128 else f"with exit code {code}"
        return errors.MrsegError(f"the training ended {how} without a word (out of memory?); see {folder / LOG_FILE}")
    kind = getattr(errors, told["type"], errors.MrsegError)
    return kind(told["message"]) if issubclass(kind, errors.MrsegError) else errors.MrsegError(told["message"])


def _supervise(command: Sequence[str]) -> int:
    """Run a command in a process group of its own until it ends or standard input closes."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)

    def kill_group(_signal: int = 0, _frame: FrameType | None = None) -> None:
        # The group may outlive its leader: what the training left behind goes with it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)

    signal.signal(signal.SIGCHLD, lambda *_: None)  # only to wake up
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, kill_group)
    while child.poll() is None:
        ready, _, _ = select.select([0, wake_read], [], [])
        if wake_read in ready:
            os.read(wake_read, 4096)
        if 0 in ready and not os.read(0, 4096):
            break
    kill_group()
    code = child.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(_supervise(sys.argv[1:]))
