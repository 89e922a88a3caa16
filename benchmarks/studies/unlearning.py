"""Is a structure unlearned that half of the readers did not annotate?

    uv run python -m benchmarks.studies.unlearning --folder DIR [--seeds 3]

The round before learned from two participants with all structures. This round goes on from its model with two more, whose
readers removed the muscles from the list. There the muscles are background (``as background``, what a plain nnU-Net data set
says), filled from the model of the round before (``filled``), or not in the loss where they may be (``place ignored``).
``annotated`` is what the round would have learned if everybody had annotated them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.studies.augmentation import COARSE
from benchmarks.studies.cohort import Case
from benchmarks.studies.comparison import group_measures, run_study
from benchmarks.studies.filling import IDS, MUSCLES, ignore_places, occupied_by_muscles
from benchmarks.studies.first_round import draft_acquisitions, train_first_round
from benchmarks.studies.study import Study, Variant

GROUPS = {"muscles": [one.name for one in MUSCLES]}


def prepare(study: Study) -> Sequence[Variant]:
    """Train the model of the round before, and write the data sets of this round."""
    cohort = study.cohort()
    before = train_first_round(study, cohort)
    scored = study.score(before.model, cohort.held_out)
    for name, measure in group_measures(GROUPS).items():
        print(f"round before: {name} {np.nanmean([measure(one) for one in scored]):.3f}", flush=True)
    without = {case.participant for case in before.others}
    drafts = draft_acquisitions(before.model, before.others)
    occupied = occupied_by_muscles(before.cases)

    def as_background(case: Case, truth: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.where(np.isin(truth, IDS), 0, truth) if case.participant in without else truth

    def filled(case: Case, truth: NDArray[np.uint8]) -> NDArray[np.uint8]:
        labels = as_background(case, truth)
        if case.participant in without:
            draft = drafts[case.participant, case.station]
            labels = np.where((labels == 0) & np.isin(draft, IDS), draft, labels)
        return labels

    def place_ignored(case: Case, truth: NDArray[np.uint8]) -> NDArray[np.uint8]:
        labels = as_background(case, truth)
        return ignore_places(case, labels, occupied) if case.participant in without else labels

    partly = [case.name for case in before.others]
    data = {
        "as background": study.dataset("round_as_background", cohort.training, as_background),
        "filled": study.dataset("round_filled", cohort.training, filled),
        "place ignored": study.dataset("round_place_ignored", cohort.training, place_ignored, partly_ignored=partly),
        "annotated": study.dataset("second_round", cohort.training),
    }
    run = {"warm_start": before.model}
    return [Variant(name, dataset, cohort.held_out, COARSE, run) for name, dataset in data.items()]


if __name__ == "__main__":
    run_study("unlearning", __doc__, prepare, groups=GROUPS)
