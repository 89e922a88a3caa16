"""Find out that a training hangs: its progress has not changed for too long."""

from __future__ import annotations

import time
from collections.abc import Callable

from mrseg_label.errors import Stalled
from mrseg_label.nnunet.run import TrainingProgress

_BUSY = 0.05  # of one core: what at least uses so much is at work
_BEATING = "training"  # the stage that reports at least every second, or as often as an iteration ends


class StallWatch:
    """Watches the reports of a training.

    While iterations run, each of them is progress, and nothing else is: a GPU that hangs may well keep a core busy. Other
    stages say nothing for as long as their largest image takes, so there the use of a processor counts as progress too.

    Parameters
    ----------
    seconds : longest time without progress.
    cpu_seconds : returns the CPU time that the processes of the training have used.
    """

    def __init__(self, seconds: float, cpu_seconds: Callable[[], float]) -> None:
        self._seconds, self._cpu_seconds = seconds, cpu_seconds
        self._seen: TrainingProgress | None = None
        self._since = self._looked = time.monotonic()
        self._cpu = 0.0

    def check(self, progress: TrainingProgress) -> None:
        """Compare a report with the one before.

        Raises
        ------
        Stalled
            There was no progress for too long.
        """
        moment = time.monotonic()
        if progress != self._seen or self._is_busy(progress, moment):
            self._seen, self._since = progress, moment
        if moment - self._since > self._seconds:
            raise Stalled(
                f"the training made no progress for {self._seconds / 60:g} minutes (stage {progress.stage}"
                + (f", fold {progress.fold}, iteration {progress.iteration}" if progress.stage == _BEATING else "")
                + "), so it was ended with everything that it had started"
            )

    def _is_busy(self, progress: TrainingProgress, moment: float) -> bool:
        """Whether the processes worked since the last look, a tenth of the longest time ago."""
        if progress.stage == _BEATING or moment - self._looked < self._seconds / 10:
            return False
        used, passed = self._cpu_seconds(), moment - self._looked
        busy = used - self._cpu > _BUSY * passed
        self._cpu, self._looked = used, moment
        return busy
