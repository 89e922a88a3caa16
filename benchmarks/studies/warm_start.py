"""Study: with which learning rate and how many epochs a round continues the model of the round before.

    uv run python -m benchmarks.studies.warm_start --folder DIR [--seeds 3]

A model of two participants is the parent; the round has two more. All variants but the last start from the same parent.
"""

from __future__ import annotations

from benchmarks.studies.augmentation import COARSE
from benchmarks.studies.comparison import run_study
from benchmarks.studies.first_round import train_first_round
from benchmarks.studies.study import CHANGES, Study, Variant
from mrseg_label.nnunet.profiles import profile_named

RATE = profile_named("tiny").peak_learning_rate
HALF = CHANGES["epochs"] // 2


def prepare(study: Study) -> list[Variant]:
    """Train the parent, and list the ways in which the next round may train."""
    cohort = study.cohort()
    parent = {"warm_start": train_first_round(study, cohort).model}
    second = study.dataset("second_round", cohort.training)
    third = {**COARSE, "peak_learning_rate": RATE / 3}
    return [
        Variant("same rate", second, cohort.held_out, COARSE, parent),
        Variant("rate / 3", second, cohort.held_out, third, parent),
        Variant("half the epochs", second, cohort.held_out, {**COARSE, "epochs": HALF}, parent),
        Variant("half the epochs at rate / 3", second, cohort.held_out, {**third, "epochs": HALF}, parent),
        Variant("from random weights", second, cohort.held_out, COARSE),
    ]


if __name__ == "__main__":
    run_study("warm_start", __doc__, prepare)
