"""The nnU-Net engine from images to a model that plain nnU-Net predicts with, once through, with real kills."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from mrseg_label.errors import Cancelled, Conflict, InvalidInput, MrsegError
from mrseg_label.imaging import Geometry, load_image, reorient, write_nifti
from mrseg_label.nnunet.conventions import ModelConventions
from mrseg_label.nnunet.dataset import TrainingCase, write_raw_dataset
from mrseg_label.nnunet.lock import folder_lock
from mrseg_label.nnunet.predict import Predictor
from mrseg_label.nnunet.pulse import before_each_patch
from mrseg_label.nnunet.reporting import read_curve
from mrseg_label.nnunet.run import TrainingProgress, TrainingReport, TrainingRun
from mrseg_label.nnunet.store import used_keys
from mrseg_label.nnunet.supervise import train
from mrseg_label.nnunet.train import run_training
from mrseg_label.registry.archive import write_archive
from mrseg_label.registry.label_names import match_labels
from mrseg_label.registry.layout import read_model
from tests.support.nnunet_cases import SCHEME, image_and_labels, write_case

AUGMENTED = {
    "mirror_left_right": True,
    "nearest_labels": True,
    "inversion": 0.5,
    "gamma": 0.5,
    "small_structure_exponent": 0.5,
}
FOLD = "MrsegShortTrainer__nnUNetPlans__3d_fullres/fold_0"


@dataclass(frozen=True)
class World:
    root: Path
    run: TrainingRun
    report: TrainingReport
    epochs_before_the_kill: int

    @property
    def model(self) -> Path:
        return self.run.model


def processes_with(word: str) -> list[int]:
    """Processes whose command line has a word in it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if word.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
    return found


def kill_during_training(run: TrainingRun) -> None:
    """Start the training from a parent of its own, and kill that parent after the first checkpoint."""
    code = textwrap.dedent(f"""
        import time
        from pathlib import Path
        from mrseg_label.nnunet.run import TrainingRun
        from mrseg_label.nnunet.supervise import start_training
        start_training(TrainingRun.read(Path({str(run.write())!r})))
        time.sleep(600)
    """)
    checkpoint = run.nnunet / "results" / run.dataset / FOLD / "checkpoint_latest.pth"
    with subprocess.Popen([sys.executable, "-c", code]) as parent:
        end = time.monotonic() + 300
        while not checkpoint.exists():
            assert parent.poll() is None and time.monotonic() < end, (run.folder / "training.log").read_text()
            time.sleep(0.01)
        assert processes_with(str(run.folder))
        parent.send_signal(signal.SIGKILL)
    end = time.monotonic() + 20
    while processes_with(str(run.folder)):
        assert time.monotonic() < end, "the training outlived its parent"
        time.sleep(0.05)


