"""Compare two label maps of neighbouring stations where both fields of view show the body."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mrseg_label.imaging.geometry import Geometry

_LEAST_MM = 15.0  # of an overlap along each axis; in less, how stations are cut decides
# The outermost voxels of a station are the ones that are segmented worst, and gradients distort them most.
_MARGIN_MM = 6.0
LabelMap = NDArray[np.integer[Any]]


def fields_overlap(first: Geometry, second: Geometry) -> bool:
    """Whether two grids show enough of the same space to be compared."""
    low, high = (side(_ends(first), _ends(second)) for side in (_lower, _upper))
    return bool((high - low >= _LEAST_MM + 2 * _MARGIN_MM).all())


def overlap_volumes(
    first: LabelMap, first_grid: Geometry, second: LabelMap, second_grid: Geometry, structures: int
) -> NDArray[np.float64] | None:
    """Measure structures 1 to N in the part of space that two grids show; the second map is sampled on the first grid.

    Parameters
    ----------
    first, second : label maps, each (X, Y, Z) on its own grid.

    Returns
    -------
    (structures, 3) volumes in ml, of the first map, of the second, and of both together; None if the fields do not overlap.
    """
    if not fields_overlap(first_grid, second_grid):
        return None
    box = _box_in(first_grid, second_grid)
    part = first[box]
    start = np.array([one.start for one in box], dtype=np.float64)
    to_second = np.linalg.inv(second_grid.affine) @ first_grid.affine
    offset = to_second[:3, :3] @ start + to_second[:3, 3]
    # Ids above those of the scheme are counted with the background; -1 is where the second map shows nothing.
    other = ndimage.affine_transform(
        np.where(second <= structures, second, 0).astype(np.int16), to_second[:3, :3], offset,
        output_shape=part.shape, order=0, mode="constant", cval=-1,
    )  # fmt: skip
    seen = other >= 0
    classes = structures + 1
    ours = np.where(part <= structures, part, 0)[seen].astype(np.int64)
    table = np.bincount(ours * classes + other[seen], minlength=classes**2).reshape(classes, classes)
    voxels = np.stack([table.sum(axis=1), table.sum(axis=0), np.diagonal(table)], axis=1)[1:]
    volumes: NDArray[np.float64] = voxels * first_grid.voxel_ml
    return volumes


def _box_in(first: Geometry, second: Geometry) -> tuple[slice, ...]:
    """The voxels of the first grid in the bounding box that both share, without its outermost millimetres from head to foot."""
    low, high = _lower(_ends(first), _ends(second)), _upper(_ends(first), _ends(second))
    low[2], high[2] = low[2] + _MARGIN_MM, high[2] - _MARGIN_MM
    corners = np.array(list(itertools.product(*zip(low, high, strict=True)))) - first.affine[:3, 3]
    index = corners @ np.linalg.inv(first.affine[:3, :3]).T
    return tuple(
        slice(max(0, int(np.floor(start))), min(size, int(np.ceil(stop)) + 1))
        for start, stop, size in zip(index.min(axis=0), index.max(axis=0), first.shape, strict=True)
    )


def _ends(grid: Geometry) -> NDArray[np.float64]:
    """Lowest and highest RAS coordinates of the voxel centres of a grid, (2, 3)."""
    corners = grid.corners_mm()
    return np.stack([corners.min(axis=0), corners.max(axis=0)])


def _lower(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    lower: NDArray[np.float64] = np.maximum(first[0], second[0])
    return lower


def _upper(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    upper: NDArray[np.float64] = np.minimum(first[1], second[1])
    return upper
