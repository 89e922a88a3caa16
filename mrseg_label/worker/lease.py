"""Keep the lease of a job while it runs: renew it, and end this process before the lease ends.

It also watches for a cancel that the job does not heed, and for work that hangs. What a thread of Python does cannot be
ended from outside, so these end the process: a new one takes its place under the same process id, and works on.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from mrseg_label.catalog.queries.jobs import cancel_requested
from mrseg_label.errors import LeaseLost, MrsegError
from mrseg_label.jobs import JobContext, abandon, give_back
from mrseg_label.jobs.claim import GIVE_UP_SECONDS, RENEW_SECONDS
from mrseg_label.processes import kill_descendants, kill_own_group, replace_process

log = logging.getLogger("mrseg_label.worker")
POLL_SECONDS = 0.5
HEED_SECONDS = 6.0  # from a cancel on, for work to end by itself


@contextmanager
def kept_lease(context: JobContext) -> Iterator[None]:
    """Renew the lease every ``RENEW_SECONDS`` in this block.

    A lease that cannot be renewed expires, and another worker then takes the job: before that happens, this process
    group is killed.
    """
    lease = _Lease(context)
    threads = [
        threading.Thread(target=run, name=name, daemon=True)
        for name, run in (("lease-renewal", lease.renew), ("lease-watch", lease.watch))
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        lease.done.set()
        threads[0].join()
        lease.ended.set()


class _Lease:
    def __init__(self, context: JobContext) -> None:
        self.context = context
        self.done = threading.Event()  # the job has ended
        self.ended = threading.Event()  # so has the thread that renews
        self.renewed = time.monotonic()
        self.cancelled = float("inf")  # when the cancel was seen

    def renew(self) -> None:
        """Renew the lease and watch for a cancel, until the job is done."""
        context = self.context
        while not self.done.wait(POLL_SECONDS):
            try:
                if time.monotonic() - self.renewed >= RENEW_SECONDS:
                    asked = time.monotonic()
                    cancel = context.claim.renew(context.catalog)
                    self.renewed = asked  # the lease may have begun then
                else:
                    with context.catalog.read() as session:
                        cancel = cancel_requested(session, context.claim.job_id)
            except LeaseLost:
                if not self.done.is_set():
                    context.lost.set()
                self.ended.set()
                return
            except MrsegError as error:
                log.warning("%s", error)
                continue
            if cancel and not context.cancel.is_set():
                self.cancelled = time.monotonic()
                context.cancel.set()

    def watch(self) -> None:
        """End this process if the lease has not been renewed for too long.

        In a thread of its own: where the network is cut, a question to the database may hang for minutes.
        """
        while not self.ended.wait(POLL_SECONDS):
            self._end_unheeded_cancel()
            self._end_what_hangs()
            if time.monotonic() - self.renewed > GIVE_UP_SECONDS:
                log.error(
                    "job %s could not be renewed for %d s; this worker ends, and another takes the job",
                    self.context.claim.job_id,
                    GIVE_UP_SECONDS,
                )
                kill_own_group()

    def _end_unheeded_cancel(self) -> None:
        if time.monotonic() - self.cancelled > HEED_SECONDS and not self.done.is_set():
            self._begin_anew("it was cancelled and did not end by itself")

    def _end_what_hangs(self) -> None:
        minutes = self.context.workspace.settings.stall_minutes
        pulse = self.context.last_pulse
        if pulse is not None and time.monotonic() - pulse > minutes * 60 and not self.done.is_set():
            self._begin_anew(f"a prediction made no progress for {minutes:g} minutes (STALL_MINUTES), so it was ended")

    def _begin_anew(self, reason: str) -> None:
        """End all processes of the job, then record its end, then have a new process take the place of this one."""
        log.error("job %s: %s; this worker begins anew", self.context.claim.job_id, reason)
        kill_descendants(os.getpid())
        try:
            abandon(self.context.catalog, self.context.claim.job_id, reason)
            give_back(self.context.catalog)  # what was claimed in this moment, if the job has ended after all
        except MrsegError as error:
            log.error("that could not be recorded, so the job counts as one whose process died: %s", error)
            kill_own_group()
        replace_process()
