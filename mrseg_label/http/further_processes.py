"""Further processes of one server: they answer requests at the sockets of the first, which starts and ends them."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from mrseg_label.errors import ConfigurationError
from mrseg_label.processes import kill_group, start_child
from mrseg_label.workspace import Workspace

RESTART_SECONDS, LONGEST_RESTART_SECONDS = 1.0, 30.0
HEALTHY_SECONDS = 300.0
STOP_SECONDS = 15.0  # longer than requests under way are waited for
_POLL_SECONDS = 0.2

log = logging.getLogger("mrseg_label.http")


def check_processes(workspace: Workspace, count: int) -> None:
    """Check that so many processes can serve a workspace.

    Raises
    ------
    ConfigurationError
        Its database lets one process write at a time.
    """
    if count > 1 and workspace.database_url.get_backend_name() == "sqlite":
        raise ConfigurationError(
            f"--processes {count} needs PostgreSQL: in SQLite one process would wait for the others; leave it out, or "
            "set DATABASE_URL to a PostgreSQL database"
        )


@dataclass
class _Slot:
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    restart_at: float = 0.0
    failures: int = 0


class FurtherProcesses:
    """Starts the further processes of a server, restarts those that die, and ends them with the first."""

    def __init__(self, workspace: Workspace, sockets: Sequence[socket.socket], count: int) -> None:
        self._workspace = workspace
        self._files = [one.fileno() for one in sockets]
        self._slots = [_Slot() for _ in range(count)]
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="further-processes", daemon=True)

    def start(self) -> None:
        """Start them, and keep them running."""
        if self._slots:
            self._thread.start()

    def tell_to_end(self) -> None:
        """Have them take no further request and end those under way; returns at once."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        for slot in self._slots:
            if slot.process is not None:
                with suppress(ProcessLookupError):
                    slot.process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """End them, and return when they are gone."""
        self.tell_to_end()
        deadline = time.monotonic() + STOP_SECONDS
        for process in (slot.process for slot in self._slots if slot.process is not None):
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                kill_group(process.pid)

    def _watch(self) -> None:
        while not self._stopping.is_set():
            for slot in self._slots:
                self._restart_if_dead(slot)
            self._stopping.wait(_POLL_SECONDS)

    def _restart_if_dead(self, slot: _Slot) -> None:
        moment = time.monotonic()
        if slot.process is not None and slot.process.poll() is not None:
            log.warning("a further process of the server ended with exit code %s", slot.process.returncode)
            slot.process = None
            slot.failures = 1 if moment - slot.started_at > HEALTHY_SECONDS else slot.failures + 1
            slot.restart_at = moment + min(LONGEST_RESTART_SECONDS, RESTART_SECONDS * slot.failures)
        if slot.process is None and moment >= slot.restart_at:
            slot.started_at = moment
            command = [sys.executable, "-m", "mrseg_label.http.further_process", "--workspace"]
            command += [str(self._workspace.root), "--sockets", ",".join(map(str, self._files))]
            slot.process = start_child(command, environment=os.environ, pass_files=self._files)
