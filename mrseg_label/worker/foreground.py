"""A worker at a terminal, in a container or in a Slurm job."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType


def run_worker(root: Path, queues: Sequence[str]) -> int:
    """Run a worker process until it ends or is told to; returns its exit code.

    The worker leads a process group of its own, so that it can take its children with it. The first
    interrupt or SIGTERM lets it finish what it does; the second, like the death of this process, ends it
    with all that it started.
    """
    command = [sys.executable, "-m", "mrseg_label.worker", "--workspace", str(root)]
    command += ["--queues", ",".join(queues), "--with-parent"]
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    assert worker.stdin is not None
    pipe = worker.stdin
    asked = False

    def end(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            pipe.close()
        else:
            asked = True
            worker.terminate()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        code = worker.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        pipe.close()
    # A worker that was told to end and did is no failure.
    return 0 if asked and code in (0, -signal.SIGTERM) else abs(code)
