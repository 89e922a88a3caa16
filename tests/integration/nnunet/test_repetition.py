"""The same data, settings and seed give the same weights, also where processes augment and a training is killed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from mrseg_label.errors import Cancelled
from mrseg_label.nnunet.damage import read_json
from mrseg_label.nnunet.dataset import write_raw_dataset
from mrseg_label.nnunet.run import TrainingProgress, TrainingRun
from mrseg_label.nnunet.supervise import train
from tests.support.nnunet_cases import SCHEME, write_case

EPOCHS = 12
PARTS = (".b2nd", ".pkl")
SHORT = {"epochs": EPOCHS, "checkpoint_seconds": 0.0}
POOLED = {**SHORT, "epochs": 5, "short_schedule": False}


def run_in(root: Path, changes: Mapping[str, Any], seed: int = 3) -> TrainingRun:
    root.mkdir()
    cases = write_case(root, 1) + write_case(root, 2)
    write_raw_dataset(root / "nnunet" / "raw", "Dataset501_round1", cases, SCHEME)
    return TrainingRun(
        root / "run",
        root / "nnunet",
        "Dataset501_round1",
        "smoke",
        root / "model",
        device="cpu",
        threads=1,
        seed=seed,
        changes=changes,
    )


def trained(run: TrainingRun, *, killed: bool = False) -> dict[str, Any]:
    """The weights after a training that is killed once if wanted."""
    import torch

    def kill(progress: TrainingProgress) -> None:
        if progress.stage == "training" and progress.epoch >= 2:  # the checkpoint of the first is written
            raise Cancelled("kill it")

    if killed:
        with pytest.raises(Cancelled):
            train(run, kill, poll_seconds=0.01)
    report = train(run, poll_seconds=0.1)
    assert (0 < report.resumed_at_epoch[0] < run.training_profile.epochs) == killed
    checkpoint = torch.load(report.configuration_folder / "fold_0" / "checkpoint_final.pth", weights_only=False)
    return dict(checkpoint["network_weights"])


def equal(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(bool((tensor == other[name]).all()) for name, tensor in one.items())


def preprocessed_files(nnunet: Path) -> dict[str, str]:
    """SHA-256 of every preprocessed file, by its path."""
    files = (path for path in nnunet.rglob("*") if path.is_file() and path.name.endswith(PARTS))
    return {str(path.relative_to(nnunet)): sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.soak
@pytest.mark.parametrize("changes", [SHORT, POOLED], ids=["short", "pooled"])
def test_an_interrupted_training_ends_with_the_weights_of_an_uninterrupted_one(
    tmp_path: Path, changes: Mapping[str, Any]
) -> None:
    # Whether processes preprocess makes no difference either.
    whole = run_in(tmp_path / "whole", {**changes, "process_pools": changes is POOLED})
    interrupted = run_in(tmp_path / "interrupted", changes)
    first = trained(whole)
    assert equal(first, trained(interrupted, killed=True))
    # Plans, splits and every preprocessed file were made twice, in two folders, and are the same.
    for name in ("splits_final.json", "nnUNetPlans.json"):
        made, again = (read_json(run.nnunet / "preprocessed" / run.dataset / name) for run in (whole, interrupted))
        assert made == again, name
    made, again = (preprocessed_files(run.nnunet) for run in (whole, interrupted))
    assert made == again and len(made) >= 2 * len(PARTS)
    if changes is SHORT:
        assert not equal(first, trained(replace(whole, seed=4, model=tmp_path / "other")))
