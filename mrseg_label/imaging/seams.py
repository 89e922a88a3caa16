"""Find structures that end at the seam between two stations: cut by the edge of one, and not there in the other, which goes on from it.

The outermost layer of a station towards head or foot is where its field of view cuts what goes on. How large a structure is there and
some millimetres farther inside says how far it should go on; the other station is looked at as far as that, by world coordinates. So
stations may overlap, touch, or leave a small gap, and a shift by a breath between them does not matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrseg_label.imaging.geometry import Geometry

AHEAD_MM = 10.0  # so far beyond the edge a structure must be expected, and the other station must show the place
LEAST_MM2 = 50.0  # of its cross-section there (benchmarks/studies/planted_seams.py)
_AROUND_MM = 15.0  # of the place, where the other station has nothing of it
_NOTHING_ML = 0.1
_SHOWN = 0.9  # share of the cross-section that the other station must show
LabelMap = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Seam:
    """A structure that one station's edge cuts, and of which the other station has nothing where it should go on.

    Attributes
    ----------
    label : id of the structure.
    towards : ``head`` or ``foot``: the edge of the first station that cuts it.
    mm2 : its cross-section in the outermost layer of the first station.
    """

    label: int
    towards: str
    mm2: float


def fields_meet(first: Geometry, second: Geometry) -> bool:
    """Whether two stations overlap from head to foot, touch, or leave a gap that a seam may have, and lie above each other."""
    one, other = first.corners_mm(), second.corners_mm()
    shared = np.minimum(one.max(axis=0), other.max(axis=0)) - np.maximum(one.min(axis=0), other.min(axis=0))
    return bool(shared[2] >= -AHEAD_MM and (shared[:2] > 0).all())


def find_seams(
    first: LabelMap, first_grid: Geometry, second: LabelMap, second_grid: Geometry, least_mm2: float = LEAST_MM2
) -> list[Seam]:
    """Find structures of the first label map that the second does not continue.

    Parameters
    ----------
    first, second : label maps, each (X, Y, Z) on its own grid, in any axis order.
    least_mm2 : cross-section that must be expected AHEAD_MM beyond the edge.
    """
    return [
        Seam(label, towards, area)
        for towards, layer, inner, outward in _ends(first, first_grid)
        for label, area in _expected(layer, inner, least_mm2)
        if _is_missing(layer.places(label), outward, label, second, second_grid)
    ]


@dataclass(frozen=True)
class _Layer:
    """A layer of a label map across the body.

    Attributes
    ----------
    labels : the label map where all but this layer is cut away; one voxel thick.
    start : index of its first voxel in the whole map.
    depth_mm : how far inside the outermost layer it lies.
    """

    labels: LabelMap
    start: NDArray[np.float64]
    grid: Geometry
    voxel_mm2: float
    depth_mm: float = 0.0

    def places(self, label: int) -> NDArray[np.float64]:
        """RAS coordinates of the voxels of a structure, (N, 3)."""
        affine = self.grid.affine
        found: NDArray[np.float64] = (np.argwhere(self.labels == label) + self.start) @ affine[:3, :3].T + affine[:3, 3]
        return found

    def areas(self) -> NDArray[np.float64]:
        """Cross-section of each label id, mm²."""
        counts: NDArray[np.float64] = np.bincount(self.labels.ravel()) * self.voxel_mm2
        return counts


def _ends(labels: LabelMap, grid: Geometry) -> Iterator[tuple[str, _Layer, _Layer, NDArray[np.float64]]]:
    """Yield the outermost layer at each end, one farther inside, and the step of AHEAD_MM outward, RAS mm."""
    axis, code = next((axis, code) for axis, code in enumerate(grid.axcodes) if code in "SI")
    size, step = labels.shape[axis], grid.spacing_mm[axis]
    inside = max(1, round(AHEAD_MM / step))
    if size <= inside:
        return
    voxel_mm2 = grid.voxel_ml * 1000 / step
    rises = code == "S"
    up = grid.affine[:3, axis] / (step if rises else -step)
    for towards, sign in (("head", 1.0), ("foot", -1.0)):
        last = size - 1 if rises == (sign > 0) else 0
        places = (last, last - inside if last else inside)
        outermost, inner = (
            _Layer(
                labels[tuple(slice(place, place + 1) if n == axis else slice(None) for n in range(3))],
                np.array([float(place) if n == axis else 0.0 for n in range(3)]),
                grid,
                voxel_mm2,
                abs(place - last) * step,
            )
            for place in places
        )
        yield towards, outermost, inner, sign * AHEAD_MM * up


def _expected(layer: _Layer, inner: _Layer, least_mm2: float) -> Iterator[tuple[int, float]]:
    """Yield the structures, with their cross-section, that should go on for AHEAD_MM: what gets smaller goes on getting smaller."""
    areas, before = layer.areas(), inner.areas()
    for label in np.flatnonzero(areas >= least_mm2):
        if label == 0:
            continue
        area = float(areas[label])
        shrinks = max(0.0, (float(before[label]) if label < len(before) else 0.0) - area)
        if area - shrinks * AHEAD_MM / inner.depth_mm >= least_mm2:
            yield int(label), area


def _is_missing(
    places: NDArray[np.float64], outward: NDArray[np.float64], label: int, other: LabelMap, grid: Geometry
) -> bool:
    """Whether another station shows where a structure should go on, and has nothing of it around there."""
    to_index = np.linalg.inv(grid.affine)
    shape = np.array(grid.shape)
    beyond = (places + outward) @ to_index[:3, :3].T + to_index[:3, 3]
    shown = ((beyond >= -0.5) & (beyond <= shape - 0.5)).all(axis=1)
    if shown.mean() < _SHOWN:
        return False
    here = places @ to_index[:3, :3].T + to_index[:3, 3]
    index = np.concatenate([beyond, here])
    around = _AROUND_MM / np.array(grid.spacing_mm)
    low = np.clip(np.floor(index.min(axis=0) - around), 0, shape).astype(int)
    high = np.clip(np.ceil(index.max(axis=0) + around) + 1, 0, shape).astype(int)
    box = tuple(slice(start, stop) for start, stop in zip(low.tolist(), high.tolist(), strict=True))
    return float(np.count_nonzero(other[box] == label)) * grid.voxel_ml < _NOTHING_ML
