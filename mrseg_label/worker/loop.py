"""The claim-and-run loop of one worker process."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
import traceback
from collections.abc import Sequence
from typing import Any

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.errors import Cancelled, InvalidInput, LeaseLost, MrsegError
from mrseg_label.jobs import JobContext, claim
from mrseg_label.jobs.claim import GIVE_UP_SECONDS, RENEW_SECONDS, Claim
from mrseg_label.worker.handlers import handlers_of

log = logging.getLogger("mrseg_label.worker")
IDLE_SECONDS = 0.3
CANCEL_POLL_SECONDS = 0.5


class Worker:
    """Claims jobs of its queues one after the other until told to stop."""

    def __init__(self, workspace: OpenedWorkspace, queues: Sequence[str]) -> None:
        self.workspace = workspace
        self.catalog = workspace.catalog
        self.queues = tuple(queues)
        self.stopping = threading.Event()
        self.state: dict[str, Any] = {}

    def run(self) -> None:
        """Work until :attr:`stopping` is set."""
        while not self.stopping.is_set():
            try:
                worked = self.run_one()
            except MrsegError as error:  # the database is away: wait for it
                log.warning("%s", error)
                worked = False
            if not worked:
                self.stopping.wait(IDLE_SECONDS)

    def run_one(self) -> bool:
        """Do one job if there is one; returns whether there was."""
        held = claim(self.catalog, self.queues)
        if held is None:
            return False
        context = JobContext(self.workspace, held, self.state)
        done = threading.Event()
        keeper = threading.Thread(target=self._keep, args=(context, done), daemon=True)
        keeper.start()
        started = time.monotonic()
        try:
            self._do(context)
        except LeaseLost as error:
            log.warning("%s", error)
        finally:
            done.set()
            keeper.join()
        log.info("%s %s: %.1f s", held.kind, held.job_id, time.monotonic() - started)
        return True

    def _do(self, context: JobContext) -> None:
        held = context.claim
        try:
            for handler in handlers_of(held.kind):
                context.check()
                handler(context)
            if not context.finished:
                with context.publish():
                    pass
        except Cancelled:
            with self.catalog.begin() as session:
                held.cancelled(self.catalog, session)
        except LeaseLost:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a job dies of is written to its row
            self._fail(held, error)

    def _fail(self, held: Claim, error: Exception) -> None:
        text = str(error) if isinstance(error, MrsegError) else "".join(traceback.format_exception(error))
        # What cannot be used is called by its file, which may be named after a patient: not for a log.
        bad_input = isinstance(error, InvalidInput)
        log.error("%s %s failed: %s", held.kind, held.job_id, "its row says why (status)" if bad_input else text)
        with self.catalog.begin() as session:
            # Bad input stays bad; anything else may pass.
            held.fail(self.catalog, session, text[-8000:], retry=not bad_input)

    def _keep(self, context: JobContext, done: threading.Event) -> None:
        """Renew the lease and watch for a cancel; without renewal this process group must end before the lease does."""
        renewed = time.monotonic()
        next_renewal = renewed + RENEW_SECONDS
        while not done.wait(CANCEL_POLL_SECONDS):
            moment = time.monotonic()
            try:
                if moment >= next_renewal:
                    cancel = context.claim.renew(self.catalog)
                    renewed, next_renewal = time.monotonic(), time.monotonic() + RENEW_SECONDS
                else:
                    cancel = _cancel_requested(self.catalog, context.claim.job_id)
            except LeaseLost:
                if not done.is_set():
                    context.lost.set()
                return
            except MrsegError as error:
                log.warning("%s", error)
                if time.monotonic() - renewed > GIVE_UP_SECONDS:
                    log.error(
                        "job %s could not be renewed for %d s: this worker ends", context.claim.job_id, GIVE_UP_SECONDS
                    )
                    os.killpg(os.getpgrp(), signal.SIGKILL)
                continue
            if cancel:
                context.cancel.set()


def _cancel_requested(catalog: Catalog, job_id: str) -> bool:
    from mrseg_label.catalog.queries import jobs as rows

    with catalog.read() as session:
        return rows.cancel_requested(session, job_id)
