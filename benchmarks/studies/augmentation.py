"""Which augmentation helps a short training, measured on the contrast that it was trained on.

    uv run python -m benchmarks.studies.augmentation --folder DIR [--seeds 3]

Trains on the in-phase and opposed-phase images of four participants, and scores on in-phase images of four others.
``benchmarks.studies.contrast_transfer`` scores the same models on other contrasts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.studies.cohort import Case
from benchmarks.studies.comparison import run_study
from benchmarks.studies.study import Study, Variant

SEQUENCES = ("in", "opp")
OFF: Mapping[str, Any] = {
    "mirror_left_right": False,
    "inversion": 0.0,
    "gamma": 0.0,
    "small_structure_exponent": None,
}
COARSE: Mapping[str, Any] = {
    "target_spacing_mm": 8.0,
    "network": {"features_per_stage": [16, 32, 64, 128], "patch_size": [32, 32, 48]},
}
"""Half the time of the other studies' trainings, for those with many variants."""
MIRRORED: Mapping[str, Any] = {"mirror_left_right": True}
INVERTED: Mapping[str, Any] = {"inversion": 0.3}
GAMMA: Mapping[str, Any] = {"gamma": 0.3}


def prepare(study: Study) -> list[Variant]:
    """Score on other participants, in the first of the trained contrasts."""
    return variants(study, study.cohort(sequences=SEQUENCES).held_out)


def variants(study: Study, cases: Sequence[Case]) -> list[Variant]:
    """Train with each augmentation alone, and with all of them."""
    data = study.dataset("truth_coarse", study.cohort(sequences=SEQUENCES).training)
    choices: dict[str, Mapping[str, Any]] = {
        "control": {},
        "left-right mirroring": MIRRORED,
        "inversion": INVERTED,
        "gamma": GAMMA,
        "all": {**MIRRORED, **INVERTED, **GAMMA},
    }
    return [Variant(name, data, cases, {**COARSE, **OFF, **changes}) for name, changes in choices.items()]


if __name__ == "__main__":
    run_study("augmentation", __doc__, prepare)
