"""Further processes of one server: they answer requests at the sockets of the first, which starts and ends them."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress

from mrseg_label.errors import ConfigurationError
from mrseg_label.kept_running import KeptRunning
from mrseg_label.processes import start_child
from mrseg_label.workspace import Workspace

STOP_SECONDS = 15.0  # longer than requests under way are waited for

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


class FurtherProcesses:
    """Starts the further processes of a server, restarts those that die, and ends them with the first."""

    def __init__(self, workspace: Workspace, sockets: Sequence[socket.socket], count: int) -> None:
        self._root = workspace.root
        self._files = [one.fileno() for one in sockets]
        starts = dict.fromkeys((str(number) for number in range(2, count + 2)), self._start)
        self._kept = KeptRunning(starts, _ended, _terminate, STOP_SECONDS)

    def start(self) -> None:
        """Start them, and keep them running."""
        self._kept.start()

    def tell_to_end(self) -> None:
        """Have them take no further request and end those under way; returns at once."""
        self._kept.tell_to_end()

    def stop(self) -> None:
        """End them, and return when they are gone."""
        self._kept.stop()

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "mrseg_label.http.further_process", "--workspace"]
        command += [str(self._root), "--sockets", ",".join(map(str, self._files))]
        return start_child(command, environment=os.environ, pass_files=self._files)


def _ended(name: str, reason: int | OSError) -> None:
    if isinstance(reason, OSError):
        log.warning("process %s of the server cannot be started: %s", name, reason)
    else:
        log.warning("process %s of the server ended with exit code %s", name, reason)


def _terminate(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
