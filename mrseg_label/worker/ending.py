"""How a worker process is told to end: by signals, or by its parent through the pipe that is its standard input."""

from __future__ import annotations

import logging
import os
import select
import signal
import subprocess
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from mrseg_label.errors import MrsegError
from mrseg_label.processes import end_child, kill_own_group

if TYPE_CHECKING:
    from mrseg_label.worker.loop import Worker

log = logging.getLogger("mrseg_label.worker")
FINISH = b"f"  # end after the present job
END = b"e"  # give the present job back to the queue and end now
GRACE_SECONDS = 7.0  # from SIGTERM on; Docker kills after ten
_PARENT = 0  # standard input


def tell_to_finish(worker: subprocess.Popen[bytes]) -> None:
    """Have a worker end after its present job."""
    _tell(worker, FINISH)


def tell_to_end(worker: subprocess.Popen[bytes]) -> None:
    """Have a worker give its job back to the queue and end now, with everything that it started."""
    _tell(worker, END)
    end_child(worker)


def _tell(worker: subprocess.Popen[bytes], what: bytes) -> None:
    if worker.stdin is not None and not worker.stdin.closed:
        with suppress(BrokenPipeError):  # it has ended already
            os.write(worker.stdin.fileno(), what)


class Ending:
    """A thread that ends this worker process when it is told to.

    On SIGTERM the worker ends after its present job, or gives it back to the queue where it takes longer than
    ``GRACE_SECONDS``; on the second one it gives it back at once. If the parent is gone without a word, it died, and
    perhaps of what this worker does: the process is killed, and its job counts as one that died.

    Parameters
    ----------
    signals : pipe of :func:`mrseg_label.processes.signals_as_bytes`.
    with_parent : whether standard input is a pipe from the parent.
    """

    def __init__(self, signals: int, *, with_parent: bool) -> None:
        self._watched = [signals, _PARENT] if with_parent else [signals]
        self._worker: Worker | None = None
        self._finishing = False
        threading.Thread(target=self._watch, name="ending", daemon=True).start()

    def attach(self, worker: Worker) -> None:
        """Set the worker that is to be ended."""
        self._worker = worker
        if self._finishing:
            worker.stopping.set()

    def _watch(self) -> None:
        deadline: float | None = None
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            ready, _, _ = select.select(self._watched, [], [], left)
            if not ready:
                self._end_now()
            for source in ready:
                try:
                    told = os.read(source, 4096)
                except OSError:  # the process ends by itself, and has closed the pipe of its signals
                    return
                if source == _PARENT and not told:
                    kill_own_group()
                elif source == _PARENT:
                    if END in told:
                        self._end_now()
                    self._finish()
                else:
                    terminations = told.count(signal.SIGTERM)
                    if terminations > 1 or (terminations and deadline is not None):
                        self._end_now()
                    if terminations:
                        deadline = time.monotonic() + GRACE_SECONDS
                        self._finish()

    def _finish(self) -> None:
        self._finishing = True
        if self._worker is not None:
            self._worker.stopping.set()

    def _end_now(self) -> None:
        self._finish()
        if self._worker is not None:
            try:
                self._worker.give_back()
            except MrsegError as error:
                log.error("the present job could not be given back, and will count as one that died: %s", error)
        kill_own_group()
