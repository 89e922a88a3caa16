"""What a Dask worker runs for us: a worker process that claims jobs until there are none, and ends with the Dask worker.

The rows stay the truth: Dask may run this function twice, lose it, or forget how it ended.
"""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from mrseg_label.cluster import check_shared_database
from mrseg_label.config import CONFIG_FILE
from mrseg_label.errors import ConfigurationError, MrsegError
from mrseg_label.private import create
from mrseg_label.processes import kill_group
from mrseg_label.worker.ending import tell_to_end
from mrseg_label.worker.supervise import start_worker
from mrseg_label.workspace import Workspace

POLL_SECONDS = 0.2
END_SECONDS = 10.0
_at_work: set[subprocess.Popen[bytes]] = set()


def run_worker(root: str, queues: Sequence[str], idle_seconds: float) -> None:
    """Run a worker process on this machine until it finds no job for ``idle_seconds``, or the Dask worker closes.

    If the Dask worker is told to close (SIGTERM, a lost scheduler, fewer workers wanted), the job goes back to the
    queue at once and its attempt is not counted. If it is killed, the worker process is killed with it.

    Raises
    ------
    MrsegError
        This machine does not see the workspace or its database, or the process ended with an error.
    """
    host = socket.gethostname()
    folder = Path(root)
    if not (folder / CONFIG_FILE).is_file():
        raise ConfigurationError(
            f"{host} does not see the workspace {root}; mount the shared folder there under the same path"
        )
    workspace = Workspace.open(folder)
    check_shared_database(workspace.database_url)  # the server may have DATABASE_URL in its environment alone
    log = workspace.logs / f"worker-dask-{host}.log"
    create(log)
    # Threads that spin while they wait take the cores from what runs beside them.
    environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}
    with log.open("ab") as output:
        process = start_worker(
            workspace.root, queues, "--until-idle", str(idle_seconds), output=output, environment=environment
        )
    _at_work.add(process)
    try:
        if _wait(process):
            raise MrsegError(f"a worker process on {host} ended with exit code {process.returncode}; see {log}")
    finally:
        _end([process])
        _at_work.discard(process)


def _wait(process: subprocess.Popen[bytes]) -> bool:
    """Wait for the end of a worker process, or end it with the Dask worker; returns whether it failed."""
    from distributed import get_worker
    from distributed.core import Status

    worker = get_worker()
    while process.poll() is None:
        if worker.status not in (Status.running, Status.paused):
            _end([process])
            return False
        time.sleep(POLL_SECONDS)
    return process.returncode != 0


@atexit.register
def _end_all() -> None:
    """End what is at work: a Dask worker without a nanny leaves on SIGTERM without closing."""
    _end(list(_at_work))


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Have worker processes give their jobs back and end, and return when they have."""
    for process in processes:
        tell_to_end(process)
    deadline = time.monotonic() + END_SECONDS
    for process in processes:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.1, deadline - time.monotonic()))
        if process.poll() is None:
            kill_group(process.pid)