def kill_the_supervisor(run: TrainingRun) -> None:
    """Start the training again, and kill its supervisor alone while it trains."""
    killed = 0.0

    def kill_it(progress: TrainingProgress) -> None:
        nonlocal killed
        if progress.stage == "training" and not killed:
            (supervisor,) = set(processes_with("nnunet.supervise")) & set(processes_with(str(run.folder)))
            os.kill(supervisor, signal.SIGKILL)
            killed = time.monotonic()

    with pytest.raises(MrsegError, match="its supervisor was killed by signal 9"):
        train(run, kill_it, poll_seconds=0.1)
    assert time.monotonic() - killed < 10
    assert processes_with(str(run.folder)) == []


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A model of three participants, trained in three attempts."""
    root = tmp_path_factory.mktemp("engine")
    cases = write_case(root, 1, "LPS", channels=2) + write_case(root, 2, "RAS") + write_case(root, 3, "PIR")
    write_raw_dataset(root / "nnunet" / "raw", "Dataset501_round1", cases, SCHEME, held_out=["participant_3"])
    run = TrainingRun(
        folder=root / "run1",
        nnunet=root / "nnunet",
        dataset="Dataset501_round1",
        profile="smoke",
        model=root / "models" / "r1",
        device="cpu",
        changes={"epochs": 40},
    )
    run.model.parent.mkdir()
    kill_during_training(run)
    kill_the_supervisor(run)
    assert not run.model.exists()
    checkpoint = root / "nnunet" / "results" / run.dataset / FOLD / "checkpoint_latest.pth"
    import torch

    before = torch.load(checkpoint, weights_only=False)["current_epoch"]
    seen: list[TrainingProgress] = []
    report = train(run, seen.append, poll_seconds=0.1)
    assert seen and seen[-1].stage in ("training", "exporting", "done")
    return World(root, run, report, before)


def test_a_killed_training_goes_on_from_its_last_checkpoint(world: World) -> None:
    assert 0 < world.epochs_before_the_kill < 40
    assert world.report.resumed_at_epoch == {0: world.epochs_before_the_kill}
    assert (world.report.cases_reused, world.report.cases_made) == (0, 4)  # before the kill
    assert np.isfinite(world.report.final_loss[0])
    assert TrainingProgress.read(world.run.folder).stage == "done"


def test_the_curve_has_the_epochs_before_the_kill_too(world: World) -> None:
    curve = read_curve(world.run.folder, 0)
    assert [point["epoch"] for point in curve] == list(range(1, 41))
    assert all(None not in (point["train_loss"], point["learning_rate"], point["seconds"]) for point in curve)
    assert curve[-1]["train_loss"] == pytest.approx(world.report.final_loss[0], rel=1e-4)


def test_training_leaves_nothing_behind(world: World) -> None:
    assert processes_with(str(world.run.folder)) == []
    leftovers = [path for path in world.root.rglob("*") if "partial" in path.name or path.name.endswith(".part")]
    assert leftovers == []


def test_model_is_the_stock_trainers_and_names_no_case(world: World) -> None:
    import torch

    folder = world.report.configuration_folder
    assert folder == world.model / "Dataset501_round1" / "nnUNetTrainerNoMirroring__nnUNetPlans__3d_fullres"
    assert sorted(path.name for path in folder.iterdir()) == ["dataset.json", "fold_0", "plans.json"]
    checkpoint = torch.load(folder / "fold_0" / "checkpoint_final.pth", weights_only=False)
    assert checkpoint["trainer_name"] == "nnUNetTrainerNoMirroring"
    assert checkpoint["inference_allowed_mirroring_axes"] is None
    assert len(checkpoint["logging"]["train_losses"]) == 40
    labels = json.loads((folder / "dataset.json").read_text())["labels"]
    assert "ignore" not in labels  # declared in the data set, and dropped where no voxel has it
    assert "case_" not in (folder / "dataset.json").read_text() + (folder / "plans.json").read_text()


@pytest.fixture(scope="module")
def predictor(world: World) -> Predictor:
    return Predictor(world.model, device="cpu")


def test_predictions_lie_on_exactly_the_images_grid_in_every_orientation(world: World, predictor: Predictor) -> None:
    assert predictor.labels == SCHEME.label_names
    image, _, geometry = image_and_labels(7)
    path = world.root / "seven.nii.gz"
    write_nifti(path, image, geometry)
    expected = predictor.segment(path)
    assert expected.shape == image.shape
    assert expected.any()
    for axcodes in ("LPS", "PIR", "SLA"):
        turned, grid = reorient(image, geometry, axcodes)
        write_nifti(path, turned, grid)
        mask = predictor.segment(path)
        assert mask.dtype == np.uint8
        np.testing.assert_array_equal(reorient(mask, grid, "RAS")[0], expected)
        predictor.segment_to(path, world.root / "mask.nii.gz")
        source, written = nibabel.load(path), nibabel.load(world.root / "mask.nii.gz")
        np.testing.assert_array_equal(written.affine, source.affine)
        np.testing.assert_array_equal(np.asanyarray(written.dataobj), mask)


def test_a_prediction_ends_at_the_next_patch(predictor: Predictor) -> None:
    """A cancel is heeded there, and each patch shows that the prediction goes on."""
    image, _, geometry = image_and_labels(7)
    patches = 0

    def cancel() -> None:
        nonlocal patches
        patches += 1
        raise Cancelled("cancelled")

    with pytest.raises(Cancelled), before_each_patch(cancel):
        predictor.segment_array(image, geometry)
    assert patches == 1
    predictor.segment_array(image, geometry)
    assert patches == 1  # only in the block


def test_stock_commands_install_the_archive_and_predict_the_same_mask(world: World, predictor: Predictor) -> None:
    archive = world.root / "model.zip"
    write_archive(world.model, archive)
    image, _, geometry = image_and_labels(8)
    inputs = world.root / "inputs"
    inputs.mkdir()
    write_nifti(inputs / "eight_0000.nii.gz", *reorient(image, geometry, "LPS"))
    # Not measured: nothing of ours runs in there, and coverage's handler of SIGTERM can hang in the children of the pool
    # that the stock command forks and terminates.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    environment |= {"nnUNet_results": str(world.root / "results"), "nnUNet_def_n_proc": "1"}
    scripts = Path(sys.executable).parent
    install: list[str | Path] = [scripts / "nnUNetv2_install_pretrained_model_from_zip", archive]
    predict: list[str | Path] = [
        scripts / "nnUNetv2_predict",
        "-i",
        inputs,
        "-o",
        world.root / "outputs",
        "-d",
        "501",
        "-c",
        "3d_fullres",
    ]
    predict += ["-tr", "nnUNetTrainerNoMirroring", "-f", "0", "-device", "cpu", "-npp", "0", "-nps", "0"]
    for command in (install, predict):
        result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        assert result.returncode == 0, result.stderr
    stock = nibabel.load(world.root / "outputs" / "eight.nii.gz")
    np.testing.assert_array_equal(np.asanyarray(stock.dataobj), predictor.segment(inputs / "eight_0000.nii.gz"))
    assert np.asanyarray(stock.dataobj).any()


@pytest.mark.parametrize("orientation", ["LPS", "SAR"])
def test_a_model_whose_reader_takes_files_as_they_lie_gets_its_own_orientation(
    world: World, orientation: str, tmp_path: Path
) -> None:
    """The same mask as nnU-Net's own reader gives for a file that lies so, whatever the order of the file's axes."""
    model = tmp_path / "model"
    shutil.copytree(world.model, model)
    (plans_file,) = model.rglob("plans.json")
    plans = json.loads(plans_file.read_text()) | {"image_reader_writer": "SimpleITKIO"}
    plans_file.write_text(json.dumps(plans))
    with pytest.raises(InvalidInput, match="SimpleITKIO, takes an image as its file lies.*--orientation"):
        Predictor(model, device="cpu")
    ModelConventions(orientation).write(plans_file.parent)
    predictor = Predictor(model, device="cpu")
    image, _, geometry = image_and_labels(9)
    array, grid = reorient(image, geometry, orientation)
    write_nifti(tmp_path / "nine.nii.gz", array, grid)
    stock = predictor._predictor.predict_from_files_sequential([[str(tmp_path / "nine.nii.gz")]], None)[0]
    expected = stock.transpose(2, 1, 0)
    assert expected.any()
    for axcodes in (orientation, "RAS", "PIR"):
        write_nifti(tmp_path / "nine.nii.gz", *reorient(array, grid, axcodes))
        found = predictor.segment(tmp_path / "nine.nii.gz")
        lying = load_image(tmp_path / "nine.nii.gz")[1]
        np.testing.assert_array_equal(reorient(found, lying, orientation)[0], expected)


def in_process(run: TrainingRun, monkeypatch: pytest.MonkeyPatch) -> TrainingReport:
    for name in (
        "nnUNet_raw",
        "nnUNet_preprocessed",
        "nnUNet_results",
        "nnUNet_n_proc_DA",
        "nnUNet_def_n_proc",
        "MPLBACKEND",
        "nnUNet_compile",
    ):
        monkeypatch.setenv(name, os.environ.get(name, ""))  # set back afterwards
    run.folder.mkdir(parents=True, exist_ok=True)
    return run_training(run)


@pytest.fixture
def second(world: World) -> TrainingRun:
    """A second round: one participant more, one label map corrected again."""
    cases = write_case(world.root, 1, "LPS", channels=2) + write_case(world.root, 2, "RAS") + write_case(world.root, 4)
    labels = nibabel.load(cases[2].label)
    changed = np.asanyarray(labels.dataobj).copy()
    changed[10:14, 10:14, 10:14] = 3
    corrected = world.root / "labels_2_again.nii.gz"
    write_nifti(corrected, changed, Geometry(labels.shape, labels.affine))
    cases[2] = replace(cases[2], label=corrected)
    # Case ids are other than in the round before: what counts is what the files hold.
    cases = [replace(case, case_id=f"again_{index}") for index, case in enumerate(cases)]
    write_raw_dataset(world.root / "nnunet" / "raw", "Dataset502_round2", cases, SCHEME)
    earlier = world.root / "nnunet" / "preprocessed" / "Dataset501_round1"
    return replace(
        world.run,
        folder=world.root / "run2",
        dataset="Dataset502_round2",
        model=world.root / "models" / "r2",
        plans_from=earlier,
        warm_start=world.model,
        changes={"epochs": 1, "iterations_per_epoch": 1, "peak_learning_rate": 1e-9},
    )


def test_second_round_takes_over_plans_cases_and_weights(
    world: World, second: TrainingRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    report = in_process(second, monkeypatch)
    assert report.plans_reused_from == "Dataset501_round1"
    assert (report.cases_reused, report.cases_made) == (2, 2)
    data = world.root / "nnunet" / "preprocessed"
    taken = data / "Dataset502_round2" / "nnUNetPlans_3d_fullres"
    given = data / "Dataset501_round1" / "nnUNetPlans_3d_fullres"
    for index in range(2):
        for part in (".b2nd", "_seg.b2nd", ".pkl"):
            assert (taken / f"again_{index}{part}").stat().st_ino == (given / f"case_1_{index}{part}").stat().st_ino
    assert report.warm_start is not None
    assert report.warm_start["skipped"] == {}
    assert report.warm_start["heads_without_source"] == []
    # The one iteration had no learning rate to speak of, so the weights are those of the first round.
    first, now = (
        torch.load(r.configuration_folder / "fold_0" / "checkpoint_final.pth", weights_only=False)["network_weights"]
        for r in (world.report, report)
    )
    for name, tensor in first.items():
        torch.testing.assert_close(now[name], tensor, atol=1e-6, rtol=1e-5)
    assert json.loads((report.configuration_folder / "plans.json").read_text())["dataset_name"] == "Dataset502_round2"


def test_the_same_run_again_is_only_read_and_other_settings_begin_anew(
    world: World, second: TrainingRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = replace(second, model=world.root / "models" / "r2_again")
    first = in_process(run, monkeypatch)
    again = in_process(run, monkeypatch)
    assert again.resumed_at_epoch == {0: 1}
    assert again.final_loss == first.final_loss
    coarser = in_process(replace(run, changes={**run.changes, "target_spacing_mm": 14.0}), monkeypatch)
    assert coarser.plans_reused_from is None
    assert (coarser.cases_reused, coarser.cases_made) == (0, 4)
    assert coarser.resumed_at_epoch == {0: 0}
    plans = json.loads((coarser.configuration_folder / "plans.json").read_text())
    assert plans["configurations"]["3d_fullres"]["spacing"] == [14.0] * 3


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_damaged_files_are_put_aside_and_made_again(
    world: World, second: TrainingRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a power failure: an empty and half a preprocessed case, half of every checkpoint, plans cut off."""
    run = replace(second, model=world.root / "models" / "r2_damaged")
    in_process(run, monkeypatch)
    base = world.root / "nnunet" / "preprocessed" / run.dataset
    data = base / "nnUNetPlans_3d_fullres"
    (data / "again_2.b2nd").write_bytes(b"")
    half(data / "again_3.pkl")
    half(base / "nnUNetPlans.json")
    half(base / "dataset_fingerprint.json")
    fold = first_results(world, run)
    checkpoints = list(fold.glob("checkpoint_*.pth"))
    for checkpoint in checkpoints:
        half(checkpoint)
    half(fold.parent / "plans.json")
    again = in_process(run, monkeypatch)
    assert (again.resumed_at_epoch, again.cases_made, again.left_out) == ({0: 0}, 2, {})
    assert len(again.damaged) == len(checkpoints) and all("put aside" in text for text in again.damaged)
    aside = base.parent / "damaged"
    assert {path.name for path in aside.rglob("*.*")} == {"case.b2nd.damaged", "case.pkl.damaged"}
    assert (base / "nnUNetPlans.json.damaged").exists() and (fold / f"{checkpoints[0].name}.damaged").exists()
    assert json.loads((again.configuration_folder / "plans.json").read_text())["dataset_name"] == run.dataset
    whole = {path.name: path.stat().st_ino for path in data.iterdir()}
    third = in_process(run, monkeypatch)  # nothing is damaged any more
    assert (third.resumed_at_epoch, third.damaged) == ({0: 1}, ())
    assert {path.name: path.stat().st_ino for path in data.iterdir()} == whole


