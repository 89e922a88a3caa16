"""Align two grids without interpolation: find the axis order, flips and whole-voxel offset between them.

A mask may be cropped, padded or reoriented against its image and still have its voxels in the same places.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mrseg_label.imaging.geometry import CORNER_TOLERANCE_VOXELS, Geometry

_FARTHEST_VOXELS = 1e6

Voxel = TypeVar("Voxel", bound=np.generic)


@dataclass(frozen=True)
class Placement:
    """The position of a source grid in a target grid.

    Attributes
    ----------
    axes : for each axis of the target, the parallel axis of the source.
    flipped : for each axis of the target, whether the source has the opposite direction.
    offset : index in the target of the reordered source's first voxel; may be negative.
    shape : of the source in the target's axis order.
    """

    axes: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]
    offset: tuple[int, int, int]
    shape: tuple[int, int, int]

    def covers_exactly(self, target: Geometry) -> bool:
        """Whether source and target are the same grid, except for the order and direction of the axes."""
        return self.offset == (0, 0, 0) and self.shape == target.shape

    def reorder(self, array: NDArray[Voxel]) -> NDArray[Voxel]:
        """Return a view of the source's voxels (X, Y, Z) with the target's axes, neither padded nor cropped."""
        steps = tuple(slice(None, None, -1 if flip else 1) for flip in self.flipped)
        return array.transpose(self.axes)[steps]

    def place(self, array: NDArray[Voxel], target: Geometry) -> tuple[NDArray[Voxel], int]:
        """Place the source's voxels on the target grid, padded with zeros and cropped.

        Returns
        -------
        array : with the target's shape.
        lost : number of non-zero voxels of the source outside the target.
        """
        if self.covers_exactly(target):
            return self.reorder(array), 0
        placed = np.zeros(target.shape, dtype=array.dtype)
        return placed, self.insert(array, placed)

    def insert(self, array: NDArray[Voxel], target: NDArray[Voxel]) -> int:
        """Write the source's voxels to their places in an array of the target grid, which is changed.

        Returns
        -------
        Number of non-zero voxels of the source outside the target.
        """
        moved = self.reorder(array)
        into, out_of = [], []
        for start, length, size in zip(self.offset, self.shape, target.shape, strict=True):
            first, last = max(0, start), min(size, start + length)
            into.append(slice(first, max(first, last)))
            out_of.append(slice(first - start, max(first, last) - start))
        inside = moved[tuple(out_of)]
        target[tuple(into)] = inside
        return int(np.count_nonzero(moved)) - int(np.count_nonzero(inside))


def find_placement(
    source: Geometry, target: Geometry, tolerance_voxels: float = CORNER_TOLERANCE_VOXELS
) -> Placement | None:
    """Find the position of a grid on the lattice of another; None if their voxels do not coincide.

    They coincide if every corner voxel of the source is within ``tolerance_voxels`` (in units of the smallest spacing)
    of a point of the target's lattice, continued beyond the target, and neighbouring voxels remain neighbours.
    """
    relative = np.linalg.solve(target.affine, source.affine)
    turn = np.rint(relative[:3, :3])
    if not np.array_equal(turn @ turn.T, np.eye(3)):
        return None
    exact = np.eye(4)
    exact[:3, :3] = turn
    # Round at the centre of the source, not at an index that may be far outside of it.
    middle = (np.array(source.shape, dtype=np.float64) - 1) / 2
    start = relative[:3, :3] @ middle + relative[:3, 3] - turn @ middle
    if (
        not np.abs(start).max() < _FARTHEST_VOXELS
    ):  # at such a distance, floating-point numbers no longer distinguish neighbours
        return None
    exact[:3, 3] = np.rint(start)
    distance = np.linalg.norm(source.corners_mm() - _corners(target.affine @ exact, source), axis=1).max()
    if not distance <= tolerance_voxels * min(*source.spacing_mm, *target.spacing_mm):  # also true for NaN
        return None
    return _placement_of(turn, exact[:3, 3], source)


def _placement_of(turn: NDArray[Any], start: NDArray[Any], source: Geometry) -> Placement:
    axes = np.abs(turn).argmax(axis=1)
    flipped = turn[np.arange(3), axes] < 0
    shape = np.array(source.shape)[axes]
    offset = start.astype(int) - np.where(flipped, shape - 1, 0)
    a, b, c = (int(n) for n in axes)
    return Placement(
        axes=(a, b, c),
        flipped=(bool(flipped[0]), bool(flipped[1]), bool(flipped[2])),
        offset=(int(offset[0]), int(offset[1]), int(offset[2])),
        shape=(int(shape[0]), int(shape[1]), int(shape[2])),
    )


def _corners(affine: NDArray[np.float64], geometry: Geometry) -> NDArray[np.float64]:
    last = np.array(geometry.shape, dtype=np.float64) - 1
    corners = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)]) * last
    moved: NDArray[np.float64] = corners @ affine[:3, :3].T + affine[:3, 3]
    return moved
