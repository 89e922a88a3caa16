"""Whether a short training gains by nnU-Net's own augmentation, and what moving labels by nearest neighbour costs.

    uv run python -m benchmarks.studies.stock_augmentation --folder DIR [--seeds 3]

The control is that of ``benchmarks.studies.augmentation``. How much time moving labels by nearest neighbour saves is measured by
``benchmarks.label_augmentation``.
"""

from __future__ import annotations

from benchmarks.studies.augmentation import COARSE, OFF, SEQUENCES
from benchmarks.studies.comparison import run_study
from benchmarks.studies.study import Study, Variant


def prepare(study: Study) -> list[Variant]:
    """Augment as nnU-Net does, with labels moved structure by structure and by nearest neighbour."""
    cohort = study.cohort(sequences=SEQUENCES)
    data = study.dataset("truth_coarse", cohort.training)
    stock = {**COARSE, **OFF, "stock_augmentation": True}
    return [
        Variant("control", data, cohort.held_out, {**COARSE, **OFF}),
        Variant("nnU-Net's augmentation", data, cohort.held_out, stock),
        Variant("nnU-Net's, nearest labels", data, cohort.held_out, {**stock, "nearest_labels": True}),
    ]


if __name__ == "__main__":
    run_study("stock_augmentation", __doc__, prepare)
