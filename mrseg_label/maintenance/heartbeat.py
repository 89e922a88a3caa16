"""A server writes down now and then that it is alive, so that ``status`` can say since when it is not."""

from __future__ import annotations

import logging
import socket
import threading

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import heartbeats
from mrseg_label.clock import now
from mrseg_label.errors import MrsegError

BEAT_SECONDS = 60.0  # seldom: each is a write to the database
log = logging.getLogger("mrseg_label.maintenance")


class ServerHeartbeat:
    """Records every minute, and at the end, that the server of this machine is alive."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._name = f"server {socket.gethostname()}"[:64]
        self._started = now()
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
        self.beat()
        while not self._stopping.wait(BEAT_SECONDS):
            self.beat()
        self.beat()

    def beat(self) -> None:
        """Record that the server is alive; a database that does not answer is no reason to end."""
        try:
            with self._catalog.begin() as session:
                heartbeats.record(session, self._name, self._started, now())
        except MrsegError as error:
            log.warning("%s", error)
