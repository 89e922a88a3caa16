"""The round before: a model of the first two participants of a cohort, and its drafts of others. Studies share it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.studies.augmentation import COARSE
from benchmarks.studies.cohort import Case, StudyCohort
from benchmarks.studies.study import Study

PARTICIPANTS = 2


@dataclass(frozen=True)
class FirstRound:
    """A model that was trained on the truth of two participants, from random weights, and is the same for every seed.

    Attributes
    ----------
    cases, dataset : what it was trained on.
    others : the training cases of the cohort that it was not trained on.
    """

    model: Path
    cases: tuple[Case, ...]
    dataset: str
    others: tuple[Case, ...]


def train_first_round(study: Study, cohort: StudyCohort) -> FirstRound:
    """Train the model, unless another study in the same folder did."""
    chosen = set(sorted({case.participant for case in cohort.training})[:PARTICIPANTS])
    cases = tuple(case for case in cohort.training if case.participant in chosen)
    dataset = study.dataset("first_round", cases)
    others = tuple(case for case in cohort.training if case.participant not in chosen)
    return FirstRound(study.train(dataset, "first_round", 0, COARSE), cases, dataset, others)


def draft_acquisitions(model: Path, cases: Sequence[Case]) -> dict[tuple[str, str], NDArray[np.uint8]]:
    """Draft the first channel of each acquisition, as a round does; returns label maps by participant and station."""
    from mrseg_label.nnunet.predict import Predictor

    predictor = Predictor(model, "cpu", threads=1)
    primary: dict[tuple[str, str], Case] = {}
    for case in cases:
        primary.setdefault((case.participant, case.station), case)
    return {key: predictor.segment(case.image) for key, case in primary.items()}
