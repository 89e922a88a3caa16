"""The body, what is hollow in it, and MR made to look like CT."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from mrseg_label.imaging import load_image, reorient
from mrseg_label.imaging.body import body_mask, fill_holes_per_slice, largest_component
from mrseg_label.imaging.intensity import AIR_HU, CAVITY_HU, equalize, invert, round_to_int16
from mrseg_label.segments.files import read_label_map
from tests.support.paths import REAL_MR

SPACING = (3.0, 3.0, 4.0)
AIR, FAT, MUSCLE, LUNG, BONE = range(5)
SIGNAL = np.array([0.0, 1.0, 0.45, 0.03, 0.02])


@pytest.fixture(scope="module")
def tissue() -> np.ndarray[Any, Any]:
    """A trunk with a ring of fat, two lungs that leave the field of view above, and a thin shell of bone."""
    shape = (90, 70, 40)
    x, y, z = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    center = [(n - 1) / 2 for n in shape]
    radius = np.hypot((x - center[0]) / 40, (y - center[1]) / 30)
    found = np.full(shape, AIR)
    found[radius < 1] = FAT
    found[radius < 0.85] = MUSCLE
    for side in (-1, 1):
        found[(np.hypot((x - center[0] - side * 16) / 10, (y - center[1]) / 14) < 1) & (z > 18)] = LUNG
    shell = np.abs(np.hypot(x - center[0], y - center[1] + 12) - 6) < 0.8
    found[shell & (z < 30)] = BONE
    return found


@pytest.fixture(scope="module")
def image(tissue: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(5)
    signal = ndimage.gaussian_filter(SIGNAL[tissue], 0.5)
    bias = np.exp(0.2 * np.sin(np.linspace(0, 3, tissue.shape[0])))[:, None, None]
    noisy = np.hypot(signal * bias + rng.normal(0, 0.015, tissue.shape), rng.normal(0, 0.015, tissue.shape))
    return (800 * noisy).round().astype(np.int16)


def dice(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def test_the_body_is_found_with_its_lungs(image: np.ndarray[Any, Any], tissue: np.ndarray[Any, Any]) -> None:
    body = body_mask(image)
    assert dice(body, tissue != AIR) > 0.95
    assert body[ndimage.binary_erosion(tissue == LUNG, iterations=2)].all()


@pytest.mark.parametrize("factor", [0.001, 30.0])
def test_the_body_does_not_depend_on_the_units(image: np.ndarray[Any, Any], factor: float) -> None:
    np.testing.assert_array_equal(body_mask(image * factor), body_mask(image.astype(float)))


def test_an_image_without_air_is_all_body(image: np.ndarray[Any, Any], tissue: np.ndarray[Any, Any]) -> None:
    inside = (slice(25, 65), slice(45, 60), slice(0, 18))
    assert not (tissue[inside] == AIR).any()
    assert body_mask(image[inside]).all()
    assert body_mask(np.full((5, 5, 5), 3)).all()


def test_inversion_turns_fat_dark_and_thin_bone_bright(
    image: np.ndarray[Any, Any], tissue: np.ndarray[Any, Any]
) -> None:
    ct = invert(image, SPACING)
    assert ct.dtype == np.int16 and ct.min() == AIR_HU and ct.max() <= 250
    deep = {kind: ndimage.binary_erosion(tissue == kind, iterations=2) for kind in (AIR, FAT, MUSCLE, LUNG)}
    assert (ct[deep[AIR]] == AIR_HU).mean() > 0.99
    assert (ct[deep[LUNG]] == CAVITY_HU).mean() > 0.95
    assert np.median(ct[deep[FAT]]) < np.median(ct[deep[MUSCLE]]) - 100 < np.median(ct[tissue == BONE]) - 200
    assert np.isin(ct[deep[MUSCLE]], (AIR_HU, CAVITY_HU)).mean() < 0.01


def test_equalisation_spreads_the_tissue_and_keeps_its_order(image: np.ndarray[Any, Any]) -> None:
    ct = equalize(image, SPACING)
    inside = ct > CAVITY_HU
    assert ct.dtype == np.int16 and ct[inside].min() >= -150 and ct.max() <= 250
    counts = np.histogram(ct[inside], bins=4, range=(-150, 250))[0]
    assert counts.max() < 1.3 * counts.min()
    order = np.argsort(image[inside], kind="stable")
    assert (np.diff(ct[inside][order].astype(int)) >= 0).all()


def test_raw_values_stay_unless_rounding_would_erase_them(image: np.ndarray[Any, Any]) -> None:
    np.testing.assert_array_equal(round_to_int16(image), image)
    np.testing.assert_array_equal(round_to_int16(image + 0.2), image)
    fraction = image / image.max()
    scaled = round_to_int16(fraction)
    assert scaled.dtype == np.int16 and np.corrcoef(scaled.ravel(), image.ravel())[0, 1] > 0.9999
    huge = round_to_int16(image.astype(np.float64) * 1e6)
    assert np.corrcoef(huge.ravel(), image.ravel())[0, 1] > 0.9999


def test_known_body_is_used(image: np.ndarray[Any, Any]) -> None:
    half = np.zeros(image.shape, dtype=bool)
    half[:40] = True
    for make in (invert, equalize):
        assert (make(image, SPACING, half)[40:] == AIR_HU).all()


def test_components_and_holes() -> None:
    mask = np.zeros((9, 9, 5), dtype=bool)
    mask[1:6, 1:6, :] = True
    mask[3, 3, :] = False  # open above and below, closed within each slice
    mask[8, 8, 0] = True
    assert largest_component(mask).sum() == mask.sum() - 1
    assert fill_holes_per_slice(mask).sum() == mask.sum() + 5
    assert fill_holes_per_slice(mask, axis=0)[3, 3].sum() == 0
    assert not largest_component(np.zeros((3, 3, 3), dtype=bool)).any()


def test_real_mr_is_prepared() -> None:
    path = REAL_MR / "example_mr_sm.nii.gz"
    if not path.is_file():
        pytest.skip("the real MR is not here")
    array, geometry, warnings = load_image(path)
    assert geometry.axcodes == "LPS" and warnings == []
    turned, there = reorient(array, geometry, "RAS")
    labels, _ = read_label_map(path.with_name("example_seg_mr.nii.gz"))
    labels, _ = reorient(labels, geometry, "RAS")
    body = body_mask(turned)
    assert body[labels > 0].mean() > 0.999 and 0.6 < body.mean() < 0.95
    ct = invert(turned, there.spacing_mm, body)
    assert np.isin(ct[labels > 0], (AIR_HU, CAVITY_HU)).mean() < 0.02
