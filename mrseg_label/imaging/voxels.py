"""The voxels of the structures of a label map, once, for all questions about where they lie. NumPy alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mrseg_label.imaging.geometry import Affine, Geometry


@dataclass(frozen=True)
class Foreground:
    """All voxels of a label map that are not background.

    Attributes
    ----------
    labels : (n,) label ids.
    index : (3, n) places in the array.
    affine : (4, 4) from place to RAS mm.
    voxel_ml : volume of a voxel.
    """

    labels: NDArray[np.integer[Any]]
    index: NDArray[np.int32]
    affine: Affine
    voxel_ml: float

    @classmethod
    def of(cls, label_map: NDArray[np.integer[Any]], geometry: Geometry) -> Foreground:
        """Collect the voxels of a label map (X, Y, Z) on the grid of ``geometry``."""
        order: Literal["F", "C"] = "F" if label_map.flags.f_contiguous else "C"
        flat = label_map.ravel(order=order)
        places = np.flatnonzero(flat)
        index = np.stack([one.astype(np.int32) for one in np.unravel_index(places, label_map.shape, order=order)])
        return cls(flat[places], index, geometry.affine, geometry.voxel_ml)

    def along(self, row: NDArray[np.float64], where: NDArray[Any] | slice = slice(None)) -> NDArray[np.float32]:
        """Compute a coordinate, linear in the place with the coefficients ``row`` (4,), of the voxels ``where``."""
        i, j, k = self.index[:, where]
        a, b, c, d = row.astype(np.float32)
        value: NDArray[np.float32] = a * i + b * j + c * k + d
        return value

    def centers_mm(self, count: int) -> NDArray[np.float64]:
        """Compute the centre of each label id 1 to ``count`` in RAS mm, (count + 1, 3); NaN where it has no voxel."""
        sizes = self.sizes(count)
        with np.errstate(invalid="ignore", divide="ignore"):
            means = [np.bincount(self.labels, weights=axis, minlength=count + 1) / sizes for axis in self.index]
        centers: NDArray[np.float64] = np.stack(means, axis=1) @ self.affine[:3, :3].T + self.affine[:3, 3]
        return centers

    def sizes(self, count: int) -> NDArray[np.int64]:
        """Count the voxels of each label id, (count + 1,)."""
        return np.bincount(self.labels, minlength=count + 1)
