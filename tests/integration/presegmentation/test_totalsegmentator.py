"""Pre-segmentation through the real TotalSegmentator API, with a tiny random network and no internet."""

from __future__ import annotations

import json
import multiprocessing.process
import os
import socket
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from mrseg_label.errors import ConfigurationError, Unavailable
from mrseg_label.imaging import Geometry, load_image, reorient, reorient_like, write_nifti
from mrseg_label.imaging.intensity import round_to_int16
from mrseg_label.labels import LabelScheme
from mrseg_label.presegmentation.preparation import prepare
from mrseg_label.presegmentation.sources import Preparation
from mrseg_label.presegmentation.totalseg import TotalSegmentatorRuntime
from mrseg_label.presegmentation.weights import CHECKPOINT, DATASET, MODEL
from tests.support.axis_orders import as_stored, large_image
from tests.support.paths import REAL_MR
from tests.support.tiny_weights import write_tiny_weights

SCHEME = LabelScheme.default()
SHAPE = (44, 38, 24)


def oblique_las() -> np.ndarray[Any, Any]:
    angle = np.deg2rad(6)
    affine = np.eye(4)
    affine[:3, :3] = np.array([[-1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    affine[:3, :3] *= (3.2, 3.0, 4.5)
    affine[:3, 3] = (60, -50, -30)
    return affine


@pytest.fixture(scope="module")
def image() -> tuple[np.ndarray[Any, Any], Geometry]:
    """An ellipsoid body of smooth random tissue."""
    rng = np.random.default_rng(1)
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    body = axes[0] ** 2 + axes[1] ** 2 < 0.8
    tissue = ndimage.gaussian_filter(rng.normal(size=SHAPE), 2)
    signal = body * (500 + 250 * tissue / tissue.std()) + rng.normal(0, 8, SHAPE)
    return np.abs(signal).astype(np.int16), Geometry(SHAPE, oblique_las())


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> TotalSegmentatorRuntime:
    folder = tmp_path_factory.mktemp("totalsegmentator")
    return TotalSegmentatorRuntime(write_tiny_weights(folder / "weights"), folder / "home", "cpu")


@pytest.fixture(autouse=True)
def cut_off(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Cut the network connection and record every attempt to use it."""
    attempts: list[Any] = []

    def refuse(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX:
            attempts.append(address)
            raise OSError("the network is cut")
        connect(self, address)

    connect = socket.socket.connect
    monkeypatch.setattr(socket.socket, "connect", refuse)
    return attempts


def test_the_result_equals_that_of_the_stock_call(
    runtime: TotalSegmentatorRuntime, image: tuple[np.ndarray[Any, Any], Geometry], monkeypatch: pytest.MonkeyPatch
) -> None:
    array, geometry = reorient(*image, "RAS")
    prepared = prepare(array, geometry, Preparation.INVERTED)
    ours = runtime.total_ids(prepared, geometry)
    assert len(np.unique(ours)) > 5

    monkeypatch.setenv("TOTALSEG_WEIGHTS_PATH", str(runtime.weights_dir))
    monkeypatch.setenv("TOTALSEG_HOME_DIR", str(runtime.home_dir))
    from totalsegmentator.python_api import totalsegmentator

    stock = totalsegmentator(
        nib.Nifti1Image(prepared, geometry.affine),
        None,
        ml=True,
        task="total",
        fast=True,
        device="cpu",
        nr_thr_saving=1,
    )
    np.testing.assert_array_equal(ours, np.asanyarray(stock.dataobj))
    np.testing.assert_allclose(stock.affine, geometry.affine)


@pytest.mark.parametrize("preparation", list(Preparation))
def test_labels_are_on_the_grid_of_the_image(
    runtime: TotalSegmentatorRuntime,
    image: tuple[np.ndarray[Any, Any], Geometry],
    preparation: Preparation,
    tmp_path: Path,
) -> None:
    array, geometry = image
    assert geometry.axcodes == "LAS"
    labels = runtime.segment((array, geometry), preparation, SCHEME)
    assert labels.shape == SHAPE and labels.dtype == np.uint8 and labels.any()
    reoriented, ras = reorient(array, geometry, "RAS")
    ids = runtime.total_ids(prepare(reoriented, ras, preparation), ras)
    expected = np.zeros(ids.shape, dtype=np.uint8)
    for name, parts in SCHEME.ids_in("totalsegmentator_total").items():
        expected[np.isin(ids, parts)] = SCHEME[name].id
    np.testing.assert_array_equal(labels, reorient_like(expected, ras, geometry))
    # The same image with its axes in another order, from a file.
    sideways, other = reorient(array, geometry, "SLP")
    write_nifti(tmp_path / "x.nii.gz", sideways, other)
    from_file = runtime.segment(tmp_path / "x.nii.gz", preparation, SCHEME)
    np.testing.assert_array_equal(reorient_like(from_file, other, geometry), labels)


@pytest.mark.soak
@pytest.mark.parametrize("preparation", list(Preparation))
def test_drafts_are_the_same_in_all_orders_of_axes(
    runtime: TotalSegmentatorRuntime, preparation: Preparation, tmp_path: Path
) -> None:
    array, geometry = large_image()
    expected = runtime.segment((array, geometry), preparation, SCHEME)
    assert expected.any()
    for stored, grid in as_stored((array, geometry)):
        write_nifti(tmp_path / "x.nii", stored, grid)
        labels = runtime.segment(tmp_path / "x.nii", preparation, SCHEME)
        np.testing.assert_array_equal(reorient_like(labels, grid, geometry), expected)


def test_nothing_is_sent_loaded_again_or_left_behind(
    runtime: TotalSegmentatorRuntime,
    image: tuple[np.ndarray[Any, Any], Geometry],
    cut_off: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = runtime.segment(image, Preparation.RAW, SCHEME)
    import torch
    import totalsegmentator.nnunet
    import totalsegmentator.python_api

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("a second call must neither start processes nor load the weights again")

    monkeypatch.setattr(multiprocessing.process.BaseProcess, "start", never)
    monkeypatch.setattr(torch, "load", never)
    patched = [totalsegmentator.nnunet.nnUNetPredictor, totalsegmentator.python_api.download_pretrained_weights]
    environment, threads = dict(os.environ), torch.get_num_threads()
    np.testing.assert_array_equal(runtime.segment(image, Preparation.RAW, SCHEME), first)
    assert dict(os.environ) == environment and torch.get_num_threads() == threads
    after = [totalsegmentator.nnunet.nnUNetPredictor, totalsegmentator.python_api.download_pretrained_weights]
    assert after == patched
    assert json.loads((runtime.home_dir / "config.json").read_text())["send_usage_stats"] is False
    assert cut_off == []


def test_new_weights_in_the_same_folder_are_noticed(
    image: tuple[np.ndarray[Any, Any], Geometry], tmp_path: Path
) -> None:
    weights = write_tiny_weights(tmp_path / "weights", seed=1)
    runtime = TotalSegmentatorRuntime(weights, tmp_path / "home", "cpu")
    before = runtime.segment(image, Preparation.RAW, SCHEME)
    write_tiny_weights(weights, seed=2)
    assert (runtime.segment(image, Preparation.RAW, SCHEME) != before).any()


def test_missing_weights_are_never_downloaded(
    image: tuple[np.ndarray[Any, Any], Geometry], cut_off: list[Any], tmp_path: Path
) -> None:
    with pytest.raises(Unavailable, match=rf"{DATASET}.*TOTALSEG_WEIGHTS_PATH"):
        TotalSegmentatorRuntime(tmp_path, tmp_path / "home", "cpu")
    weights = write_tiny_weights(tmp_path / "weights")
    runtime = TotalSegmentatorRuntime(weights, tmp_path / "home", "cpu")
    (weights / DATASET / MODEL / CHECKPOINT).unlink()
    with pytest.raises(Unavailable, match="checkpoint_final.pth is missing"):
        runtime.segment(image, Preparation.RAW, SCHEME)
    assert cut_off == []


def test_devices(runtime: TotalSegmentatorRuntime) -> None:
    import torch

    here = "gpu" if torch.cuda.is_available() else "cpu"
    assert TotalSegmentatorRuntime(runtime.weights_dir, runtime.home_dir).device == here
    for name in ("tpu", "cuda:x", "cuda:99"):
        with pytest.raises(ConfigurationError, match=name):
            TotalSegmentatorRuntime(runtime.weights_dir, runtime.home_dir, name)


def test_an_image_between_0_and_1_is_not_destroyed(
    runtime: TotalSegmentatorRuntime, image: tuple[np.ndarray[Any, Any], Geometry]
) -> None:
    array, geometry = image
    small = (array / array.max()).astype(np.float32)
    assert len(np.unique(round_to_int16(small))) > 200
    assert runtime.segment((small, geometry), Preparation.RAW, SCHEME).any()


def test_a_real_mr(runtime: TotalSegmentatorRuntime) -> None:
    path = REAL_MR / "example_mr_sm.nii.gz"
    if not path.is_file():
        pytest.skip("the real MR is not on this machine")
    labels = runtime.segment(path, Preparation.INVERTED, SCHEME)
    assert labels.shape == load_image(path)[1].shape and labels.max() <= len(SCHEME)
