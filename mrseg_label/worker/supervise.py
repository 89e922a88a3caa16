"""The worker processes that a server keeps running on its own machine."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO

from mrseg_label.config import Settings
from mrseg_label.jobs.queue import DRAFTS, LIGHT, ROUNDS
from mrseg_label.kept_running import KeptRunning
from mrseg_label.processes import start_child
from mrseg_label.worker.ending import tell_to_end
from mrseg_label.workspace import Workspace

log = logging.getLogger("mrseg_label.worker")
PLACER = "placer"
STOP_SECONDS = 10.0


def start_worker(
    root: Path,
    queues: Sequence[str],
    *options: str,
    output: IO[bytes] | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a worker process for the workspace in ``root`` that ends with this process; ``options`` are its own."""
    command = [sys.executable, "-m", "mrseg_label.worker", "--workspace", str(root)]
    command += ["--queues", ",".join(queues), "--with-parent", *options]
    return start_child(command, stdout=output, stderr=output, environment=environment)


def start_placer(
    root: Path, *, output: IO[bytes] | None = None, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start the process that has the workers of DASK_SCHEDULER work for a workspace; it ends with this process."""
    command = [sys.executable, "-m", "mrseg_label.worker.dask.placer", "--workspace", str(root)]
    return start_child(command, stdout=output, stderr=output, environment=environment)


class WorkerPool:
    """Starts workers, restarts those that die, and ends them with the server, however it ends."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self.queues = _queues(workspace.settings)
        starts = {name: partial(self._start, name) for name in self.queues}
        self._kept = KeptRunning(starts, self._ended, tell_to_end, STOP_SECONDS)

    def start(self) -> None:
        """Start the workers and keep them running."""
        self._kept.start()

    def stop(self) -> None:
        """End the workers and return when they are gone; their jobs go back to the queue. May be called again."""
        self._kept.stop()

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        # Threads that spin while they wait take the cores from the drafts or the training beside them.
        environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}
        root = self._workspace.root
        with self._log_path(name).open("ab") as output:
            if name == PLACER:
                return start_placer(root, output=output, environment=environment)
            return start_worker(root, self.queues[name], output=output, environment=environment)

    def _ended(self, name: str, reason: int | OSError) -> None:
        if isinstance(reason, OSError):
            log.warning("worker %s cannot be started: %s", name, reason)
        else:
            log.warning("worker %s ended with exit code %s; see %s", name, reason, self._log_path(name))

    def _log_path(self, name: str) -> Path:
        return self._workspace.logs / f"worker-{name}.log"


def _queues(settings: Settings) -> dict[str, tuple[str, ...]]:
    """Queues of each process that is kept running by name; the placer has none of its own."""
    count = settings.workers
    if settings.presegmentation == "off":
        return {"light": (LIGHT,)} if count else {}
    # Drafts and light work share a process (light jobs have the higher priority); training has its own.
    found: dict[str, tuple[str, ...]] = {f"drafts-{index}": (LIGHT, DRAFTS) for index in range(count)}
    if settings.dask_scheduler is not None:
        return found | {PLACER: ()}  # rounds are trained where the GPUs are
    if count:
        names = ["rounds", *(f"rounds-{index}" for index in range(1, settings.round_workers))]
        found |= dict.fromkeys(names, (ROUNDS,))
    return found
