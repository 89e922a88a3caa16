"""Keep the lease of a job while it runs: renew it, watch for a cancel, and end this process before the lease ends."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from mrseg_label.catalog.queries.jobs import cancel_requested
from mrseg_label.errors import LeaseLost, MrsegError
from mrseg_label.jobs import JobContext
from mrseg_label.jobs.claim import GIVE_UP_SECONDS, RENEW_SECONDS
from mrseg_label.processes import kill_own_group

log = logging.getLogger("mrseg_label.worker")
POLL_SECONDS = 0.5


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
            if cancel:
                context.cancel.set()

    def watch(self) -> None:
        """End this process if the lease has not been renewed for too long.

        In a thread of its own: where the network is cut, a question to the database may hang for minutes.
        """
        while not self.ended.wait(POLL_SECONDS):
            if time.monotonic() - self.renewed > GIVE_UP_SECONDS:
                log.error(
                    "job %s could not be renewed for %d s; this worker ends, and another takes the job",
                    self.context.claim.job_id,
                    GIVE_UP_SECONDS,
                )
                kill_own_group()
