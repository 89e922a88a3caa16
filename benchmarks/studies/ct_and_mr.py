"""CT and MR in one training: are CT values limited to a window first, or not?

    uv run python -m benchmarks.studies.ct_and_mr --folder DIR [--seeds 3]

As in real data, the corners of every CT have the value that the scanner writes outside its reconstruction, -3,024 HU, and
every second participant has metal of 8,000 HU. The MR of the same participants are in the training too. The scores of CT
and of MR are apart in the JSON, by the ends of the names of their cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from benchmarks.studies.cohort import Case
from benchmarks.studies.comparison import run_study
from benchmarks.studies.study import Study, Variant
from mrseg_label.imaging import load_image, write_nifti
from mrseg_label.nnunet.modality import CT

OUTSIDE_HU, METAL_HU, METAL_MM = -3024, 8000, 18.0


def with_artefacts(study: Study, cases: Sequence[Case]) -> list[Case]:
    """Replace the CT images by copies with empty corners and, of every second participant, with metal."""
    metal = sorted({case.participant for case in cases})[::2]
    return [_spoiled(study, case, metal=case.participant in metal) if case.sequence == CT else case for case in cases]


def _spoiled(study: Study, case: Case, *, metal: bool) -> Case:
    target = study.folder / "ct_with_artefacts" / f"{case.name}.nii.gz"
    if not target.exists():
        array, geometry, _ = load_image(case.image)
        spoiled = array.astype(np.int16)
        grid = np.indices(spoiled.shape).transpose(1, 2, 3, 0) - (np.array(spoiled.shape) - 1) / 2
        millimetres = grid * geometry.spacing_mm
        left_right, back_front, head_foot = np.argsort([axis in "SI" for axis in geometry.axcodes], kind="stable")
        radius = min(spoiled.shape[axis] * geometry.spacing_mm[axis] for axis in (left_right, back_front)) / 2
        spoiled[np.hypot(millimetres[..., left_right], millimetres[..., back_front]) > radius] = OUTSIDE_HU
        if metal:  # as a hip prosthesis would lie, to one side
            centre = np.zeros(3)
            centre[left_right], centre[head_foot] = radius / 2, 0
            spoiled[np.linalg.norm(millimetres - centre, axis=-1) < METAL_MM] = METAL_HU
        target.parent.mkdir(parents=True, exist_ok=True)
        write_nifti(target, spoiled, geometry)
    return replace(case, image=target)


def prepare(study: Study) -> list[Variant]:
    """Train on both modalities, with the values of CT as they are and limited."""
    cohort = study.cohort(sequences=("in", CT), held_out_sequences=("in", CT))
    training, held_out = with_artefacts(study, cohort.training), with_artefacts(study, cohort.held_out)
    as_they_are = study.dataset("ct_as_it_is", training, limit_ct=False)
    limited = study.dataset("ct_limited", training)
    return [Variant("control", as_they_are, held_out), Variant("limited to the window", limited, held_out)]


if __name__ == "__main__":
    run_study("ct_and_mr", __doc__, prepare)
