"""Where the points of one grid lie between those of another along one axis, as nnU-Net's resampling places them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class AxisSampling:
    """Linear interpolation along one axis: output = input[low] + weight * (input[high] - input[low]).

    Parameters
    ----------
    low, high : (N,) int64 indices of the two neighbours in the input.
    weight : (N,) float64, 0 where the point lies on its lower neighbour.
    """

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    weight: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.low)

    @property
    def is_identity(self) -> bool:
        """Whether the output is the very input that the indices span."""
        return not self.weight.any() and bool(np.array_equal(self.low, self.low[0] + np.arange(len(self.low))))

    @property
    def arrays(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """``low``, ``high`` and ``weight``."""
        return self.low, self.high, self.weight

    def part(self, start: int, stop: int) -> tuple[slice, AxisSampling]:
        """Return the stretch of the input that the outputs ``start`` to ``stop`` need, and their sampling of it."""
        low, high = self.low[start:stop], self.high[start:stop]
        first = int(low.min())
        return slice(first, int(high.max()) + 1), AxisSampling(low - first, high - first, self.weight[start:stop])


def sample_linearly(count: int, new_count: int) -> AxisSampling:
    """Interpolate as ``skimage.transform.resize`` of order 1 does with the mode ``edge``: voxel edges coincide."""
    positions = np.clip(_positions(count, new_count), 0, count - 1)
    low = np.floor(positions).astype(np.int64)
    weight = positions - low
    return AxisSampling(low, low + (weight > 0), weight)


def sample_nearest(count: int, new_count: int) -> AxisSampling:
    """Take the nearest voxel as ``scipy.ndimage.map_coordinates`` of order 0 does; half way it takes the upper one."""
    nearest = np.floor(np.clip(_positions(count, new_count), 0, count - 1) + 0.5).astype(np.int64)
    return AxisSampling(nearest, nearest, np.zeros(new_count))


def sample_axes(shape: Sequence[int], new_shape: Sequence[int], nearest_axis: int | None) -> list[AxisSampling]:
    """Sample each axis of a volume linearly, but ``nearest_axis`` (nnU-Net's ``separate_z``) by its nearest voxels."""
    return [
        (sample_nearest if axis == nearest_axis else sample_linearly)(int(count), int(new_count))
        for axis, (count, new_count) in enumerate(zip(shape, new_shape, strict=True))
    ]


def _positions(count: int, new_count: int) -> NDArray[np.float64]:
    """Return where the centres of the new voxels lie, in voxels of the input."""
    # The very operations of scipy, so that a point half way between two voxels is rounded as there.
    positions: NDArray[np.float64] = (count / new_count) * (np.arange(new_count) + 0.5) - 0.5
    return positions
