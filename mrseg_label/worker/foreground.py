"""A worker at a terminal, in a container or in a Slurm job."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Sequence
from pathlib import Path

from mrseg_label.processes import end_child, signals_as_bytes
from mrseg_label.worker.ending import tell_to_end, tell_to_finish
from mrseg_label.worker.supervise import start_worker


def run_worker(root: Path, queues: Sequence[str]) -> int:
    """Run a worker process until it ends or is told to end.

    The worker leads a process group of its own, so that it can take its children along. On the first interrupt it
    finishes its present job; on SIGTERM it gives the job back to the queue if it cannot finish it within seconds. On
    the second signal it gives it back at once. If this process dies, it is killed with all that it started.

    Returns
    -------
    Exit code of the worker; 0 also if it was told to end and did.
    """
    told_to_end = False
    with signals_as_bytes(signal.SIGINT, signal.SIGTERM, signal.SIGCHLD) as received:
        worker = start_worker(root, queues)
        try:
            while (code := worker.poll()) is None:
                select.select([received], [], [])
                for number in os.read(received, 4096):
                    if number == signal.SIGCHLD:
                        continue
                    if told_to_end:
                        tell_to_end(worker)
                    elif number == signal.SIGTERM:
                        worker.terminate()
                    else:
                        tell_to_finish(worker)
                    told_to_end = True
        finally:
            end_child(worker)
    return 0 if told_to_end and code in (0, -signal.SIGTERM, -signal.SIGKILL) else abs(code)
