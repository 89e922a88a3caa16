"""Jobs: rows in the database that workers claim and run."""

from mrseg_label.jobs.claim import Claim, claim, recover_local
from mrseg_label.jobs.context import JobContext
from mrseg_label.jobs.queue import enqueue, request_cancel

__all__ = ["Claim", "JobContext", "claim", "enqueue", "recover_local", "request_cancel"]
