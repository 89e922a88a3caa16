"""Whether the profile ``tiny`` gains by nnU-Net's own augmentation.

    uv run python -m benchmarks.studies.stock_augmentation --folder DIR [--seeds 3]

Trains the profile as it is, on as many volumes as round 2 of the demo has. Label maps are moved by nearest neighbour; how much time
that saves is measured by ``benchmarks.label_augmentation``.
"""

from __future__ import annotations

from benchmarks.studies.comparison import run_study
from benchmarks.studies.study import Study, Variant
from mrseg_label.nnunet.profiles import profile_named

CHANNELS = ("in", "opp", "water", "fat")


def prepare(study: Study) -> list[Variant]:
    """Augment as nnU-Net does."""
    cohort = study.cohort(training=6, sequences=CHANNELS, held_out_sequences=("in",))
    data = study.dataset("truth_all_channels", cohort.training)
    tiny = profile_named("tiny")
    unchanged = {"epochs": tiny.epochs, "target_spacing_mm": tiny.target_spacing_mm}
    augmented = {**unchanged, "stock_augmentation": True, "nearest_labels": True}
    return [
        Variant("control", data, cohort.held_out, unchanged),
        Variant("nnU-Net's augmentation", data, cohort.held_out, augmented),
    ]


if __name__ == "__main__":
    run_study("stock_augmentation", __doc__, prepare)
