"""Structures that end at the seam between two stations."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mrseg_label.imaging.geometry import Geometry
from mrseg_label.imaging.seams import Seam, fields_meet, find_seams

SHAPE = (30, 20, 40)
FLIPS = [(0,), (2,), (0, 1, 2)]


def grid(z_mm: float = 0.0, x_mm: float = 0.0) -> Geometry:
    """Voxels of 2 x 3 x 4 mm in RAS order; 160 mm from feet to head."""
    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    affine[:3, 3] = x_mm, 0.0, z_mm
    return Geometry(SHAPE, affine)


def column(bottom: int = 0, top: int = 40) -> NDArray[np.uint8]:
    """A column of 10 x 10 voxels (600 mm²) of structure 1, from layer to layer."""
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[5:15, 5:15, bottom:top] = 1
    return labels


def flipped(labels: NDArray[np.uint8], geometry: Geometry, axes: tuple[int, ...]) -> tuple[NDArray[np.uint8], Geometry]:
    """The same image with some axes stored the other way round."""
    affine = geometry.affine.copy()
    for axis in axes:
        affine[:3, 3] += affine[:3, axis] * (geometry.shape[axis] - 1)
        affine[:3, axis] *= -1
    return np.flip(labels, axes), Geometry(geometry.shape, affine)


# Of the upper station: it overlaps the lower one by 80 or 12 mm, touches it, or leaves a gap of 4 mm.
@pytest.mark.parametrize("z_mm", [80.0, 148.0, 160.0, 164.0])
def test_what_the_next_station_does_not_continue_is_found(z_mm: float) -> None:
    nothing = np.zeros(SHAPE, dtype=np.uint8)
    assert find_seams(column(), grid(), nothing, grid(z_mm)) == [Seam(1, "head", 600.0)]
    assert find_seams(column(), grid(z_mm), nothing, grid()) == [Seam(1, "foot", 600.0)]
    for first, second in ((grid(), grid(z_mm)), (grid(z_mm), grid())):
        assert find_seams(column(), first, column(), second) == []
        assert find_seams(nothing, first, column(), second) == [], "the other one is cut, if any"


@pytest.mark.parametrize("axes", FLIPS)
def test_in_any_order_of_axes(axes: tuple[int, ...]) -> None:
    nothing = np.zeros(SHAPE, dtype=np.uint8)
    assert find_seams(*flipped(column(), grid(), axes), nothing, grid(148.0)) == [Seam(1, "head", 600.0)]
    turned, upper = flipped(column(), grid(148.0), axes)
    assert find_seams(column(), grid(), turned, upper) == []
    # A structure elsewhere in the other station is not the same one going on.
    beside = np.zeros(SHAPE, dtype=np.uint8)
    beside[24:29, 5:15] = 1  # 18 mm away
    elsewhere, _ = flipped(beside, grid(148.0), axes)
    assert find_seams(column(), grid(), elsewhere, upper) == [Seam(1, "head", 600.0)]


def test_what_ends_by_itself_is_not_doubted() -> None:
    nothing = np.zeros(SHAPE, dtype=np.uint8)
    assert find_seams(column(top=39), grid(), nothing, grid(148.0)) == [], "it does not reach the edge"
    x, y, z = np.ogrid[:30, :20, :40]
    ball = ((2 * (x - 10)) ** 2 + (3 * (y - 10)) ** 2 + (4 * (z - 31)) ** 2 <= 34**2).astype(np.uint8)
    assert ball[:, :, -1].sum() * 6 > 300, "a pole that the edge hardly cuts"
    assert find_seams(ball, grid(), nothing, grid(148.0)) == []
    thin = np.zeros(SHAPE, dtype=np.uint8)
    thin[5:9, 5:6] = 1  # 24 mm²
    assert find_seams(thin, grid(), nothing, grid(148.0)) == []
    assert find_seams(thin, grid(), nothing, grid(148.0), least_mm2=20.0) == [Seam(1, "head", 24.0)]


def test_where_the_other_station_does_not_show_the_place() -> None:
    nothing = np.zeros(SHAPE, dtype=np.uint8)
    assert find_seams(column(), grid(), nothing, grid()) == [], "the same field of view"
    assert find_seams(column(), grid(), nothing, grid(180.0)) == [], "a gap of 20 mm"
    assert find_seams(column(), grid(), nothing, grid(148.0, x_mm=40.0)) == [], "it lies beside"
    assert fields_meet(grid(), grid(148.0)) and fields_meet(grid(164.0), grid())
    assert not fields_meet(grid(), grid(180.0)) and not fields_meet(grid(), grid(148.0, x_mm=100.0))


def test_a_breath_between_the_stations_is_no_error() -> None:
    """The lower station was taken 8 mm off, and the structure lies 8 mm beside."""
    assert find_seams(column(), grid(), np.roll(column(2), 4, 0), grid(156.0)) == []
