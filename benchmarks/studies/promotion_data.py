"""Models of different quality, the labels that readers would draw on drafts of each, and how every model scores on them.

For :mod:`benchmarks.studies.promotion`. Two chains of three rounds each are trained on the phantom: a round has three
participants more than the one before and starts from its weights. Each training leaves two models, one of an epoch on the
way and the last. The demo's simulated reader corrects the draft of every model, and that of TotalSegmentator, on cases of
participants whom no model has seen; then every model is scored on all of these labels, and on the truth.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.studies.cohort import Case
from benchmarks.studies.study import Study
from mrseg_label.catalog.tables import BOOTSTRAP
from mrseg_label.imaging.geometry import Geometry
from mrseg_label.metrics.scoring import score_case
from mrseg_label.nnunet.predict import Predictor
from mrseg_label.presegmentation.sources import preparation_for
from mrseg_label.presegmentation.totalseg import TotalSegmentatorRuntime
from mrseg_label.presegmentation.weights import find_weights
from mrseg_label.segments.files import read_label_map
from mrseg_label.simulation.editing import correct

TRUTH = "truth"
SEQUENCES = ("in", "opp")  # a draft is made of the first, as in a round
ROUNDS, CHAINS, NEW_PARTICIPANTS, HELD_OUT = 3, 2, 3, 12
_KEPT_EPOCH = 13


@dataclass(frozen=True)
class StudyModel:
    """A trained model.

    Attributes
    ----------
    before : name of the model that made the drafts when the one that this training started from was made; the
        bootstrap in the first round.
    """

    name: str
    folder: Path
    before: str


@dataclass(frozen=True)
class Scores:
    """Everything that the rules of promotion are tried on.

    Attributes
    ----------
    models : names; the bootstrap is the last one.
    references : names of the labels: the truth, then for each model the correction of its drafts.
    participants : of each case.
    dsc : (references, models, cases, sequences, structures), NaN where a structure does not count.
    false_positive_ml : of the same shape.
    edited_ml : (models, cases), what the reader changed of each draft.
    """

    models: tuple[str, ...]
    before: tuple[str, ...]
    references: tuple[str, ...]
    participants: tuple[str, ...]
    dsc: NDArray[np.float64]
    false_positive_ml: NDArray[np.float64]
    edited_ml: NDArray[np.float64]


def train_chains(study: Study) -> list[StudyModel]:
    """Train the models."""
    cohort = study.cohort(CHAINS * ROUNDS * NEW_PARTICIPANTS // 2 + 3, HELD_OUT, SEQUENCES, SEQUENCES)
    names = sorted({case.participant for case in cohort.training})
    models = []
    for chain in range(CHAINS):
        order = names if chain == 0 else names[::-1]
        source: Path | None = None
        before = BOOTSTRAP
        for number in range(1, ROUNDS + 1):
            chosen = set(order[: number * NEW_PARTICIPANTS])
            data = study.dataset(f"chain{chain}_round{number}", [c for c in cohort.training if c.participant in chosen])
            name = f"chain{chain}_r{number}"
            folder = study.train(
                data, name, chain, run={"warm_start": source} if source else {}, keep_epochs=(_KEPT_EPOCH,)
            )
            early = folder.with_name(f"{folder.name}_epoch{_KEPT_EPOCH}")
            models += [StudyModel(name, folder, before), StudyModel(f"{name}_early", early, before)]
            source, before = folder, name
    return models


def segment_all(study: Study, models: Sequence[StudyModel], cases: Sequence[Case]) -> dict[str, list[Path]]:
    """Predict every case with every model; returns files by model, in the order of the cases."""
    folder = study.folder / "predictions"
    folder.mkdir(exist_ok=True)
    files = {
        name: [folder / f"{name}_{case.name}.npz" for case in cases]
        for name in [*(model.name for model in models), BOOTSTRAP]
    }
    for model in models:
        predictor: Predictor | None = None
        for case, file in zip(cases, files[model.name], strict=True):
            if not file.exists():
                predictor = predictor or Predictor(model.folder, "cpu", threads=1)
                np.savez_compressed(file, labels=predictor.segment(case.image))
    runtime: TotalSegmentatorRuntime | None = None
    for case, file in zip(cases, files[BOOTSTRAP], strict=True):
        if not file.exists():
            runtime = runtime or TotalSegmentatorRuntime(find_weights(None).path, study.folder / "totalseg", "cpu")
            labels = runtime.segment(case.image, preparation_for(case.sequence), study.scheme)
            np.savez_compressed(file, labels=labels)
    return files


def score_all(
    study: Study, names: Sequence[str], before: Sequence[str], cases: Sequence[Case], files: dict[str, list[Path]]
) -> Scores:
    """Correct the drafts of every model and score every model on all labels; ``cases`` are sorted by acquisition."""
    acquisitions = cases[:: len(SEQUENCES)]
    references = (TRUTH, *names)
    shape = (len(references), len(names), len(acquisitions), len(SEQUENCES), len(study.scheme))
    dsc, stray = np.full(shape, np.nan), np.zeros(shape)
    edited = np.zeros((len(names), len(acquisitions)))
    for index, case in enumerate(acquisitions):
        assert case.sequence == SEQUENCES[0]
        truth, geometry = read_label_map(case.truth)
        own = slice(index * len(SEQUENCES), (index + 1) * len(SEQUENCES))
        segmented = [[np.load(file)["labels"] for file in files[name][own]] for name in names]
        labels = [truth]
        for position, drafts in enumerate(segmented):
            labels.append(_correct(drafts[0], truth, geometry, case, len(study.scheme)))
            edited[position, index] = np.count_nonzero(labels[-1] != drafts[0]) * geometry.voxel_ml
        for k, label in enumerate(labels):
            for m, channels in enumerate(segmented):
                for s, prediction in enumerate(channels):
                    score = score_case(label, prediction, len(study.scheme))
                    dsc[k, m, index, s] = score.dsc
                    stray[k, m, index, s] = score.false_positive_voxels * geometry.voxel_ml
        print(f"{index + 1} of {len(acquisitions)}", flush=True)
    return Scores(
        tuple(names), tuple(before), references, tuple(c.participant for c in acquisitions), dsc, stray, edited
    )


def _correct(
    draft: NDArray[np.uint8], truth: NDArray[np.uint8], geometry: Geometry, case: Case, structures: int
) -> NDArray[np.uint8]:
    rng = np.random.default_rng(zlib.crc32(f"{case.participant}/{case.station}".encode()))
    spacing = tuple(reversed(geometry.spacing_mm))
    found = correct(
        np.ascontiguousarray(draft.T), np.ascontiguousarray(truth.T.astype(np.uint8)), spacing, structures, rng
    )
    return np.ascontiguousarray(found.labels.T)


def load_scores(study: Study) -> Scores:
    """Make all of this, or read what an earlier run of the study left."""
    file = study.folder / "scores.npz"
    if not file.exists():
        models = train_chains(study)
        cohort = study.cohort(CHAINS * ROUNDS * NEW_PARTICIPANTS // 2 + 3, HELD_OUT, SEQUENCES, SEQUENCES)
        files = segment_all(study, models, cohort.held_out)
        names = [*(model.name for model in models), BOOTSTRAP]
        found = score_all(study, names, [*(model.before for model in models), BOOTSTRAP], cohort.held_out, files)
        np.savez_compressed(file, **{key: np.asarray(value) for key, value in found.__dict__.items()})
    stored = np.load(file)
    return Scores(
        models=tuple(stored["models"].tolist()),
        before=tuple(stored["before"].tolist()),
        references=tuple(stored["references"].tolist()),
        participants=tuple(stored["participants"].tolist()),
        dsc=stored["dsc"],
        false_positive_ml=stored["false_positive_ml"],
        edited_ml=stored["edited_ml"],
    )
