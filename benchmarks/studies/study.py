"""Train variants and score them against the truth of the phantom."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.studies.cohort import STATIONS, Case, StudyCohort, make_cohort
from mrseg_label.files import write_atomically
from mrseg_label.imaging import load_image, write_nifti
from mrseg_label.labels import LabelScheme
from mrseg_label.metrics.overlap import per_structure
from mrseg_label.metrics.scoring import score_case
from mrseg_label.nnunet.archive import write_model_folder
from mrseg_label.nnunet.dataset import TrainingCase, write_raw_dataset
from mrseg_label.nnunet.modality import CT
from mrseg_label.nnunet.run import TrainingProgress, TrainingRun
from mrseg_label.nnunet.supervise import start_training, train
from mrseg_label.segments.files import read_label_map

LabelEdit = Callable[[Case, NDArray[np.uint8]], NDArray[np.uint8]]
"""Makes the label map to train on, (X, Y, Z) uint8, from the truth of a case."""

CHANGES: Mapping[str, Any] = {
    "epochs": 14,
    "iterations_per_epoch": 20,
    "target_spacing_mm": 7.0,
    "checkpoint_seconds": 3600.0,
}
"""What a study's trainings change in the profile ``tiny``."""
_FIRST_DATASET = 900
_LATEST = "checkpoint_latest.pth"


@dataclass(frozen=True)
class Variant:
    """One way to train.

    Attributes
    ----------
    dataset : name that :meth:`Study.dataset` returned.
    cases : cases to score on.
    changes : fields of the training profile that differ from those of the control.
    run : fields of the training run that differ, such as ``warm_start``.
    """

    name: str
    dataset: str
    cases: Sequence[Case]
    changes: Mapping[str, Any] = field(default_factory=dict)
    run: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Scored:
    """The score of one model on one case.

    Attributes
    ----------
    dsc : by structure, of those that the truth has enough voxels of.
    wrong_voxels : voxels whose label is not that of the truth.
    false_positive_ml : volume of structures that the truth does not have.
    """

    case: str
    participant: str
    dsc: Mapping[str, float]
    wrong_voxels: int
    false_positive_ml: float


