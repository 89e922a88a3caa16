"""What two sources and two rounds make of the same cases, for :mod:`benchmarks.studies.mixture`.

A round of three participants is trained on the phantom, and a second one, which starts from its weights, of six. Then
TotalSegmentator on the prepared image and both models segment cases of participants whom no model has seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.studies.cohort import Case
from benchmarks.studies.study import Study
from mrseg_label.catalog.tables import BOOTSTRAP
from mrseg_label.nnunet.predict import Predictor
from mrseg_label.presegmentation.sources import preparation_for
from mrseg_label.presegmentation.totalseg import TotalSegmentatorRuntime
from mrseg_label.presegmentation.weights import find_weights

SEQUENCES = ("in", "opp")  # of the training; a draft is made of the first, as in a round
NEW_PARTICIPANTS, HELD_OUT = 3, 12
ROUND_1, ROUND_2 = "r1", "r2"
SOURCES = (BOOTSTRAP, ROUND_1, ROUND_2)


def train_rounds(study: Study) -> dict[str, Path]:
    """Train the model of the first round and that of the second; returns their folders by name."""
    cohort = study.cohort(2 * NEW_PARTICIPANTS, HELD_OUT, SEQUENCES)
    names = sorted({case.participant for case in cohort.training})
    folders: dict[str, Path] = {}
    for number, name in enumerate((ROUND_1, ROUND_2), start=1):
        chosen = set(names[: number * NEW_PARTICIPANTS])
        data = study.dataset(f"mixture_{name}", [c for c in cohort.training if c.participant in chosen])
        run = {"warm_start": folders[ROUND_1]} if folders else {}
        folders[name] = study.train(data, f"mixture_{name}", study.cohort_seed, run=run)
    return folders


def segment_all(study: Study) -> tuple[Sequence[Case], dict[str, list[NDArray[np.uint8]]]]:
    """Segment every held-out case by every source; returns the cases and, by source, the label maps in their order."""
    cases = study.cohort(2 * NEW_PARTICIPANTS, HELD_OUT, SEQUENCES).held_out
    folder = study.folder / f"masks_{study.cohort_seed}"
    folder.mkdir(exist_ok=True)
    files = {name: [folder / f"{name}_{case.name}.npz" for case in cases] for name in SOURCES}
    if not all(file.exists() for found in files.values() for file in found):
        for name, model in train_rounds(study).items():
            predictor = Predictor(model, "cpu", threads=1)
            for case, file in zip(cases, files[name], strict=True):
                np.savez_compressed(file, labels=predictor.segment(case.image))
        runtime = TotalSegmentatorRuntime(find_weights(None).path, study.folder / "totalseg", "cpu")
        for case, file in zip(cases, files[BOOTSTRAP], strict=True):
            np.savez_compressed(file, labels=runtime.segment(case.image, preparation_for(case.sequence), study.scheme))
    return cases, {name: [np.load(file)["labels"] for file in found] for name, found in files.items()}
