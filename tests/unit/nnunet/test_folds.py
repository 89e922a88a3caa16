"""Folds that were trained apart become one model and one report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mrseg_label.errors import InvalidInput, StoredFileError
from mrseg_label.nnunet.folds import identity, join_models, merge_reports, unseen
from mrseg_label.nnunet.run import TrainingReport, TrainingRun
from mrseg_label.registry.layout import read_model

INNER = "Dataset501_round1/nnUNetTrainerNoMirroring__nnUNetPlans__3d_fullres"


def exported(folder: Path, fold: int, plans: str = "{}") -> Path:
    inner = folder / INNER
    (inner / f"fold_{fold}").mkdir(parents=True)
    (inner / "plans.json").write_text(plans)
    (inner / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "liver": 1}}))
    (inner / f"fold_{fold}" / "checkpoint_final.pth").write_bytes(bytes([fold]))
    return folder


def test_folds_are_joined_to_one_model(tmp_path: Path) -> None:
    folders = [exported(tmp_path / f"f{fold}", fold) for fold in (0, 2)]
    for _ in range(2):  # once more after an attempt that was interrupted
        join_models(folders, tmp_path / "model")
    model = read_model(tmp_path / "model")
    assert model.folds == ("fold_0", "fold_2")
    assert (model.folder / "fold_2" / "checkpoint_final.pth").read_bytes() == b"\2"
    assert {path.name for path in tmp_path.iterdir()} == {"f0", "f2", "model"}


def test_folds_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    first = exported(tmp_path / "a", 0)
    with pytest.raises(InvalidInput, match="different plans"):
        join_models([first, exported(tmp_path / "b", 1, '{"spacing": 2}')], tmp_path / "model")
    with pytest.raises(StoredFileError, match="same fold"):
        join_models([first, exported(tmp_path / "c", 0)], tmp_path / "model")
    with pytest.raises(InvalidInput, match="no fold"):
        join_models([], tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_cases_that_also_train_are_not_predicted() -> None:
    assert unseen({"train": ["a", "b"], "val": ["c"]}) == ["c"]
    assert unseen({"train": ["a", "b"], "val": ["a", "b"]}) == []  # nothing was left to validate with


def test_a_training_from_other_weights_is_not_resumed(tmp_path: Path) -> None:
    """A retry may start from elsewhere, for example if its parent has seen cases that it is cross-validated on."""
    split = {"train": ["a"], "val": ["b"]}

    def digest(weights: Path | None, seed: int = 0) -> str:
        run = TrainingRun(tmp_path, tmp_path, "Dataset501_round1", "smoke", tmp_path, warm_start=weights, seed=seed)
        return identity({}, {"labels": {"background": 0}}, split, run)

    first = digest(tmp_path / "models" / "r1")
    assert first == digest(tmp_path / "moved" / "models" / "r1")
    assert len({first, digest(tmp_path / "models" / "r2"), digest(None), digest(None, seed=1)}) == 4


def test_reports_of_folds_become_one(tmp_path: Path) -> None:
    def report(fold: int | None, seconds: dict[str, float]) -> TrainingReport:
        values = {} if fold is None else {fold: 0}
        return TrainingReport(
            configuration_folder=tmp_path,
            plans_reused_from=None if fold is not None else "Dataset501_round1",
            cases_reused=0 if fold is not None else 3,
            cases_made=0 if fold is not None else 2,
            warm_start=None,
            resumed_at_epoch=dict(values),
            final_loss=dict.fromkeys(values, 0.5),
            seconds=seconds,
            cpu_seconds=seconds,
            left_out={} if fold is not None else {"thin": "too thin"},
            damaged=() if fold is None else (f"fold {fold}",),
            machines=({"gpu": f"card {fold}"}, {"gpu": "shared"}),
        )

    stored = [TrainingReport.from_json(report(fold, {"training": 2.5}).to_json()) for fold in (0, 1)]
    merged = merge_reports(report(None, {"planning": 1.0}), stored)
    assert merged.seconds == {"planning": 1.0, "training": 5.0}
    assert (merged.cases_reused, merged.cases_made, merged.plans_reused_from) == (3, 2, "Dataset501_round1")
    assert merged.resumed_at_epoch == {0: 0, 1: 0} and merged.final_loss == {0: 0.5, 1: 0.5}
    assert [machine["gpu"] for machine in merged.machines] == ["card 0", "shared", "card 1"]
    assert merged.left_out == {"thin": "too thin"} and merged.damaged == ("fold 0", "fold 1")
