"""Set up the training of a round: its nnU-Net data set, what it reuses of earlier rounds, and its first weights."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.tables import Round
from mrseg_label.nnunet.dataset import TrainingCase, write_raw_dataset
from mrseg_label.nnunet.environment import NnunetFolders
from mrseg_label.nnunet.left_out import check_extent
from mrseg_label.nnunet.planning import fitting_plans
from mrseg_label.nnunet.profiles import profile_named
from mrseg_label.nnunet.run import TrainingRun
from mrseg_label.rounds.first_weights import FirstWeights
from mrseg_label.rounds.service import run_folder

FIRST_DATASET = 500  # lower numbers are taken by public data sets and TotalSegmentator's


def prepare_training(
    workspace: OpenedWorkspace,
    row: Round,
    cases: Sequence[TrainingCase],
    first_weights: FirstWeights,
    model_folder: Path,
) -> tuple[TrainingRun, Mapping[str, str]]:
    """Write the data set of a round and describe its training; cases that cannot be written are left out.

    Parameters
    ----------
    first_weights : what the network starts from.
    model_folder : where the training writes the model; whatever a failed attempt left there is removed.

    Returns
    -------
    The training, and reasons by case id of the cases that were left out.
    """
    profile = profile_named(row.profile)
    folders = NnunetFolders.under(workspace.nnunet)
    folds = profile.folds if row.final else 1
    folders.raw.mkdir(parents=True, exist_ok=True)
    dataset = write_raw_dataset(
        folders.raw,
        dataset_name(row.number),
        cases,
        workspace.scheme,
        folds=folds,
        check=check_extent(profile.target_spacing_mm),
    )
    shutil.rmtree(model_folder, ignore_errors=True)  # training resumes from nnU-Net's checkpoint, not from here
    earlier = _preprocessed_by_earlier_rounds(folders, row.number)
    run = TrainingRun(
        folder=run_folder(workspace, row.number),
        nnunet=workspace.nnunet,
        dataset=dataset_name(row.number),
        profile=profile.name,
        model=model_folder,
        folds=tuple(range(folds)),
        device=workspace.settings.device,
        plans_from=next((folder for folder in earlier if fitting_plans(folder, profile)), None),
        warm_start=first_weights.folder,
        warm_start_heads=first_weights.heads,
        stall_minutes=workspace.settings.stall_minutes,
    )
    return run, dataset.left_out


def dataset_name(number: int) -> str:
    """Name of a round's data set, as nnU-Net requires it."""
    return f"Dataset{FIRST_DATASET + number:03d}_round{number}"


def _preprocessed_by_earlier_rounds(folders: NnunetFolders, number: int) -> list[Path]:
    """Preprocessed folders of earlier rounds, newest first."""
    earlier = (folders.preprocessed / dataset_name(other) for other in range(number - 1, 0, -1))
    return [folder for folder in earlier if folder.is_dir()]
