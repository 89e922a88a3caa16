"""Whether patches around small and rare structures help.

    uv run python -m benchmarks.studies.sampling --folder DIR [--seeds 3]

The patches are a sixth of those of the other studies, as in a real training, where a patch holds a part of the image;
with patches as large as the image there is nothing to choose. There are two in a batch.
"""

from __future__ import annotations

from benchmarks.studies.augmentation import OFF, SEQUENCES
from benchmarks.studies.comparison import run_study
from benchmarks.studies.study import Study, Variant

SMALL_PATCHES = {
    "target_spacing_mm": 8.0,
    "network": {"features_per_stage": [16, 32, 64, 128], "patch_size": [16, 24, 24], "batch_size": 2},
    "epochs": 28,
}


def prepare(study: Study) -> list[Variant]:
    """Compare exponents of the weight that a structure's size has."""
    cohort = study.cohort(sequences=SEQUENCES)
    data = study.dataset("truth_small_patches", cohort.training)
    return [
        Variant(name, data, cohort.held_out, {**OFF, **SMALL_PATCHES, "small_structure_exponent": exponent})
        for name, exponent in {"control": None, "exponent 0.5": 0.5, "exponent 0.25": 0.25}.items()
    ]


if __name__ == "__main__":
    run_study("sampling", __doc__, prepare)
