"""Calibrate the trainings of the studies: how far has a training come after a half, the whole and twice its length?

    uv run python -m benchmarks.studies.calibration --folder DIR [--seeds 1]

Variants can be told apart only while the curve still rises.
"""

from __future__ import annotations

from benchmarks.studies.comparison import run_study
from benchmarks.studies.study import CHANGES, Study, Variant


def prepare(study: Study) -> list[Variant]:
    """Train on the truth, at three lengths."""
    cohort = study.cohort()
    data = study.dataset("truth", cohort.training)
    epochs = CHANGES["epochs"]
    return [
        Variant("control", data, cohort.held_out),
        Variant("half as long", data, cohort.held_out, {"epochs": epochs // 2}),
        Variant("twice as long", data, cohort.held_out, {"epochs": 2 * epochs}),
    ]


if __name__ == "__main__":
    run_study("calibration", __doc__, prepare)
