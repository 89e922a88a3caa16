"""Pretrain on drafts that nobody corrected, then train on corrections: is it better than corrections alone?

    uv run python -m benchmarks.studies.two_stages --folder DIR [--seeds 3]

Two participants are corrected (their labels are the truth). A first model learns from them alone and drafts six others,
whom nobody corrects. The control goes on from the first model on the two corrected participants, as a round does. In two
stages a network first learns from the drafts, without those with too little volume for their station, from random weights,
and then goes on with the same corrected participants.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.studies.augmentation import COARSE
from benchmarks.studies.cohort import Case
from benchmarks.studies.comparison import run_study
from benchmarks.studies.first_round import PARTICIPANTS, draft_acquisitions, train_first_round
from benchmarks.studies.study import Study, Variant
from mrseg_label.rounds.pretraining import too_small

UNCORRECTED = 6


def prepare(study: Study) -> Sequence[Variant]:
    """Train the models that the variants start from; they are the same for every seed."""
    cohort = study.cohort(training=PARTICIPANTS + UNCORRECTED)
    first = train_first_round(study, cohort)
    drafts = draft_acquisitions(first.model, first.others)
    sizes = {key: float(np.count_nonzero(draft)) for key, draft in drafts.items()}  # grids are about alike
    least = {station: too_small([sizes[key] for key in sizes if key[1] == station]) for _, station in sizes}
    kept = [case for case in first.others if sizes[case.participant, case.station] >= least[case.station]]
    print(f"{len(kept)} of {len(first.others)} images have a draft of enough volume", flush=True)

    def drafted(case: Case, _truth: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return drafts[case.participant, case.station]

    pretrained = study.train(study.dataset("drafts", kept, drafted), "pretrained", 0, COARSE)
    return [
        Variant("one stage", first.dataset, cohort.held_out, COARSE, {"warm_start": first.model}),
        Variant("two stages", first.dataset, cohort.held_out, COARSE, {"warm_start": pretrained}),
    ]


if __name__ == "__main__":
    run_study("two_stages", __doc__, prepare)
