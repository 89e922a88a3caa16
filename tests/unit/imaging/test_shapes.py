"""Size, place and pieces of structures, and two stations where both show the body."""

from __future__ import annotations

import numpy as np
import pytest

from mrseg_label.imaging.anatomy import Anatomy
from mrseg_label.imaging.geometry import Geometry
from mrseg_label.imaging.overlaps import fields_overlap, overlap_volumes
from mrseg_label.imaging.shapes import Shape, measure_shapes

ANATOMY = Anatomy(names=("liver", "spleen", "spine"), in_one_piece=frozenset({1, 2}))


def grid(z_mm: float = 0.0, shape: tuple[int, int, int] = (30, 20, 40)) -> Geometry:
    """Voxels of 2 x 3 x 4 mm, axes towards the left, the back and the head."""
    affine = np.diag([-2.0, -3.0, 4.0, 1.0])
    affine[2, 3] = z_mm
    return Geometry(shape, affine)


def test_size_place_and_what_is_cut() -> None:
    labels = np.zeros(grid().shape, dtype=np.uint8)
    labels[5:15, 5:10, 10:20] = 1
    labels[20:24, 5:9, 36:] = 2
    found = measure_shapes(labels, grid(), ANATOMY)
    assert list(found) == ["liver", "spleen"]
    assert found["liver"].ml == pytest.approx(500 * 0.024) and found["liver"].cut == ()
    assert found["liver"].center_mm == pytest.approx((-19.0, -21.0, 58.0))
    assert found["spleen"].cut == (2,)
    turned = measure_shapes(labels.transpose(2, 0, 1), Geometry((40, 30, 20), grid().affine[:, [2, 0, 1, 3]]), ANATOMY)
    assert turned["spleen"].cut == (2,) and turned["liver"].center_mm == pytest.approx(found["liver"].center_mm)
    assert Shape.from_json(found["spleen"].to_json()).cut == (2,)
    assert measure_shapes(np.zeros((4, 4, 4), dtype=np.uint8), grid(), ANATOMY) == {}
    labels[0, 0, 0] = 200  # an id that the scheme does not have
    assert list(measure_shapes(labels, grid(), ANATOMY)) == ["liver", "spleen"]


def test_what_lies_apart() -> None:
    labels = np.zeros((60, 40, 40), dtype=np.uint8)
    labels[2:22, 2:22, 2:22] = 1
    labels[45:50, 30:34, 30:34] = 1
    assert measure_shapes(labels, grid(shape=(60, 40, 40)), ANATOMY)["liver"].stray_ml == pytest.approx(80 * 0.024)


def test_two_stations_are_compared_where_both_show_the_body() -> None:
    upper, lower = grid(80.0), grid(0.0)
    body = np.zeros((30, 20, 60), dtype=np.uint8)  # of both together
    body[5:15, 5:15, 15:45] = 1
    body[20:25, 5:15, 22:30] = 2
    volumes = overlap_volumes(body[:, :, 20:], upper, body[:, :, :40], lower, 3)
    assert volumes is not None
    (liver, liver_too, liver_both), (spleen, _, both), spine = volumes.tolist()
    assert liver == liver_too == liver_both > 0 and spleen == both > 0 and spine == [0, 0, 0]
    wrong = body[:, :, :40].copy()
    wrong[wrong == 2] = 3
    volumes = overlap_volumes(body[:, :, 20:], upper, wrong, lower, 3)
    assert volumes is not None and volumes[1].tolist() == [spleen, 0, 0] and volumes[2].tolist() == [0, spleen, 0]
    # In any axis order of either.
    flipped = Geometry(
        lower.shape, lower.affine @ np.array([[-1.0, 0, 0, 29], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    )
    again = overlap_volumes(body[:, :, 20:], upper, body[::-1, :, :40], flipped, 3)
    assert again is not None and again[0].tolist() == [liver, liver, liver]


def test_stations_that_hardly_touch_are_not_compared() -> None:
    assert not fields_overlap(grid(0.0), grid(140.0)) and not fields_overlap(grid(0.0), grid(500.0))
    assert fields_overlap(grid(0.0), grid(100.0))
    empty = np.zeros(grid().shape, dtype=np.uint8)
    assert overlap_volumes(empty, grid(0.0), empty, grid(140.0), 3) is None
