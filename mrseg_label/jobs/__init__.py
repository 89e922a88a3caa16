"""Jobs: rows in the database that workers claim and run."""

from mrseg_label.jobs.claim import Claim, claim
from mrseg_label.jobs.context import JobContext
from mrseg_label.jobs.deaths import abandon, give_back, requeue_of_dead_local_workers
from mrseg_label.jobs.queue import enqueue, request_cancel, retry

__all__ = [
    "Claim",
    "JobContext",
    "abandon",
    "claim",
    "enqueue",
    "give_back",
    "request_cancel",
    "requeue_of_dead_local_workers",
    "retry",
]
