"""Label maps are told from images by name and voxels together."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mrseg_label.imaging import Geometry, load_image, write_nifti
from mrseg_label.imaging.label_maps import distinct_values, label_map_reason, mask_word
from tests.support.paths import REAL_MR

SHAPE = (12, 13, 14)
NOISE = np.random.default_rng(1)


def boxes(values: list[int]) -> NDArray[np.int16]:
    """Slabs of values in a background of 0."""
    array = np.zeros(SHAPE, np.int16)
    for place, value in enumerate(values):
        array[2:10, 2:10, 1 + 2 * place : 3 + 2 * place] = value
    return array


def body() -> NDArray[np.float64]:
    """A ball in air."""
    x, y, z = np.indices(SHAPE) - np.array(SHAPE).reshape(3, 1, 1, 1) / 2
    inside: NDArray[np.float64] = (x**2 + y**2 + z**2 < 30).astype(np.float64)
    return inside


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("abdomen_mask.nii.gz", "mask"),
        ("P1/Segmentation-1-label.nrrd", "segmentation"),
        ("labelsTr/case_001.nii.gz", "labels"),
        ("P1/segmentations/liver.nii.gz", "segmentations"),
        ("P1/T1Mask.nii.gz", "mask"),
        ("sub-1_dseg.nii.gz", "dseg"),
        ("ground_truth/1.nii.gz", "groundtruth"),
        ("P1/mask2.nii.gz", "mask"),
        ("masked_T1.nii.gz", None),
        ("unlabeled/T1.nii.gz", None),
        ("segmentation study/P1/T1.nii.gz", None),
        ("P1/T1_in.nii.gz", None),
    ],
)
def test_words_that_speak_of_a_mask(path: str, word: str | None) -> None:
    assert mask_word(PurePosixPath(path)) == word


LABEL_MAPS: dict[str, tuple[str, NDArray[Any]]] = {
    "binary": ("liver.nii.gz", boxes([1])),
    "binary of 255": ("liver.nii.gz", boxes([255])),
    "few, named": ("abdomen_mask.nii.gz", boxes([3, 7, 40])),
    "few, plain": ("P1.nii.gz", boxes([1, 2, 3, 4, 5])),
    "few, far apart, plain": ("P1.nii.gz", np.repeat(boxes([3, 17, 90]), 2, axis=2)),
    "many small, named": ("P1_labels.nii.gz", np.arange(np.prod(SHAPE)).reshape(SHAPE).astype(np.int16) % 100),
    "of another tool, named": ("aseg.nii.gz", np.repeat(boxes([2, 41, 200, 251, 1035]), 3, axis=2)),
    "interpolated, named": ("P1_mask.nii.gz", (boxes([1]) * 0.5 + np.roll(boxes([1]), 1, 0) * 0.5).astype(np.float32)),
}
IMAGES: dict[str, tuple[str, NDArray[Any]]] = {
    "noise, named": ("P1_mask.nii.gz", NOISE.integers(0, 900, SHAPE).astype(np.int16)),
    "few grey values": ("P1.nii.gz", NOISE.integers(0, 20, SHAPE).astype(np.int16)),
    "phantom": ("phantom.nii.gz", (body() * 500 + np.roll(body(), 2, 0) * 300).astype(np.int16)),
    "ramp": ("ramp.nii.gz", np.indices(SHAPE)[2].astype(np.int16)),
    "thresholded": ("P1.nii.gz", (body() * NOISE.integers(200, 800, SHAPE)).astype(np.int16)),
    "8 bit, named": ("roi.nii.gz", NOISE.integers(0, 256, SHAPE).astype(np.int16)),
    "normalised": ("P1.nii.gz", NOISE.random(SHAPE).astype(np.float32)),
    "normalised in a mask, named": ("mask.nii.gz", (body() * NOISE.normal(0, 1, SHAPE)).astype(np.float32)),
    "ct": ("ct.nii.gz", (body() * NOISE.integers(900, 1100, SHAPE) - 1000).astype(np.int16)),
}


@pytest.mark.parametrize("kind", LABEL_MAPS)
def test_a_label_map_is_known(kind: str) -> None:
    name, array = LABEL_MAPS[kind]
    assert label_map_reason(array, PurePosixPath(name)) is not None


@pytest.mark.parametrize("kind", IMAGES)
def test_an_image_is_not_taken_for_a_label_map(kind: str) -> None:
    name, array = IMAGES[kind]
    assert label_map_reason(array, PurePosixPath(name)) is None


def test_values_are_counted_only_as_far_as_needed() -> None:
    array = np.full(SHAPE, -32768, np.int16)
    array[0, 0, :3] = 32767, 0, -1
    assert distinct_values(array, 4) == [-32768, -1, 0, 32767]
    assert distinct_values(array, 3) is None


@pytest.mark.skipif(not REAL_MR.is_dir(), reason="the real MR is not on this machine")
def test_a_real_image_and_its_mask() -> None:
    image, _, _ = load_image(REAL_MR / "example_mr_sm.nii.gz")
    mask, _, _ = load_image(REAL_MR / "example_seg_mr.nii.gz")
    assert label_map_reason(image, PurePosixPath("labels/x.nii.gz")) is None
    assert label_map_reason(mask, PurePosixPath("x.nii.gz")) is not None


def test_a_mask_of_any_type_of_number_is_a_mask(tmp_path: Path) -> None:
    for dtype in (np.uint8, np.float32, np.float64, np.int32):
        write_nifti(tmp_path / "x.nii.gz", boxes([1, 2]).astype(dtype), Geometry(SHAPE, np.diag([2.0, 2, 2, 1])))
        array, _, _ = load_image(tmp_path / "x.nii.gz")
        assert label_map_reason(array, PurePosixPath("x_seg.nii.gz")) is not None
