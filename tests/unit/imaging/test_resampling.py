"""Label maps at another spacing."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mrseg_label.errors import InvalidInput
from mrseg_label.imaging.geometry import Geometry
from mrseg_label.imaging.orientation import reorient
from mrseg_label.imaging.resampling import resample_labels


def blocks(shape: tuple[int, int, int] = (8, 6, 4)) -> tuple[NDArray[np.uint8], Geometry]:
    labels = np.random.default_rng(1).integers(0, 9, shape).astype(np.uint8)
    affine = np.diag([-1.0, -2.0, 3.0, 1.0])
    affine[:3, 3] = (10, 20, 30)
    return labels, Geometry(shape, affine)


def test_doubled_spacing_takes_every_second_voxel_and_keeps_the_edge() -> None:
    labels, geometry = blocks()
    coarse, grid = resample_labels(labels, geometry, (2, 2, 6))
    np.testing.assert_array_equal(coarse, labels[1::2, :, 1::2])
    assert grid.spacing_mm == pytest.approx((2, 2, 6))
    # The outer corner of the first voxel stays: half a voxel before its centre.
    for one in (geometry, grid):
        assert one.affine[:3] @ (-0.5, -0.5, -0.5, 1) == pytest.approx((10.5, 21, 28.5))


def test_finer_spacing_repeats_voxels_and_the_same_spacing_changes_nothing() -> None:
    labels, geometry = blocks()
    fine, grid = resample_labels(labels, geometry, (0.5, 2, 3))
    np.testing.assert_array_equal(fine, labels.repeat(2, axis=0))
    assert grid.shape == (16, 6, 4)
    same, grid = resample_labels(labels, geometry, (1, 2.0001, 3))
    assert same is labels
    assert grid == geometry


def test_a_spacing_follows_the_patient_and_not_the_order_of_axes() -> None:
    labels, geometry = blocks()
    wanted, grid = resample_labels(labels, geometry, (1.5, 3, 4))
    turned, turned_grid = resample_labels(*reorient(labels, geometry, "ILP"), (1.5, 3, 4))  # fmt: skip
    assert turned_grid.spacing_mm == pytest.approx((4, 1.5, 3))
    assert turned.shape == tuple(wanted.shape[axis] for axis in (2, 0, 1))
    assert grid.spacing_mm == pytest.approx((1.5, 3, 4))


@pytest.mark.parametrize("spacing", [(1, 1), (0, 1, 1), (1, 1, 1000), (1, 1, float("nan"))])
def test_impossible_spacings_are_refused(spacing: tuple[float, ...]) -> None:
    with pytest.raises(InvalidInput, match="three lengths"):
        resample_labels(*blocks(), spacing)
