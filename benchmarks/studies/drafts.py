"""Drafts of a study's cases by one of its models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.studies.cohort import Case


def draft_acquisitions(model: Path, cases: Sequence[Case]) -> dict[tuple[str, str], NDArray[np.uint8]]:
    """Draft the first channel of each acquisition, as a round does; returns label maps by participant and station."""
    from mrseg_label.nnunet.predict import Predictor

    predictor = Predictor(model, "cpu", threads=1)
    primary: dict[tuple[str, str], Case] = {}
    for case in cases:
        primary.setdefault((case.participant, case.station), case)
    return {key: predictor.segment(case.image) for key, case in primary.items()}
