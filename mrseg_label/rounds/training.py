"""Set up the training of a round: its nnU-Net data set, what it reuses of earlier rounds, and its first weights."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import models
from mrseg_label.catalog.tables import BOOTSTRAP, Round
from mrseg_label.nnunet.dataset import TrainingCase, write_raw_dataset
from mrseg_label.nnunet.environment import NnunetFolders
from mrseg_label.nnunet.folds import export_folder
from mrseg_label.nnunet.left_out import check_extent
from mrseg_label.nnunet.planning import fitting_plans
from mrseg_label.nnunet.profiles import profile_named
from mrseg_label.nnunet.run import TrainingPart, TrainingRun
from mrseg_label.rounds.first_weights import FirstWeights, choose_first_weights
from mrseg_label.rounds.service import run_folder
from mrseg_label.rounds.training_values import SEED, profile_changes

FIRST_DATASET = 500  # lower numbers are taken by public data sets and TotalSegmentator's


def prepare_training(
    workspace: OpenedWorkspace,
    row: Round,
    cases: Sequence[TrainingCase],
    first_weights: FirstWeights,
    model_folder: Path,
    folds: int = 1,
) -> tuple[TrainingRun, Mapping[str, str]]:
    """Write the data set of a round and describe its training; cases that cannot be written are left out.

    Parameters
    ----------
    first_weights : what the network starts from.
    model_folder : where the training writes the model; whatever a failed attempt left there is removed.
    folds : number of splits of the data set.

    Returns
    -------
    The training, and reasons by case id of the cases that were left out.
    """
    run = describe_training(workspace, row, first_weights, model_folder, folds)
    folders = run.folders
    folders.raw.mkdir(parents=True, exist_ok=True)
    dataset = write_raw_dataset(
        folders.raw,
        dataset_name(row.number),
        cases,
        workspace.scheme,
        folds=folds,
        check=check_extent(run.training_profile.target_spacing_mm),
    )
    shutil.rmtree(model_folder, ignore_errors=True)  # training resumes from nnU-Net's checkpoint, not from here
    return run, dataset.left_out


def describe_training(
    workspace: OpenedWorkspace, row: Round, first_weights: FirstWeights, model_folder: Path, folds: int
) -> TrainingRun:
    """Describe the training of a round in so many folds, the same on every machine and in every attempt."""
    folders = NnunetFolders.under(workspace.nnunet)
    earlier = _preprocessed_by_earlier_rounds(folders, row.number)
    with workspace.catalog.read() as session:
        parent = models.get(session, row.parent or BOOTSTRAP)
    if parent is not None and parent.round_number is not None:  # with its plans, its network fits its weights
        own = folders.preprocessed / dataset_name(parent.round_number)
        earlier = [own] * own.is_dir() + earlier
    changes = profile_changes(row.training)
    profile = replace(profile_named(row.profile), **changes)
    return TrainingRun(
        folder=run_folder(workspace, row.number),
        nnunet=workspace.nnunet,
        dataset=dataset_name(row.number),
        profile=row.profile,
        model=model_folder,
        folds=tuple(range(folds)),
        device=workspace.settings.device,
        plans_from=next((folder for folder in earlier if fitting_plans(folder, profile)), None),
        warm_start=first_weights.folder,
        warm_start_heads=first_weights.heads,
        stall_minutes=workspace.settings.stall_minutes,
        seed=row.training.get(SEED, 0),
        changes=changes,
    )


def describe_fold(workspace: OpenedWorkspace, row: Round, fold: int) -> TrainingRun:
    """Describe the training of one fold of a round whose data set is prepared."""
    run = describe_training(workspace, row, choose_first_weights(workspace, row), workspace.nnunet, fold + 1)
    return replace(
        run,
        folder=run_folder(workspace, row.number, fold),
        model=export_folder(run, fold),
        folds=(fold,),
        part=TrainingPart.FOLDS,
    )


def dataset_name(number: int) -> str:
    """Name of a round's data set, with the three digits that nnU-Net requires; after 499 rounds these begin again."""
    return f"Dataset{FIRST_DATASET + number % FIRST_DATASET:03d}_round{number}"


def _preprocessed_by_earlier_rounds(folders: NnunetFolders, number: int) -> list[Path]:
    """Preprocessed folders of earlier rounds, newest first."""
    earlier = (folders.preprocessed / dataset_name(other) for other in range(number - 1, 0, -1))
    return [folder for folder in earlier if folder.is_dir()]
