"""Jobs: rows in the database that workers claim and run."""

from mrseg_label.jobs.claim import Claim, claim, requeue_of_dead_local_workers
from mrseg_label.jobs.context import JobContext
from mrseg_label.jobs.queue import enqueue, request_cancel

__all__ = ["Claim", "JobContext", "claim", "enqueue", "request_cancel", "requeue_of_dead_local_workers"]
