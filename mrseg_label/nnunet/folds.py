"""Folds that processes of their own train: what identifies a fold, what it predicts, and how folds become one model.

Each fold is exported with :mod:`mrseg_label.nnunet.archive`, as a model of one fold; :func:`join_models` joins these to
the ensemble that nnU-Net's own commands install. A fold predicts the cases that it has not seen, so that together the
folds predict every case once (cross-validation).
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from mrseg_label.errors import InvalidInput, StoredFileError
from mrseg_label.files import link_or_copy, new_folder
from mrseg_label.nnunet.damage import read_json
from mrseg_label.nnunet.dataset import RawDataset
from mrseg_label.nnunet.dataset_json import without_ignore
from mrseg_label.nnunet.environment import FILE_ENDING, PLANS, find_configuration_folder
from mrseg_label.nnunet.left_out import OUT_OF_MEMORY
from mrseg_label.nnunet.run import TrainingProgress, TrainingReport, TrainingRun
from mrseg_label.nnunet.splits import Split

log = logging.getLogger("mrseg_label.nnunet")
_REASON_LENGTH = 300
_COMMON = ("plans.json", "dataset.json")


def identity(plans: Any, dataset_json: Mapping[str, Any], split: Split, run: TrainingRun) -> str:
    """SHA-256 of everything that decides what a fold learns: plans, labels, cases, settings, seed and first weights.

    Of the first weights only the name of their folder counts, which a workspace that is moved keeps.
    """
    first_weights = [] if run.warm_start is None else [run.warm_start.name]
    values = [[plans, dataset_json["labels"], split, asdict(run.training_profile)], run.seed, *first_weights]
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def fold_identity(run: TrainingRun, fold: int) -> str | None:
    """:func:`identity` of a fold of a data set that is prepared; None if it is not, or has no such split."""
    base = run.folders.preprocessed / run.dataset
    plans, dataset_json, splits = (
        read_json(base / name) for name in (f"{PLANS}.json", "dataset.json", "splits_final.json")
    )
    if plans is None or dataset_json is None or splits is None or fold >= len(splits):
        return None
    if not RawDataset.open(run.folders.raw / run.dataset).ignores:
        dataset_json = without_ignore(dataset_json)
    return identity(plans, dataset_json, splits[fold], run)


def export_folder(run: TrainingRun, fold: int) -> Path:
    """Folder of the exported model of a fold."""
    return run.folders.results / run.dataset / "exported" / f"fold_{fold}"


def validation_folder(run: TrainingRun, fold: int) -> Path:
    """Folder of the label maps that a fold predicts of the cases that it has not seen, ``CASE.nii.gz``."""
    return run.folders.results / run.dataset / "exported" / f"validation_{fold}"


def predict_validation_cases(run: TrainingRun, model: Path) -> dict[str, str]:
    """Predict, with each fold of a run, the cases that it has not seen. Imports torch and nnU-Net.

    Cases that are predicted already are not predicted again.

    Parameters
    ----------
    model : folder of the exported model, with ``plans.json``.

    Returns
    -------
    Reasons by case id, for cases that could not be predicted.
    """
    from mrseg_label.nnunet.predict import Predictor

    splits = json.loads((run.folders.preprocessed / run.dataset / "splits_final.json").read_text())
    images = run.folders.raw / run.dataset / "imagesTr"
    reasons: dict[str, str] = {}
    for fold in run.folds:
        folder = validation_folder(run, fold)
        folder.mkdir(parents=True, exist_ok=True)
        cases = unseen(splits[fold])
        targets = {case: folder / f"{case}{FILE_ENDING}" for case in cases}
        predictor = None
        for done, (case, target) in enumerate(targets.items()):
            TrainingProgress("validating", fold, run.folds, iteration=done, total_iterations=len(cases)).write(
                run.folder
            )
            if target.exists():
                continue
            predictor = predictor or Predictor(model, run.device, folds=[fold], threads=run.threads)
            try:
                predictor.segment_to(images / f"{case}_0000{FILE_ENDING}", target)
            except (MemoryError, OSError):
                raise  # of the machine, and not of the case
            except Exception as error:
                if any(words in str(error) for words in OUT_OF_MEMORY):
                    raise
                log.warning("fold %d cannot predict case %s", fold, case, exc_info=True)
                reasons[case] = f"fold {fold} cannot predict it: {str(error)[:_REASON_LENGTH] or repr(error)}"
    return reasons


def unseen(split: Split) -> list[str]:
    """Validation cases of a split that are not among its training cases."""
    return sorted(set(split["val"]) - set(split["train"]))


def join_models(folders: Iterable[Path], model: Path) -> None:
    """Join models of one fold each to one model of all these folds.

    Parameters
    ----------
    folders : exported folders, each with ``DatasetNNN_name/TRAINER__PLANS__CONFIGURATION/fold_K``.
    model : folder to create; it appears whole or not at all. One that exists is replaced.

    Raises
    ------
    InvalidInput
        A folder holds no model, or the models are not of one data set and one plan.
    StoredFileError
        Two of them have the same fold.
    """
    found = [find_configuration_folder(folder) for folder in folders]
    if not found:
        raise InvalidInput("no fold was trained, so there is no model to export")
    first = found[0]
    for other in found[1:]:
        for name in _COMMON:
            if (other / name).read_bytes() != (first / name).read_bytes():
                raise InvalidInput(
                    f"{other / name} differs from that of {first}: the folds were trained with different plans or labels. "
                    "Start a new round"
                )
    shutil.rmtree(model, ignore_errors=True)
    with new_folder(model) as partial:
        target = partial / first.parent.name / first.name
        target.mkdir(parents=True)
        for name in _COMMON:
            shutil.copyfile(first / name, target / name)
        for source in found:
            for fold in sorted(source.glob("fold_*")):
                if (target / fold.name).exists():
                    raise StoredFileError(f"{fold} and another folder hold the same fold; start a new round")
                (target / fold.name).mkdir()
                for file in fold.iterdir():
                    link_or_copy(file, target / fold.name / file.name)


def merge_reports(preparation: TrainingReport, folds: Sequence[TrainingReport]) -> TrainingReport:
    """Make one report of a round from that of its preparation and those of its folds."""
    first = folds[0]
    seconds, cpu_seconds = dict(preparation.seconds), dict(preparation.cpu_seconds)
    for total, parts in (
        (seconds, [report.seconds for report in folds]),
        (cpu_seconds, [report.cpu_seconds for report in folds]),
    ):
        for part in parts:
            for stage, value in part.items():
                total[stage] = round(total.get(stage, 0.0) + value, 2)
    return replace(
        first,
        plans_reused_from=preparation.plans_reused_from,
        planned_anew=preparation.planned_anew,
        cases_reused=preparation.cases_reused,
        cases_made=preparation.cases_made,
        warm_start=next((report.warm_start for report in folds if report.warm_start is not None), None),
        resumed_at_epoch={fold: epoch for report in folds for fold, epoch in report.resumed_at_epoch.items()},
        final_loss={fold: loss for report in folds for fold, loss in report.final_loss.items()},
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        left_out=preparation.left_out,
        machines=tuple(_distinct(machine for report in folds for machine in report.machines)),
        damaged=preparation.damaged + tuple(text for report in folds for text in report.damaged),
        compiled=all(report.compiled for report in folds),
        warnings=tuple(dict.fromkeys(text for report in (preparation, *folds) for text in report.warnings)),
        not_validated={case: reason for report in folds for case, reason in report.not_validated.items()},
    )


def _distinct(machines: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each machine once, in the order of the folds."""
    found: list[dict[str, Any]] = []
    for machine in machines:
        if machine not in found:
            found.append(machine)
    return found
