"""Watch a workspace for what needs attention: one process does, whichever server has the lease."""

from __future__ import annotations

import logging
import threading
import time
from datetime import timedelta

from sqlalchemy.exc import IntegrityError

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import case_counts, events
from mrseg_label.catalog.queries.notifications import give_up_lease, take_lease
from mrseg_label.config import load_settings
from mrseg_label.errors import MrsegError
from mrseg_label.jobs.deaths import owner_name
from mrseg_label.notifications.occurrences import store_occurrences
from mrseg_label.notifications.sending import configured_channels, send_due
from mrseg_label.reports.attention import find_attention

LEASE = "notifications"
LEASE_SECONDS = 90  # longer than any one attempt to send
LOOK_SECONDS = 15.0
EVENTS_KEPT = timedelta(days=7)
_PRUNE_SECONDS = 3600.0
log = logging.getLogger("mrseg_label.notifications")


class Watcher:
    """A thread of a server that stores and sends notifications while it has the lease. It never holds up a job or a request."""

    def __init__(self, workspace: OpenedWorkspace) -> None:
        self._workspace = workspace
        self._holder = owner_name()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="notifications", daemon=True)
        self._pruned = float("-inf")
        self._trouble = ""

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """End, and let another server go on at once; one attempt to send may still be under way."""
        self._stopping.set()
        self._thread.join(timeout=3)

    def look(self) -> None:
        """Look once: store what is new and send what is due, if no other process does.

        Raises
        ------
        MrsegError
            The database does not answer, or the settings cannot be read.
        """
        if not self._keep_lease():
            return
        settings = load_settings(self._workspace.root)  # read again: an admin may have changed them since the start
        store_occurrences(self._workspace.catalog, find_attention(self._workspace), configured_channels(settings))
        send_due(self._workspace, settings, lambda: not self._stopping.is_set() and self._keep_lease())
        if time.monotonic() - self._pruned > _PRUNE_SECONDS:
            self._pruned = time.monotonic()
            with self._workspace.catalog.begin() as session:
                events.delete_before(session, self._workspace.catalog.now(session) - EVENTS_KEPT)
            with self._workspace.catalog.begin() as session:
                case_counts.fold(session)

    def _keep_lease(self) -> bool:
        catalog = self._workspace.catalog
        try:
            with catalog.begin() as session:
                moment = catalog.now(session)
                return take_lease(session, LEASE, self._holder, moment, moment + timedelta(seconds=LEASE_SECONDS))
        except IntegrityError:  # another server takes it for the first time at once
            return False

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.look()
                self._trouble = ""
            except MrsegError as error:
                if str(error) != self._trouble:  # once, and not every time
                    log.warning("notifications wait: %s", error)
                self._trouble = str(error)
            except Exception:
                log.exception("notifications could not be looked at")
            self._stopping.wait(LOOK_SECONDS)
        try:
            with self._workspace.catalog.begin() as session:
                give_up_lease(session, LEASE, self._holder)
        except MrsegError as error:
            log.warning("%s", error)
