"""The worker processes that a server keeps running on its own machine."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mrseg_label.jobs.queue import DRAFTS, LIGHT, ROUNDS
from mrseg_label.processes import kill_group, start_child
from mrseg_label.worker.ending import tell_to_end
from mrseg_label.workspace import Workspace

log = logging.getLogger("mrseg_label.worker")
RESTART_SECONDS = 2.0
HEALTHY_SECONDS = 600.0
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


@dataclass
class _Slot:
    """A process that is kept running: a worker, or the placer, which has no queues of its own."""

    name: str
    queues: tuple[str, ...]
    process: subprocess.Popen[bytes] | None = None
    restart_at: float = 0.0
    started_at: float = 0.0
    failures: int = 0


class WorkerPool:
    """Starts workers, restarts those that die, and ends them with the server, however it ends."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        count = workspace.settings.workers
        # Drafts and light work share a process (light jobs have the higher priority); training has its own.
        self._slots = [_Slot(f"drafts-{index}", (LIGHT, DRAFTS)) for index in range(count)]
        if workspace.settings.presegmentation == "off":
            self._slots = [_Slot("light", (LIGHT,))] if count else []
        elif workspace.settings.dask_scheduler is not None:
            self._slots.append(_Slot("placer", ()))  # rounds are trained where the GPUs are
        elif count:
            names = ["rounds", *(f"rounds-{index}" for index in range(1, workspace.settings.round_workers))]
            self._slots += [_Slot(name, (ROUNDS,)) for name in names]
        self._stopping = threading.Event()
        self._ending = threading.Lock()
        self._thread = threading.Thread(target=self._watch, name="worker-pool", daemon=True)

    def start(self) -> None:
        """Start the workers and keep them running."""
        self._thread.start()

    def stop(self) -> None:
        """End the workers and return when they are gone; their jobs go back to the queue. May be called again."""
        self._stopping.set()
        with self._ending:
            if self._thread.is_alive():
                self._thread.join()
            workers = [slot.process for slot in self._slots if slot.process is not None]
            for worker in workers:
                tell_to_end(worker)
            deadline = time.monotonic() + STOP_SECONDS
            for worker in workers:
                try:
                    worker.wait(max(0.1, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    kill_group(worker.pid)

    def _watch(self) -> None:
        while not self._stopping.is_set():
            for slot in self._slots:
                self._restart_if_dead(slot)
            self._stopping.wait(0.5)

    def _restart_if_dead(self, slot: _Slot) -> None:
        moment = time.monotonic()
        if slot.process is not None and slot.process.poll() is not None:
            log.warning(
                "worker %s ended with exit code %s; see %s", slot.name, slot.process.returncode, self._log_path(slot)
            )
            slot.process = None
            # One that had worked for long starts again soon, however often its like have ended before.
            slot.failures = 1 if moment - slot.started_at > HEALTHY_SECONDS else slot.failures + 1
            slot.restart_at = moment + min(60.0, RESTART_SECONDS * slot.failures)
        if slot.process is None and moment >= slot.restart_at:
            slot.started_at = moment
            # Threads that spin while they wait take the cores from the drafts or the training beside them.
            environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}
            with self._log_path(slot).open("ab") as output:
                if slot.queues:
                    slot.process = start_worker(
                        self._workspace.root, slot.queues, output=output, environment=environment
                    )
                else:
                    slot.process = start_placer(self._workspace.root, output=output, environment=environment)

    def _log_path(self, slot: _Slot) -> Path:
        return self._workspace.logs / f"worker-{slot.name}.log"
