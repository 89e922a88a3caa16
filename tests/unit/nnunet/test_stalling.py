"""What counts as progress of a training, and for how long there may be none."""

from __future__ import annotations

import time
from collections.abc import Iterator

from mrseg_label.errors import Stalled
from mrseg_label.nnunet.run import TrainingProgress
from mrseg_label.nnunet.stalling import StallWatch


def until_stalled(watch: StallWatch, reports: Iterator[TrainingProgress], at_most: float) -> str:
    """The error that ends a training; empty if there is none in that time."""
    end = time.monotonic() + at_most
    while time.monotonic() < end:
        try:
            watch.check(next(reports))
        except Stalled as error:
            return str(error)
        time.sleep(0.01)
    return ""


def same(stage: str) -> Iterator[TrainingProgress]:
    while True:
        yield TrainingProgress(stage, 1, (0, 1), iteration=7, total_iterations=9)


def beating() -> Iterator[TrainingProgress]:
    for beat in range(10**6):
        yield TrainingProgress("training", 1, (0, 1), iteration=7, beat=beat)


def test_iterations_and_work_are_progress() -> None:
    idle, busy = (lambda: 0.0), time.monotonic
    assert "stage training, fold 1, iteration 7" in until_stalled(StallWatch(0.2, busy), same("training"), 30)
    assert "stage planning)" in until_stalled(StallWatch(0.2, idle), same("planning"), 30)
    assert until_stalled(StallWatch(5, idle), beating(), 0.3) == ""
    watch = StallWatch(0.3, busy)  # one core all the time
    assert until_stalled(watch, same("planning"), 0.6) == ""
