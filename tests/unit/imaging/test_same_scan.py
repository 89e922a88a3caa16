"""One scan in several orders of axes and types of values."""

from __future__ import annotations

import numpy as np
import pytest

from mrseg_label.imaging import Geometry
from mrseg_label.imaging.geometry import Shape
from mrseg_label.imaging.orientation import every_orientation, reorient
from mrseg_label.imaging.same_scan import Relation, fingerprint, relation

SHAPE: Shape = (7, 6, 5)
GRID = Geometry(SHAPE, np.array([[2.0, 0.1, 0, 5], [-0.1, 2.0, 0, 7], [0, 0, 4.0, 9], [0, 0, 0, 1]]))
SCAN = np.random.default_rng(1).gamma(1, 200, SHAPE).astype(np.int16)


def test_every_order_and_direction_of_axes_is_the_same_scan() -> None:
    turned = list(every_orientation(SCAN, GRID))
    assert len(turned) == 48
    assert {fingerprint(array) for array, _ in turned} == {fingerprint(SCAN)}
    assert {relation(SCAN, GRID, array, grid) for array, grid in turned} == {Relation.SAME}


@pytest.mark.parametrize("kind", ["f4", "f8", "i4", "u2"])
def test_the_type_of_values_does_not_matter(kind: str) -> None:
    array, grid = reorient(SCAN.astype(kind), GRID, "LPS")
    assert fingerprint(array) == fingerprint(SCAN)
    assert relation(SCAN, GRID, array, grid) is Relation.SAME


def test_values_on_another_scale_are_another_image() -> None:
    for other in (SCAN + 1, SCAN * 2, SCAN.astype(np.float32) * 0.5):
        assert fingerprint(other) != fingerprint(SCAN)
        assert relation(SCAN, GRID, other, GRID) is None


def test_the_same_voxels_elsewhere_are_told_apart() -> None:
    moved = GRID.affine.copy()
    moved[0, 3] += 1
    wide = GRID.affine @ np.diag((1, 1, 1.01, 1))
    for affine in (moved, wide):
        assert relation(SCAN, GRID, SCAN, Geometry(SHAPE, affine)) is Relation.MOVED
    for flipped in (SCAN[::-1], SCAN[:, ::-1], SCAN[:, :, ::-1]):
        assert relation(SCAN, GRID, flipped, GRID) is Relation.FLIPPED
    exchanged = SCAN.transpose(1, 0, 2)
    assert relation(SCAN, GRID, exchanged, Geometry((6, 7, 5), GRID.affine)) is Relation.FLIPPED


def test_other_scans_are_other_scans() -> None:
    one_voxel = SCAN.copy()
    one_voxel[3, 2, 1] += 1
    shuffled = np.random.default_rng(2).permutation(SCAN.ravel()).reshape(SHAPE)
    for other in (one_voxel, shuffled, np.roll(SCAN, 1, axis=0), -SCAN):
        assert relation(SCAN, GRID, other, GRID) is None
    assert len({fingerprint(other) for other in (SCAN, one_voxel, shuffled, -SCAN)}) == 4