class Study:
    """The folder of a study, with everything that was made so far.

    Parameters
    ----------
    folder : only one study at a time works in it.
    cohort_seed : of the phantom.
    """

    def __init__(self, folder: Path, cohort_seed: int = 1) -> None:
        self.folder = folder.absolute()
        self.cohort_seed = cohort_seed
        self.scheme = LabelScheme.default()
        self._nnunet = self.folder / f"nnunet_{cohort_seed}"

    def cohort(
        self,
        training: int = 4,
        held_out: int = 4,
        sequences: Sequence[str] = ("in", "opp"),
        held_out_sequences: Sequence[str] | None = None,
        stations: Sequence[str] = STATIONS,
    ) -> StudyCohort:
        """Make the cohort; see :func:`benchmarks.studies.cohort.make_cohort`."""
        return make_cohort(self.folder, self.cohort_seed, training, held_out, sequences, held_out_sequences, stations)

    def dataset(
        self,
        name: str,
        cases: Sequence[Case],
        edit: LabelEdit | None = None,
        background_unknown: Collection[str] = (),
        *,
        partly_ignored: Collection[str] = (),
        limit_ct: bool = True,
    ) -> str:
        """Write an nnU-Net data set; returns its name.

        Parameters
        ----------
        name : letters, digits and ``_``; another ``edit`` needs another name.
        edit : makes the label maps; by default they are the truth.
        background_unknown : names of cases whose background does not enter the loss.
        limit_ct : whether the values of CT images are limited to a window, as in a round.
        partly_ignored : names of cases whose label map has voxels of ``ignore``, the scheme's highest label id + 1.
        """
        raw = self._nnunet / "raw"
        raw.mkdir(parents=True, exist_ok=True)
        known = {path.name.partition("_")[2]: path.name for path in raw.glob("Dataset*_*")}
        full_name = known.get(name) or f"Dataset{_FIRST_DATASET + len(known):03d}_{name}"
        labels = self._nnunet / "labels" / name
        training = [
            TrainingCase(
                case_id=case.name,
                image=case.image,
                label=case.truth if edit is None else _edited_labels(labels / f"{case.name}.nii.gz", case, edit),
                participant=case.participant,
                background_known=case.name not in background_unknown,
                is_ct=limit_ct and case.sequence == CT,
                partly_ignored=case.name in partly_ignored,
            )
            for case in cases
        ]
        write_raw_dataset(raw, full_name, training, self.scheme)
        return full_name

    def train(
        self,
        dataset: str,
        name: str,
        seed: int = 0,
        changes: Mapping[str, Any] | None = None,
        run: Mapping[str, Any] | None = None,
        keep_epochs: Collection[int] = (),
    ) -> Path:
        """Train one model, unless it is there; returns its folder.

        Parameters
        ----------
        name : of the variant, a part of the folder's name; studies in one folder share models of the same data set,
            variant and settings.
        keep_epochs : numbers of epochs after which the model is kept too, as ``<returned folder>_epoch<N>``. Epochs that
            end within a fraction of a second may be missed.
        """
        variant = re.sub(r"[^A-Za-z0-9.,+-]+", "_", name)
        target = self.folder / "models" / f"{dataset}_{variant}_c{self.cohort_seed}_s{seed}"
        profile_changes = {**CHANGES, **(changes or {})}
        if keep_epochs:
            profile_changes["checkpoint_seconds"] = 0.0
        training = TrainingRun(
            folder=target.with_name(f"{target.name}.run"),
            nnunet=self._nnunet,
            dataset=dataset,
            profile="tiny",
            model=target,
            device="cpu",
            threads=1,
            seed=seed,
            changes=profile_changes,
        )
        training = replace(training, **(run or {}))
        others = sorted(path for path in (self._nnunet / "preprocessed").glob("Dataset*") if path.name != dataset)
        if training.plans_from is None and others:
            training = replace(training, plans_from=others[0])
        identity = json.dumps(
            [dataset, seed, profile_changes, run or {}, sorted(keep_epochs)], sort_keys=True, default=str
        )
        note = training.folder / "trained.json"
        if note.exists() and note.read_text() == identity:
            return target
        for path in (target, training.folder, *target.parent.glob(f"{target.name}_epoch*")):
            shutil.rmtree(path, ignore_errors=True)
        if keep_epochs:
            self._train_and_keep(training, keep_epochs)
        else:
            train(training)
        write_atomically(note, identity.encode())
        return target

    def score(self, model: Path, cases: Sequence[Case]) -> list[Scored]:
        """Score a model on cases, without those that it was scored on before."""
        file = model.with_name(f"{model.name}.scores.json")
        stamp = max(path.stat().st_mtime_ns for path in model.rglob("checkpoint_final.pth"))
        known = json.loads(file.read_text()) if file.exists() else {}
        if known.get("model") != stamp:
            known = {"model": stamp, "cases": {}}
        missing = [case for case in cases if case.name not in known["cases"]]
        if missing:
            known["cases"] |= {case.name: values for case, values in self._predict_and_score(model, missing)}
            write_atomically(file, json.dumps(known).encode())
        return [Scored(case.name, case.participant, **known["cases"][case.name]) for case in cases]

    def _predict_and_score(self, model: Path, cases: Sequence[Case]) -> list[tuple[Case, dict[str, Any]]]:
        from mrseg_label.nnunet.predict import Predictor

        predictor = Predictor(model, "cpu", threads=1)
        results = []
        for case in cases:
            truth, geometry = read_label_map(case.truth)
            prediction = predictor.segment(case.image, is_ct=case.sequence == CT)
            score = score_case(truth, prediction, len(self.scheme))
            dsc = {name: value for name, value in per_structure(self.scheme, score.dsc).items() if value is not None}
            values = {
                "dsc": dsc,
                "wrong_voxels": int(np.count_nonzero(truth != prediction)),
                "false_positive_ml": float(score.false_positive_voxels.sum() * geometry.voxel_ml),
            }
            results.append((case, values))
        return results

    def _train_and_keep(self, training: TrainingRun, epochs: Collection[int]) -> None:
        """Train, and link each checkpoint that appears: it is replaced as a whole, so that a link keeps the old one."""
        process = start_training(training)
        results = training.folders.results / training.dataset
        kept: dict[int, Path] = {}
        links = training.folder / "kept"
        links.mkdir()
        try:
            while (code := process.wait(0.1)) is None:
                progress = TrainingProgress.read(training.folder)
                for latest in results.glob(f"*/fold_0/{_LATEST}"):
                    with contextlib.suppress(FileNotFoundError, FileExistsError):
                        number = latest.stat().st_ino
                        if number not in kept and progress.stage == "training":
                            os.link(latest, links / f"{number}.pth")
                            kept[number] = latest.parent.parent
        finally:
            process.kill()
        if code != 0:
            raise SystemExit(f"the training failed; see {training.folder}")
        import torch

        for number, configuration in kept.items():
            path = links / f"{number}.pth"
            epoch = int(torch.load(path, map_location="cpu", weights_only=False)["current_epoch"])
            if epoch not in epochs:
                continue
            source = links / f"epoch{epoch}"
            (source / "fold_0").mkdir(parents=True)
            for file in ("plans.json", "dataset.json"):
                shutil.copyfile(configuration / file, source / file)
            os.link(path, source / "fold_0" / "checkpoint_final.pth")
            model = training.model.with_name(f"{training.model.name}_epoch{epoch}")
            write_model_folder(source, model, training.dataset, (0,))
        shutil.rmtree(links)


def _edited_labels(path: Path, case: Case, edit: LabelEdit) -> Path:
    """Write the edited truth of a case, once for all sequences of the acquisition if they are edited alike."""
    if not path.exists():
        truth, _ = read_label_map(case.truth)
        geometry = load_image(case.image)[1]
        edited = edit(case, truth.copy())
        path.parent.mkdir(parents=True, exist_ok=True)
        write_nifti(path, edited.astype(np.uint8), geometry)
    return path
