"""Study: with which learning rate and how many epochs a round continues the model of the round before.

A model of two participants is the parent; the round has two more. All variants but the last start from the same parent.
"""

from __future__ import annotations

from benchmarks.studies.comparison import run_study
from benchmarks.studies.study import CHANGES, Study, Variant
from mrseg_label.nnunet.profiles import profile_named

RATE = profile_named("tiny").peak_learning_rate
HALF = CHANGES["epochs"] // 2


def prepare(study: Study) -> list[Variant]:
    """Train the parent, and list the ways in which the next round may train."""
    cohort = study.cohort(training=4, held_out=4, sequences=("in", "opp"))
    participants = sorted({case.participant for case in cohort.training})[:2]
    first = study.dataset("first_round", [case for case in cohort.training if case.participant in participants])
    second = study.dataset("second_round", cohort.training)
    parent = {"warm_start": study.train(first, "parent")}
    third = {"peak_learning_rate": RATE / 3}
    return [
        Variant("same rate", second, cohort.held_out, {}, parent),
        Variant("rate / 3", second, cohort.held_out, third, parent),
        Variant("half the epochs", second, cohort.held_out, {"epochs": HALF}, parent),
        Variant("half the epochs, rate / 3", second, cohort.held_out, {**third, "epochs": HALF}, parent),
        Variant("from random weights", second, cohort.held_out),
    ]


if __name__ == "__main__":
    run_study("warm_start", __doc__, prepare)
