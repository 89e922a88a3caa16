"""Folds that are trained apart, with processes that preprocess and augment beside the training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mrseg_label.nnunet.dataset import write_raw_dataset
from mrseg_label.nnunet.folds import export_folder, join_models, merge_reports, validation_folder
from mrseg_label.nnunet.run import TrainingPart, TrainingRun
from mrseg_label.nnunet.supervise import train
from mrseg_label.registry.layout import read_model
from tests.integration.nnunet.test_engine import processes_with
from tests.support.nnunet_cases import SCHEME, write_case


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_folds_with_process_pools(tmp_path: Path) -> None:
    """Processes plan, preprocess and augment beside the training, as in the profiles for GPUs, and none is left."""
    cases = [case for seed in range(1, 5) for case in write_case(tmp_path, seed)]
    write_raw_dataset(tmp_path / "nnunet" / "raw", "Dataset501_round1", cases, SCHEME, folds=2)
    changes = {"process_pools": True, "short_schedule": False, "epochs": 2}
    common = TrainingRun(
        folder=tmp_path / "preparation",
        nnunet=tmp_path / "nnunet",
        dataset="Dataset501_round1",
        profile="smoke",
        model=tmp_path / "unused",
        device="cpu",
        folds=(0, 1),
        part=TrainingPart.PREPARATION,
        changes=changes,
    )
    preparation = train(common)
    assert preparation.cases_made == 4
    reports, folders = [], []
    for fold in (0, 1):
        run = replace(common, folder=tmp_path / f"fold-{fold}", folds=(fold,), part=TrainingPart.FOLDS)
        run = replace(run, model=export_folder(run, fold))
        reports.append(train(run))
        folders.append(run.model)
        assert len(list(validation_folder(run, fold).glob("*.nii.gz"))) == 2
        assert processes_with(str(tmp_path)) == []
    join_models(folders, tmp_path / "model")
    assert read_model(tmp_path / "model").folds == ("fold_0", "fold_1")
    assert np.isfinite(list(merge_reports(preparation, reports).final_loss.values())).all()
    # One process that trains both does the same.
    both = replace(common, folder=tmp_path / "both", part=TrainingPart.ALL, model=tmp_path / "both-model")
    report = train(both)
    assert report.final_loss == merge_reports(preparation, reports).final_loss  # complete already, so only read
    assert processes_with(str(tmp_path)) == []
