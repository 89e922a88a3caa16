"""Child processes that are kept running: workers of a server, and its further processes."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mrseg_label.processes import kill_group

RESTART_SECONDS, LONGEST_RESTART_SECONDS = 1.0, 60.0
HEALTHY_SECONDS = 300.0  # a child that ran for longer starts again soon, however often its like have ended before
_WATCH_SECONDS = 0.2


@dataclass
class _Slot:
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    restart_at: float = 0.0
    failures: int = 0


class KeptRunning:
    """Children that are kept running: one that ends is started again, later with each that ended soon in a row.

    Parameters
    ----------
    starts : by name, a function that starts the child; where it cannot (OSError), it is called again later.
    ended : called with the name of a child that ended or did not start, and its exit code or the error.
    tell : has a child end; those that do not within ``stop_seconds`` are killed with their process group.
    """

    def __init__(
        self,
        starts: Mapping[str, Callable[[], subprocess.Popen[bytes]]],
        ended: Callable[[str, int | OSError], None],
        tell: Callable[[subprocess.Popen[bytes]], None],
        stop_seconds: float,
    ) -> None:
        self._starts, self._ended, self._tell, self._stop_seconds = starts, ended, tell, stop_seconds
        self._slots = {name: _Slot() for name in starts}
        self._stopping = threading.Event()
        self._ending = threading.Lock()
        self._thread = threading.Thread(target=self._watch, name="kept-running", daemon=True)

    def start(self) -> None:
        """Start the children, and keep them running."""
        if self._slots:
            self._thread.start()

    def tell_to_end(self) -> None:
        """Have the children end, and start none again; returns before they are gone. May be called again."""
        with self._ending:
            if self._stopping.is_set():
                return
            self._stopping.set()
            if self._thread.is_alive():
                self._thread.join()
            for process in self._running():
                self._tell(process)

    def stop(self) -> None:
        """End the children, and return when they are gone. May be called again."""
        self.tell_to_end()
        deadline = time.monotonic() + self._stop_seconds
        for process in self._running():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                kill_group(process.pid)

    def _running(self) -> list[subprocess.Popen[bytes]]:
        return [slot.process for slot in self._slots.values() if slot.process is not None]

    def _watch(self) -> None:
        while not self._stopping.is_set():
            for name, slot in self._slots.items():
                self._restart_if_dead(name, slot)
            self._stopping.wait(_WATCH_SECONDS)

    def _restart_if_dead(self, name: str, slot: _Slot) -> None:
        moment = time.monotonic()
        if slot.process is not None and (code := slot.process.poll()) is not None:
            slot.process = None
            self._failed(name, slot, moment, code)
        if slot.process is None and moment >= slot.restart_at:
            slot.started_at = moment
            try:
                slot.process = self._starts[name]()
            except OSError as error:  # no memory, no process id or no file is left
                self._failed(name, slot, moment, error)

    def _failed(self, name: str, slot: _Slot, moment: float, reason: int | OSError) -> None:
        self._ended(name, reason)
        slot.failures = 1 if moment - slot.started_at > HEALTHY_SECONDS else slot.failures + 1
        slot.restart_at = moment + min(LONGEST_RESTART_SECONDS, RESTART_SECONDS * slot.failures)
