"""The progress of a draft: how many patches its networks have seen."""

from __future__ import annotations

import logging
import time

from mrseg_label.errors import Cancelled, LeaseLost, MrsegError
from mrseg_label.jobs import JobContext

log = logging.getLogger("mrseg_label.presegmentation")
EVERY_SECONDS = 2.0


class PatchProgress:
    """Called before each patch: says that the work goes on, and records it with the job every few seconds."""

    def __init__(self, context: JobContext) -> None:
        self._context = context
        self._patches = 0
        self._recorded = time.monotonic()

    def __call__(self) -> None:
        """Count a patch; raises as :meth:`JobContext.check` does."""
        self._context.pulse()
        self._patches += 1
        if time.monotonic() - self._recorded < EVERY_SECONDS:
            return
        self._recorded = time.monotonic()
        try:
            self._context.progress(stage="segmenting", patches=self._patches)
        except (Cancelled, LeaseLost):
            raise
        except MrsegError as error:  # the draft goes on without
            log.warning("the progress of job %s could not be recorded: %s", self._context.claim.job_id, error)
