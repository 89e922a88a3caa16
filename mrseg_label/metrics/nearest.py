"""Find how far the surface voxels of one label map lie from the same structure's surface in another.

Most surface voxels of two similar maps are a few voxels apart. So the neighbourhoods of all of them are searched at
once, nearest offsets first, until as many were found as are needed; a k-d tree finds those that lie farther apart.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# One look costs about a thousandth of a search in a k-d tree, which also has to be built.
MAX_OFFSETS = 500
_MANY = 0.15  # the share of voxels that are done with from which on it pays to copy the others


@dataclass(frozen=True)
class Shell:
    """Offsets of one length.

    Attributes
    ----------
    distance_mm : their length.
    offsets : (n, axes) int64, voxels.
    """

    distance_mm: float
    offsets: NDArray[np.int64]


def shells_around(spacing_mm: Sequence[float], most: int = MAX_OFFSETS) -> list[Shell]:
    """List the offsets in a ball of about ``most`` voxels at most, zero among them, by their length."""
    axes = len(spacing_mm)
    unit_ball = math.pi ** (axes / 2) / math.gamma(axes / 2 + 1)
    radius = (most * math.prod(spacing_mm) / unit_ball) ** (1 / axes)
    reach = [range(-int(radius / step), int(radius / step) + 1) for step in spacing_mm]
    offsets = np.array(list(itertools.product(*reach)), dtype=np.int64)
    lengths = np.sqrt(np.square(offsets * np.asarray(spacing_mm)).sum(axis=1))
    if len(lengths) > most:  # as in an image of thick slices, where the ball is a disk
        radius = min(radius, float(np.partition(lengths, most)[most]))
    offsets, lengths = offsets[lengths <= radius], lengths[lengths <= radius]
    _, first, member = np.unique(np.round(lengths, 9), return_index=True, return_inverse=True)
    return [Shell(float(lengths[index]), offsets[member == k]) for k, index in enumerate(first)]


class SurfaceVoxels:
    """The surface voxels of one label map, each until its nearest in the other map is found.

    Parameters
    ----------
    surface : (X, Y, Z) labels of the surface voxels of a padded map in C order, 0 elsewhere; unsigned. No structure has
        the largest value of the type.
    structures : number of structures.
    margin : number of voxels at either end of the flat map that are padding, so that no offset leads outside.
    """

    def __init__(self, surface: NDArray[np.unsignedinteger[Any]], structures: int, margin: int) -> None:
        self._shape = surface.shape
        self._flat = surface.ravel()
        self._structures = structures
        self._margin = margin
        self._done = np.iinfo(surface.dtype).max
        positions = np.flatnonzero(self._flat != 0)
        self._labels = self._flat[positions]
        self._positions = positions - margin
        self._all = positions, self._labels.copy()
        self.total = self._count(self._labels)

    def look(self, other: SurfaceVoxels, offsets: Sequence[int]) -> NDArray[np.int64]:
        """Count the voxels that have a surface voxel of the same structure in the other map at one of the offsets.

        They are done with.

        Parameters
        ----------
        offsets : in the flat map.

        Returns
        -------
        (structures + 1,) int64, by label.
        """
        hit = np.zeros(len(self._labels), dtype=np.bool_)
        for offset in offsets:
            hit |= other._flat[self._margin + offset :][self._positions] == self._labels
        number = int(np.count_nonzero(hit))
        if not number:
            return np.zeros(self._structures + 1, dtype=np.int64)
        counts = self._count(self._labels[hit])
        if number > _MANY * len(hit):
            self._keep(~hit)
        else:
            self._labels[hit] = self._done
        return counts

    def keep_only(self, wanted: NDArray[np.bool_]) -> None:
        """Be done with the structures that are not wanted; ``wanted`` is (structures + 1,), by label."""
        table = np.zeros(self._done + 1, dtype=np.bool_)
        table[: self._structures + 1] = wanted
        keep = table[self._labels]
        if np.count_nonzero(keep) < (1 - _MANY) * len(keep):
            self._keep(keep)

    def far_distances(self, other: SurfaceVoxels, structure: int, spacing_mm: Sequence[float]) -> NDArray[np.float64]:
        """Distances (mm, ascending) of the voxels of a structure that are not done with yet."""
        left = self._positions[self._labels == structure] + self._margin
        if not len(left):
            return np.empty(0)
        from scipy.spatial import KDTree  # imported here: it takes a third of a second

        source, target = (
            np.stack(np.unravel_index(flat, self._shape), axis=1) * np.asarray(spacing_mm)
            for flat in (left, other._all[0][other._all[1] == structure])
        )
        return np.sort(KDTree(target, leafsize=32).query(source)[0])

    def _count(self, labels: NDArray[np.unsignedinteger[Any]]) -> NDArray[np.int64]:
        return np.bincount(labels, minlength=self._structures + 1).astype(np.int64, copy=False)

    def _keep(self, keep: NDArray[np.bool_]) -> None:
        self._positions, self._labels = self._positions.compress(keep), self._labels.compress(keep)