def first_results(world: World, run: TrainingRun) -> Path:
    return world.root / "nnunet" / "results" / run.dataset / FOLD


def test_a_case_that_cannot_be_preprocessed_is_left_out_by_name(
    world: World, second: TrainingRun, tmp_path: Path
) -> None:
    """A slab of three slices, of which nothing is left at 12 mm; the model to start from is damaged too."""
    image, labels, geometry = image_and_labels(9, (30, 24, 3), (5.0, 6.0, 1.8))
    write_nifti(tmp_path / "thin.nii.gz", image, geometry)
    write_nifti(tmp_path / "thin_labels.nii.gz", labels, geometry)
    thin = TrainingCase("thin", tmp_path / "thin.nii.gz", tmp_path / "thin_labels.nii.gz", "p9")
    empty, _, _ = image_and_labels(8)
    write_nifti(tmp_path / "empty.nii.gz", empty, image_and_labels(8)[2])
    write_nifti(tmp_path / "background.nii.gz", np.zeros(empty.shape, np.uint8), image_and_labels(8)[2])
    background = TrainingCase("background", tmp_path / "empty.nii.gz", tmp_path / "background.nii.gz", "p8")
    cases = [*write_case(tmp_path, 1), thin, background]
    write_raw_dataset(tmp_path / "nnunet" / "raw", "Dataset503_thin", cases, SCHEME)
    shutil.copytree(world.model, tmp_path / "parent")
    (weights,) = (tmp_path / "parent").rglob("checkpoint_final.pth")
    half(weights)
    run = replace(
        second,
        nnunet=tmp_path / "nnunet",
        dataset="Dataset503_thin",
        folder=tmp_path / "run",
        model=tmp_path / "model",
        plans_from=None,
        warm_start=tmp_path / "parent",
    )
    code = f"""
from pathlib import Path
from mrseg_label.nnunet.run import TrainingRun
from mrseg_label.nnunet.train import run_training
run_training(TrainingRun.read(Path({str(run.write())!r})))
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=300)
    report = TrainingReport.read(run.folder)
    assert set(report.left_out) == {"thin"} and "nnU-Net cannot preprocess it" in report.left_out["thin"]
    assert report.cases_made == 2
    assert report.warm_start is None and "started from random weights" in report.damaged[0]
    with pytest.raises(InvalidInput, match="too thin: of 3 slices of 1.8 mm"):
        Predictor(run.model, device="cpu").segment(tmp_path / "thin.nii.gz")


def test_smaller_settings_train_the_same_network(
    world: World, second: TrainingRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = replace(second, model=world.root / "models" / "spared", spare_memory=True)
    shutil.rmtree(world.root / "nnunet" / "results" / run.dataset, ignore_errors=True)  # of the tests before
    report = in_process(run, monkeypatch)
    assert report.warnings == (
        "trained with patch size 16 x 16 x 16 instead of 16 x 16 x 32, since memory did not suffice",
    )
    plans = json.loads((report.configuration_folder / "plans.json").read_text())
    assert plans["configurations"]["3d_fullres"]["patch_size"] == [16, 16, 32]
    assert report.warm_start is not None and report.warm_start["skipped"] == {}
    assert Predictor(run.model, device="cpu").segment(write_case(world.root, 1)[0].image).any()


def test_two_runs_never_write_into_one_folder(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("preprocessed", f"results/{world.run.dataset}/{FOLD}"):
        held = world.root / "nnunet" / folder
        held = held / world.run.dataset if folder == "preprocessed" else held
        with folder_lock(held), pytest.raises(Conflict, match="another process"):
            in_process(replace(world.run, folder=world.root / "run3"), monkeypatch)


def test_a_fold_that_has_no_split(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInput, match="no split 3"):
        in_process(replace(world.run, folder=world.root / "run3", folds=(3,)), monkeypatch)


@pytest.mark.parametrize("short_schedule", [True, False])
def test_a_background_that_is_not_known_is_not_learned(
    world: World, monkeypatch: pytest.MonkeyPatch, short_schedule: bool
) -> None:
    """nnU-Net's label ``ignore`` through planning, preprocessing, training (ours and nnU-Net's own) and prediction.

    With nnU-Net's own schedule, all augmentation of ours is on, in processes beside the training.
    """
    name = f"Dataset60{int(short_schedule)}_ignored"
    one, two = write_case(world.root, 1, "LPS") + write_case(world.root, 2, "RAS")
    cases = [replace(one, background_known=False), replace(two, background_known=False)]
    write_raw_dataset(world.root / "nnunet" / "raw", name, cases, SCHEME)
    run = replace(
        world.run,
        folder=world.root / name,
        dataset=name,
        model=world.root / "models" / name,
        plans_from=world.root / "nnunet" / "preprocessed" / "Dataset501_round1",
        changes={"epochs": 20} if short_schedule else {"epochs": 2, "short_schedule": False, **AUGMENTED},
    )
    report = in_process(run, monkeypatch)
    base = world.root / "nnunet" / "preprocessed"
    known, ignored = (set(used_keys(base / folder).values()) for folder in ("Dataset501_round1", name))
    assert len(ignored) == 2 and not known & ignored  # what was preprocessed with a known background is not taken
    assert np.isfinite(report.final_loss[0])
    assert match_labels(read_model(run.model).label_names, SCHEME, {}, {}) is None
    predictor = Predictor(run.model, device="cpu")
    assert predictor.labels == SCHEME.label_names
    mask = predictor.segment(one.image)
    assert mask.max() <= len(SCHEME)
    if short_schedule:  # nothing told it of background but the air around the body
        assert (mask > 0).mean() > 0.5
