"""Whether augmentation of grey values lets one contrast teach another.

    uv run python -m benchmarks.studies.contrast_transfer --folder DIR [--seeds 3]

Scores the models of ``benchmarks.studies.augmentation``, which saw in-phase and opposed-phase images alone, on the water and
fat images of two others: in the one fat is dark, in the other everything else is.
"""

from __future__ import annotations

from benchmarks.studies.augmentation import SEQUENCES, variants
from benchmarks.studies.comparison import run_study
from benchmarks.studies.study import Study, Variant

OTHER_SEQUENCES = ("water", "fat")


def prepare(study: Study) -> list[Variant]:
    """Score on contrasts that no training saw."""
    cohort = study.cohort(held_out=2, sequences=SEQUENCES, held_out_sequences=OTHER_SEQUENCES)
    return variants(study, cohort.held_out)


if __name__ == "__main__":
    run_study("contrast_transfer", __doc__, prepare)
