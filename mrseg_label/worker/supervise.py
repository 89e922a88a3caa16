"""The worker processes that a server keeps on its own machine."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from mrseg_label.jobs.queue import DRAFTS, LIGHT, ROUNDS
from mrseg_label.workspace import Workspace

log = logging.getLogger("mrseg_label.worker")
RESTART_SECONDS = 2.0
STOP_SECONDS = 10.0


@dataclass
class _Slot:
    name: str
    queues: str
    process: subprocess.Popen[bytes] | None = None
    restart_at: float = 0.0
    failures: int = field(default=0)


class WorkerPool:
    """Starts workers, starts them again when they die, and ends them with the server.

    A worker holds the reading end of a pipe as its standard input; when this process dies, however it
    dies, the pipe closes and the worker kills its process group.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        count = workspace.settings.workers
        # Drafts and light work share a process (light jobs have the higher priority); training has its own.
        self._slots = [_Slot(f"drafts-{index}", f"{LIGHT},{DRAFTS}") for index in range(count)]
        if count:
            self._slots.append(_Slot("rounds", ROUNDS))
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="worker-pool", daemon=True)

    def start(self) -> None:
        """Start the workers and keep them running."""
        self._thread.start()

    def stop(self) -> None:
        """End the workers; what they were doing goes on when the server comes back."""
        self._stopping.set()
        self._thread.join()
        for slot in self._slots:
            if slot.process and slot.process.stdin:
                slot.process.stdin.close()
        deadline = time.monotonic() + STOP_SECONDS
        for slot in self._slots:
            if slot.process:
                try:
                    slot.process.wait(max(0.1, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    slot.process.kill()

    def _watch(self) -> None:
        while not self._stopping.is_set():
            for slot in self._slots:
                self._tend(slot)
            self._stopping.wait(0.5)

    def _tend(self, slot: _Slot) -> None:
        moment = time.monotonic()
        if slot.process is not None and slot.process.poll() is not None:
            log.warning("worker %s ended with %s; see %s", slot.name, slot.process.returncode, self._log_path(slot))
            slot.process = None
            slot.failures += 1
            slot.restart_at = moment + min(60.0, RESTART_SECONDS * slot.failures)
        if slot.process is None and moment >= slot.restart_at:
            slot.process = self._spawn(slot)

    def _log_path(self, slot: _Slot) -> Path:
        return self._workspace.logs / f"worker-{slot.name}.log"

    def _spawn(self, slot: _Slot) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "mrseg_label.worker", "--workspace", str(self._workspace.root)]
        command += ["--queues", slot.queues, "--with-parent"]
        with self._log_path(slot).open("ab") as output:
            return subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
                # Threads that spin while they wait take the cores from the drafts or the training beside them.
                env={"OMP_WAIT_POLICY": "PASSIVE", **os.environ},
            )
