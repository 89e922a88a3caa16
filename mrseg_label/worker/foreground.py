"""A worker at a terminal, in a container or in a Slurm job."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from mrseg_label.processes import end_child
from mrseg_label.worker.supervise import start_worker


def run_worker(root: Path, queues: Sequence[str]) -> int:
    """Run a worker process until it ends or is told to end.

    The worker leads a process group of its own, so that it can take its children along. On the first interrupt or
    SIGTERM it finishes its present job; the second, like the death of this process, kills it with all that it started.

    Returns
    -------
    Exit code of the worker; 0 also if it was told to end and did.
    """
    worker = start_worker(root, queues)
    told_to_end = False

    def end(_number: int, _frame: FrameType | None) -> None:
        nonlocal told_to_end
        if told_to_end:
            end_child(worker)
        else:
            told_to_end = True
            worker.terminate()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        code = worker.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        end_child(worker)
    return 0 if told_to_end and code in (0, -signal.SIGTERM) else abs(code)
