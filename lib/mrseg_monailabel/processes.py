"""What runs beside the requests of a server: the worker processes of this machine, signs of life, notifications."""

from __future__ import annotations

import asyncio
import logging
import signal
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any

from mrseg_label.jobs import requeue_of_dead_local_workers
from mrseg_label.maintenance.heartbeat import ServerHeartbeat
from mrseg_label.maintenance.sweep import remove_dead_scratch
from mrseg_label.notifications.watching import Watcher
from mrseg_label.worker.supervise import WorkerPool
from mrseg_monailabel.protocol_app import ProtocolApp

log = logging.getLogger("mrseg_monailabel")

Handler = Callable[[int, FrameType | None], Any]


class RequestsOnly:
    """A process of a server that answers requests, and nothing beside."""

    def __init__(self, app: ProtocolApp) -> None:
        self._app = app

    def start(self) -> None:
        """Prepare for requests."""
        # Uploads of gigabytes are spooled to the disk of the workspace and not to a /tmp that may be memory.
        tempfile.tempdir = str(self._app.workspace.path("tmp"))

    def handle_signals(self) -> None:
        """Answer requests that wait for a pre-segmentation once the server is told to end.

        uvicorn first waits for the requests under way, which would wait for pre-segmentations, and then drops them.
        Must be called within the event loop of the server; outside the main thread, which alone gets signals, it
        does nothing.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            previous = signal.getsignal(number)
            if callable(previous):
                signal.signal(number, partial(_schedule, loop, self._begin_to_end, previous))

    def _begin_to_end(self) -> None:
        self._app.stop_waiting()

    def stop(self) -> None:
        """Close the catalogue."""
        self._app.stop_waiting()
        self._app.workspace.catalog.close()


class ServerProcesses(RequestsOnly):
    """Starts the worker processes of a server and ends them with it."""

    def __init__(self, app: ProtocolApp) -> None:
        super().__init__(app)
        self._pool = WorkerPool(app.workspace)
        self._heartbeat = ServerHeartbeat(app.workspace.catalog)
        self._watcher = Watcher(app.workspace)
        self._is_ending = False

    def start(self) -> None:
        """Put the jobs of dead workers back into the queue, clean up after a killed server and start the workers."""
        super().start()
        freed = requeue_of_dead_local_workers(self._app.workspace.catalog)
        if freed:
            log.warning("%d jobs were running when their workers died; mrseg-label jobs list shows them", freed)
        self._app.sessions().remove_expired()
        remove_dead_scratch(self._app.workspace)
        self._heartbeat.start()
        self._watcher.start()
        self._pool.start()

    def _begin_to_end(self) -> None:
        """Let waiting requests go, and end the workers beside the requests under way: jobs go back to the queue.

        uvicorn would end the workers last, and not at all after the second interrupt.
        """
        super()._begin_to_end()
        if self._is_ending:  # signals may come by the hundred
            return
        self._is_ending = True
        threading.Thread(target=self._pool.stop, name="worker-pool-end").start()

    def stop(self) -> None:
        """End the workers and close the catalogue."""
        self._app.stop_waiting()
        self._pool.stop()
        self._watcher.stop()
        self._heartbeat.stop()
        super().stop()


def _schedule(
    loop: asyncio.AbstractEventLoop,
    callback: Callable[[], None],
    previous: Handler,
    number: int,
    frame: FrameType | None,
) -> None:
    """Have a callback run in the loop, then call the previous handler of the signal.

    A second signal may interrupt this handler anywhere. The callback takes locks, and a lock that the interrupted
    handler holds would never be released; scheduling takes none.
    """
    with suppress(RuntimeError):  # the loop is closed: no request waits any more
        loop.call_soon_threadsafe(callback)
    previous(number, frame)
