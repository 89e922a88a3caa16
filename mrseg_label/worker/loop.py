"""The loop of a worker process: claim a job, run it, record how it ended."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.errors import (
    FINAL_ERRORS,
    Cancelled,
    InvalidInput,
    LeaseLost,
    MachineFailure,
    MrsegError,
    NoPermission,
)
from mrseg_label.failures import explain_in
from mrseg_label.jobs import Claim, JobContext, give_back
from mrseg_label.jobs.deaths import GIVEN_BACK_SECONDS
from mrseg_label.jobs.queue import PRESEGMENT
from mrseg_label.logs import about_request, with_fields
from mrseg_label.nnunet.gpus import Gpu
from mrseg_label.presegmentation.presegment import kept_models
from mrseg_label.rounds.left_out import NOT_OF_THE_CASE
from mrseg_label.worker.handlers import handlers_of
from mrseg_label.worker.lease import kept_lease
from mrseg_label.worker.placement import Placement

log = logging.getLogger("mrseg_label.worker")
IDLE_SECONDS = 0.3
MAX_PAUSE_SECONDS = 30.0
MAX_ERROR_LENGTH = 8000
SIGNAL_SECONDS = 1.0  # until a signal that was sent to the whole process group has been noticed


class Worker:
    """Runs the jobs of its queues one after the other until told to stop.

    Parameters
    ----------
    gpus : that the jobs may use; by default those that are found.
    locks : folder of the GPUs' locks; by default that of the machine.

    Attributes
    ----------
    stopping : set it to end :meth:`run` after the present job.
    state : what handlers keep from job to job, such as loaded models.
    """

    def __init__(
        self,
        workspace: OpenedWorkspace,
        queues: Sequence[str],
        gpus: Sequence[Gpu] | None = None,
        locks: Path | None = None,
    ) -> None:
        self.workspace = workspace
        self.queues = tuple(queues)
        self.stopping = threading.Event()
        self.state: dict[str, Any] = {}
        self._placement = Placement(workspace, gpus, locks)
        self._claiming = threading.Lock()

    @property
    def is_worn(self) -> bool:
        """Whether a new process should take the place of this one, in which memory was exhausted."""
        loaded = kept_models(self.state)
        return loaded is not None and loaded.met_out_of_memory and not self.stopping.is_set()

    def run(self) -> None:
        """Work until :attr:`stopping` is set, or :attr:`is_worn`."""
        pause = IDLE_SECONDS
        while not self.stopping.is_set() and not self.is_worn:
            try:
                worked = self.run_one()
                pause = IDLE_SECONDS
            except (
                MrsegError
            ) as error:  # the database does not answer or cannot be written: try again, ever more slowly
                log.warning("%s", error)
                worked, pause = False, min(2 * pause, MAX_PAUSE_SECONDS)
            if not worked:
                self.stopping.wait(pause)

    def run_until_idle(self, idle_seconds: float) -> None:
        """Work until there has been no job for so many seconds, or :attr:`stopping` is set, or :attr:`is_worn`.

        Raises
        ------
        MachineFailure
            The database does not answer or cannot be written.
        """
        idle_since = time.monotonic()
        while not self.stopping.is_set() and not self.is_worn:
            if self.run_one():
                idle_since = time.monotonic()
            elif time.monotonic() - idle_since >= idle_seconds:
                return
            else:
                self.stopping.wait(IDLE_SECONDS)

    def run_one(self) -> bool:
        """Run one job if there is one; returns whether there was."""
        with self._claiming:
            placed = None if self.stopping.is_set() else self._placement.claim(self.queues)
        if placed is None:
            self._give_way()
            return False
        with about_request(placed[0].request_id):
            self._run_claimed(*placed)
        return True

    def _run_claimed(self, claimed: Claim, workspace: OpenedWorkspace, release: Callable[[], None]) -> None:
        context = JobContext(workspace, claimed, self.state, self.stopping)
        started = time.monotonic()
        try:
            with kept_lease(context):
                self._run_job(context)
        except LeaseLost as error:
            log.warning("%s", error)
        finally:
            release()
        seconds = round(time.monotonic() - started, 1)
        fields = with_fields(job=claimed.job_id, kind=claimed.kind, duration_s=seconds)
        log.info("%s %s: %.1f s", claimed.kind, claimed.job_id, seconds, extra=fields)

    def _give_way(self) -> None:
        """Drop networks that are kept loaded on a GPU which a training has taken in the meantime."""
        loaded = kept_models(self.state)
        if loaded is not None and loaded.is_loaded and self._placement.must_give_way(loaded.device):
            loaded.unload()

    def give_back(self) -> None:
        """Give the present job back to the queue, from another thread, before this process is ended."""
        self.stopping.set()
        with self._claiming:  # what is being claimed is given back too, and nothing is claimed any more
            give_back(self.workspace.catalog)

    def _run_job(self, context: JobContext) -> None:
        try:
            for handler in handlers_of(context.claim.kind):
                context.check()
                handler(context)
            if not context.finished:
                with context.publish():
                    pass
        except Cancelled:
            with context.catalog.begin() as session:
                context.claim.end_cancelled(context.catalog, session)
        except LeaseLost:
            raise
        except Exception as error:  # noqa: BLE001 - whatever ends a job is recorded in its row
            self._record_failure(context.claim, error)

    def _record_failure(self, claimed: Claim, error: Exception) -> None:
        """Record why a job failed. One that failed with the machine is tried again as long as it takes."""
        machine = None if isinstance(error, FINAL_ERRORS) else explain_in(self.workspace.root, error)
        if isinstance(machine, MachineFailure) and not isinstance(machine, NoPermission):
            log.error("%s %s is back in the queue: %s", claimed.kind, claimed.job_id, machine)
            with self.workspace.catalog.begin() as session:
                claimed.put_back(self.workspace.catalog, session, str(machine))
            return
        # systemd and Slurm send SIGTERM to the processes of the job as well, whose end may be noticed before the signal.
        if not isinstance(error, InvalidInput) and self.stopping.wait(SIGNAL_SECONDS):
            log.warning("%s %s is back in the queue, since this worker ends: %s", claimed.kind, claimed.job_id, error)
            with self.workspace.catalog.begin() as session:
                claimed.put_back(self.workspace.catalog, session, None, GIVEN_BACK_SECONDS)
            return
        text = str(error) if isinstance(error, MrsegError) else "".join(traceback.format_exception(error))
        # A message about bad input names the file, which may be named after a patient: it is not for a log.
        bad_input = isinstance(error, InvalidInput)
        shown = "its input cannot be used; the reason is stored with the job, not in this log" if bad_input else text
        log.error("%s %s failed: %s", claimed.kind, claimed.job_id, shown)
        catalog = self.workspace.catalog
        with catalog.begin() as session:
            # Bad input stays bad; most other things may have been temporary.
            retry = not isinstance(error, FINAL_ERRORS)
            # A draft that fails because of its image is left alone then; one that no model can make is not.
            aside = claimed.kind == PRESEGMENT and not isinstance(error, NOT_OF_THE_CASE)
            claimed.fail(catalog, session, text[-MAX_ERROR_LENGTH:], retry=retry, put_aside=aside)
