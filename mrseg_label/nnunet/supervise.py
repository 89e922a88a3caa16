"""Run a training in processes that never outlive the process that started them.

nnU-Net starts processes of its own, and any process can be killed. So three watch each other, each with the means of
:mod:`mrseg_label.processes`:

- The supervisor (this module, run as a program) starts the training. When the pipe from the worker closes, or when
  the training ends, it kills the process group of the training.
- The training watches a pipe from the supervisor, and kills its own process group when the supervisor is gone.
- The worker waits for the supervisor, and then kills what is left in its session. So no attempt has ended before all
  of its processes have, and the next one finds the folders free.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mrseg_label import errors, processes
from mrseg_label.nnunet import gpus
from mrseg_label.nnunet.devices import device_inside, variables_for
from mrseg_label.nnunet.memory import killed_for_memory
from mrseg_label.nnunet.run import ERROR_FILE, LOG_FILE, TrainingProgress, TrainingReport, TrainingRun
from mrseg_label.nnunet.stalling import StallWatch

log = logging.getLogger("mrseg_label.nnunet")
_SUPERVISOR_SECONDS = 3.0  # within which it kills what it supervises


class SupervisedProcess:
    """A command under a supervisor; its standard input is a pipe that stays empty and closes with the supervisor.

    Parameters
    ----------
    log : file that the command's output is added to.
    variables : environment variables of the command, beside those of this process.
    """

    def __init__(self, command: Sequence[str], log: Path, variables: Mapping[str, str] | None = None) -> None:
        with log.open("ab") as output:
            self._supervisor = processes.start_child(
                [sys.executable, "-m", __name__, *command],
                stdout=output,
                stderr=subprocess.STDOUT,
                environment={**os.environ, **(variables or {})},
                pass_files=gpus.held_files(),
            )

    @property
    def pid(self) -> int:
        """Process id of the supervisor."""
        return self._supervisor.pid

    def poll(self) -> int | None:
        """Exit code of the command as :meth:`wait` returns it, or None while it runs."""
        return self._ended(self._supervisor.poll())

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for the end of the command and of everything that it started.

        Returns
        -------
        Exit code, 128 + N if the command was killed by signal N, or -N if the supervisor was; None if ``timeout``
        seconds have passed before.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._ended(self._supervisor.wait(timeout))
        return None

    def kill(self) -> None:
        """Kill the command and everything that it started; returns when they are gone."""
        processes.end_child(self._supervisor)
        if self.wait(_SUPERVISOR_SECONDS) is None:  # it hangs itself
            processes.kill_session(self.pid)
            self.wait()

    def _ended(self, code: int | None) -> int | None:
        if code is not None:
            processes.kill_session(self.pid)
        return code


def start_training(run: TrainingRun) -> SupervisedProcess:
    """Start a training in processes of its own, which see its GPU alone; follow it with :meth:`TrainingProgress.read`."""
    variables = variables_for(run.device)
    run = replace(run, device=device_inside(run.device))
    command = [sys.executable, "-m", "mrseg_label.nnunet.train", "--with-parent", str(run.write())]
    return SupervisedProcess(command, run.folder / LOG_FILE, variables)


def train(
    run: TrainingRun,
    on_progress: Callable[[TrainingProgress], None] = lambda _: None,
    poll_seconds: float = 1.0,
) -> TrainingReport:
    """Train and wait for the end. Where memory is exhausted, it is tried once more with smaller settings.

    Parameters
    ----------
    on_progress : called every ``poll_seconds``. What it raises (a cancel, a lost lease) ends the training, and is
        raised again once all processes of the training are gone.

    Raises
    ------
    OutOfMemory
        Memory was exhausted with smaller settings too.
    Stalled
        The training made no progress for ``run.stall_minutes``.
    MrsegError
        The training failed; the message is the one in ``error.json``, or names the log.
    """
    try:
        return _train_once(run, on_progress, poll_seconds)
    except errors.OutOfMemory as error:
        if run.spare_memory:
            raise
        log.warning("%s is trained once more with smaller settings: %s", run.dataset, error)
        first = error
    try:
        return _train_once(replace(run, spare_memory=True), on_progress, poll_seconds)
    except errors.OutOfMemory as error:
        raise errors.OutOfMemory(
            f"{error}. It was tried once more with smaller settings, after: {first}. Let less run on the machine, give it "
            "more memory or use one that has more, or choose a smaller TRAINING_PROFILE"
        ) from error


def _train_once(
    run: TrainingRun, on_progress: Callable[[TrainingProgress], None], poll_seconds: float
) -> TrainingReport:
    killed = killed_for_memory()
    process = start_training(run)
    watch = StallWatch(run.stall_minutes * 60, lambda: processes.session_cpu_seconds(process.pid))
    try:
        while (code := process.wait(poll_seconds)) is None:
            progress = TrainingProgress.read(run.folder)
            on_progress(progress)
            watch.check(progress)
    finally:
        process.kill()
    if code != 0:
        raise _failure(run.folder, code, for_memory=killed_for_memory() > killed)
    return TrainingReport.read(run.folder)


def _failure(folder: Path, code: int, *, for_memory: bool) -> errors.MrsegError:
    if code < 0:
        return errors.MrsegError(
            f"the training was ended because its supervisor was killed by signal {-code}; see {folder / LOG_FILE}"
        )
    try:
        reported = json.loads((folder / ERROR_FILE).read_text())
    except (OSError, ValueError):
        how = f"was killed by signal {code - 128}" if code > 128 else f"ended with exit code {code}"
        if code == 128 + signal.SIGKILL and for_memory:
            return errors.OutOfMemory(
                f"the system killed the training because memory was exhausted; see {folder / LOG_FILE}"
            )
        return errors.MrsegError(
            f"the training {how} and reported no error; it may have run out of memory, see {folder / LOG_FILE}"
        )
    kind = getattr(errors, reported["type"], errors.MrsegError)
    return kind(reported["message"]) if issubclass(kind, errors.MrsegError) else errors.MrsegError(reported["message"])


def _supervise(command: Sequence[str]) -> int:
    """Run a command in a process group of its own until it ends or standard input closes."""
    told_to_end = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
    with processes.signals_as_bytes(signal.SIGCHLD, *told_to_end) as received:
        # In this session, where the worker finds it if this process is killed.
        child = processes.start_child(command, own_session=False, pass_on=True)
        while child.poll() is None:
            ready, _, _ = select.select([0, received], [], [])
            if received in ready and told_to_end.intersection(os.read(received, 4096)):
                break
            if 0 in ready and not os.read(0, 4096):
                break
        processes.kill_group(child.pid)  # with what the training left behind, if it has ended itself
        code = child.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(_supervise(sys.argv[1:]))
