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

from benchmarks.studies.cohort import Case
from benchmarks.studies.comparison import run_study
from benchmarks.studies.drafts import draft_acquisitions
from benchmarks.studies.study import Study, Variant
from mrseg_label.rounds.pretraining import too_small

CORRECTED, UNCORRECTED = 2, 6


def prepare(study: Study) -> Sequence[Variant]:
    """Train the models that the variants start from; they are the same for every seed."""
    cohort = study.cohort(training=CORRECTED + UNCORRECTED)
    people = sorted({case.participant for case in cohort.training})
    corrected = [case for case in cohort.training if case.participant in people[:CORRECTED]]
    others = [case for case in cohort.training if case.participant not in people[:CORRECTED]]
    truth = study.dataset("corrected", corrected)
    first = study.train(truth, "two_stages_first", 0)
    drafts = draft_acquisitions(first, others)
    sizes = {key: float(np.count_nonzero(draft)) for key, draft in drafts.items()}  # grids are about alike
    least = {station: too_small([sizes[key] for key in sizes if key[1] == station]) for _, station in sizes}
    kept = [case for case in others if sizes[case.participant, case.station] >= least[case.station]]
    print(f"{len(kept)} of {len(others)} images have a draft of enough volume", flush=True)

    def drafted(case: Case, _truth: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return drafts[case.participant, case.station]

    pretrained = study.train(study.dataset("drafts", kept, drafted), "two_stages_pretrained", 0)
    return [
        Variant("one stage", truth, cohort.held_out, run={"warm_start": first}),
        Variant("two stages", truth, cohort.held_out, run={"warm_start": pretrained}),
    ]


if __name__ == "__main__":
    run_study("two_stages", __doc__, prepare)
