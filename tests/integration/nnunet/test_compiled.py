"""Trainings whose network torch compiles, or cannot compile: real compilers, on the CPU."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mrseg_label.nnunet.dataset import write_raw_dataset
from mrseg_label.nnunet.predict import Predictor
from mrseg_label.nnunet.run import TrainingReport, TrainingRun
from mrseg_label.nnunet.supervise import train
from tests.support.nnunet_cases import SCHEME, image_and_labels, write_case


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> TrainingRun:
    root = tmp_path_factory.mktemp("compiled")
    write_raw_dataset(root / "nnunet" / "raw", "Dataset501_round1", write_case(root, 1), SCHEME)
    (root / "models").mkdir()
    changes = {"epochs": 1, "iterations_per_epoch": 1, "compile_network": True}
    folder, nnunet, model = root / "run", root / "nnunet", root / "models" / "r1"
    return TrainingRun(folder, nnunet, "Dataset501_round1", "smoke", model, device="cpu", changes=changes)


def weights(report: TrainingReport) -> dict[str, object]:
    import torch

    checkpoint = torch.load(report.configuration_folder / "fold_0" / "checkpoint_final.pth", weights_only=False)
    return dict(checkpoint["network_weights"])


@pytest.mark.soak
def test_without_a_compiler_the_network_trains_as_it_is_and_the_report_says_why(
    run: TrainingRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "/bin/false")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(run.folder / "cache"))
    report = train(run, poll_seconds=0.1)
    (warning,) = report.warnings
    assert not report.compiled and warning.startswith("torch did not compile the network")
    assert "the network is not compiled" in (run.folder / "training.log").read_text()
    assert (report.machines[0]["device"], report.seed) == ("cpu", 0)


@pytest.mark.soak
def test_a_compiled_training_starts_warm_resumes_and_leaves_plain_names(run: TrainingRun) -> None:
    longer = {"epochs": 2, "iterations_per_epoch": 1, "compile_network": True}
    base = replace(run, folder=run.folder.with_name("base"), model=run.model.with_name("base"), changes={**longer})
    first = train(base, poll_seconds=0.1)
    assert first.compiled and first.warnings == ()
    still = {"epochs": 1, "iterations_per_epoch": 1, "peak_learning_rate": 1e-9, "compile_network": True}
    second = replace(
        base,
        folder=run.folder.with_name("warm"),
        model=run.model.with_name("warm"),
        warm_start=base.model,
        changes=still,
    )
    report = train(second, poll_seconds=0.1)
    assert report.compiled and report.warnings == ()
    assert report.warm_start is not None and report.warm_start["skipped"] == {}
    import torch

    ours, theirs = weights(report), weights(first)
    assert ours.keys() == theirs.keys() and not any("_orig_mod" in name for name in ours)
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, atol=1e-6, rtol=1e-5)
    again = train(replace(second, model=run.model.with_name("again")), poll_seconds=0.1)  # read from its checkpoint
    assert again.resumed_at_epoch == {0: 1}
    image, _, geometry = image_and_labels(7)
    assert Predictor(second.model, device="cpu").segment_array(image, geometry).shape == image.shape
