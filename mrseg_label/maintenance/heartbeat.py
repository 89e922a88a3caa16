"""Servers and workers write down now and then that they are alive, so that others can say since when they are not."""

from __future__ import annotations

import logging
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from datetime import timedelta

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import heartbeats, workers
from mrseg_label.clock import now
from mrseg_label.errors import MrsegError
from mrseg_label.jobs.deaths import owner_name

SERVER_SECONDS = 60.0  # seldom: each is a write to the database
WORKER_SECONDS = 20.0
FORGET_AFTER = timedelta(days=1)  # a worker that ended without a word, on a machine that did not come back
log = logging.getLogger("mrseg_label.maintenance")


class _Heartbeat(ABC):
    """Records now and then, in a thread, that this process is alive."""

    def __init__(self, catalog: Catalog, seconds: float) -> None:
        self._catalog = catalog
        self._seconds = seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Record the start, and go on in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Record the end."""
        self._stopping.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        self._try(self.beat)
        while not self._stopping.wait(self._seconds):
            self._try(self.beat)
        self._try(self.end)

    def _try(self, record: Callable[[], None]) -> None:
        """Record something; a database that does not answer is no reason to end."""
        try:
            record()
        except MrsegError as error:
            log.warning("%s", error)

    @abstractmethod
    def beat(self) -> None:
        """Record that the process is alive."""

    @abstractmethod
    def end(self) -> None:
        """Record that it ends in good order."""


class ServerHeartbeat(_Heartbeat):
    """Records every minute, and at the end, that the server of this machine is alive."""

    def __init__(self, catalog: Catalog) -> None:
        super().__init__(catalog, SERVER_SECONDS)
        self._name = f"server {socket.gethostname()}"[:64]
        self._started = now()

    def beat(self) -> None:
        """Record that the server is alive."""
        with self._catalog.begin() as session:
            heartbeats.record(session, self._name, self._started, now())

    def end(self) -> None:
        """Record when the server was alive last."""
        self.beat()


class WorkerHeartbeat(_Heartbeat):
    """Records every 20 seconds that this worker process is alive, also while it has nothing to do."""

    def __init__(self, catalog: Catalog, queues: Sequence[str]) -> None:
        super().__init__(catalog, WORKER_SECONDS)
        self._queues = ",".join(queues)

    def beat(self) -> None:
        """Record that the worker is alive, by the database's clock."""
        with self._catalog.begin() as session:
            moment = self._catalog.now(session)
            workers.record(session, owner_name(), self._queues, moment)
            workers.forget_before(session, moment - FORGET_AFTER)

    def end(self) -> None:
        """Forget the worker."""
        with self._catalog.begin() as session:
            workers.forget(session, [owner_name()])
