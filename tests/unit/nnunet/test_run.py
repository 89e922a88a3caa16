"""The parameters, progress and report of a training survive the way through files; profiles and locks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mrseg_label.errors import ConfigurationError, Conflict, InvalidInput
from mrseg_label.nnunet.lock import folder_lock
from mrseg_label.nnunet.profiles import PROFILES, profile_named
from mrseg_label.nnunet.run import TrainingProgress, TrainingReport, TrainingRun


def test_run_through_its_file(tmp_path: Path) -> None:
    run = TrainingRun(
        folder=tmp_path / "run",
        nnunet=tmp_path / "nnunet",
        dataset="Dataset501_a",
        profile="tiny",
        model=tmp_path / "model",
        folds=(0, 1),
        plans_from=tmp_path / "earlier",
        warm_start=tmp_path / "weights",
        warm_start_heads={1: (26, 27), 2: (5,)},
        changes={"epochs": 7},
    )
    assert TrainingRun.read(run.write()) == run
    assert run.training_profile.epochs == 7
    assert run.training_profile.network == PROFILES["tiny"].network
    plain = TrainingRun(tmp_path / "run", tmp_path / "nnunet", "Dataset501_a", "smoke", tmp_path / "model")
    assert TrainingRun.read(plain.write()) == plain
    (tmp_path / "run" / "run.json").write_text('{"folder": "x"}')
    with pytest.raises(InvalidInput, match="not a training run"):
        TrainingRun.read(tmp_path / "run" / "run.json")


def test_progress(tmp_path: Path) -> None:
    assert TrainingProgress.read(tmp_path) == TrainingProgress("starting")
    progress = TrainingProgress("training", 1, (0, 1), 3, 10, iteration=30, total_iterations=100, loss=1.5)
    progress.write(tmp_path)
    assert TrainingProgress.read(tmp_path) == progress
    assert progress.fraction == pytest.approx(0.65)
    assert TrainingProgress("preprocessing", iteration=3, total_iterations=4).fraction == 0
    assert TrainingProgress("done").fraction == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["progress.json"]


def test_report(tmp_path: Path) -> None:
    report = TrainingReport(tmp_path, None, 2, 3, {"copied": 4}, {0: 5}, {0: 0.5}, {"training": 1.0}, {"training": 2.0})
    report.write(tmp_path)
    assert TrainingReport.read(tmp_path) == report
    with pytest.raises(InvalidInput, match="not the report"):
        TrainingReport.read(tmp_path / "elsewhere")


def test_profiles() -> None:
    for name in ("full", "fast", "tiny", "smoke"):
        profile = profile_named(name)
        if profile.network is not None:
            halvings = len(profile.network.features_per_stage) - 1
            assert all(size % 2**halvings == 0 for size in profile.network.patch_size)
    assert profile_named("full").network is None
    with pytest.raises(ConfigurationError, match="choose from full, fast, tiny, smoke"):
        profile_named("huge")


def test_one_writer_a_folder(tmp_path: Path) -> None:
    with folder_lock(tmp_path), pytest.raises(Conflict, match="another process"), folder_lock(tmp_path):
        pass
    with folder_lock(tmp_path):
        pass


def test_import_is_light() -> None:
    """The server and the command line import these; torch and nnU-Net must not come along."""
    import subprocess
    import sys

    modules = "archive, dataset, environment, planning, predict, profiles, run, splits, supervise, train, warm_start"
    code = (
        f"import sys; from mrseg_label.nnunet import {modules}; import json; "
        "print(json.dumps([m for m in ('torch', 'nnunetv2', 'totalsegmentator', 'monai') if m in sys.modules]))"
    )
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert json.loads(result.stdout) == []
